//! The cost of DataFusion's functions here, and that their results are DataFusion's.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at its own clock"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, ListArray};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

fn call(name: &str, args: &[ScalarValue]) -> Result<ScalarValue> {
    let function = super::functions().into_iter().find(|f| f.name() == name).unwrap();
    let field = |of: &ScalarValue| Arc::new(Field::new("x", of.data_type(), true));
    let arg_fields: Vec<_> = args.iter().map(field).collect();
    let constants: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
    let returned = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &constants };
    let return_field = function.return_field_from_args(returned)?;
    let given = ScalarFunctionArgs {
        args: args.iter().cloned().map(ColumnarValue::Scalar).collect(),
        arg_fields,
        number_rows: 1,
        return_field,
        config_options: Arc::default(),
    };
    match function.invoke_with_args(given)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}

fn refused(name: &str, args: &[ScalarValue]) -> String {
    call(name, args).map_err(|error| error.to_string()).unwrap_err()
}

fn text(text: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(text.into()))
}

fn long(number: i64) -> ScalarValue {
    ScalarValue::Int64(Some(number))
}

fn list(elements: impl IntoIterator<Item = ScalarValue>, of: &DataType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(&elements.into_iter().collect::<Vec<_>>(), of))
}

fn longs(elements: impl IntoIterator<Item = i64>) -> ScalarValue {
    list(elements.into_iter().map(long), &DataType::Int64)
}

fn elements(of: &ScalarValue) -> usize {
    let array = of.to_array().unwrap();
    let list: &ListArray = array.as_list();
    list.value(0).len()
}

/// At these sizes what compares each part with each takes minutes.
#[test]
fn parts_of_two_values_are_looked_up_and_not_compared_each_with_each() {
    let began = Instant::now();
    let yes = ScalarValue::Boolean(Some(true));
    let (down, up) = (longs((0..300_000).rev()), longs(0..300_000));
    assert_eq!(call("array_has_all", &[down.clone(), up]).unwrap(), yes);
    let apart = longs(300_000..600_000);
    assert_ne!(call("array_has_any", &[down, apart]).unwrap(), yes);
    let (whole, part) = ("a".repeat(4 << 20), "a".repeat(1 << 20) + "b");
    assert_eq!(call("strpos", &[text(whole.clone()), text(part.clone())]).unwrap(), ScalarValue::Int32(Some(0)));
    let found = call("strpos", &[text(whole + "b"), text(part)]).unwrap();
    assert_eq!(found, ScalarValue::Int32(Some((3 << 20) + 1)));
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
}

#[test]
fn what_is_looked_up_is_what_datafusion_finds() {
    let int = &DataType::Int64;
    let with_null = || list([long(1), ScalarValue::Int64(None), long(2)], int);
    let null = ScalarValue::try_from(&with_null().data_type()).unwrap();
    for (name, args, expected) in [
        ("array_has_all", [with_null(), list([ScalarValue::Int64(None), long(2)], int)], Some(true)),
        ("array_has_all", [with_null(), longs([1, 3])], Some(false)),
        ("array_has_all", [with_null(), longs([])], Some(true)),
        ("array_has_any", [with_null(), longs([3, 2])], Some(true)),
        ("array_has_any", [with_null(), longs([])], Some(false)),
        ("array_has_all", [null.clone(), longs([1])], None),
        ("array_has_any", [with_null(), null], None),
    ] {
        assert_eq!(call(name, &args).unwrap(), ScalarValue::Boolean(expected), "{name} {args:?}");
    }
    for (whole, part, place) in [("né", "é", 2), ("abc", "", 1), ("", "", 1), ("abc", "d", 0)] {
        assert_eq!(call("strpos", &[text(whole), text(part)]).unwrap(), ScalarValue::Int32(Some(place)), "{whole}");
    }
    assert_eq!(call("strpos", &[text("a"), ScalarValue::Utf8(None)]).unwrap(), ScalarValue::Int32(None));
}

/// What is small goes to DataFusion's function; what a number or a product of two values would make large is an error of its row.
#[test]
fn no_more_is_made_than_any_function_may_make() {
    let small = longs(0..1_000);
    let long_text = text("x".repeat(20_000));
    assert!(refused("array_to_string", &[small.clone(), long_text]).contains("more than 16777216 bytes"));
    let short_text = call("array_to_string", &[longs([1, 2]), text("-")]).unwrap();
    assert_eq!(short_text, text("1-2"));
    let texts = list((0..20_000).map(|_| text("a")), &DataType::Utf8);
    let to = text("x".repeat(10_000));
    assert!(refused("array_replace_all", &[texts, text("a"), to]).contains("more than 134217728 bytes"));
    assert!(refused("array_resize", &[small.clone(), long(1_000_001), long(0)]).contains("asks for 1000001 elements"));
    assert_eq!(elements(&call("array_resize", &[small, long(2_000), long(0)]).unwrap()), 2_000);
    for name in ["range", "generate_series"] {
        assert!(refused(name, &[long(0), long(i64::MAX)]).contains("more than 1000000 elements"), "{name}");
        assert!(refused(name, &[long(i64::MAX), long(i64::MIN), long(-1)]).contains("more than 1000000"), "{name}");
        assert_eq!(elements(&call(name, &[long(5), long(1)]).unwrap()), 0, "{name}");
    }
    assert_eq!(elements(&call("range", &[long(1_000)]).unwrap()), 1_000);
    let time = |nanos: i64| ScalarValue::TimestampNanosecond(Some(nanos), None);
    let step = |months: i32, days: i32, nanos: i64| {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
    };
    let hour = 3_600_000_000_000;
    assert!(refused("range", &[time(0), time(hour), step(0, 0, 1)]).contains("more than 1000000 elements"));
    assert!(refused("range", &[time(0), time(hour), step(1, -28, 0)]).contains("leads nowhere"));
    assert_eq!(elements(&call("range", &[time(0), time(24 * hour), step(0, 0, hour)]).unwrap()), 24);
    let day = |day: i32| ScalarValue::Date32(Some(day));
    assert_eq!(elements(&call("range", &[day(0), day(365), step(1, 0, 0)]).unwrap()), 12);
}
