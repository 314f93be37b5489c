//! What a fold writes.

use std::io::Write;
use std::sync::Arc;

use futures::StreamExt;

use super::super::plans::Plans;
use super::super::run::Run;
use super::super::stored::SegmentWriter;
use super::chain::ends;
use super::due::some;
use super::ending;
use crate::error::{Error, Result};
use crate::segment::{SegmentContent, Written};

/// Runs that are to become one, in a segment.
pub(super) struct Content {
    plans: Arc<Plans>,
    operator: String,
    runs: Vec<Run>,
    /// How many of the stored runs stay.
    keep: usize,
    /// What ends at or before this is left out.
    over: Option<i64>,
}

impl Content {
    /// `runs`, the oldest first, behind the first `keep` stored ones, without the sessions that end at or before `over`.
    pub fn new(plans: Arc<Plans>, operator: &str, runs: Vec<Run>, keep: usize, over: Option<i64>) -> Self {
        Self { plans, operator: operator.to_owned(), runs, keep, over }
    }

    async fn merge(self, out: &mut dyn Write) -> Result<Written> {
        let Self { plans, operator, runs, keep, over } = self;
        let mut writer = SegmentWriter::try_new(out, &plans.state_schema(), plans.batch_rows())?;
        let mut last_end = i64::MIN;
        writer.begin(last_end, keep);
        let mut sessions = plans.sessions(runs)?;
        while let Some(rows) = sessions.next().await {
            let rows = plans.positional(&rows.map_err(Error::datafusion(&operator, "store state"))?)?;
            if let Some(rows) = some(&rows, &ending(&rows, over, i64::MAX))? {
                last_end = ends(&rows).values().iter().copied().fold(last_end, i64::max);
                writer.write(rows)?;
            }
        }
        writer.name_run(last_end);
        writer.finish()
    }
}

impl SegmentContent for Content {
    fn write(self: Box<Self>, out: &mut dyn Write) -> Result<Written> {
        futures::executor::block_on(self.merge(out))
    }
}
