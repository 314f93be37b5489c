//! Records packed in each way, rightly and wrongly.

use super::Seeds;

/// Kafka's compressions.
pub const HOWS: [(u8, &str); 4] = [(1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")];

/// Inputs of `packed`.
pub fn seeds() -> Seeds {
    // Two records, with a key and without: length, attributes, time, offset, key, value, headers.
    let records = [16, 0, 0, 0, 2, b'k', 2, b'v', 0, 22, 0, 0, 2, 1, 4, b'v', b'w', 2, 2, b'h', 1];
    let seed = |what: u8, count: u8, rest: &[u8]| [&[what, count], rest].concat();
    let mut seeds: Seeds = HOWS.iter().map(|(how, name)| ((*name).to_owned(), seed(0x80 | how, 2, &records))).collect();
    // A zstd frame with a window of 128 KiB, whose second block is one byte again and again: `blocks` times 128 KiB of a value.
    let frame = |window: u8, blocks: usize| {
        let value = blocks << 17;
        let varint = |n: usize| {
            let (mut rest, mut out) = (n << 1, Vec::new());
            while rest >= 0x80 {
                out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                rest >>= 7;
            }
            out.push(u8::try_from(rest).unwrap());
            out
        };
        // Attributes, time, offset, no key; what is behind the value is no headers.
        let start = [&[0, 0, 0, 1][..], &varint(value)[..]].concat();
        let start = [varint(start.len() + value + 1), start].concat();
        let header = |last: usize, kind: usize, size: usize| (last | kind << 1 | size << 3).to_le_bytes();
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, window];
        frame.extend(&header(0, 0, start.len())[..3]);
        frame.extend(start);
        for _ in 0..blocks {
            frame.extend(&header(0, 1, 1 << 17)[..3]);
            frame.push(0);
        }
        frame.extend(&header(1, 0, 1)[..3]);
        frame.push(0);
        frame
    };
    for (name, what, count, rest) in [
        ("plain", 0, 2, &records[..]),
        ("ends-before", 0x84, 5, &records[..]),
        ("garbage", 4, 3, &b"no zstd"[..]),
        ("bomb", 4, 1, &frame(0x38, 160)[..]),
        ("wide", 4, 1, &frame(0x88, 4)[..]),
        // A length of 4 GiB - 1, and nothing behind it.
        ("claims", 2, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f][..]),
        ("unknown", 0x86, 2, &records[..]),
    ] {
        seeds.push((name.to_owned(), seed(what, count, rest)));
    }
    let blocks =
        [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0"[..], &[u8::try_from(records.len()).unwrap() + 2][..]].concat();
    // One literal: its length, then a tag with its length less one.
    let literal = u8::try_from(records.len()).unwrap();
    let block = [&[literal, (literal - 1) << 2][..], &records[..]].concat();
    seeds.push(("java".to_owned(), seed(2, 2, &[blocks, block].concat())));
    seeds
}
