//! What is refused or given up: at once where waiting does not help, in time where it might, and leaving nothing.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use sluicebox_core::{Clock, SystemClock};

use crate::bench::Bench;
use crate::support::text;

/// What cannot get better is told before `--wait` is over, which would fail the test by the time it takes.
const LONG: &str = "1 hour";

#[test]
fn an_address_with_a_scheme_is_refused_at_once_with_its_place() {
    let bench = Bench::new();
    bench.pipeline(", 'kafka.bootstrap.servers' = 'http://127.0.0.1:19092'");
    for said in [bench.ends(2, &["--wait", LONG]), bench.plans(2, &["--wait", LONG])] {
        assert!(said.contains("p.sql:1:") && said.contains("write '127.0.0.1:19092'"), "{said}");
    }
    bench.pipeline("");
    let mut command = bench.job.command(&["run", "p.sql", "--wait", LONG]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", "https://b:9092").env("SCHEMA_REGISTRY_URL", &bench.registry.url);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("KAFKA_BOOTSTRAP_SERVERS") && said.contains("write 'b:9092'"), "{said}");
    bench.nothing_is_left("a wrong address");
}

#[test]
fn names_values_and_files_of_properties_are_looked_at_before_anybody_is_asked() {
    let bench = Bench::new();
    // Nobody answers there.
    let away = ", 'kafka.bootstrap.servers' = '127.0.0.1:1'";
    // A file of text, and one of the right form that holds nothing.
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let files = tempfile::tempdir().unwrap();
    let hollow = files.path().join("ca.pem").display().to_string();
    std::fs::write(&hollow, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
    let option = |name: &str, path: &str| format!(", '{name}' = '{path}'");
    for (option, says) in [
        (option("kafka.ssl.ca.location", text), "README.md', which is no PEM"),
        (option("kafka.ssl.certificate.location", text), "README.md', which is no PEM"),
        (option("kafka.ssl.key.location", &hollow), "holds a CERTIFICATE and no PRIVATE KEY"),
        (option("schema.registry.ssl.ca.location", text), "README.md is no PEM"),
        (option("schema.registry.ssl.identity.location", &hollow), "holds a CERTIFICATE and no PRIVATE KEY"),
        (option("kafka.ssl.ca.location", &hollow) + ", 'kafka.security.protocol' = 'ssl'", "ssl.ca.location failed"),
        (option("schema.registry.ssl.ca.location", &hollow), "ca.pem"),
    ] {
        bench.pipeline(&format!("{away}{option}"));
        for said in [bench.ends(2, &["--wait", LONG]), bench.plans(2, &["--wait", LONG])] {
            assert!(said.contains("p.sql:1:") && said.contains(says), "{option}: {said}");
            assert!(said.contains("Help: ") || option.contains(&hollow), "{option}: {said}");
        }
        bench.nothing_is_left(&option);
    }
    for (options, says) in [
        (", 'kafka.sasl.mechanims' = 'PLAIN'", "did you mean 'kafka.sasl.mechanism'?"),
        (", 'kafka.security.protocol' = 'sasl'", "`kafka.security.protocol` is 'sasl'"),
        (", 'kafka.ssl.ca.location' = '/no/such/ca.pem'", "/no/such/ca.pem"),
        (", 'schema.registry.ssl.ca.location' = '/no/such/ca.pem'", "/no/such/ca.pem"),
        (", 'kafka.linger.ms' = '5'", "Help: leave it out: a source takes properties of consumers"),
        (", 'kafka.max.poll.records' = '5'", "Help: leave it out, it is a property of the Java client"),
    ] {
        bench.pipeline(&format!("{away}{options}"));
        for said in [bench.ends(2, &["--wait", LONG]), bench.plans(2, &["--wait", LONG])] {
            assert!(said.contains("p.sql:1:") && said.contains(says), "{options}: {said}");
        }
        bench.nothing_is_left(options);
    }
}

#[test]
fn a_property_of_a_table_that_the_kafka_client_does_not_have_is_told_with_the_nearest() {
    let bench = Bench::new();
    for (property, says) in [
        ("kafka.linger.mss", "did you mean 'kafka.linger.ms'?"),
        ("kafka.compresion.type", "did you mean 'kafka.compression.type'?"),
        ("kafka.sasl.mechanims", "did you mean 'kafka.sasl.mechanism'?"),
        ("kafka.value.serializer", "Help: write 'value.format'"),
        ("kafka.no.such.thing", "Help: write a property of librdkafka"),
    ] {
        let text = format!(
            "CREATE TABLE events USING kafka OPTIONS ('subscribe' = 't');\n\
             CREATE STREAMING TABLE copies USING kafka TBLPROPERTIES ('topic' = 'out', '{property}' = 'not5') \
             AS SELECT n FROM STREAM events;\n"
        );
        bench.job.write("p.sql", &text);
        for said in [bench.ends(2, &["--wait", LONG]), bench.plans(2, &["--wait", LONG])] {
            let unknown = format!("`{property}` is not known");
            assert!(said.contains("p.sql:2:") && said.contains(&unknown) && said.contains(says), "{property}: {said}");
            assert!(!said.contains("not5"), "its value may be a secret: {said}");
        }
        bench.nothing_is_left(property);
    }
}

#[test]
fn brokers_that_do_not_answer_are_given_up_and_nothing_is_left() {
    let bench = Bench::new();
    bench.pipeline(", 'kafka.bootstrap.servers' = '127.0.0.1:1'");
    let clock = SystemClock::new();
    let began = clock.monotonic();
    for said in [bench.ends(1, &["--wait", "1 second"]), bench.plans(1, &["--wait", "1 second"])] {
        assert!(said.contains("no broker of 127.0.0.1:1 answered") && said.contains("--wait"), "{said}");
        bench.nothing_is_left("no broker");
    }
    assert!(clock.monotonic().saturating_sub(began) < Duration::from_secs(60));
    // What a registry and the text alone tell is told without them.
    bench.plans(0, &["--offline"]);
}

#[test]
fn a_registry_that_does_not_answer_is_given_up_and_nothing_is_left() {
    let bench = Bench::new();
    bench.pipeline(", 'schema.registry.url' = 'http://127.0.0.1:1'");
    for said in [bench.ends(1, &["--wait", "1 second"]), bench.plans(1, &["--wait", "1 second"])] {
        assert!(said.contains("no schema registry answered") && said.contains("SCHEMA_REGISTRY_URL"), "{said}");
        assert!(!said.contains("error sending request"), "the cause is told once: {said}");
        bench.nothing_is_left("no registry");
    }
    assert!(bench.ends(2, &["--wait", "soon"]).contains("--wait 'soon' is not a duration"));
}

#[test]
fn a_topic_that_is_not_there_is_refused_with_the_nearest_names() {
    let bench = Bench::new();
    bench.topic("sales.events.v1");
    bench.topic("clicks");
    bench.sql("'subscribe' = 'sales.event.v1', 'value.subject' = 't-value'");
    for said in [bench.ends(2, &[]), bench.plans(2, &[])] {
        assert!(
            said.contains("'sales.event.v1' does not exist") && said.contains("did you mean 'sales.events.v1'?"),
            "{said}"
        );
        assert!(said.contains("p.sql:1:"), "{said}");
        assert!(!said.contains("clicks"), "{said}");
    }
    bench.nothing_is_left("a topic that is not there");
}

#[test]
fn a_subject_that_is_not_there_is_told_with_those_that_may_be_meant() {
    let bench = Bench::new();
    bench.topic("orders");
    bench.registry.register("orders-shop.OrderPaid", "AVRO", crate::bench::N);
    bench.sql("'subscribe' = 'orders'");
    for said in [bench.ends(1, &[]), bench.plans(1, &[])] {
        assert!(said.contains("does not know subject orders-value"), "{said}");
        assert!(said.contains("'value.subject' = 'orders-shop.OrderPaid'"), "{said}");
        assert!(said.contains("correct 'subscribe' if the topic is misspelt"), "{said}");
    }
    bench.topic("nothing.like.it");
    bench.sql("'subscribe' = 'nothing.like.it'");
    let said = bench.plans(1, &[]);
    assert!(said.contains("none of its 2 is like it") && said.contains("value.subject"), "{said}");
    bench.nothing_is_left("a subject that is not there");
}

#[test]
fn a_first_start_that_is_refused_leaves_nothing_new() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    // Offsets of a partition that there is not.
    bench.pipeline(r#", 'startingOffsets' = '{"t": {"0": 2, "7": 2}}'"#);
    for said in [bench.ends(2, &[]), bench.plans(2, &[])] {
        assert!(said.contains("t/7") && said.contains("error[option]") && said.contains("p.sql:1:"), "{said}");
        assert!(said.contains("Help: name partitions that are read: t/0"), "{said}");
        bench.nothing_is_left("startingOffsets");
    }
    // An offset that the log does not hold, a partition without any, and one to be read that there is not.
    for (options, says) in [
        (
            r#"'subscribe' = 't', 'startingOffsets' = '{"t": {"0": 99}}'"#,
            "Help: write an offset that the log holds, 0 to 5",
        ),
        (r#"'subscribe' = 't', 'startingOffsets' = '{"other": {"0": 1}}'"#, "Help: name partitions that are read: t/0"),
        (r#"'assign' = '{"t": [0, 3]}', 'value.subject' = 't-value'"#, "Help: name partitions 0 to 0 of 't'"),
    ] {
        bench.sql(options);
        for said in [bench.ends(2, &[]), bench.plans(2, &[])] {
            assert!(said.contains("p.sql:1:") && said.contains(says), "{options}: {said}");
        }
        bench.nothing_is_left(options);
    }
    // A folder with files of somebody else.
    bench.pipeline("");
    let folder = bench.job.path().join("data/bronze/t");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mine.parquet"), "x").unwrap();
    for said in [bench.ends(2, &[]), bench.plans(2, &[])] {
        assert!(said.contains("mine.parquet"), "{said}");
        let files = crate::support::files_below(bench.job.path());
        assert_eq!(files, [folder.join("mine.parquet"), bench.job.path().join("p.sql")], "{said}");
        assert!(!bench.job.path().join("checkpoints").exists(), "{said}");
    }
    // A file where a folder is to be.
    std::fs::remove_dir_all(bench.job.path().join("data")).unwrap();
    std::fs::write(bench.job.path().join("data"), "x").unwrap();
    for said in [bench.ends(1, &[]), bench.plans(1, &[])] {
        assert!(said.contains("data"), "{said}");
        assert!(!bench.job.path().join("checkpoints").exists(), "{said}");
    }
}

#[test]
fn a_table_that_is_not_there_is_refused_by_every_flag() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline("");
    for flag in ["--full-refresh=bronze_tt", "--reset-state=bronze_tt", "--backfill=bronze_tt=none"] {
        let said = bench.ends(2, &[flag]);
        assert!(said.contains("did you mean bronze_t?") && said.contains("Nothing was touched"), "{flag}: {said}");
    }
    let said = bench.ends(2, &["--full-refresh=events"]);
    assert!(said.contains("is a source, and no table"), "{said}");
    bench.nothing_is_left("a table that is not there");
}

#[test]
fn brokers_that_go_away_meanwhile_are_given_up_too_and_nothing_is_lost() {
    let bench = Bench::new();
    bench.pipeline("");
    bench.large_events(0..4000);
    // Far less is fetched ahead than there is.
    let args = ["run", "p.sql", "--trigger", "available-now", "--set", "batch.bytes=64KiB", "--wait", "2 seconds"];
    let mut run = bench.command(&args).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = run.stderr.take().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !text(&said).contains("first rows in bronze_t") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended: {}", text(&said));
        said.push(byte[0]);
    }
    bench.cluster.broker_down(-1).unwrap();
    stderr.read_to_end(&mut said).unwrap();
    let said = text(&said);
    assert_eq!(run.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("answered for") || said.contains("none came for"), "{said}");
    bench.cluster.broker_up(-1).unwrap();
    bench.ends(0, &[]);
    assert_eq!(bench.job.value("SELECT count(DISTINCT n) FROM bronze.t"), 4000);
    assert_eq!(bench.job.value("SELECT count(*) FROM bronze.t"), 4000);
}
