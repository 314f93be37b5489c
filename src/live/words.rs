//! Numbers and times as people read them.

use std::time::Duration;

use sluicebox_core::Fates;
use sluicebox_core::digits::thousands;

/// `1,204 written, 3 duplicate, ...`, what is zero left out.
pub fn describe(fates: &Fates) -> String {
    let parts = [
        (fates.written, "written"),
        (fates.duplicate, "duplicate"),
        (fates.late, "late"),
        (fates.quarantined, "quarantined"),
        (fates.dropped, "dropped"),
        (fates.filtered, "filtered"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .enumerate()
        .filter(|(i, (count, _))| *i == 0 || *count > 0)
        .map(|(_, (count, what))| format!("{} {what}", thousands(*count)))
        .collect();
    parts.join(", ")
}

/// `1 batch`, `3 batches`.
pub fn number(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `12,345 (+204)`: all since the beginning, and of them those of this run; the one number when this run is all.
pub fn counted(all: u64, run: u64) -> String {
    if all == run { thousands(all) } else { format!("{} (+{})", thousands(all), thousands(run)) }
}

/// `2 s`, `3 min`, `5 h`, `2 days`.
pub fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(5, 5), counted(1_005, 0)), ("5".to_owned(), "1,005 (+0)".to_owned()));
        assert_eq!([1, 61, 7_300, 200_000].map(|s| ago(Duration::from_secs(s))), ["1 s", "1 min", "2 h", "2 days"]);
    }
}
