//! Windows of a time zone: days that begin when its clocks say so, and parts of a day.
//!
//! Clocks are put forward and back, so that a day has 23, 24 or 25 hours. Windows of whole days begin at the first instant at which
//! clocks show their beginning, or later where that time is left out: a time that is shown twice does not begin a second day.
//! Windows that are a part of a day begin at every instant at which clocks show a multiple of their size since midnight: the
//! hour that is shown twice is two windows of an hour. No window leaves a gap to the next, and none overlaps it.

use sluicebox_functions::Zone;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Windows side by side, by the clocks of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarWindows {
    zone: Zone,
    /// By the clock: whole days, or a part of one that divides it.
    size: i64,
    /// Of the starts, from midnight of 1970-01-01 by the clock; from 0 on and less than the size.
    offset: i64,
}

impl CalendarWindows {
    /// Windows of `size` by the clocks of `zone`, shifted by `offset`; `None` unless the size is a number of days or divides one.
    #[must_use]
    pub fn try_new(zone: Zone, size: i64, offset: i64) -> Option<Self> {
        let fits = size > 0 && (size % DAY == 0 || DAY % size == 0);
        fits.then(|| Self { zone, size, offset: offset.rem_euclid(size) })
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// What clocks show of a window's length when nobody puts them forward or back, in microseconds.
    #[must_use]
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The shift of the starts by the clock, in microseconds.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The start of the window that holds `time`; `None` where 64 bits do not hold it.
    #[must_use]
    pub fn start_of(&self, time: i64) -> Option<i64> {
        if self.size % DAY == 0 { self.days(time).map(|(start, _)| start) } else { self.part_start(time) }
    }

    /// The end of the window that holds `time`; `None` where 64 bits do not hold it.
    #[must_use]
    pub fn end_of(&self, time: i64) -> Option<i64> {
        if self.size % DAY == 0 { self.days(time).map(|(_, end)| end) } else { self.part_end(time) }
    }

    /// The last multiple of the size that clocks have shown when they show `local`.
    fn floor(&self, local: i64) -> Option<i64> {
        local.checked_sub(local.checked_sub(self.offset)?.rem_euclid(self.size))
    }

    /// The window of whole days that holds `time`.
    fn days(&self, time: i64) -> Option<(i64, i64)> {
        let first = self.floor(time.checked_add(self.zone.ahead_at(time))?)?;
        let next = first.checked_add(self.size)?;
        let end = self.first_at(next)?;
        if end > time {
            return Some((self.first_at(first)?, end));
        }
        // Clocks were put back past the beginning of the window that had begun.
        Some((end, self.first_at(next.checked_add(self.size)?)?))
    }

    /// The first instant at which clocks show `local` or later.
    fn first_at(&self, local: i64) -> Option<i64> {
        let at = self.zone.to_utc(local)?;
        let left_out = at.checked_add(self.zone.ahead_at(at))?.checked_sub(local)?;
        if left_out <= 0 {
            return Some(at);
        }
        // `local` is in a gap, which is as long as what clocks show too much.
        Some(self.change(at.checked_sub(left_out)?, at))
    }

    /// When clocks were changed for the last time after `before` and up to `at`, where they have been once.
    fn change(&self, before: i64, at: i64) -> i64 {
        let now = self.zone.ahead_at(at);
        let (mut before, mut at) = (before, at);
        while at - before > 1 {
            let middle = before + (at - before) / 2;
            if self.zone.ahead_at(middle) == now {
                at = middle;
            } else {
                before = middle;
            }
        }
        at
    }

    fn part_start(&self, time: i64) -> Option<i64> {
        let ahead = self.zone.ahead_at(time);
        let shown = self.floor(time.checked_add(ahead)?)?;
        let start = shown.checked_sub(ahead)?;
        let before = self.zone.ahead_at(start);
        if before == ahead {
            return Some(start);
        }
        let change = self.change(start, time);
        if ahead < before {
            // Put back, and since then no window has begun.
            let last = change.checked_sub(1)?;
            return self.floor(last.checked_add(before)?)?.checked_sub(before);
        }
        // Put forward: over the beginning of a window, or since that was shown.
        let shown_before = shown.checked_sub(before)?;
        Some(shown_before.min(change))
    }

    fn part_end(&self, time: i64) -> Option<i64> {
        let ahead = self.zone.ahead_at(time);
        let end = self.floor(time.checked_add(ahead)?)?.checked_add(self.size)?.checked_sub(ahead)?;
        if self.zone.ahead_at(end) == ahead {
            return Some(end);
        }
        // The last instant before the change, then the change.
        let change = self.change(time, end);
        if self.part_start(change)? == change {
            return Some(change);
        }
        let ahead = self.zone.ahead_at(change);
        self.floor(change.checked_add(ahead)?)?.checked_add(self.size)?.checked_sub(ahead)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn windows(zone: &str, size: i64) -> CalendarWindows {
        CalendarWindows::try_new(Zone::parse(zone).unwrap(), size, 0).unwrap()
    }

    /// Hours since 1970 of a time in UTC: days since 1970, and an hour of that day.
    fn at(day: i64, hour: i64) -> i64 {
        (day * 24 + hour) * HOUR
    }

    /// 2024-03-31, when clocks in Berlin were put forward from 2 to 3.
    const SPRING: i64 = 19_813;
    /// 2024-10-27, when they were put back from 3 to 2.
    const AUTUMN: i64 = 20_023;

    #[test]
    fn a_day_has_as_many_hours_as_clocks_give_it() {
        let days = windows("Europe/Berlin", DAY);
        let day = |time| (days.start_of(time).unwrap(), days.end_of(time).unwrap());
        assert_eq!(day(at(SPRING, 12)), (at(SPRING, -1), at(SPRING, 22)), "23 hours");
        assert_eq!(day(at(AUTUMN, 12)), (at(AUTUMN, -2), at(AUTUMN, 23)), "25 hours");
        assert_eq!(day(at(AUTUMN, 23)), (at(AUTUMN, 23), at(AUTUMN, 47)), "a start is in its window");
        assert_eq!(day(at(AUTUMN, 23) - 1).0, at(AUTUMN, -2), "an end is not");
    }

    #[test]
    fn an_hour_that_is_shown_twice_is_two_and_one_that_is_left_out_is_none() {
        let hours = windows("Europe/Berlin", HOUR);
        for hour in 0..4 {
            assert_eq!(hours.start_of(at(AUTUMN, hour) + 1), Some(at(AUTUMN, hour)));
            assert_eq!(hours.end_of(at(SPRING, hour)), Some(at(SPRING, hour + 1)));
        }
        let parts = windows("Europe/Berlin", 6 * HOUR);
        assert_eq!(parts.start_of(at(AUTUMN, 1)), Some(at(AUTUMN, -2)), "clocks show 2 again");
        assert_eq!(parts.end_of(at(AUTUMN, 0)), Some(at(AUTUMN, 5)), "seven hours");
        assert_eq!(parts.end_of(at(SPRING, 0)), Some(at(SPRING, 4)), "five hours");
    }

    #[test]
    fn a_midnight_that_is_left_out_or_shown_twice_is_one() {
        // Brazil, 2018-11-04: from 0 to 1. Cuba, 2024-11-03: from 1 to 0.
        let brazil = windows("America/Sao_Paulo", DAY);
        assert_eq!(brazil.start_of(at(17_839, 12)), Some(at(17_839, 3)));
        assert_eq!(brazil.end_of(at(17_839, 2)), Some(at(17_839, 3)));
        let cuba = windows("America/Havana", DAY);
        assert_eq!(cuba.start_of(at(20_030, 12)), Some(at(20_030, 4)));
        assert_eq!(cuba.end_of(at(20_030, 4)), Some(at(20_030, 29)), "25 hours");
        // Samoa had no 2011-12-30.
        let samoa = windows("Pacific/Apia", DAY);
        assert_eq!(samoa.end_of(at(15_338, 9)), Some(at(15_338, 10)));
        assert_eq!(samoa.start_of(at(15_338, 10)), Some(at(15_338, 10)));
    }

    #[test]
    fn a_size_that_neither_divides_a_day_nor_is_days_is_none() {
        let zone = Zone::parse("Europe/Berlin").unwrap();
        for (size, good) in [(5 * HOUR, false), (36 * HOUR, false), (0, false), (8 * HOUR, true), (7 * DAY, true)] {
            assert_eq!(CalendarWindows::try_new(zone, size, 0).is_some(), good, "{size}");
        }
    }

    proptest! {
        /// Windows hold what they are asked for, and stand side by side.
        #[test]
        fn every_time_is_in_one_window(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Asia/Kolkata", "+05:30", "UTC"]),
            size in prop::sample::select(vec![HOUR / 4, HOUR, 6 * HOUR, DAY, 7 * DAY]),
            offset in -3i64..3, day in -30_000i64..40_000, within in 0..DAY,
        ) {
            let windows = CalendarWindows::try_new(Zone::parse(zone).unwrap(), size, offset * HOUR / 4).unwrap();
            let time = day * DAY + within;
            let (start, end) = (windows.start_of(time).unwrap(), windows.end_of(time).unwrap());
            prop_assert!(start <= time && time < end, "{} {} {}", start, time, end);
            for inside in [start, end - 1] {
                prop_assert_eq!((windows.start_of(inside), windows.end_of(inside)), (Some(start), Some(end)));
            }
            prop_assert_eq!(windows.start_of(end), Some(end));
            prop_assert_eq!(windows.end_of(start - 1), Some(start));
        }
    }
}
