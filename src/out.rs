//! Data on stdout. A reader that goes away (`| head`) ends the writing, and is no error.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use sluicebox_core::shown::{in_json, shown_lines};

/// Prints a page for people. What it holds of others is text.
pub fn print(text: &str) -> std::io::Result<()> {
    write_with(|out| out.write_all(shown_lines(text).as_bytes()))
}

/// Prints JSON: the same values, whatever a terminal would make of their characters.
pub fn json(text: &str) -> std::io::Result<()> {
    write_with(|out| out.write_all(in_json(text).as_bytes()))
}

/// Prints `value` as JSON that people can read too.
pub fn pretty(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(json(&(serde_json::to_string_pretty(value)? + "\n"))?)
}

/// Lets `write` write to stdout.
pub fn write_with(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
