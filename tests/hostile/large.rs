//! Events that are large.

use crate::{Bench, Bytes, Record};

const MB: usize = 1_000_000;

#[test]
fn values_of_many_megabytes_become_letters_that_have_their_heads() {
    let bench = Bench::new("");
    bench.events(10);
    for _ in 0..3 {
        bench.append(&[Record { value: Some(Bytes::from(vec![0; 40 * MB])), ..Record::default() }]);
    }
    // A key is taken in part too, and so are headers.
    let small = Record { value: Some(Bytes::from(vec![0; 5])), ..Record::default() };
    bench.append(&[Record { key: Some(Bytes::from(vec![1; 20 * MB])), ..small.clone() }]);
    let headers = vec![("h".to_owned(), Some(Bytes::from(vec![2; 20 * MB])))];
    bench.append(&[Record { headers, ..small }]);
    bench.events(10);
    bench.run(&[]);
    let rows = "SELECT count(*), sum(a) FROM bronze.t";
    assert_eq!(bench.job.rows(rows), ["20,140"]);
    // Of the bytes that are there two digits each.
    let letters = "SELECT \"offset\", error_class, length(hex(value)), value_bytes, length(hex(key)), key_bytes, \
                   headers IS NULL FROM dead_letters.src";
    let expected = [
        "10,TOO_LARGE,131072,40000000,,,true",
        "11,TOO_LARGE,131072,40000000,,,true",
        "12,TOO_LARGE,131072,40000000,,,true",
        "13,TOO_LARGE,10,5,131072,20000000,true",
        "14,TOO_LARGE,10,5,,,true",
    ];
    assert_eq!(bench.job.rows(letters), expected);
    bench.job.ok(&["checkpoint", "verify", "checkpoints/p"]);
}

/// Each is of a size that is taken, and is no event: the letters of a batch are its heads alone.
#[test]
fn letters_of_a_batch_have_its_heads_and_not_its_bytes() {
    let bench = Bench::new("");
    for _ in 0..12 {
        bench.append(&[Record { value: Some(Bytes::from(vec![9; 15 * MB])), ..Record::default() }]);
    }
    bench.run(&[]);
    let letters = "SELECT error_class, sum(length(hex(value))), sum(value_bytes) FROM dead_letters.src GROUP BY 1";
    assert_eq!(bench.job.rows(letters), [format!("INVALID_MAGIC_BYTE,{},{}", 12 * 131_072, 12 * 15 * MB)]);
}
