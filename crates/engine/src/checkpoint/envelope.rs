//! How every file of a checkpoint is wrapped: a first line `v1 <checksum>`, then JSON.
//!
//! The checksum is xxh3-64 over everything after the first line, so a truncated or changed file is told from a whole
//! one, whatever its content means.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluicebox_core::durable::{self, Created, FileError};

use super::CheckpointError;

const VERSION: &str = "v1";

/// Wraps `value`.
///
/// # Errors
/// When the value cannot be written as JSON, which is a bug.
pub fn wrap<T: Serialize>(value: &T) -> Result<Vec<u8>, CheckpointError> {
    let body = serde_json::to_string_pretty(value).map_err(CheckpointError::Encode)?;
    Ok(format!("{VERSION} {}\n{body}\n", durable::checksum(format!("{body}\n").as_bytes())).into_bytes())
}

/// Takes the value out of `content`, the content of `path`.
///
/// # Errors
/// When the version is unknown, the checksum is wrong or the JSON is not such a value: the file is damaged.
pub fn unwrap<T: DeserializeOwned>(path: &Path, content: &[u8]) -> Result<T, CheckpointError> {
    let damaged = |why: &str| CheckpointError::Damaged { path: path.to_owned(), why: why.to_owned() };
    let text = std::str::from_utf8(content).map_err(|_| damaged("it is not text"))?;
    let (head, body) = text.split_once('\n').ok_or_else(|| damaged("it has no first line"))?;
    let (version, checksum) = head.split_once(' ').ok_or_else(|| damaged("its first line is not `v1 CHECKSUM`"))?;
    if version != VERSION {
        return Err(damaged(&format!("its version is `{version}`, this binary reads `{VERSION}`")));
    }
    if checksum != durable::checksum(body.as_bytes()) {
        return Err(damaged("its checksum does not match its content"));
    }
    serde_json::from_str(body).map_err(|e| damaged(&format!("its content is not what it should be: {e}")))
}

/// Reads the value in `path`, or `None` when there is no such file.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CheckpointError> {
    match std::fs::read(path) {
        Ok(content) => unwrap(path, &content).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::new("read", path, e).into()),
    }
}

/// Writes `value` to `path` if no file of that name is there.
///
/// # Errors
/// When the file cannot be made durable.
pub fn create<T: Serialize>(path: &Path, value: &T) -> Result<Created, CheckpointError> {
    Ok(durable::create_if_absent(path, &wrap(value)?)?)
}
