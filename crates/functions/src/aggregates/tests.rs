#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};

fn make(name: &str, data_type: &DataType, constants: &[ScalarValue]) -> Box<dyn Accumulator> {
    let constants = constants.iter().map(|c| Arc::new(Literal::new(c.clone())) as Arc<dyn PhysicalExpr>);
    accumulator(name, data_type, constants)
}

/// One of two columns of the same type.
fn pair(name: &str, data_type: &DataType) -> Box<dyn Accumulator> {
    accumulator(name, data_type, [Arc::new(Column::new("y", 1)) as Arc<dyn PhysicalExpr>])
}

fn accumulator(
    name: &str,
    data_type: &DataType,
    more: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>,
) -> Box<dyn Accumulator> {
    let function = super::functions().into_iter().find(|f| f.name() == name).unwrap();
    let schema = Schema::new(["x", "y"].map(|name| Field::new(name, data_type.clone(), true)).to_vec());
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("x", 0))];
    exprs.extend(more);
    let fields: Vec<_> = exprs.iter().map(|e| e.return_field(&schema).unwrap()).collect();
    let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
    let returned = Arc::new(Field::new(name, function.return_type(&types).unwrap(), true));
    let args = AccumulatorArgs {
        return_field: returned,
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name,
        is_distinct: false,
        exprs: &exprs,
        expr_fields: &fields,
    };
    function.accumulator(args).unwrap()
}

/// Pseudo-random numbers, the same each time.
fn numbers(count: usize) -> Vec<i64> {
    let mut state = 7_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 40).unwrap()
    };
    (0..count).map(next).collect()
}

/// The values in several accumulators whose states are merged into one.
fn merged(make: &dyn Fn() -> Box<dyn Accumulator>, parts: &[ArrayRef]) -> ScalarValue {
    let mut whole = make();
    for part in parts {
        let mut one = make();
        one.update_batch(std::slice::from_ref(part)).unwrap();
        let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
        whole.merge_batch(&state).unwrap();
    }
    whole.evaluate().unwrap()
}

/// The rank of what is given is off by no more than was promised, however the values were cut.
#[test]
fn an_approximate_percentile_keeps_its_error_over_many_merges() {
    let values = numbers(200_000);
    let mut sorted = values.clone();
    sorted.sort_unstable();
    for accuracy in [100_i64, 1000] {
        for share in [0.01, 0.25, 0.5, 0.9, 0.999] {
            let constants = [ScalarValue::Float64(Some(share)), ScalarValue::Int64(Some(accuracy))];
            let new = || make("percentile_approx", &DataType::Int64, &constants);
            let parts = |size: usize| {
                values.chunks(size).map(|c| Arc::new(Int64Array::from(c.to_vec())) as ArrayRef).collect::<Vec<_>>()
            };
            for size in [200_000, 1_000, 37] {
                let parts = parts(size);
                let parts = if size == 37 { &parts[..1_000] } else { &parts[..] };
                let mut sorted = sorted.clone();
                if size == 37 {
                    sorted = values[..37_000].to_vec();
                    sorted.sort_unstable();
                }
                let ScalarValue::Int64(Some(found)) = merged(&new, parts) else { panic!("no number") };
                let count = sorted.len() as f64;
                let rank = sorted.partition_point(|v| *v < found) as f64;
                let allowed = count / accuracy as f64 + 1.0;
                assert!((rank - share * count).abs() <= allowed, "{accuracy} {share} {size}: rank {rank} of {count}");
            }
        }
    }
}

#[test]
fn an_approximate_count_keeps_its_error_and_does_not_depend_on_cuts() {
    for count in [10_i32, 1_000, 100_000] {
        let all: ArrayRef = Arc::new(Int32Array::from_iter_values(0..count));
        let new = || make("approx_count_distinct", &DataType::Int32, &[]);
        let parts: Vec<ArrayRef> = (0..10).map(|n| all.slice(n * all.len() / 10, all.len() / 10)).collect();
        let mut whole = new();
        whole.update_batch(std::slice::from_ref(&all)).unwrap();
        let ScalarValue::Int64(Some(found)) = whole.evaluate().unwrap() else { panic!("no number") };
        assert!((found - i64::from(count)).abs() as f64 <= f64::from(count) * 0.05, "{found} of {count}");
        assert_eq!(merged(&new, &parts), ScalarValue::Int64(Some(found)));
    }
}

#[test]
fn skewness_and_kurtosis_do_not_depend_on_cuts() {
    let values: Vec<f64> = numbers(999).into_iter().map(|v| v as f64 / 1e6).collect();
    for name in ["skewness", "kurtosis"] {
        let new = || make(name, &DataType::Float64, &[]);
        let parts = |size: usize| {
            values.chunks(size).map(|c| Arc::new(Float64Array::from(c.to_vec())) as ArrayRef).collect::<Vec<_>>()
        };
        let value = |v: ScalarValue| if let ScalarValue::Float64(Some(v)) = v { v } else { f64::NAN };
        let (one, many) = (value(merged(&new, &parts(999))), value(merged(&new, &parts(10))));
        assert!((one - many).abs() < 1e-9 * one.abs(), "{name}: {one} {many}");
    }
}

#[test]
fn regr_r2_does_not_depend_on_cuts() {
    let xs: Vec<f64> = numbers(999).into_iter().map(|v| v as f64 / 1e6).collect();
    let ys: Vec<f64> = xs.iter().enumerate().map(|(at, x)| x * 2.0 + (at % 7) as f64).collect();
    let new = || make("regr_r2", &DataType::Float64, &[ScalarValue::Float64(None)]);
    let column = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let of = |size: usize| {
        let mut whole = new();
        for (xs, ys) in xs.chunks(size).zip(ys.chunks(size)) {
            let mut one = new();
            one.update_batch(&[column(xs), column(ys)]).unwrap();
            let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            whole.merge_batch(&state).unwrap();
        }
        if let ScalarValue::Float64(Some(v)) = whole.evaluate().unwrap() { v } else { f64::NAN }
    };
    let (one, many) = (of(999), of(10));
    assert!((one - many).abs() < 1e-9 && one > 0.5, "{one} {many}");
}

/// Which batch a row comes with, or which state, decides nothing: of equal ones it is the last, as within one batch.
#[test]
fn of_equal_largest_and_smallest_the_last_is_taken_over_batches_and_states() {
    let part = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let by = part([7, 7]);
    for name in ["max_by", "min_by"] {
        let new = || pair(name, &DataType::Int64);
        let mut batches = new();
        let mut states = new();
        for values in [[1, 2], [3, 4]] {
            let mut one = new();
            for to in [&mut batches, &mut one] {
                to.update_batch(&[part(values), Arc::clone(&by)]).unwrap();
            }
            let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            states.merge_batch(&state).unwrap();
        }
        let last = ScalarValue::Int64(Some(4));
        assert_eq!((batches.evaluate().unwrap(), states.evaluate().unwrap()), (last.clone(), last), "{name}");
    }
}
