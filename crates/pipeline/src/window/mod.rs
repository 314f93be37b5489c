//! `window(time, size[, slide[, offset[, zone]]])`, `session_window(time, gap)` and `window_time(window)`.
//!
//! DataFusion plans neither `window.start` nor a grouping by a struct that is named after its function. So the parser checks the calls
//! ([`rewrite`]), and the binder rewrites them ([`names`]): in a SELECT that groups by `window(...)`, the word `window` is that call, and
//! `window.start` is `get_field(window(...), 'start')`. The rest are two scalar functions that any query may call, so that the same SELECT
//! runs as a batch query.
//!
//! A *tumbling* window, whose slide is its size, is a function of the time, and the scalar function computes it. A *hopping* window puts a
//! row into several windows, which no scalar function can return; which rows a *session* holds depends on other rows. Both may stand in
//! GROUP BY of a streaming table only, where the aggregation implements them; the functions refuse to compute them.
//!
//! The starts of windows are at `offset + n * slide` since 1970-01-01T00:00Z, before 1970 too, or where the clocks of a zone say
//! ([`CalendarWindows`]). A window holds its start and not its end.

mod arguments;
mod assigner;
mod calendar;
pub(crate) mod casts;
mod function;
pub(crate) mod grouping;
mod having;
pub(crate) mod names;
pub(crate) mod rewrite;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ScalarUDF};
use sluicebox_core::provenance::event_time_type;
use sluicebox_functions::Zone;

pub use assigner::{Assigner, SessionEnd};
pub use calendar::CalendarWindows;
pub use function::{GroupedWindowFunction, WindowFunction, WindowTimeFunction, WindowsFunction};

/// The name of the function, and of its column.
pub const WINDOW: &str = "window";
/// The name of the function of sessions, and of its column.
pub const SESSION_WINDOW: &str = "session_window";
/// The name of the function that stands for the table function CUMULATE; nobody else calls it.
pub const CUMULATE: &str = "__sb_cumulate";
/// The name of the function of all windows that hold a time, which stands for HOP and CUMULATE without GROUP BY; nobody else calls it.
pub const WINDOWS: &str = "__sb_windows";
/// The column with the end of the session that a row is alone, where that differs from row to row in more than its time.
pub const SESSION_END: &str = "__sb_value_end";
/// The name of the function of a window's event time.
pub const WINDOW_TIME: &str = "window_time";
/// The field with a window's first instant.
pub const START: &str = "start";
/// The field with the first instant after a window.
pub const END: &str = "end";
/// The longest window in microseconds, 73,000 years: sums of two such lengths must fit.
pub const LONGEST_MICROS: i64 = i64::MAX / 4;
/// At most so many panes make a window.
pub const MAX_PANES: i64 = 1000;

/// The type of a window: a struct of `start` and `end`. The fields are null where the window is.
#[must_use]
pub fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

/// The fields of a window.
#[must_use]
pub fn window_fields() -> Fields {
    Fields::from(vec![Field::new(START, event_time_type(), true), Field::new(END, event_time_type(), true)])
}

/// `window`, `window_time` and their like, for a session.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(WindowFunction::default())),
        Arc::new(ScalarUDF::from(GroupedWindowFunction::session())),
        Arc::new(ScalarUDF::from(GroupedWindowFunction::cumulating())),
        Arc::new(ScalarUDF::from(WindowTimeFunction::default())),
        Arc::new(ScalarUDF::from(WindowsFunction::default())),
    ]
}

/// A call of `window` or of one of its like.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowCall {
    /// The time, or a window whose event time is meant.
    pub time: Expr,
    /// How the windows lie.
    pub assigner: Assigner,
    /// Of sessions whose gap differs from row to row ([`SessionEnd::InColumn`]), the gap: an interval.
    pub gap: Option<Expr>,
}

/// Whether `name` is a function that gives windows.
#[must_use]
pub fn is_window_function(name: &str) -> bool {
    [WINDOW, SESSION_WINDOW, CUMULATE].contains(&name)
}

/// The call of a window that `expr` is, behind an alias or not; `None` if it is none, or one whose intervals are not
/// constant or not allowed.
#[must_use]
pub fn as_window_call(expr: &Expr) -> Option<WindowCall> {
    match expr {
        Expr::Alias(alias) => as_window_call(&alias.expr),
        Expr::ScalarFunction(call) => {
            let (time, rest) = call.args.split_first()?;
            let (assigner, gap) = match call.func.name() {
                WINDOW => (window_of(rest)?, None),
                CUMULATE => (cumulating_of(rest)?, None),
                SESSION_WINDOW => session_of(rest)?,
                _ => return None,
            };
            Some(WindowCall { time: time.clone(), assigner, gap })
        }
        _ => None,
    }
}

/// How the windows lie of a call of `window` with these arguments behind the time.
fn window_of(rest: &[Expr]) -> Option<Assigner> {
    let (intervals, zone) = match rest {
        [intervals @ .., zone] if rest.len() == 4 => (intervals, Some(text(zone)?)),
        intervals => (intervals, None),
    };
    let intervals: Vec<i64> = intervals.iter().map(constant).collect::<Option<_>>()?;
    assigner_of(&intervals, zone)
}

/// The windows of these intervals, by the clocks of a zone if one is named.
fn assigner_of(intervals: &[i64], zone: Option<&str>) -> Option<Assigner> {
    let (size_micros, slide_micros, offset_micros) = intervals_of(intervals)?;
    match zone {
        None => Some(Assigner::Hopping { size_micros, slide_micros, offset_micros }),
        Some(zone) if size_micros == slide_micros => {
            CalendarWindows::try_new(Zone::parse(zone)?, size_micros, offset_micros).map(Assigner::Calendar)
        }
        Some(_) => None,
    }
}

/// The windows of a call of [`CUMULATE`]: the step, the longest, and the offset.
fn cumulating_of(rest: &[Expr]) -> Option<Assigner> {
    let intervals: Vec<i64> = rest.iter().map(constant).collect::<Option<_>>()?;
    let (step_micros, size_micros, offset_micros) = match *intervals.as_slice() {
        [step, size] => (step, size, 0),
        [step, size, offset] => (step, size, offset),
        _ => return None,
    };
    let fits = problem(size_micros, step_micros, 0).is_none() && size_micros % step_micros == 0;
    let shifted = offset_micros.unsigned_abs() < size_micros.unsigned_abs();
    (fits && shifted).then_some(Assigner::Cumulating { size_micros, step_micros, offset_micros })
}

/// Where a session of one row ends, and the gap if it differs from row to row. A gap of months does.
fn session_of(rest: &[Expr]) -> Option<(Assigner, Option<Expr>)> {
    let [gap] = rest else { return None };
    match constant(gap) {
        Some(micros) if (1..=LONGEST_MICROS).contains(&micros) => {
            Some((Assigner::Session(SessionEnd::After(micros)), None))
        }
        Some(_) => None,
        None => Some((Assigner::Session(SessionEnd::InColumn), Some(gap.clone()))),
    }
}

/// The constant text that `expr` is.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Alias(alias) => text(&alias.expr),
        Expr::Cast(cast) => text(&cast.expr),
        Expr::Literal(ScalarValue::Utf8(value) | ScalarValue::LargeUtf8(value) | ScalarValue::Utf8View(value), _) => {
            value.as_deref()
        }
        _ => None,
    }
}

/// Size, slide and offset of a call with these intervals, if they are allowed.
fn intervals_of(intervals: &[i64]) -> Option<(i64, i64, i64)> {
    let (size, slide, offset) = match *intervals {
        [size] => (size, size, 0),
        [size, slide] => (size, slide, 0),
        [size, slide, offset] => (size, slide, offset),
        _ => return None,
    };
    problem(size, slide, offset).is_none().then_some((size, slide, offset))
}

/// What is wrong with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The size is not positive.
    Size,
    /// The size is more than [`LONGEST_MICROS`].
    Long,
    /// The slide is not positive.
    Slide,
    /// The slide is longer than the size.
    Gaps,
    /// It has more than [`MAX_PANES`] panes: so many.
    Panes(i64),
    /// The offset is as long as the slide, or longer.
    Offset,
}

/// What is wrong with a window of these intervals, if anything is.
#[must_use]
pub fn problem(size: i64, slide: i64, offset: i64) -> Option<Wrong> {
    if size <= 0 {
        return Some(Wrong::Size);
    }
    if size > LONGEST_MICROS {
        return Some(Wrong::Long);
    }
    if slide <= 0 {
        return Some(Wrong::Slide);
    }
    if slide > size {
        return Some(Wrong::Gaps);
    }
    let panes = size / pane_micros(size, slide);
    if panes > MAX_PANES {
        return Some(Wrong::Panes(panes));
    }
    (offset.unsigned_abs() >= slide.unsigned_abs()).then_some(Wrong::Offset)
}

/// The length of the longest stretches of time into which all windows of this size and slide can be cut, both positive: their greatest
/// common divisor.
#[must_use]
pub fn pane_micros(size: i64, slide: i64) -> i64 {
    if slide == 0 { size } else { pane_micros(slide, size % slide) }
}

/// The constant interval that `expr` is, in microseconds; the analyser may have put casts around it.
fn constant(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Alias(alias) => constant(&alias.expr),
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Negative(inner) => constant(inner)?.checked_neg(),
        Expr::Literal(value, _) => micros(value),
        _ => None,
    }
}

/// The length of a scalar interval or duration in microseconds, if it has a fixed one.
fn micros(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 86_400_000_000;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 && v.nanoseconds % 1000 == 0 => {
            i64::from(v.days).checked_mul(DAY)?.checked_add(v.nanoseconds / 1000)
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            i64::from(v.days).checked_mul(DAY)?.checked_add(i64::from(v.milliseconds) * 1000)
        }
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000),
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1000),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(*v),
        ScalarValue::DurationNanosecond(Some(v)) if v % 1000 == 0 => Some(v / 1000),
        _ => None,
    }
}
