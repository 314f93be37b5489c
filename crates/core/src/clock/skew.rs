//! A clock that the environment of a test shifts.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `SLUICEBOX_CLOCK`, in microseconds.
static SHIFTS: LazyLock<Vec<i64>> = LazyLock::new(|| {
    let text = std::env::var("SLUICEBOX_CLOCK").unwrap_or_default();
    let seconds = text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse::<i64>().ok());
    let Some(seconds) = seconds.collect::<Option<Vec<i64>>>() else {
        let _ = writeln!(io::stderr(), "SLUICEBOX_CLOCK={text} is not seconds, with commas between them");
        std::process::abort();
    };
    seconds.into_iter().map(|s| s.saturating_mul(1_000_000)).collect()
});
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// By how much the machine's clock is shown wrong this time.
pub(super) fn micros() -> i64 {
    if SHIFTS.is_empty() {
        return 0;
    }
    SHIFTS.get(LOOKS.fetch_add(1, Ordering::Relaxed) % SHIFTS.len()).copied().unwrap_or(0)
}
