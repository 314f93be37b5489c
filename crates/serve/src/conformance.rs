//! The suite that every server must pass, over a socket: see [`all`].
//!
//! The time limits that cut off bad clients are short here. Those that well-behaved clients need are long, so that a slow machine fails no
//! test. Only clients that send byte by byte wait for time to pass, since that is their fault.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::{Refuse, Rule, Server, Token};

/// A server to be tried.
#[derive(Debug, Clone)]
pub struct Tried {
    /// What is served.
    pub app: Router,
    /// How it refuses.
    pub refuse: Refuse,
    /// A path that answers a GET with 200.
    pub get: &'static str,
    /// A path that answers a POST of this body with 200, any number of times.
    pub post: (&'static str, &'static str),
}

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);
/// After this a client is cut off.
const SHORT: Duration = Duration::from_millis(100);

/// Runs the suite on `tried`.
///
/// # Panics
/// When the server breaks a rule, with what it did instead.
pub async fn all(tried: &Tried) {
    silent_clients_are_left(tried).await;
    dripping_clients_are_left(tried).await;
    clients_that_never_read_are_left(tried).await;
    those_who_are_refused_are_left(tried).await;
    who_has_said_all_is_answered(tried).await;
    heads_and_bodies_have_a_size(tried).await;
    a_full_house_says_so(tried).await;
    requests_are_for_this_host_and_from_no_other_page(tried).await;
    only_json_is_taken(tried).await;
    a_token_is_asked_for(tried).await;
    what_is_under_way_is_answered_before_the_end(tried).await;
    nobody_holds_up_the_end(tried).await;
}

async fn silent_clients_are_left(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.head = SHORT).await;
    for sent in ["", "G", "GET / HTTP/1.1\r\nHost: local"] {
        assert_eq!(server.ask(sent).await, "", "the server had no request but '{sent}'");
    }
    // A head that is complete has to be there in time, too: longer, for slow machines.
    let server = Running::start(tried, |rule| rule.head = Duration::from_secs(2)).await;
    let answer = server.ask(&tried.read("Host: localhost\r\n")).await;
    assert_eq!(status(&answer), 200, "and then the connection was idle: {answer}");
    let server = Running::start(tried, |rule| rule.body = SHORT).await;
    let answer = server.ask(&tried.write_head("Content-Length: 100\r\n")).await;
    refused(tried, 408, &answer);
    let answer = server.ask(&(tried.write_head("Content-Length: 100\r\n") + "{")).await;
    refused(tried, 408, &answer);
    let answer = server.ask(&(tried.write_head("Transfer-Encoding: chunked\r\n") + "1\r\n{\r\n")).await;
    refused(tried, 408, &answer);
}

async fn dripping_clients_are_left(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.head = SHORT).await;
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nx: ").await.unwrap();
    assert_eq!(drip(client).await, "", "a head that never ends");
    let server = Running::start(tried, |rule| rule.body = SHORT).await;
    let mut client = server.connect().await;
    client.write_all(tried.write_head("Content-Length: 10000\r\n").as_bytes()).await.unwrap();
    refused(tried, 408, &drip(client).await);
}

/// Sends a byte every ten milliseconds until the server ends the connection; gives what that said.
async fn drip(mut client: TcpStream) -> String {
    let (read, mut write) = client.split();
    let mut heard = pin!(rest(read));
    let mut pace = interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            heard = &mut heard => return heard,
            _ = pace.tick() => {
                // That the server has left is seen by reading.
                let _ = write.write_all(b"x").await;
            }
        }
    }
}

async fn clients_that_never_read_are_left(tried: &Tried) {
    let server = Running::start(tried, |rule| (rule.age, rule.answer) = (SHORT, SHORT)).await;
    let mut client = server.connect().await;
    let many = tried.read("Host: localhost\r\n").repeat(1000);
    let sent = async { while client.write_all(many.as_bytes()).await.is_ok() {} };
    within("end a connection whose client asks on and on, and reads nothing", sent).await;
}

/// Who is refused has no place to keep.
async fn those_who_are_refused_are_left(tried: &Tried) {
    let server = Running::start(tried, |rule| (rule.connections, rule.token) = (1, Token::new("t0ken"))).await;
    let mut client = server.connect().await;
    let many = tried.read("Host: localhost\r\n").repeat(1000);
    let sent = async { while client.write_all(many.as_bytes()).await.is_ok() {} };
    let left = timeout(LONG / 2, sent).await;
    assert!(left.is_ok(), "the server keeps a client that is refused on and on, and reads nothing");
    let request = tried.read("Host: localhost\r\nAuthorization: Bearer t0ken\r\nConnection: close\r\n");
    let served = async { while status(&server.ask(&request).await) != 200 {} };
    within("serve the next client beside one that does not read why it is refused", served).await;
}

async fn who_has_said_all_is_answered(tried: &Tried) {
    let server = Running::start(tried, |_| {}).await;
    let mut client = server.connect().await;
    client.write_all(tried.read("Host: localhost\r\n").as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let answer = rest(client).await;
    assert_eq!(status(&answer), 200, "a request whose sender half-closes: {answer}");
}

async fn heads_and_bodies_have_a_size(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.body_bytes = 1000).await;
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}", "x".repeat(64 << 10));
    assert_eq!(status(&server.ask(&head).await), 431);
    // What is told beforehand is refused beforehand.
    let told = tried.write_head("Content-Length: 1001\r\n");
    refused(tried, 413, &server.ask(&told).await);
    let counted = format!("{}3e9\r\n{}", tried.write_head("Transfer-Encoding: chunked\r\n"), "x".repeat(1001));
    refused(tried, 413, &server.ask(&counted).await);
}

async fn a_full_house_says_so(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.connections = 2).await;
    let held = [server.connect().await, server.connect().await];
    let answer = server.ask("").await;
    assert_eq!(status(&answer), 503, "the third of two connections: {answer}");
    drop(held);
    let request = tried.read("Host: localhost\r\nConnection: close\r\n");
    let served = async { while status(&server.ask(&request).await) != 200 {} };
    within("serve the next client when others have left", served).await;
}

async fn requests_are_for_this_host_and_from_no_other_page(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.hosts = vec!["lake.example".to_owned()]).await;
    let port = server.address.port();
    for (headers, expected) in [
        (format!("Host: 127.0.0.1:{port}\r\n"), 200),
        (format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"), 200),
        ("Host: lake.example\r\n".to_owned(), 200),
        (String::new(), 400),
        (format!("Host: evil.example:{port}\r\n"), 421),
        (format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n"), 421),
        (format!("Host: localhost:{port}\r\nOrigin: http://evil.example:{port}\r\n"), 403),
        (format!("Host: localhost:{port}\r\nOrigin: null\r\n"), 403),
    ] {
        let answer = server.ask(&tried.read(&format!("{headers}Connection: close\r\n"))).await;
        if expected == 200 {
            assert_eq!(status(&answer), 200, "{headers}{answer}");
        } else {
            refused(tried, expected, &answer);
        }
    }
}

async fn only_json_is_taken(tried: &Tried) {
    let server = Running::start(tried, |_| {}).await;
    let (path, body) = tried.post;
    for (kind, expected) in [
        ("Content-Type: application/json\r\n", 200),
        ("Content-Type: application/vnd.any.v1+json; charset=utf-8\r\n", 200),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: multipart/form-data; boundary=x\r\n", 415),
        ("", 415),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}");
        let answer = server.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        if expected == 200 {
            assert_eq!(status(&answer), 200, "{kind}{answer}");
        } else {
            refused(tried, expected, &answer);
        }
    }
}

async fn a_token_is_asked_for(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.token = Token::new("t0ken")).await;
    for (authorization, expected) in [
        ("Authorization: Bearer t0ken\r\n".to_owned(), 200),
        (format!("Authorization: Basic {}\r\n", STANDARD.encode("anyone:t0ken")), 200),
        (format!("Authorization: Basic {}\r\n", STANDARD.encode("t0ken:anything")), 401),
        ("Authorization: Bearer token\r\n".to_owned(), 401),
        (String::new(), 401),
    ] {
        let request = tried.read(&format!("Host: localhost\r\nConnection: close\r\n{authorization}"));
        let answer = server.ask(&request).await;
        if expected == 200 {
            assert_eq!(status(&answer), 200, "{authorization}{answer}");
        } else {
            refused(tried, expected, &answer);
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        }
    }
}

/// Sends all of a POST but its body, and waits until the server asks for that: the request is under way.
async fn under_way(server: &Running, tried: &Tried) -> TcpStream {
    let mut client = server.connect().await;
    let head = tried.write_head(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", tried.post.1.len()));
    client.write_all(head.as_bytes()).await.unwrap();
    let mut heard = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    within("ask for the body", client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(status(&String::from_utf8_lossy(&heard)), 100);
    client
}

async fn what_is_under_way_is_answered_before_the_end(tried: &Tried) {
    let server = Running::start(tried, |_| {}).await;
    let mut client = under_way(&server, tried).await;
    let idle = server.connect().await;
    let address = server.address;
    server.stop.send(()).unwrap();
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    within("take no more connections", closed).await;
    client.write_all(tried.post.1.as_bytes()).await.unwrap();
    let answer = rest(client).await;
    assert_eq!(status(&answer), 200, "{answer}");
    within("end when all is answered", server.done).await.unwrap();
    assert_eq!(rest(idle).await, "");
}

async fn nobody_holds_up_the_end(tried: &Tried) {
    let server = Running::start(tried, |rule| rule.grace = SHORT).await;
    let client = under_way(&server, tried).await;
    server.stop.send(()).unwrap();
    within("end though a client holds half a request", server.done).await.unwrap();
    assert_eq!(rest(client).await, "");
}

/// A server that runs, until this is dropped.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Running {
    /// Starts it with a rule that cuts nobody off but for what `change` sets.
    #[expect(clippy::disallowed_methods, reason = "a server runs beside who asks it, until it is stopped")]
    async fn start(tried: &Tried, change: impl FnOnce(&mut Rule)) -> Self {
        let mut rule = Rule { head: LONG, body: LONG, answer: LONG, age: LONG, grace: LONG, ..Rule::new(tried.refuse) };
        change(&mut rule);
        let server = Server::open("127.0.0.1:0", rule).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let running = server.run(tried.app.clone(), async move { stopped.await.unwrap_or_default() });
        Self { address, stop, done: tokio::spawn(running) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` on a connection of its own; gives all that comes until the server closes it.
    async fn ask(&self, request: &str) -> String {
        let mut client = self.connect().await;
        // A server that has heard enough may close before all is sent.
        let _ = client.write_all(request.as_bytes()).await;
        rest(client).await
    }
}

impl Tried {
    /// A GET with these headers, each with its line break.
    fn read(&self, headers: &str) -> String {
        format!("GET {} HTTP/1.1\r\n{headers}\r\n", self.get)
    }

    /// The head of a POST with these headers, each with its line break.
    fn write_head(&self, headers: &str) -> String {
        let path = self.post.0;
        let own = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        format!("POST {path} HTTP/1.1\r\n{own}{headers}\r\n")
    }
}

/// All that comes until the server closes the connection, in whichever way.
async fn rest(mut client: impl AsyncRead + Unpin) -> String {
    let mut heard = Vec::new();
    // What came before an error stays.
    let _ = within("close the connection", client.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(LONG, work).await {
        Ok(done) => done,
        Err(_) => panic!("the server did not {what} within {} s", LONG.as_secs()),
    }
}

/// The status of an answer, 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// Fails unless `answer` has this status, and the form in which the server refuses.
fn refused(tried: &Tried, expected: u16, answer: &str) {
    assert_eq!(status(answer), expected, "{answer}");
    let form = (tried.refuse)(StatusCode::from_u16(expected).unwrap(), "");
    let kind = form.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(answer.contains(&format!("content-type: {kind}\r\n")), "not in the form of the server: {answer}");
}
