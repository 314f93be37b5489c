//! Foreign events and new fields are told aloud.

use crate::bench::{Bench, N, N_AND_DISCOUNT};

#[test]
fn foreign_values_get_a_hint_in_their_letter_and_once_on_screen() {
    let bench = Bench::new();
    let proto = bench.registry.register("p-value", "PROTOBUF", "syntax = \"proto3\";");
    bench.pipeline("");
    let n = 5_i64.to_be_bytes();
    let glue: Vec<u8> = [&[3, 0][..], &[7; 16], &[10]].concat();
    let glue_compressed: Vec<u8> = [&[3, 5][..], &[7; 16], &[10]].concat();
    let single: Vec<u8> = [&[0xc3, 1][..], &[7; 8], &[10]].concat();
    let apicurio: Vec<u8> = [&[0][..], &n, &[10]].concat();
    let framed_proto: Vec<u8> = [&[0][..], &proto.to_be_bytes(), &[0, 8, 1]].concat();
    let foreign: [(&[u8], &str); 9] = [
        (br#" {"n": 5}"#, "JSON"),
        (b"hello, world", "text"),
        (&glue, "AWS Glue"),
        (&glue_compressed, "AWS Glue"),
        (&single, "single-object"),
        (b"Obj\x01and so on", "container file"),
        (&apicurio, "Apicurio"),
        (&[10], "without any framing"),
        (&framed_proto, "PROTOBUF"),
    ];
    for (value, _) in foreign {
        bench.send("t", value, &[]);
        bench.send("t", value, &[]);
    }
    bench.send("t", &[10], &[("apicurio.value.globalId", &n)]);
    bench.events(1, 0..5, &[]);
    let said = bench.ends(0, &[]);
    assert!(said.contains("19 dead letters"), "{said}");
    let rows = bench.job.rows("SELECT \"offset\", message FROM dead_letters.events ORDER BY 1");
    for (i, (_, hint)) in foreign.iter().enumerate() {
        for offset in [2 * i, 2 * i + 1] {
            let row = rows.iter().find(|row| row.starts_with(&format!("{offset},"))).unwrap();
            assert!(row.contains(hint), "{hint}: {row}");
        }
        let tells = |line: &&str| line.contains("dead letter") && line.contains(hint);
        assert!(said.lines().any(|line| tells(&line)), "{hint}: {said}");
    }
    assert_eq!(said.matches("it looks like JSON").count(), 1, "{said}");
    assert!(rows.iter().any(|row| row.starts_with("18,") && row.contains("headers.enabled")), "{rows:?}");
}

#[test]
fn letters_above_their_share_stop_the_run_before_anything_of_the_batch_is_written() {
    let bench = Bench::new();
    bench.pipeline(", 'dead.letters.max.ratio' = '0.1'");
    bench.events(1, 0..150, &[]);
    bench.ends(0, &[]);
    // Within a share of all, though not of the batch.
    bench.events(1, 150..160, &[9]);
    bench.ends(0, &[]);
    assert_eq!(bench.job.value("SELECT count(*) FROM dead_letters.events"), 10);
    bench.events(1, 160..300, &[]);
    bench.events(1, 300..600, &[9]);
    let said = bench.ends(3, &[]);
    assert!(said.contains("events read since the run began became dead letters"), "{said}");
    assert!(said.contains("'dead.letters.max.ratio' = 0.1") && said.contains("TRAILING_BYTES"), "{said}");
    assert!(bench.job.value("SELECT count(*) FROM dead_letters.events") <= 54, "nothing of the batch was written");
    // Again, for the batch is planned; and allowed, it goes on.
    bench.ends(3, &[]);
    bench.ends(0, &["--set", "events.dead.letters.max.ratio=1"]);
    assert_eq!(bench.job.value("SELECT count(*) FROM bronze.t"), 290);
    assert_eq!(bench.job.value("SELECT count(*) FROM dead_letters.events"), 310);
    bench.job.write("p.sql", &std::fs::read_to_string(bench.job.path().join("p.sql")).unwrap().replace("0.1", "1.5"));
    assert!(bench.plans(2, &[]).contains("is not a number from 0 to 1"));
}

#[test]
fn a_field_that_no_table_has_is_told_once_and_by_plan_and_in_the_metrics() {
    let bench = Bench::new();
    bench.pipeline("");
    bench.events(1, 0..5, &[]);
    assert!(!bench.ends(0, &[]).contains("no table has it"));
    let newer = bench.registry.register("t-value", "AVRO", N_AND_DISCOUNT);
    // The registry tells before an event does.
    let words = "have the field `discount`; the reader schema, t-value version 1, does not";
    assert!(bench.plans(0, &[]).contains(words));
    bench.events(newer, 5..9, &1.5_f64.to_le_bytes());
    let said = bench.ends(0, &["--set", "events.maxOffsetsPerTrigger=1"]);
    assert_eq!(said.matches("have the field `discount`").count(), 1, "{said}");
    assert!(said.contains("--repin events"), "{said}");
    assert!(bench.plans(0, &["--offline"]).contains(words), "the checkpoint knows the schema");
    let metrics =
        "SELECT count(*) FROM dq.p_metrics WHERE kind = 'ignored_field' AND name = 'discount' AND status = 'warn'";
    assert_eq!(bench.job.value(metrics), 4);
    let said = bench.ends(0, &["--repin", "events"]);
    assert!(said.contains("events: t-value version 1 -> t-value version 2"), "{said}");
    let said = bench.ends(0, &["--repin", "events"]);
    assert!(said.contains("events: t-value version 2 is adopted already"), "{said}");
    assert!(!bench.plans(0, &[]).contains(words));
}

#[test]
fn a_field_of_keys_that_the_column_lacks_is_told_by_plan_and_is_none_of_the_values() {
    let bench = Bench::new();
    // Records of keys have the name that those of values have.
    let older = bench.registry.register("t-key", "AVRO", N);
    bench.pipeline(", 'key.format' = 'avro'");
    bench.keyed(1, older, &[2]);
    bench.ends(0, &[]);
    let words = "have the field `discount`; the reader schema of keys, t-key version 1, does not";
    assert!(!bench.plans(0, &[]).contains(words));
    let newer = bench.registry.register("t-key", "AVRO", N_AND_DISCOUNT);
    // The registry tells before a key does.
    let said = bench.plans(0, &[]);
    assert!(said.contains(words) && said.contains("keys of t-key version 2"), "{said}");
    bench.keyed(2, newer, &[&[4][..], &1.5_f64.to_le_bytes()].concat());
    bench.ends(0, &[]);
    let said = bench.plans(0, &["--offline"]);
    assert!(said.contains(words), "the checkpoint knows the schema: {said}");
    assert!(!said.contains("events of schema"), "the schema is none of the values: {said}");
}
