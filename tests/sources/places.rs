//! Where a run starts and goes on.

use crate::bench::Bench;

#[test]
fn latest_says_how_many_events_it_leaves_out_and_the_next_start_where_it_goes_on() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline(", 'startingOffsets' = 'latest'");
    let words = "starts at the end of the topic (startingOffsets is latest): 5 events before it are not read";
    let planned = bench.plans(0, &[]);
    assert!(planned.contains(words) && planned.contains("warning"), "{planned}");
    bench.nothing_is_left("plan");
    assert!(!bench.plans(0, &["--offline"]).contains(words));
    let said = bench.ends(0, &[]);
    assert!(said.contains(words) && !said.contains("beginning"), "{said}");
    assert!(said.contains("0 events read"), "{said}");
    bench.events(1, 5..8, &[]);
    let planned = bench.plans(0, &[]);
    assert!(planned.contains("goes on from t/0 5: 3 events since"), "{planned}");
    let said = bench.ends(0, &[]);
    assert!(said.contains("goes on from t/0 5: 3 events since") && said.contains("3 events read"), "{said}");
    assert!(bench.plans(0, &[]).contains("goes on from t/0 8: nothing new yet"));
}

#[test]
fn a_first_start_reads_from_the_beginning_unless_it_is_told_otherwise() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline("");
    let said = bench.ends(0, &[]);
    assert!(said.contains("starts at the beginning: 5 events") && said.contains("5 events read"), "{said}");
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline(r#", 'startingOffsets' = '{"t": {"0": 2}}'"#);
    let said = bench.ends(0, &[]);
    assert!(said.contains("t/0 2): 2 events before that are not read, 3 events from there on"), "{said}");
}

#[test]
fn a_pattern_that_matches_no_topic_is_told() {
    let bench = Bench::new();
    bench.sql("'subscribePattern' = 'nothing-like-this-.*', 'value.subject' = 't-value'");
    let words = "no topic matches 'nothing-like-this-.*'";
    assert!(bench.plans(0, &[]).contains(words));
    let said = bench.ends(0, &[]);
    assert!(said.contains(words), "{said}");
    // One that comes later is found by the next start.
    bench.topic("nothing-like-this-1");
    bench.send("nothing-like-this-1", &[0, 0, 0, 0, 1, 2], &[]);
    let said = bench.ends(0, &[]);
    assert!(said.contains("1 event read") && !said.contains(words), "{said}");
}

#[test]
fn a_fill_says_what_it_filled_and_no_more() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline("");
    bench.ends(0, &[]);
    let text = std::fs::read_to_string(bench.job.path().join("p.sql")).unwrap();
    bench.job.write("p.sql", &(text + "CREATE STREAMING TABLE silver_t AS SELECT n FROM STREAM bronze_t;\n"));
    let said = bench.ends(0, &[]);
    let (fill, live) = said.split_once("filled silver_t:").unwrap();
    assert!(!fill.contains("written"), "{said}");
    let (filled, live) = live.split_at(live.find("pipeline p").unwrap());
    assert!(filled.contains("5 events read again") && filled.contains("silver_t: 5 written"), "{said}");
    assert!(!filled.contains("bronze_t"), "what was computed and not written is not told as written: {said}");
    assert!(live.contains("0 events read"), "{said}");
}
