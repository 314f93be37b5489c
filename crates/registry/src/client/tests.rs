//! The HTTP client against a server whose answers each test chooses.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sluicebox_core::{Clock, ManualClock, SystemClock};
use tokio::net::TcpListener;

use crate::{HttpOptions, HttpRegistry, Registry, RegistryError};

mod converter;

/// A scripted registry: answers the next line of its script, then 200 with a schema for ever.
#[derive(Debug, Default)]
struct Script {
    next: Mutex<VecDeque<Scripted>>,
    requests: Mutex<Vec<(String, HeaderMap)>>,
    /// Requests wait for a permit when there is a gate.
    gate: Option<tokio::sync::Semaphore>,
}

#[derive(Debug, Clone)]
struct Scripted(u16, serde_json::Value, Option<&'static str>);

impl Script {
    fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

fn refused(status: u16, code: u32) -> Scripted {
    Scripted(status, json!({ "error_code": code, "message": "no" }), None)
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let path = request.uri().path_and_query().unwrap().to_string();
    script.requests.lock().unwrap().push((path, request.headers().clone()));
    if let Some(gate) = &script.gate {
        gate.acquire().await.unwrap().forget();
    }
    let next = script.next.lock().unwrap().pop_front();
    let Scripted(status, body, retry_after) =
        next.unwrap_or_else(|| Scripted(200, json!({ "schema": "\"long\"" }), None));
    let mut response = (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.parse().unwrap());
    }
    response
}

async fn start(script: Script) -> (String, Arc<Script>) {
    let script = Arc::new(script);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, script)
}

async fn scripted(answers: Vec<Scripted>) -> (String, Arc<Script>) {
    start(Script { next: Mutex::new(answers.into()), ..Script::default() }).await
}

fn options(urls: &str) -> HttpOptions {
    let fast = Duration::from_millis(1);
    HttpOptions { first_backoff: fast, max_backoff: fast, ..HttpOptions::new(urls).unwrap() }
}

fn client(options: HttpOptions) -> HttpRegistry {
    HttpRegistry::new(options, Arc::new(SystemClock::new())).unwrap()
}

#[tokio::test]
async fn faults_of_the_server_are_tried_again() {
    let faults = vec![refused(500, 50001), refused(503, 50301), refused(429, 42901), refused(504, 50401)];
    let (url, script) = scripted(faults).await;
    let found = client(options(&url)).by_id(7).await.unwrap();
    assert_eq!(found.schema, "\"long\"");
    assert_eq!(script.paths(), vec!["/schemas/ids/7"; 5]);
}

#[tokio::test]
async fn a_schema_is_registered_again_after_a_fault_and_a_refusal_is_final() {
    let (url, script) =
        scripted(vec![refused(503, 50301), Scripted(200, json!({ "id": 42 }), None), refused(409, 409)]).await;
    let client = client(options(&url));
    assert_eq!(client.register_schema("orders-value", "\"long\"").await.unwrap(), 42);
    let refused = client.register_schema("orders-value", "\"string\"").await;
    assert!(matches!(refused, Err(RegistryError::Refused { status: 409, .. })), "{refused:?}");
    assert_eq!(script.paths(), vec!["/subjects/orders%2Dvalue/versions"; 3]);
}

#[tokio::test]
async fn a_pause_that_the_registry_asks_for_is_kept() {
    let (url, script) = scripted(vec![Scripted(429, json!({}), Some("1"))]).await;
    let clock = SystemClock::new();
    client(options(&url)).by_id(7).await.unwrap();
    assert!(clock.monotonic() >= Duration::from_secs(1));
    assert_eq!(script.paths().len(), 2);
}

#[tokio::test]
async fn what_the_registry_refuses_is_final() {
    let (url, script) =
        scripted(vec![refused(404, 40403), refused(401, 401), refused(403, 403), refused(422, 42201)]).await;
    let client = client(options(&url));
    assert!(matches!(client.by_id(1).await, Err(RegistryError::NotFound { .. })));
    assert!(matches!(client.by_id(2).await, Err(RegistryError::Denied { status: 401, .. })));
    assert!(matches!(client.by_id(3).await, Err(RegistryError::Denied { status: 403, .. })));
    assert!(matches!(client.by_id(4).await, Err(RegistryError::Refused { code: 42201, .. })));
    assert_eq!(script.paths().len(), 4);
}

#[tokio::test]
async fn a_wrong_url_is_no_unknown_schema() {
    let (url, _) =
        scripted(vec![Scripted(404, json!("<html>"), None), refused(404, 404), Scripted(200, json!({}), None)]).await;
    let client = client(options(&url));
    let no_registry = client.by_id(1).await.unwrap_err();
    assert!(matches!(no_registry, RegistryError::Refused { status: 404, .. }), "{no_registry}");
    assert!(no_registry.to_string().contains("/apis/ccompat/v7"), "{no_registry}");
    assert!(matches!(client.by_id(1).await, Err(RegistryError::Refused { status: 404, .. })));
    assert!(matches!(client.by_id(1).await, Err(RegistryError::Malformed { .. })));
}

/// As a registry answers for which a GUID is a path that is not there, with a body and without.
#[tokio::test]
async fn a_guid_is_unknown_to_a_registry_that_has_none() {
    let without = [Scripted(404, json!(""), None), refused(404, 404)];
    let guid = crate::key::Guid([7; 16]);
    for answer in without {
        let (url, script) = scripted(vec![answer.clone(), refused(404, 40403)]).await;
        let known = client(options(&url));
        for _ in 0..2 {
            assert!(matches!(known.by_guid(guid).await, Err(RegistryError::NotFound { .. })));
        }
        assert_eq!(script.paths(), [format!("/schemas/guids/{guid}"), "/schemas/ids/0".to_owned()]);
        // Where nothing is known of ids either there is no registry.
        let (url, _) = scripted(vec![answer.clone(), answer]).await;
        let wrong = client(options(&url));
        assert!(matches!(wrong.by_guid(guid).await, Err(RegistryError::Refused { status: 404, .. })));
    }
}

#[tokio::test]
async fn an_unknown_id_is_believed_for_a_while_only() {
    let (url, script) = scripted(vec![refused(404, 40403)]).await;
    let clock = Arc::new(ManualClock::at(0));
    let told: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let client = HttpRegistry::new(options(&url), told).unwrap();
    let key = crate::SchemaKey::Id(1);
    assert!(!client.has_answer(key), "it has to be asked for");
    for _ in 0..3 {
        assert!(matches!(client.by_id(1).await, Err(RegistryError::NotFound { .. })));
        assert!(client.has_answer(key));
    }
    assert_eq!(script.paths().len(), 1);
    clock.advance(5_000_001);
    assert!(!client.has_answer(key));
    assert!(client.by_id(1).await.is_ok());
    assert!(client.by_id(1).await.is_ok());
    assert_eq!(script.paths().len(), 2, "a schema that was found is never asked for again");
}

#[tokio::test]
async fn one_request_is_under_way_per_id() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (url, script) = start(Script { gate, ..Script::default() }).await;
    let client = Arc::new(client(options(&url)));
    let asks: Vec<_> = (0..20)
        .map(|i| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.by_id(i % 2).await })
        })
        .collect();
    script.gate.as_ref().unwrap().add_permits(20);
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    let mut paths = script.paths();
    paths.sort();
    assert_eq!(paths, ["/schemas/ids/0", "/schemas/ids/1"]);
}

#[tokio::test]
async fn an_asker_that_goes_away_leaves_the_question_to_the_next() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (url, script) = start(Script { gate, ..Script::default() }).await;
    let client = Arc::new(client(options(&url)));
    let first = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.by_id(1).await })
    };
    while script.paths().is_empty() {
        tokio::task::yield_now().await;
    }
    first.abort();
    script.gate.as_ref().unwrap().add_permits(2);
    assert!(client.by_id(1).await.is_ok());
}

#[tokio::test]
async fn a_registry_that_is_down_is_left_for_the_next_and_waited_for() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let (up, script) = scripted(vec![refused(500, 50001)]).await;
    let client = client(options(&format!("{down},{up}")));
    assert!(client.by_id(1).await.is_ok());
    assert_eq!(script.paths().len(), 2);
    assert!(client.by_id(2).await.is_ok(), "the one that answered is asked first");
    assert_eq!(script.paths().len(), 3);
}

#[tokio::test]
async fn waiting_ends_when_it_is_told_to() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let options = HttpOptions { give_up_after: Some(Duration::from_millis(20)), ..options(&down) };
    let error = client(options).by_id(1).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { attempts: 1.., .. }), "{error}");
    assert!(error.to_string().contains("schema id 1"), "{error}");
}

#[tokio::test]
async fn references_are_fetched_each_once() {
    let reference = |name: &str| json!([{ "name": name, "subject": name, "version": 2 }]);
    let answers = vec![
        Scripted(200, json!({ "schema": "\"a\"", "references": reference("a/b") }), None),
        Scripted(200, json!({ "schema": "\"b\"", "references": reference("c"), "schemaType": "AVRO" }), None),
        Scripted(200, json!({ "schema": "\"c\"" }), None),
        Scripted(200, json!({ "schema": "\"d\"", "references": reference("c") }), None),
    ];
    let (url, script) = scripted(answers).await;
    let client = client(options(&url));
    let found = client.by_id(1).await.unwrap();
    let order: Vec<&str> = found.references.iter().map(|r| r.schema.as_str()).collect();
    assert_eq!(order, ["\"c\"", "\"b\""], "each after what it refers to");
    assert_eq!(client.by_id(2).await.unwrap().references.len(), 1);
    let expected = ["/schemas/ids/1", "/subjects/a%2Fb/versions/2", "/subjects/c/versions/2", "/schemas/ids/2"];
    assert_eq!(script.paths(), expected);
}

#[tokio::test]
async fn a_version_is_pinned_with_its_id() {
    let answer = json!({ "schema": "\"long\"", "subject": "s", "version": 4, "id": 9 });
    let (url, script) = scripted(vec![Scripted(200, answer.clone(), None), Scripted(200, answer, None)]).await;
    let client = client(options(&url));
    let latest = client.latest("s").await.unwrap();
    assert_eq!((latest.subject.as_str(), latest.version, latest.id), ("s", 4, 9));
    assert_eq!(client.version("s", 4).await.unwrap(), latest);
    assert_eq!(script.paths(), ["/subjects/s/versions/latest", "/subjects/s/versions/4"]);
    let (url, _) = scripted(vec![Scripted(200, json!({ "schema": "{}", "schemaType": "JSON" }), None)]).await;
    let error = super::tests::client(options(&url)).by_id(1).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotAvro { .. }), "{error}");
}

#[tokio::test]
async fn requests_prove_who_sent_them_and_errors_do_not_tell() {
    let (url, script) = scripted(vec![refused(401, 401)]).await;
    let with_secret = url.replace("http://", "http://alice:hunter2@");
    let client = client(options(&with_secret));
    let error = client.by_id(1).await.unwrap_err();
    let shown = format!("{error} {error:?} {client:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("alice"), "{shown}");
    let sent = script.requests.lock().unwrap()[0].1[header::AUTHORIZATION].clone();
    assert_eq!(sent, "Basic YWxpY2U6aHVudGVyMg==");
}

#[tokio::test]
async fn a_key_in_a_url_is_sent_and_not_told() {
    let answers = vec![refused(401, 401), Scripted(404, json!("<html>"), None), Scripted(200, json!({}), None)];
    let (url, script) = scripted(answers).await;
    let known = client(options(&format!("{url}/base/?apikey=geheim1#geheim2")));
    let told = |error: RegistryError, name: &str| {
        let told = format!("{error} {error:?}");
        assert!(told.contains(name) && !told.contains("geheim"), "{told}");
        told
    };
    for _ in 0..3 {
        told(known.by_id(1).await.unwrap_err(), &format!("{url}/base"));
    }
    assert_eq!(script.paths(), ["/base/schemas/ids/1?apikey=geheim1"; 3]);
    assert!(!format!("{known:?}").contains("geheim"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let limit = Some(Duration::from_millis(20));
    let mut away = HttpOptions { give_up_after: limit, ..options(&format!("{down}/base?apikey=geheim1")) };
    told(client(away.clone()).by_id(1).await.unwrap_err(), &format!("{down}/base: "));
    // As where the path came by reference.
    away.call_by_hosts();
    let said = told(client(away).by_id(1).await.unwrap_err(), &format!("{down}: "));
    assert!(!said.contains("base"), "{said}");
}

#[tokio::test]
async fn credentials_go_to_their_own_url_alone() {
    let (first, of_first) = scripted(vec![refused(500, 50001)]).await;
    let (second, of_second) = scripted(Vec::new()).await;
    let urls = format!("{first},{}", second.replace("http://", "http://bob:pw@"));
    client(options(&urls)).by_id(1).await.unwrap();
    let sent = |script: &Script| script.requests.lock().unwrap()[0].1.get(header::AUTHORIZATION).cloned();
    assert_eq!(sent(&of_first), None);
    assert_eq!(sent(&of_second).unwrap(), "Basic Ym9iOnB3");
}

#[tokio::test]
async fn an_answer_nested_without_end_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|| async { format!("{{\"schema\":{}", "[".repeat(1 << 20)) });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let refused = client(options(&url)).by_id(7).await.unwrap_err().to_string();
    assert!(refused.contains("schema id 7"), "{refused}");
}
