//! A registry that gives arbitrary answers: as bytes of HTTP, or as a status and a body.
//!
//! Input: a byte whose lowest bits choose the question, and whose highest bit says that an answer is a line with the status, then the body;
//! then the answers, separated by zero bytes. The last answer is repeated.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sluicebox_core::SystemClock;
use sluicebox_core::shown::acts;
use sluicebox_formats::source_columns;
use sluicebox_registry::{
    Guid, HttpOptions, HttpRegistry, PinnedSchema, Registry, RegistryError, SchemaCache, SchemaKey, SchemaText,
};

use crate::input::{array, folder, wait};

/// A registry that does not answer is given up so soon.
const GIVES_UP: Duration = Duration::from_millis(20);
/// Whatever it answers, it is known by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters that are said of an answer at most.
const LONGEST: usize = 2_000;

type Answers = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A client, and what it is going to be told. One for all inputs: to make a client reads all certificates of the machine.
struct Liar {
    client: HttpRegistry,
    answers: Answers,
    /// So that nothing is asked for twice: what was answered once is kept.
    asked: AtomicI32,
}

fn liar() -> &'static Liar {
    static LIAR: OnceLock<Liar> = OnceLock::new();
    LIAR.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers::default();
        let next = Arc::clone(&answers);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &next)));
        let quick = Duration::from_millis(1);
        let options = HttpOptions {
            first_backoff: quick,
            max_backoff: quick,
            give_up_after: Some(GIVES_UP),
            unknown_for: Duration::ZERO,
            ..HttpOptions::new(&url).unwrap()
        };
        let client = wait(async { HttpRegistry::new(options, Arc::new(SystemClock::new())) }).unwrap();
        Liar { client, answers, asked: AtomicI32::new(1) }
    })
}

/// Answers one request. A client that goes away meanwhile is no fault of ours.
fn serve(mut stream: TcpStream, answers: &Mutex<VecDeque<Vec<u8>>>) {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let answer = {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    };
    let _ = stream.write_all(&answer.unwrap_or_default());
}

/// An answer of HTTP, of a line with the status and the body behind it.
fn with_status(answer: &[u8]) -> Vec<u8> {
    let end = answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len());
    let (status, body) = (&answer[..end], answer.get(end + 1..).unwrap_or_default());
    let length = format!("\r\ncontent-length: {}\r\n\r\n", body.len());
    [b"HTTP/1.1 ", status, length.as_bytes(), body].concat()
}

/// A schema is kept as it was said.
fn keep(key: SchemaKey, text: &SchemaText) {
    let dir = folder();
    let cache = SchemaCache::open(dir.path()).unwrap();
    cache.put(key, text).unwrap();
    assert_eq!(cache.get(key).unwrap().as_ref(), Some(text), "what is read is what was written");
}

/// A reader schema is the one that was asked for, and columns are made of it or it is refused.
fn columns(asked: &str, pinned: &PinnedSchema) {
    assert_eq!(pinned.subject, asked);
    drop(source_columns("s", pinned));
}

pub(crate) fn run(mut input: &[u8]) {
    let [what] = array(&mut input);
    // Whoever is sent on asks the machine that is named, and that may be anyone's.
    if input.to_ascii_lowercase().windows(9).any(|part| part == b"location:") {
        return;
    }
    let answer = |answer: &[u8]| if what & 0x80 == 0 { answer.to_vec() } else { with_status(answer) };
    let Liar { client, answers, asked } = liar();
    *answers.lock().unwrap() = input.split(|byte| *byte == 0).map(answer).collect();
    let number = asked.fetch_add(1, Ordering::Relaxed);
    let subject = format!("s{number}");
    let said = wait(async {
        let asked = async {
            match what & 7 {
                0 => client.by_id(number).await.map(|text| keep(SchemaKey::Id(number), &text)),
                1 => {
                    let guid = Guid(i128::from(number).to_be_bytes());
                    client.by_guid(guid).await.map(|text| keep(SchemaKey::Guid(guid), &text))
                }
                2 => client.latest(&subject).await.map(|pinned| columns(&subject, &pinned)),
                3 => client.version(&subject, 1).await.map(|pinned| columns(&subject, &pinned)),
                _ => client.subjects().await.map(drop),
            }
        };
        tokio::time::timeout(PATIENCE, asked).await
    });
    let said: Result<(), RegistryError> = said.expect("an answer, or none, in time");
    if let Err(error) = said {
        let text = error.to_string();
        assert!(!text.contains(acts), "{text:?}");
        assert!(text.chars().count() < LONGEST, "{text}");
    }
}
