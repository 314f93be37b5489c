//! Data on stdout. A reader that goes away (`| head`) ends the writing, and is no error.

use std::io::{ErrorKind, Write};

/// Prints `text` as it is.
pub fn print(text: &str) -> std::io::Result<()> {
    write_with(|out| out.write_all(text.as_bytes()))
}

/// Lets `write` write to stdout.
pub fn write_with(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
