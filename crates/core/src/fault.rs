//! Named fault points: the places where a crash or an I/O error may happen, so that tests can make it happen.
//!
//! Without the feature `faults` a point costs nothing. With it, the environment variable `SLUICEBOX_CRASH_AT=NAME:N`
//! ends the process, as SIGKILL would, when the point `NAME` is reached for the N-th time (from 1), and
//! `SLUICEBOX_FAULT_LOG=FILE` appends the name of every point reached.

/// Marks a fault point. `name` is `<what>.<step>`, for example `commit.link`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Marks a fault point. `name` is `<what>.<step>`, for example `commit.link`.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    armed::reached(name);
}

#[cfg(feature = "faults")]
mod armed {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CRASH_AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("SLUICEBOX_CRASH_AT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    static LOG: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("SLUICEBOX_FAULT_LOG").ok());
    static SEEN: AtomicU64 = AtomicU64::new(0);

    pub(super) fn reached(name: &'static str) {
        if let Some(path) = LOG.as_deref()
            && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
        {
            // One write a line, for threads and processes append side by side. A log that cannot be written only makes the
            // test that asked for it fail.
            let _ = file.write_all(format!("{name}\n").as_bytes());
        }
        if let Some((wanted, count)) = CRASH_AT.as_ref()
            && wanted == name
            && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *count
        {
            std::process::abort();
        }
    }
}
