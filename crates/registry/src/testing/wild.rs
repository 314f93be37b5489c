//! A server in place of a registry, which does to each connection what the test says.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_core::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{HttpOptions, HttpRegistry};

/// The body of an answer that is a schema: of a long.
pub const GOOD: &str = r#"{"schema":"\"long\""}"#;

/// What a connection gets after its request.
#[derive(Debug, Clone)]
pub enum Act {
    /// These bytes, then the connection is closed.
    Say(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Hang,
    /// The connection is closed at once.
    Close,
    /// An answer without an end.
    Flood,
}

/// An answer of `status` with `body`.
#[must_use]
pub fn answer(status: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// The answer [`GOOD`].
#[must_use]
pub fn good() -> Act {
    answer("200 OK", GOOD)
}

/// A registry that does `acts` to one connection after the other, and the last one to all that follow.
#[derive(Debug)]
pub struct Wild {
    /// Where it listens.
    pub url: String,
    connections: Arc<AtomicUsize>,
}

impl Wild {
    /// Begins to listen, on a port that is free.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::disallowed_methods, reason = "it listens for as long as the test goes on")]
    pub async fn start(acts: Vec<Act>) -> Self {
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

    /// A client of it, which waits for next to nothing.
    ///
    /// # Panics
    /// When there can be none.
    #[must_use]
    pub fn registry(&self) -> HttpRegistry {
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

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
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
