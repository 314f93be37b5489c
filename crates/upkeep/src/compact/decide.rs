//! Decides which partitions are due: a pure function.

use sluicebox_checkpoint::records::Why;
use sluicebox_sinks::layout;
use sluicebox_sinks::parquet::compact::{Folder, is_small};

/// A day.
const DAY_MICROS: i64 = 86_400_000_000;

/// What a table wants of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// About how large files are to be, in bytes.
    pub target_bytes: u64,
    /// Whether a run compacts closed partitions by itself.
    pub auto: bool,
    /// For how long nothing may have been written to a partition that a run compacts, in microseconds.
    pub after_micros: i64,
    /// How long rows are retained; none keeps them for ever.
    pub retain: Option<Retain>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { target_bytes: 256 << 20, auto: false, after_micros: 3_600_000_000, retain: None }
    }
}

/// How long rows are retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Which of the partition columns tells how old they are, from 0: a date or timestamp.
    pub column: usize,
    /// For how long after the end of its day, in microseconds.
    pub micros: i64,
}

/// Why nothing is done to a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It holds something that this pipeline did not write.
    Alien(String),
    /// Something was written to it not long ago.
    Open,
    /// Its files are as few as they get.
    Few,
}

/// Whether the folder is to be exchanged, and why. `closed_micros` is for how long nothing may have been written to it,
/// `least` how many small files are worth it.
///
/// # Errors
/// Why not.
pub fn due(folder: &Folder, policy: &Policy, now: i64, closed_micros: i64, least: usize) -> Result<Why, Kept> {
    let small = folder.parts.iter().filter(|part| is_small(part.bytes, policy.target_bytes)).count();
    let why = if is_over(folder, policy, now) {
        Why::Retain
    } else if small < least.max(2) {
        return Err(Kept::Few);
    } else if folder.written_micros().is_some_and(|written| written > now.saturating_sub(closed_micros)) {
        return Err(Kept::Open);
    } else {
        Why::Compact
    };
    match &folder.alien {
        Some(name) => Err(Kept::Alien(name.clone())),
        None if folder.parts.is_empty() => Err(Kept::Few),
        None => Ok(why),
    }
}

/// Whether the day in the folder's name ended longer ago than rows are retained. NULL, and what is no date, never does.
fn is_over(folder: &Folder, policy: &Policy, now: i64) -> bool {
    let Some(retain) = policy.retain else { return false };
    let part = folder.path.split('/').nth(retain.column);
    let value = part.and_then(layout::folder_value).and_then(|(_, value)| value);
    let day = value.as_deref().and_then(|v| v.get(..10)).and_then(|v| v.parse::<chrono::NaiveDate>().ok());
    let Some(start) = day.and_then(|day| day.and_hms_opt(0, 0, 0)).map(|at| at.and_utc().timestamp_micros()) else {
        return false;
    };
    start.saturating_add(DAY_MICROS).saturating_add(retain.micros) <= now
}

#[cfg(test)]
mod tests {
    use sluicebox_sinks::parquet::compact::Part;

    use super::*;

    fn folder(path: &str, files: &[(u64, i64)]) -> Folder {
        let part = |(n, (bytes, written))| Part {
            name: format!("{n}"),
            batch: n as u64,
            compaction: None,
            part: 0,
            bytes,
            written_micros: written,
        };
        let parts = files.iter().copied().enumerate().map(part).collect();
        Folder { path: path.to_owned(), parts, alien: None }
    }

    const HOUR: i64 = DAY_MICROS / 24;

    #[test]
    fn a_closed_partition_with_small_files_is_compacted() {
        let policy = Policy { target_bytes: 1000, ..Policy::default() };
        let due =
            |files: &[(u64, i64)], now, closed, least| super::due(&folder("d=x", files), &policy, now, closed, least);
        assert_eq!(due(&[(10, 0), (10, 5)], 5, 0, 2), Ok(Why::Compact));
        assert_eq!(due(&[(10, 0), (10, 5)], 5, 1, 2), Err(Kept::Open));
        assert_eq!(due(&[(10, 0), (10, 5)], 6, 1, 2), Ok(Why::Compact));
        assert_eq!(due(&[(10, 0), (900, 0)], 9, 0, 2), Err(Kept::Few));
        assert_eq!(due(&[(10, 0), (10, 0), (10, 0)], 9, 0, 4), Err(Kept::Few));
        let mut other = folder("d=x", &[(10, 0), (10, 0)]);
        other.alien = Some("notes.txt".to_owned());
        assert_eq!(super::due(&other, &policy, 9, 0, 2), Err(Kept::Alien("notes.txt".to_owned())));
    }

    #[test]
    fn a_partition_goes_when_its_day_has_ended_long_enough_ago() {
        let retain = Some(Retain { column: 1, micros: 2 * DAY_MICROS });
        let policy = Policy { retain, ..Policy::default() };
        let due = |path: &str, now| super::due(&folder(path, &[(10, 0)]), &policy, now, 0, 2);
        // 1970-01-02 ends when two days are over, and is kept for two more.
        assert_eq!(due("r=a/d=1970-01-02", 4 * DAY_MICROS - 1), Err(Kept::Few));
        assert_eq!(due("r=a/d=1970-01-02", 4 * DAY_MICROS), Ok(Why::Retain));
        assert_eq!(due("r=a/d=1970-01-02%2010%3A00%3A00", 4 * DAY_MICROS - 1), Err(Kept::Few));
        assert_eq!(due("r=a/d=1970-01-02%2010%3A00%3A00", 4 * DAY_MICROS), Ok(Why::Retain));
        for never in
            ["r=a/d=__HIVE_DEFAULT_PARTITION__", "r=a/d=x", "r=1970-01-01", "r=a/d=9999-12-31", "r=a/d=1970-13-01"]
        {
            assert_eq!(due(never, 9_000 * DAY_MICROS + HOUR), Err(Kept::Few), "{never}");
        }
    }
}
