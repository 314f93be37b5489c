//! Values packed as Kafka packs them, for tests here and outside.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::Write;

/// `content` packed by Kafka's compression `how`: 1 to 4, and 0 for none.
///
/// # Panics
/// When an encoder fails, which over memory none does.
#[must_use]
pub fn pack(how: u16, content: &[u8]) -> Vec<u8> {
    match how {
        0 => content.to_vec(),
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
