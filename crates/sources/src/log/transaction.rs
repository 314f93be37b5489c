//! Appends that are there wholly or not at all, however many batches they take.
//!
//! ```text
//!  batch ─ batch ─ batch ─ sync ─ mark ─ sync        under the partition's lock, in one segment
//! ```
//!
//! The batches have Kafka's bit of a transaction. The **mark** is its control batch that says COMMIT; it also carries a name and a note of its
//! writer. Since the writer holds the lock, no two transactions overlap, and nothing stands between the batches of one. So a reader that meets
//! such a batch looks ahead for the mark, and hands out nothing before it finds it. A writer that finds no mark at the end of the log cuts off
//! the batches that lack one: no reader has seen them.
//!
//! The newest mark of a name is the last act of this name, in whatever process. A writer learns it under the lock ([`Transaction::newest`]), and
//! so sees whether another writer of the name has been there since.
//!
//! **A crash** before the mark is whole leaves batches that do not count. The batches are durable before the mark is written, so a mark that
//! survives a power loss proves that its batches did.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sluicebox_core::Clock;
use sluicebox_durable::fault::What;
use sluicebox_durable::{DurableFile, FileError};

use super::OpenWriter;
use super::segment::{self, At, Segment, Tail};
use super::writer::{self, Of, Record};
use crate::batch::{self, BatchHeader};
use crate::error::Result;

/// The headers of a mark.
const NAME: &str = "sluicebox.name";
const NOTE: &str = "sluicebox.note";
/// Key and value of the record in Kafka's control batch that says COMMIT: version and kind; version and epoch of the coordinator.
const COMMIT_KEY: &[u8] = &[0, 0, 0, 1];
const COMMIT_VALUE: &[u8] = &[0; 6];

/// The end of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The offset that the mark itself has: no other has it.
    pub offset: i64,
    /// What was given to [`Transaction::commit`].
    pub note: String,
}

/// The transactions that a name makes in one partition of the embedded log.
///
/// ```
/// use std::sync::Arc;
///
/// use sluicebox_core::SystemClock;
/// use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let log = EmbeddedLog::open(dir.path(), Arc::new(SystemClock::new()))?;
/// log.create_topic("paid", 1, TopicOptions::default())?;
/// let mut transactions = log.transactions("paid", 0, "orders")?;
/// if let Some(mut transaction) = transactions.begin()? {
///     assert_eq!(transaction.newest(), None);
///     transaction.append(&[Record::default(), Record::default()])?;
///     // Nobody sees the records yet.
///     assert_eq!(log.bounds("paid", 0)?.latest, 0);
///     transaction.commit("the first two")?;
/// }
/// assert_eq!(log.bounds("paid", 0)?.latest, 3, "two records and the mark");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Transactions {
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<OpenWriter>>,
    name: String,
    /// The newest mark of the name.
    newest: Option<Mark>,
    /// How far the partition was looked through for it.
    seen: Option<Place>,
}

/// A byte of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    base: i64,
    byte: u64,
}

impl Transactions {
    pub(super) fn new(clock: Arc<dyn Clock>, open: Arc<Mutex<OpenWriter>>, name: &str) -> Self {
        Self { clock, open, name: name.to_owned(), newest: None, seen: None }
    }

    /// Takes the partition's lock, and begins a transaction. `None` while another process holds the lock, as one that was stopped in the
    /// middle of an append does. Until the transaction is over, an append to the partition and a flush by this handle of the log or its clones
    /// wait for it: on the thread that holds the transaction, for ever.
    ///
    /// # Errors
    /// When a file operation fails, or the partition is damaged.
    pub fn begin(&mut self) -> Result<Option<Transaction<'_>>> {
        let Self { clock, open, name, newest, seen } = self;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lock) = open.writer.try_lock()? else { return Ok(None) };
        open.writer.find_tail()?;
        let now_ms = clock.now_micros() / 1000;
        let mut transaction = Transaction {
            open,
            name,
            newest,
            seen,
            now_ms,
            rows: None,
            at: Tail::of_empty(0),
            rolled: false,
            state: State::Open,
            _lock: lock,
        };
        transaction.look()?;
        Ok(Some(transaction))
    }
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of it counts.
    Open,
    /// The mark is being written: nobody knows whether it counts.
    Marking,
    /// It counts.
    Done,
}

/// A transaction that is not over. Dropped, it has not happened.
#[derive(Debug)]
pub struct Transaction<'t> {
    open: MutexGuard<'t, OpenWriter>,
    name: &'t str,
    newest: &'t mut Option<Mark>,
    seen: &'t mut Option<Place>,
    now_ms: i64,
    /// What its batches are written to; none before the first.
    rows: Option<DurableFile>,
    /// Where the next batch goes.
    at: Tail,
    /// Whether a segment was begun for it.
    rolled: bool,
    state: State,
    /// Held to the end.
    _lock: File,
}

impl Transaction<'_> {
    /// The newest mark of the name.
    #[must_use]
    pub fn newest(&self) -> Option<&Mark> {
        self.newest.as_ref()
    }

    /// When it began, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Looks through what was appended since it was last looked.
    fn look(&mut self) -> Result<()> {
        let writer = &self.open.writer;
        if let Some((segment, _, tail)) = &writer.tail {
            if let Some(found) = newest_mark(&writer.dir, self.name, *self.seen)? {
                *self.newest = Some(found);
            }
            *self.seen = Some(Place { base: segment.base, byte: tail.byte });
            self.at = *tail;
        }
        Ok(())
    }

    /// Appends `records`, which nobody sees before the transaction is over.
    ///
    /// # Errors
    /// When a record cannot be written as Kafka would, or a file operation fails. The transaction is of no use then.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let OpenWriter { topic, writer } = &mut *self.open;
        for records in writer::split(topic, records)? {
            let encoded = writer::encode(topic, records, self.at.next_offset, Of::Transaction)?;
            if self.rows.is_none() {
                // Once: it is in one segment, so that readers need not look for its mark in others.
                self.rolled = writer.make_room(topic, encoded.len() as u64)?;
                if let Some((_, _, tail)) = &writer.tail {
                    self.at = *tail;
                }
            }
            let path = segment_path(writer)?;
            let rows = match self.rows.take() {
                Some(rows) => rows,
                None => DurableFile::open_found(What::Transaction, path)?.ok_or_else(|| gone(path))?,
            };
            let written = rows.write_all_at(&encoded, self.at.byte);
            self.rows = Some(rows);
            written.map_err(|e| FileError::new("append to", path, e))?;
            self.at.byte += encoded.len() as u64;
            self.at.next_offset += records.len() as i64;
            self.at.max_timestamp = records.iter().filter_map(|r| r.timestamp_ms).fold(self.at.max_timestamp, i64::max);
        }
        Ok(())
    }

    /// Ends it: what was appended counts, and is durable. One without records leaves its mark alone.
    ///
    /// # Errors
    /// When a file operation fails: whether it counts is then to be found out by another one.
    pub fn commit(mut self, note: &str) -> Result<Mark> {
        let mark = Mark { offset: self.at.next_offset, note: note.to_owned() };
        let record = Record {
            timestamp_ms: Some(self.now_ms),
            key: Some(Bytes::from_static(COMMIT_KEY)),
            value: Some(Bytes::from_static(COMMIT_VALUE)),
            headers: [(NAME, self.name), (NOTE, note)].map(|(key, value)| header(key, value)).to_vec(),
        };
        let OpenWriter { topic, writer } = &mut *self.open;
        let encoded = writer::encode(topic, &[record], mark.offset, Of::Mark)?;
        match &self.rows {
            Some(rows) => rows.sync()?,
            None => {
                self.rolled = writer.make_room(topic, encoded.len() as u64)?;
                if let Some((_, _, tail)) = &writer.tail {
                    self.at = *tail;
                }
            }
        }
        let Some((segment, file, tail)) = &mut writer.tail else { return Err(gone(&writer.dir).into()) };
        // From here on a reader may have seen the mark, and nothing is taken back.
        self.state = State::Marking;
        file.write_all_at(&encoded, self.at.byte).map_err(|e| FileError::new("append to", &segment.path, e))?;
        file.sync()?;
        self.state = State::Done;
        let max_timestamp = self.at.max_timestamp.max(self.now_ms);
        *tail = Tail { byte: self.at.byte + encoded.len() as u64, next_offset: mark.offset + 1, max_timestamp };
        *self.seen = Some(Place { base: segment.base, byte: tail.byte });
        *self.newest = Some(mark.clone());
        writer.dirty = false;
        if self.rolled {
            // Only now, with a younger mark: the one before may be in what is deleted.
            writer.retain(topic, self.now_ms)?;
        }
        Ok(mark)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.state == State::Done {
            return;
        }
        let writer = &mut self.open.writer;
        // The next append would do it too. Until then readers would look at it again and again.
        if let (State::Open, Some(_), Some((_, file, tail))) = (self.state, &self.rows, &writer.tail)
            && let Err(error) = file.truncate(tail.byte)
        {
            tracing::debug!("a transaction is cut off by the next append: {error}");
        }
        writer.tail = None;
    }
}

fn header(key: &str, value: &str) -> (String, Option<Bytes>) {
    (key.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())))
}

/// The file of the last segment.
fn segment_path(writer: &writer::Writer) -> Result<&Path> {
    match &writer.tail {
        Some((segment, ..)) => Ok(&segment.path),
        None => Err(gone(&writer.dir).into()),
    }
}

fn gone(path: &Path) -> FileError {
    FileError::new("append to", path, std::io::Error::from(std::io::ErrorKind::NotFound))
}

/// The newest mark of `name` in the segments of `dir`, of those that stand behind what was seen.
fn newest_mark(dir: &Path, name: &str, seen: Option<Place>) -> Result<Option<Mark>> {
    for base in segment::list(dir)?.into_iter().rev() {
        let from = match seen {
            Some(seen) if base < seen.base => break,
            Some(seen) if base == seen.base => seen.byte,
            _ => 0,
        };
        let found = last_mark(dir, name, base, from)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The last mark of `name` in a segment, from a byte of it on. A segment is whole to its end: its last one was looked at under the lock, and
/// the others were synced when they were closed.
///
/// # Errors
/// When it has bytes that are no batch, or a mark that is damaged: the mark before it is not the newest.
fn last_mark(dir: &Path, name: &str, base: i64, from: u64) -> Result<Option<Mark>> {
    let Some(mut segment) = Segment::open(dir, base)? else { return Ok(None) };
    let len = segment.len()?;
    let (mut at, mut found) = (from, None);
    while let Ok(At::Batch(header)) = segment.at(at, len)? {
        if header.is_mark() {
            let Some(bytes) = segment.intact(at, &header, len)? else {
                return Err(segment.damaged(at, "the mark of a transaction whose checksum does not fit".into()));
            };
            if let Some(note) = note_of(name, &header, bytes) {
                found = Some(Mark { offset: header.base_offset, note });
            }
        }
        at += header.size as u64;
    }
    if at < len {
        return Err(segment.damaged(at, "no whole batch, where marks of transactions are looked for".into()));
    }
    Ok(found)
}

/// The note of a mark, if it is one of `name`.
fn note_of(name: &str, header: &BatchHeader, bytes: &[u8]) -> Option<String> {
    let headers = batch::control_headers(header, bytes)?;
    let text = |wanted: &str| {
        let mut headers = headers;
        let (_, value) = headers.find(|(key, _)| key == wanted)?;
        std::str::from_utf8(value?).ok().map(str::to_owned)
    };
    (text(NAME)? == name).then(|| text(NOTE)).flatten()
}
