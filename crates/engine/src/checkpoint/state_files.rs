//! Files of operators' state: Arrow IPC streams, named by batch and epoch, so that no two runs write one name.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use sluicebox_core::durable::{self, Created, FileError};
use sluicebox_core::fault;

use super::records::StateFile;
use super::{Checkpoint, CheckpointError};

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
        durable::create_dir_durable(&dir)?;
        let ending = match kind {
            StateKind::Snapshot => "snapshot",
            StateKind::Delta => "delta",
        };
        let name = format!("{batch_id:09}-{epoch}.{ending}.arrow");
        fault::point("state.write");
        if durable::create_if_absent(&dir.join(&name), &content)? == Created::Exists {
            // This run's own earlier try of the batch: names carry the epoch, so no other run writes them.
            durable::replace(&dir.join(&name), &content)?;
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
    /// When it is missing, of another length or checksum, or no Arrow stream.
    pub fn read_state(&self, operator: &str, file: &StateFile) -> Result<Vec<RecordBatch>, CheckpointError> {
        let path = self.root.join(&file.path);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(CheckpointError::Missing { name: file.path.clone() });
            }
            Err(e) => return Err(FileError::new("read", path, e).into()),
        };
        verify(&path, &content, file)?;
        decode(&content).map_err(|source| CheckpointError::State { operator: operator.to_owned(), source })
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

fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let options = IpcWriteOptions::default().try_with_compression(Some(arrow_ipc::CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &first.schema(), options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner()
}

fn decode(content: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    if content.is_empty() {
        return Ok(Vec::new());
    }
    StreamReader::try_new(content, None)?.collect()
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
}
