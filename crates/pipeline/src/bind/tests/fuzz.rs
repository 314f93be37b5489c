//! Binding reports what is wrong with any text; it never panics (invariant 7).

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn expression() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "region",
        "quantity",
        "amount",
        "event_time",
        "ingest_time",
        "event_id",
        "_headers",
        "_key",
        "_timestamp",
        "nope",
        "NULL",
        "1",
        "-1",
        "0",
        "1e400",
        "99999999999999999999999999",
        "'x'",
        "''",
        "TRUE",
        "INTERVAL '1 day'",
        "INTERVAL '1 month'",
        "DATE '2026-01-01'",
        "TIMESTAMP '9999-12-31 23:59:59'",
        "now()",
        "count(*)",
        "window",
        "window.start",
        "window_time(window)",
        "window(event_time, INTERVAL '1 minute')",
        "_headers[1]['key']",
        "[1, 2]",
        "s.region",
        "t.x.y.z",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 16, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let operator = select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "=",
            "<>",
            "<",
            ">=",
            "AND",
            "OR",
            "||",
            "LIKE",
            "IS DISTINCT FROM",
            "&",
            "^",
        ]);
        let function = select(vec![
            "sum",
            "avg",
            "min",
            "array_agg",
            "upper",
            "length",
            "abs",
            "coalesce",
            "concat",
            "date_trunc",
            "to_timestamp",
            "date_add",
            "hex",
            "sha2",
            "unnest",
            "nth_value",
            "first_value",
            "approx_percentile_cont",
            "regexp_like",
            "arrow_cast",
            "struct",
            "named_struct",
            "make_interval",
            "grouping",
            "window",
            "window_time",
            "random",
            "if",
            "element_at",
            "map",
            "from_utc_timestamp",
            "repeat",
            "lpad",
            "format_string",
            "width_bucket",
            "json_tuple",
        ]);
        let cast = select(vec![
            "BIGINT",
            "STRING",
            "TIMESTAMP",
            "DATE",
            "DECIMAL(40,3)",
            "DECIMAL(3,40)",
            "DOUBLE",
            "BINARY",
            "LONG",
        ]);
        prop_oneof![
            (pair.clone(), operator).prop_map(|((a, b), o)| format!("({a} {o} {b})")),
            (function.clone(), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (function.clone(), pair.clone()).prop_map(|(f, (a, b))| format!("{f}({a}, {b})")),
            (function, pair.clone())
                .prop_map(|(f, (a, b))| format!("{f}(DISTINCT {a} ORDER BY {b}) FILTER (WHERE {b})")),
            (inner.clone(), cast).prop_map(|(a, t)| format!("CAST({a} AS {t})")),
            pair.clone().prop_map(|(a, b)| format!("CASE WHEN {a} THEN {b} END")),
            pair.clone().prop_map(|(a, b)| format!("({a} BETWEEN {b} AND {a})")),
            pair.clone().prop_map(|(a, b)| format!("({a} IN ({b}, {a}))")),
            pair.prop_map(|(a, b)| format!("count({a}) OVER (PARTITION BY {b})")),
            inner.clone().prop_map(|a| format!("(NOT {a})")),
            inner.clone().prop_map(|a| format!("(- {a})")),
            inner.clone().prop_map(|a| format!("({a} IS NULL)")),
            inner.prop_map(|a| format!("extract(hour FROM {a})")),
        ]
    })
}

fn query() -> impl Strategy<Value = String> {
    let from = select(vec![
        "STREAM sales",
        "STREAM sales AS s",
        "STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'",
        "STREAM v",
        "STREAM a",
        "STREAM a WATERMARK t DELAY OF INTERVAL '1 minute'",
    ])
    .prop_map(str::to_owned);
    let head = select(vec![
        "SELECT",
        "SELECT DISTINCT",
        "SELECT DISTINCT ON (region)",
        "SELECT DISTINCT ON (1, quantity + 1)",
    ]);
    let tail =
        (proptest::option::of(expression()), proptest::option::of(expression()), proptest::option::of(expression()));
    let items = proptest::collection::vec(
        (expression(), proptest::option::of(select(vec!["x", "y", "region", "window"]))),
        1..4,
    );
    let select = (head, items, from, tail).prop_map(|(head, items, from, (condition, group, having))| {
        let items: Vec<String> =
            items.into_iter().map(|(e, alias)| alias.map_or(e.clone(), |alias| format!("{e} AS {alias}"))).collect();
        let condition = condition.map(|c| format!(" WHERE {c}")).unwrap_or_default();
        let group =
            group.map(|g| format!(" GROUP BY window(event_time, INTERVAL '1 minute'), {g}")).unwrap_or_default();
        let having = having.map(|h| format!(" HAVING {h}")).unwrap_or_default();
        format!("{head} {} FROM {from}{condition}{group}{having}", items.join(", "))
    });
    select.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} UNION ALL {b}")),
            (inner.clone(), expression()).prop_map(|(q, e)| format!("SELECT {e} AS x FROM ({q}) AS s")),
            (inner, expression()).prop_map(|(q, e)| format!("WITH s AS ({q}) SELECT *, {e} AS z FROM s")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_query_panics(query in query()) {
        let text = format!(
            "{SALES}CREATE TEMPORARY VIEW v AS SELECT region, event_time, quantity FROM STREAM sales WHERE quantity > 1;
             CREATE STREAMING TABLE a AS SELECT window_time(window) AS t, region, count(*) AS n FROM STREAM sales
             WATERMARK event_time DELAY OF INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '1 minute'), region;
             CREATE STREAMING TABLE t AS {query};"
        );
        match crate::parse("pipeline.sql", &text, &[]).and_then(|p| bind(p, &schemas())) {
            Ok(graph) => prop_assert!(!graph.describe().to_string().is_empty()),
            Err(mistakes) => prop_assert!(!mistakes.render(false).is_empty()),
        }
    }

    #[test]
    fn no_condition_panics(condition in expression()) {
        let text =
            format!("{SALES}CREATE STREAMING TABLE t (CONSTRAINT c EXPECT ({condition})) AS SELECT * FROM STREAM sales;");
        let bound = crate::parse("pipeline.sql", &text, &[]).and_then(|p| bind(p, &schemas()));
        match bound {
            Ok(graph) => prop_assert_eq!(graph.tables[0].expectations.len(), 1),
            Err(mistakes) => prop_assert!(!mistakes.render(false).is_empty()),
        }
    }
}
