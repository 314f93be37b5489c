//! The embedded registry: its files, its decisions, its REST API.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use sluicebox_core::SystemClock;
use sluicebox_serve::Rule;

use super::*;
use crate::{HttpOptions, HttpRegistry};

mod apache;
mod converter;
mod costs;

fn record(fields: &str) -> NewSchema {
    NewSchema::new(format!(r#"{{"type":"record","name":"E","namespace":"a","fields":[{fields}]}}"#))
}

const ID: &str = r#"{"name":"id","type":"long"}"#;
const WITH_DEFAULT: &str = r#"{"name":"id","type":"long"},{"name":"x","type":"int","default":0}"#;
const WITHOUT_DEFAULT: &str = r#"{"name":"id","type":"long"},{"name":"x","type":"int"}"#;

#[test]
fn a_folder_that_is_not_there_is_made_with_the_first_change() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("registry");
    let store = RegistryStore::at(&folder).unwrap();
    assert!(store.subjects(false).unwrap().is_empty() && !folder.exists());
    assert_eq!(store.register("a-value", &record(ID)).unwrap().id, 1);
    assert_eq!(RegistryStore::at(&folder).unwrap().subjects(false).unwrap(), ["a-value"]);
}

#[test]
fn ids_are_global_and_versions_count_by_subject() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let first = store.register("a-value", &record(ID)).unwrap();
    assert_eq!((first.id, first.version), (1, 1));
    let reordered =
        NewSchema::new(r#"{ "name":"E","fields":[{"type":"long","name":"id"}],"namespace":"a","type":"record"}"#);
    assert_eq!(store.register("a-value", &reordered).unwrap(), first, "the order of attributes does not count");
    let second = store.register("a-value", &record(WITH_DEFAULT)).unwrap();
    assert_eq!((second.id, second.version), (2, 2));
    let elsewhere = store.register("b-value", &record(WITH_DEFAULT)).unwrap();
    assert_eq!((elsewhere.id, elsewhere.version), (2, 1));
    assert_eq!(elsewhere.guid, second.guid);

    let again = RegistryStore::open(dir.path()).unwrap();
    assert_eq!(again.subjects(false).unwrap(), ["a-value", "b-value"]);
    assert_eq!(again.registered("a-value", VersionName::Latest, false).unwrap(), second);
    assert_eq!(again.schema(SchemaKey::Guid(second.guid)).unwrap().id, 2);
    assert_eq!(again.uses(2, false).unwrap(), [("a-value".to_owned(), 2), ("b-value".to_owned(), 1)]);
}

#[test]
fn registries_over_one_folder_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..4).map(|_| RegistryStore::open(dir.path()).unwrap()).collect();
    let ids: Vec<i32> = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(t, store)| {
                scope.spawn(move || {
                    let own = |i: usize| record(&format!(r#"{{"name":"f_{t}_{i}","type":"long","default":0}}"#));
                    let shared = |i: usize| record(&format!(r#"{{"name":"s_{i}","type":"long","default":0}}"#));
                    let register = |i| {
                        let both = [store.register("s", &own(i)).unwrap(), store.register("s", &shared(i)).unwrap()];
                        both.map(|r| r.id)
                    };
                    (0..10).flat_map(register).collect::<Vec<i32>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let distinct: BTreeSet<i32> = ids.iter().copied().collect();
    assert_eq!(distinct, (1..=50).collect(), "40 schemas of one thread each, 10 shared, no id twice or left out");
    for store in &stores {
        assert_eq!(store.versions("s", false).unwrap(), (1..=50).collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_or_missing_change_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    for fields in [ID, WITH_DEFAULT] {
        store.register("s", &record(fields)).unwrap();
    }
    let first = dir.path().join("0000000001.json");
    let whole = std::fs::read(&first).unwrap();
    std::fs::write(&first, &whole[..whole.len() - 4]).unwrap();
    let error = RegistryStore::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("0000000001.json") && error.contains("backup"), "{error}");
    std::fs::remove_file(&first).unwrap();
    let error = RegistryStore::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("0000000001.json") && error.contains("missing"), "{error}");
}

#[test]
fn levels_are_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    // (level, registered before, new, whether it may follow)
    let cases = [
        (Level::None, vec![ID], WITHOUT_DEFAULT, true),
        (Level::Backward, vec![ID], WITH_DEFAULT, true),
        (Level::Backward, vec![ID], WITHOUT_DEFAULT, false),
        (Level::Backward, vec![WITHOUT_DEFAULT], ID, true),
        (Level::Forward, vec![ID], WITHOUT_DEFAULT, true),
        (Level::Forward, vec![WITHOUT_DEFAULT], ID, false),
        (Level::Forward, vec![WITH_DEFAULT], ID, true),
        (Level::Full, vec![ID], WITH_DEFAULT, true),
        (Level::Full, vec![ID], WITHOUT_DEFAULT, false),
        (Level::Full, vec![WITHOUT_DEFAULT], ID, false),
        (Level::Backward, vec![ID, WITH_DEFAULT], WITHOUT_DEFAULT, true),
        (Level::BackwardTransitive, vec![ID, WITH_DEFAULT], WITHOUT_DEFAULT, false),
        (Level::Forward, vec![WITHOUT_DEFAULT, WITH_DEFAULT], ID, true),
        (Level::ForwardTransitive, vec![WITHOUT_DEFAULT, WITH_DEFAULT], ID, false),
        (Level::Full, vec![WITHOUT_DEFAULT, WITH_DEFAULT], ID, true),
        (Level::FullTransitive, vec![WITHOUT_DEFAULT, WITH_DEFAULT], ID, false),
    ];
    for (i, (level, before, new, may)) in cases.into_iter().enumerate() {
        let subject = format!("s{i}");
        store.set_level(Some(&subject), Level::None).unwrap();
        for fields in &before {
            store.register(&subject, &record(fields)).unwrap();
        }
        store.set_level(Some(&subject), level).unwrap();
        let details = store.incompatibilities(&subject, &record(new), None).unwrap();
        assert_eq!(details.is_empty(), may, "case {i}: {level} {before:?} {new} {details:?}");
        match store.register(&subject, &record(new)) {
            Ok(_) => assert!(may),
            Err(error) => {
                assert!(!may && error.code() == 409, "{error}")
            }
        }
    }
    assert_eq!(store.global_level().unwrap(), Level::Backward);
    store.set_level(None, Level::Full).unwrap();
    assert_eq!(RegistryStore::open(dir.path()).unwrap().global_level().unwrap(), Level::Full);
    assert_eq!(store.delete_level(Some("s0")).unwrap(), Level::None);
    assert_eq!(store.delete_level(Some("s0")).unwrap_err().code(), 40408);
}

/// Whether `reader` reads everything that `writer` wrote.
fn reads(reader: &str, writer: &str) -> bool {
    let parse = |text: &str| crate::schema::AvroSchema::parse(&SchemaText::new(text)).unwrap();
    Level::Backward.problems(&parse(reader), &parse(writer)).is_empty()
}

#[test]
fn compatibility_follows_the_specification() {
    let field = |kind: &str| format!(r#"{{"type":"record","name":"E","fields":[{{"name":"f","type":{kind}}}]}}"#);
    let kinds = |reader: &str, writer: &str| reads(&field(reader), &field(writer));
    for (writer, readers) in [
        ("\"int\"", vec!["\"long\"", "\"float\"", "\"double\"", "[\"null\",\"long\"]"]),
        ("\"long\"", vec!["\"float\"", "\"double\""]),
        ("\"float\"", vec!["\"double\""]),
        ("\"string\"", vec!["\"bytes\""]),
        ("\"bytes\"", vec!["\"string\""]),
    ] {
        for reader in readers {
            assert!(kinds(reader, writer), "{writer} as {reader}");
            assert!(kinds(writer, reader) == (matches!(writer, "\"string\"" | "\"bytes\"")), "{reader} as {writer}");
        }
    }
    // Every branch that was written must be read.
    assert!(kinds(r#"["null","string","int"]"#, r#"["int","null"]"#));
    assert!(!kinds(r#"["null","string"]"#, r#"["int","null"]"#));
    assert!(!kinds("\"int\"", r#"["int","null"]"#));
    assert!(kinds("\"double\"", r#"["int","long"]"#));
    // Enums: the symbols, or a default.
    let symbols = |list: &str, more: &str| format!(r#"{{"type":"enum","name":"C","symbols":[{list}]{more}}}"#);
    assert!(kinds(&symbols(r#""A","B""#, ""), &symbols(r#""B""#, "")));
    assert!(!kinds(&symbols(r#""A""#, ""), &symbols(r#""A","B""#, "")));
    assert!(kinds(&symbols(r#""A""#, r#","default":"A""#), &symbols(r#""A","B""#, "")));
    // Names and aliases.
    let fixed =
        |name: &str, size: u32, more: &str| format!(r#"{{"type":"fixed","name":"{name}","size":{size}{more}}}"#);
    assert!(!kinds(&fixed("F", 2, ""), &fixed("F", 3, "")));
    assert!(!kinds(&fixed("G", 2, ""), &fixed("F", 2, "")));
    assert!(kinds(&fixed("G", 2, r#","aliases":["F"]"#), &fixed("F", 2, "")));
    let renamed =
        r#"{"type":"record","name":"N","aliases":["E"],"fields":[{"name":"g","aliases":["f"],"type":"long"}]}"#;
    assert!(reads(renamed, &field("\"int\"")));
    assert!(!reads(&renamed.replace(r#","aliases":["E"]"#, ""), &field("\"int\"")));
    // A change deep inside a recursive type is found.
    let list = |kind: &str| {
        format!(
            r#"{{"type":"record","name":"L","fields":[{{"name":"next","type":["null","L"]}},{{"name":"v","type":{kind}}}]}}"#
        )
    };
    assert!(reads(&list("\"long\""), &list("\"int\"")));
    assert!(!reads(&list("\"int\""), &list("\"long\"")));
    // A type used by name is compared by what it is.
    let twice = |kind: &str| {
        format!(
            r#"{{"type":"record","name":"E","fields":[{{"name":"a","type":{{"type":"record","name":"P","fields":[{{"name":"v","type":{kind}}}]}}}},{{"name":"b","type":"P"}}]}}"#
        )
    };
    assert!(!reads(&twice("\"int\""), &twice("\"string\"")));
    // Logical types do not count, as in Confluent's registry.
    assert!(kinds(r#"{"type":"long","logicalType":"timestamp-millis"}"#, "\"long\""));
}

#[test]
fn deleting_is_soft_first_and_ids_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    store.register("s", &record(ID)).unwrap();
    let second = store.register("s", &record(WITH_DEFAULT)).unwrap();
    let number = VersionName::Number;
    assert_eq!(store.delete_version("s", number(2), true).unwrap_err().code(), 40407);
    assert_eq!(store.delete_version("s", VersionName::Latest, false).unwrap(), 2);
    assert_eq!(store.delete_version("s", number(2), false).unwrap_err().code(), 40406);
    assert_eq!(store.versions("s", false).unwrap(), [1]);
    assert_eq!(store.versions("s", true).unwrap(), [1, 2]);
    assert_eq!(store.delete_version("s", number(2), true).unwrap(), 2);
    assert_eq!(store.schema(SchemaKey::Id(second.id)).unwrap().id, second.id, "events still name it");
    let back = store.register("s", &record(WITH_DEFAULT)).unwrap();
    assert_eq!((back.id, back.version), (2, 3), "the same id, a new version");

    assert_eq!(store.delete_subject("s", true).unwrap_err().code(), 40405);
    assert_eq!(store.delete_subject("s", false).unwrap(), [1, 3]);
    assert_eq!(store.delete_subject("s", false).unwrap_err().code(), 40404);
    assert_eq!(store.versions("s", false).unwrap_err().code(), 40401);
    assert_eq!(store.delete_subject("s", true).unwrap(), [1, 3]);
    assert_eq!(store.delete_subject("s", true).unwrap_err().code(), 40401);
    assert_eq!(RegistryStore::open(dir.path()).unwrap().subjects(true).unwrap(), Vec::<String>::new());
}

fn reference(name: &str, subject: &str) -> Reference {
    Reference { name: name.to_owned(), subject: subject.to_owned(), version: 1 }
}

#[tokio::test]
async fn references_are_resolved_and_keep_what_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let zip = NewSchema::new(r#"{"type":"enum","name":"a.Country","symbols":["DE","FR"]}"#);
    let address = NewSchema {
        schema: r#"{"type":"record","name":"a.Address","fields":[{"name":"country","type":"Country"}]}"#.to_owned(),
        references: vec![reference("a.Country", "country")],
    };
    let order = NewSchema {
        schema: r#"{"type":"record","name":"a.Order","fields":[{"name":"to","type":"a.Address"}]}"#.to_owned(),
        references: vec![reference("a.Address", "address")],
    };
    let error = store.register("order", &order).unwrap_err();
    assert!(error.code() == 42201 && error.to_string().contains("a.Address"), "{error}");
    store.register("country", &zip).unwrap();
    store.register("address", &address).unwrap();
    let id = store.register("order", &order).unwrap().id;
    let text = store.by_id(id).await.unwrap();
    let names: Vec<&str> = text.references.iter().map(|r| r.reference.name.as_str()).collect();
    assert_eq!(names, ["a.Country", "a.Address"]);
    assert!(crate::schema::AvroSchema::parse(&text).is_ok());
    assert_eq!(store.referrers("address", VersionName::Latest).unwrap(), [id]);
    assert_eq!(store.delete_subject("address", false).unwrap_err().code(), 42206);
    assert!(matches!(store.by_id(99).await, Err(RegistryError::NotFound { .. })));
    assert!(matches!(store.latest("none").await, Err(RegistryError::NotFound { .. })));
}

#[test]
fn schemas_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let bad_default = r#"{"name":"id","type":"long","default":"one"}"#;
    let refused = |schema: &NewSchema| {
        let error = store.register("s", schema).unwrap_err();
        assert_eq!(error.code(), 42201, "{error}");
        error.to_string()
    };
    assert!(refused(&record(bad_default)).contains("a.E.id"));
    assert!(refused(&NewSchema::new("{")).contains("JSON"));
    assert!(refused(&NewSchema::new("")).contains("JSON"));
    assert!(refused(&record(r#"{"name":"id","type":"Unknown"}"#)).contains("a.Unknown"));
    assert!(refused(&record(&format!("{ID},{ID}"))).contains("two fields 'id'"));
    assert_eq!(store.register("s", &NewSchema::new("string")).unwrap().schema, "\"string\"");
}

/// A server over a new store, and how to call it.
struct Server {
    url: String,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(RegistryStore::open(dir.path()).unwrap());
        let server = sluicebox_serve::Server::open("127.0.0.1:0", Rule::new(failure)).await.unwrap();
        let url = format!("http://{}", server.address());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let done = tokio::spawn(server.run(router(store), async move { stopped.await.unwrap_or_default() }));
        Self { url, http: reqwest::Client::new(), _dir: dir, stop, done }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Json>) -> (u16, Json) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/vnd.schemaregistry.v1+json", "{path}");
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn the_rest_api_answers_confluent_s_clients() {
    let server = Server::start().await;
    let schema = |fields: &str| json!({ "schema": record(fields).schema });
    let (status, first) = server.call("POST", "/subjects/s-value/versions?normalize=false", Some(schema(ID))).await;
    assert_eq!((status, &first["id"]), (200, &json!(1)));
    let (_, found) = server.call("POST", "/subjects/s-value?normalize=false&deleted=true", Some(schema(ID))).await;
    assert_eq!((&found["subject"], &found["version"], &found["id"]), (&json!("s-value"), &json!(1), &json!(1)));
    let text = json!(record(ID).schema);
    let guid = first["guid"].as_str().unwrap();
    for path in ["/schemas/ids/1", "/schemas/ids/1?subject=s-value", &format!("/schemas/guids/{guid}")] {
        let (status, found) = server.call("GET", path, None).await;
        assert_eq!((status, &found["schema"]), (200, &text), "{path}");
        assert!(found.get("schemaType").is_none(), "left out for AVRO");
    }
    for (path, expected) in [
        ("/", json!({})),
        ("/schemas/types", json!(["AVRO"])),
        ("/schemas/ids/1/versions", json!([{ "subject": "s-value", "version": 1 }])),
        ("/schemas/ids/1/subjects", json!(["s-value"])),
        ("/subjects", json!(["s-value"])),
        ("/subjects?subjectPrefix=x", json!([])),
        ("/schemas?subjectPrefix=x", json!([])),
        ("/schemas?offset=1", json!([])),
        ("/schemas?limit=0", json!([])),
        ("/schemas?limit=-1", json!([found])),
        ("/subjects/s-value/versions", json!([1])),
        ("/subjects/s-value/versions/latest/referencedby", json!([])),
        ("/config", json!({ "compatibilityLevel": "BACKWARD" })),
        ("/config/s-value?defaultToGlobal=true", json!({ "compatibilityLevel": "BACKWARD" })),
        ("/mode", json!({ "mode": "READWRITE" })),
        ("/contexts", json!(["."])),
    ] {
        assert_eq!(server.call("GET", path, None).await, (200, expected), "{path}");
    }
    for version in ["latest", "1", "-1"] {
        let (_, found) = server.call("GET", &format!("/subjects/s-value/versions/{version}"), None).await;
        assert_eq!((&found["schema"], &found["version"]), (&text, &json!(1)));
    }
    let (status, raw) = server.call("GET", "/subjects/s-value/versions/1/schema", None).await;
    assert_eq!((status, &raw["name"]), (200, &json!("E")));
    server.stop.send(()).unwrap();
    drop(server.http);
    server.done.await.unwrap();
}

#[tokio::test]
async fn the_rest_api_refuses_with_confluent_s_codes() {
    let server = Server::start().await;
    let schema = |fields: &str| Some(json!({ "schema": record(fields).schema }));
    server.call("POST", "/subjects/s/versions", schema(ID)).await;
    let cases = [
        ("GET", "/subjects/none/versions", None, 404, 40401),
        ("GET", "/subjects/s/versions/2", None, 404, 40402),
        ("GET", "/subjects/s/versions/0", None, 422, 42202),
        ("GET", "/schemas/ids/9", None, 404, 40403),
        ("GET", "/schemas/guids/00000000-0000-0000-0000-000000000000", None, 404, 40403),
        ("GET", "/config/s", None, 404, 40408),
        ("GET", "/no/such/call", None, 404, 404),
        ("PUT", "/subjects", Some(json!({})), 405, 405),
        ("POST", "/subjects/s/versions", None, 415, 415),
        ("POST", "/subjects/none", schema(ID), 404, 40401),
        ("POST", "/subjects/none", Some(json!({ "schema": "{}", "schemaType": "JSON" })), 404, 40401),
        ("POST", "/subjects/none", Some(json!([])), 422, 42201),
        ("POST", "/subjects/none", Some(json!({ "schema": 1 })), 422, 42201),
        ("POST", "/subjects/s", Some(json!({ "schema": "{" })), 422, 42201),
        ("POST", "/subjects/s", schema(WITH_DEFAULT), 404, 40403),
        ("POST", "/subjects/s/versions", schema(WITHOUT_DEFAULT), 409, 409),
        ("POST", "/subjects/s/versions", Some(json!({ "schema": "{}" })), 422, 42201),
        ("POST", "/subjects/s/versions", Some(json!({ "schema": "{}", "schemaType": "JSON" })), 422, 42201),
        ("POST", "/subjects/s/versions", Some(json!([])), 422, 42201),
        ("GET", "/schemas?limit=some", None, 404, 404),
        ("PUT", "/config", Some(json!({ "compatibility": "SOME" })), 422, 42203),
        ("PUT", "/config", Some(json!([[0], [0]])), 422, 42203),
        ("PUT", "/config", Some(json!({ "compatibility": "FULL", "more": "x".repeat(5_000) })), 413, 413),
        ("DELETE", "/subjects/s?permanent=true", None, 404, 40405),
        ("DELETE", "/subjects/s/versions/7", None, 404, 40402),
    ];
    for (method, path, body, status, code) in cases {
        let (found, answer) = server.call(method, path, body).await;
        assert_eq!((found, &answer["error_code"]), (status, &json!(code)), "{method} {path}: {answer}");
        assert!(answer["message"].is_string());
    }
    let path = "/compatibility/subjects/s/versions/latest?verbose=true";
    let (_, answer) = server.call("POST", path, schema(WITHOUT_DEFAULT)).await;
    assert_eq!(answer["is_compatible"], json!(false));
    assert!(answer["messages"].to_string().contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{answer}");
    let (_, answer) = server.call("POST", "/compatibility/subjects/s/versions", schema(WITH_DEFAULT)).await;
    assert_eq!(answer, json!({ "is_compatible": true }));
    let (_, answer) = server.call("PUT", "/config/s", Some(json!({ "compatibility": "none" }))).await;
    assert_eq!(answer, json!({ "compatibility": "NONE" }));
    assert_eq!(server.call("POST", "/subjects/s/versions", schema(WITHOUT_DEFAULT)).await.0, 200);
    assert_eq!(server.call("DELETE", "/subjects/s", None).await, (200, json!([1, 2])));
    assert_eq!(server.call("DELETE", "/subjects/s?permanent=true", None).await, (200, json!([1, 2])));
    assert_eq!(server.call("DELETE", "/config/s", None).await.0, 404, "a deleted subject has no level");
}

#[tokio::test]
async fn the_client_reads_from_the_server() {
    let server = Server::start().await;
    server
        .call("POST", "/subjects/c/versions", Some(json!({ "schema": r#"{"type":"fixed","name":"a.C","size":2}"# })))
        .await;
    let order = json!({
        "schema": r#"{"type":"record","name":"a.O","fields":[{"name":"c","type":"a.C"}]}"#, "schemaType": "AVRO",
        "references": [{ "name": "a.C", "subject": "c", "version": 1 }],
    });
    let (_, answer) = server.call("POST", "/subjects/a%2Fb-value/versions", Some(order)).await;
    let client = HttpRegistry::new(HttpOptions::new(&server.url).unwrap(), Arc::new(SystemClock::new())).unwrap();
    let latest = client.latest("a/b-value").await.unwrap();
    assert_eq!((latest.version, latest.id, latest.text.references.len()), (1, 2, 1));
    assert_eq!(*client.by_id(2).await.unwrap(), latest.text);
    let guid = answer["guid"].as_str().unwrap().parse().unwrap();
    assert_eq!(*client.by_guid(guid).await.unwrap(), latest.text);
    assert_eq!(client.version("a/b-value", 1).await.unwrap(), latest);
    assert!(matches!(client.by_id(77).await, Err(RegistryError::NotFound { .. })));
}

/// Names nest schemas to any depth while their text stays flat: without a limit the comparison overflows the stack.
#[test]
fn schemas_that_names_nest_without_end_do_not_overflow_the_stack() {
    const LEVELS: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    for (subject, last) in [("ints", "int"), ("longs", "long")] {
        let mut fields = vec![format!(
            r#"{{"name":"f0","type":{{"type":"record","name":"R0","fields":[{{"name":"x","type":"{last}"}}]}}}}"#
        )];
        fields.extend((1..LEVELS).map(|level| {
            let below = level - 1;
            format!(
                r#"{{"name":"f{level}","type":{{"type":"record","name":"R{level}","fields":[{{"name":"x","type":"R{below}"}}]}}}}"#
            )
        }));
        let chain = format!(r#"{{"type":"record","name":"Chain","fields":[{}]}}"#, fields.join(","));
        store.register(subject, &NewSchema::new(chain)).unwrap();
    }
    let over = |subject: &str| NewSchema {
        schema: format!(r#"{{"type":"record","name":"E","fields":[{{"name":"top","type":"R{}"}}]}}"#, LEVELS - 1),
        references: vec![Reference { name: "Chain".into(), subject: subject.into(), version: 1 }],
    };
    store.register("s", &over("longs")).unwrap();
    let refused = store.register("s", &over("ints")).unwrap_err().to_string();
    assert!(refused.contains("TOO_COMPLEX"), "{}", &refused[..refused.len().min(500)]);
}

/// Each union is tried branch by branch, and so is each union in a branch: without a limit, two to the power of the depth.
#[test]
fn unions_within_unions_do_not_multiply_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let nested = |last: &str| {
        let mut kind = format!(r#"{{"type":"record","name":"A0","fields":[{{"name":"x","type":"{last}"}}]}}"#);
        let mut other =
            format!(r#"{{"type":"record","name":"B0","aliases":["A0"],"fields":[{{"name":"x","type":"{last}"}}]}}"#);
        for level in 1..24 {
            let (a, b) = (kind, other);
            let below = level - 1;
            kind = format!(r#"{{"type":"record","name":"A{level}","fields":[{{"name":"u","type":[{a},{b}]}}]}}"#);
            other = format!(
                r#"{{"type":"record","name":"B{level}","aliases":["A{level}"],"fields":[{{"name":"u","type":["A{below}","B{below}"]}}]}}"#
            );
        }
        record(&format!(r#"{{"name":"top","type":[{kind},{other}]}}"#))
    };
    store.register("s", &nested("string")).unwrap();
    let found = store.incompatibilities("s", &nested("int"), None).unwrap();
    assert!(!found.is_empty());
}

#[test]
fn names_do_not_multiply_into_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let long = "n".repeat(1 << 20);
    let fields: Vec<String> =
        (0..20_000).map(|i| format!(r#"{{"name":"f{i}","type":{{"type":"fixed","name":"F{i}","size":1}}}}"#)).collect();
    for schema in [
        format!(r#"{{"type":"record","name":"R","namespace":"{long}","fields":[{}]}}"#, fields.join(",")),
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"{long}","type":"int"}}]}}"#),
    ] {
        let refused = store.register("s", &NewSchema { schema, references: Vec::new() }).unwrap_err().to_string();
        assert!(refused.contains("1024 are the most"), "{}", &refused[refused.len().saturating_sub(200)..]);
    }
}

/// A large default that is of no branch is named once for each: it must not be written out each time.
#[test]
fn a_large_default_is_no_large_message() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let zeros = vec!["0"; 200_000].join(",");
    let branches: Vec<String> = (0..5_000).map(|i| format!(r#"{{"type":"fixed","name":"F{i}","size":1}}"#)).collect();
    let field = format!(r#"{{"name":"x","type":[{}],"default":[{zeros}]}}"#, branches.join(","));
    let refused = store.register("s", &record(&field)).unwrap_err().to_string();
    assert!(refused.len() < 1_000 && refused.contains("of no branch"), "{} bytes", refused.len());
}

#[tokio::test]
async fn a_name_that_is_no_text_is_refused_in_the_form_of_the_api() {
    let server = Server::start().await;
    for (method, path) in [
        ("GET", "/subjects/%ff/versions"),
        ("GET", "/subjects/%ff/versions/1"),
        ("GET", "/schemas/ids/%ff"),
        ("GET", "/config/%ff"),
        ("DELETE", "/subjects/%ff"),
    ] {
        let (status, told) = server.call(method, path, None).await;
        assert_eq!((status, &told["error_code"]), (400, &json!(400)), "{path}: {told}");
        assert!(
            told["message"].as_str().is_some_and(|message| message.starts_with("HTTP 400 Bad Request: ")),
            "{told}"
        );
    }
}
