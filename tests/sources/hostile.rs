//! What a registry says is text in whatever a command prints, for people and for programs.

use serde_json::json;

use crate::bench::Bench;
use crate::support::{HOSTILE, assert_is_text, text};

/// What `plan` prints when it fails: as text and as JSON, the log with all that it has to say.
fn planned(bench: &Bench) -> Vec<String> {
    let printed = |form: &str| {
        let mut command = bench.command(&["plan", "p.sql"]);
        let output = command.env("SLUICEBOX_LOG", "debug").env("SLUICEBOX_LOG_FORMAT", form).output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert_is_text(&said);
        said
    };
    vec![printed("text"), printed("json")]
}

#[test]
fn what_a_registry_says_does_nothing_to_a_terminal() {
    let field = |name: &str, kind: serde_json::Value| {
        let fields = json!([{ "name": name, "type": kind }]);
        json!({ "type": "record", "name": "E", "fields": fields }).to_string()
    };
    let long = format!("{HOSTILE}{}", "A".repeat(900));
    let symbols = json!({ "type": "enum", "name": "S", "symbols": [long] });
    for (kind, schema) in [
        ("AVRO", field(&long, json!("long"))),
        ("AVRO", field("f", json!(long))),
        ("AVRO", field("f", symbols)),
        (HOSTILE, field("f", json!("long"))),
    ] {
        let bench = Bench::new();
        bench.pipeline("");
        bench.registry.register("t-value", kind, &schema);
        for said in planned(&bench) {
            assert!(said.contains("pwned"), "it is told: {said}");
            assert!(!said.contains(&"A".repeat(600)), "and cut: {said}");
        }
    }
    // Subjects that are like the one that is asked for.
    let bench = Bench::new();
    bench.pipeline(", 'value.subject' = 'orders'");
    bench.registry.register(&format!("orders{HOSTILE}"), "AVRO", crate::bench::N);
    for said in planned(&bench) {
        assert!(said.contains("it knows") && said.contains("pwned"), "{said}");
    }
}
