//! The state of sessions: runs of fragments, oldest first. Those in segments are older than those in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::super::run::Run;
use super::super::stored::Stored;
use super::chain::ends;

/// So many runs are merged whatever their sizes.
const MOST: usize = 64;

/// From so many runs on they are merged if those that came since the last merge are worth it.
const MANY: usize = 8;

/// They are if they have at least one row for so many of the run that the last merge has left.
const RATIO: usize = 4;

/// Where a run came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Others, merged.
    Merged,
    /// A batch, before which sessions had been closed up to this watermark, or none.
    Batch(Option<i64>),
}

/// A run of fragments in the order of (keys, start).
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub run: Run,
    pub origin: Origin,
    /// The last end of its fragments.
    pub last_end: i64,
}

impl Part {
    /// The fragments of `batches`, which share no memory with others.
    pub fn in_memory(batches: Vec<RecordBatch>, origin: Origin) -> Self {
        let last_end = batches.iter().filter_map(|rows| ends(rows).values().iter().max()).max();
        Self { last_end: last_end.copied().unwrap_or(i64::MIN), run: Run::in_memory(batches), origin }
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// In segments.
    stored: Vec<Part>,
    /// The segments that have been attached and not been let go, oldest first.
    segments: Vec<Arc<Stored>>,
    memory: Vec<Part>,
    /// Runs that have come and not been looked at, oldest first.
    arrivals: VecDeque<Part>,
}

impl Held {
    /// A run behind all others.
    pub fn arrive(&mut self, part: Part) {
        self.arrivals.push_back(part);
    }

    /// The oldest run that has not been looked at: it is now behind those that have. Before, all is forgotten if it was over when the run
    /// came.
    pub fn look_at_next(&mut self) -> Option<Origin> {
        let part = self.arrivals.pop_front()?;
        if let Origin::Batch(Some(closed)) = part.origin {
            self.forget(closed);
        }
        let origin = part.origin;
        self.memory.push(part);
        Some(origin)
    }

    /// Takes out the runs in memory, if they are to be merged. A function of what has come and when, so that a state that was restored
    /// merges what the other did.
    pub fn take_many(&mut self) -> Option<Vec<Part>> {
        let rows = |merged: bool| {
            let of = self.memory.iter().filter(move |part| (part.origin == Origin::Merged) == merged);
            of.map(|part| part.run.rows()).sum::<usize>()
        };
        let count = self.memory.len();
        let worth = count >= MANY && rows(false).saturating_mul(RATIO) >= rows(true);
        (count >= MOST || worth).then(|| std::mem::take(&mut self.memory))
    }

    /// Puts a merged run in the place of those that were taken out.
    pub fn put(&mut self, part: Part) {
        if part.run.rows() > 0 {
            self.memory.push(part);
        }
    }

    /// Every run, oldest first.
    pub fn runs(&self) -> Vec<Run> {
        self.parts().map(|part| part.run.clone()).collect()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.stored.iter().chain(self.in_memory())
    }

    /// The runs in memory, oldest first.
    pub fn in_memory(&self) -> impl Iterator<Item = &Part> {
        self.memory.iter().chain(&self.arrivals)
    }

    /// Whether every session ends at or before `watermark`.
    pub fn is_over(&self, watermark: Option<i64>) -> bool {
        self.parts().all(|part| watermark.is_some_and(|watermark| part.last_end <= watermark))
    }

    /// Forgets everything, if it is over.
    pub fn forget(&mut self, watermark: i64) {
        if self.stored.iter().chain(&self.memory).all(|part| part.last_end <= watermark) {
            self.stored.clear();
            self.memory.clear();
        }
    }

    /// How many of the stored runs stay as they are when those in memory are stored behind them. A run is merged with what comes after
    /// it unless it is larger, so that their sizes halve from run to run.
    pub fn keep(&self) -> usize {
        let mut after: usize = self.in_memory().map(|part| part.run.rows()).sum();
        let mut keep = self.stored.len();
        while keep > 0 && self.stored[keep - 1].run.rows() <= after {
            keep -= 1;
            after += self.stored[keep].run.rows();
        }
        keep
    }

    /// The runs from the `keep`-th stored one on.
    pub fn runs_from(&self, keep: usize) -> Vec<Run> {
        self.parts().skip(keep).map(|part| part.run.clone()).collect()
    }

    /// Takes the run of a segment that is behind all that have been attached.
    pub fn attach(&mut self, stored: &Arc<Stored>) {
        for entry in stored.runs() {
            self.stored.truncate(entry.keep);
            let rows = usize::try_from(entry.rows).unwrap_or(usize::MAX);
            let run = Run::stored(stored, entry.first, rows);
            self.stored.push(Part { run, origin: Origin::Merged, last_end: entry.pane });
        }
        self.segments.push(Arc::clone(stored));
    }

    /// Forgets the runs in memory, which have been stored.
    pub fn forget_memory(&mut self) {
        self.memory.clear();
        self.arrivals.clear();
    }

    /// Forgets the runs in segments too: nothing of them had to be stored again.
    pub fn forget_stored(&mut self) {
        self.stored.clear();
    }

    /// Whether something is stored.
    pub fn has_segments(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Whether runs are stored.
    pub fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Lets go of the segments of which no run is left, and names them.
    pub fn release(&mut self) -> Vec<String> {
        let live: BTreeSet<String> =
            self.stored.iter().filter_map(|part| part.run.segment()).map(|stored| stored.name().to_owned()).collect();
        let (kept, gone) = std::mem::take(&mut self.segments).into_iter().partition(|s| live.contains(s.name()));
        self.segments = kept;
        gone.iter().map(|stored: &Arc<Stored>| stored.name().to_owned()).collect()
    }

    /// Bytes of memory of all runs.
    pub fn bytes(&self) -> usize {
        self.in_memory().map(|part| part.run.bytes()).sum()
    }

    /// Rows of all runs.
    pub fn rows(&self) -> u64 {
        self.parts().map(|part| part.run.rows() as u64).sum()
    }
}
