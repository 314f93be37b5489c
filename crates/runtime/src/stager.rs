//! Staging what tables give, while the tables below compute.

use sluicebox_checkpoint::records::OutputFiles;
use sluicebox_sinks::BatchKey;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::RuntimeError;
use crate::graph::{Route, TableOutput, TableSink};
use crate::outputs::{Job, Outputs};

/// Jobs that run, in the order in which their files are named in the commit.
pub type StagingJobs = Vec<JoinHandle<Result<Option<OutputFiles>, RuntimeError>>>;

/// Lots of rows that wait for a file's writer: it is not to stand still while the next one is made.
const WAITING: usize = 2;

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
}

impl Stager<'_> {
    /// Starts `job`.
    pub fn start(&mut self, job: Job) {
        let (query_id, epoch, batch_id) = (self.query_id.clone(), self.epoch, self.batch_id);
        let job = move || job.stage(&BatchKey { batch_id, query_id: &query_id, epoch });
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
}
