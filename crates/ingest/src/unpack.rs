//! Unpacking the records of a compressed batch, with an end: a few bytes can be packed so that they become gigabytes.

use std::io::Read;

use crate::batch::Reason;

/// What the records of one batch may become, in bytes: as much as the largest value that is decoded.
pub(crate) const MOST_UNPACKED: usize = 256 << 20;

/// What snappy's blocks from Java begin with; each block then has its length before it.
const XERIAL: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes of the versions that follow it.
const XERIAL_VERSIONS: usize = 8;

/// The records in `body`, which are packed by Kafka's compression `how`, if they are at most `most` bytes.
pub(crate) fn unpack(how: u16, body: &[u8], most: usize) -> Result<Vec<u8>, Reason> {
    let unreadable = |e: std::io::Error| format!("compressed records that cannot be unpacked ({e})");
    match how {
        1 => read(flate2::read::GzDecoder::new(body), most),
        2 => snappy(body, most),
        3 => {
            let mut decoder = lz4::Decoder::new(body).map_err(unreadable)?;
            let out = read(&mut decoder, most)?;
            // It takes the end of the bytes for that of the frame, and tells the difference only when asked.
            decoder.finish().1.map_err(unreadable)?;
            Ok(out)
        }
        4 => read(zstd::stream::read::Decoder::with_buffer(body).map_err(unreadable)?, most),
        other => Err(format!("compression {other}, which Kafka does not have")),
    }
}

fn too_much(most: usize) -> Reason {
    format!("compressed records of more than {most} bytes")
}

fn read(from: impl Read, most: usize) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut out).map_err(|e| format!("compressed records that cannot be unpacked ({e})"))?;
    if out.len() > most { Err(too_much(most)) } else { Ok(out) }
}

/// A single block, or Java's blocks.
fn snappy(body: &[u8], most: usize) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    let Some(framed) = body.strip_prefix(&XERIAL) else {
        snappy_block(body, most, &mut out)?;
        return Ok(out);
    };
    let mut rest = framed.get(XERIAL_VERSIONS..).ok_or("snappy blocks without their versions")?;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (block, behind) = behind.split_at_checked(length).ok_or("a snappy block that is cut short")?;
        snappy_block(block, most, &mut out)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(out) } else { Err("a snappy block that is cut short".to_owned()) }
}

fn snappy_block(block: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    let unreadable = |e: snap::Error| format!("compressed records that cannot be unpacked ({e})");
    // The length that the block claims is believed only as far as there is room for it, and 64 bytes never come of fewer
    // than three.
    let claimed = snap::raw::decompress_len(block).map_err(unreadable)?;
    if claimed > most - out.len() || claimed > block.len().saturating_mul(64) {
        return Err(too_much(most));
    }
    out.extend_from_slice(&snap::raw::Decoder::new().decompress_vec(block).map_err(unreadable)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::io::Write;

    use super::*;

    const MIB: usize = 1 << 20;

    /// A frame of `blocks` blocks, four bytes each, each of 128 KiB zeros.
    fn zstd_bomb(blocks: usize) -> Vec<u8> {
        // Magic, a frame with a window of 128 KiB and no content size.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        for block in 1..=blocks {
            // Last block, type 1 (one byte again and again), size.
            let header = u32::from(block == blocks) | 1 << 1 | (128 << 10) << 3;
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame
    }

    fn packed(how: u16, content: &[u8]) -> Vec<u8> {
        match how {
            1 => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            2 => snap::raw::Encoder::new().compress_vec(content).unwrap(),
            3 => {
                let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
                encoder.write_all(content).unwrap();
                encoder.finish().0
            }
            _ => zstd::stream::encode_all(content, 1).unwrap(),
        }
    }

    #[test]
    fn what_fits_is_unpacked_and_what_does_not_is_refused() {
        let content: Vec<u8> = (0..MIB).map(|i| (i % 251) as u8).collect();
        for how in 1..=4 {
            let body = packed(how, &content);
            assert_eq!(unpack(how, &body, MIB).unwrap(), content, "compression {how}");
            assert!(unpack(how, &body, MIB - 1).unwrap_err().contains("more than"), "compression {how}");
            assert!(unpack(how, &body[..body.len() / 2], MIB).is_err(), "compression {how}");
        }
        assert!(unpack(5, &content, MIB).unwrap_err().contains("compression 5"));
    }

    /// Without the limit these 256 KiB become 8 GiB of memory.
    #[test]
    fn a_small_batch_does_not_become_much_memory() {
        let bomb = zstd_bomb(1 << 16);
        assert!(bomb.len() < 1 << 19);
        assert_eq!(unpack(4, &zstd_bomb(8), MIB).unwrap(), vec![0; MIB], "it is a frame");
        assert!(unpack(4, &bomb, MIB).unwrap_err().contains("more than 1048576 bytes"));
    }

    #[test]
    fn a_snappy_block_is_not_believed_what_it_claims() {
        // A length of 4 GiB - 1, and nothing behind it.
        let claims = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(unpack(2, &claims, MOST_UNPACKED).is_err());
        // 255 MiB, which would fit.
        assert!(unpack(2, &[0x80, 0x80, 0x80, 0x7f, 0, 0], MOST_UNPACKED).is_err());
        let mut framed = XERIAL.to_vec();
        framed.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for part in [&b"hello "[..], b"snappy"] {
            let block = packed(2, part);
            framed.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&block);
        }
        assert_eq!(unpack(2, &framed, MIB).unwrap(), b"hello snappy");
        assert!(unpack(2, &framed[..framed.len() - 1], MIB).is_err());
        assert!(unpack(2, &framed, 8).is_err(), "the limit is over all blocks");
    }
}
