//! Stages the rows of tables while the tables below are computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluicebox_checkpoint::records::StagedOutput;
use sluicebox_sinks::BatchKey;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::RuntimeError;
use crate::graph::{Route, TableOutput, TableSink};
use crate::outputs::{Job, Outputs};

/// Jobs that run, in the order in which their files are named in the commit.
pub type StagingJobs = Vec<JoinHandle<Result<Option<StagedOutput>, RuntimeError>>>;

/// Lots of rows that wait for a file's writer: it is not to stand still while the next one is made.
const WAITING: usize = 2;

/// Bytes of rows that are to be written, beyond which no other table is computed until some of them are.
const UNWRITTEN: usize = 256 << 20;

/// The bytes of rows that staging jobs hold until they have written them.
#[derive(Debug, Default)]
pub struct Held {
    bytes: AtomicUsize,
    fewer: Notify,
}

/// The bytes of one job, for as long as it lives.
struct Share {
    held: Arc<Held>,
    bytes: usize,
}

impl Held {
    /// Counts `bytes` until what it gives is dropped.
    fn share(self: &Arc<Self>, bytes: usize) -> Share {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Share { held: Arc::clone(self), bytes }
    }

    /// Waits until the jobs hold no more than `most` bytes. One may wait at a time.
    async fn until(&self, most: usize) {
        while self.bytes.load(Ordering::Acquire) > most {
            self.fewer.notified().await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        // If nobody waits yet, whoever does next looks again at once.
        self.held.fewer.notify_one();
    }
}

/// Starts the jobs of one batch.
#[derive(Debug)]
pub struct Stager<'a> {
    /// Where the rows go.
    pub outputs: &'a Outputs,
    /// The query whose files they are.
    pub query_id: String,
    /// The epoch of the run.
    pub epoch: u64,
    /// The batch.
    pub batch_id: u64,
    /// The jobs that were started.
    pub staging: &'a mut StagingJobs,
    /// What all jobs hold.
    pub held: Arc<Held>,
}

impl Stager<'_> {
    /// Starts `job`.
    pub fn start(&mut self, job: Job) {
        let (query_id, epoch, batch_id) = (self.query_id.clone(), self.epoch, self.batch_id);
        let share = self.held.share(job.bytes());
        let job = move || {
            let staged = job.stage(&BatchKey { batch_id, query_id: &query_id, epoch });
            drop(share);
            staged
        };
        self.staging.push(tokio::task::spawn_blocking(job));
    }
}

impl TableSink for Stager<'_> {
    fn table(&mut self, table: &TableOutput) -> Result<(), RuntimeError> {
        if table.failed.is_some() || table.failed_row().is_some() || !self.outputs.writes(&table.table) {
            return Ok(());
        }
        if !table.rows.is_empty() {
            self.start(self.outputs.table_job(&table.table, &table.rows)?);
        }
        if !table.quarantined.is_empty() {
            self.start(self.outputs.quarantine_job(&table.table, table.quarantined.clone()));
        }
        if !table.late.is_empty() {
            self.start(self.outputs.late_job(&table.table, table.late.clone()));
        }
        Ok(())
    }

    /// Rows are written as they come: if an expectation then fails the batch, what was staged is swept with the rest of it.
    fn route(&mut self, table: &str) -> Result<Route, RuntimeError> {
        if !self.outputs.writes(table) {
            return Ok(Route::Discard);
        }
        let (to, from) = mpsc::channel(WAITING);
        self.start(self.outputs.stream_job(table, from)?);
        Ok(Route::Send(to))
    }

    /// Its jobs have the rows.
    fn lets_go(&self) -> bool {
        true
    }

    async fn ready(&mut self) {
        self.held.until(UNWRITTEN).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_next_table_waits_until_there_is_less_to_write() {
        let held = Arc::new(Held::default());
        let (large, small) = (held.share(10), held.share(5));
        assert!(held.until(12).now_or_never().is_none());
        assert!(held.until(15).now_or_never().is_some());
        drop(small);
        assert!(held.until(12).now_or_never().is_some());
        let other = Arc::clone(&held);
        #[expect(clippy::disallowed_methods, reason = "the test waits for the task below")]
        let waits = tokio::spawn(async move { other.until(0).await });
        tokio::task::yield_now().await;
        // As a thread that writes does.
        std::thread::spawn(move || drop(large)).join().unwrap();
        waits.await.unwrap();
    }
}
