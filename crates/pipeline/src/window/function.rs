//! The scalar functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalUnit, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use sluicebox_core::provenance::event_time_type;

use super::{
    Assigner, CUMULATE, END, MAX_PANES, SESSION_WINDOW, WINDOW, WINDOW_TIME, WINDOWS, assigner_of, micros,
    window_fields, window_type,
};

/// `window(time, size[, slide[, offset[, zone]]])`: the tumbling window that holds the time, as a struct of `start` and `end` in
/// UTC; NULL for NULL. The time may be a timestamp of any unit and zone (without zone it is UTC), a date, or a window,
/// whose event time is then taken. A time whose window would lie outside of what microseconds can say gives NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowFunction {
    signature: Signature,
}

impl Default for WindowFunction {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        WINDOW
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let Some((time, rest)) = arg_types.split_first().filter(|(_, i)| (1..=4).contains(&i.len())) else {
            return plan_err!(
                "window takes a time and a size, then a slide, an offset and a time zone: window(event_time, INTERVAL '5 minutes')"
            );
        };
        let mut types = vec![time_type(time, WINDOW)?];
        for interval in rest.iter().take(3) {
            types.push(interval_type(interval, WINDOW)?);
        }
        types.extend(rest.iter().skip(3).map(|_| DataType::Utf8));
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((time, rest)) = args.args.split_first() else {
            return exec_err!("window takes a time and a size");
        };
        let intervals: Option<Vec<i64>> = rest.iter().take(3).map(constant).collect();
        let zone = rest.get(3).map(text);
        let assigner = match (intervals, zone) {
            (Some(intervals), None) => assigner_of(&intervals, None),
            (Some(intervals), Some(Some(zone))) => assigner_of(&intervals, Some(zone)),
            _ => None,
        };
        let Some(assigner) = assigner else {
            return exec_err!(
                "the size of a window is a positive constant of fixed length, its slide at most the size and at least a \
                 {MAX_PANES}th of it, its offset less than the slide"
            );
        };
        if !assigner.is_of_row() {
            return exec_err!(
                "a hopping window holds a row more than once: it stands in GROUP BY of a streaming table only"
            );
        }
        let scalar = matches!(time, ColumnarValue::Scalar(_));
        let times = event_times(&time.to_array(if scalar { 1 } else { args.number_rows })?)?;
        let windows: ArrayRef = Arc::new(windows(&times, assigner)?);
        if scalar {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&windows, 0)?))
        } else {
            Ok(ColumnarValue::Array(windows))
        }
    }
}

/// A function of a window that no row has by itself: it stands in GROUP BY of a streaming table, and has no value elsewhere.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct GroupedWindowFunction {
    name: &'static str,
    /// How many intervals it takes behind the time.
    intervals: (usize, usize),
    signature: Signature,
}

impl GroupedWindowFunction {
    fn new(name: &'static str, intervals: (usize, usize)) -> Self {
        Self { name, intervals, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// `session_window(time, gap)`.
    #[must_use]
    pub fn session() -> Self {
        Self::new(SESSION_WINDOW, (1, 1))
    }

    /// What CUMULATE becomes: the time, the step, the longest, the offset.
    #[must_use]
    pub fn cumulating() -> Self {
        Self::new(CUMULATE, (2, 3))
    }
}

impl ScalarUDFImpl for GroupedWindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.intervals;
        let Some((time, rest)) = arg_types.split_first().filter(|(_, i)| (least..=most).contains(&i.len())) else {
            return plan_err!("{} takes a time and {least} interval(s)", self.name);
        };
        let intervals = rest.iter().map(|interval| interval_type(interval, self.name));
        std::iter::once(time_type(time, self.name)).chain(intervals).collect()
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} depends on other rows: it stands in GROUP BY of a streaming table only", self.name)
    }
}

/// All windows that hold a time, as structs of `window_start`, `window_end` and `window_time`: what HOP and CUMULATE become where nothing is
/// grouped by their windows. It takes the time, which of both it is, and the intervals as they stand there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowsFunction {
    signature: Signature,
}

impl Default for WindowsFunction {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowsFunction {
    fn name(&self) -> &str {
        WINDOWS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(window_columns()))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [time, _, intervals @ ..] = arg_types else { return plan_err!("HOP and CUMULATE take a time") };
        let intervals = intervals.iter().map(|interval| interval_type(interval, WINDOW));
        [time_type(time, WINDOW), Ok(DataType::Utf8)].into_iter().chain(intervals).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, kind, intervals @ ..] = args.args.as_slice() else {
            return exec_err!("HOP and CUMULATE take a time");
        };
        let intervals: Option<Vec<i64>> = intervals.iter().map(constant).collect();
        let assigner = match (text(kind), intervals.as_deref()) {
            (Some("HOP"), Some(&[slide_micros, size_micros, offset_micros])) => {
                Some(Assigner::Hopping { size_micros, slide_micros, offset_micros })
            }
            (Some("CUMULATE"), Some(&[step_micros, size_micros, offset_micros])) => {
                Some(Assigner::Cumulating { size_micros, step_micros, offset_micros })
            }
            _ => None,
        };
        let Some(assigner) = assigner else { return exec_err!("HOP and CUMULATE take constant intervals") };
        let times = event_times(&time.to_array(args.number_rows)?)?;
        let found: Vec<Option<Vec<(i64, i64)>>> = times.iter().map(|time| assigner.windows_of(time?)).collect();
        let lengths = found.iter().map(|windows| windows.as_ref().map_or(0, Vec::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls = NullBuffer::from_iter(found.iter().map(Option::is_some));
        let all: Vec<(i64, i64)> = found.into_iter().flatten().flatten().collect();
        let column = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(of)).with_timezone("UTC"))
        };
        let columns = vec![column(|window| window.0), column(|window| window.1), column(|window| window.1 - 1)];
        let item = window_columns();
        let DataType::Struct(fields) = item.data_type() else { return exec_err!("windows are structs") };
        let structs = StructArray::try_new(fields.clone(), columns, None)?;
        let lists = ListArray::try_new(Arc::clone(&item), offsets, Arc::new(structs), Some(nulls))?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// What is in the list of a time's windows.
fn window_columns() -> FieldRef {
    let fields: Vec<Field> =
        super::tables::COLUMNS.iter().map(|name| Field::new(*name, event_time_type(), true)).collect();
    Arc::new(Field::new("item", DataType::Struct(fields.into()), true))
}

/// `window_time(window)`: the event time of what was computed from a window: its end less one microsecond, so that it
/// lies in the same larger window as all of its rows.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowTimeFunction {
    signature: Signature,
}

impl Default for WindowTimeFunction {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowTimeFunction {
    fn name(&self) -> &str {
        WINDOW_TIME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(event_time_type())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [window] if is_window(window) => Ok(vec![window.clone()]),
            [DataType::Null] => Ok(vec![window_type()]),
            [_] => plan_err!("window_time takes a window, as in window_time(window)"),
            _ => plan_err!("window_time takes one argument, the window"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [window] = args.args.as_slice() else { return exec_err!("window_time takes a window") };
        let scalar = matches!(window, ColumnarValue::Scalar(_));
        let times: ArrayRef = Arc::new(event_times(&window.to_array(if scalar { 1 } else { args.number_rows })?)?);
        if scalar {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?))
        } else {
            Ok(ColumnarValue::Array(times))
        }
    }
}

/// The type that a time of type `given` is taken as.
fn time_type(given: &DataType, function: &str) -> Result<DataType> {
    match given {
        DataType::Timestamp(..) => Ok(given.clone()),
        DataType::Date32 | DataType::Date64 | DataType::Null => Ok(event_time_type()),
        window if is_window(window) => Ok(given.clone()),
        other => plan_err!("{function} takes a timestamp first, not {other}; CAST the column to TIMESTAMP"),
    }
}

/// The type that an interval of type `given` is taken as.
fn interval_type(given: &DataType, function: &str) -> Result<DataType> {
    match given {
        DataType::Interval(_) | DataType::Duration(_) => Ok(given.clone()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Ok(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        other => {
            plan_err!("{function} takes intervals after the time, such as INTERVAL '5 minutes', not {other}")
        }
    }
}

/// Whether the type is that of a window: a struct of timestamps `start` and `end`.
fn is_window(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    matches!(fields.as_ref(), [start, end]
        if start.name() == START_NAME && end.name() == END
            && matches!((start.data_type(), end.data_type()), (DataType::Timestamp(..), DataType::Timestamp(..))))
}

const START_NAME: &str = super::START;

fn constant(value: &ColumnarValue) -> Option<i64> {
    match value {
        ColumnarValue::Scalar(value) => micros(value),
        ColumnarValue::Array(array) if !array.is_empty() && array.len() == 1 => {
            micros(&ScalarValue::try_from_array(array, 0).ok()?)
        }
        ColumnarValue::Array(_) => None,
    }
}

fn text(value: &ColumnarValue) -> Option<&str> {
    match value {
        ColumnarValue::Scalar(ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text)) => {
            text.as_deref()
        }
        _ => None,
    }
}

/// Times in microseconds UTC; of a window, its event time.
fn event_times(times: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    match times.data_type() {
        DataType::Struct(_) => {
            let windows = times.as_struct();
            let Some(end) = windows.column_by_name(END) else { return exec_err!("a window has an end") };
            let ends = event_times(end)?;
            let times = (0..ends.len())
                .map(|i| (windows.is_valid(i) && ends.is_valid(i)).then(|| ends.value(i).checked_sub(1)).flatten());
            Ok(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        // arrow rounds to microseconds towards 1970, which would put the last nanoseconds before a start into its window.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = times.as_primitive::<TimestampNanosecondType>();
            Ok(nanos.unary::<_, TimestampMicrosecondType>(|n| n.div_euclid(1000)).with_timezone("UTC"))
        }
        // A time with a zone is an instant already; casting it to another zone leaves the instant as it is.
        _ => Ok(cast(times, &event_time_type())?.as_primitive::<TimestampMicrosecondType>().clone()),
    }
}

/// The windows that hold `times`, of which each is in one.
fn windows(times: &TimestampMicrosecondArray, assigner: Assigner) -> Result<StructArray> {
    let window = |time: i64| match assigner {
        Assigner::Calendar(windows) => Some((windows.start_of(time)?, windows.end_of(time)?)),
        Assigner::Hopping { size_micros: size, offset_micros: offset, .. }
        | Assigner::Cumulating { size_micros: size, offset_micros: offset, .. } => {
            let start = start_of(time, size, offset)?;
            Some((start, start.checked_add(size)?))
        }
        Assigner::Session(_) => None,
    };
    // Rows of one window tend to follow each other.
    let mut last: Option<(i64, i64)> = None;
    let found: Vec<Option<(i64, i64)>> = times
        .iter()
        .map(|time| {
            let time = time?;
            last = last.filter(|(start, end)| (*start..*end).contains(&time)).or_else(|| window(time));
            last
        })
        .collect();
    let starts: TimestampMicrosecondArray = found.iter().map(|window| window.map(|(start, _)| start)).collect();
    let ends: TimestampMicrosecondArray = found.iter().map(|window| window.map(|(_, end)| end)).collect();
    let nulls = ends.nulls().cloned();
    let start: ArrayRef = Arc::new(starts.with_timezone("UTC"));
    let end: ArrayRef = Arc::new(ends.with_timezone("UTC"));
    Ok(StructArray::try_new(window_fields(), vec![start, end], nulls)?)
}

/// The start of the tumbling window that holds `time`; `None` where neither it nor the end can be said.
pub(super) fn start_of(time: i64, size: i64, offset: i64) -> Option<i64> {
    let start = i128::from(time) - (i128::from(time) - i128::from(offset)).rem_euclid(i128::from(size));
    let fits = i64::try_from(start + i128::from(size)).is_ok();
    i64::try_from(start).ok().filter(|_| fits)
}
