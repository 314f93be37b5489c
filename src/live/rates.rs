//! How many events a second come in and how many rows go out, over the last seconds and not over the time that batches take.

use std::collections::VecDeque;
use std::time::Duration;

/// Over so long rates are taken: several batches, so that they do not jump.
const WINDOW: Duration = Duration::from_secs(10);

/// What the last batches did. Times are those of one clock that only goes on.
#[derive(Debug, Default)]
pub struct Rates {
    /// When what the batches did began: the end of the batch before them, or the start of the first one.
    since: Duration,
    batches: VecDeque<Batch>,
}

#[derive(Debug)]
struct Batch {
    ended: Duration,
    events: u64,
    rows: u64,
}

impl Rates {
    /// A batch that took `duration` has ended at `now`.
    pub fn batch(&mut self, now: Duration, duration: Duration, events: u64, rows: u64) {
        if self.batches.is_empty() {
            self.since = now.saturating_sub(duration);
        }
        self.batches.push_back(Batch { ended: now, events, rows });
        while let [first, _, ..] = self.batches.make_contiguous()
            && first.ended + WINDOW < now
        {
            self.since = first.ended;
            self.batches.pop_front();
        }
    }

    /// Events and rows a second, as of `now`; `None` before the first batch.
    pub fn at(&self, now: Duration) -> Option<(f64, f64)> {
        let last = self.batches.back()?.ended;
        let before = self.batches.iter().rev().nth(1).map_or(self.since, |batch| batch.ended);
        let (pause, idle) = (last.saturating_sub(before), now.saturating_sub(last));
        if idle > WINDOW.max(pause * 2) {
            return Some((0.0, 0.0));
        }
        // What is longer than the pause between the last two was a time without events.
        let seconds = (last.saturating_sub(self.since) + idle.saturating_sub(pause)).as_secs_f64();
        let sum = |of: fn(&Batch) -> u64| self.batches.iter().map(of).sum::<u64>();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Some((rate(sum(|b| b.events)), rate(sum(|b| b.rows))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The events a second at `now`, without a fraction.
    fn shown(rates: &Rates, now: u64) -> String {
        rates.at(ms(now)).map_or_else(|| "-".to_owned(), |(events, _)| format!("{events:.0}"))
    }

    #[test]
    fn quick_batches_of_few_events_are_no_high_rate() {
        let mut rates = Rates::default();
        assert_eq!(shown(&rates, 5), "-");
        // Fifty events a second, each time read in 100 ms.
        for second in 1..=60 {
            rates.batch(ms(second * 1000), ms(100), 50, 100);
        }
        assert_eq!(shown(&rates, 60_500), "50");
        assert_eq!(rates.at(ms(60_500)).map(|(_, rows)| format!("{rows:.0}")), Some("100".to_owned()));
    }

    #[test]
    fn what_is_caught_up_with_counts_as_it_is_read_and_fades() {
        let mut rates = Rates::default();
        rates.batch(ms(1000), ms(1000), 20_000, 0);
        rates.batch(ms(2000), ms(1000), 20_000, 0);
        assert_eq!(shown(&rates, 2000), "20000");
        assert_eq!(shown(&rates, 5000), "10000");
        assert_eq!(shown(&rates, 12_500), "0");
    }

    #[test]
    fn a_batch_a_minute_keeps_its_rate_until_the_next() {
        let mut rates = Rates::default();
        for minute in 1..=3 {
            rates.batch(ms(minute * 60_000), ms(200), 3000, 0);
        }
        assert_eq!((shown(&rates, 180_000), shown(&rates, 239_000)), ("50".to_owned(), "50".to_owned()));
    }
}
