//! The suite over a server that does next to nothing, and what an application can do to its server.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "a server runs beside who asks it")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sluicebox_serve::conformance::{Tried, all};
use sluicebox_serve::{Rule, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, message.to_owned()).into_response()
}

#[tokio::test]
async fn a_server_that_does_next_to_nothing() {
    let app = Router::new().route("/", get(|| async { "here" })).route("/", post(|body: Bytes| async move { body }));
    all(&Tried { app, refuse, get: "/", post: ("/", "{}") }).await;
}

/// Sends a GET of `path`.
async fn asking(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

async fn answer(address: SocketAddr, path: &str) -> String {
    let mut heard = String::new();
    // A connection that breaks off has said what it has said.
    let _ = timeout(LONG, asking(address, path).await.read_to_string(&mut heard)).await.unwrap();
    heard
}

#[tokio::test]
async fn an_application_that_panics_or_hangs_costs_its_request() {
    let app = Router::new()
        .route("/panics", get(|| async { String::from_utf8(vec![0xff]).unwrap() }))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/", get(|| async { "here" }));
    let rule = Rule { answer: Duration::from_millis(500), ..Rule::new(refuse) };
    let server = Server::open("127.0.0.1:0", rule).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run(app, std::future::pending()));
    assert_eq!(answer(address, "/panics").await, "");
    let late = answer(address, "/hangs").await;
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("takes too long"), "{late}");
    assert!(answer(address, "/").await.ends_with("here"));
}

/// Whatever the age of its connection.
#[tokio::test]
async fn who_does_not_read_its_answer_has_to_leave_its_place() {
    let app =
        Router::new().route("/large", get(|| async { vec![0_u8; 16 << 20] })).route("/", get(|| async { "here" }));
    let rule = Rule { answer: Duration::from_millis(500), age: 10 * LONG, connections: 1, ..Rule::new(refuse) };
    let server = Server::open("127.0.0.1:0", rule).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run(app, std::future::pending()));
    let _reads_nothing = asking(address, "/large").await;
    let served = async { while !answer(address, "/").await.ends_with("here") {} };
    timeout(LONG, served).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_reads_holds_nothing_up() {
    let app = Router::new().route("/", get(|| async { vec![0_u8; 16 << 20] }));
    let rule = Rule { answer: Duration::from_millis(500), grace: 10 * LONG, ..Rule::new(refuse) };
    let server = Server::open("127.0.0.1:0", rule).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(server.run(app, async move { stopped.await.unwrap_or_default() }));
    let mut client = asking(address, "/").await;
    let mut first = [0; 12];
    timeout(LONG, client.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stop.send(()).unwrap();
    timeout(LONG, done).await.unwrap().unwrap();
}
