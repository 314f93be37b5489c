//! Source rows and dead letters around the value.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use serde_json::json;
use sluicebox_core::raw::{HEAD, Large, column};
use sluicebox_registry::{SchemaCache, SchemaKey};

use crate::framing::frame;
use crate::testing::{Body, Fixture, MapRegistry, pinned, raw, raw_with_headers, rows};
use crate::{DecoderOptions, ErrorClass, avro, dead_letter_schema};

const SCHEMA: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"}]}"#;

fn good(id: i32, value: i64) -> Option<Vec<u8>> {
    Some(frame(id, &Body::default().long(value).0))
}

#[test]
fn a_row_carries_where_it_came_from() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA)]);
    let events = raw(3, &[good(7, 1), None, Some(vec![9]), good(7, 2), good(7, 3)]);
    let writers = fixture.prepare(std::slice::from_ref(&events)).unwrap();
    let decoded = fixture.decoder.decode(&writers, std::slice::from_ref(&events), &[5]).unwrap();
    let batch = &decoded.rows[0];
    assert_eq!(batch.schema(), fixture.decoder.schema());
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let expected = [
        "id",
        "_topic",
        "_partition",
        "_offset",
        "_timestamp",
        "_key",
        "_headers",
        "_schema_id",
        "__sb_part",
        "__sb_offset",
    ];
    assert_eq!(names, expected);
    let ints = |i: usize| batch.column(i).as_primitive::<Int32Type>().values().to_vec();
    let longs = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(longs(0), [1, 2, 3]);
    assert_eq!(batch.column(1).as_string::<i32>().value(2), "topic");
    assert_eq!(ints(2), [3, 3, 3]);
    assert_eq!(longs(3), [100, 106, 108]);
    assert_eq!(batch.column(4).as_primitive::<TimestampMicrosecondType>().value(1), 106_000_000);
    assert_eq!(batch.column(5).as_binary::<i32>().value(0), 100_i64.to_be_bytes());
    assert!(batch.column(5).is_null(1));
    assert!(batch.column(6).is_null(0));
    assert_eq!(ints(7), [7, 7, 7]);
    assert_eq!(ints(8), [5, 5, 5]);
    assert_eq!(longs(9), [100, 106, 108]);
}

#[test]
fn a_dead_letter_is_the_event_as_it_came() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA)]);
    let headers: Vec<(&str, Option<&[u8]>)> = vec![("trace", Some(b"t1")), ("empty", None)];
    let mut cut = frame(7, &[0x80]);
    let events =
        raw_with_headers(1, &[good(7, 1), Some(vec![9, 9]), Some(std::mem::take(&mut cut))], &[vec![], headers]);
    let writers = fixture.prepare(std::slice::from_ref(&events)).unwrap();
    let decoded = fixture.decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    let letters = &decoded.dead_letters;
    assert_eq!(letters.schema(), dead_letter_schema());
    assert_eq!(letters.column(2).as_primitive::<Int64Type>().values(), &[102, 104]);
    assert!(letters.column(3).is_null(0), "the event has no timestamp");
    assert_eq!(letters.column(5).as_binary::<i32>().value(0), [9, 9]);
    assert_eq!(letters.column(6).as_list::<i32>().value(0).len(), 2);
    assert!(letters.column(6).is_null(1));
    let ids = letters.column(7).as_primitive::<Int32Type>();
    assert!(ids.is_null(0));
    assert_eq!(ids.value(1), 7);
    let lengths = |column: usize| letters.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!((lengths(10), lengths(11)), (vec![Some(2), Some(6)], vec![None, Some(8)]));
    let message = letters.column(9).as_string::<i32>().value(1);
    assert_eq!(message, "field id: a number does not end (at byte 0 of the body)");
    let counts: Vec<_> = decoded.by_class.into_iter().collect();
    assert_eq!(counts, [(ErrorClass::InvalidMagicByte, 1), (ErrorClass::Truncated, 1)]);
}

#[test]
fn a_letter_keeps_the_heads_of_what_is_long_and_tells_its_length() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA)]);
    let long = vec![9; HEAD + 1];
    // With the name as many bytes as are kept, and one more.
    let headers = [vec![("h", Some(&long[..HEAD - 1]))], vec![("h", Some(&long[..HEAD]))]];
    let values = [Some(long[..HEAD].to_vec()), Some(long.clone()), good(7, 1), Some(vec![9, 9])];
    let mut events = raw_with_headers(0, &values, &headers);
    events.large = vec![Large { offset: 106, key: 0, value: 90_000_000 }];
    let writers = fixture.prepare(std::slice::from_ref(&events)).unwrap();
    let decoded = fixture.decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    let letters = &decoded.dead_letters;
    let lengths = |column: usize| letters.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    let whole = [HEAD, HEAD + 1, 90_000_000].map(|length| i64::try_from(length).ok());
    assert_eq!((lengths(10), lengths(11)), (whole.to_vec(), vec![Some(8), None, None]));
    let here: Vec<usize> = letters.column(5).as_binary::<i32>().iter().flatten().map(<[u8]>::len).collect();
    assert_eq!(here, [HEAD, HEAD, 2]);
    let lists = letters.column(6).as_list::<i32>();
    assert_eq!((lists.is_null(0), lists.is_null(1)), (false, true));
    assert_eq!(lists.value(0).as_struct().column(1).as_binary::<i32>().value(0).len(), HEAD - 1);
}

#[test]
fn a_header_names_the_schema() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA), (0xe2, SCHEMA)]);
    let guid = [1, 0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];
    let name = "__value_schema_id";
    let body = |value| Some(Body::default().long(value).0);
    let headers = [
        vec![("x", None), (name, Some(&guid[..]))],
        vec![(name, Some(&[0, 0, 0, 0, 7][..])), ("x", None)],
        vec![(name, Some(&[5][..])), (name, Some(&[0, 0, 0, 0, 7][..]))],
        vec![("x", None)],
        vec![(name, None)],
    ];
    let events = raw_with_headers(0, &[body(1), body(2), body(3), good(7, 4), body(5), good(7, 6)], &headers);
    let writers = fixture.prepare(std::slice::from_ref(&events)).unwrap();
    let decoded = fixture.decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    let ids: Vec<_> = rows(&decoded).iter().map(|r| r["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 6]);
    let schema_ids = decoded.rows[0].column(7).as_primitive::<Int32Type>();
    assert!(schema_ids.is_null(0), "a GUID is no id");
    assert_eq!(schema_ids.value(1), 7);
    assert_eq!(decoded.by_class.into_iter().collect::<Vec<_>>(), [(ErrorClass::IncompleteHeader, 1)]);
    assert!(matches!(decoded.schemas.last().unwrap().key, SchemaKey::Guid(_)));
}

#[test]
fn a_large_partition_loses_no_row_and_an_empty_one_has_no_batch() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA)]);
    let values: Vec<_> = (0..20_000).map(|i| if i % 1_000 == 7 { Some(vec![1]) } else { good(7, i) }).collect();
    let decoded = fixture.decode(&values);
    let ids: Vec<i64> = rows(&decoded).iter().map(|r| r["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (0..20_000).filter(|i| i % 1_000 != 7).collect::<Vec<_>>());
    let none = fixture.decode(&[]);
    assert!(none.rows.is_empty() && none.dead_letters.num_rows() == 0);
}

#[test]
fn partitions_follow_each_other_and_their_counts_add_up() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA), (8, SCHEMA)]);
    let events = [raw(0, &[good(7, 1), None]), raw(1, &[good(8, 2), good(7, 3), Some(vec![])])];
    let writers = fixture.prepare(&events).unwrap();
    let decoded = fixture.decoder.decode(&writers, &events, &[4, 9]).unwrap();
    assert_eq!(rows(&decoded), [json!({ "id": 1 }), json!({ "id": 2 }), json!({ "id": 3 })]);
    assert_eq!(decoded.rows.len(), 1);
    let numbers =
        |column: &str| decoded.rows[0].column_by_name(column).unwrap().as_primitive::<Int32Type>().values().to_vec();
    assert_eq!((numbers("_partition"), numbers("__sb_part")), (vec![0, 1, 1], vec![4, 9, 9]));
    assert_eq!((decoded.tombstones, decoded.dead_letters.num_rows()), (1, 1));
    let uses: Vec<_> = decoded.schemas.iter().map(|u| (u.key, u.rows)).collect();
    assert_eq!(uses, [(SchemaKey::Id(7), 2), (SchemaKey::Id(8), 1)]);
}

#[test]
fn a_restart_needs_no_registry() {
    let fixture = Fixture::new(SCHEMA, &[(7, SCHEMA)]);
    assert_eq!(rows(&fixture.decode(&[good(7, 1)])).len(), 1);
    let gone = MapRegistry::of(&[]);
    let cache = SchemaCache::open(fixture.dir.path()).unwrap();
    let restarted = Fixture {
        decoder: avro::decoder(&DecoderOptions::new("events"), pinned(SCHEMA), gone.clone(), cache).unwrap(),
        registry: gone,
        dir: fixture.dir,
    };
    assert_eq!(rows(&restarted.decode(&[good(7, 1), good(1_000_000, 2)])).len(), 2);
    assert!(restarted.registry.asked.lock().unwrap().is_empty());
}

#[test]
fn a_damaged_cache_stops_the_run() {
    let fixture = Fixture::new(SCHEMA, &[]);
    std::fs::write(fixture.dir.path().join("id-7.json"), "{}").unwrap();
    let error = fixture.prepare(&[raw(0, &[good(7, 1)])]).unwrap_err().to_string();
    assert!(error.contains("id-7.json"), "{error}");
}

#[test]
fn columns_outside_the_raw_schema_are_refused() {
    let fixture = Fixture::new(SCHEMA, &[]);
    let mut events = raw(0, &[good(1_000_000, 1)]);
    let order = [column::OFFSET, column::KEY, column::TIMESTAMP, column::VALUE, column::HEADERS];
    events.events = events.events.project(&order).unwrap();
    assert!(fixture.prepare(&[events]).is_err());
}
