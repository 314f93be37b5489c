//! One notion of equality: what is compared, grouped or ordered, and what is only carried. The answers are pyspark 4.1's.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Float64Builder, Int64Array, ListArray,
    MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

use sluicebox_pipeline::bind::session_state;
use sluicebox_pipeline::equal::{has_twins, normal};

/// A NaN with its sign set, as a division on x86 gives it.
const OTHER_NAN: f64 = f64::from_bits(0xfff8_0000_0000_0000);
/// A NaN with bits of its own.
const THIRD_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0001);

/// The columns that `sql` gives, if it gives a row, over a table `t` with `a` and `b`, doubles, in its only row.
async fn answer(a: f64, b: f64, sql: &str) -> Vec<ArrayRef> {
    let columns: [(&str, ArrayRef); 2] =
        [("a", Arc::new(Float64Array::from(vec![a]))), ("b", Arc::new(Float64Array::from(vec![b])))];
    let context = SessionContext::new_with_state(session_state(1));
    context.register_batch("t", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    batches.first().map(|batch| batch.columns().to_vec()).unwrap_or_default()
}

/// What pyspark 4.1 gave, of a pair of equal values that do not look the same.
const OF_TWINS: [(&str, bool); 23] = [
    ("a = b", true),
    ("a <> b", false),
    ("a < b", false),
    ("a <= b", true),
    ("b < a", false),
    ("b >= a", true),
    ("a IS NOT DISTINCT FROM b", true),
    ("a IS DISTINCT FROM b", false),
    ("a IN (b)", true),
    ("a NOT IN (b, 7)", false),
    ("a BETWEEN b AND b", true),
    ("a NOT BETWEEN b AND b", false),
    ("CASE a WHEN b THEN true ELSE false END", true),
    ("nullif(a, b) IS NULL", true),
    ("named_struct('x', a) = named_struct('x', b)", true),
    ("named_struct('x', a) < named_struct('x', b)", false),
    ("make_array(a, 1) = make_array(b, 1)", true),
    ("named_struct('x', make_array(a)) = named_struct('x', make_array(b))", true),
    ("array_has(make_array(7, a), b)", true),
    ("array_position(make_array(7, a), b) = 2", true),
    // Spark has no such function.
    ("array_length(array_positions(make_array(7, a, b), b)) = 2", true),
    ("CAST(a AS FLOAT) = b", true),
    ("CAST(a AS FLOAT) = CAST(b AS FLOAT)", true),
];

#[tokio::test]
async fn twins_are_one_value_wherever_values_are_compared() {
    for (a, b) in [(0.0, -0.0), (-0.0, 0.0), (f64::NAN, OTHER_NAN), (OTHER_NAN, f64::NAN), (THIRD_NAN, OTHER_NAN)] {
        for (expr, expected) in OF_TWINS {
            for sql in [format!("SELECT {expr} AS x FROM t"), format!("SELECT true AS x FROM t WHERE {expr}")] {
                let columns = answer(a, b, &sql).await;
                let found = columns.first().is_some_and(|x| x.len() == 1 && x.as_boolean().value(0));
                assert_eq!(found, expected, "{sql}, a = {a:?}, b = {b:?}");
            }
        }
    }
}

#[tokio::test]
async fn literals_are_compared_alike() {
    let sql =
        "SELECT -0.0 = 0.0, a = -0.0, a >= 0.0, a < 0.0, a IN (1.0, 0.0), CAST('NaN' AS DOUBLE) = b, b > 1e308, 1 < b,
               b > CAST('Infinity' AS DOUBLE), b < 0 FROM t";
    let found = answer(-0.0, OTHER_NAN, sql).await;
    let found: Vec<bool> = found.iter().map(|column| column.as_boolean().value(0)).collect();
    assert_eq!(found, [true, true, true, false, true, true, true, true, true, false]);
}

#[tokio::test]
async fn names_types_and_values_that_are_carried_stay() {
    let context = SessionContext::new_with_state(session_state(1));
    let column: ArrayRef = Arc::new(Float64Array::from(vec![-0.0]));
    context.register_batch("t", RecordBatch::try_from_iter([("a", column)]).unwrap()).unwrap();
    let sql = "SELECT a, a = 0.0, nullif(a, 1.0), array_has(make_array(a), 0.0) FROM t WHERE a >= 0";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let names: Vec<String> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["a", "t.a = Float64(0)", "nullif(t.a,Float64(1))", "array_has(make_array(t.a),Float64(0))"]);
    for carried in [0, 2] {
        assert_eq!(batches[0].column(carried).as_primitive::<Float64Type>().value(0).to_bits(), (-0.0f64).to_bits());
    }
    assert!(!batches[0].schema().field(1).is_nullable());
}

/// The one row of an aggregation of `values` in each of two orders.
async fn aggregated(values: &[f64], sql: &str) -> [RecordBatch; 2] {
    let mut found = Vec::new();
    for turned in [false, true] {
        let mut values = values.to_vec();
        if turned {
            values.reverse();
        }
        let context = SessionContext::new_with_state(session_state(1));
        let groups: ArrayRef = Arc::new(Int64Array::from(vec![1; values.len()]));
        let columns: [(&str, ArrayRef); 2] = [("g", groups), ("v", Arc::new(Float64Array::from(values)))];
        context.register_batch("t", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        found.push(context.sql(sql).await.unwrap().collect().await.unwrap().remove(0));
    }
    [found.remove(0), found.remove(0)]
}

#[tokio::test]
async fn the_least_and_the_most_do_not_depend_on_the_order_of_rows() {
    let infinity = f64::INFINITY;
    for (values, least, most) in [
        (vec![5.0, f64::NAN, 3.0], 3.0, f64::NAN),
        (vec![5.0, OTHER_NAN, 3.0], 3.0, f64::NAN),
        (vec![f64::NAN, OTHER_NAN], f64::NAN, f64::NAN),
        (vec![-infinity], -infinity, -infinity),
        (vec![infinity, infinity], infinity, infinity),
        (vec![-infinity, 1.0, OTHER_NAN], -infinity, f64::NAN),
        (vec![-0.0, 0.0], 0.0, 0.0),
        (vec![-0.0], 0.0, 0.0),
    ] {
        for sql in [
            "SELECT g, min(v), max(v) FROM t GROUP BY g",
            "SELECT g, CAST(min(CAST(v AS FLOAT)) AS DOUBLE), CAST(max(CAST(v AS FLOAT)) AS DOUBLE) FROM t GROUP BY g",
        ] {
            for batch in aggregated(&values, sql).await {
                let bits = |column: usize| batch.column(column).as_primitive::<Float64Type>().value(0).to_bits();
                assert_eq!((bits(1), bits(2)), (least.to_bits(), most.to_bits()), "{values:?}: {sql}");
            }
        }
    }
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

/// Maps of one entry each, in the orders given.
fn maps(rows: &[&[(&str, f64)]]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
    for row in rows {
        for (key, value) in *row {
            builder.keys().append_value(key);
            builder.values().append_value(*value);
        }
        builder.append(true).unwrap();
    }
    Arc::new(builder.finish())
}

#[test]
fn every_layout_is_brought_to_one_form() {
    let twins = floats(&[0.0, f64::NAN, 1.0, 0.0]);
    let others = floats(&[-0.0, OTHER_NAN, 1.0, -0.0]);
    let as_struct = |column: &ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("x", DataType::Float64, true));
        Arc::new(StructArray::from(vec![(field, Arc::clone(column))]))
    };
    let as_list = |column: &ArrayRef| -> ArrayRef {
        let floats = column.as_primitive::<Float64Type>();
        let rows = [vec![floats.value(0), floats.value(1)], vec![], vec![floats.value(2), floats.value(3)]];
        let rows = rows.map(|row| Some(row.into_iter().map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
    };
    let to = |column: &ArrayRef, data_type: DataType| cast(column, &data_type).unwrap();
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let mut pairs = vec![
        (Arc::clone(&twins), Arc::clone(&others)),
        (to(&twins, DataType::Float32), to(&others, DataType::Float32)),
        (to(&twins, DataType::Float16), to(&others, DataType::Float16)),
        (as_struct(&twins), as_struct(&others)),
        (as_list(&twins), as_list(&others)),
        (
            to(&as_list(&twins), DataType::LargeList(Arc::clone(&item))),
            to(&as_list(&others), DataType::LargeList(item)),
        ),
        (
            maps(&[&[("a", 0.0), ("b", 1.0)], &[], &[("c", 2.0)]]),
            maps(&[&[("b", 1.0), ("a", -0.0)], &[], &[("c", 2.0)]]),
        ),
    ];
    let nested = pairs.iter().map(|(one, two)| (as_item(one), as_item(two))).collect::<Vec<_>>();
    pairs.extend(nested);
    for (one, two) in pairs {
        assert!(has_twins(one.data_type()), "{}", one.data_type());
        let (first, second) = (normal(&one).unwrap(), normal(&two).unwrap());
        assert_eq!(first.to_data(), second.to_data(), "{}", one.data_type());
        assert_eq!(normal(&first).unwrap().to_data(), first.to_data());
        assert_eq!(first.data_type(), one.data_type());
        for from in 0..one.len() {
            let (one, two) = (one.slice(from, one.len() - from), two.slice(from, two.len() - from));
            let equal =
                arrow::compute::kernels::cmp::eq(&as_rows(&normal(&one).unwrap()), &as_rows(&normal(&two).unwrap()));
            assert_eq!(equal.unwrap(), BooleanArray::from(vec![true; one.len()]));
        }
    }
}

/// Each value alone in a struct.
fn as_item(column: &ArrayRef) -> ArrayRef {
    Arc::new(StructArray::from(vec![(Arc::new(Field::new("y", column.data_type().clone(), true)), Arc::clone(column))]))
}

/// Values of any type as text that shows their bits.
fn as_rows(column: &ArrayRef) -> StringArray {
    (0..column.len()).map(|row| Some(format!("{:?}", column.slice(row, 1)))).collect()
}

#[test]
fn what_has_no_twins_is_handed_through() {
    let untouched: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(Arc::ptr_eq(&normal(&untouched).unwrap(), &untouched));
    let usual: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), None, Some(0.0)]));
    assert!(Arc::ptr_eq(&normal(&usual).unwrap(), &usual));
    assert!(!has_twins(&DataType::Decimal128(10, 2)) && !has_twins(&DataType::Utf8));
}

proptest! {
    /// Two doubles of any bits have one form if and only if they are equal, and it is ordered as they are.
    #[test]
    fn equal_doubles_have_one_form(a in any::<u64>(), b in any::<u64>()) {
        let (a, b) = (f64::from_bits(a), f64::from_bits(b));
        let form = normal(&floats(&[a, b])).unwrap();
        let form = form.as_primitive::<Float64Type>();
        let equal = a == b || (a.is_nan() && b.is_nan());
        prop_assert_eq!(form.value(0).to_bits() == form.value(1).to_bits(), equal);
        let less = a < b || (b.is_nan() && !a.is_nan());
        prop_assert_eq!(form.value(0).total_cmp(&form.value(1)).is_lt(), less);
    }
}
