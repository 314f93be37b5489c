//! Names every effect of a run, so that tests can stop the run at it, let it fail, or lose it.
//!
//! An effect is `<what>.<effect>`, for example `commit.link`: the part of the checkpoint, the tables or the log, and the operation on it.
//! File effects go through [this crate](crate); `clippy.toml` forbids any other way in the crates that write. Network effects call
//! [`reach`]. [`POINTS`] lists all effects. A run reaches an effect **before** it is done and **after** it; it also reaches a write
//! **half**-way, with half of the bytes written.
//!
//! Without the feature `faults` all of this costs nothing. With it, environment variables arm it:
//!
//! | variable | what it does |
//! |---|---|
//! | `SLUICEBOX_CRASH_AT=NAME:PHASE:N` | ends the process, as SIGKILL would, when PHASE (`before`, `half`, `after`) of the effect is reached for the N-th time, from 1 |
//! | `SLUICEBOX_STOP_AT=NAME:PHASE:N` | stops the process there, as SIGSTOP does; SIGCONT lets it go on |
//! | `SLUICEBOX_FAIL_AT=NAME:ERRNO:N` | the effect fails for the N-th time with `ENOSPC`, `EDQUOT`, `EIO`, `EACCES`, `EPERM`, `EROFS`, `EMFILE`, `EINTR` or a number, and is not done; of a write, half of the bytes are written. `N+` fails from then on. Network effects do not fail |
//! | `SLUICEBOX_CLOCK=SECONDS,...` | read by [`sluicebox_core::clock`]: shifts the machine's clock by that many seconds, negative for back: each look at it takes the next number, after the last the first again |
//! | `SLUICEBOX_FAULT_LOG=FILE` | appends a line `NAME:PHASE` for each that is reached |
//! | `SLUICEBOX_FAULT_JOURNAL=DIR` | keeps in `DIR/journal` what was done, in order, and in `DIR/files` a hard link of every file that was touched: what a power loss can take is computed from it (`tests/crash/power.rs`) |
//!
//! NAME may be `*`, `commit.*` or `*.write`: then all matching effects count together. The first three variables take several values,
//! separated by commas. The journal must be on the filesystem of the run's files, and only the tests of the same version can read it.

mod names;

#[cfg(feature = "faults")]
mod armed;
#[cfg(feature = "faults")]
mod journal;

#[cfg(not(feature = "faults"))]
use std::io;
#[cfg(not(feature = "faults"))]
use std::path::Path;

pub use names::{Effect, POINTS, Phase, Point, What};

/// Marks that a network effect is about to be done or has been done. File effects are marked by the functions of [this crate](crate).
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn reach(_what: What, _effect: Effect, _phase: Phase) {}

/// Marks that a network effect is about to be done or has been done. File effects are marked by the functions of [this crate](crate).
#[cfg(feature = "faults")]
pub fn reach(what: What, effect: Effect, phase: Phase) {
    armed::reach(Point { what, effect }, phase);
}

/// Does a file effect on `path` (of a link or rename: from `path` to `to`).
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) fn around<T>(
    _point: Point,
    _path: &Path,
    _to: Option<&Path>,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    act()
}

/// Writes `bytes`, of which `write` writes any first part that it is given at the place where it belongs, byte `at`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) fn around_write(
    _point: Point,
    _path: &Path,
    _at: u64,
    bytes: &[u8],
    write: impl Fn(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    write(bytes)
}

#[cfg(feature = "faults")]
pub(crate) use armed::{around, around_write};
