//! The text of a file of SQL.

use std::io;
use std::path::Path;

use sluicebox_durable::{FileError, read_given};
use sluicebox_engine::EngineError;
use sluicebox_pipeline::ast::Span;
use sluicebox_pipeline::diagnostic::{Diagnostic, Diagnostics, nearest};

use crate::error::{Error, Result, Usage};

/// The text of the file at `path`, which messages call `name`.
///
/// # Errors
/// When it cannot be read, with the name that may be meant if it is not there; when it is no file, nor a pipe that ends; and when it
/// is not UTF-8, at the first byte that is not.
pub fn read_text(path: &Path, name: &str) -> Result<String> {
    let bytes = read_given(path).map_err(|error| unread(path, name, error))?;
    String::from_utf8(bytes).map_err(|error| not_utf8(name, error.as_bytes()).into())
}

/// Why the file cannot be read: because of what was named, or because the disk or the system does not give it.
fn unread(path: &Path, name: &str, error: io::Error) -> Error {
    // EIO, EAGAIN and ENOMEM of a thread, ENFILE, EMFILE.
    if matches!(error.raw_os_error(), Some(5 | 11 | 12 | 23 | 24)) {
        return EngineError::from(FileError::new("read", name, error)).into();
    }
    let meant = if error.kind() == io::ErrorKind::NotFound { beside(path) } else { None };
    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Usage(format!("cannot read {name}: {error}{meant}")).into()
}

/// The file of SQL in the same folder whose name is like that of `path`.
fn beside(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let listed = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).ok()?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| name.ends_with(".sql")).collect();
    // Behind a dot all of them are alike.
    let undotted: Vec<String> = names.iter().map(|name| name.replace('.', " ")).collect();
    let near = nearest(&path.file_name()?.to_str()?.replace('.', " "), undotted.iter().map(String::as_str))?;
    let (_, near) = undotted.iter().zip(&names).find(|(undotted, _)| *undotted == near)?;
    Some(folder.join(near).display().to_string())
}

fn not_utf8(name: &str, bytes: &[u8]) -> Diagnostics {
    let utf16 = match bytes {
        [0xFF, 0xFE, ..] => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        [0xFE, 0xFF, ..] => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    let help = "save it as UTF-8: every editor can, under \"encoding\"; or convert it, as in `iconv -f ENCODING -t UTF-8 FILE`";
    let wrong = |span, message: String, label: &str| Diagnostic::new("encoding", span, message, label).with_help(help);
    if let Some(unit) = utf16 {
        let units = bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        let span = Span { start: 0, end: text.find('\n').unwrap_or(text.len()) };
        return Diagnostics::new(
            name,
            text,
            vec![wrong(span, "this file is UTF-16, and not UTF-8".to_owned(), "from here on")],
        );
    }
    // What is no UTF-8 is shown as what it most often is: Latin-1, a byte a character.
    let mut text = String::with_capacity(bytes.len());
    let mut first = None;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let start = text.len();
        text.extend(chunk.invalid().iter().copied().map(char::from));
        if let (None, Some(byte)) = (first, chunk.invalid().first()) {
            first = Some((*byte, Span { start, end: start + char::from(*byte).len_utf8() }));
        }
    }
    let (byte, span) = first.unwrap_or_default();
    let message = format!("this file is not UTF-8: the byte 0x{byte:02X} stands here");
    let label = format!("in Latin-1 this is {}", char::from(byte));
    Diagnostics::new(name, text, vec![wrong(span, message, &label)])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn said(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.sql");
        std::fs::write(&path, bytes).unwrap();
        let error = read_text(&path, "l.sql").unwrap_err();
        match &error {
            Error::Wrong(found) => found.render(false),
            other => other.to_string(),
        }
    }

    #[test]
    fn another_encoding_is_told_at_its_first_byte() {
        let latin = said(b"-- a\n-- caf\xe9 f\xfcr\nSELECT 1");
        for part in ["error[encoding]", "0xE9", "l.sql:2:7", "-- caf\u{e9} f\u{fc}r", "save it as UTF-8"] {
            assert!(latin.contains(part), "{part}: {latin}");
        }
        let utf16: Vec<u8> = "\u{feff}SELECT 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = said(&utf16);
        for part in ["this file is UTF-16", "l.sql:1:1", "SELECT 1"] {
            assert!(utf16.contains(part), "{part}: {utf16}");
        }
        let cut = said(b"SELECT '\xe2\x82");
        assert!(cut.contains("l.sql:1:9"), "{cut}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_one_that_is_like_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("products.sql"), "").unwrap();
        let path = dir.path().join("product.sql");
        let said = read_text(&path, "product.sql").unwrap_err().to_string();
        assert!(said.contains("did you mean") && said.contains("products.sql?"), "{said}");
        let said = read_text(&dir.path().join("t2.sql"), "t2.sql").unwrap_err().to_string();
        assert!(!said.contains("did you mean"), "only the ending is the same: {said}");
    }

    #[test]
    fn what_the_system_does_not_give_is_no_mistake_of_the_command_line() {
        let open_files = unread(Path::new("p.sql"), "p.sql", io::Error::from_raw_os_error(24));
        assert!(matches!(open_files, Error::Engine(_)) && open_files.to_string().contains("ulimit -n"), "{open_files}");
        let dir = tempfile::tempdir().unwrap();
        for (path, why) in [(dir.path(), "it is a folder, and no file"), (Path::new("/dev/null"), "it is a device")] {
            let wrong = read_text(path, "p.sql").unwrap_err();
            assert!(matches!(wrong, Error::Usage(_)) && wrong.to_string().contains(why), "{wrong}");
        }
    }
}
