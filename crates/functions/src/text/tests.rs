//! The cost of foreign text: linear in its length, not in the product of two lengths.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at its own clock"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// The function `name` of one row.
fn invoked(name: &str, args: Vec<ColumnarValue>) -> Result<ColumnarValue> {
    let function = super::functions().into_iter().find(|f| f.name() == name).unwrap();
    let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
    let field = |of: &DataType| Arc::new(Field::new("x", of.clone(), true));
    function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields: types.iter().map(field).collect(),
        number_rows: 1,
        return_field: field(&function.return_type(&types).unwrap()),
        config_options: Arc::default(),
    })
}

fn call(name: &str, args: &[ScalarValue]) -> Result<ScalarValue> {
    match invoked(name, args.iter().cloned().map(ColumnarValue::Scalar).collect())? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(_) => unreachable!("of constants a constant"),
    }
}

/// [`call`], which may not take long: at these sizes what compares each with each takes half a minute and more.
fn quickly(name: &str, args: &[ScalarValue]) -> Result<ScalarValue> {
    let began = Instant::now();
    let done = call(name, args);
    assert!(began.elapsed() < Duration::from_secs(12), "{name} took {:?}", began.elapsed());
    done
}

fn text(text: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(text.into()))
}

#[test]
fn binary_is_found_in_binary() {
    let contains = |whole: Vec<u8>, part: Vec<u8>| {
        quickly("contains", &[ScalarValue::Binary(Some(whole)), ScalarValue::Binary(Some(part))]).unwrap()
    };
    let yes = ScalarValue::Boolean(Some(true));
    let mut part = vec![0; 1 << 20];
    part.push(1);
    assert_ne!(contains(vec![0; 4 << 20], part.clone()), yes);
    let mut whole = vec![0; 4 << 20];
    whole.push(1);
    assert_eq!(contains(whole, part), yes);
    assert_eq!(contains(Vec::new(), Vec::new()), yes);
}

#[test]
fn many_characters_are_trimmed() {
    // Of a range of letters, each in the text as often as the others.
    let letters: String = ('\u{4e00}'..='\u{9fff}').collect();
    let long = letters.repeat(20);
    let trimmed = quickly("trim", &[text(letters.clone()), text(format!("{long}middle{long}"))]).unwrap();
    assert_eq!(trimmed, text("middle"));
    assert_eq!(call("ltrim", &[text("ab"), text("abbaxab")]).unwrap(), text("xab"));
    assert_eq!(call("rtrim", &[text("abcdefghijklmnopq"), text("xqponm")]).unwrap(), text("x"));
}

#[test]
fn texts_are_compared_character_by_character_up_to_a_length() {
    let text_of = |length: usize| text("ab".repeat(length / 2));
    let problem = quickly("levenshtein", &[text_of(200_000), text_of(1_000)]).unwrap_err().to_string();
    assert!(problem.contains("200000 and 1000 characters takes too long"), "{problem}");
    // One value of 20 kB can ask for no more than this.
    assert!(quickly("levenshtein", &[text_of(10_000), text_of(10_000)]).is_err());
    assert_eq!(quickly("levenshtein", &[text_of(3_000), text_of(3_000)]).unwrap(), ScalarValue::Int32(Some(0)));
    let near = call("levenshtein", &[text_of(100_000), text("ab")]).unwrap();
    assert_eq!(near, ScalarValue::Int32(Some(99_998)));
}

/// What is made of a row is bounded by itself, so that no neighbour decides what becomes of it.
#[test]
fn no_value_is_made_longer_than_a_row_may_make_one() {
    const MOST: i32 = 16 << 20;
    let number = |n: i32| ScalarValue::Int32(Some(n));
    let long = text("a".repeat(1 << 20));
    for (name, args) in [
        ("repeat", vec![text("a"), number(MOST + 1)]),
        ("space", vec![number(MOST + 1)]),
        ("lpad", vec![text(""), number(MOST + 1), text("x")]),
        ("rpad", vec![ScalarValue::Binary(Some(vec![1])), number(MOST + 1)]),
        ("replace", vec![long.clone(), text("a"), text("x".repeat(17))]),
        ("regexp_replace", vec![long.clone(), text("a"), text("x".repeat(17))]),
        ("concat_ws", std::iter::once(text("")).chain(std::iter::repeat_n(long.clone(), 17)).collect()),
        ("hex", vec![text("a".repeat(9 << 20))]),
    ] {
        let problem = call(name, &args).map(|_| "made").unwrap_err().to_string();
        assert!(problem.contains("more than 16777216 bytes"), "{name}: {problem}");
    }
    assert!(call("repeat", &[text("a"), number(MOST)]).is_ok());
}

#[test]
fn a_replacement_of_many_pieces_is_put_in_up_to_a_limit() {
    let replaced = |length: usize, pieces: usize| {
        quickly("regexp_replace", &[text("a".repeat(length)), text("()a"), text("$1".repeat(pieces))])
    };
    assert_eq!(replaced(1_000, 1_000).unwrap(), text(""));
    let problem = replaced(5_000, 5_000).unwrap_err().to_string();
    assert!(problem.contains("takes too long"), "{problem}");
}

/// Behind each match the rest of the text is looked through for a better one.
#[test]
fn a_text_is_looked_through_again_and_again_up_to_a_limit() {
    for (name, more) in
        [("regexp_count", None), ("regexp_extract_all", None), ("regexp_replace", Some(text("x"))), ("split", None)]
    {
        let of = |length: usize| {
            let args = [text("a".repeat(length)), text(".*[^a]|a()")].into_iter().chain(more.clone());
            quickly(name, &args.collect::<Vec<_>>())
        };
        let problem = of(6_000).map(|_| "looked through").unwrap_err().to_string();
        assert!(problem.contains("6000 bytes takes too long"), "{name}: {problem}");
        assert!(of(1_000).is_ok(), "{name}");
    }
}

/// Who sends both a text and a pattern has less room for the pattern than who writes it into the query.
#[test]
fn each_function_knows_the_patterns_of_rows_from_those_of_the_query() {
    for (name, more) in [
        ("rlike", None),
        ("regexp_extract", None),
        ("regexp_extract_all", None),
        ("regexp_replace", Some(text("x"))),
        ("regexp_count", None),
        ("regexp_instr", None),
        ("regexp_substr", None),
        ("split", None),
    ] {
        let args: Vec<ScalarValue> = [text("a"), text(r"\p{L}{60}")].into_iter().chain(more).collect();
        assert!(call(name, &args).is_ok(), "{name}");
        let of_a_row = args.iter().map(|value| ColumnarValue::Array(value.to_array().unwrap())).collect();
        let problem = invoked(name, of_a_row).map(|_| "looked through").unwrap_err().to_string();
        assert!(problem.contains("not a valid or supported regular expression"), "{name}: {problem}");
    }
}

#[test]
fn groups_are_found_by_their_names() {
    let names = 3_000;
    let pattern: String = (0..names).map(|n| format!("(?<g{n}>x?)")).collect();
    let last = format!("${{g{}}}", names - 1);
    let replaced = quickly("regexp_replace", &[text("y"), text(pattern + "y"), text(last.repeat(200_000) + "!")]);
    assert_eq!(replaced.unwrap(), text("!"));
    let named = [text("2026-01"), text("(?<year>[0-9]+)-(?<month>[0-9]+)"), text("${month}/${year}")];
    assert_eq!(call("regexp_replace", &named).unwrap(), text("01/2026"));
    assert!(call("regexp_replace", &[text("a"), text("(?<n>a)"), text("${m}")]).is_err());
}
