//! The meaning of a pipeline in plain loops, from the semantics' page alone: nothing of the engine is used here.
//!
//! Events are taken partition by partition; the result may not depend on that. It remembers everything for ever: what may be
//! forgotten, and when, is the engine's concern.

use std::collections::{BTreeMap, HashMap};

use crate::PARTITIONS;
use crate::events::{CLOCK, Content, Row, Step};
use crate::pipeline::{Action, Gold, Keys, Shape};

const MAX_FUTURE: i64 = 3_600_000_000;

/// A row and where it came from.
#[derive(Debug, Clone)]
pub struct Placed {
    pub partition: usize,
    pub offset: i64,
    pub row: Row,
}

/// What became of the rows that entered a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    pub rows_in: u64,
    pub written: u64,
    pub duplicate: u64,
    pub late: u64,
    pub quarantined: u64,
    pub dropped: u64,
    pub filtered: u64,
    pub absorbed: u64,
}

/// A watermark clause.
#[derive(Debug, Clone, Default)]
pub struct Clause {
    pub delay: i64,
    pub highest: [Option<i64>; PARTITIONS],
    /// The clock of the batch that brought the last event time which may move a mark.
    pub brought: [Option<i64>; PARTITIONS],
    pub watermark: Option<i64>,
    /// The clock of the batch that is read.
    pub clock: i64,
}

impl Clause {
    /// Why a row is late, if it is; and lets it move its partition's mark.
    fn judge(&mut self, partition: usize, time: Option<i64>) -> Option<&'static str> {
        let time = time?;
        let highest = &mut self.highest[partition];
        let verdict = if highest.is_some_and(|highest| time <= highest - self.delay) {
            Some("partition")
        } else if self.watermark.is_some_and(|w| time <= w) {
            Some("clause")
        } else {
            None
        };
        if time <= self.clock + MAX_FUTURE {
            *highest = Some(highest.map_or(time, |h| h.max(time)));
            self.brought[partition] = Some(self.clock);
        }
        verdict
    }

    /// Where each partition stands; none while it has brought no event time.
    pub fn marks(&self) -> impl Iterator<Item = Option<i64>> {
        self.highest.iter().map(|highest| highest.map(|h| h - self.delay))
    }
}

/// All that a pipeline's tables hold.
#[derive(Debug, Clone)]
pub struct Model {
    pub shape: Shape,
    /// The first offset not read.
    pub offsets: [i64; PARTITIONS],
    pub clause: Clause,
    kept: HashMap<String, i64>,
    pub bronze: Vec<Placed>,
    pub silver: Vec<Placed>,
    /// Rows that silver's expectations were asked about.
    pub judged: Vec<Placed>,
    /// Late rows, and why.
    pub late: Vec<(Placed, &'static str)>,
    /// Rows in quarantine, with the names of what they broke.
    pub quarantine: Vec<(Placed, String)>,
    /// Partition, offset, class.
    pub dead: Vec<(usize, i64, &'static str)>,
    pub tombstones: u64,
    /// Rows in windows, open or closed.
    pub in_windows: Vec<Row>,
    pub silver_fates: Fates,
    /// Of each table that windows silver's rows.
    pub gold_fates: Fates,
}

impl Model {
    pub fn new(shape: &Shape) -> Self {
        Self {
            shape: shape.clone(),
            offsets: [0; PARTITIONS],
            clause: Clause { delay: shape.delay_micros(), clock: CLOCK, ..Clause::default() },
            kept: HashMap::new(),
            bronze: Vec::new(),
            silver: Vec::new(),
            judged: Vec::new(),
            late: Vec::new(),
            quarantine: Vec::new(),
            dead: Vec::new(),
            tombstones: 0,
            in_windows: Vec::new(),
            silver_fates: Fates::default(),
            gold_fates: Fates::default(),
        }
    }

    /// The watermark after the last run.
    pub fn watermark(&self) -> Option<i64> {
        self.clause.watermark
    }

    /// Whether the pipeline has a clause.
    pub fn has_clause(&self) -> bool {
        self.shape.watermark_at_silver() || self.shape.gold.is_some()
    }

    /// Takes what a step appended.
    pub fn read(&mut self, step: &Step) {
        for (partition, contents) in step.iter().enumerate() {
            self.take(partition, contents);
        }
    }

    /// Takes what comes next in a partition.
    pub fn take(&mut self, partition: usize, contents: &[Content]) {
        for content in contents {
            let offset = self.offsets[partition];
            self.offsets[partition] += 1;
            match content {
                Content::Tombstone => self.tombstones += 1,
                Content::Malformed(_, class) => self.dead.push((partition, offset, class)),
                Content::Row(row) => {
                    let placed = Placed { partition, offset, row: row.clone() };
                    self.bronze.push(placed.clone());
                    self.enter_silver(&placed);
                }
            }
        }
    }

    fn enter_silver(&mut self, placed: &Placed) {
        let silver = self.shape.silver.clone();
        let branches: Vec<_> = [Some(silver.filter), silver.also.map(Some)].into_iter().flatten().collect();
        for filter in branches {
            self.silver_fates.rows_in += 1;
            let verdict = if silver.watermark { self.clause.judge(placed.partition, placed.row.time) } else { None };
            if filter.is_some_and(|condition| !condition.holds(&placed.row)) {
                self.silver_fates.filtered += 1;
            } else if let Some(why) = verdict {
                self.silver_fates.late += 1;
                self.late.push((placed.clone(), why));
            } else {
                self.judge_silver(placed);
            }
        }
    }

    fn judge_silver(&mut self, placed: &Placed) {
        if self.shape.silver.computes && placed.row.code.parse::<i32>().is_err() {
            self.silver_fates.quarantined += 1;
            self.quarantine.push((placed.clone(), String::new()));
            return;
        }
        self.judged.push(placed.clone());
        let expectations = &self.shape.silver.expectations;
        let broken: Vec<_> = expectations.iter().filter(|(condition, _)| !condition.holds(&placed.row)).collect();
        match broken.iter().map(|(_, action)| *action).max() {
            Some(Action::Quarantine) => {
                let names: Vec<&str> = broken.iter().map(|(condition, _)| condition.name()).collect();
                self.silver_fates.quarantined += 1;
                self.quarantine.push((placed.clone(), names.join(",")));
            }
            Some(Action::Drop) => self.silver_fates.dropped += 1,
            Some(Action::Warn | Action::Fail) | None => self.keep_first(placed),
        }
    }

    fn keep_first(&mut self, placed: &Placed) {
        let silver = &self.shape.silver;
        let key = match silver.keys {
            Keys::None => return self.write_silver(placed),
            Keys::Key => format!("{:?}", placed.row.key),
            Keys::KeyAndRegion => format!("{:?} {}", placed.row.key, placed.row.region),
            Keys::KeyAnd(column) => format!("{:?} {}", placed.row.key, column.text(&placed.row.nested)),
        };
        let mut placed = placed.clone();
        if let Keys::KeyAnd(column) = silver.keys {
            placed.row.nested = column.in_form(&placed.row.nested);
        }
        let placed = &placed;
        if !silver.watermark {
            if self.kept.insert(key, 0).is_some() {
                self.silver_fates.duplicate += 1;
            } else {
                self.write_silver(placed);
            }
            return;
        }
        let Some(time) = placed.row.time else {
            self.silver_fates.filtered += 1;
            return;
        };
        match self.kept.get(&key) {
            Some(kept) if time <= kept + self.clause.delay => self.silver_fates.duplicate += 1,
            _ => {
                self.kept.insert(key, time);
                self.write_silver(placed);
            }
        }
    }

    fn write_silver(&mut self, placed: &Placed) {
        self.silver_fates.written += 1;
        self.silver.push(placed.clone());
        let Some(gold) = self.shape.gold.clone() else { return };
        self.gold_fates.rows_in += 1;
        let at_silver = self.shape.silver.watermark;
        let verdict = if at_silver { None } else { self.clause.judge(placed.partition, placed.row.time) };
        if gold.filter.is_some_and(|condition| !condition.holds(&placed.row)) {
            self.gold_fates.filtered += 1;
        } else if let Some(why) = verdict {
            self.gold_fates.late += 1;
            self.late.push((placed.clone(), why));
        } else if placed.row.time.is_none() {
            self.gold_fates.filtered += 1;
        } else {
            self.gold_fates.absorbed += 1;
            self.in_windows.push(placed.row.clone());
        }
    }

    /// A run has read all there is and left the watermark at `found`.
    pub fn end_run(&mut self, found: Option<i64>) {
        let expected = self.end_of_run();
        assert_eq!(found, expected, "the watermark; {:?}", self.clause);
        self.clause.watermark = found;
    }

    /// Where a run leaves the watermark that has read all there is: all partitions are idle then, so where the fastest one is.
    pub fn end_of_run(&self) -> Option<i64> {
        if !self.has_clause() {
            return None;
        }
        self.clause.watermark.max(self.clause.marks().flatten().max())
    }

    /// Whether some window with a row ends after `from`, at or before `to`.
    pub fn has_open_window(&self, from: Option<i64>, to: i64) -> bool {
        let Some(gold) = &self.shape.gold else { return false };
        let ends = self.in_windows.iter().flat_map(|row| {
            let own = gold.windows(row.time.unwrap_or_default());
            let above = own.clone().into_iter().filter_map(|(_, end)| gold.rollup_of(end));
            own.into_iter().chain(above).map(|(_, end)| end)
        });
        let mut ends = ends;
        ends.any(|end| from.is_none_or(|w| end > w) && end <= to)
    }

    /// How many rows of each partition there were, in order.
    pub fn read_total(&self) -> u64 {
        self.offsets.iter().map(|o| u64::try_from(*o).unwrap()).sum()
    }

    /// The names of the tables that window silver's rows.
    pub fn gold_tables(&self) -> Vec<&'static str> {
        match &self.shape.gold {
            None => Vec::new(),
            Some(Gold { rollup: None, .. }) => vec!["gold_e"],
            Some(_) => vec!["gold_e", "gold_rollup"],
        }
    }

    /// Late rows by the table where they are kept.
    pub fn late_by_table(&self) -> BTreeMap<&'static str, Vec<(Placed, &'static str)>> {
        let tables = if self.shape.watermark_at_silver() { vec!["silver_e"] } else { self.gold_tables() };
        tables.into_iter().map(|table| (table, self.late.clone())).collect()
    }
}

impl Gold {
    /// Start and end of every window that holds `time`.
    pub fn windows(&self, time: i64) -> Vec<(i64, i64)> {
        let minute = 60_000_000;
        let (size, slide, offset) = (self.size * minute, self.slide * minute, self.offset * minute);
        let mut start = time - (time - offset).rem_euclid(slide);
        let mut windows = Vec::new();
        while start + size > time {
            windows.push((start, start + size));
            start -= slide;
        }
        windows
    }

    /// The window over windows that a window that ends at `end` falls into.
    pub fn rollup_of(&self, end: i64) -> Option<(i64, i64)> {
        let size = self.rollup? * 60_000_000;
        let start = (end - 1) - (end - 1).rem_euclid(size);
        Some((start, start + size))
    }
}
