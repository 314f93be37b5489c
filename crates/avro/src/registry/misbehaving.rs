//! The HTTP client against registries that misbehave below HTTP, or say what no registry says.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sluicebox_core::SystemClock;
use sluicebox_core::shown::acts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::framing::{SchemaKey, frame};
use crate::registry::SchemaText;
use crate::registry::cache::SchemaCache;
use crate::schema::AvroSchema;
use crate::testing::{Body, letters, pinned, raw, rows};
use crate::{Decoder, DecoderOptions, HttpOptions, HttpRegistry, Registry, RegistryError};

const GOOD: &str = r#"{"schema":"\"long\""}"#;

/// What a connection gets after its request.
#[derive(Debug, Clone)]
enum Act {
    /// These bytes, then the connection is closed.
    Say(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Hang,
    /// The connection is closed at once.
    Close,
    /// An answer without an end.
    Flood,
}

fn answer(status: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

fn good() -> Act {
    answer("200 OK", GOOD)
}

/// A registry that does `acts` to one connection after the other, and the last one to all that follow.
struct Wild {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Wild {
    async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, acts) = (Arc::new(AtomicUsize::new(0)), Mutex::new(acts));
        let wild = Self { url, connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let act = {
                    let mut acts = acts.lock().unwrap();
                    if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
                };
                tokio::spawn(serve(stream, act));
            }
        });
        wild
    }

    fn registry(&self) -> HttpRegistry {
        let fast = Duration::from_millis(1);
        let options = HttpOptions {
            first_backoff: fast,
            max_backoff: fast,
            timeout: Duration::from_millis(500),
            unknown_for: Duration::ZERO,
            ..HttpOptions::new(&self.url).unwrap()
        };
        HttpRegistry::new(options, Arc::new(SystemClock::new())).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, act: Act) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    // A client that goes away in the middle is no fault of the test.
    match act {
        Act::Say(bytes) => drop(stream.write_all(&bytes).await),
        Act::Close => {}
        Act::Hang => drop(stream.read(&mut byte).await),
        Act::Flood => {
            let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"schema\":\"").await;
            while going.is_ok() {
                going = stream.write_all(&[b'x'; 1 << 16]).await;
            }
        }
    }
}

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

/// A decoder of the reader schema `long` that asks `wild`.
fn decoder(wild: &Wild, dir: &std::path::Path) -> Decoder {
    let cache = SchemaCache::open(dir).unwrap();
    Decoder::new(DecoderOptions::new("events"), pinned("\"long\""), Arc::new(wild.registry()), cache).unwrap()
}

#[tokio::test]
async fn an_id_that_is_unknown_costs_its_events_and_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = answer("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#);
    let wild = Wild::start(vec![unknown, good()]).await;
    let decoder = decoder(&wild, dir.path());
    let events = raw(0, &[Some(frame(7, &Body::default().long(42).0))]);
    let writers = decoder.prepare(std::slice::from_ref(&events)).await.unwrap();
    let first = decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    assert_eq!(letters(&first), [(100, "UNKNOWN_SCHEMA_ID".to_owned())]);
    assert_eq!(wild.connections(), 1, "that it is unknown is an answer, and no trouble");
    // The next batch that names it: by now it is registered.
    let writers = decoder.prepare(std::slice::from_ref(&events)).await.unwrap();
    let second = decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    assert_eq!((rows(&second).len(), letters(&second).len()), (1, 0));
}

#[tokio::test]
async fn a_schema_that_is_none_costs_its_events_and_is_not_kept() {
    for (body, class) in [
        (r#"{"schema":"\"lo"}"#, "UNSUPPORTED_SCHEMA"),
        (r#"{"schema":""}"#, "UNSUPPORTED_SCHEMA"),
        (r#"{"schema":"{\"type\":\"object\"}","schemaType":"JSON"}"#, "UNSUPPORTED_SCHEMA"),
        (r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#, "UNSUPPORTED_SCHEMA"),
        (r#"{"schema":"\"string\""}"#, "UNRESOLVABLE"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let wild = Wild::start(vec![answer("200 OK", body)]).await;
        let decoder = decoder(&wild, dir.path());
        let events = raw(0, &[Some(frame(7, &Body::default().long(42).0)), Some(frame(7, &[]))]);
        let writers = decoder.prepare(std::slice::from_ref(&events)).await.unwrap();
        let decoded = decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
        assert_eq!(letters(&decoded), [(100, class.to_owned()), (102, class.to_owned())], "{body}");
        let kept = SchemaCache::open(dir.path()).unwrap().get(SchemaKey::Id(7)).unwrap();
        assert_eq!(kept.is_some(), class == "UNRESOLVABLE", "{body}: an Avro schema is kept, nothing else");
    }
}

#[tokio::test]
async fn schemas_that_were_seen_need_no_registry_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let events = raw(0, &[Some(frame(7, &Body::default().long(42).0))]);
    let wild = Wild::start(vec![good(), Act::Close]).await;
    decoder(&wild, dir.path()).prepare(std::slice::from_ref(&events)).await.unwrap();
    // The next start, with a registry that is gone for good.
    let again = decoder(&wild, dir.path());
    let writers = again.prepare(std::slice::from_ref(&events)).await.unwrap();
    assert_eq!(rows(&again.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap()).len(), 1);
    assert_eq!(wild.connections(), 1);
}
