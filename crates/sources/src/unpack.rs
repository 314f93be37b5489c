//! Unpacks the records of a compressed batch piece by piece: a few bytes can unpack to gigabytes.

use std::io::{self, Cursor, Read};

use crate::batch::Reason;

/// What has to be unpacked at one go may become so many bytes. What comes in pieces holds no more than 8 MiB at a time.
const MOST_AT_ONCE: usize = 16 << 20;

/// The longest distance, as a power of two, over which zstd may refer back while it unpacks in pieces: it keeps as much. The format
/// asks readers for no more, and writers do not pass it below their "ultra" levels.
const ZSTD_WINDOW: u32 = 23;

/// What snappy's blocks from Java begin with; each block then has its length before it.
const XERIAL: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes of the versions that follow it.
const XERIAL_VERSIONS: usize = 8;

/// Unpacks what is in `bytes` from byte `from` on, packed by Kafka's compression `how`.
pub(crate) fn open(how: u16, bytes: Vec<u8>, from: usize) -> Result<Box<dyn Read + Send>, Reason> {
    let opened = match how {
        1 => Ok(boxed(flate2::bufread::GzDecoder::new(behind(bytes, from)))),
        2 => Blocks::of(bytes, from).map(boxed),
        3 => lz4::Decoder::new(behind(bytes, from)).map(boxed),
        4 => zstd(bytes, from),
        other => return Err(format!("compression {other}, which Kafka does not have")),
    };
    opened.map_err(|e| unreadable(&e))
}

fn boxed(reader: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(reader)
}

/// What is in `bytes` from byte `from` on.
fn behind(bytes: Vec<u8>, from: usize) -> Cursor<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    cursor.set_position(from as u64);
    cursor
}

/// What an error of what [`open`] gave means.
pub(crate) fn unreadable(error: &io::Error) -> Reason {
    format!("compressed records that cannot be unpacked ({error})")
}

/// Unpacks in pieces if that takes little memory, else at once if that gives little.
fn zstd(bytes: Vec<u8>, from: usize) -> io::Result<Box<dyn Read + Send>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(behind(bytes, from))?;
    decoder.window_log_max(ZSTD_WINDOW)?;
    // The first byte tells whether that is enough.
    let mut first = Vec::new();
    let began = decoder.by_ref().take(1).read_to_end(&mut first);
    if began.is_ok() {
        return Ok(boxed(Cursor::new(first).chain(decoder)));
    }
    let bytes = decoder.finish().into_inner();
    let mut out = zstd::bulk::decompress(bytes.get(from..).unwrap_or_default(), MOST_AT_ONCE)?;
    out.shrink_to_fit();
    Ok(boxed(Cursor::new(out)))
}

/// Snappy's blocks: a single one, or Java's.
struct Blocks {
    bytes: Vec<u8>,
    /// Where the next block begins.
    at: usize,
    has_lengths: bool,
    /// What the last block became.
    out: Cursor<Vec<u8>>,
}

impl Blocks {
    fn of(bytes: Vec<u8>, from: usize) -> io::Result<Self> {
        let body = bytes.get(from..).unwrap_or_default();
        let has_lengths = body.starts_with(&XERIAL);
        let at = if has_lengths { from + XERIAL.len() + XERIAL_VERSIONS } else { from };
        if at > bytes.len() {
            return Err(io::Error::other("snappy blocks without their versions"));
        }
        Ok(Self { bytes, at, has_lengths, out: Cursor::default() })
    }

    /// The next block as it is packed.
    fn block(&mut self) -> Option<&[u8]> {
        let mut rest = self.bytes.get(self.at..)?;
        if self.has_lengths {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            rest = behind.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            self.at += length.len();
        }
        self.at += rest.len();
        Some(rest)
    }

    fn advance(&mut self) -> io::Result<()> {
        let block = self.block().ok_or_else(|| io::Error::other("a snappy block that is cut short"))?;
        // The length that a block claims is not believed: 64 bytes never come of fewer than three.
        let claimed = snap::raw::decompress_len(block).map_err(io::Error::other)?;
        if claimed > MOST_AT_ONCE || claimed > block.len().saturating_mul(64) {
            return Err(io::Error::other(format!("a snappy block that claims {claimed} bytes")));
        }
        self.out = Cursor::new(snap::raw::Decoder::new().decompress_vec(block).map_err(io::Error::other)?);
        Ok(())
    }
}

impl Read for Blocks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let given = self.out.read(into)?;
            if given > 0 || into.is_empty() || self.at == self.bytes.len() {
                return Ok(given);
            }
            self.advance()?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::io::Write;

    use super::*;
    use crate::records::made::pack;

    const MIB: usize = 1 << 20;

    /// Unpacks `body`, which stands behind three other bytes.
    fn unpack(how: u16, body: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut out = Vec::new();
        let mut opened = open(how, [&b"abc"[..], body].concat(), 3)?;
        opened.read_to_end(&mut out).map_err(|e| unreadable(&e))?;
        Ok(out)
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let content: Vec<u8> = (0..MIB).map(|i| (i % 251) as u8).collect();
        for how in 1..=4 {
            let body = pack(how, &content);
            assert_eq!(unpack(how, &body).unwrap(), content, "compression {how}");
            let part = unpack(how, &body[..body.len() / 2]).unwrap_or_default();
            assert!(part.len() < content.len(), "compression {how}: a part is not taken for the whole");
            assert_ne!(unpack(how, &[7; 40]), Ok(content.clone()), "compression {how}");
        }
        assert!(unpack(5, &content).unwrap_err().contains("compression 5"));
    }

    /// As the highest levels of zstd write it: whoever unpacks it in pieces has to keep 16 MiB, whatever there is.
    #[test]
    fn a_zstd_frame_with_a_large_window_is_unpacked_when_it_is_small() {
        let written = |content: &[u8]| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(24).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        };
        let small = vec![7; MIB];
        assert_eq!(unpack(4, &written(&small)).unwrap(), small);
        assert!(unpack(4, &written(&vec![7; MOST_AT_ONCE + 1])).is_err());
    }

    #[test]
    fn a_snappy_block_is_not_believed_what_it_claims() {
        // A length of 4 GiB - 1, and nothing behind it; then of 15 MiB, which would be let in.
        assert!(unpack(2, &[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err().contains("claims 4294967295 bytes"));
        assert!(unpack(2, &[0x80, 0x80, 0xc0, 0x07, 0, 0]).unwrap_err().contains("claims 15728640 bytes"));
        // 20 MiB, for which there are bytes enough.
        let large = [vec![0x80, 0x80, 0x80, 0x0a], vec![0; MIB]].concat();
        assert!(unpack(2, &large).unwrap_err().contains("claims 20971520 bytes"));

        let mut framed = [&XERIAL[..], &[0, 0, 0, 1, 0, 0, 0, 1][..]].concat();
        for part in [&b"hello "[..], b"", b"snappy"] {
            let block = pack(2, part);
            framed.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&block);
        }
        assert_eq!(unpack(2, &framed).unwrap(), b"hello snappy");
        assert!(unpack(2, &framed[..framed.len() - 1]).is_err());
        assert!(unpack(2, &framed[..10]).unwrap_err().contains("versions"));
    }
}
