//! What the session has, so that an upgrade that changes it is seen.

use datafusion::logical_expr::Volatility;

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
