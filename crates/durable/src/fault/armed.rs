//! Injects the crashes, stops and failures that the environment variables ask for.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::journal;
use super::{Effect, Phase, Point};

/// One wish of the environment: at this effect, when it is reached for the n-th time.
#[derive(Debug)]
struct Wish {
    name: String,
    /// The phase of a crash or stop, the error of a failure.
    how: String,
    count: u64,
    from_then_on: bool,
    seen: AtomicU64,
}

impl Wish {
    /// `NAME:HOW:N`, `NAME:HOW:N+`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(':');
        let (name, how, count) = (parts.next()?, parts.next()?, parts.next()?);
        let from_then_on = count.ends_with('+');
        let count = count.trim_end_matches('+').parse().ok()?;
        parts.next().is_none().then(|| Self {
            name: name.to_owned(),
            how: how.to_owned(),
            count,
            from_then_on,
            seen: AtomicU64::new(0),
        })
    }

    /// Whether the wish is about this effect, the first or a later time.
    fn names(&self, point: Point) -> bool {
        let part = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let (what, effect) = self.name.split_once('.').unwrap_or((&self.name, "*"));
        part(what, point.what.as_str()) && part(effect, point.effect.as_str())
    }

    /// Counts an effect; true when it is the one.
    fn is_due(&self, point: Point) -> bool {
        if !self.names(point) {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        seen == self.count || (self.from_then_on && seen > self.count)
    }
}

#[derive(Debug)]
struct Armed {
    crash: Vec<Wish>,
    stop: Vec<Wish>,
    fail: Vec<Wish>,
    log: Option<String>,
    journal: bool,
}

static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
    let wishes = |variable: &str| -> Vec<Wish> {
        let text = std::env::var(variable).unwrap_or_default();
        text.split(',').filter(|t| !t.is_empty()).filter_map(|t| understood(variable, t)).collect()
    };
    let armed = Armed {
        crash: wishes("SLUICEBOX_CRASH_AT"),
        stop: wishes("SLUICEBOX_STOP_AT"),
        fail: wishes("SLUICEBOX_FAIL_AT"),
        log: std::env::var("SLUICEBOX_FAULT_LOG").ok(),
        journal: journal::is_wanted(),
    };
    let idle = armed.crash.is_empty() && armed.stop.is_empty() && armed.fail.is_empty();
    (!idle || armed.log.is_some() || armed.journal).then_some(armed)
});

/// One effect at a time while something is armed, so that the journal has the order in which they were done, and nothing
/// is done between an effect that ends the process and that end.
static ORDER: Mutex<()> = Mutex::new(());

/// A wish that cannot be read must not pass for one that was never due.
fn understood(variable: &str, text: &str) -> Option<Wish> {
    let wish = Wish::parse(text);
    if wish.is_none() {
        let _ = writeln!(io::stderr(), "{variable}={text} is not NAME:HOW:N");
        std::process::abort();
    }
    wish
}

fn order() -> MutexGuard<'static, ()> {
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn reach(point: Point, phase: Phase) {
    if let Some(armed) = ARMED.as_ref() {
        let _order = order();
        armed.reached(point, phase);
    }
}

impl Armed {
    fn reached(&self, point: Point, phase: Phase) {
        if let Some(path) = self.log.as_deref()
            && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
        {
            // One write a line, for processes append side by side. A log that cannot be written only makes the test that
            // asked for it fail.
            let _ = file.write_all(format!("{point}:{}\n", phase.as_str()).as_bytes());
        }
        let due = |wishes: &[Wish]| wishes.iter().filter(|w| w.how == phase.as_str()).any(|w| w.is_due(point));
        if due(&self.crash) {
            std::process::abort();
        }
        if due(&self.stop) {
            stop();
        }
    }

    fn failure(&self, point: Point) -> Option<io::Error> {
        self.fail.iter().find(|wish| wish.is_due(point)).map(|wish| io::Error::from_raw_os_error(errno(&wish.how)))
    }
}

/// Does a file effect on `path` (of a link or rename: from `path` to `to`).
pub(crate) fn around<T>(
    point: Point,
    path: &Path,
    to: Option<&Path>,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some(armed) = ARMED.as_ref() else { return act() };
    let _order = order();
    armed.reached(point, Phase::Before);
    if let Some(error) = armed.failure(point) {
        return Err(error);
    }
    let before = armed.journal.then(|| journal::before(point.effect, path, to));
    let done = act()?;
    if let Some(before) = before {
        journal::after(point.effect, path, to, before);
    }
    if point.effect.phases().contains(&Phase::After) {
        armed.reached(point, Phase::After);
    }
    Ok(done)
}

/// Writes `bytes`, of which `write` writes any first part that it is given at the place where it belongs, byte `at`.
pub(crate) fn around_write(
    point: Point,
    path: &Path,
    at: u64,
    bytes: &[u8],
    write: impl Fn(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let Some(armed) = ARMED.as_ref() else { return write(bytes) };
    debug_assert_eq!(point.effect, Effect::Write);
    let _order = order();
    armed.reached(point, Phase::Before);
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    let written = |part: &[u8]| {
        write(part)?;
        if armed.journal {
            journal::written(path, at, part.len());
        }
        Ok::<(), io::Error>(())
    };
    if let Some(error) = armed.failure(point) {
        // As a disk that fills up does it.
        written(half)?;
        return Err(error);
    }
    // Half of the bytes are only there, and only journalled, for a process that ends here.
    if armed.ends_at(point) {
        written(half)?;
    }
    armed.reached(point, Phase::Half);
    written(bytes)?;
    armed.reached(point, Phase::After);
    Ok(())
}

impl Armed {
    /// Whether a crash or stop half-way through the next write is wished for.
    fn ends_at(&self, point: Point) -> bool {
        let next =
            |w: &Wish| w.how == Phase::Half.as_str() && w.names(point) && w.seen.load(Ordering::SeqCst) + 1 == w.count;
        self.crash.iter().chain(&self.stop).any(next)
    }
}

/// Stops this process until somebody sends SIGCONT. The signal is asked for of `kill`, since the workspace has no unsafe code.
fn stop() {
    let _ = std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
    // The signal is on its way when `kill` ends; threads other than the one that takes it stop a moment later.
    std::thread::sleep(std::time::Duration::from_millis(50));
}

fn errno(name: &str) -> i32 {
    match name {
        "EPERM" => 1,
        "EINTR" => 4,
        "EIO" => 5,
        "EACCES" => 13,
        "EMFILE" => 24,
        "ENOSPC" => 28,
        "EROFS" => 30,
        "EDQUOT" => 122,
        other => other.parse().unwrap_or(5),
    }
}
