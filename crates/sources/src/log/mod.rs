//! The embedded log: topics, partitions and offsets as Kafka has them, in a folder of Kafka's own record batches.
//!
//! ```text
//! <root>/@log.json                                   id of the log
//! <root>/@lock                                       held while topics are made or deleted
//! <root>/<topic>/@topic.json                         id, partitions, retention; a topic exists when this file does
//! <root>/<topic>/<partition>/@lock                   held for each append
//! <root>/<topic>/<partition>/<base offset>.log       record batches (version 2), one after the other
//! ```
//!
//! Several processes may append and read at once. Readers take no lock: they stop before a batch that is not wholly
//! there, or whose checksum does not fit, and look again later. What has to be there wholly or not at all is appended as a
//! transaction ([`Transactions`]): readers stop before one without its mark. **A crash** of a writer leaves at most such a batch,
//! or such a transaction, at the end of the last segment; the next append cuts it off, under the lock. A batch once handed to a
//! reader stays: the reader syncs what it reads before it hands it out. Segments are deleted whole, oldest first; the log start is
//! the first segment's name.

mod check;
mod meta;
mod reader;
mod segment;
mod source;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sluicebox_core::Clock;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, DurableFile, FileError, Own};

use crate::error::{LONGEST_TOPIC, Result, SourceError};
use crate::source::Bounds;
pub use check::{SegmentSummary, check_segment, seal_batch};
use meta::{LOCK_FILE, LOG_FILE, LogMeta, TOPIC_FILE};
pub use meta::{TopicMeta, TopicOptions};
pub use source::LogSource;
pub use transaction::{Mark, Transaction, Transactions};
use writer::Writer;
pub use writer::{Fsync, Record};

/// The embedded log below a folder. Cheap to clone; clones share their writers.
///
/// Its calls block on files: from async code call them by `tokio::task::spawn_blocking`.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    log_id: String,
    clock: Arc<dyn Clock>,
    fsync: Fsync,
    writers: Mutex<Writers>,
}

/// By topic and partition.
type Writers = BTreeMap<(String, i32), Arc<Mutex<OpenWriter>>>;

#[derive(Debug)]
struct OpenWriter {
    topic: TopicMeta,
    writer: Writer,
}

impl EmbeddedLog {
    /// Opens the log below `root`, made if it is not there. Appends are durable when they return.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or is damaged.
    pub fn open(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_with(root, clock, Fsync::EachAppend)
    }

    /// As [`open`](Self::open), with a choice of when appends become durable.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(root: impl Into<PathBuf>, clock: Arc<dyn Clock>, fsync: Fsync) -> Result<Self> {
        let root = root.into();
        durable::create_dir_durable(What::Topic, &root)?;
        let path = root.join(LOG_FILE);
        let found = match meta::read::<LogMeta>(&path)? {
            Some(found) => Some(found),
            None => {
                meta::create(&path, &LogMeta::new(uuid::Uuid::new_v4().to_string()))?;
                // Of two that made it at once, one's id is there.
                meta::read(&path)?
            }
        };
        let log_id = found.ok_or_else(|| not_found(&path))?.log_id;
        Ok(Self { inner: Arc::new(Inner { root, log_id, clock, fsync, writers: Mutex::default() }) })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The log's id, made with it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.log_id
    }

    /// Makes a topic of `partitions` partitions; one that is there with as many is left as it is.
    ///
    /// # Errors
    /// When the name is not one that Kafka takes, the topic is there with another number of partitions, or a file
    /// operation fails.
    pub fn create_topic(&self, topic: &str, partitions: i32, options: TopicOptions) -> Result<TopicMeta> {
        check_name(topic)?;
        if partitions < 1 {
            return Err(wrong(topic, format!("{partitions} partitions; at least 1")));
        }
        let _lock = self.lock()?;
        let dir = self.topic_dir(topic);
        let path = dir.join(TOPIC_FILE);
        if let Some(found) = meta::read::<TopicMeta>(&path)? {
            if found.partitions != partitions {
                let there = found.partitions;
                return Err(wrong(topic, format!("it is there with {there} partitions, not {partitions}")));
            }
            return Ok(found);
        }
        self.make_partitions(topic, 0..partitions)?;
        let id = uuid::Uuid::new_v4().to_string();
        let made = TopicMeta::new(topic, id, partitions, self.inner.clock.now_micros(), options);
        meta::create(&path, &made)?;
        Ok(made)
    }

    /// Gives a topic more partitions, `total` in all.
    ///
    /// # Errors
    /// When the topic is not there or has more already, or a file operation fails.
    pub fn add_partitions(&self, topic: &str, total: i32) -> Result<TopicMeta> {
        let _lock = self.lock()?;
        let mut found = self.existing(topic)?;
        if total < found.partitions {
            return Err(wrong(topic, format!("it has {} partitions, which cannot become {total}", found.partitions)));
        }
        self.make_partitions(topic, found.partitions..total)?;
        found.partitions = total;
        meta::replace(&self.topic_dir(topic).join(TOPIC_FILE), &found)?;
        self.writers().retain(|(t, _), _| t != topic);
        Ok(found)
    }

    /// Deletes a topic with all it holds. No other process may be appending to it.
    ///
    /// # Errors
    /// When the topic is not there or a file operation fails.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let _lock = self.lock()?;
        self.existing(topic)?;
        let root = Own::given(&self.inner.root);
        if let Some(dir) = root.folder(topic)? {
            // Without this file there is no topic, so a crash below leaves none.
            dir.remove(What::Topic, TOPIC_FILE)?;
            durable::sync_dir(What::Topic, dir.path())?;
        }
        root.remove_tree(What::Topic, topic)?;
        self.writers().retain(|(t, _), _| t != topic);
        Ok(durable::sync_dir(What::Topic, &self.inner.root)?)
    }

    /// A topic, if it is there.
    ///
    /// # Errors
    /// When its description cannot be read.
    pub fn topic(&self, topic: &str) -> Result<Option<TopicMeta>> {
        if check_name(topic).is_err() {
            return Ok(None);
        }
        meta::read(&self.topic_dir(topic).join(TOPIC_FILE))
    }

    /// All topics.
    ///
    /// # Errors
    /// When the folder or a description cannot be read.
    pub fn topics(&self) -> Result<BTreeMap<String, TopicMeta>> {
        let root = &self.inner.root;
        let mut out = BTreeMap::new();
        for entry in durable::list(What::Topic, root)? {
            let name = entry.file_name();
            if let Some(name) = name.to_str()
                && let Some(found) = self.topic(name)?
            {
                out.insert(name.to_owned(), found);
            }
        }
        Ok(out)
    }

    /// What a partition holds now.
    ///
    /// # Errors
    /// When its files cannot be read, or are damaged.
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds> {
        reader::TailCursor::new(self.partition_dir(topic, partition)).bounds()
    }

    /// Appends `records` to a partition and returns the offset of the first; the others follow without a gap. With
    /// [`Fsync::EachAppend`] they are durable then.
    ///
    /// # Errors
    /// When the topic or partition is not there, a record cannot be written as Kafka would, or a file operation fails: how
    /// many of the records are in the log is then unknown.
    pub fn append(&self, topic: &str, partition: i32, records: &[Record]) -> Result<i64> {
        let open = self.writer(topic, partition)?;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let OpenWriter { topic, writer } = &mut *open;
        writer.append(topic, records, self.inner.fsync, self.inner.clock.now_micros() / 1000)
    }

    /// The transactions that `name` makes in a partition.
    ///
    /// # Errors
    /// When the topic or partition is not there, or a folder cannot be synced.
    pub fn transactions(&self, topic: &str, partition: i32, name: &str) -> Result<Transactions> {
        let writer = self.writer(topic, partition)?;
        // Who made the topic may have been killed before it was durable, and what is appended must not go with it.
        let (root, of_topic) = (self.inner.root.as_path(), self.topic_dir(topic));
        let above = root.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for dir in [above, root, of_topic.as_path()] {
            durable::sync_dir(What::Topic, dir)?;
        }
        Ok(Transactions::new(Arc::clone(&self.inner.clock), writer, name))
    }

    /// Makes everything appended by this handle and its clones durable.
    ///
    /// # Errors
    /// When a sync fails.
    pub fn flush(&self) -> Result<()> {
        let open: Vec<_> = self.writers().values().cloned().collect();
        open.iter().try_for_each(|w| w.lock().unwrap_or_else(PoisonError::into_inner).writer.flush())
    }

    fn writer(&self, topic: &str, partition: i32) -> Result<Arc<Mutex<OpenWriter>>> {
        let key = (topic.to_owned(), partition);
        if let Some(open) = self.writers().get(&key) {
            return Ok(Arc::clone(open));
        }
        let meta = self.existing(topic)?;
        if !(0..meta.partitions).contains(&partition) {
            return Err(wrong(topic, format!("no partition {partition}; it has 0 to {}", meta.partitions - 1)));
        }
        let open = OpenWriter { topic: meta, writer: Writer::new(self.partition_dir(topic, partition)) };
        let open = Arc::new(Mutex::new(open));
        Ok(Arc::clone(self.writers().entry(key).or_insert(open)))
    }

    fn writers(&self) -> std::sync::MutexGuard<'_, Writers> {
        self.inner.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn existing(&self, topic: &str) -> Result<TopicMeta> {
        self.topic(topic)?.ok_or_else(|| wrong(topic, "it does not exist; create it first".to_owned()))
    }

    fn make_partitions(&self, topic: &str, partitions: std::ops::Range<i32>) -> Result<()> {
        partitions
            .into_iter()
            .try_for_each(|p| Ok(durable::create_dir_durable(What::Topic, &self.partition_dir(topic, p))?))
    }

    fn topic_dir(&self, topic: &str) -> PathBuf {
        self.inner.root.join(topic)
    }

    fn partition_dir(&self, topic: &str, partition: i32) -> PathBuf {
        self.topic_dir(topic).join(partition.to_string())
    }

    fn lock(&self) -> Result<File> {
        let path = self.inner.root.join(LOCK_FILE);
        let file = DurableFile::open(What::Topic, &path)?.into_file();
        file.lock().map_err(|e| FileError::new("lock", &path, e))?;
        Ok(file)
    }
}

/// Kafka's own rule, which also keeps names safe as folders.
fn check_name(topic: &str) -> Result<()> {
    let legal = topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if legal && (1..=LONGEST_TOPIC).contains(&topic.len()) && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(wrong(
        topic,
        format!("a topic's name has 1 to {LONGEST_TOPIC} of a-z, A-Z, 0-9, '.', '_' and '-', and is not '.' or '..'"),
    ))
}

fn wrong(topic: &str, what: String) -> SourceError {
    SourceError::Topic { topic: topic.to_owned(), what }
}

fn not_found(path: &Path) -> SourceError {
    FileError::new("read", path, io::Error::from(io::ErrorKind::NotFound)).into()
}
