//! What becomes of events while their registry misbehaves.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use sluicebox_registry::testing::{Act, Wild, answer, good};
use sluicebox_registry::{SchemaCache, SchemaKey};

use crate::framing::frame;
use crate::testing::{Body, letters, pinned, raw, rows};
use crate::{DecoderOptions, SourceDecoder, avro};

/// A decoder of the reader schema `long` that asks `wild`.
fn decoder(wild: &Wild, dir: &std::path::Path) -> SourceDecoder {
    let cache = SchemaCache::open(dir).unwrap();
    avro::decoder(&DecoderOptions::new("events"), pinned("\"long\""), Arc::new(wild.registry()), cache).unwrap()
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
