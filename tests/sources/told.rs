//! What a run says of itself at its end.

use crate::bench::Bench;

#[test]
fn tombstones_are_named_where_there_were_some() {
    let bench = Bench::new();
    bench.pipeline("");
    bench.events(1, 0..5, &[]);
    bench.tombstones(2);
    let said = bench.ends(0, &[]);
    assert!(said.contains("7 events read, 2 tombstones, 0 dead letters"), "{said}");
    assert!(said.contains("bronze_t: 5 written"), "{said}");
    bench.tombstones(1);
    let said = bench.ends(0, &[]);
    assert!(said.contains("1 event read, 1 tombstone, 0 dead letters"), "{said}");
    bench.events(1, 5..6, &[]);
    let said = bench.ends(0, &[]);
    assert!(said.contains("1 event read, 0 dead letters"), "{said}");
}
