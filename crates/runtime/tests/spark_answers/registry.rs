//! No function of Spark's name has another meaning here that nobody looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use sluicebox_core::provenance::{event_time_type, provenance_fields};
use sluicebox_pipeline::bind::session_state;
use sluicebox_pipeline::{bind, parse};

use crate::folder;

/// What is written with words or signs, not as a call: the operators' questions are about them.
const WORDS: [&str; 12] =
    ["and", "between", "case", "div", "ilike", "in", "like", "mod", "not", "or", "regexp", "when"];

/// What no question can be about, for it is of streams: `scripts/spark/compare.py` compares windows with Spark's.
const OF_STREAMS: [&str; 4] = ["window", "session_window", "window_time", "grouping"];

/// The names of Spark's functions.
fn of_spark() -> BTreeSet<String> {
    sluicebox_functions::of_spark().map(str::to_owned).collect()
}

/// The words before a bracket in all questions, and all words that stand for operators.
fn asked() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "questions") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap().to_lowercase();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.ends_with("-- refused")) {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut rest = line;
            while let Some(start) = rest.find(is_word) {
                let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |n| start + n);
                let (word, after) = (&rest[start..end], &rest[end..]);
                if after.starts_with('(') || WORDS.contains(&word) {
                    found.insert(word.to_owned());
                }
                rest = after;
            }
        }
    }
    found
}

/// Every name of Spark's is asked about, or refused; and never both.
#[test]
fn every_function_of_spark_is_asked_about_or_refused() {
    let (spark, asked) = (of_spark(), asked());
    let refused: BTreeSet<String> = sluicebox_functions::refused_names().map(str::to_owned).collect();
    let unknown: Vec<&String> = refused.iter().filter(|name| !spark.contains(*name)).collect();
    assert!(unknown.is_empty(), "refused, and not Spark's: {unknown:?}");
    let both: Vec<&String> = refused.intersection(&asked).collect();
    assert!(both.is_empty(), "refused, and answered: {both:?}");
    let known = |name: &String| asked.contains(name) || refused.contains(name) || OF_STREAMS.contains(&name.as_str());
    let neither: Vec<&String> = spark.iter().filter(|name| !known(name)).collect();
    let state = session_state(1);
    let here = |name: &&&String| {
        state.scalar_functions().contains_key(**name)
            || state.aggregate_functions().contains_key(**name)
            || state.window_functions().contains_key(**name)
            || state.higher_order_functions().contains_key(**name)
    };
    let worst: Vec<&&String> = neither.iter().filter(here).collect();
    assert!(
        neither.is_empty(),
        "Spark has them, and no question asks about them: {neither:?}; of these the session has {worst:?}"
    );
}

/// A refused function is refused, by its advice.
#[test]
fn a_refused_function_says_what_to_write() {
    let mut fields =
        vec![Arc::new(Field::new("x", DataType::Int32, true)), Arc::new(Field::new("at", event_time_type(), false))];
    fields.extend(provenance_fields());
    let sources = BTreeMap::from([("inputs".to_owned(), Arc::new(Schema::new(fields)))]);
    for name in sluicebox_functions::refused_names() {
        // SQL's parser knows some without brackets alone.
        let brackets =
            if matches!(name, "current_user" | "session_user" | "user" | "current_catalog") { "" } else { "(x)" };
        let text = format!(
            "CREATE TABLE inputs USING kafka OPTIONS ('subscribe' = 'inputs');\n\
             CREATE STREAMING TABLE t AS SELECT {name}{brackets} AS v FROM STREAM inputs;"
        );
        let refused = parse("question.sql", &text, &[]).and_then(|pipeline| bind::bind(pipeline, &sources));
        let mistakes = refused.err().unwrap_or_else(|| panic!("{name} is not refused"));
        let refusal = sluicebox_functions::refused(name).unwrap();
        let told =
            mistakes.list().iter().any(|m| m.help.as_deref() == Some(refusal.instead) && m.message.contains(name));
        assert!(told, "{name}: {mistakes}");
    }
}

/// The functions of this project stand in `docs/functions.md` or `docs/nested.md`.
#[test]
fn every_function_is_in_the_documentation() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let docs = ["functions.md", "nested.md"].map(|page| std::fs::read_to_string(docs.join(page)).unwrap()).concat();
    let spark = of_spark();
    let functions = sluicebox_functions::scalar();
    let names = functions.iter().flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)));
    let missing: Vec<&str> = names
        .filter(|name| spark.contains(*name))
        .filter(|name| !docs.contains(&format!("`{name}`")) && !docs.contains(&format!("`{name}(")))
        .collect();
    assert!(missing.is_empty(), "the pages do not have {missing:?}");
}
