//! How windows lie in event time. A window is told from others by its start and its end.

use super::CalendarWindows;

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
}
