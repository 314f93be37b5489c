use proptest::prelude::*;

use super::lex::tokenize;
use super::parse;
use crate::diagnostic::line_col;

/// Whatever the text, there is a pipeline, or mistakes with places that can be shown.
fn survives(text: &str) {
    match parse("fuzz.sql", text, &[("batch.bytes".to_owned(), text.to_owned()), (text.to_owned(), "1".to_owned())]) {
        Ok(pipeline) => assert!(!pipeline.tables.is_empty()),
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            if text.len() < 20_000 {
                assert!(!diagnostics.render(false).is_empty());
            }
            assert!(!diagnostics.to_string().is_empty());
        }
    }
}

#[test]
fn spans_are_the_text_of_tokens() {
    let text = "SELECT 'ä\n…', \"ü\" -- ö\r\n\t/* 𝄞 \n */ ,🦀 x1 <> 1.5e3 ;E'\\n' $$d$$";
    let words: Vec<&str> = tokenize(text).0.iter().map(|t| &text[t.span.start..t.span.end]).collect();
    let expected = ["SELECT", "'ä\n…'", ",", "\"ü\"", ",", "🦀", "x1", "<>", "1.5e3", ";", "E'\\n'", "$$d$$"];
    assert_eq!(words, expected);
}

#[test]
fn lines_and_columns_count_characters_from_one() {
    let text = "aä\nb🦀c";
    let places: Vec<_> = [0, 1, 3, 4, 5, 9, 10, 99].iter().map(|o| line_col(text, *o)).collect();
    assert_eq!(places, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4), (2, 4)]);
    assert_eq!(line_col("", 5), (1, 1));
}

#[test]
fn long_chains_are_survived() {
    for (link, n) in [
        (" + 1", 60_000),
        (" AND 1", 60_000),
        (" IS NULL", 60_000),
        ("::int", 60_000),
        (" + 1", 1_900),
        ("[1]", 60_000),
    ] {
        let chain = format!("a{}", link.repeat(n));
        survives(&format!("CREATE STREAMING TABLE t (CONSTRAINT c EXPECT ({chain})) AS SELECT {chain} FROM STREAM s"));
    }
    survives(&format!("CREATE STREAMING TABLE t AS SELECT 1{}", " UNION ALL SELECT 1".repeat(60_000)));
    survives(&format!("CREATE STREAMING TABLE t AS SELECT {}1", "- ".repeat(60_000)));
    survives(&format!("CREATE STREAMING TABLE t AS SELECT * FROM a{}", " JOIN b ON c".repeat(60_000)));
    survives(&"(".repeat(100_000));
}

/// Pieces that a pipeline is made of, and some that it is not.
const PIECES: &[&str] = &[
    "SET",
    "CREATE",
    "STREAMING",
    "TABLE",
    "TEMPORARY",
    "VIEW",
    "FLOW",
    "OR",
    "REFRESH",
    "USING",
    "kafka",
    "rate",
    "OPTIONS",
    "(",
    ")",
    ",",
    ";",
    "=",
    "'subscribe'",
    "'a'",
    "\"b\"",
    "`c`",
    "PARTITIONED",
    "BY",
    "LOCATION",
    "TBLPROPERTIES",
    "AS",
    "SELECT",
    "*",
    "FROM",
    "STREAM",
    "t",
    "s",
    "WATERMARK",
    "DELAY",
    "OF",
    "INTERVAL",
    "'10 minutes'",
    "10",
    "MINUTES",
    "-",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "window",
    "window.start",
    ".",
    "DISTINCT",
    "ON",
    "JOIN",
    "UNION",
    "ALL",
    "WITH",
    "CONSTRAINT",
    "EXPECT",
    "VIOLATION",
    "DROP",
    "ROW",
    "QUARANTINE",
    "INSERT",
    "INTO",
    "CASE",
    "WHEN",
    "END",
    "CAST",
    "DATE",
    "count",
    "NULL",
    "IS",
    "NOT",
    "IN",
    "[",
    "]",
    "{",
    "}",
    "::",
    "->",
    "'",
    "\"",
    "/*",
    "--",
    "\n",
    "ä",
    "\u{0}",
    "🦀",
    "$",
    "CREATE TABLE s USING kafka OPTIONS (subscribe 't');",
    "CREATE TABLE s (a INT, b STRUCT<c: STRING>) USING kafka OPTIONS (subscribe 't', 'value.format' 'json');",
    "CREATE TABLE s (",
    "ARRAY<",
    "STRUCT<c:",
    "MAP<STRING,",
    "DECIMAL(9, 2)",
    ">>",
    "COMMENT",
    "CREATE STREAMING TABLE t AS SELECT * FROM STREAM s",
    "window(ts, INTERVAL '5 minutes')",
    "window(window, '1 hour', '10 minutes')",
    "EXISTS",
    "LATERAL",
    "VALUES",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_are_survived(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        survives(&pieces.join(" "));
    }

    #[test]
    fn a_cut_or_stained_pipeline_is_survived(at in 0..3000_usize, len in 0..40_usize, with in proptest::sample::select(PIECES)) {
        let text = include_str!("../../../../sql/gold_revenue.sql");
        let start = at.min(text.len());
        let end = (start + len).min(text.len());
        survives(&format!("{}{with}{}", &text[..start], &text[end..]));
        survives(&text[..start]);
    }
}

/// Each would overflow the stack, or take minutes, without its limit.
#[test]
fn large_and_deep_texts_are_refused_at_once() {
    let head = "CREATE TABLE s USING kafka OPTIONS ('subscribe'='s');\nCREATE STREAMING TABLE t AS SELECT ";
    let texts = [
        format!("{head}{}a{} FROM STREAM s", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{head}{}a FROM STREAM s", "(".repeat(10_000)),
        format!("{head}{}a FROM STREAM s", "NOT ".repeat(10_000)),
        format!("{head}{}a FROM STREAM s", "- ".repeat(10_000)),
        format!("{head}{}a{} FROM STREAM s", "[".repeat(10_000), "]".repeat(10_000)),
        format!("{head}{}a{} FROM STREAM s", "abs(".repeat(10_000), ")".repeat(10_000)),
        format!("{head}{}a{} FROM STREAM s", "CASE WHEN ".repeat(10_000), " END".repeat(10_000)),
        format!("{head}1{} FROM STREAM s", " + 1".repeat(10_000)),
        format!("{head}a FROM {}STREAM s{}", "(SELECT * FROM ".repeat(10_000), ")".repeat(10_000)),
        format!("{head}CAST(a AS {}INT{}) FROM STREAM s", "ARRAY<".repeat(10_000), ">".repeat(10_000)),
        format!("CREATE TABLE s (a {}INT{}) USING kafka", "ARRAY<".repeat(10_000), ">".repeat(10_000)),
        format!("CREATE TABLE s (a {}INT) USING kafka", "STRUCT<a: ".repeat(10_000)),
        "/*".repeat(100_000),
        ";x".repeat(20_000),
        "SET 'a' = 'b';\n".repeat(20_000),
        "CREATE TABLE t USING kafka;\n".repeat(5_000),
        "CREATE STREAMING TABLE t AS SELECT 1;\n".repeat(2_000),
        "SELECT ".repeat(150_000),
        "x".repeat(10 << 20),
    ];
    for text in texts {
        let shown = parse("deep.sql", &text, &[]).err().map(|mistakes| mistakes.render(false)).unwrap_or_default();
        assert!(!shown.is_empty() && shown.len() < 4 << 20, "{} bytes for {}", shown.len(), &text[..40]);
    }
    let large = parse("large.sql", &"x".repeat(10 << 20), &[]).err().map(|mistakes| mistakes.render(false));
    assert!(large.is_some_and(|shown| shown.contains("10485760 bytes") && shown.len() < 1_000));
}
