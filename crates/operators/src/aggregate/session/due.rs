//! The sessions that end soon, in memory, so that a close need not look through all that is held.
//!
//! They are a copy: what is known of them is in the runs, too. A fragment that comes and touches one takes it out, for the session then
//! ends later, or is looked for again.

use arrow::array::RecordBatch;
use arrow::row::{Row, Rows};

use super::super::sort;
use super::chain::{Keys, ends, starts};
use crate::error::Result;

/// Sessions that end at or before a horizon.
#[derive(Debug)]
pub(super) struct Due {
    keys: Keys,
    /// State rows in the order of (keys, start), each with whether it is still known to be a session.
    batches: Vec<Batch>,
    /// All sessions are here that end after the last close and at or before this.
    horizon: Option<i64>,
    /// The first end of fragments at or before the horizon that came since: up to there not all sessions are here.
    short: i64,
}

#[derive(Debug)]
struct Batch {
    rows: RecordBatch,
    keys: Option<Rows>,
    alive: Vec<bool>,
}

impl Due {
    /// None, of keys like these.
    pub fn new(keys: Keys) -> Self {
        Self { keys, batches: Vec::new(), horizon: None, short: i64::MAX }
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.horizon = None;
        self.short = i64::MAX;
    }

    /// Knows from now on all sessions that end at or before `horizon`: `rows`, in their order.
    pub fn fill(&mut self, rows: Vec<RecordBatch>, horizon: i64) -> Result<()> {
        self.clear();
        for rows in rows {
            let keys = self.keys.of(&rows.columns()[..self.keys.columns])?;
            let alive = vec![true; rows.num_rows()];
            self.batches.push(Batch { rows, keys, alive });
        }
        self.horizon = Some(horizon);
        Ok(())
    }

    /// Whether all sessions are here that end after the last close and at or before `watermark`.
    pub fn knows(&self, watermark: i64) -> bool {
        self.horizon.is_some_and(|horizon| watermark <= horizon) && self.short > watermark
    }

    /// How many there are, if any were looked for.
    pub fn rows(&self) -> Option<usize> {
        self.horizon.map(|_| self.batches.iter().map(|batch| batch.rows.num_rows()).sum())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let of = |batch: &Batch| {
            batch.rows.get_array_memory_size() + batch.keys.as_ref().map_or(0, Rows::size) + batch.alive.len()
        };
        self.batches.iter().map(of).sum()
    }

    /// Takes out the sessions that the fragments of `rows` touch.
    pub fn touch(&mut self, rows: &RecordBatch) -> Result<()> {
        let Some(horizon) = self.horizon else { return Ok(()) };
        let columns = self.keys.columns;
        let (starts, ends) = (starts(rows, columns), ends(rows));
        let keys = self.keys.of(&rows.columns()[..columns])?;
        for (at, (&start, &end)) in starts.values().iter().zip(ends.values().iter()).enumerate() {
            if end <= horizon {
                self.short = self.short.min(end);
            }
            let key = keys.as_ref().map(|keys| keys.row(at));
            let from = first(self.batches.len(), |batch| self.batches[batch].reaches(key));
            for batch in self.batches[from..].iter_mut().take_while(|batch| batch.begins_by(key)) {
                batch.touch(key, (start, end), columns);
            }
        }
        Ok(())
    }

    /// Takes out the sessions that end at or before `watermark`, in their order.
    pub fn take(&mut self, watermark: i64) -> Result<Vec<RecordBatch>> {
        let mut taken = Vec::new();
        for batch in &mut self.batches {
            let ended = |(at, end): (usize, &i64)| (*end <= watermark && batch.alive[at]).then_some(at as u32);
            let indices: Vec<u32> = ends(&batch.rows).values().iter().enumerate().filter_map(ended).collect();
            if !indices.is_empty() {
                taken.push(sort::copy(&batch.rows, &indices)?);
                indices.iter().for_each(|at| batch.alive[*at as usize] = false);
            }
        }
        self.batches.retain(|batch| batch.alive.contains(&true));
        Ok(taken)
    }
}

impl Batch {
    /// Whether its last key is `key` or comes after it; none is equal to all.
    fn reaches(&self, key: Option<Row<'_>>) -> bool {
        let (Some(keys), Some(key)) = (&self.keys, key) else { return true };
        keys.num_rows() > 0 && keys.row(keys.num_rows() - 1) >= key
    }

    /// Whether its first key is `key` or comes before it.
    fn begins_by(&self, key: Option<Row<'_>>) -> bool {
        let (Some(keys), Some(key)) = (&self.keys, key) else { return true };
        keys.num_rows() > 0 && keys.row(0) <= key
    }

    /// Takes out the sessions of `key` that the fragment touches.
    fn touch(&mut self, key: Option<Row<'_>>, (start, end): (i64, i64), columns: usize) {
        let rows = self.rows.num_rows();
        let (mut at, past) = match (&self.keys, key) {
            (Some(own), Some(key)) => (first(rows, |row| own.row(row) >= key), first(rows, |row| own.row(row) > key)),
            _ => (0, rows),
        };
        let (own_starts, own_ends) = (starts(&self.rows, columns), ends(&self.rows));
        // Sessions of one key do not touch each other, so that their ends ascend as their starts do.
        at += first(past - at, |row| own_ends.value(at + row) >= start);
        while at < past && own_starts.value(at) <= end {
            self.alive[at] = false;
            at += 1;
        }
    }
}

/// The first of `rows` rows for which `is` holds, where it holds for all after it.
fn first(rows: usize, is: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The rows of `batch` at `indices`; none if there are none.
pub(super) fn some(batch: &RecordBatch, indices: &[u32]) -> Result<Option<RecordBatch>> {
    if indices.is_empty() { Ok(None) } else { sort::copy(batch, indices).map(Some) }
}
