//! A family of pipelines: bronze, silver with or without deduplication and expectations, gold windows of several kinds.

use std::fmt::Write;

use crate::events::{Nested, RANKS, Row};

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
    /// Whether it has a column that cannot be computed for every row: those for which it cannot go to quarantine.
    pub computes: bool,
    /// Whether its files lie in folders by region.
    pub in_folders: bool,
}

/// What DISTINCT ON names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    Key,
    KeyAndRegion,
    /// `key` and a column of [`crate::events::Nested`]: of equal values one form is written.
    KeyAnd(Column),
}

/// A column with numbers that are equal and do not look the same, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Ratio,
    Place,
    Tags,
    Scores,
}

/// What gold groups by beside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Nothing,
    Region,
    /// A field of a struct, which is called like the field.
    City,
    Column(Column),
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
    /// Either zero.
    Zero,
    /// NaN is more than all numbers.
    Large,
    Tagged,
    InCity,
    Scored,
    /// A cast that may fail gives NULL.
    Counts,
    FirstRegions,
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
    pub by: By,
    /// Whether the window is called `w`, as a column of the input is.
    pub named: bool,
    /// Whether its files lie in folders by region, when it has regions.
    pub in_folders: bool,
    pub filter: Option<Condition>,
    pub having: Option<Having>,
    pub expectation: Option<Action>,
    /// Minutes of the windows over these windows.
    pub rollup: Option<i64>,
}

/// A condition of HAVING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Having {
    Several,
    /// About a column that an alias hides.
    LargestSeq,
    /// About the lowest of some ratios.
    LowIsZero,
}

impl Having {
    /// As the pipeline says it, and as the oracle does.
    pub fn sql(self) -> [&'static str; 2] {
        match self {
            Self::Several => ["count(*) > 1"; 2],
            // `keys` is a column of gold's, and `seq` one of its input.
            Self::LargestSeq => ["max(seq) % 2 = 0"; 2],
            Self::LowIsZero => ["min(ratio) = -0.0", "min(rank) = 1"],
        }
    }
}

impl Column {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Place => "place",
            Self::Tags => "tags",
            Self::Scores => "scores",
        }
    }

    /// Its value in `nested`, as text: equal ones have one.
    pub fn text(self, nested: &Nested) -> String {
        let form = nested.form();
        match self {
            Self::Ratio => format!("{:?}", form.ratio),
            Self::Place => format!("{:?}", form.place),
            Self::Tags => format!("{:?}", form.tags),
            Self::Scores => format!("{:?}", form.scores),
        }
    }

    /// `nested` with the form of it.
    pub fn in_form(self, nested: &Nested) -> Nested {
        let form = nested.form();
        match self {
            Self::Ratio => Nested { ratio: form.ratio, ..nested.clone() },
            Self::Place => Nested { place: form.place, ..nested.clone() },
            Self::Tags => nested.clone(),
            Self::Scores => Nested { scores: form.scores, ..nested.clone() },
        }
    }
}

impl By {
    pub fn sql(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Region => Some("region"),
            Self::City => Some("place.city"),
            Self::Column(column) => Some(column.name()),
        }
    }

    /// The column of gold.
    pub fn name(self) -> Option<&'static str> {
        if self == Self::City { Some("city") } else { self.sql() }
    }
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
            Self::Zero => "ratio = 0",
            Self::Large => "ratio > 1",
            Self::Tagged => "array_contains(tags, 'a')",
            Self::InCity => "place.city = 'x'",
            Self::Scored => "scores['a'] >= -0.0",
            Self::Counts => "try_cast(code AS INT) > 5",
            Self::FirstRegions => "upper(substring(region, 1, 1)) BETWEEN 'A' AND 'B'",
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
            Self::Zero => row.nested.ratio.is_some_and(|ratio| RANKS[ratio] == 1),
            Self::Large => row.nested.ratio.is_some_and(|ratio| RANKS[ratio] > 1),
            Self::Tagged => row.nested.tags.contains(&0),
            Self::InCity => row.nested.place.0 == 0,
            Self::Scored => row.nested.scores.iter().any(|(letter, ratio)| *letter == 0 && RANKS[*ratio] >= 1),
            Self::Counts => row.code.parse::<i32>().is_ok_and(|code| code > 5),
            Self::FirstRegions => ["A", "B"].contains(&row.region),
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
            Self::Zero => "zero",
            Self::Large => "large",
            Self::Tagged => "tagged",
            Self::InCity => "in_city",
            Self::Scored => "scored",
            Self::Counts => "counts",
            Self::FirstRegions => "first_regions",
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
            Keys::None => String::new(),
            Keys::Key => "DISTINCT ON (key) ".to_owned(),
            Keys::KeyAndRegion => "DISTINCT ON (key, region) ".to_owned(),
            Keys::KeyAnd(column) => format!("DISTINCT ON (key, {}) ", column.name()),
        };
        let clause = if silver.watermark { self.clause() } else { String::new() };
        let computed = if silver.computes { ", CAST(code AS INT) * 2 AS doubled" } else { "" };
        let select = |filter: Option<Condition>| {
            let filter = filter.map_or_else(String::new, |c| format!(" WHERE {}", c.sql()));
            format!(
                "SELECT {distinct}seq, key, event_time, region, amount, qty, cents, ratio, place, tags, scores, code, w,\n  \
                 _partition, _offset{computed}\n  FROM STREAM bronze_e{clause}{filter}"
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
        let column = self.by.sql().map_or_else(String::new, |by| format!("{by}, "));
        let by = self.by.sql().map_or_else(String::new, |by| format!(", {by}"));
        let having = self.having.map_or_else(String::new, |having| format!(" HAVING {}", having.sql()[0]));
        let (window, named) = if self.named { ("w", " AS w") } else { ("window", "") };
        let folders = if self.by == By::Region && self.in_folders { " PARTITIONED BY (region)" } else { "" };
        let constraint =
            self.expectation.map_or_else(String::new, |a| format!(" (CONSTRAINT small EXPECT (n < 4){})", a.sql()));
        let _ = writeln!(
            sql,
            "CREATE STREAMING TABLE gold_e{constraint}{folders} AS\n  SELECT {window}.start AS wstart, {window}.end AS wend, {column}{}\n  \
             FROM {from}{filter}\n  GROUP BY {}{named}{by}{having};",
            AGGREGATES.map(|[ours, _, _]| ours).join(", "),
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

/// The aggregates of gold: as the pipeline says them, and as the oracle does in a batch query; and what they are called. The
/// oracle knows numbers by their rank, structs by their text, and no column that is called like a window.
pub const AGGREGATES: [[&str; 3]; 18] = [
    ["count(*) AS n", "count(*)", "n"],
    ["count(DISTINCT key) AS keys", "count(DISTINCT key)", "keys"],
    ["sum(cents) AS cents", "sum(cents)", "cents"],
    ["sum(amount) AS amount", "sum(amount)", "amount"],
    ["avg(amount) AS average", "avg(amount)", "average"],
    ["min(qty) AS least", "min(qty)", "least"],
    ["max(qty) AS most", "max(qty)", "most"],
    [
        "first_value(seq ORDER BY event_time, seq) AS first_seq",
        "first_value(seq ORDER BY event_time, seq)",
        "first_seq",
    ],
    ["last_value(seq ORDER BY event_time, seq) AS last_seq", "last_value(seq ORDER BY event_time, seq)", "last_seq"],
    ["count(amount) FILTER (WHERE qty > 2) AS some", "count(amount) FILTER (WHERE qty > 2)", "some"],
    ["count(DISTINCT ratio) AS ratios", "count(DISTINCT rank)", "ratios"],
    [
        "min(ratio) AS low",
        "CASE min(rank) WHEN 0 THEN '-2.25' WHEN 1 THEN '0.0' WHEN 2 THEN '1.5' WHEN 3 THEN 'NaN' END",
        "low",
    ],
    [
        "max(ratio) AS high",
        "CASE max(rank) WHEN 0 THEN '-2.25' WHEN 1 THEN '0.0' WHEN 2 THEN '1.5' WHEN 3 THEN 'NaN' END",
        "high",
    ],
    ["count(DISTINCT place) AS places", "count(DISTINCT place_text)", "places"],
    ["count(*) FILTER (WHERE ratio IN (0.0, 1.5)) AS listed", "count(*) FILTER (WHERE rank IN (1, 2))", "listed"],
    ["max(w) AS last_w", "max(letter)", "last_w"],
    ["sum(CAST(qty AS DOUBLE)) AS real_qty", "sum(CAST(qty AS DOUBLE))", "real_qty"],
    ["sum(qty) AS whole_qty", "sum(qty + 0)", "whole_qty"],
];
