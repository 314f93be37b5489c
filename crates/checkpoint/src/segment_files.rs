//! Files of segments. The state writer writes one piece by piece under a temporary name, beside as many batches as that takes. The batch
//! whose commit names it gives it its final name. So a purge, which tells the batch of a file by its name, never meets a segment that is
//! not in force yet.
//!
//! A restart reads only the tail of a segment. The commit holds a checksum of the tail, which every start compares, and one of the whole
//! file, which `checkpoint verify` compares.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::buffer::Buffer;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Checksum, Created, DurableFile, FileError, FoundFile, Own};
use sluicebox_operators::{Segment, SegmentContent, SegmentFile};

use crate::records::{SegmentRecord, StateFile};
use crate::{Checkpoint, CheckpointError};

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// A segment that is written and synced, and has no name yet. Dropped so, it goes.
#[derive(Debug)]
pub struct StagedSegment {
    temporary: PathBuf,
    bytes: u64,
    checksum: String,
    rows: u64,
    tail: Vec<u8>,
}

impl Drop for StagedSegment {
    fn drop(&mut self) {
        tidy(&self.temporary);
    }
}

/// Removes the `temporary` file, which this process has made itself: wherever its folder leads to, no other is meant.
fn tidy(temporary: &Path) {
    if let (Some(folder), Some(name)) = (temporary.parent(), temporary.file_name()) {
        // What stays behind is swept at the next start.
        let _ = Own::given(folder).tidy(What::Segment, name);
    }
}

/// Where the content goes: counted, and refused once the run is over.
struct Out<'a> {
    file: DurableFile,
    path: &'a Path,
    stop: &'a AtomicBool,
    piece: Vec<u8>,
    bytes: u64,
    checksum: Checksum,
    failed: Option<FileError>,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the run is over"));
        }
        self.checksum.update(&self.piece);
        self.bytes += self.piece.len() as u64;
        let written = self.file.write_all(&self.piece);
        self.piece.clear();
        written.map_err(|e| {
            let kind = e.kind();
            self.failed = Some(FileError::new("write", self.path, e));
            kind.into()
        })
    }
}

impl Checkpoint {
    /// Writes `content` as a segment of `operator`, durable but for its name; `None` when nothing was in it. Once `stop` is
    /// true it ends with an error and leaves nothing behind.
    ///
    /// # Errors
    /// When the content cannot be put together, or the file not be written.
    pub fn stage_segment(
        &self,
        operator: &str,
        content: Box<dyn SegmentContent>,
        stop: &AtomicBool,
    ) -> Result<Option<StagedSegment>, CheckpointError> {
        let dir = self.root.join("state").join(operator);
        durable::create_dir_durable(What::State, &dir)?;
        let temporary = durable::temporary_name(&dir.join("segment"));
        let staged = fill(&temporary, content, stop);
        if !matches!(staged, Ok(Some(_))) {
            tidy(&temporary);
        }
        staged
    }

    /// Gives a staged segment its name, as the `nth` of `operator` in the batch `(batch id, epoch)`, and opens it.
    ///
    /// # Errors
    /// When the name is taken or cannot be made durable.
    pub fn name_segment(
        &self,
        operator: &str,
        (batch_id, epoch): (u64, u64),
        nth: usize,
        mut staged: StagedSegment,
    ) -> Result<(SegmentRecord, Segment), CheckpointError> {
        let name = format!("state/{operator}/{batch_id:09}-{epoch}-{nth}.segment");
        let path = self.root.join(&name);
        if durable::name_if_absent(What::Segment, &staged.temporary, &path)? == Created::Exists {
            return Err(FileError::new("create", path, io::ErrorKind::AlreadyExists.into()).into());
        }
        let record = SegmentRecord {
            file: StateFile { path: name, bytes: staged.bytes, checksum: std::mem::take(&mut staged.checksum) },
            rows: staged.rows,
            tail_bytes: staged.tail.len() as u64,
            tail_checksum: durable::checksum(&staged.tail),
        };
        let segment = self.open(&record)?.with(&record, Buffer::from_vec(std::mem::take(&mut staged.tail)));
        Ok((record, segment))
    }

    /// Opens a segment that a commit names, and reads its tail.
    ///
    /// # Errors
    /// When it is missing, of another length, or its tail of another checksum.
    pub fn open_segment(&self, record: &SegmentRecord) -> Result<Segment, CheckpointError> {
        let file = self.open(record)?;
        let path = self.root.join(&record.file.path);
        let damaged = |why: String| CheckpointError::Damaged { path: path.clone(), why };
        let Some(data) = record.file.bytes.checked_sub(record.tail_bytes) else {
            return Err(damaged(format!("the commit says that {} of its bytes are its tail", record.tail_bytes)));
        };
        // Not more than the file has: its length was compared.
        let mut tail = vec![0; usize::try_from(record.tail_bytes).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut tail, data).map_err(|e| FileError::new("read", &path, e))?;
        let found = durable::checksum(&tail);
        if found != record.tail_checksum {
            return Err(damaged(format!(
                "the commit names a tail with checksum {}, it has one with {found}",
                record.tail_checksum
            )));
        }
        Ok(file.with(record, Buffer::from_vec(tail)))
    }

    fn open(&self, record: &SegmentRecord) -> Result<OpenSegment, CheckpointError> {
        let (name, bytes) = (&record.file.path, record.file.bytes);
        let path = self.root.join(name);
        let file = FoundFile::open(What::Segment, &path).map_err(CheckpointError::unread)?;
        let file = file.ok_or_else(|| CheckpointError::Missing { name: name.to_owned() })?;
        if file.length() != bytes {
            let why = format!("the commit names {bytes} bytes, it has {}", file.length());
            return Err(CheckpointError::Damaged { path, why });
        }
        Ok(OpenSegment { name: name.to_owned(), file })
    }
}

fn fill(
    temporary: &Path,
    content: Box<dyn SegmentContent>,
    stop: &AtomicBool,
) -> Result<Option<StagedSegment>, CheckpointError> {
    let file = DurableFile::create_new(What::Segment, temporary)?;
    let (piece, checksum) = (Vec::with_capacity(PIECE), Checksum::default());
    let mut out = Out { file, path: temporary, stop, piece, bytes: 0, checksum, failed: None };
    let written = content.write(&mut out);
    let written = match out.failed.take() {
        Some(failed) => return Err(failed.into()),
        None => written?,
    };
    if written.rows == 0 {
        return Ok(None);
    }
    let finished = out.write_all(&written.tail).and_then(|()| out.flush());
    finished.map_err(|e| out.failed.take().unwrap_or_else(|| FileError::new("write", temporary, e)))?;
    out.file.sync()?;
    Ok(Some(StagedSegment {
        temporary: temporary.to_owned(),
        bytes: out.bytes,
        checksum: out.checksum.text(),
        rows: written.rows,
        tail: written.tail,
    }))
}

/// An open segment, by the name that the commit has for it.
#[derive(Debug)]
struct OpenSegment {
    name: String,
    file: FoundFile,
}

impl OpenSegment {
    fn with(self, record: &SegmentRecord, tail: Buffer) -> Segment {
        let data_bytes = record.file.bytes - record.tail_bytes;
        Segment { file: Arc::new(self), data_bytes, tail, rows: record.rows }
    }
}

impl SegmentFile for OpenSegment {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]
    use sluicebox_operators::Written;

    use super::*;

    /// Writes so many bytes, then a tail.
    struct Bytes(usize, &'static [u8]);

    impl SegmentContent for Bytes {
        fn write(self: Box<Self>, out: &mut dyn Write) -> sluicebox_operators::Result<Written> {
            let failed = |source| sluicebox_operators::Error::SegmentWrite { operator: "op".to_owned(), source };
            for at in 0..self.0 {
                out.write_all(&[at as u8]).map_err(failed)?;
            }
            Ok(Written { rows: self.0 as u64, tail: self.1.to_vec() })
        }
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir.join("state/op")).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_segment_is_read_by_its_tail_and_at_any_place_and_damage_of_the_tail_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let go = AtomicBool::new(false);
        let bytes = 2 * PIECE + 100;
        let staged = checkpoint.stage_segment("op", Box::new(Bytes(bytes, b"tail")), &go).unwrap().unwrap();
        let (record, segment) = checkpoint.name_segment("op", (7, 2), 0, staged).unwrap();
        assert_eq!(files(dir.path()), ["000000007-2-0.segment"]);
        let path = dir.path().join(&record.file.path);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!((record.file.bytes, &record.file.checksum), (whole.len() as u64, &durable::checksum(&whole)));
        for segment in [segment, checkpoint.open_segment(&record).unwrap()] {
            assert_eq!((segment.tail.as_slice(), segment.rows), (b"tail".as_slice(), bytes as u64));
            assert_eq!(segment.data_bytes, bytes as u64);
            let mut found = [0; 3];
            segment.file.read_exact_at(&mut found, 257).unwrap();
            assert_eq!((found, segment.file.name()), ([1, 2, 3], "state/op/000000007-2-0.segment"));
        }
        let refused = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            checkpoint.open_segment(&record).map(drop).unwrap_err().to_string()
        };
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(refused(&flipped).contains("tail"));
        assert!(refused(&whole[1..]).contains("000000007-2-0.segment"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(checkpoint.open_segment(&record), Err(CheckpointError::Missing { .. })));
    }

    #[test]
    fn what_is_empty_or_stopped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let nothing = checkpoint.stage_segment("op", Box::new(Bytes(0, b"")), &AtomicBool::new(false)).unwrap();
        assert!(nothing.is_none());
        drop(checkpoint.stage_segment("op", Box::new(Bytes(9, b"")), &AtomicBool::new(false)).unwrap().unwrap());
        assert!(files(dir.path()).is_empty(), "nobody adopted it");
        let stopped = checkpoint.stage_segment("op", Box::new(Bytes(PIECE, b"")), &AtomicBool::new(true));
        let Err(CheckpointError::Operator(_)) = stopped else { panic!("{stopped:?}") };
        assert!(files(dir.path()).is_empty());
    }

    #[test]
    fn a_name_is_never_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let stage = || checkpoint.stage_segment("op", Box::new(Bytes(9, b"")), &AtomicBool::new(false));
        checkpoint.name_segment("op", (1, 1), 0, stage().unwrap().unwrap()).unwrap();
        assert!(checkpoint.name_segment("op", (1, 1), 0, stage().unwrap().unwrap()).is_err());
        checkpoint.name_segment("op", (1, 1), 1, stage().unwrap().unwrap()).unwrap();
    }
}
