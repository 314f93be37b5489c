//! DataFusion's own functions with limits that a row may not exceed: time by the product of two values of data, and memory by a number in
//! the data.
//!
//! Each is planned as DataFusion's, under its name. Three of them compare each part of one value with each part of another: they are
//! computed here, by hash. The others run after a check that their result is within the limit of every function.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::unicode::strpos as strpos_udf;
use datafusion::functions_nested::array_has::{array_has_all_udf, array_has_any_udf};
use datafusion::functions_nested::range::{gen_series_udf, range_udf};
use datafusion::functions_nested::replace::{array_replace_all_udf, array_replace_n_udf};
use datafusion::functions_nested::resize::array_resize_udf;
use datafusion::functions_nested::string::array_to_string_udf;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{impl_by_name, row_error};
use crate::nested::lists::{Lists, MAX_ASKED, bounded};
use crate::nested::types::element_of;
use crate::rows::{short, together};
use crate::size;

#[cfg(test)]
mod tests;

/// What is done with the arguments before DataFusion's function gets them: nothing, an error, or all that there is to do.
type Before = fn(&Given) -> Result<Option<ArrayRef>>;

/// The functions of this module, by DataFusion's names. They go before DataFusion's, and after those of Spark's names.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        array_has_all(),
        bounded_by(strpos_udf(), place),
        bounded_by(array_has_any_udf(), |given| has(given, false)),
        bounded_by(array_to_string_udf(), joins),
        bounded_by(array_replace_all_udf(), replaces),
        bounded_by(array_replace_n_udf(), replaces),
        bounded_by(array_resize_udf(), resizes),
        bounded_by(range_udf(), ranges),
        bounded_by(gen_series_udf(), ranges),
    ]
}

/// `array_has_all`, which `@>` and `<@` are too.
pub(crate) fn array_has_all() -> Arc<ScalarUDF> {
    bounded_by(array_has_all_udf(), |given| has(given, true))
}

fn bounded_by(inner: Arc<ScalarUDF>, before: Before) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Theirs { inner, before }))
}

/// A function of DataFusion's.
#[derive(Debug)]
struct Theirs {
    inner: Arc<ScalarUDF>,
    before: Before,
}

impl_by_name!(Theirs, inner);

impl ScalarUDFImpl for Theirs {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = Given::of(&args)?;
        let Some(found) = (self.before)(&given)? else { return self.inner.invoke_with_args(args) };
        let found = cast(&found, args.return_field.data_type())?;
        if given.constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
        }
        Ok(ColumnarValue::Array(found))
    }
}

/// What a function is called with.
struct Given {
    /// Each argument, and whether its one value is that of all rows.
    arguments: Vec<(ArrayRef, bool)>,
    rows: usize,
    /// Whether all arguments are constants.
    constant: bool,
}

impl Given {
    fn of(args: &ScalarFunctionArgs) -> Result<Self> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let argument = |arg: &ColumnarValue| match arg {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(value) => Ok((value.to_array_of_size(1)?, true)),
        };
        let arguments = args.args.iter().map(argument).collect::<Result<_>>()?;
        Ok(Self { arguments, rows: if constant { 1 } else { args.number_rows }, constant })
    }

    /// The argument `at` and the place in it of the value for `row`, unless that is NULL or there is no such argument.
    fn value(&self, at: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        let (array, one) = self.arguments.get(at)?;
        let place = if *one { 0 } else { row };
        (array.data_type() != &DataType::Null && array.is_valid(place)).then_some((array, place))
    }

    /// How many bytes the argument `at` takes in `row`.
    fn bytes(&self, at: usize, row: usize) -> usize {
        self.value(at, row).map_or(0, |(array, place)| size::row(array, place))
    }

    /// How many elements the argument `at` has in each row; none of NULL.
    fn elements(&self, at: usize) -> Result<Vec<usize>> {
        let Some((array, one)) = self.arguments.get(at) else { return Ok(vec![0; self.rows]) };
        if element_of(array.data_type()).is_none() {
            return Ok(vec![0; self.rows]);
        }
        let lengths = cast(&length(array)?, &DataType::Int64)?;
        let lengths = lengths.as_primitive::<Int64Type>().iter();
        let lengths: Vec<usize> = lengths.map(|n| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)).collect();
        Ok(if *one { vec![lengths.first().copied().unwrap_or(0); self.rows] } else { lengths })
    }
}

/// `strpos`: where a text stands in another, in time by their lengths.
fn place(given: &Given) -> Result<Option<ArrayRef>> {
    let [(text, text_is_one), (part, part_is_one)] = given.arguments.as_slice() else { return Ok(None) };
    if text.data_type() == &DataType::Null || part.data_type() == &DataType::Null {
        return Ok(None);
    }
    let (text, part) = (cast(text, &DataType::Utf8)?, cast(part, &DataType::Utf8)?);
    let (texts, parts) = (text.as_string::<i32>(), part.as_string::<i32>());
    let place = |row: usize| {
        let (in_text, in_part) = (if *text_is_one { 0 } else { row }, if *part_is_one { 0 } else { row });
        if texts.is_null(in_text) || parts.is_null(in_part) {
            return None;
        }
        let text = texts.value(in_text);
        let place = text.find(parts.value(in_part)).map_or(0, |at| text[..at].chars().count() + 1);
        Some(i32::try_from(place).unwrap_or(i32::MAX))
    };
    Ok(Some(Arc::new((0..given.rows).map(place).collect::<Int32Array>())))
}

/// `array_has_all` and `array_has_any`: whether all elements of the second array, or some, are in the first, by hash. NULLs are equal.
fn has(given: &Given, all: bool) -> Result<Option<ArrayRef>> {
    let [(whole, whole_is_one), (part, part_is_one)] = given.arguments.as_slice() else { return Ok(None) };
    let Some(element) = element_of(whole.data_type()) else { return Ok(None) };
    if element_of(part.data_type()) != Some(element) {
        return Ok(None);
    }
    let converter = RowConverter::new(vec![SortField::new(element.clone())])?;
    let (whole, part) = (Lists::of(whole)?, Lists::of(part)?);
    let within = converter.convert_columns(&[Arc::clone(whole.values())])?;
    let wanted = converter.convert_columns(&[Arc::clone(part.values())])?;
    let has = |row: usize| {
        let these = whole.row(if *whole_is_one { 0 } else { row })?;
        let mut those = part.row(if *part_is_one { 0 } else { row })?;
        let these: HashSet<_> = these.map(|at| within.row(at)).collect();
        let is_there = |at: usize| these.contains(&wanted.row(at));
        Some(if all { those.all(is_there) } else { those.any(is_there) })
    };
    Ok(Some(Arc::new((0..given.rows).map(has).collect::<BooleanArray>())))
}

/// `array_to_string(array, between, for NULL)`, which takes the arrays in an array apart too.
fn joins(given: &Given) -> Result<Option<ArrayRef>> {
    let outer = given.arguments.first().and_then(|(array, _)| element_of(array.data_type()));
    let nested = outer.is_some_and(|element| element_of(element).is_some());
    let mut all = 0_usize;
    for (row, elements) in given.elements(0)?.into_iter().enumerate() {
        let bytes = given.bytes(0, row);
        // No element takes less than a byte.
        let elements = if nested { bytes } else { elements };
        let between = given.bytes(1, row).saturating_add(given.bytes(2, row));
        let made = elements.saturating_mul(between).saturating_add(bytes);
        short(made)?;
        all = all.saturating_add(made);
    }
    together(all).map(|()| None)
}

/// `array_replace_all(array, from, to)` and `array_replace_n(array, from, to, n)`.
fn replaces(given: &Given) -> Result<Option<ArrayRef>> {
    let mut all = 0_usize;
    for (row, elements) in given.elements(0)?.into_iter().enumerate() {
        all = all.saturating_add(elements.saturating_mul(given.bytes(2, row)));
    }
    together(all).map(|()| None)
}

/// `array_resize(array, elements, value)`.
fn resizes(given: &Given) -> Result<Option<ArrayRef>> {
    let Some((wanted, one)) = given.arguments.get(1) else { return Ok(None) };
    let wanted = cast(wanted, &DataType::Int64)?;
    let wanted = wanted.as_primitive::<Int64Type>();
    let (mut all, mut bytes) = (0_usize, 0_usize);
    for row in 0..given.rows {
        let place = if *one { 0 } else { row };
        let elements = if wanted.is_valid(place) { wanted.value(place) } else { 0 };
        if elements > MAX_ASKED {
            return row_error(format!("array_resize asks for {elements} elements, more than {MAX_ASKED}"));
        }
        let elements = usize::try_from(elements).unwrap_or(0);
        all = all.saturating_add(elements);
        bytes = bytes.saturating_add(elements.saturating_mul(given.bytes(2, row)));
    }
    bounded(all)?;
    together(bytes).map(|()| None)
}

/// Values of an argument, and whether the one value is that of all rows.
type Points = (Vec<Option<i128>>, bool);

/// `range` and `generate_series`: of numbers, dates and times.
fn ranges(given: &Given) -> Result<Option<ArrayRef>> {
    if given.arguments.iter().any(|(array, _)| array.data_type() == &DataType::Null) {
        return Ok(None);
    }
    let points = |at: usize| -> Result<Option<Points>> {
        given.arguments.get(at).map(|(array, one)| Ok((nanos(array)?, *one))).transpose()
    };
    let (first, second, third) = (points(0)?, points(1)?, points(2)?);
    let at = |of: &Option<Points>, row: usize, otherwise: i128| match of {
        None => Some(otherwise),
        Some((values, one)) => values.get(if *one { 0 } else { row }).copied().flatten(),
    };
    let mut all = 0_usize;
    for row in 0..given.rows {
        let (start, stop) = match second {
            None => (Some(0), at(&first, row, 0)),
            Some(_) => (at(&first, row, 0), at(&second, row, 0)),
        };
        let (Some(start), Some(stop), Some(step)) = (start, stop, at(&third, row, 1)) else { continue };
        let length = (stop - start).abs();
        // One without a step is DataFusion's to refuse; of a month and so many days back it would find no end.
        if step == 0 && is_interval(given) {
            return row_error("the step of a range leads nowhere");
        }
        let elements = length / step.abs().max(1);
        // What leads the other way has no elements.
        if (stop >= start) == (step > 0) && elements > i128::from(MAX_ASKED) {
            return row_error(format!("range has more than {MAX_ASKED} elements"));
        }
        all = all.saturating_add(usize::try_from(elements.min(i128::from(MAX_ASKED))).unwrap_or(0));
    }
    bounded(all).map(|()| None)
}

fn is_interval(given: &Given) -> bool {
    given.arguments.get(2).is_some_and(|(array, _)| matches!(array.data_type(), DataType::Interval(_)))
}

/// Numbers as they are, times and lengths of time in nanoseconds; a month is 28 days, so that what is found of a range is no fewer
/// elements than it has.
fn nanos(array: &ArrayRef) -> Result<Vec<Option<i128>>> {
    const DAY: i128 = 86_400_000_000_000;
    if let DataType::Interval(_) = array.data_type() {
        let steps = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let length = |step: IntervalMonthDayNano| {
            (i128::from(step.months) * 28 + i128::from(step.days)) * DAY + i128::from(step.nanoseconds)
        };
        return Ok(steps.as_primitive::<IntervalMonthDayNanoType>().iter().map(|step| step.map(length)).collect());
    }
    let unit = match array.data_type() {
        DataType::Date32 => DAY,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let whole = match array.data_type() {
        // A date has no cast to a long number.
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(whole.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| i128::from(n) * unit)).collect())
}
