//! What rows take in memory, and where decoding stops for it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::array::{Array, RecordBatch};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sluicebox_core::raw::RawEvents;
use sluicebox_registry::testing::texts::{many, record};

use crate::framing::frame;
use crate::testing::{Body, Fixture, raw, rows};
use crate::{Decoded, ErrorClass};

const NUMBER: &str = r#"{"name":"n","type":"int"}"#;

/// Events of one number each, which is all that their writer has.
fn numbers(count: usize) -> RawEvents {
    raw(0, &vec![Some(frame(1, &[2])); count])
}

/// A reader of that number and of `fields`.
fn reader(fields: &str) -> Fixture {
    Fixture::new(&record("E", &format!("{NUMBER},{fields}")), &[(1, &record("E", NUMBER))])
}

fn within(fixture: &Fixture, events: &RawEvents, budget: usize) -> Decoded {
    let writers = fixture.prepare(std::slice::from_ref(events)).unwrap();
    fixture.decoder.decode_within(&writers, std::slice::from_ref(events), &[0], budget).unwrap()
}

/// Bytes of the value's columns, as Arrow counts them.
fn counted(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter().take(batch.num_columns() - 9);
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap()).sum()
}

#[test]
fn few_bytes_whose_rows_are_many_are_decoded_until_the_rows_have_the_budget() {
    let large = format!(r#"{{"name":"s","type":"string","default":"{}"}}"#, "x".repeat(100_000));
    let wide = many(300, |n| format!(r#"{{"name":"c{n}","type":["null","string"],"default":null}}"#));
    for (fields, row) in [(large, 100_000), (wide, 300 * 4)] {
        let (fixture, events) = (reader(&fields), numbers(5_000));
        let budget = 3_000_000;
        let decoded = within(&fixture, &events, budget);
        let expected = budget / row;
        assert!((expected * 8 / 10..=expected + 1).contains(&decoded.taken), "{} of {expected}", decoded.taken);
        assert_eq!(rows(&decoded).len(), decoded.taken);
        assert!(decoded.bytes >= budget && decoded.bytes < budget + 200_000, "{} bytes", decoded.bytes);
        // At least one, whatever it takes.
        assert_eq!(within(&fixture, &events, 0).taken, 1);
        assert_eq!(within(&fixture, &numbers(20), usize::MAX).taken, 20);
    }
}

#[test]
fn items_that_take_no_byte_of_an_event_take_some_of_the_budget() {
    let schema = record("E", r#"{"name":"x","type":{"type":"array","items":"null"}}"#);
    let fixture = Fixture::new(&schema, &[(1, &schema)]);
    let body = Body::default().long(1 << 16).long(0).0;
    let events = raw(0, &vec![Some(frame(1, &body)); 100]);
    // Twelve bytes of each item: six events have more than 4 MiB.
    assert_eq!(within(&fixture, &events, 4 << 20).taken, 6);
}

#[test]
fn what_stands_beside_the_rows_is_of_the_same_events() {
    let fixture = reader(r#"{"name":"s","type":"string","default":"0123456789"}"#);
    // A tombstone and a letter at the front, and behind what fits.
    let good = || Some(frame(1, &[2]));
    let events = raw(0, &[None, Some(vec![]), good(), good(), None, Some(vec![]), good()]);
    let one = within(&fixture, &events, 1);
    assert_eq!((one.taken, one.tombstones, one.dead_letters.num_rows(), rows(&one).len()), (3, 1, 1, 1));
    let all = within(&fixture, &events, usize::MAX);
    assert_eq!((all.taken, all.tombstones, all.dead_letters.num_rows(), rows(&all).len()), (7, 2, 2, 3));
    assert_eq!(all.by_class[&ErrorClass::IncompleteHeader], 2);
}

#[test]
fn what_rows_are_said_to_take_is_what_their_arrays_take() {
    let seed = std::env::var("SLUICEBOX_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_130);
    println!("SLUICEBOX_TEST_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let fields = r#"{"name":"b","type":"boolean"},{"name":"l","type":["null","long"]},{"name":"s","type":"string"},
        {"name":"f","type":{"type":"fixed","name":"F","size":5}},{"name":"a","type":{"type":"array","items":"double"}},
        {"name":"m","type":{"type":"map","values":"bytes"}},{"name":"r","type":["null",{"type":"record","name":"R","fields":[
            {"name":"x","type":"float"},{"name":"y","type":{"type":"bytes","logicalType":"decimal","precision":50}}]}]}"#;
    let schema = record("E", fields);
    let mut items = 0;
    let values: Vec<_> = (0..3_000)
        .map(|_| {
            let text = "ä".repeat(random.random_range(0..40));
            let body = Body::default().raw(&[u8::from(random.random_bool(0.5))]);
            let body = if random.random_bool(0.5) { body.long(0) } else { body.long(1).long(random.random()) };
            let mut body = body.text(&text).raw(&[7; 5]);
            for _ in 0..random.random_range(0..4) {
                body = body.long(1).double(0.5);
                items += 1;
            }
            // A key and a value.
            items += 2;
            body = body.long(0).long(1).text("key").bytes(text.as_bytes()).long(0);
            let body = if random.random_bool(0.5) { body.long(0) } else { body.long(1).raw(&[0; 4]).bytes(&[9]) };
            Some(frame(1, &body.0))
        })
        .collect();
    let decoded = Fixture::new(&schema, &[(1, &schema)]).decode(&values);
    assert_eq!(rows(&decoded).len(), 3_000);
    let (said, counted) = (decoded.bytes, decoded.rows.iter().map(counted).sum::<usize>());
    // The other columns of rows stand beside it, and what is held of an item while it is written.
    let beside = 3_000 * (48 + "topic".len()) + 12 * items;
    assert!(said.abs_diff(counted + beside) < counted / 50, "{said} bytes, and {counted} + {beside} are there");
}

#[test]
fn a_row_that_takes_megabytes_whatever_its_event_is_makes_no_source() {
    let fixed = |size: usize| {
        let field =
            format!(r#"{{"name":"f","type":["null",{{"type":"fixed","name":"F","size":{size}}}],"default":null}}"#);
        let more = r#"{"name":"g","type":["null","F"],"default":null}"#;
        record("E", &format!("{NUMBER},{field},{more}"))
    };
    let refused = Fixture::try_new(&fixed(9 << 20), &[]).err().unwrap().to_string();
    assert!(refused.contains("bytes, be it all NULL") && refused.contains("value.schema.version"), "{refused}");
    let fixture = Fixture::new(&fixed(7 << 20), &[(1, &record("E", NUMBER))]);
    assert_eq!(fixture.one(1, &[2]).unwrap(), json!({ "n": 1, "f": null, "g": null }));
    assert_eq!(within(&fixture, &numbers(100), 48 << 20).taken, 4, "four rows of 14 MiB");
}

/// A number in the body stands for a text of any length.
#[test]
fn few_bytes_do_not_become_many_long_symbols_or_fixed_nulls() {
    let symbol = "s".repeat(1_000);
    let symbols = format!(r#"{{"type":"enum","name":"S","symbols":["{symbol}"]}}"#);
    let nulls = r#"["null",{"type":"fixed","name":"F","size":1000}]"#.to_owned();
    for items in [symbols, nulls] {
        let schema = record("E", &format!(r#"{{"name":"x","type":{{"type":"array","items":{items}}}}}"#));
        let fixture = Fixture::new(&schema, &[(1, &schema)]);
        let items = |count: usize| Body::default().long(count as i64).raw(&vec![0; count]).long(0).0;
        assert!(fixture.one(1, &items(1_000)).is_ok(), "a megabyte");
        assert_eq!(fixture.one(1, &items(100_000)).unwrap_err().0, "TOO_MANY_ITEMS");
    }
}
