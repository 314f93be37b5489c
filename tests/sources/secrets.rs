//! Secrets are refused in plain, and neither they nor what a reference stands for is in anything that is printed.

use crate::bench::Bench;
use crate::support::text;

const SECRET: &str = "hunter2SECRET";

/// What is said of a property that there is not.
const UNKNOWN: &str = "is not known";

/// What `plan` prints, as text and as JSON, with the secret in the variable `X`; it must end with `code`.
fn planned(bench: &Bench, code: i32, more: &[&str]) -> [String; 2] {
    ["text", "json"].map(|form| {
        let mut command = bench.command(&[&["plan", "p.sql"][..], more].concat());
        command.env("X", SECRET).env("SLUICEBOX_LOG", "debug").env("SLUICEBOX_LOG_FORMAT", form);
        let output = command.output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        said
    })
}

#[test]
fn a_secret_in_plain_is_refused_and_shown_nowhere() {
    let bench = Bench::new();
    for (option, says) in [
        ("kafka.sasl.password", "plain-secret"),
        ("kafka.sasl.oauthbearer.config", "plain-secret"),
        ("kafka.sasl.oauthbearer.assertion.private.key.passphrase", "plain-secret"),
        ("kafka.sasl.oauthbearer.client.credentials.client.secret", "plain-secret"),
        ("schema.registry.basic.auth.user.info", "plain-secret"),
        // These are refused for another reason.
        ("kafka.sasl.jaas.config", "kafka.sasl.username"),
        ("kafka.ssl.truststore.password", "kafka.ssl.ca.location"),
        ("kafka.sasl.passwrod", "did you mean 'kafka.sasl.password'?"),
        ("kafka.sasl.what.is.it", UNKNOWN),
    ] {
        // Beside a mistake of another option, in the line that is drawn; what no such name is like is known when options are looked at.
        if says != UNKNOWN {
            bench.pipeline(&format!(", '{option}' = '{SECRET}', 'idleTimeout' = 'soon'"));
            planned(&bench, 2, &[]);
        }
        bench.pipeline(&format!(", '{option}' = '{SECRET}', 'kafka.ssl.ca.location' = '/no/such'"));
        for said in planned(&bench, 2, &[]) {
            assert!(said.contains(says), "{option}: {said}");
        }
        bench.pipeline("");
        for said in planned(&bench, 2, &["--set", &format!("events.{option}={SECRET}")]) {
            assert!(said.contains(says), "{option}: {said}");
        }
    }
    for url in [format!("http://{SECRET}@h"), format!("https://bob:{SECRET}@h")] {
        bench.pipeline(&format!(", 'schema.registry.url' = '{url}'"));
        assert!(planned(&bench, 2, &[])[0].contains("plain-secret"));
    }
}

#[test]
fn what_a_reference_stands_for_is_not_told_when_it_is_refused() {
    let bench = Bench::new();
    for option in [
        "kafka.security.protocol",
        "kafka.ssl.ca.location",
        "kafka.debug",
        "kafka.fetch.min.bytes",
        "value.format",
        "startingOffsets",
        "maxOffsetsPerTrigger",
        "schema.registry.url",
        "schema.registry.ssl.ca.location",
    ] {
        bench.pipeline(&format!(", '{option}' = '${{env:X}}'"));
        assert!(planned(&bench, 2, &[])[0].contains("${env:X}"), "{option}");
    }
    // A part of it would be told of what is right.
    bench.pipeline(", 'kafka.bootstrap.servers' = 'http://${env:X}/x'");
    assert!(planned(&bench, 2, &[])[0].contains("`kafka.bootstrap.servers` is a reference whose value is not taken"));
}

#[test]
fn what_librdkafka_says_of_a_secret_is_told_without_it() {
    let bench = Bench::new();
    bench.pipeline(
        ", 'kafka.security.protocol' = 'SASL_PLAINTEXT', 'kafka.sasl.mechanism' = 'OAUTHBEARER', \
         'kafka.enable.sasl.oauthbearer.unsecure.jwt' = 'true', 'kafka.sasl.oauthbearer.config' = '${env:X}'",
    );
    for command in ["run", "plan"] {
        let mut command = bench.command(&[command, "p.sql", "--wait", "3 seconds"]);
        let output = command.env("X", SECRET).env("SLUICEBOX_LOG", "info,librdkafka=debug").output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success() && said.contains("beginning at: ***"), "{said}");
        assert!(!said.contains("unter2") && !said.contains("SECRE"), "{said}");
    }
}

#[test]
fn a_key_in_the_url_of_a_registry_is_in_no_message() {
    let bench = Bench::new();
    let wait = ["--wait", "1 second"];
    bench.pipeline(", 'schema.registry.url' = 'http://127.0.0.1:1/${env:X}/reg?apikey=${env:X}'");
    for said in planned(&bench, 1, &wait) {
        assert!(said.contains("http://127.0.0.1:1: "), "{said}");
    }
    bench.pipeline("");
    for command in ["run", "plan"] {
        let mut command = bench.command(&[&[command, "p.sql"][..], &wait].concat());
        command.env("SCHEMA_REGISTRY_URL", format!("http://127.0.0.1:1/reg?token={SECRET}"));
        let output = command.env("SLUICEBOX_LOG", "debug").output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success() && said.contains("http://127.0.0.1:1/reg: "), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn what_a_reference_stands_for_in_a_query_is_not_told_by_plan() {
    let bench = Bench::new();
    let source = "CREATE TABLE events USING kafka OPTIONS ('subscribe' = 't');";
    let right = "CREATE STREAMING TABLE bronze_t (CONSTRAINT c EXPECT (s <> '${env:X}')) AS
        SELECT n, concat('${env:X}', CAST(n AS STRING)) AS s FROM STREAM events WHERE CAST(n AS STRING) <> '${env:X}';";
    bench.job.write("p.sql", &format!("{source}\n{right}"));
    for more in [&[][..], &["--json"]] {
        for said in planned(&bench, 0, more) {
            assert!(said.contains("'${env:X}'"), "{said}");
        }
    }
    let bad = "CREATE STREAMING TABLE bronze_t AS SELECT n, CAST('${env:X}' AS INT) AS s FROM STREAM events;";
    bench.job.write("p.sql", &format!("{source}\n{bad}"));
    assert!(planned(&bench, 2, &[])[0].contains("bad-constant"));
}

#[test]
fn a_password_that_can_be_read_on_the_way_is_warned_of() {
    let bench = Bench::new();
    bench.events(1, 0..5, &[]);
    bench.pipeline("");
    bench.ends(0, &[]);
    let kafka = ", 'kafka.security.protocol' = 'SASL_PLAINTEXT', 'kafka.sasl.mechanism' = 'PLAIN', 'kafka.sasl.username' = 'u', \
                 'kafka.sasl.password' = '${env:X}'";
    let away = format!("{kafka}, 'kafka.bootstrap.servers' = 'b.invalid:9092'");
    for (options, says) in [
        (
            ", 'schema.registry.url' = 'http://u:${env:X}@r.invalid:8081'",
            Some("goes to http://r.invalid:8081 over plain"),
        ),
        (", 'schema.registry.url' = 'https://u:${env:X}@r.invalid:8081'", None),
        (", 'schema.registry.url' = 'http://u:${env:X}@localhost:8081'", None),
        (away.as_str(), Some("for Kafka goes to b.invalid as it is")),
        (kafka, None),
    ] {
        bench.pipeline(options);
        for said in planned(&bench, 0, &["--offline"]) {
            assert_eq!(said.contains("plain-connection"), says.is_some(), "{options}: {said}");
            assert!(says.is_none_or(|says| said.contains(says)), "{options}: {said}");
        }
    }
}

#[test]
fn a_password_of_a_tables_own_connection_is_warned_of_too() {
    let bench = Bench::new();
    for (protocol, warned) in [("SASL_PLAINTEXT", true), ("SASL_SSL", false)] {
        let text = format!(
            "CREATE TABLE events USING kafka OPTIONS ('subscribe' = 't');\n\
             CREATE STREAMING TABLE copies USING kafka TBLPROPERTIES ('topic' = 'out', \
             'kafka.bootstrap.servers' = 'b.invalid:9092', 'kafka.security.protocol' = '{protocol}', \
             'kafka.sasl.mechanism' = 'PLAIN', 'kafka.sasl.username' = 'u', 'kafka.sasl.password' = '${{env:X}}') \
             AS SELECT n FROM STREAM events;\n"
        );
        bench.job.write("p.sql", &text);
        for said in planned(&bench, 0, &[]) {
            assert_eq!(said.contains("plain-connection"), warned, "{protocol}: {said}");
            assert_eq!(said.contains("for Kafka goes to b.invalid as it is"), warned, "{protocol}: {said}");
        }
    }
}
