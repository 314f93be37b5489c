//! Taking an input apart, and places to work in.

use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The next `N` bytes, zeros where there are none.
pub(crate) fn array<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let (head, rest) = input.split_at(N.min(input.len()));
    out[..head.len()].copy_from_slice(head);
    *input = rest;
    out
}

/// The bytes up to a line feed, or to the end, as text.
pub(crate) fn line(input: &mut &[u8]) -> String {
    let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
    let (head, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    String::from_utf8_lossy(head).into_owned()
}

/// A folder of its own, in memory where the system has such a place.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder to work in")
}

/// Runs `work` to its end.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
        .block_on(work)
}
