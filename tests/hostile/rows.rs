//! Events of a few bytes whose rows are large.

use crate::{Bench, PIPELINE, nullable, with_default};

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
