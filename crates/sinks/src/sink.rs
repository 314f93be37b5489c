//! The trait of sinks, which has two families.
//!
//! ```text
//!             naming: a folder of files           transactional: a topic, a database
//!  stage      final bytes below LOCATION          an Arrow file in the checkpoint          before the commit
//!  commit     names the files                     names the file                           in the checkpoint
//!  publish    gives them their final names        one transaction: rows and batch id       after the commit
//!  published  the newest batch with a file        the batch id that the store holds
//! ```
//!
//! A sink never votes on a commit. Whatever is committed is published, by this process or a later one, with as many retries as it takes. A
//! naming sink skips a file that already has its name. A transactional sink skips a batch whose id the store holds: the transaction of the
//! rows wrote it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::error::Result;
use crate::output::Staged;
use crate::owner::Owner;
use crate::publish::Check;
use crate::staged::BatchKey;
use crate::upkeep::Upkeep;

/// The sinks of a pipeline, by table.
pub type Sinks = BTreeMap<String, Arc<dyn Sink>>;

/// Which changes of a table a sink can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// New rows.
    Append,
    /// New images of rows, by key.
    Upsert {
        /// The columns of the key.
        key: Vec<String>,
    },
    /// All rows anew.
    Replace,
}

/// The rows of one table in one batch.
pub enum Rows<'r> {
    /// All of them.
    All(&'r [RecordBatch]),
    /// A few at a time, since they are more than are worth holding.
    Stream(&'r mut dyn Iterator<Item = RecordBatch>),
}

impl Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(rows) => f.debug_tuple("All").field(&rows.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Where rows of a table go.
///
/// Run the suite of the module `testing` (feature `testing`) over every implementation: it has a test for each promise below.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::datatypes::{DataType, Field, Schema};
/// use sluicebox_sinks::{BatchKey, ParquetOptions, ParquetTable, Rows, Sink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let columns = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
/// let table = ParquetTable::try_new("/data/orders", columns, Vec::new(), ParquetOptions::default())?;
/// let sink: Arc<dyn Sink> = Arc::new(table);
/// assert_eq!(sink.identity(), "the folder /data/orders");
/// // A batch without rows stages nothing.
/// let batch = BatchKey { batch_id: 0, query_id: "0f3a9c1e", epoch: 1 };
/// assert!(sink.stage(&batch, Rows::All(&[]))?.is_none());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Sink: Send + Sync + Debug {
    /// Which changes it can take.
    fn takes(&self) -> Takes {
        Takes::Append
    }

    /// What it is, for commits and people: `the folder /data/gold/orders`, `the Kafka topic orders`. Two sinks with one
    /// identity write to one place. It holds no secret.
    fn identity(&self) -> String;

    /// The folder of a naming sink; `None` for a transactional one.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Makes the store ready for the run of `epoch` and claims it for `owner`. An earlier run that still lives can publish
    /// nothing after this. May be called again by the same run: then it settles what an earlier call has left undecided.
    ///
    /// # Errors
    /// When the store cannot be reached, does not take such rows, or belongs to another owner or a later run.
    async fn open(&self, owner: &Owner, epoch: u64) -> Result<()>;

    /// Writes `rows`, in their order, where no reader sees them, and makes them durable. Blocking. `None` without rows.
    /// Staging the same batch again in the same epoch replaces what was staged.
    ///
    /// # Errors
    /// When the rows are not the table's, or cannot be written. What was staged until then is never published.
    fn stage(&self, batch: &BatchKey<'_>, rows: Rows<'_>) -> Result<Option<Staged>>;

    /// Makes the committed rows of `batch` visible, all at once or file by file. May be repeated, by this process or a
    /// later one: rows that are there are not added again. Batches are published in their order.
    ///
    /// # Errors
    /// When it cannot. [`Blamed::certainty`](sluicebox_core::Blamed::certainty) says whether the rows may be there all the
    /// same: after any error of a transactional sink, call [`open`](Self::open) and ask [`published`](Self::published).
    async fn publish(&self, batch: &BatchKey<'_>, staged: &Staged, check: Check) -> Result<()>;

    /// The newest batch of which the store holds rows; of a naming sink, maybe not all of them. Needs [`open`](Self::open)
    /// first.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn published(&self) -> Result<Option<u64>>;

    /// Removes what older epochs have staged. Only a run of `epoch` may call this, after its own first commit.
    ///
    /// # Errors
    /// When something cannot be removed.
    fn sweep(&self, epoch: u64) -> Result<()>;

    /// What a naming sink offers for the time after publishing; `None` if the store keeps itself in order.
    fn upkeep(&self) -> Option<&dyn Upkeep> {
        None
    }
}
