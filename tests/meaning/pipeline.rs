//! A family of pipelines: bronze, silver with or without deduplication and expectations, gold windows of several kinds.

use std::fmt::Write;

use proptest::prelude::*;

use crate::events::Row;

/// A pipeline of the family.
#[derive(Debug, Clone)]
pub struct Shape {
    pub bronze_by_region: bool,
    pub silver: Silver,
    /// Minutes of the watermark's delay.
    pub delay: i64,
    pub gold: Option<Gold>,
}

/// The middle table.
#[derive(Debug, Clone)]
pub struct Silver {
    pub keys: Keys,
    /// Whether the watermark stands here; else it stands at gold, if there is any.
    pub watermark: bool,
    pub filter: Option<Condition>,
    /// A second query of a UNION ALL, over the rows for which this holds. Never with deduplication.
    pub also: Option<Condition>,
    pub expectations: Vec<(Condition, Action)>,
    /// Whether its files lie in folders by region.
    pub in_folders: bool,
}

/// What DISTINCT ON names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    Key,
    KeyAndRegion,
}

/// A condition over a row: its SQL, and what it is in plain Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Sold,
    KnownRegion,
    HasKey,
    FewOfThem,
    /// An error of evaluation where `qty` is 0.
    Divides,
    HasTime,
    /// Broken now and then.
    NotUnlucky,
}

/// What happens to rows that break an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Warn,
    Drop,
    Quarantine,
    Fail,
}

/// The windows.
#[derive(Debug, Clone)]
pub struct Gold {
    /// Minutes.
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
    pub by_region: bool,
    /// Whether its files lie in folders by region, when it has regions.
    pub in_folders: bool,
    pub filter: Option<Condition>,
    pub having: bool,
    pub expectation: Option<Action>,
    /// Minutes of the windows over these windows.
    pub rollup: Option<i64>,
}

impl Condition {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Sold => "amount >= 0",
            Self::KnownRegion => "region IN ('A', 'B', 'C')",
            Self::HasKey => "key IS NOT NULL",
            Self::FewOfThem => "qty < 6",
            Self::Divides => "100 / qty >= 15",
            Self::HasTime => "event_time IS NOT NULL",
            Self::NotUnlucky => "seq % 37 <> 13",
        }
    }

    /// Whether it is true; not, when it is NULL or cannot be evaluated.
    pub fn holds(self, row: &Row) -> bool {
        match self {
            Self::Sold => row.amount.is_some_and(|amount| amount >= 0.0),
            Self::KnownRegion => row.region != "?",
            Self::HasKey => row.key.is_some(),
            Self::FewOfThem => row.qty.is_some_and(|qty| qty < 6),
            Self::Divides => row.qty.is_some_and(|qty| qty != 0 && 100 / qty >= 15),
            Self::HasTime => row.time.is_some(),
            Self::NotUnlucky => row.seq % 37 != 13,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sold => "sold",
            Self::KnownRegion => "known_region",
            Self::HasKey => "has_key",
            Self::FewOfThem => "few_of_them",
            Self::Divides => "divides",
            Self::HasTime => "has_time",
            Self::NotUnlucky => "not_unlucky",
        }
    }
}

impl Action {
    fn sql(self) -> &'static str {
        match self {
            Self::Warn => "",
            Self::Drop => " ON VIOLATION DROP ROW",
            Self::Quarantine => " ON VIOLATION QUARANTINE",
            Self::Fail => " ON VIOLATION FAIL UPDATE",
        }
    }
}

impl Shape {
    /// Whether the watermark stands at silver, at gold, or nowhere.
    pub fn watermark_at_silver(&self) -> bool {
        self.silver.watermark
    }

    pub fn delay_micros(&self) -> i64 {
        self.delay * 60_000_000
    }

    /// Copies in several partitions give one result only where it does not matter which one is kept: not where a
    /// watermark further down is moved by the one that was.
    pub fn copies_cross_partitions(&self) -> bool {
        self.silver.keys == Keys::None || self.silver.watermark || self.gold.is_none()
    }

    /// The same with `action` in the place of FAIL UPDATE.
    pub fn relaxed(&self, action: Action) -> Self {
        let relax = |of: Action| if of == Action::Fail { action } else { of };
        let mut relaxed = self.clone();
        relaxed.silver.expectations.iter_mut().for_each(|(_, of)| *of = relax(*of));
        relaxed.gold.iter_mut().for_each(|gold| gold.expectation = gold.expectation.map(relax));
        relaxed
    }

    /// The pipeline's text.
    pub fn sql(&self) -> String {
        let mut sql = String::from(
            "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro', 'startingOffsets' = 'earliest');\n",
        );
        let by = if self.bronze_by_region { " PARTITIONED BY (region)" } else { "" };
        let _ = writeln!(sql, "CREATE STREAMING TABLE bronze_e{by} AS SELECT * FROM STREAM e;");
        self.write_silver(&mut sql);
        if let Some(gold) = &self.gold {
            let from = format!("STREAM silver_e{}", if self.silver.watermark { String::new() } else { self.clause() });
            gold.write(&from, &mut sql);
        }
        sql
    }

    fn clause(&self) -> String {
        format!(" WATERMARK event_time DELAY OF INTERVAL '{} minutes'", self.delay)
    }

    fn write_silver(&self, sql: &mut String) {
        let silver = &self.silver;
        let constraints: Vec<String> = silver
            .expectations
            .iter()
            .map(|(condition, action)| {
                format!("CONSTRAINT {} EXPECT ({}){}", condition.name(), condition.sql(), action.sql())
            })
            .collect();
        let constraints =
            if constraints.is_empty() { String::new() } else { format!(" ({})", constraints.join(",\n  ")) };
        let distinct = match silver.keys {
            Keys::None => "",
            Keys::Key => "DISTINCT ON (key) ",
            Keys::KeyAndRegion => "DISTINCT ON (key, region) ",
        };
        let clause = if silver.watermark { self.clause() } else { String::new() };
        let select = |filter: Option<Condition>| {
            let filter = filter.map_or_else(String::new, |c| format!(" WHERE {}", c.sql()));
            format!(
                "SELECT {distinct}seq, key, event_time, region, amount, qty, cents, _partition, _offset\n  FROM STREAM bronze_e{clause}{filter}"
            )
        };
        let also = silver.also.map_or_else(String::new, |c| format!("\n  UNION ALL {}", select(Some(c))));
        let by = if silver.in_folders { " PARTITIONED BY (region)" } else { "" };
        let _ =
            writeln!(sql, "CREATE STREAMING TABLE silver_e{constraints}{by} AS\n  {}{also};", select(silver.filter));
    }
}

impl Gold {
    /// `window(...)` over `time`.
    fn window(&self, time: &str) -> String {
        let part = |minutes: i64| format!(", INTERVAL '{minutes} minutes'");
        let mut text = format!("window({time}{}", part(self.size));
        if self.slide != self.size || self.offset != 0 {
            text += &part(self.slide);
        }
        if self.offset != 0 {
            text += &part(self.offset);
        }
        text + ")"
    }

    fn write(&self, from: &str, sql: &mut String) {
        let filter = self.filter.map_or_else(String::new, |c| format!(" WHERE {}", c.sql()));
        let (column, by) = if self.by_region { ("region, ", ", region") } else { ("", "") };
        let having = if self.having { " HAVING count(*) > 1" } else { "" };
        let folders = if self.by_region && self.in_folders { " PARTITIONED BY (region)" } else { "" };
        let constraint =
            self.expectation.map_or_else(String::new, |a| format!(" (CONSTRAINT small EXPECT (n < 4){})", a.sql()));
        let _ = writeln!(
            sql,
            "CREATE STREAMING TABLE gold_e{constraint}{folders} AS\n  SELECT window.start AS wstart, window.end AS wend, {column}{}\n  \
             FROM {from}{filter}\n  GROUP BY {}{by}{having};",
            AGGREGATES.join(", "),
            self.window("event_time"),
        );
        if let Some(minutes) = self.rollup {
            let _ = writeln!(
                sql,
                "CREATE STREAMING TABLE gold_rollup AS\n  SELECT w.start AS wstart, w.end AS wend, sum(n) AS n, max(c) AS c, count(*) AS windows\n  \
                 FROM (SELECT window, count(*) AS n, sum(cents) AS c FROM {from}{filter} GROUP BY {}{by})\n  \
                 GROUP BY window(window, INTERVAL '{minutes} minutes') AS w;",
                self.window("event_time"),
            );
        }
    }
}

/// The aggregates of gold. The oracle's batch query has the same text: these are DataFusion's own.
pub const AGGREGATES: [&str; 10] = [
    "count(*) AS n",
    "count(DISTINCT key) AS keys",
    "sum(cents) AS cents",
    "sum(amount) AS amount",
    "avg(amount) AS average",
    "min(qty) AS least",
    "max(qty) AS most",
    "first_value(seq ORDER BY event_time, seq) AS first_seq",
    "last_value(seq ORDER BY event_time, seq) AS last_seq",
    "count(amount) FILTER (WHERE qty > 2) AS some",
];

fn condition() -> impl Strategy<Value = Condition> {
    use Condition::{Divides, FewOfThem, HasKey, HasTime, KnownRegion, Sold};
    prop::sample::select(vec![Sold, KnownRegion, HasKey, FewOfThem, Divides, HasTime])
}

/// A condition that can be evaluated for every row: in a WHERE an error would end the run.
fn filter() -> impl Strategy<Value = Option<Condition>> {
    use Condition::{FewOfThem, HasKey, KnownRegion, Sold};
    prop::option::weighted(0.4, prop::sample::select(vec![Sold, KnownRegion, HasKey, FewOfThem]))
}

/// What a pipeline does with rows that break an expectation and does not stop for.
pub fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(vec![Action::Warn, Action::Drop, Action::Quarantine])
}

fn silver(watermark: impl Strategy<Value = bool>) -> impl Strategy<Value = Silver> {
    let expectations = prop::collection::vec((condition(), action()), 0..4).prop_map(|mut all| {
        let mut seen = Vec::new();
        all.retain(|(condition, _)| {
            let new = !seen.contains(condition);
            seen.push(*condition);
            new
        });
        all
    });
    let keys = prop::sample::select(vec![Keys::None, Keys::Key, Keys::Key, Keys::KeyAndRegion]);
    (keys, watermark, filter(), filter(), expectations, any::<bool>()).prop_map(
        |(keys, watermark, filter, also, expectations, in_folders)| {
            let also = if keys == Keys::None && !watermark { also } else { None };
            Silver { keys, watermark, filter, also, expectations, in_folders }
        },
    )
}

fn gold() -> impl Strategy<Value = Gold> {
    // Size, slide, offset.
    let window =
        prop::sample::select(vec![(2, 2, 0), (5, 5, 0), (5, 5, 2), (6, 2, 0), (5, 2, 0), (6, 4, 1), (10, 5, 0)]);
    let rollup = prop::option::weighted(0.4, prop::sample::select(vec![10, 15]));
    (window, any::<[bool; 2]>(), filter(), prop::bool::weighted(0.3), prop::option::weighted(0.4, action()), rollup)
        .prop_map(|((size, slide, offset), [by_region, in_folders], filter, having, expectation, rollup)| Gold {
            size,
            slide,
            offset,
            by_region,
            in_folders,
            filter,
            having,
            expectation,
            rollup,
        })
}

fn delay() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 3, 8])
}

/// Pipelines that end at silver.
pub fn without_windows() -> impl Strategy<Value = Shape> {
    (any::<bool>(), silver(prop::bool::weighted(0.7)), delay()).prop_map(|(bronze_by_region, silver, delay)| Shape {
        bronze_by_region,
        silver,
        delay,
        gold: None,
    })
}

/// Pipelines with windows.
pub fn with_windows() -> impl Strategy<Value = Shape> {
    (any::<bool>(), silver(any::<bool>()), delay(), gold()).prop_map(|(bronze_by_region, silver, delay, gold)| Shape {
        bronze_by_region,
        silver,
        delay,
        gold: Some(gold),
    })
}

/// Pipelines of which one expectation has FAIL UPDATE: silver's, or that of gold.
pub fn failing() -> impl Strategy<Value = Shape> {
    let condition = prop_oneof![3 => Just(Condition::NotUnlucky), 1 => condition()];
    let shape = prop_oneof![1 => without_windows().boxed(), 2 => with_windows().boxed()];
    (shape, condition, any::<bool>()).prop_map(|(mut shape, condition, at_gold)| {
        match &mut shape.gold {
            Some(gold) if at_gold => gold.expectation = Some(Action::Fail),
            _ => {
                shape.silver.expectations.retain(|(other, _)| *other != condition);
                shape.silver.expectations.push((condition, Action::Fail));
            }
        }
        shape
    })
}
