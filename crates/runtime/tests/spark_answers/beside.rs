//! Questions beside each other: random columns of one table, over random rows in random batches.
//!
//! What Spark says of an expression for a row does not depend on what stands beside it. So a table of several has their answers,
//! row by row, however the rows come in batches; a row for which one of them cannot be computed costs itself alone, or, with
//! `'on.error' = 'null'`, its value; and what a CASE or WHERE keeps from a row is not computed for it.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use crate::canonical::same;
use crate::harness::Harness;
use crate::{asked, folder};

/// Files with questions about single rows.
const FILES: [&str; 8] = ["basics", "casts", "json", "math", "nested", "operators", "text", "time"];

/// How many rows the inputs have; `id` counts them.
const ROWS: usize = 8;

/// An expression with Spark's answer for each row of the inputs; `None` where it cannot be computed.
#[derive(Debug, Clone)]
struct Known {
    text: String,
    data_type: String,
    rows: Vec<Option<Value>>,
}

/// How an expression stands in the table.
#[derive(Debug, Clone, Copy)]
enum Wrap {
    Plain,
    /// For every other row.
    Case,
    /// Within an array.
    Item,
}

impl Known {
    /// Without constants that fail, which `plan` refuses, and values that Python cannot hold.
    fn all() -> Vec<Self> {
        let questions = FILES.iter().flat_map(|file| asked(file)).filter(|(question, _)| question.is_plain());
        let known = questions.filter_map(|(question, spark)| {
            let rows = spark["rows"].as_array()?;
            let opaque = |row: &Value| matches!(row["error"].as_str(), Some("ValueError" | "OverflowError"));
            let value = |row: &Value| if row.get("error").is_some() { None } else { Some(row.clone()) };
            let rows: Vec<Option<Value>> = rows.iter().filter(|row| !opaque(row)).map(value).collect();
            let data_type = spark["type"].as_str()?.to_owned();
            let usable = rows.len() == ROWS && rows.iter().any(Option::is_some) && data_type != "void";
            usable.then_some(Self { text: question.text, data_type, rows })
        });
        known.collect()
    }

    fn sql(&self, wrap: Wrap) -> String {
        match wrap {
            Wrap::Plain => self.text.clone(),
            Wrap::Case => format!("CASE WHEN id % 2 = 0 THEN {} END", self.text),
            Wrap::Item => format!("array({})[0]", self.text),
        }
    }

    /// The value for the row `id`; `None` if it cannot be computed.
    fn value(&self, wrap: Wrap, id: usize) -> Option<Value> {
        match wrap {
            Wrap::Case if id % 2 == 1 => Some(Value::Null),
            _ => self.rows[id].clone(),
        }
    }
}

/// Where expressions, a condition, rows and their batches are drawn from: places in a list are taken modulo its length.
#[derive(Debug)]
struct Case {
    columns: Vec<(usize, Wrap)>,
    condition: Option<usize>,
    batches: Vec<Vec<usize>>,
    null: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let wrap = prop_oneof![Just(Wrap::Plain), Just(Wrap::Case), Just(Wrap::Item)];
    let columns = prop::collection::vec((any::<u32>().prop_map(|n| n as usize), wrap), 1..8);
    let condition = prop::option::weighted(0.3, any::<u32>().prop_map(|n| n as usize));
    let batches = prop::collection::vec(prop::collection::vec(0..ROWS, 1..12), 1..5);
    (columns, condition, batches, any::<bool>()).prop_map(|(columns, condition, batches, null)| Case {
        columns,
        condition,
        batches,
        null,
    })
}

impl Case {
    fn check(&self, known: &[Known], harness: &Harness) -> Result<(), String> {
        let columns: Vec<(&Known, Wrap)> = self.columns.iter().map(|(at, w)| (&known[at % known.len()], *w)).collect();
        let conditions: Vec<&Known> = known.iter().filter(|k| k.data_type == "boolean").collect();
        let condition = self.condition.map(|at| conditions[at % conditions.len()]);
        let list: Vec<String> =
            columns.iter().enumerate().map(|(i, (known, wrap))| format!("{} AS v{i}", known.sql(*wrap))).collect();
        let properties = if self.null { "TBLPROPERTIES ('on.error' = 'null') " } else { "" };
        let filter = condition.map(|c| format!(" WHERE {}", c.text)).unwrap_or_default();
        let table = format!("{properties}AS SELECT id, {} FROM STREAM inputs{filter}", list.join(", "));
        let (wanted, lost) = self.wanted(&columns, condition);
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
        let (rows, quarantined) =
            runtime.block_on(harness.table(&table, &self.batches)).map_err(|e| format!("{table}\n{e}"))?;
        let floating = |at: usize| {
            let of = &columns[at].0.data_type;
            of.contains("double") || of.contains("float")
        };
        let equal = |wanted: &Vec<Value>, row: &Value| {
            let row = row.as_array().cloned().unwrap_or_default();
            row.len() == wanted.len()
                && row.iter().zip(wanted).enumerate().all(|(at, (ours, spark))| {
                    if at == 0 { ours == spark } else { same(spark, ours, floating(at - 1)) }
                })
        };
        let right = rows.len() == wanted.len()
            && quarantined == lost
            && wanted.iter().zip(&rows).all(|(wanted, row)| equal(wanted, row));
        let first = wanted.iter().zip(&rows).find(|(wanted, row)| !equal(wanted, row));
        right.then_some(()).ok_or_else(|| {
            format!(
                "{table}\n{} rows and {lost} in quarantine by Spark's answers, {} and {quarantined} here; {first:?}",
                wanted.len(),
                rows.len()
            )
        })
    }

    /// The rows that Spark's answers give, in order, and how many cannot be computed.
    fn wanted(&self, columns: &[(&Known, Wrap)], condition: Option<&Known>) -> (Vec<Vec<Value>>, usize) {
        let (mut rows, mut lost) = (Vec::new(), 0);
        for id in self.batches.iter().flatten() {
            match condition.map(|c| c.rows[*id].clone()) {
                Some(Some(Value::Bool(false) | Value::Null)) => continue,
                Some(None) if self.null => continue,
                Some(None) => {
                    lost += 1;
                    continue;
                }
                _ => {}
            }
            let values: Vec<Option<Value>> = columns.iter().map(|(known, wrap)| known.value(*wrap, *id)).collect();
            if !self.null && values.iter().any(Option::is_none) {
                lost += 1;
                continue;
            }
            let values = values.into_iter().map(Option::unwrap_or_default);
            rows.push(std::iter::once(Value::from(*id)).chain(values).collect());
        }
        (rows, lost)
    }
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(Known::all);
static HARNESS: LazyLock<Harness> = LazyLock::new(|| Harness::new(&folder()));

/// `SLUICEBOX_BESIDE` tables are tried.
fn cases() -> u32 {
    std::env::var("SLUICEBOX_BESIDE").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

#[test]
fn most_questions_can_stand_beside_others() {
    assert!(KNOWN.len() > 2_000, "{}", KNOWN.len());
}

/// The comparison sees a wrong value, a row too few, and one that should be in quarantine.
#[test]
fn a_wrong_row_is_seen() {
    let columns = vec![(0, Wrap::Plain)];
    let case = Case { columns, condition: None, batches: vec![vec![0, 1], vec![0]], null: false };
    let known = |rows: [Option<Value>; 2]| {
        let rows = rows.into_iter().chain(std::iter::repeat_n(None, ROWS - 2)).collect();
        [Known { text: "i + 1".to_owned(), data_type: "int".to_owned(), rows }]
    };
    let number = |n: i32| Some(Value::from(n));
    assert_eq!(case.check(&known([number(8), number(-6)]), &HARNESS), Ok(()));
    for wrong in [[number(9), number(-6)], [number(8), None], [None, None], [number(8), Some(Value::Null)]] {
        assert!(case.check(&known(wrong.clone()), &HARNESS).is_err(), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_stands_beside_an_expression_changes_nothing(case in case()) {
        case.check(&KNOWN, &HARNESS).map_err(TestCaseError::fail)?;
    }
}
