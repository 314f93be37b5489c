//! The cost of lambdas.

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use datafusion::physical_expr::expressions::{Column, is_not_null};

use super::super::lists::list;
use super::super::types::item;
use super::*;

/// Lists of so many numbers each.
fn numbers(lengths: &[usize]) -> Result<ArrayRef> {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(lengths.iter().sum())));
    list(&item(&DataType::Int64), &values, lengths.iter().copied(), vec![true; lengths.len()])
}

/// `exists(list, x -> c IS NOT NULL)` for lists of so many numbers each, beside the values of `c`.
fn some_seen(lengths: &[usize], c: &ArrayRef) -> Result<Vec<Option<bool>>> {
    let seen = RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(c), true)])?;
    let body = is_not_null(Arc::new(Column::new("c", 0)))?;
    let lists = numbers(lengths)?;
    let arg_fields = vec![
        ValueOrLambda::Value(field("l", lists.data_type().clone())),
        ValueOrLambda::Lambda(body.return_field(&seen.schema())?),
    ];
    let lambda = LambdaArgument::new(vec![field("x", DataType::Int64)], body, Some(seen), &[]);
    let args = HigherOrderFunctionArgs {
        args: vec![ValueOrLambda::Value(ColumnarValue::Array(lists)), ValueOrLambda::Lambda(lambda)],
        arg_fields,
        number_rows: lengths.len(),
        return_field: field("e", DataType::Boolean),
        config_options: Arc::default(),
    };
    let found = Lambda::new(Kind::Exists).invoke_with_args(args)?.into_array(lengths.len())?;
    Ok(found.as_boolean().iter().collect())
}

#[test]
fn a_row_of_which_too_much_is_seen_cannot_be_computed() {
    let lengths = [3, 20_000, 1_000];
    let Ok(seen) = numbers(&lengths) else { unreachable!("they are lists") };
    let of = |from: usize, count: usize| some_seen(&lengths[from..from + count], &seen.slice(from, count));
    for (from, count) in [(0, 3), (0, 2), (1, 1), (1, 2)] {
        let why = of(from, count).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(why.contains("a lambda takes too long"), "{from}, {count}: {why}");
    }
    for row in [0, 2] {
        assert!(of(row, 1).is_ok_and(|found| found == [Some(true)]), "{row}");
    }
}

#[test]
fn what_rows_cost_together_is_no_matter() {
    let long = "x".repeat(100_000);
    let c: StringArray = (0..6).map(|row| (row % 2 == 0).then_some(long.as_str())).collect();
    let found = some_seen(&[1_000; 6], &(Arc::new(c) as ArrayRef));
    let wanted = [true, false, true, false, true, false].map(Some);
    assert!(found.as_ref().is_ok_and(|found| *found == wanted), "{found:?}");
}

#[test]
fn a_short_text_is_seen_for_each_of_a_million_elements() {
    let c: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100)]));
    let found = some_seen(&[1_048_576], &c);
    assert!(found.as_ref().is_ok_and(|found| *found == [Some(true)]), "{found:?}");
}
