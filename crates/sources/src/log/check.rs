//! Checks the bytes of a segment without a log around them: for tools, and for tests that write bytes of their own.

use crc32c::crc32c;

use crate::batch::{self, BatchHeader};
use crate::records;

/// What [`check_segment`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Whole record batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes that they take, from the start; what follows is no whole batch.
    pub bytes: u64,
    /// The offset after the last batch; 0 without one.
    pub next_offset: i64,
}

/// Reads `bytes` as the record batches of a segment, up to the first that is not wholly there or whose checksum does not
/// fit.
///
/// # Errors
/// What is wrong with a batch whose checksum fits.
pub fn check_segment(bytes: &[u8]) -> Result<SegmentSummary, String> {
    let mut found = SegmentSummary::default();
    let mut rest = bytes;
    while let Ok(Some(header)) = BatchHeader::read(rest) {
        let Some((whole, behind)) = rest.split_at_checked(header.size).filter(|(whole, _)| batch::is_intact(whole))
        else {
            break;
        };
        if header.base_offset < found.next_offset {
            break;
        }
        records::for_each(&header, whole, &mut |_| found.events += 1)?;
        found.batches += 1;
        found.bytes += header.size as u64;
        found.next_offset = header.next_offset;
        rest = behind;
    }
    Ok(found)
}

/// Makes length and checksum of the one batch `bytes` right, if it has a header.
pub fn seal_batch(bytes: &mut [u8]) {
    if bytes.len() >= batch::HEADER {
        let length = u32::try_from(bytes.len() - batch::PREFIX).unwrap_or(u32::MAX);
        bytes[batch::LENGTH_AT..batch::PREFIX].copy_from_slice(&length.to_be_bytes());
        let sum = crc32c(&bytes[batch::CRC_FROM..]).to_be_bytes();
        bytes[batch::CRC_AT..batch::CRC_FROM].copy_from_slice(&sum);
    }
}
