//! The HTTP client against registries that break HTTP, or give answers that no registry gives.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::json;
use sluicebox_core::shown::acts;

use crate::schema::AvroSchema;
use crate::testing::{Act, GOOD, Wild, answer, good};
use crate::{Registry, RegistryError, SchemaText};

/// As much of an answer as its connection carried before it broke.
fn broken(body: &str, of: usize) -> Act {
    Act::Say(format!("HTTP/1.1 200 OK\r\ncontent-length: {of}\r\n\r\n{body}").into_bytes())
}

#[tokio::test]
async fn what_a_retry_cures_is_tried_again() {
    let wild = Wild::start(vec![
        Act::Close,
        broken("{\"sch", GOOD.len()),
        broken("", 10),
        Act::Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"sch".to_vec()),
        Act::Say(b"no HTTP at all\r\n\r\n".to_vec()),
        answer("500 Internal Server Error", "{}"),
        answer("502 Bad Gateway", "<html>"),
        answer("503 Service Unavailable", ""),
        answer("429 Too Many Requests", r#"{"error_code":42901,"message":"slow down"}"#),
        answer("408 Request Timeout", ""),
        Act::Hang,
        good(),
    ])
    .await;
    let found = wild.registry().by_id(7).await.unwrap();
    assert_eq!(found.schema, "\"long\"");
    assert_eq!(wild.connections(), 12);
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_question_at_once() {
    for body in
        ["<html>login</html>", "", "null", "[]", "{}", "7", "\"x\"", r#"{"schema":7}"#, r#"{"Schema":"\"long\""}"#]
    {
        let wild = Wild::start(vec![answer("200 OK", body), good()]).await;
        let error = wild.registry().by_id(7).await.unwrap_err();
        assert!(matches!(error, RegistryError::Malformed { .. }), "{body}: {error}");
        assert!(error.to_string().contains("schema id 7") && error.to_string().contains(&wild.url), "{error}");
        assert_eq!(wild.connections(), 1, "{body}: it is not asked again");
    }
}

/// What clears a terminal, names its window, begins a line of its own, turns the direction of writing, and is long.
fn hostile(length: usize) -> String {
    format!("\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nerror[FAKE]: fine \u{202e}\u{9b}31m{}", "A".repeat(length))
}

fn assert_is_text(said: &str) {
    assert!(!said.contains(acts), "{said:?}");
    assert!(said.chars().count() < 1_500, "{} characters: {said}", said.chars().count());
}

#[tokio::test]
async fn what_a_registry_says_is_cut_and_is_text() {
    let hostile = hostile(5_000);
    let references = json!([{ "name": hostile, "subject": hostile, "version": 1 }]);
    for (status, body) in [
        ("422 Unprocessable Entity", json!({ "error_code": 42201, "message": hostile })),
        ("404 Not Found", json!({ "error_code": 404, "message": hostile })),
        ("200 OK", json!({ "schema": "\"long\"", "version": 1, "id": 1, "schemaType": hostile })),
        ("200 OK", json!({ "schema": "\"long\"", "version": 1, "id": 1, "references": references })),
        ("200 OK", json!(hostile)),
    ] {
        let unknown = answer("404 Not Found", r#"{"error_code":40402,"message":"Version not found"}"#);
        let wild = Wild::start(vec![answer(status, &body.to_string()), unknown]).await;
        let error = wild.registry().latest("s-value").await.unwrap_err();
        assert_is_text(&error.to_string());
    }
    // What a schema is called is what was asked for.
    let body = json!({ "schema": "\"long\"", "subject": hostile, "version": 3, "id": 9 }).to_string();
    let wild = Wild::start(vec![answer("200 OK", &body)]).await;
    assert_eq!(wild.registry().latest("s-value").await.unwrap().subject, "s-value");
    let error = wild.registry().version("s-value", 7).await.unwrap_err().to_string();
    assert!(error.contains("it is version 3, and not 7"), "{error}");
}

#[test]
fn what_a_schema_says_is_cut_and_is_text() {
    let hostile = hostile(900);
    for schema in [
        json!(hostile),
        json!([hostile, 7]),
        json!({ "type": "record", "name": hostile, "fields": [] }),
        json!({ "type": "record", "name": "E", "fields": [{ "name": hostile, "type": "long" }] }),
        json!({ "type": "record", "name": "E", "fields": [hostile] }),
        json!({ "type": "enum", "name": "E", "symbols": [hostile] }),
        json!({ "type": "enum", "name": "E", "symbols": ["A"], "default": hostile }),
        json!({ "type": "record", "name": "E", "fields": [{ "name": "f", "type": hostile }] }),
    ] {
        let error = AvroSchema::parse(&SchemaText::new(schema.to_string())).unwrap_err().to_string();
        assert_is_text(&error);
        assert!(error.contains("[2J"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let wild = Wild::start(vec![Act::Flood]).await;
    let error = wild.registry().by_id(7).await.unwrap_err();
    assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
    // One that only says how long it would be, of a registry that is in trouble, is waited for like any other trouble.
    let long = "x".repeat(17 << 20);
    let wild = Wild::start(vec![answer("500 Internal Server Error", &long), good()]).await;
    assert!(wild.registry().by_id(7).await.is_ok());
}
