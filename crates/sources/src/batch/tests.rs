//! Compares the batch reader with `kafka-protocol`, which shares no code with it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use crate::batch::{self, BatchHeader};
use crate::{Record, records};

const BASE: i64 = 1_000_000;

fn encode(recs: &[Record], compression: Compression, control: bool) -> BytesMut {
    let of = |(i, r): (usize, &Record)| kafka_protocol::records::Record {
        transactional: control,
        control,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 7,
        producer_epoch: 1,
        timestamp_type: TimestampType::Creation,
        // Every other offset, as after compaction.
        offset: BASE + 2 * i as i64,
        sequence: 2 * i as i32,
        timestamp: r.timestamp_ms.unwrap_or(-1),
        key: r.key.clone(),
        value: r.value.clone(),
        headers: r
            .headers
            .iter()
            .map(|(k, v)| (StrBytes::from_string(k.clone()), v.clone()))
            .collect::<IndexMap<_, _>>(),
    };
    let encoded: Vec<_> = recs.iter().enumerate().map(of).collect();
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, &encoded, &RecordEncodeOptions { version: 2, compression }).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Vec<(i64, Record)>, String> {
    let header = BatchHeader::read(bytes)?.ok_or("no header")?;
    if bytes.len() < header.size || !batch::is_intact(&bytes[..header.size]) {
        return Err("not intact".to_owned());
    }
    let mut out = Vec::new();
    records::for_each(&header, &bytes[..header.size], &mut |r| {
        let owned = |b: Option<&[u8]>| b.map(Bytes::copy_from_slice);
        let headers = r.headers.map(|(k, v)| (k.into_owned(), owned(v))).collect();
        out.push((
            r.offset,
            Record { timestamp_ms: r.timestamp_ms, key: owned(r.key), value: owned(r.value), headers },
        ));
    })?;
    Ok(out)
}

fn some_bytes() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
}

fn some_record() -> impl Strategy<Value = Record> {
    let headers = prop::collection::btree_map("[a-zé]{0,5}", some_bytes(), 0..4);
    let timestamp = prop::option::of(prop_oneof![0..10_i64, 1_600_000_000_000..1_800_000_000_000_i64]);
    (timestamp, some_bytes(), some_bytes(), headers).prop_map(|(timestamp_ms, key, value, headers)| Record {
        timestamp_ms,
        key,
        value,
        headers: headers.into_iter().collect(),
    })
}

fn some_compression() -> impl Strategy<Value = Compression> {
    use Compression as C;
    prop_oneof![Just(C::None), Just(C::Gzip), Just(C::Snappy), Just(C::Lz4), Just(C::Zstd)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_kafka_protocol_writes_is_read(recs in prop::collection::vec(some_record(), 1..40), how in some_compression()) {
        let bytes = encode(&recs, how, false);
        let wanted: Vec<(i64, Record)> = (0..).map(|i| BASE + 2 * i).zip(recs.clone()).collect();
        prop_assert_eq!(read(&bytes).unwrap(), wanted);
        let header = BatchHeader::read(&bytes).unwrap().unwrap();
        prop_assert_eq!(header.size, bytes.len());
        prop_assert_eq!(header.next_offset, BASE + 2 * recs.len() as i64 - 1);
        let oracle = RecordBatchDecoder::decode(&mut bytes.freeze()).unwrap();
        prop_assert_eq!(oracle.records.len(), recs.len());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        recs in prop::collection::vec(some_record(), 1..5),
        how in some_compression(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&recs, how, false).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // With the checksum made right, the damage reaches the records.
        let sum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&sum);
        let _ = read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read(&bytes);
    }
}

#[test]
fn markers_of_the_log_itself_are_no_events() {
    let marker = Record { key: Some(Bytes::from_static(&[0, 0, 0, 1])), ..Record::default() };
    let bytes = encode(&[marker], Compression::None, true);
    assert!(BatchHeader::read(&bytes).unwrap().unwrap().is_control());
    assert_eq!(read(&bytes).unwrap(), []);
}

#[test]
fn headers_with_equal_keys_and_with_keys_of_any_bytes_are_all_read() {
    // Two headers of one letter: change the second's key to the first's, and to what is no UTF-8.
    let headers = vec![("a".to_owned(), Some(Bytes::from_static(b"1"))), ("b".to_owned(), None)];
    let bytes = encode(&[Record { headers, ..Record::default() }], Compression::None, false);
    let mut bytes = bytes.to_vec();
    let at = bytes.iter().rposition(|b| *b == b'b').unwrap();
    for (byte, read_as) in [(b'a', "a"), (0xff, "\u{fffd}")] {
        bytes[at] = byte;
        let sum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&sum);
        let keys: Vec<String> = read(&bytes).unwrap()[0].1.headers.iter().map(|(k, _)| k.clone()).collect();
        assert_eq!(keys, ["a", read_as]);
    }
}
