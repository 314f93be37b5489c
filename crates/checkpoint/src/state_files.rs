//! Files of operators' state: Arrow IPC streams, named by batch and epoch, so that no two runs write the same name.
//!
//! A state file carries its version in its schema. The commit that names it holds its length and checksum. Both are compared before any
//! byte is decoded.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::Broken;
use sluicebox_durable::{self as durable, Created, FileError};

use crate::records::StateFile;
use crate::{Checkpoint, CheckpointError};

/// The key of the version in the metadata of a state file's schema.
const VERSION_KEY: &str = "sluicebox.state.version";

/// The version of these files.
const VERSION: u32 = 1;

/// What a state file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKind {
    /// The whole state.
    Snapshot,
    /// What one batch added.
    Delta,
}

impl Checkpoint {
    /// Writes `batches`, all of one schema and at least one, as state of `operator` after batch `batch_id`.
    ///
    /// # Errors
    /// When the file cannot be encoded or made durable.
    pub fn write_state(
        &self,
        operator: &str,
        batch_id: u64,
        epoch: u64,
        kind: StateKind,
        batches: &[RecordBatch],
    ) -> Result<StateFile, CheckpointError> {
        let content =
            encode(batches).map_err(|source| CheckpointError::State { operator: operator.to_owned(), source })?;
        let dir = self.root.join("state").join(operator);
        durable::create_dir_durable(What::State, &dir)?;
        let ending = match kind {
            StateKind::Snapshot => "snapshot",
            StateKind::Delta => "delta",
        };
        let name = format!("{batch_id:09}-{epoch}.{ending}.arrow");
        let path = dir.join(&name);
        if durable::create_if_absent(What::State, &path, &content)? == Created::Exists {
            // Names carry the epoch, and a run tries a batch once: whoever made it, a commit may name it.
            return Err(FileError::new("create", path, std::io::ErrorKind::AlreadyExists.into()).into());
        }
        Ok(StateFile {
            path: format!("state/{operator}/{name}"),
            bytes: content.len() as u64,
            checksum: durable::checksum(&content),
        })
    }

    /// Reads a file that a commit names.
    ///
    /// # Errors
    /// When it is missing, of another length or checksum, of a newer version, or no Arrow stream.
    pub fn read_state(&self, operator: &str, file: &StateFile) -> Result<Vec<RecordBatch>, CheckpointError> {
        let path = self.root.join(&file.path);
        let content = durable::read(What::State, &path).map_err(CheckpointError::unread)?;
        let content = content.ok_or_else(|| CheckpointError::Missing { name: file.path.clone() })?;
        verify(&path, &content, file)?;
        let (version, batches) =
            decode(&content).map_err(|source| CheckpointError::State { operator: operator.to_owned(), source })?;
        match version {
            Some(VERSION) => Ok(batches),
            Some(found) if found > VERSION => {
                Err(CheckpointError::Newer { path, what: Broken::Newer { found, reads: VERSION } })
            }
            _ => Err(CheckpointError::Damaged { path, why: "it does not say of which version it is".to_owned() }),
        }
    }
}

fn verify(path: &Path, content: &[u8], file: &StateFile) -> Result<(), CheckpointError> {
    if content.len() as u64 == file.bytes && durable::checksum(content) == file.checksum {
        return Ok(());
    }
    Err(CheckpointError::Damaged {
        path: path.to_owned(),
        why: format!(
            "the commit names {} bytes with checksum {}, it has {} bytes with checksum {}",
            file.bytes,
            file.checksum,
            content.len(),
            durable::checksum(content)
        ),
    })
}

/// Written in each batch and read once, if ever: and hashes, which most of it is, do not compress at any level.
const ZSTD_LEVEL: i32 = 1;

/// About what an Arrow stream takes beside the buffers of its rows.
const HEADERS: usize = 4096;

fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let options = IpcWriteOptions::default().try_with_compression(Some(arrow_ipc::CompressionType::ZSTD))?;
    let options = options.try_with_compression_level(Some(ZSTD_LEVEL))?;
    let version = [(VERSION_KEY.to_owned(), VERSION.to_string())].into();
    let schema = first.schema().as_ref().clone().with_metadata(version);
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let mut writer = StreamWriter::try_new_with_options(Vec::with_capacity(bytes + HEADERS), &schema, options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner()
}

/// The version that the file says, and its batches without it.
fn decode(content: &[u8]) -> Result<(Option<u32>, Vec<RecordBatch>), ArrowError> {
    let reader = StreamReader::try_new(content, None)?;
    let version = reader.schema().metadata().get(VERSION_KEY).and_then(|version| version.parse().ok());
    let mut plain = reader.schema().as_ref().clone();
    plain.metadata.remove(VERSION_KEY);
    let plain = Arc::new(plain);
    let batches = reader.map(|batch| RecordBatch::try_new(Arc::clone(&plain), batch?.into_parts().1));
    let batches = batches.collect::<Result<_, _>>()?;
    Ok((version, batches))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_changed_byte_in_a_state_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("k", column)]).unwrap();
        let file = checkpoint.write_state("t.dedup.0", 4, 1, StateKind::Delta, std::slice::from_ref(&batch)).unwrap();
        assert_eq!(checkpoint.read_state("t.dedup.0", &file).unwrap(), vec![batch]);

        let path = dir.path().join(&file.path);
        let mut content = std::fs::read(&path).unwrap();
        content[40] ^= 1;
        std::fs::write(&path, content).unwrap();
        assert!(matches!(checkpoint.read_state("t.dedup.0", &file), Err(CheckpointError::Damaged { .. })));
        std::fs::remove_file(path).unwrap();
        assert!(matches!(checkpoint.read_state("t.dedup.0", &file), Err(CheckpointError::Missing { .. })));
    }

    #[test]
    fn a_state_file_of_another_version_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("k", column)]).unwrap();
        let refused = |version: Option<&str>| {
            let metadata = version.map(|v| (VERSION_KEY.to_owned(), v.to_owned())).into_iter().collect();
            let schema = batch.schema().as_ref().clone().with_metadata(metadata);
            let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
            writer.write(&batch).unwrap();
            let content = writer.into_inner().unwrap();
            let path = "state/t.dedup.0/x".to_owned();
            std::fs::create_dir_all(dir.path().join("state/t.dedup.0")).unwrap();
            std::fs::write(dir.path().join(&path), &content).unwrap();
            let file = StateFile { path, bytes: content.len() as u64, checksum: durable::checksum(&content) };
            checkpoint.read_state("t.dedup.0", &file).map(drop).unwrap_err().to_string()
        };
        let newer = refused(Some("2"));
        assert!(newer.contains("t.dedup.0/x") && newer.contains("newer Sluicebox"), "{newer}");
        assert!(refused(None).contains("does not say of which version"));
        assert!(refused(Some("one")).contains("does not say of which version"));
    }
}
