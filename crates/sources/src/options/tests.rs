#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use super::*;

fn options(pairs: &[(&str, &str)]) -> Result<KafkaOptions> {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let env = |name: &str| (name == BROKERS_ENV).then(|| "env:9092".to_owned());
    KafkaOptions::from_options("sales", &pairs, &env)
}

fn refused(pairs: &[(&str, &str)]) -> String {
    options(pairs).unwrap_err().to_string()
}

fn bounds(list: &[(&str, i32, i64, i64)]) -> BTreeMap<PartitionId, Bounds> {
    let one = |&(topic, partition, earliest, latest): &(&str, i32, i64, i64)| {
        (PartitionId::new("sales", topic, partition), Bounds { earliest, latest })
    };
    list.iter().map(one).collect()
}

#[test]
fn defaults_are_sparks_but_for_where_to_start() {
    let o = options(&[("subscribe", " b, a ,b"), ("value.format", "avro"), ("sample", "sales")]).unwrap();
    assert_eq!(o.selection.named_topics().unwrap(), ["a", "b"]);
    assert_eq!(o.starting_offsets, StartingOffsets::Earliest);
    assert!(o.fail_on_data_loss && !o.include_headers);
    assert_eq!(o.max_offsets_per_trigger, None);
    assert_eq!(o.brokers.as_deref(), Some("env:9092"));
    assert_eq!(o.group_id("p"), "sluicebox-p");
}

#[test]
fn names_are_compared_without_case_and_properties_pass_through() {
    let o = options(&[
        ("SUBSCRIBE", "a"),
        ("kafka.bootstrap.servers", "own:1"),
        ("kafka.sasl.password", "hunter2${env:PASSWORD}"),
        ("kafka.client.rack", "${file:/etc/hostname}"),
        ("kafka.group.id", "mine"),
        ("MaxOffsetsPerTrigger", "10"),
    ])
    .unwrap();
    assert_eq!(o.brokers.as_deref(), Some("own:1"));
    assert_eq!(
        o.properties.get("sasl.password").unwrap(),
        "hunter2${env:PASSWORD}",
        "values are replaced once, before"
    );
    assert_eq!(o.properties.get("client.rack").unwrap(), "${file:/etc/hostname}");
    assert_eq!(o.group_id("p"), "mine");
    assert_eq!(o.max_offsets_per_trigger, Some(10));
    assert!(!format!("{o:?}").contains("hunter2"), "secrets are not printed");
}

#[test]
fn errors_say_which_option_what_was_given_and_what_is_accepted() {
    for (pairs, parts) in [
        (&[][..], &["subscribe", "absent", "exactly one of"][..]),
        (&[("subscribe", "a"), ("assign", "{}")], &["'subscribe'", "beside 'assign'"]),
        (&[("subscribe", " , ")], &["','", "commas"]),
        (&[("assign", "[1]")], &["'assign'", "'[1]'", r#"{"topic":[0,1]}"#]),
        (&[("assign", r#"{"a":[-1]}"#)], &["'assign'", "[-1]"]),
        (&[("subscribePattern", "a(")], &["'subscribePattern'", "'a('", "regular expression"]),
        (&[("subscribe", "a"), ("startingOffsets", "soon")], &["'startingOffsets'", "'soon'", "earliest, latest"]),
        (&[("subscribe", "a"), ("startingOffsets", r#"{"a":{"0":-3}}"#)], &["-3", "-2 earliest"]),
        (&[("subscribe", "a"), ("maxOffsetsPerTrigger", "0")], &["'maxOffsetsPerTrigger'", "'0'", "above 0"]),
        (&[("subscribe", "a"), ("failOnDataLoss", "maybe")], &["'failOnDataLoss'", "'maybe'", "true or false"]),
        (&[("subscribe", "a"), ("kafka.auto.offset.reset", "x")], &["'kafka.auto.offset.reset'", "startingOffsets"]),
        (&[("subscribe", "a"), ("kafka.sasl.jaas.config", "secret")], &["kafka.sasl.username"]),
        (&[("subscribe", "a"), ("kafka.clientid", "x")], &["'kafka.clientid'", "did you mean 'kafka.client.id'?"]),
        (
            &[("subscribe", "a"), ("kafka.bootstrap.servers", "http://b:1")],
            &["'kafka.bootstrap.servers'", "write 'b:1'"],
        ),
    ] {
        let message = refused(pairs);
        assert!(message.starts_with("source sales: "), "{message}");
        for part in parts {
            assert!(message.contains(part), "{message} lacks {part}");
        }
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn that_a_password_may_be_read_on_the_way_is_known() {
    let exposed = |protocol: &str, mechanism: (&str, &str), brokers: &str| {
        let security = [("kafka.security.protocol", protocol), mechanism, ("kafka.bootstrap.servers", brokers)];
        options(&[&[("subscribe", "a")][..], &security].concat()).unwrap().exposed()
    };
    let plain = ("kafka.sasl.mechanism", "PLAIN");
    let away = "SASL_PLAINTEXT://b:9092, 127.0.0.1:9092,[::1]:9092,c";
    assert_eq!(exposed("SASL_PLAINTEXT", plain, away), ["b", "c"]);
    assert_eq!(exposed("sasl_plaintext", ("kafka.sasl.mechanisms", "oauthbearer"), "b:1"), ["b"]);
    for safe in [
        exposed("SASL_SSL", plain, "b:1"),
        exposed("SASL_PLAINTEXT", ("kafka.sasl.mechanism", "SCRAM-SHA-512"), "b:1"),
        exposed("SASL_PLAINTEXT", plain, "localhost:1"),
        exposed("PLAINTEXT", plain, "b:1"),
    ] {
        assert!(safe.is_empty(), "{safe:?}");
    }
}

#[test]
fn topics_are_selected_by_name_partition_and_pattern() {
    let topics =
        BTreeMap::from([("a".to_owned(), 2), ("ab".to_owned(), 1), ("b".to_owned(), 1), ("__x_a".to_owned(), 1)]);
    let select = |pairs: &[(&str, &str)]| -> Result<Vec<String>> {
        let selected = options(pairs)?.selection.select("sales", "the log", &topics)?;
        Ok(selected.iter().map(ToString::to_string).collect())
    };
    assert_eq!(select(&[("subscribe", "b,a")]).unwrap(), ["a/0", "a/1", "b/0"]);
    assert_eq!(select(&[("assign", r#"{"a":[1]}"#)]).unwrap(), ["a/1"]);
    assert_eq!(select(&[("subscribePattern", "a|.*_a")]).unwrap(), ["a/0", "a/1"], "whole names, none of Kafka's own");
    assert_eq!(select(&[("subscribePattern", "z")]).unwrap(), Vec::<String>::new());
    assert!(select(&[("subscribe", "c")]).unwrap_err().to_string().contains("there are: a, ab, b)"));
    assert!(select(&[("assign", r#"{"a":[2]}"#)]).unwrap_err().to_string().contains("partitions 0 to 1"));
}

#[test]
fn starting_offsets_become_numbers() {
    let held = bounds(&[("a", 0, 5, 10), ("a", 1, 0, 3)]);
    let resolve = |text: &str| -> std::result::Result<Vec<i64>, String> {
        let starting = options(&[("subscribe", "a"), ("startingOffsets", text)]).map_err(|e| e.to_string())?;
        let offsets = starting.starting_offsets.resolve("sales", &held).map_err(|e| e.to_string())?;
        Ok(offsets.into_values().collect())
    };
    assert_eq!(resolve("Earliest").unwrap(), [5, 0]);
    assert_eq!(resolve("latest").unwrap(), [10, 3]);
    assert_eq!(resolve(r#"{"a":{"0":7,"1":-1}}"#).unwrap(), [7, 3]);
    assert_eq!(resolve(r#"{"a":{"0":-2,"1":0}}"#).unwrap(), [5, 0]);
    assert!(resolve(r#"{"a":{"0":7}}"#).unwrap_err().contains("JSON without a/1"));
    assert!(resolve(r#"{"a":{"0":4,"1":0}}"#).unwrap_err().contains("5 to 10"));
    assert!(resolve(r#"{"a":{"0":5,"1":0,"2":0}}"#).unwrap_err().contains("a/2"));
    assert!(resolve(r#"{"b":{"0":5}}"#).unwrap_err().contains("b/0"));
}
