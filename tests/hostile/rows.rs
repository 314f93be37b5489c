//! Events of a few bytes whose rows are large.

use crate::{Bench, PIPELINE, WRITER, nullable, with_default};

/// 650 MB of rows of less than 5 kB of events.
#[test]
fn a_large_default_makes_many_batches_and_not_much_memory() {
    let bench = Bench::new(&with_default(1_000_000));
    bench.events(650);
    let batches = bench.run(&[]);
    // As many rows in a batch as there is room for, and not a few.
    assert!((10..=25).contains(&batches), "{batches} batches");
    bench.has_rows(650);
    let lengths = "SELECT min(length(s)), max(length(s)) FROM bronze.t WHERE _offset % 50 = 0";
    assert_eq!(bench.job.rows(lengths), ["1000000,1000000"]);
}

/// 260 MB of rows, in one batch by the bytes of the events.
#[test]
fn hundreds_of_columns_of_null_make_many_batches_and_not_much_memory() {
    let bench = Bench::new(&nullable(300));
    for _ in 0..50 {
        bench.events(4_000);
    }
    let batches = bench.run(&[]);
    assert!((5..=15).contains(&batches), "{batches} batches");
    bench.has_rows(200_000);
}

/// Of rows, columns and a file's encoders each had gigabytes of addresses before the first row.
#[test]
fn thousands_of_columns_fit_the_addresses() {
    let bench = Bench::new(&nullable(3_000));
    for _ in 0..3 {
        bench.events(4_000);
    }
    let batches = bench.run(&[]);
    assert!((3..=9).contains(&batches), "{batches} batches");
    bench.has_rows(12_000);
}

/// Their files are open at once, and for each of a file's columns its writer set two megabytes aside.
#[test]
fn wide_tables_that_are_written_at_once_fit_the_addresses() {
    let bench = Bench::new(&nullable(200));
    let more = |n| format!("CREATE STREAMING TABLE silver_t{n} AS SELECT * FROM STREAM bronze_t;\n");
    bench.job.write("p.sql", &[PIPELINE.to_owned(), (0..4).map(more).collect()].concat());
    bench.events(2_000);
    bench.run(&[]);
    bench.has_rows(2_000);
    assert_eq!(bench.job.rows("SELECT count(*), sum(a) FROM silver.t3"), ["2000,14000"]);
}

/// An item of a writer's records of nothing has no byte in its event and three bits in memory. Whoever writes it to a file holds twelve
/// bytes of it: 400 MB of these in one batch by the bytes of the events, and by those of the rows too, if items do not count.
#[test]
fn items_of_no_byte_make_many_batches_and_not_much_memory() {
    let of = |field: &str| {
        let item = format!(r#"{{"type":"record","name":"I","fields":[{field}]}}"#);
        WRITER.replace("]}", &format!(r#",{{"name":"x","type":{{"type":"array","items":{item}}}}}]}}"#))
    };
    let reader = of(r#"{"name":"c","type":["null","boolean"],"default":null}"#);
    let bench = Bench::between(&of(r#"{"name":"n","type":"null"}"#), Some(&reader));
    // The number 7, a block of 60,000 items of no byte, and the end of the list.
    bench.values(512, &[14, 0xc0, 0xa9, 0x07, 0]);
    let batches = bench.run(&[]);
    assert!((6..=16).contains(&batches), "{batches} batches");
    bench.has_rows(512);
    let items = "SELECT min(array_length(x)), max(array_length(x)) FROM bronze.t WHERE _offset % 64 = 0";
    assert_eq!(bench.job.rows(items), ["60000,60000"]);
}
