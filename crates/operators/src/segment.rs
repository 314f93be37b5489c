//! State on disk: segments.
//!
//! A segment is an immutable file that holds what an operator remembered at some time. The operator defines the file's bytes. The engine
//! decides when it is written, and names, commits and removes it. A segment consists of **data** and a **tail** behind it. A restart reads
//! the tail alone and keeps it in memory: it is the index of the data. The data is read when it is needed. The commit holds the length and
//! the checksum of the whole file and of the tail. The index holds the checksums of the pieces of the data.

use std::fmt;
use std::io;
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::error::{Error, Result};

/// The file of a segment, open for reading.
///
/// ```
/// use std::io;
///
/// use sluicebox_operators::SegmentFile;
///
/// /// A file in memory.
/// #[derive(Debug)]
/// struct Memory(Vec<u8>);
///
/// impl SegmentFile for Memory {
///     fn name(&self) -> &str {
///         "memory"
///     }
///
///     fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
///         let from = usize::try_from(at).unwrap_or(usize::MAX);
///         let bytes = self.0.get(from..).and_then(|rest| rest.get(..buffer.len()));
///         buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
///         Ok(())
///     }
/// }
///
/// let file = Memory(b"data".to_vec());
/// let mut buffer = [0; 2];
/// file.read_exact_at(&mut buffer, 1)?;
/// assert_eq!(&buffer, b"at");
/// assert!(file.read_exact_at(&mut buffer, 3).is_err());
/// # Ok::<(), io::Error>(())
/// ```
pub trait SegmentFile: fmt::Debug + Send + Sync {
    /// The path below the checkpoint: names the segment.
    fn name(&self) -> &str;

    /// Fills `buffer` with the bytes from byte `at` on.
    ///
    /// # Errors
    /// When the disk does not give them, or the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

/// A durable segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its file.
    pub file: Arc<dyn SegmentFile>,
    /// Bytes of data: the tail stands behind them.
    pub data_bytes: u64,
    /// The tail, whose checksum was found right.
    pub tail: Buffer,
    /// Rows of state in it.
    pub rows: u64,
}

impl Segment {
    /// The error for a segment that cannot be read, or is not as it was written.
    #[must_use]
    pub fn broken(&self, operator: &str, why: impl fmt::Display) -> Error {
        Error::Segment { operator: operator.to_owned(), name: self.file.name().to_owned(), why: why.to_string() }
    }
}

/// What the engine appends to the data, and counts.
#[derive(Debug, Default)]
pub struct Written {
    /// Rows of state in the data. With none there will be no segment, and what it replaces goes.
    pub rows: u64,
    /// The tail.
    pub tail: Vec<u8>,
}

/// The data of a segment before it is written. Another thread writes it beside the next batches, unless [`Work::wait`] is set.
///
/// ```
/// use std::io;
///
/// use sluicebox_operators::{Error, Result, SegmentContent, Written};
///
/// /// Sorted keys. The tail holds the lowest one.
/// struct Keys(Vec<u64>);
///
/// impl SegmentContent for Keys {
///     fn write(self: Box<Self>, out: &mut dyn io::Write) -> Result<Written> {
///         for key in &self.0 {
///             let operator = "orders.dedup.0".to_owned();
///             out.write_all(&key.to_le_bytes()).map_err(|source| Error::SegmentWrite { operator, source })?;
///         }
///         let tail = self.0.first().map_or(Vec::new(), |lowest| lowest.to_le_bytes().to_vec());
///         Ok(Written { rows: self.0.len() as u64, tail })
///     }
/// }
///
/// let mut data = Vec::new();
/// let written = Box::new(Keys(vec![3, 5])).write(&mut data)?;
/// assert_eq!((written.rows, data.len()), (2, 16));
/// # Ok::<(), Error>(())
/// ```
pub trait SegmentContent: Send {
    /// Writes the data to `out`, front to back, and gives the rest.
    ///
    /// # Errors
    /// When `out` does not take it, which it also does to end the work; when a segment that it is made of cannot be read.
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> Result<Written>;
}

/// A segment that an operator wants written.
pub struct Work {
    /// The names of the segments that it takes the place of, neighbours in age; none when it holds what was in memory.
    pub replaces: Vec<String>,
    /// What goes in.
    pub content: Box<dyn SegmentContent>,
    /// Whether the operator can take no further batch before it has adopted the segment.
    pub wait: bool,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("replaces", &self.replaces).field("wait", &self.wait).finish_non_exhaustive()
    }
}
