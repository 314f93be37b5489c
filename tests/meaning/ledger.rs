//! The ledger of every batch, computed again from its files; and of all batches together, against the model.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::Job;
use crate::model::{Fates, Model};
use crate::tables::files;

/// Checks every report of `job`.
pub fn check(model: &Model, job: &Job, place: &str) {
    let mut counted = Counted::default();
    for table in ["bronze_e", "silver_e", "gold_e", "gold_rollup"] {
        let (layer, name) = table.split_once('_').unwrap();
        counted.add(&format!("{table}.written"), &job.path(&format!("data/{layer}/{name}")));
        counted.add(&format!("{table}.late"), &job.path(&format!("data/late/m/{table}")));
        counted.add(&format!("{table}.quarantined"), &job.path(&format!("data/quarantine/m/{table}")));
    }
    counted.add("e.dead_letters", &job.path("data/dead_letters/m/e"));
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    let commits = job.checkpoint().commit_ids().unwrap();
    for id in &commits {
        let path = job.path(&format!("data/dq/m/metrics/batch_id={id}/"));
        let json = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
        let json = json.into_iter().find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
        let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        let numbers = numbers(&report);
        balance(&numbers, model.shape.silver.also.is_some(), &format!("{place}, batch {id}"));
        for (name, in_files) in counted.of(*id) {
            let told = numbers.get(&name).copied().unwrap_or(0);
            assert_eq!(told, in_files, "{place}, batch {id}: {name} of the report, and rows in the files");
        }
        numbers.into_iter().for_each(|(name, n)| *totals.entry(name).or_default() += n);
    }
    // Old records are purged; the sums can be compared while all are there.
    if commits.first() == Some(&0) {
        compare(model, &totals, place);
    }
}

/// Rows in files, by what they are counted as and batch.
#[derive(Default)]
struct Counted(BTreeMap<(String, u64), u64>);

impl Counted {
    fn add(&mut self, name: &str, dir: &Path) {
        for file in files(dir) {
            *self.0.entry((name.to_owned(), file.batch_id())).or_default() += file.rows() as u64;
        }
    }

    fn of(&self, batch: u64) -> BTreeMap<String, u64> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().map(|(name, _)| name).collect();
        let count = |name: &str| self.0.get(&(name.to_owned(), batch)).copied().unwrap_or(0);
        names.into_iter().map(|name| (name.clone(), count(name))).collect()
    }
}

/// Every count of a report, as `table.fate` and `source.count`.
fn numbers(report: &Value) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for source in report["sources"].as_array().unwrap() {
        for name in ["read", "tombstones", "dead_letters", "rows"] {
            out.insert(format!("{}.{name}", source["source"].as_str().unwrap()), source[name].as_u64().unwrap());
        }
    }
    for table in report["tables"].as_array().unwrap() {
        for (fate, n) in table["fates"].as_object().unwrap() {
            out.insert(format!("{}.{fate}", table["table"].as_str().unwrap()), n.as_u64().unwrap());
        }
    }
    out
}

/// The equations, with arithmetic of our own.
fn balance(numbers: &BTreeMap<String, u64>, union: bool, place: &str) {
    let get = |name: &str| numbers.get(name).copied().unwrap_or(0);
    assert_eq!(get("e.read"), get("e.tombstones") + get("e.dead_letters") + get("e.rows"), "{place}: the source");
    for table in ["bronze_e", "silver_e", "gold_e", "gold_rollup"] {
        let of = |fate: &str| get(&format!("{table}.{fate}"));
        let kept = of("written") + of("quarantined") + of("dropped");
        if table.starts_with("gold") {
            // Windows over windows absorb twice: of them only what comes out is balanced.
            if table == "gold_e" {
                let ways = of("absorbed") + of("late") + of("filtered") + of("quarantined_in");
                assert_eq!(of("rows_in"), ways, "{place}: {table}, rows in");
            }
            assert_eq!(of("rows_out") + of("quarantined_in"), kept, "{place}: {table}, rows out");
        } else if table == "silver_e" && union {
            // A row may meet both queries of a UNION ALL, or none: what comes out is balanced.
            let inside = of("quarantined_in") + of("duplicate_in") + of("filtered_in");
            let ways = kept + of("duplicate") + of("filtered");
            assert_eq!(of("rows_out") + inside, ways, "{place}: {table}, rows out");
        } else {
            let ways = kept + of("duplicate") + of("late") + of("filtered");
            assert_eq!(of("rows_in"), ways, "{place}: {table}");
        }
    }
    assert_eq!(get("e.rows"), get("bronze_e.rows_in"), "{place}: rows of the source, and into bronze");
}

fn compare(model: &Model, totals: &BTreeMap<String, u64>, place: &str) {
    let told = |table: &str| {
        let of = |fate: &str| totals.get(&format!("{table}.{fate}")).copied().unwrap_or(0);
        Fates {
            rows_in: of("rows_in"),
            written: of("written"),
            duplicate: of("duplicate"),
            late: of("late"),
            quarantined: of("quarantined"),
            dropped: of("dropped"),
            filtered: of("filtered"),
            absorbed: of("absorbed"),
        }
    };
    let total = |name: &str| totals.get(name).copied().unwrap_or(0);
    assert_eq!(total("e.read"), model.read_total(), "{place}: events read");
    assert_eq!(total("e.tombstones"), model.tombstones, "{place}: tombstones");
    assert_eq!(told("silver_e"), model.silver_fates, "{place}: fates of silver, told and expected");
    if model.shape.gold.is_some() {
        let gold = told("gold_e");
        let rows_in = Fates { written: 0, quarantined: 0, dropped: 0, ..gold };
        assert_eq!(rows_in, model.gold_fates, "{place}: fates of gold's rows in, told and expected");
    }
}
