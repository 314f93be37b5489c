//! The loop's part of upkeep: between two batches, and at its end.

use sluicebox_checkpoint::records::Commit;
use sluicebox_upkeep::compact::Writer;

use super::Engine;
use crate::EngineError;

impl Engine {
    /// Between two batches: exchanges what is ready, and lets a task look for more.
    pub(super) async fn compact_between(&mut self) -> Result<(), EngineError> {
        let is_settled = self.is_settled();
        let run = Writer {
            checkpoint: &self.config.checkpoint,
            query_id: &self.metadata.id,
            epoch: self.lock.epoch.epoch,
            clock: self.config.clock.as_ref(),
            newest: self.last.as_ref(),
            is_settled,
        };
        Ok(self.compaction.between(&run).await?)
    }

    /// At the end of a run, which was `stopped` or has ended by itself.
    pub(super) async fn compact_at_end(&mut self, stopped: bool) -> Result<(), EngineError> {
        let (is_settled, to_end) = (self.is_settled(), self.available_now());
        let run = Writer {
            checkpoint: &self.config.checkpoint,
            query_id: &self.metadata.id,
            epoch: self.lock.epoch.epoch,
            clock: self.config.clock.as_ref(),
            newest: self.last.as_ref(),
            is_settled,
        };
        Ok(self.compaction.at_end(&run, stopped, to_end).await?)
    }

    /// Whether all that the newest commit names is published and of the pipeline that runs.
    fn is_settled(&self) -> bool {
        let settled = |commit: &Commit| commit.pipeline == self.adopted.number && commit.pending.is_empty();
        self.is_live() && self.last.as_ref().is_some_and(settled)
    }
}
