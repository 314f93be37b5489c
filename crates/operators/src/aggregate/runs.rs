//! The state of an aggregate: the runs of each pane, oldest first. Runs in segments are older than runs in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};

use super::pane::Panes;
use super::plans::{Level, Piece};
use super::run::Run;
use super::sort;
use super::stored::Stored;
use crate::error::{Error, Result};

/// From this many runs on a pane is looked at for what can be reduced.
const MANY: usize = 8;

/// A run is worth merging with those after it unless it has more than this many times their rows.
const RATIO: usize = 4;

/// Runs by pane.
#[derive(Debug, Default)]
pub(super) struct Runs {
    panes: BTreeMap<i64, Pane>,
    /// The panes with arrivals.
    unsettled: BTreeSet<i64>,
    /// The segments that have been attached and not been let go, oldest first.
    segments: Vec<Arc<Stored>>,
    bytes: usize,
    rows: usize,
}

#[derive(Debug, Default)]
struct Pane {
    /// Runs in segments, older than all others.
    stored: Vec<Run>,
    settled: Vec<Run>,
    /// Runs that have come and not been looked at, oldest first.
    arrivals: VecDeque<Run>,
}

impl Pane {
    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.stored.iter().chain(self.in_memory())
    }

    fn in_memory(&self) -> impl Iterator<Item = &Run> {
        self.settled.iter().chain(&self.arrivals)
    }

    /// How many of the stored runs stay as they are when those in memory are stored behind them. A run is merged with
    /// what comes after it unless it is larger, so that their sizes halve from run to run: a pane has few, and a row is
    /// written again a number of times that grows with the logarithm of rows.
    fn keep(&self) -> usize {
        let mut after: usize = self.in_memory().map(Run::rows).sum();
        let mut keep = self.stored.len();
        while keep > 0 && self.stored[keep - 1].rows() <= after {
            keep -= 1;
            after += self.stored[keep].rows();
        }
        keep
    }
}

/// The rows of each pane in `batch`, whose first column has the panes in ascending order, in arrays of their own, of at
/// most `batch_rows` rows.
pub(super) fn by_pane(batch: &RecordBatch, operator: &str, batch_rows: usize) -> Result<Vec<(i64, Vec<RecordBatch>)>> {
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
        let part = |at: usize| {
            let indices: Vec<u32> = (at as u32..to.min(at + batch_rows) as u32).collect();
            sort::copy(batch, &indices)
        };
        parts.push((stretch[0], (from..to).step_by(batch_rows).map(part).collect::<Result<_>>()?));
        from = to;
    }
    Ok(parts)
}

/// From which run on the runs of a pane should become one, if any. A function of their numbers of rows alone, and the same
/// for a prefix of runs that was left alone: so that runs which are put in one by one, by whomever, end up the same.
///
/// Small runs merge often and large ones rarely: what is left alone falls by [`RATIO`] from run to run, so that there are
/// never more than [`MANY`] and a few runs, and a row is merged a number of times that grows with the logarithm of rows.
fn fold_from(runs: &[Run]) -> Option<usize> {
    if runs.len() < MANY {
        return None;
    }
    let mut after = 0;
    let mut from = None;
    for at in (0..runs.len() - 1).rev() {
        after += runs[at + 1].rows();
        if runs[at].rows() <= RATIO * after {
            from = Some(at);
        }
    }
    from
}

impl Runs {
    /// A new run for `pane`, after all that it has. It is settled by the rounds.
    pub fn arrive(&mut self, pane: i64, run: Run) {
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
        let passed = self.panes.range(..watermark).filter(|(pane, _)| panes.pane_end(**pane) <= i128::from(watermark));
        let several = passed.filter(|(_, pane)| panes.overlap() && pane.settled.len() > 1);
        several.map(|(&pane, _)| (pane, 0)).collect()
    }

    /// Takes out the settled runs of `pane` from the `from`-th on.
    pub fn take_from(&mut self, pane: i64, from: usize) -> Vec<Run> {
        let taken = self.panes.get_mut(&pane).map(|pane| pane.settled.split_off(from)).unwrap_or_default();
        taken.iter().for_each(|run| self.discount(run));
        taken
    }

    /// Puts a reduced run behind the settled ones of `pane`.
    pub fn put(&mut self, pane: i64, run: Run) {
        self.count(&run);
        self.panes.entry(pane).or_default().settled.push(run);
    }

    /// The runs of the panes in `range`: panes in time order, runs oldest first.
    pub fn range(&self, range: Range<i64>) -> impl Iterator<Item = &Run> {
        self.panes.range(range).flat_map(|(_, pane)| pane.runs())
    }

    /// The start of the first pane.
    pub fn first(&self) -> Option<i64> {
        self.panes.keys().next().copied()
    }

    /// The ends of the windows that hold rows and end after `closed`, at or before `watermark`, ascending.
    pub fn windows_due(&self, panes: &Panes, closed: Option<i64>, watermark: i64) -> BTreeSet<i64> {
        // Later panes start at or after the watermark: no window that holds them can have ended.
        let due = self.panes.range(..watermark);
        due.flat_map(|(&pane, _)| panes.ends(pane, closed, watermark)).collect()
    }

    /// Drops the panes that no window needs which ends after `watermark`.
    pub fn drop_closed(&mut self, panes: &Panes, watermark: i64) {
        while let Some(first) = self.panes.first_entry()
            && panes.last_end(*first.key()) <= i128::from(watermark)
        {
            let (number, pane) = first.remove_entry();
            self.unsettled.remove(&number);
            pane.runs().for_each(|run| self.discount(run));
        }
    }

    /// What is to be stored: of every pane the runs in memory, behind those of its stored ones that are not worth keeping
    /// as they are, as levels; and by pane how many of the stored ones stay.
    pub fn to_store(&self) -> (Vec<Level>, BTreeMap<i64, usize>) {
        let mut levels = Vec::new();
        let mut keeps = BTreeMap::new();
        for (&number, pane) in self.panes.iter().filter(|(_, pane)| pane.in_memory().next().is_some()) {
            let keep = pane.keep();
            keeps.insert(number, keep);
            add_levels(&mut levels, pane.runs().skip(keep), None);
        }
        (levels, keeps)
    }

    /// Takes the runs of a segment that is behind all that have been attached. A pane is asked for by `wanted`.
    pub fn attach(&mut self, stored: &Arc<Stored>, wanted: impl Fn(i64) -> bool) {
        for entry in stored.runs().iter().filter(|entry| wanted(entry.pane)) {
            let run = Run::stored(stored, entry.first, usize::try_from(entry.rows).unwrap_or(usize::MAX));
            self.count(&run);
            let pane = self.panes.entry(entry.pane).or_default();
            let replaced = pane.stored.split_off(entry.keep.min(pane.stored.len()));
            pane.stored.push(run);
            replaced.iter().for_each(|run| self.discount(run));
        }
        self.segments.push(Arc::clone(stored));
    }

    /// Forgets the runs in memory, which have been stored.
    pub fn forget_memory(&mut self) {
        let mut gone = Vec::new();
        for pane in self.panes.values_mut() {
            gone.append(&mut pane.settled);
            gone.extend(pane.arrivals.drain(..));
        }
        gone.iter().for_each(|run| self.discount(run));
        self.unsettled.clear();
    }

    /// Whether something is stored.
    pub fn has_segments(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Lets go of the segments of which no run is left, and names them.
    pub fn release(&mut self) -> Vec<String> {
        if self.segments.is_empty() {
            return Vec::new();
        }
        let stored = self.panes.values().flat_map(|pane| &pane.stored);
        let live: BTreeSet<String> = stored.filter_map(Run::segment).map(|stored| stored.name().to_owned()).collect();
        let (kept, gone) = std::mem::take(&mut self.segments).into_iter().partition(|s| live.contains(s.name()));
        self.segments = kept;
        gone.iter().map(|stored: &Arc<Stored>| stored.name().to_owned()).collect()
    }

    /// The n-th runs of all panes, for each n, in groups of whole runs that have few more than `rows` rows.
    pub fn levels(&self, rows: usize) -> Vec<Vec<&Run>> {
        let depth = self.panes.values().map(|pane| pane.runs().count()).max().unwrap_or(0);
        let mut groups: Vec<Vec<&Run>> = Vec::new();
        for level in 0..depth {
            let mut size = rows;
            for run in self.panes.values().filter_map(|pane| pane.runs().nth(level)) {
                if size >= rows {
                    groups.push(Vec::new());
                    size = 0;
                }
                size += run.rows();
                groups.last_mut().into_iter().for_each(|group| group.push(run));
            }
        }
        groups
    }

    /// Bytes of memory of all runs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows of all runs.
    pub fn rows(&self) -> u64 {
        self.rows as u64
    }

    fn count(&mut self, run: &Run) {
        self.bytes += run.bytes();
        self.rows += run.rows();
    }

    fn discount(&mut self, run: &Run) {
        self.bytes = self.bytes.saturating_sub(run.bytes());
        self.rows = self.rows.saturating_sub(run.rows());
    }
}

/// Appends the n-th of `runs` to the n-th level, for each n, as runs of the window that ends at `window` if there is one.
pub(super) fn add_levels<'a>(levels: &mut Vec<Level>, runs: impl Iterator<Item = &'a Run>, window: Option<i64>) {
    for (at, run) in runs.enumerate() {
        if at == levels.len() {
            levels.push(Level::new());
        }
        levels[at].push(Piece { run: run.clone(), window });
    }
}
