#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use proptest::prelude::*;

use super::made::{Written, body, pack, varint};
use super::*;

const BASE: i64 = 1_000;
const SMALL: Limits = Limits { unpacked: 1 << 20, records: 1_000, record: 2_000, headers: 3, head: 10 };

fn batch_of(how: u16, count: i32, body: &[u8]) -> (BatchHeader, Vec<u8>) {
    let bytes = made::batch(BASE, how, count, body);
    (BatchHeader::read(&bytes).unwrap().unwrap(), bytes)
}

/// The records of a batch within `limits`, each with its offset, and the reason why there are no more. Rests after each record
/// whose number `rests` has a bit for.
fn read(limits: Limits, (header, bytes): (BatchHeader, Vec<u8>), rests: u64) -> (Vec<(i64, Written)>, Option<Reason>) {
    let mut records = match Records::within(limits, header, bytes) {
        Ok(records) => records,
        Err(reason) => return (Vec::new(), Some(reason)),
    };
    let mut out = Vec::new();
    loop {
        match records.next() {
            Ok(Some(record)) => out.push((record.offset, Written::read(record))),
            Ok(None) => return (out, None),
            Err(reason) => return (out, Some(reason)),
        }
        if rests >> (out.len() % 64) & 1 == 1 {
            records.rest();
        }
    }
}

fn some_record() -> impl Strategy<Value = Written> {
    let size = || prop_oneof![4 => 0..50_usize, 2 => 900..2_100_usize, 1 => 60_000..140_000_usize];
    let bytes = move || prop::option::of((size(), any::<u8>()).prop_map(|(size, byte)| vec![byte; size]));
    let headers =
        prop::collection::vec(("[a-z]{0,3}", prop::option::of(prop::collection::vec(any::<u8>(), 0..9))), 0..6);
    (bytes(), bytes(), headers).prop_map(|(key, value, headers)| Written { key, value, headers })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn records_come_one_by_one_and_those_too_large_are_cut(
        written in prop::collection::vec(some_record(), 1..12),
        how in 0..5_u16,
        rests in any::<u64>(),
    ) {
        let limits = Limits { unpacked: 1 << 30, ..SMALL };
        let batch = batch_of(how, written.len() as i32, &pack(how, &body(&written)));
        let wanted: Vec<(i64, Written)> = (0..).zip(&written).map(|(i, record)| {
            let is_cut = record.bytes(i).len() > SMALL.record || record.headers.len() > SMALL.headers;
            (BASE + i, if is_cut { record.cut(SMALL.head) } else { record.clone() })
        }).collect();
        prop_assert_eq!(read(limits, batch, rests), (wanted, None));
    }

    #[test]
    fn no_bytes_make_it_panic(
        written in prop::collection::vec(some_record(), 1..4),
        how in 0..5_u16,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        inside in any::<bool>(),
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let body = if inside { pack(how, &damaged(body(&written))) } else { damaged(pack(how, &body(&written))) };
        let (records, _) = read(SMALL, batch_of(how, 5, &body), 0);
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        prop_assert!(records.iter().all(|(_, record)| size(&record.key) + size(&record.value) <= SMALL.record));
    }
}

/// A frame whose first block is `start`, and in which `blocks` blocks follow, four bytes each, each of 128 KiB zeros.
fn zstd_bomb(start: &[u8], blocks: usize) -> Vec<u8> {
    // Magic, a frame with a window of 128 KiB and no content size.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let header = |last: bool, kind: u32, size: usize| (u32::from(last) | kind << 1 | (size as u32) << 3).to_le_bytes();
    // As it is, then one byte again and again.
    frame.extend_from_slice(&header(false, 0, start.len())[..3]);
    frame.extend_from_slice(start);
    for block in 1..=blocks {
        frame.extend_from_slice(&header(block == blocks, 1, 128 << 10)[..3]);
        frame.push(0);
    }
    frame
}

/// Without the limit these 256 KiB would become 8 GiB, of memory or of time.
#[test]
fn a_small_batch_does_not_become_much() {
    // A record before it, then one of 8 GiB, whose value is nearly all of it.
    let small = Written::of(1, 5, 0);
    let start =
        [body(std::slice::from_ref(&small)), varint(8 << 30), vec![0], varint(0), varint(1), varint(-1)].concat();
    let start = [start, varint((8 << 30) - 100)].concat();
    let (header, bytes) = batch_of(4, 3, &zstd_bomb(&start, 1 << 16));
    assert!(bytes.len() < 1 << 19);
    let mut records = Records::within(Limits { unpacked: 64 << 20, ..LIMITS }, header, bytes).unwrap();
    assert_eq!(Written::read(records.next().unwrap().unwrap()), small);
    assert!(records.next().unwrap_err().contains("more bytes"));
    assert!(records.window.bytes.capacity() < 1 << 20, "what was passed over is not kept");
}

#[test]
fn a_large_value_is_a_head_and_its_neighbours_are_whole() {
    let mut written = [Written::of(1, 5, 0), Written::of(3, 20_000_000, 2), Written::of(1, 6, 1)];
    written[1].headers.push(("no value".to_owned(), None));
    let (header, bytes) = batch_of(4, 3, &pack(4, &body(&written)));
    assert!(bytes.len() < 1 << 20);
    let mut records = Records::new(header, bytes).unwrap();
    for record in [written[0].clone(), written[1].cut(64 << 10), written[2].clone()] {
        assert_eq!(Written::read(records.next().unwrap().unwrap()), record);
        assert!(records.window.bytes.capacity() < 1 << 20);
    }
    assert!(records.next().unwrap().is_none());
}

#[test]
fn what_waits_holds_little() {
    let written = [Written::of(1, 10 << 20, 0), Written::of(1, 5, 0)];
    let (header, bytes) = batch_of(1, 2, &pack(1, &body(&written)));
    let mut records = Records::new(header, bytes).unwrap();
    assert!(records.next().unwrap().is_some());
    assert!(records.window.bytes.capacity() > 10 << 20, "it was there as a whole");
    records.rest();
    assert!(records.window.bytes.capacity() <= PIECE);
    assert_eq!(Written::read(records.next().unwrap().unwrap()), written[1]);
}

#[test]
fn a_batch_of_more_records_than_there_may_be_is_not_begun() {
    let count = LIMITS.records + 1;
    let (records, reason) = read(LIMITS, batch_of(1, count, &pack(1, &[0; 9])), 0);
    assert!(records.is_empty() && reason.unwrap().contains("1048577 records"));
    // As many as there may be are read to the first that is none.
    let (_, reason) = read(LIMITS, batch_of(1, count - 1, &pack(1, &[0; 9])), 0);
    assert!(reason.unwrap().contains("record 0 of the batch at offset 1000"));
}

#[test]
fn a_batch_that_ends_before_its_records_do_gives_those_that_are_there() {
    let written = vec![Written::of(1, 5, 1); 3];
    for how in 0..5 {
        let (records, reason) = read(SMALL, batch_of(how, 4, &pack(how, &body(&written))), 0);
        assert_eq!(records.len(), 3, "compression {how}");
        assert!(reason.unwrap().contains("record 3"), "compression {how}");
    }
}
