//! What goes wrong before an engine runs, and has no error of its own in a lower crate.

use sluicebox_core::threads;
use sluicebox_pipeline::diagnostic::Diagnostics;

/// A mistake in what was asked for or in what it names, without a place in a pipeline: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What went wrong outside, at the place in the pipeline that leads there: exit code 1.
#[derive(Debug)]
pub struct Placed(pub Diagnostics);

impl std::fmt::Display for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Placed {}

/// The system gives no thread for what is named: exit code 1.
#[derive(Debug)]
pub struct NoThread(pub &'static str, pub std::io::Error);

impl std::fmt::Display for NoThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no thread can be started for {}: {}; {}", self.0, self.1, threads::WAY_OUT)
    }
}

impl std::error::Error for NoThread {}

/// An error with its causes, without those that it has told itself.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
