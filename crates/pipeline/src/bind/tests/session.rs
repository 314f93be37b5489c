//! The functions of the session, so that an upgrade that changes them is seen.

use arrow::array::AsArray;
use datafusion::logical_expr::Volatility;
use datafusion::prelude::SessionContext;

use super::*;
use crate::bind::session_state;

#[test]
fn functions_that_are_not_pure_are_known() {
    let state = session_state(1);
    let of = |wanted: Volatility| {
        let functions = state.scalar_functions().iter();
        let mut names: Vec<&str> =
            functions.filter(|(_, f)| f.signature().volatility == wanted).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    };
    insta::assert_debug_snapshot!("not_pure", (of(Volatility::Stable), of(Volatility::Volatile)));
}

#[test]
fn the_session_keeps_order_and_raw_aggregates() {
    let state = session_state(1);
    assert_eq!(state.config().target_partitions(), 1);
    assert!(state.optimizers().iter().all(|rule| rule.name() != "single_distinct_aggregation_to_group_by"));
    assert!(state.optimizers().len() > 10);
    for name in ["window", "window_time", "hex", "date_add", "sha2", "concat", "now"] {
        assert!(state.scalar_functions().contains_key(name), "{name}");
    }
    for name in ["sum", "try_sum", "approx_percentile_cont", "array_agg"] {
        assert!(state.aggregate_functions().contains_key(name), "{name}");
    }
}

#[test]
fn datafusion_wins_over_spark() {
    let spark = datafusion_spark::all_default_scalar_functions();
    let state = session_state(1);
    let defaults = datafusion::execution::SessionStateDefaults::default_scalar_functions();
    let mut both = 0;
    for function in spark.iter().filter(|f| defaults.iter().any(|d| d.name() == f.name())) {
        both += 1;
        let used = &state.scalar_functions()[function.name()];
        assert!(!Arc::ptr_eq(used, function) && used.as_ref() != function.as_ref(), "{}", function.name());
    }
    assert!(both > 10);
}

/// By whatever name they are called.
#[test]
fn functions_of_datafusion_that_grow_by_data_are_those_within_limits() {
    let state = session_state(1);
    let made_by =
        |name: &str| state.scalar_functions().get(name).map(|f| format!("{:?}", f.inner())).unwrap_or_default();
    for function in sluicebox_functions::theirs() {
        let name = function.name();
        for called in std::iter::once(name).chain(function.aliases().iter().map(String::as_str)) {
            let made_by = made_by(called);
            let spark = ["instr", "position", "arrays_overlap", "array_join"].contains(&called);
            assert_eq!(made_by.starts_with("Theirs"), !spark, "{called}: {made_by}");
        }
    }
    assert!(made_by("list_repeat").starts_with("Arrays"), "{}", made_by("list_repeat"));
}

/// DataFusion's planner does not ask for the function by its name.
#[tokio::test]
async fn operators_between_arrays_are_that_function_too() {
    let context = SessionContext::new_with_state(session_state(1));
    for condition in ["make_array(1, 2) @> make_array(2)", "make_array(2) <@ make_array(1, 2)"] {
        let frame = context.sql(&format!("SELECT {condition} AS c")).await.unwrap();
        assert!(format!("{:?}", frame.logical_plan().expressions()).contains("Theirs"), "{condition}");
        let rows = frame.collect().await.unwrap();
        assert!(rows[0].column(0).as_boolean().value(0), "{condition}");
    }
}
