//! The state of an aggregate: for each pane its runs, oldest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use arrow::array::{AsArray, Int64Array, RecordBatch};

use super::pane::Panes;
use super::sort;
use crate::error::{Error, Result};

/// From this many runs on a pane is looked at for what can be reduced.
const MANY: usize = 8;

/// A run is worth merging with those after it unless it has more than this many times their rows.
const RATIO: usize = 4;

/// Runs by pane. A run is state rows of one pane, sorted by group, that share no memory with others.
#[derive(Debug, Default)]
pub(super) struct Runs {
    panes: BTreeMap<i64, Pane>,
    /// The panes with arrivals.
    unsettled: BTreeSet<i64>,
    bytes: usize,
    rows: usize,
}

#[derive(Debug, Default)]
struct Pane {
    settled: Vec<RecordBatch>,
    /// Runs that have come and not been looked at, oldest first.
    arrivals: VecDeque<RecordBatch>,
}

impl Pane {
    fn runs(&self) -> impl Iterator<Item = &RecordBatch> {
        self.settled.iter().chain(&self.arrivals)
    }
}

/// The rows of each pane in `batch`, whose first column has the panes in ascending order, in arrays of their own.
pub(super) fn by_pane(batch: &RecordBatch, operator: &str) -> Result<Vec<(i64, RecordBatch)>> {
    let panes: Option<&Int64Array> = batch.column(0).as_primitive_opt();
    let panes = panes.map(|p| p.values()).filter(|p| p.is_sorted() && batch.column(0).null_count() == 0);
    let Some(panes) = panes else {
        let detail = "its rows are not in the order of their panes".to_owned();
        return Err(Error::StateShape { operator: operator.to_owned(), detail });
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for stretch in panes.chunk_by(|a, b| a == b) {
        let to = from + stretch.len();
        let indices: Vec<u32> = (from as u32..to as u32).collect();
        parts.push((stretch[0], sort::copy(batch, &indices)?));
        from = to;
    }
    Ok(parts)
}

/// From which run on the runs of a pane should become one, if any. A function of their numbers of rows alone, and the same
/// for a prefix of runs that was left alone: so that runs which are put in one by one, by whomever, end up the same.
///
/// Small runs merge often and large ones rarely: what is left alone falls by [`RATIO`] from run to run, so that there are
/// never more than [`MANY`] and a few runs, and a row is merged a number of times that grows with the logarithm of rows.
fn fold_from(runs: &[RecordBatch]) -> Option<usize> {
    if runs.len() < MANY {
        return None;
    }
    let mut after = 0;
    let mut from = None;
    for at in (0..runs.len() - 1).rev() {
        after += runs[at + 1].num_rows();
        if runs[at].num_rows() <= RATIO * after {
            from = Some(at);
        }
    }
    from
}

impl Runs {
    /// A new run for `pane`, after all that it has. It is settled by the rounds.
    pub fn arrive(&mut self, pane: i64, run: RecordBatch) {
        self.count(&run);
        self.panes.entry(pane).or_default().arrivals.push_back(run);
        self.unsettled.insert(pane);
    }

    /// Settles one arrival of each pane that has any, and says which panes are then to be reduced, from which run on;
    /// none when nothing is left to settle.
    pub fn next_round(&mut self) -> Option<Vec<(i64, usize)>> {
        if self.unsettled.is_empty() {
            return None;
        }
        let mut due = Vec::new();
        let panes = &mut self.panes;
        self.unsettled.retain(|number| {
            let Some(pane) = panes.get_mut(number) else { return false };
            pane.settled.extend(pane.arrivals.pop_front());
            due.extend(fold_from(&pane.settled).map(|from| (*number, from)));
            !pane.arrivals.is_empty()
        });
        Some(due)
    }

    /// The panes of several runs that will get no more, since `watermark` has passed them, and that several windows ask
    /// for: all their runs are worth reducing once, before each of those windows does it.
    pub fn complete(&self, panes: &Panes, watermark: i64) -> Vec<(i64, usize)> {
        let passed = self.panes.range(..watermark).filter(|(pane, _)| panes.pane_end(**pane) <= watermark);
        let several = passed.filter(|(_, pane)| panes.overlap() && pane.settled.len() > 1);
        several.map(|(&pane, _)| (pane, 0)).collect()
    }

    /// Takes out the settled runs of `pane` from the `from`-th on.
    pub fn take_from(&mut self, pane: i64, from: usize) -> Vec<RecordBatch> {
        let taken = self.panes.get_mut(&pane).map(|pane| pane.settled.split_off(from)).unwrap_or_default();
        taken.iter().for_each(|run| self.discount(run));
        taken
    }

    /// Puts a reduced run behind the settled ones of `pane`.
    pub fn put(&mut self, pane: i64, run: RecordBatch) {
        self.count(&run);
        self.panes.entry(pane).or_default().settled.push(run);
    }

    /// The runs of the panes in `range`: panes in time order, runs oldest first.
    pub fn range(&self, range: Range<i64>) -> impl Iterator<Item = &RecordBatch> {
        self.panes.range(range).flat_map(|(_, pane)| pane.runs())
    }

    /// The start of the first pane.
    pub fn first(&self) -> Option<i64> {
        self.panes.keys().next().copied()
    }

    /// The starts of the windows that hold rows and end after `closed`, at or before `watermark`, ascending.
    pub fn windows_due(&self, panes: &Panes, closed: Option<i64>, watermark: i64) -> BTreeSet<i64> {
        // Later panes start at or after the watermark: no window that holds them can have ended.
        let due = self.panes.range(..watermark);
        due.flat_map(|(&pane, _)| panes.ends(pane, closed, watermark)).map(|end| panes.start(end)).collect()
    }

    /// Drops the panes that no window needs which ends after `watermark`.
    pub fn drop_closed(&mut self, panes: &Panes, watermark: i64) {
        while let Some(first) = self.panes.first_entry()
            && panes.last_end(*first.key()) <= watermark
        {
            let (number, pane) = first.remove_entry();
            self.unsettled.remove(&number);
            pane.runs().for_each(|run| self.discount(run));
        }
    }

    /// The n-th runs of all panes, for each n, in groups of whole runs that have few more than `rows` rows.
    pub fn levels(&self, rows: usize) -> Vec<Vec<&RecordBatch>> {
        let depth = self.panes.values().map(|pane| pane.runs().count()).max().unwrap_or(0);
        let mut groups: Vec<Vec<&RecordBatch>> = Vec::new();
        for level in 0..depth {
            let mut size = rows;
            for run in self.panes.values().filter_map(|pane| pane.runs().nth(level)) {
                if size >= rows {
                    groups.push(Vec::new());
                    size = 0;
                }
                size += run.num_rows();
                groups.last_mut().into_iter().for_each(|group| group.push(run));
            }
        }
        groups
    }

    /// Bytes of all runs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows of all runs.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    fn count(&mut self, run: &RecordBatch) {
        self.bytes += run.get_array_memory_size();
        self.rows += run.num_rows();
    }

    fn discount(&mut self, run: &RecordBatch) {
        self.bytes = self.bytes.saturating_sub(run.get_array_memory_size());
        self.rows = self.rows.saturating_sub(run.num_rows());
    }
}
