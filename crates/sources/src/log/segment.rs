//! Segment files: their names, and walks over the batches in them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError, open_regular};

use crate::batch::{self, BatchHeader};
use crate::error::{Result, SourceError};

const EXTENSION: &str = ".log";
const BLOCK: usize = 256 * 1024;

/// The file of the segment whose first offset is `base`.
pub(crate) fn path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}{EXTENSION}"))
}

/// The first offsets of the segments in `dir`, ascending.
pub(crate) fn list(dir: &Path) -> Result<Vec<i64>> {
    let mut bases = Vec::new();
    for entry in durable::list(What::Log, dir)? {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|n| n.strip_suffix(EXTENSION)).filter(|d| d.len() == 20);
        bases.extend(digits.and_then(|d| d.parse::<i64>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// A segment open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: i64,
    pub(crate) path: PathBuf,
    file: File,
    block: Vec<u8>,
    /// Where `block` begins in the file.
    block_at: u64,
}

/// What stands at a byte of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// A batch, whole as far as its length says.
    Batch(BatchHeader),
    /// The end, or a batch that is not wholly there.
    End,
}

impl Segment {
    /// Opens the segment `base`; `None` when it is not there.
    pub(crate) fn open(dir: &Path, base: i64) -> Result<Option<Self>> {
        let path = path(dir, base);
        match open_regular(&path) {
            Ok(file) => Ok(Some(Self { base, path, file, block: Vec::new(), block_at: 0 })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::new("open", path, e).into()),
        }
    }

    /// Bytes in the file now.
    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| FileError::new("look at", &self.path, e))?.len())
    }

    /// Makes what was read durable, so that nobody acts on bytes that a power loss could take back.
    pub(crate) fn sync(&self) -> Result<()> {
        Ok(durable::sync_file(What::Log, &self.file, &self.path)?)
    }

    pub(crate) fn damaged(&self, byte: u64, what: String) -> SourceError {
        SourceError::Damaged { path: self.path.clone(), byte, what }
    }

    /// What stands at byte `at`, of a file of `len` bytes. A header that makes no sense is an error's text.
    pub(crate) fn at(&mut self, at: u64, len: u64) -> Result<std::result::Result<At, batch::Reason>> {
        if at + batch::HEADER as u64 > len {
            return Ok(Ok(At::End));
        }
        let header = match BatchHeader::read(self.bytes(at, batch::HEADER, len)?) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Ok(At::End)),
            Err(reason) => return Ok(Err(reason)),
        };
        let whole = at + header.size as u64 <= len;
        Ok(Ok(if whole { At::Batch(header) } else { At::End }))
    }

    /// The batch at byte `at`, if its checksum is right.
    pub(crate) fn intact(&mut self, at: u64, header: &BatchHeader, len: u64) -> Result<Option<&[u8]>> {
        let bytes = self.bytes(at, header.size, len)?;
        Ok((bytes.len() == header.size && batch::is_intact(bytes)).then_some(bytes))
    }

    /// The byte behind the transaction of which a batch stands at byte `at`; of any other batch, the byte behind it. `None` when that is
    /// not wholly there.
    pub(crate) fn end_of_transaction(&mut self, mut at: u64, len: u64) -> Result<Option<u64>> {
        loop {
            let Ok(At::Batch(header)) = self.at(at, len)? else { return Ok(None) };
            let behind = at + header.size as u64;
            if !header.needs_mark() {
                return Ok(self.intact(at, &header, len)?.is_some().then_some(behind));
            }
            at = behind;
        }
    }

    /// `count` bytes from byte `at` on, fewer at the end of the file.
    fn bytes(&mut self, at: u64, count: usize, len: u64) -> Result<&[u8]> {
        let inside = at >= self.block_at && at + count as u64 <= self.block_at + self.block.len() as u64;
        if !inside {
            let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
            self.block.resize(count.max(BLOCK).min(left), 0);
            self.block_at = at;
            let mut filled = 0;
            while filled < self.block.len() {
                match self.file.read_at(&mut self.block[filled..], at + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(FileError::new("read", &self.path, e).into()),
                }
            }
            self.block.truncate(filled);
        }
        let from = (at - self.block_at) as usize;
        Ok(&self.block[from..self.block.len().min(from + count)])
    }

    /// Forgets the bytes read ahead: the file's tail may have been written anew.
    pub(crate) fn forget(&mut self) {
        self.block.clear();
    }
}

/// Where the whole appends of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The byte after the last whole batch that counts: one of a transaction does when its mark is there.
    pub(crate) byte: u64,
    /// The offset after it.
    pub(crate) next_offset: i64,
    /// The newest timestamp seen on the walk.
    pub(crate) max_timestamp: i64,
}

impl Tail {
    pub(crate) fn of_empty(base: i64) -> Self {
        Self { byte: 0, next_offset: base, max_timestamp: i64::MIN }
    }
}

/// Walks on from `tail` to the last intact batch that counts. Only a batch that nothing intact follows may be torn: what comes behind
/// an unreadable batch in the middle would be lost by cutting there, so that is damage. So is a transaction without its mark that
/// something else follows.
pub(crate) fn walk(segment: &mut Segment, mut tail: Tail) -> Result<Tail> {
    segment.forget();
    let len = segment.len()?;
    // Ahead of the tail within a transaction.
    let mut at = tail;
    loop {
        let header = match segment.at(at.byte, len)? {
            Ok(At::Batch(header)) if header.base_offset >= at.next_offset => header,
            // Zeros after a power loss, or the garbage of a torn write.
            Ok(_) | Err(_) => return Ok(tail),
        };
        if segment.intact(at.byte, &header, len)?.is_none() {
            let behind = at.byte + header.size as u64;
            // Of a transaction that has no mark nothing was promised, in no order.
            let is_unmarked = at.byte > tail.byte || header.needs_mark();
            let followed = match segment.at(behind, len)? {
                Ok(At::Batch(next)) if next.base_offset >= header.next_offset => {
                    segment.intact(behind, &next, len)?.is_some()
                        && (!is_unmarked || segment.end_of_transaction(behind, len)?.is_some())
                }
                _ => false,
            };
            if followed {
                return Err(
                    segment.damaged(at.byte, "a batch whose checksum does not fit, with others behind it".into())
                );
            }
            return Ok(tail);
        }
        if at.byte > tail.byte && !header.is_transactional() {
            return Err(segment.damaged(tail.byte, "a transaction without its mark, with others behind it".into()));
        }
        at.byte += header.size as u64;
        at.next_offset = header.next_offset;
        at.max_timestamp = at.max_timestamp.max(header.max_timestamp);
        if !header.needs_mark() {
            tail = at;
        }
    }
}
