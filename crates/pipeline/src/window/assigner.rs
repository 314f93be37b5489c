//! How windows lie in event time. A window is told from others by its start and its end.

use super::CalendarWindows;
use super::function::start_of;

/// Which windows a row is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigner {
    /// Windows of one length that start at equal distances: at `offset + n * slide` since 1970-01-01T00:00Z.
    Hopping {
        /// Length in microseconds, positive.
        size_micros: i64,
        /// Distance of starts in microseconds, positive, at most the size; equal to it for tumbling windows.
        slide_micros: i64,
        /// Shift of the starts, in microseconds; its absolute value is less than the slide.
        offset_micros: i64,
    },
    /// Windows that start together, each a step longer than the one before, up to a longest; then the next begin.
    Cumulating {
        /// Length of the longest in microseconds, a number of steps.
        size_micros: i64,
        /// Length of the shortest, and by what the others are longer than one another, in microseconds, positive.
        step_micros: i64,
        /// Shift of the starts, in microseconds; its absolute value is less than the size.
        offset_micros: i64,
    },
    /// Windows side by side by the clocks of a zone.
    Calendar(CalendarWindows),
    /// Windows that rows make: a row is one from its event time to its end, and those of equal keys that overlap or touch are one.
    Session(SessionEnd),
}

/// Where the window ends that a row is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// So many microseconds after its event time, more than none.
    After(i64),
    /// At the time in the input's column [`super::SESSION_END`]. A row where that is NULL, or not after its event time, is in none.
    InColumn,
}

impl Assigner {
    /// Windows side by side.
    #[must_use]
    pub const fn tumbling(size_micros: i64) -> Self {
        Self::Hopping { size_micros, slide_micros: size_micros, offset_micros: 0 }
    }

    /// Whether a row's window follows from its event time alone, and is one.
    #[must_use]
    pub const fn is_of_row(&self) -> bool {
        match self {
            Self::Hopping { size_micros, slide_micros, .. } => *size_micros == *slide_micros,
            Self::Cumulating { size_micros, step_micros, .. } => *size_micros == *step_micros,
            Self::Calendar(_) => true,
            Self::Session(_) => false,
        }
    }

    /// The windows that hold `time`, the first to end first; none where 64 bits do not hold one, and of sessions.
    #[must_use]
    pub fn windows_of(&self, time: i64) -> Option<Vec<(i64, i64)>> {
        match *self {
            Self::Hopping { size_micros: size, slide_micros: slide, offset_micros: offset } => {
                let last = start_of(time, slide, offset)?;
                let starts = std::iter::successors(Some(last), |start| start.checked_sub(slide));
                let starts = starts.take_while(|start| time.checked_sub(*start).is_some_and(|since| since < size));
                let windows = starts.map(|start| Some((start, start.checked_add(size)?)));
                let mut windows = windows.collect::<Option<Vec<_>>>()?;
                windows.reverse();
                Some(windows)
            }
            Self::Cumulating { size_micros: size, step_micros: step, offset_micros: offset } => {
                let start = start_of(time, size, offset)?;
                let ends = std::iter::successors(start.checked_add(step), |end| end.checked_add(step));
                let ends = ends.take_while(|end| end.checked_sub(start).is_some_and(|length| length <= size));
                Some(ends.filter(|end| *end > time).map(|end| (start, end)).collect())
            }
            Self::Calendar(windows) => Some(vec![(windows.start_of(time)?, windows.end_of(time)?)]),
            Self::Session(_) => None,
        }
    }
}
