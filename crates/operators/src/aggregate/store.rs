//! Writes the segment of a fold.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use futures::StreamExt;

use super::plans::{Level, Plans};
use super::stored::SegmentWriter;
use crate::error::{Error, Result};
use crate::segment::{SegmentContent, Written};

/// Runs that are to become one a pane, in a segment.
pub(super) struct Content {
    plans: Arc<Plans>,
    operator: String,
    levels: Vec<Level>,
    /// By pane, how many of its stored runs stay.
    keeps: BTreeMap<i64, usize>,
}

impl Content {
    /// The runs of `levels`, the oldest first.
    pub fn new(plans: Arc<Plans>, operator: &str, levels: Vec<Level>, keeps: BTreeMap<i64, usize>) -> Self {
        Self { plans, operator: operator.to_owned(), levels, keeps }
    }

    async fn merge(self, out: &mut dyn Write) -> Result<Written> {
        let Self { plans, operator, levels, keeps } = self;
        let mut writer = SegmentWriter::try_new(out, &plans.state_schema(), plans.batch_rows())?;
        let mut batches = plans.reduce_stream(levels)?;
        let mut open = None;
        while let Some(batch) = batches.next().await {
            let batch = plans.positional(&batch.map_err(Error::datafusion(&operator, "store state"))?)?;
            let panes: &Int64Array = batch.column(0).as_primitive::<Int64Type>();
            let mut from = 0;
            for stretch in panes.values().chunk_by(|a, b| a == b) {
                if open != Some(stretch[0]) {
                    open = Some(stretch[0]);
                    writer.begin(stretch[0], keeps.get(&stretch[0]).copied().unwrap_or(0));
                }
                writer.write(batch.slice(from, stretch.len()))?;
                from += stretch.len();
            }
        }
        writer.finish()
    }
}

impl SegmentContent for Content {
    fn write(self: Box<Self>, out: &mut dyn Write) -> Result<Written> {
        futures::executor::block_on(self.merge(out))
    }
}
