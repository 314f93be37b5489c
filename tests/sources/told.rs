//! What a run says of itself at its end, and in its log for who looks into it.

use crate::bench::Bench;
use crate::support::text;

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

#[test]
fn debug_tells_where_the_time_of_a_batch_goes_and_nothing_that_is_secret() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    // Credentials in the URL of the environment are those of requests, and stand in no line.
    let url = bench.registry.url.replace("http://", "http://ada:hush@");
    bench.pipeline("");
    let mut command = bench.command(&["run", "p.sql", "--trigger", "available-now"]);
    let output = command.env("SCHEMA_REGISTRY_URL", url).env("SLUICEBOX_LOG", "debug").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for wanted in [
        "a batch begins batch=0 partitions=1 offsets=",
        "was read batch=0 source=events read=",
        "was computed batch=0 table=bronze_t written=",
        "a poll gave events partition=",
        "the brokers were asked to learn the topics: ",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let line = |what: &str| said.lines().find(|line| line.contains(what)).unwrap();
    assert!(line("took ").contains("decode ") && line("took ").contains("publish "), "{said}");
    assert!(
        line("/subjects/").contains("GET http://127.0.0.1:") && line("/subjects/").contains("answered in"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    // At `info` none of it is there.
    bench.events(1, 5..6, &[]);
    let args = ["run", "p.sql", "--trigger", "available-now"];
    let output = bench.command(&args).env("SLUICEBOX_LOG", "info").output().unwrap();
    assert!(!text(&output.stderr).contains("DEBUG"), "{}", text(&output.stderr));
}
