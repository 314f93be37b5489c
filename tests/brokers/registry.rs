//! A registry that makes trouble.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::IDS;
use crate::support::text;

/// What the registry does to a request instead of answering it.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    Status(u16),
    /// The same for a writer's schema, not for the reader's.
    OfSchemas(u16),
    TooMany,
    Reset,
    Torn,
}

type Troubles = Arc<Mutex<VecDeque<Trouble>>>;

/// A registry with one schema under several ids; it makes trouble first.
pub struct Registry {
    pub url: String,
    pub troubles: Troubles,
    /// Paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (troubles, asked) = (Troubles::default(), Arc::<Mutex<Vec<String>>>::default());
        let registry = Self { url, troubles: Arc::clone(&troubles), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (troubles, asked) = (Arc::clone(&troubles), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream.unwrap(), &troubles, &asked));
            }
        });
        registry
    }

    pub fn make(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.troubles.lock().unwrap().extend(troubles);
    }

    /// How many questions there were.
    pub fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Answers one request. A client that goes away in the middle is no fault of the test.
fn serve(mut stream: TcpStream, troubles: &Troubles, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if !stream.read(&mut byte).is_ok_and(|n| n == 1) {
            return;
        }
        request.push(byte[0]);
    }
    let path = text(&request).split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(path.clone());
    let schema = r#""{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"}]}""#;
    let found = if path.starts_with("/subjects/") {
        Some(format!(r#"{{"subject":"t-value","version":1,"id":1,"schema":{schema}}}"#))
    } else {
        IDS.iter().any(|id| path == format!("/schemas/ids/{id}")).then(|| format!(r#"{{"schema":{schema}}}"#))
    };
    let mut troubles = troubles.lock().unwrap();
    // Trouble with schemas alone waits until one is asked for.
    let trouble = match troubles.front() {
        Some(Trouble::OfSchemas(_)) if path.starts_with("/subjects/") => None,
        _ => troubles.pop_front(),
    };
    drop(troubles);
    let (status, more, body) = match (trouble, found) {
        (Some(Trouble::Reset), _) => return,
        (Some(Trouble::Torn), _) => (200, "content-length: 4000\r\n".to_owned(), "{\"schema\":\"".to_owned()),
        (Some(Trouble::TooMany), _) => (429, "retry-after: 1\r\n".to_owned(), String::new()),
        (Some(Trouble::Status(status) | Trouble::OfSchemas(status)), _) => (status, String::new(), "<html>".to_owned()),
        (None, Some(body)) => (200, String::new(), body),
        (None, None) => (404, String::new(), r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
    };
    let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{more}\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
}
