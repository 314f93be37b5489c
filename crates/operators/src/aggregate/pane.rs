//! Windows and panes, as arithmetic on microseconds since 1970.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use sluicebox_pipeline::graph::Window;

/// The largest number of panes in a window: each is looked at when the window closes.
pub(super) const MOST_PANES: i64 = 1_000;

/// Times beyond this, before and after 1970, are in no window: sums of a time, a size and an offset must fit. It is
/// 73,000 years.
const FURTHEST: i64 = i64::MAX / 4;

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
        if size <= 0 || slide <= 0 || size > FURTHEST {
            return Err(format!("a window of {size} us every {slide} us is none; both must be positive"));
        }
        if slide > size {
            return Err(format!("windows of {size} us every {slide} us leave gaps; make the slide at most the size"));
        }
        let width = gcd(size, slide);
        if size / width > MOST_PANES {
            return Err(format!(
                "a window of {size} us every {slide} us has {} panes, more than {MOST_PANES}; \
                 make the slide a larger part of the size",
                size / width
            ));
        }
        Ok(Self { size, slide, offset: offset.rem_euclid(slide), width })
    }

    /// The start of the pane of each event time; NULL where there is none.
    pub fn of(&self, times: &TimestampMicrosecondArray) -> Int64Array {
        // Rows of one pane tend to follow each other: the division is done when they do not.
        let mut pane = self.start_of(0);
        let place = |time: Option<i64>| {
            let time = time.filter(|time| (-FURTHEST..=FURTHEST).contains(time))?;
            if time < pane || time - pane >= self.width {
                pane = self.start_of(time);
            }
            Some(pane)
        };
        times.iter().map(place).collect()
    }

    /// The start of the pane that holds `time`.
    fn start_of(&self, time: i64) -> i64 {
        time - (time - self.offset).rem_euclid(self.width)
    }

    /// Whether more than one window holds a pane.
    pub fn overlap(&self) -> bool {
        self.slide < self.size
    }

    /// The end of the pane that starts at `pane`.
    pub fn pane_end(&self, pane: i64) -> i64 {
        pane + self.width
    }

    /// The end of the window that starts at `start`.
    pub fn end(&self, start: i64) -> i64 {
        start + self.size
    }

    /// The start of the window that ends at `end`.
    pub fn start(&self, end: i64) -> i64 {
        end - self.size
    }

    /// The first end of a window after `time`.
    pub fn next_end(&self, time: i64) -> i64 {
        // In 128 bits, since a watermark may be any number.
        let (time, slide) = (i128::from(time), i128::from(self.slide));
        let end = time + slide - (time - i128::from(self.offset) - i128::from(self.size)).rem_euclid(slide);
        i64::try_from(end).unwrap_or(i64::MAX)
    }

    /// The end of the last window that holds the pane at `pane`.
    pub fn last_end(&self, pane: i64) -> i64 {
        pane - (pane - self.offset).rem_euclid(self.slide) + self.size
    }

    /// The ends of the windows that hold the pane at `pane` and end after `closed`, at or before `watermark`, ascending.
    pub fn ends(&self, pane: i64, closed: Option<i64>, watermark: i64) -> impl Iterator<Item = i64> + use<> {
        let (slide, last) = (self.slide, self.last_end(pane).min(watermark));
        let first = self.next_end(closed.map_or(pane, |closed| closed.max(pane)));
        std::iter::successors(Some(first), move |end| end.checked_add(slide)).take_while(move |end| *end <= last)
    }
}

impl std::fmt::Display for Panes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "window of {} us every {} us from {} us", self.size, self.slide, self.offset)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
