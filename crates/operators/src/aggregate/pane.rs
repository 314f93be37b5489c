//! Windows and panes, as arithmetic on microseconds since 1970.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use sluicebox_pipeline::graph::Window;
use sluicebox_pipeline::window::{MAX_PANES, Wrong, pane_micros, problem};

/// How windows lie, and the panes that they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panes {
    size: i64,
    slide: i64,
    offset: i64,
    /// Length of a pane: gcd(size, slide).
    width: i64,
}

impl Panes {
    /// The panes of `window`, or why there are none.
    pub fn try_new(window: &Window) -> Result<Self, String> {
        let Window { size_micros: size, slide_micros: slide, offset_micros: offset, .. } = *window;
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
            Some(Wrong::Offset) | None => {
                Ok(Self { size, slide, offset: offset.rem_euclid(slide), width: pane_micros(size, slide) })
            }
        }
    }

    /// The start of the pane of each event time; NULL where there is none: for NULL, and for times so far before 1970 that
    /// some window which holds them begins before what 64 bits can say.
    pub fn of(&self, times: &TimestampMicrosecondArray) -> Int64Array {
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
        let first = self.end_after(pane) - i128::from(self.size);
        i64::try_from(first).ok().and_then(|_| i64::try_from(pane).ok())
    }

    /// Whether more than one window holds a pane.
    pub fn overlap(&self) -> bool {
        self.slide < self.size
    }

    /// The end of the pane that starts at `pane`. In 128 bits, as all ends that no watermark may reach.
    pub fn pane_end(&self, pane: i64) -> i128 {
        i128::from(pane) + i128::from(self.width)
    }

    /// The end of the window that starts at `start`; the last instant that can be said, where it is later.
    pub fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size)
    }

    /// The start of the window that ends at `end`.
    pub fn start(&self, end: i64) -> i64 {
        end.saturating_sub(self.size)
    }

    /// The first end of a window after `time`, as [`Panes::end`].
    pub fn next_end(&self, time: i64) -> i64 {
        i64::try_from(self.end_after(i128::from(time))).unwrap_or(i64::MAX)
    }

    fn end_after(&self, time: i128) -> i128 {
        let slide = i128::from(self.slide);
        time + slide - (time - i128::from(self.offset) - i128::from(self.size)).rem_euclid(slide)
    }

    /// The end of the last window that holds the pane at `pane`.
    pub fn last_end(&self, pane: i64) -> i128 {
        let pane = i128::from(pane);
        pane - (pane - i128::from(self.offset)).rem_euclid(i128::from(self.slide)) + i128::from(self.size)
    }

    /// The ends of the windows that hold the pane at `pane` and end after `closed`, at or before `watermark`, ascending.
    pub fn ends(&self, pane: i64, closed: Option<i64>, watermark: i64) -> impl Iterator<Item = i64> + use<> {
        let (slide, last) = (i128::from(self.slide), self.last_end(pane).min(i128::from(watermark)));
        let first = self.end_after(i128::from(closed.map_or(pane, |closed| closed.max(pane))));
        let ends = std::iter::successors(Some(first), move |end| Some(end + slide)).take_while(move |end| *end <= last);
        ends.filter_map(|end| i64::try_from(end).ok())
    }
}

impl std::fmt::Display for Panes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "window of {} us every {} us from {} us", self.size, self.slide, self.offset)
    }
}
