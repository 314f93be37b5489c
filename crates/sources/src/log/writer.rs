//! Appends to one partition, under its lock.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{self, Compression, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, DurableFile, FileError, Own};

use super::meta::{LOCK_FILE, TopicMeta};
use super::segment::{self, Segment, Tail};
use crate::error::{Result, SourceError};

/// Records and bytes that go into one batch at most; a larger record has a batch of its own.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 512 * 1024;
/// No record is larger, so that a chunk's columns never overflow.
const MAX_RECORD: usize = 512 << 20;

/// How often a lock is tried that others hold, and how long is waited in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// One record to append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since 1970; `None` for none. Negative times are not told apart from none.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order. Keys must differ.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// When appended records are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before [`append`](super::EmbeddedLog::append) returns: one sync for all the records of the call.
    EachAppend,
    /// When [`flush`](super::EmbeddedLog::flush) is called: one sync for many calls.
    OnFlush,
}

/// What a writer remembers of a partition between appends. It is checked under the lock, since others write too.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) dir: PathBuf,
    pub(crate) tail: Option<(Segment, DurableFile, Tail)>,
    pub(crate) dirty: bool,
}

impl Writer {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, tail: None, dirty: false }
    }

    /// Appends `records` in as few batches as may be; returns the first one's offset.
    pub(crate) fn append(&mut self, topic: &TopicMeta, records: &[Record], fsync: Fsync, now_ms: i64) -> Result<i64> {
        let batches = split(topic, records)?;
        let lock = self.lock()?;
        let result = self.append_locked(topic, &batches, fsync, now_ms);
        if result.is_err() {
            // How much was written is unknown: look again next time.
            self.tail = None;
        }
        drop(lock);
        result
    }

    /// Makes everything appended durable.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.dirty {
            // The last segment only: an older one was synced when it was closed.
            match &self.tail {
                Some((_, file, _)) => file.sync()?,
                // After an append that failed, or a transaction that was given up.
                None => self.open_last()?.1.sync()?,
            }
            self.dirty = false;
        }
        Ok(())
    }

    fn lock(&self) -> Result<File> {
        let path = self.dir.join(LOCK_FILE);
        let file = DurableFile::open(What::Log, &path)?.into_file();
        file.lock().map_err(|e| FileError::new("lock", &path, e))?;
        Ok(file)
    }

    /// The same, but for a lock that others hold all the while.
    pub(crate) fn try_lock(&self) -> Result<Option<File>> {
        let path = self.dir.join(LOCK_FILE);
        let file = DurableFile::open(What::Log, &path)?.into_file();
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(e)) => return Err(FileError::new("lock", &path, e).into()),
            }
        }
        Ok(None)
    }

    fn append_locked(&mut self, topic: &TopicMeta, batches: &[&[Record]], fsync: Fsync, now_ms: i64) -> Result<i64> {
        self.find_tail()?;
        let mut base = None;
        for records in batches {
            let Some((_, _, tail)) = &self.tail else { break };
            let first = tail.next_offset;
            base.get_or_insert(first);
            let encoded = encode(topic, records, first, Of::Append)?;
            if self.make_room(topic, encoded.len() as u64)? {
                self.retain(topic, now_ms)?;
            }
            let Some((segment, file, tail)) = &mut self.tail else { break };
            file.write_all_at(&encoded, tail.byte).map_err(|e| FileError::new("append to", &segment.path, e))?;
            tail.byte += encoded.len() as u64;
            tail.next_offset = first + records.len() as i64;
            tail.max_timestamp = records
                .iter()
                .filter_map(|r| r.timestamp_ms)
                .max()
                .map_or(tail.max_timestamp, |t| t.max(tail.max_timestamp));
            self.dirty = true;
        }
        if fsync == Fsync::EachAppend {
            self.flush()?;
        }
        match (base, &self.tail) {
            (Some(base), _) => Ok(base),
            (None, Some((_, _, tail))) => Ok(tail.next_offset),
            (None, None) => Ok(0),
        }
    }

    /// Finds where to append: after the last whole append of the last segment. What a crashed writer left behind that is
    /// cut off.
    pub(crate) fn find_tail(&mut self) -> Result<()> {
        loop {
            // A segment that is gone was passed by retention, so others wrote behind it.
            let (mut reading, file, mut tail) = match self.tail.take().filter(|(s, ..)| s.path.exists()) {
                Some(known) => known,
                None => self.open_last()?,
            };
            if reading.len()? != tail.byte {
                tail = segment::walk(&mut reading, tail)?;
            }
            let rolled = tail.next_offset > reading.base && segment::path(&self.dir, tail.next_offset).exists();
            if rolled {
                continue;
            }
            if reading.len()? > tail.byte {
                tracing::warn!(file = %reading.path.display(), "cutting off an unfinished append at byte {}", tail.byte);
                file.truncate(tail.byte)?;
                file.sync()?;
                reading.forget();
            }
            self.tail = Some((reading, file, tail));
            return Ok(());
        }
    }

    fn open_last(&self) -> Result<(Segment, DurableFile, Tail)> {
        let base = segment::list(&self.dir)?.last().copied().unwrap_or(0);
        let path = segment::path(&self.dir, base);
        self.open_segment(&path, base)
    }

    fn open_segment(&self, path: &Path, base: i64) -> Result<(Segment, DurableFile, Tail)> {
        let file = DurableFile::open(What::Log, path)?;
        durable::sync_dir(What::Log, &self.dir)?;
        let reading = Segment::open(&self.dir, base)?
            .ok_or_else(|| FileError::new("open", path, std::io::Error::from(std::io::ErrorKind::NotFound)))?;
        Ok((reading, file, Tail::of_empty(base)))
    }

    /// Closes the segment and begins the next, if `bytes` more are too many for it; whether they were.
    pub(crate) fn make_room(&mut self, topic: &TopicMeta, bytes: u64) -> Result<bool> {
        let is_full = |tail: &Tail| tail.byte > 0 && tail.byte + bytes > topic.segment_bytes;
        match self.tail.take_if(|(_, _, tail)| is_full(tail)) {
            Some((_, file, tail)) => {
                file.sync()?;
                self.tail = Some(self.open_segment(&segment::path(&self.dir, tail.next_offset), tail.next_offset)?);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Deletes whole segments past their retention, oldest first, never the last.
    pub(crate) fn retain(&self, topic: &TopicMeta, now_ms: i64) -> Result<()> {
        if topic.retention_ms.is_none() && topic.retention_bytes.is_none() {
            return Ok(());
        }
        let bases = segment::list(&self.dir)?;
        let mut sizes = Vec::with_capacity(bases.len());
        for base in &bases {
            let path = segment::path(&self.dir, *base);
            sizes.push(fs::metadata(&path).map_err(|e| FileError::new("look at", &path, e))?.len());
        }
        let mut held: u64 = sizes.iter().sum();
        for (base, size) in bases.iter().zip(sizes).take(bases.len().saturating_sub(1)) {
            let too_large = topic.retention_bytes.is_some_and(|limit| held > limit);
            let too_old = match topic.retention_ms {
                Some(age) if !too_large => newest(&self.dir, *base)?.is_some_and(|t| t < now_ms.saturating_sub(age)),
                _ => false,
            };
            if !(too_large || too_old) {
                break;
            }
            if let Some(name) = segment::path(&self.dir, *base).file_name() {
                Own::given(&self.dir).remove(What::Log, name)?;
            }
            held -= size;
        }
        Ok(durable::sync_dir(What::Log, &self.dir)?)
    }
}

/// The newest timestamp in a segment.
fn newest(dir: &Path, base: i64) -> Result<Option<i64>> {
    let Some(mut segment) = Segment::open(dir, base)? else { return Ok(None) };
    let tail = segment::walk(&mut segment, Tail::of_empty(base))?;
    Ok((tail.max_timestamp > i64::MIN).then_some(tail.max_timestamp))
}

/// Cuts `records` into batches.
pub(crate) fn split<'a>(topic: &TopicMeta, records: &'a [Record]) -> Result<Vec<&'a [Record]>> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        let size = record.key.as_ref().map_or(0, Bytes::len)
            + record.value.as_ref().map_or(0, Bytes::len)
            + record.headers.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Bytes::len)).sum::<usize>();
        if size > MAX_RECORD {
            let what = format!("a record of {size} bytes; at most {MAX_RECORD} fit");
            return Err(SourceError::Topic { topic: topic.topic.clone(), what });
        }
        if at > from && (at - from >= BATCH_RECORDS || bytes + size > BATCH_BYTES) {
            batches.push(&records[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < records.len() {
        batches.push(&records[from..]);
    }
    Ok(batches)
}

/// What a batch is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// An append that counts as it is.
    Append,
    /// A transaction.
    Transaction,
    /// The end of one: the batch is the mark itself.
    Mark,
}

/// The bytes of a batch from offset `base` on.
pub(crate) fn encode(topic: &TopicMeta, batch: &[Record], base: i64, of: Of) -> Result<BytesMut> {
    let (producer_id, producer_epoch) = match of {
        Of::Append => (records::NO_PRODUCER_ID, records::NO_PRODUCER_EPOCH),
        // One is enough: no transaction begins before another is over.
        Of::Transaction | Of::Mark => (0, 0),
    };
    let mut encoded = Vec::with_capacity(batch.len());
    for (i, record) in batch.iter().enumerate() {
        let mut headers = IndexMap::with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            if headers.insert(StrBytes::from_string(key.clone()), value.clone()).is_some() {
                let what = format!("a record with two headers '{key}'; the keys must differ");
                return Err(SourceError::Topic { topic: topic.topic.clone(), what });
            }
        }
        encoded.push(records::Record {
            transactional: of != Of::Append,
            control: of == Of::Mark,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id,
            producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: base + i as i64,
            // The encoder keeps records in one batch whose offset and sequence run in step.
            sequence: records::NO_SEQUENCE.wrapping_add(i as i32),
            timestamp: record.timestamp_ms.unwrap_or(records::NO_TIMESTAMP),
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
        });
    }
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut buffer, &encoded, &options).map_err(|e| SourceError::Topic {
        topic: topic.topic.clone(),
        what: format!("a record that cannot be encoded ({e})"),
    })?;
    Ok(buffer)
}
