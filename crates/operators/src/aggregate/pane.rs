//! Windows and panes, as arithmetic on microseconds since 1970.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use sluicebox_pipeline::graph::{Assigner, CalendarWindows};
use sluicebox_pipeline::window::{MAX_PANES, Wrong, pane_micros, problem};

/// How windows lie, and the panes that they are made of. No two windows end together, so that the end names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panes {
    /// Of the longest window.
    size: i64,
    /// From one end to the next.
    slide: i64,
    offset: i64,
    /// Length of a pane: gcd(size, slide).
    width: i64,
    /// Whether windows start together, a slide longer one than the other, up to the longest.
    cumulating: bool,
    /// Windows by the clocks of a zone, of which each is a pane. Then nothing else counts.
    calendar: Option<CalendarWindows>,
}

impl Panes {
    /// The panes of the windows of `assigner`, or why there are none.
    pub fn try_new(assigner: Assigner) -> Result<Self, String> {
        let none = |offset| Self { size: 1, slide: 1, offset, width: 1, cumulating: false, calendar: None };
        match assigner {
            Assigner::Hopping { size_micros, slide_micros, offset_micros } => {
                Self::even(size_micros, slide_micros, offset_micros)
            }
            Assigner::Cumulating { size_micros: size, step_micros: step, offset_micros } => {
                let panes = Self::even(size, step, 0)?;
                if size % step != 0 {
                    return Err(format!(
                        "windows up to {size} us are not cumulated by {step} us; make it a part of them"
                    ));
                }
                Ok(Self { offset: offset_micros.rem_euclid(size), cumulating: true, ..panes })
            }
            Assigner::Calendar(windows) => Ok(Self { calendar: Some(windows), ..none(0) }),
            Assigner::Session(_) => Err("sessions are made of rows, not of panes".to_owned()),
        }
    }

    fn even(size: i64, slide: i64, offset: i64) -> Result<Self, String> {
        match problem(size, slide, offset) {
            Some(Wrong::Size | Wrong::Long | Wrong::Slide) => {
                Err(format!("a window of {size} us every {slide} us is none; both must be positive"))
            }
            Some(Wrong::Gaps) => {
                Err(format!("windows of {size} us every {slide} us leave gaps; make the slide at most the size"))
            }
            // Each is looked at when the window closes.
            Some(Wrong::Panes(panes)) => Err(format!(
                "a window of {size} us every {slide} us has {panes} panes, more than {MAX_PANES}; \
                 make the slide a larger part of the size"
            )),
            // A longer shift gives the same windows.
            Some(Wrong::Offset) | None => Ok(Self {
                size,
                slide,
                offset: offset.rem_euclid(slide),
                width: pane_micros(size, slide),
                cumulating: false,
                calendar: None,
            }),
        }
    }

    /// The start of the pane of each event time; NULL where there is none: for NULL, and for times so far before 1970 that
    /// some window which holds them begins before what 64 bits can say.
    pub fn of(&self, times: &TimestampMicrosecondArray) -> Int64Array {
        if let Some(windows) = &self.calendar {
            return of_calendar(windows, times);
        }
        // Rows of one pane tend to follow each other: the division is done when they do not.
        let mut pane = None;
        let place = |time: Option<i64>| {
            let time = time?;
            let within = |pane: &i64| time >= *pane && time.checked_sub(*pane).is_some_and(|since| since < self.width);
            pane = pane.filter(within).or_else(|| self.start_of(time));
            pane
        };
        times.iter().map(place).collect()
    }

    /// The start of the pane that holds `time`, if the first window that holds it can be said.
    fn start_of(&self, time: i64) -> Option<i64> {
        let time = i128::from(time);
        let pane = time - (time - i128::from(self.offset)).rem_euclid(i128::from(self.width));
        let first = if self.cumulating {
            floor(time, i128::from(self.size), i128::from(self.offset))
        } else {
            self.end_after(pane) - i128::from(self.size)
        };
        i64::try_from(first).ok().and_then(|_| i64::try_from(pane).ok())
    }

    /// Whether more than one window holds a pane.
    pub fn overlap(&self) -> bool {
        self.slide < self.size
    }

    /// The end of the pane that starts at `pane`. In 128 bits, as all ends that no watermark may reach.
    pub fn pane_end(&self, pane: i64) -> i128 {
        match &self.calendar {
            Some(windows) => calendar_end(windows, pane),
            None => i128::from(pane) + i128::from(self.width),
        }
    }

    /// The start of the window that ends at `end`.
    pub fn start(&self, end: i64) -> i64 {
        let last = end.saturating_sub(1);
        if let Some(windows) = &self.calendar {
            return windows.start_of(last).unwrap_or(i64::MIN);
        }
        if self.cumulating {
            let start = floor(i128::from(last), i128::from(self.size), i128::from(self.offset));
            return i64::try_from(start).unwrap_or(i64::MIN);
        }
        end.saturating_sub(self.size)
    }

    /// The first end of a window after `time`; the last instant that can be said, where it is later.
    pub fn next_end(&self, time: i64) -> i64 {
        let end = match &self.calendar {
            Some(windows) => calendar_end(windows, time),
            None => self.end_after(i128::from(time)),
        };
        i64::try_from(end).unwrap_or(i64::MAX)
    }

    fn end_after(&self, time: i128) -> i128 {
        let slide = i128::from(self.slide);
        time + slide - (time - i128::from(self.offset) - i128::from(self.size)).rem_euclid(slide)
    }

    /// The end of the last window that holds the pane at `pane`.
    pub fn last_end(&self, pane: i64) -> i128 {
        if let Some(windows) = &self.calendar {
            return calendar_end(windows, pane);
        }
        // Where the last window that holds the pane starts.
        let starts = if self.cumulating { self.size } else { self.slide };
        floor(i128::from(pane), i128::from(starts), i128::from(self.offset)) + i128::from(self.size)
    }

    /// The ends of the windows that hold the pane at `pane` and end after `closed`, at or before `watermark`, ascending.
    pub fn ends(&self, pane: i64, closed: Option<i64>, watermark: i64) -> impl Iterator<Item = i64> + use<> {
        let (slide, last) = (i128::from(self.slide), self.last_end(pane).min(i128::from(watermark)));
        let after = closed.map_or(pane, |closed| closed.max(pane));
        let first = match &self.calendar {
            // The one window, unless it has been closed.
            Some(_) if i128::from(after) >= self.last_end(pane) => last + 1,
            Some(_) => self.last_end(pane),
            None => self.end_after(i128::from(after)),
        };
        let ends = std::iter::successors(Some(first), move |end| Some(end + slide)).take_while(move |end| *end <= last);
        ends.filter_map(|end| i64::try_from(end).ok())
    }
}

/// The last multiple of `length` from `offset` on that is at or before `time`.
fn floor(time: i128, length: i128, offset: i128) -> i128 {
    time - (time - offset).rem_euclid(length)
}

/// The end of the window of `windows` that holds `time`; later than all that can be said, where it cannot.
fn calendar_end(windows: &CalendarWindows, time: i64) -> i128 {
    windows.end_of(time).map_or(i128::from(i64::MAX) + 1, i128::from)
}

fn of_calendar(windows: &CalendarWindows, times: &TimestampMicrosecondArray) -> Int64Array {
    let mut window: Option<(i64, i64)> = None;
    let place = |time: Option<i64>| {
        let time = time?;
        let within = |(start, end): &(i64, i64)| (*start..*end).contains(&time);
        window = window.filter(within).or_else(|| Some((windows.start_of(time)?, windows.end_of(time)?)));
        window.map(|(start, _)| start)
    };
    times.iter().map(place).collect()
}

impl std::fmt::Display for Panes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(windows) = &self.calendar {
            return write!(f, "window of {} us from {} us in {}", windows.size(), windows.offset(), windows.zone());
        }
        let Self { size, slide, offset, .. } = self;
        if self.cumulating {
            return write!(f, "window of {size} us cumulated by {slide} us from {offset} us");
        }
        write!(f, "window of {size} us every {slide} us from {offset} us")
    }
}
