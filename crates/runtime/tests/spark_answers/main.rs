//! What Spark's functions, operators and casts give here is what Spark 4 gives.
//!
//! `tests/spark/NAME.questions` are asked of Spark by `scripts/spark/answers.py`, which also says how they are written;
//! `NAME.answers.jsonl` are its answers. Each is a streaming table here, planned and run as a pipeline's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod beside;
mod canonical;
mod harness;
mod nested;
mod registry;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::harness::{Answer, Harness, Question};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spark")
}

/// The questions of `name`, each with Spark's answer.
fn asked(name: &str) -> Vec<(Question, Value)> {
    let answers = std::fs::read_to_string(folder().join(format!("{name}.answers.jsonl"))).unwrap_or_default();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let questions = std::fs::read_to_string(folder().join(format!("{name}.questions"))).unwrap();
    let questions = questions.lines().filter_map(Question::of_line);
    questions
        .map(|question| {
            let answer = answers.iter().find(|a| a["q"] == question.text.as_str());
            let answer =
                answer.unwrap_or_else(|| panic!("`{}` has no answer: run scripts/spark/answers.py", question.text));
            (question, answer.clone())
        })
        .collect()
}

/// Every question of `name` has Spark's answer, but for those that say otherwise.
async fn check(name: &str) {
    let harness = Harness::new(&folder());
    let only = std::env::var("SLUICEBOX_QUESTION").ok();
    let mut wrong = Vec::new();
    let mut right = 0;
    for (question, spark) in asked(name) {
        if only.as_ref().is_some_and(|only| !question.text.contains(only.as_str())) {
            continue;
        }
        let ours = harness.answer(&question).await;
        match question.judge(&spark, &ours) {
            Ok(()) => right += 1,
            Err(why) => wrong.push(format!("{}\n    {why}", question.text)),
        }
        if only.is_some() {
            println!("{}\n  Spark {spark}\n  here  {ours:?}", question.text);
        }
    }
    assert!(wrong.is_empty(), "{right} right, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// All files of questions are checked by a test below.
#[test]
fn every_file_of_questions_is_checked() {
    let here = include_str!("main.rs");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "questions") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(here.contains(&format!("check(\"{name}\")")), "no test checks {name}.questions");
        }
    }
}

#[tokio::test]
async fn basics() {
    check("basics").await;
}

#[tokio::test]
async fn nested() {
    check("nested").await;
}

#[tokio::test]
async fn generators() {
    check("generators").await;
}

#[tokio::test]
async fn json() {
    check("json").await;
}

#[tokio::test]
async fn aggregates() {
    check("aggregates").await;
}

#[tokio::test]
async fn text() {
    check("text").await;
}

#[tokio::test]
async fn time() {
    check("time").await;
}

#[tokio::test]
async fn math() {
    check("math").await;
}

#[tokio::test]
async fn operators() {
    check("operators").await;
}

#[tokio::test]
async fn casts() {
    check("casts").await;
}

/// A sum neither wraps nor depends on what is added first: 9223372036854775807 and its like come before and after what brings
/// the sum back.
#[tokio::test]
async fn sums_depend_on_no_order() {
    let harness = Harness::new(&folder());
    let orders: [&[usize]; 4] =
        [&[0, 1, 2, 3, 4, 5, 6, 7], &[4, 6, 7, 0, 5, 1, 2, 3], &[5, 1, 2, 3, 4, 0, 6, 7], &[7, 6, 5, 4, 3, 2, 1, 0]];
    for aggregate in [
        "sum(l)",
        "sum(i)",
        "sum(big)",
        "sum(dec)",
        "avg(dec)",
        "avg(big)",
        "sum(DISTINCT l)",
        "sum(l) FILTER (WHERE id IN (4, 6))",
        "sum(big) FILTER (WHERE id IN (4, 6))",
        "try_sum(l) FILTER (WHERE id IN (4, 6))",
    ] {
        let mut found = Vec::new();
        for order in orders {
            let value = harness.row_by_row(aggregate, order).await;
            // Which group could not be computed is the same; the words may name another value.
            found.push(if value.get("error").is_some() { serde_json::json!("error") } else { value });
        }
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{aggregate}: {found:?}");
        let overflows = aggregate.contains("IN (4, 6)") && !aggregate.starts_with("try_");
        assert_eq!(found[0] == "error", overflows, "{aggregate}: {found:?}");
    }
}

/// The judge sees a wrong answer.
#[test]
fn a_wrong_answer_is_seen() {
    let question = Question::of_line("i + 1").unwrap();
    let spark = serde_json::json!({"q": "i + 1", "type": "int", "rows": [8, {"error": "ARITHMETIC_OVERFLOW"}]});
    let answer = |rows: Vec<Value>, data_type: &str| Answer::Rows {
        types: vec![data_type.to_owned()],
        names: vec!["v".to_owned()],
        rows,
    };
    let overflow = serde_json::json!({"error": "overflow"});
    assert!(question.judge(&spark, &answer(vec![8.into(), overflow.clone()], "int")).is_ok());
    assert!(question.judge(&spark, &answer(vec![9.into(), overflow.clone()], "int")).is_err());
    assert!(question.judge(&spark, &answer(vec![8.into(), Value::Null], "int")).is_err());
    assert!(question.judge(&spark, &answer(vec![8.into(), overflow], "bigint")).is_err());
    assert!(question.judge(&spark, &Answer::Refused("no".to_owned())).is_err());
}
