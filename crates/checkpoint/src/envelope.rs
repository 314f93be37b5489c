//! The envelope of every file of a checkpoint, as [`sluicebox_durable::sealed`] writes it: a first line `v<version> <checksum>`, then JSON.
//!
//! A reader tells a truncated or changed file from a complete one, and a newer version from damage, without parsing the content.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::{self, Broken};
use sluicebox_durable::{self as durable, Created};

use crate::CheckpointError;

/// Wraps `value`.
///
/// # Errors
/// When the value cannot be written as JSON, which is a bug.
pub fn wrap<T: Serialize>(value: &T) -> Result<Vec<u8>, CheckpointError> {
    sealed::seal(value).map_err(CheckpointError::Encode)
}

/// Wraps `value` in `version` of the format.
///
/// # Errors
/// When the value cannot be written as JSON, which is a bug.
pub fn wrap_as<T: Serialize>(version: u32, value: &T) -> Result<Vec<u8>, CheckpointError> {
    sealed::seal_as(version, value).map_err(CheckpointError::Encode)
}

/// Takes the value out of `content`, the content of `path`.
///
/// # Errors
/// When the file is damaged: the checksum is wrong, or the JSON is not such a value; or when it is of a newer version.
pub fn unwrap<T: DeserializeOwned>(path: &Path, content: &[u8]) -> Result<T, CheckpointError> {
    sealed::unseal(content).map_err(|broken| match broken {
        Broken::Damaged(why) => CheckpointError::Damaged { path: path.to_owned(), why },
        Broken::Newer { .. } => CheckpointError::Newer { path: path.to_owned(), what: broken },
    })
}

/// Reads the value in `path`, or `None` when there is no such file.
///
/// # Errors
/// When the file cannot be read or used.
pub fn read<T: DeserializeOwned>(what: What, path: &Path) -> Result<Option<T>, CheckpointError> {
    let content = durable::read(what, path).map_err(CheckpointError::unread)?;
    content.map(|content| unwrap(path, &content)).transpose()
}

/// Writes `value` to `path` if no file of that name is there.
///
/// # Errors
/// When the file cannot be made durable.
pub fn create<T: Serialize>(what: What, path: &Path, value: &T) -> Result<Created, CheckpointError> {
    Ok(durable::create_if_absent(what, path, &wrap(value)?)?)
}
