//! A Kafka cluster of librdkafka's, a registry of a few lines, and a folder to run in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::json;

use crate::support::{Workspace, text};

/// One field `n`, a long.
pub const N: &str = r#"{"type":"record","name":"E","fields":[{"name":"n","type":"long"}]}"#;
/// A second one, with a default.
pub const N_AND_DISCOUNT: &str = r#"{"type":"record","name":"E","fields":[{"name":"n","type":"long"},
    {"name":"discount","type":"double","default":0}]}"#;

/// A schema: its subject and type; its id is its place, from 1.
#[derive(Clone)]
struct Registered {
    subject: String,
    kind: &'static str,
    schema: String,
}

/// A registry that knows what it is told.
#[derive(Clone)]
pub struct Registry {
    pub url: String,
    schemas: Arc<Mutex<Vec<Registered>>>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = Self { url, schemas: Arc::default() };
        let served = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = served.clone();
                std::thread::spawn(move || served.serve(stream.unwrap()));
            }
        });
        registry
    }

    /// Registers a schema; gives its id.
    pub fn register(&self, subject: &str, kind: &'static str, schema: &str) -> i32 {
        let mut schemas = self.schemas.lock().unwrap();
        schemas.push(Registered { subject: subject.to_owned(), kind, schema: schema.to_owned() });
        i32::try_from(schemas.len()).unwrap()
    }

    fn answer(&self, path: &str) -> Option<serde_json::Value> {
        let schemas = self.schemas.lock().unwrap();
        let one = |id: usize| {
            let found = schemas.get(id - 1)?;
            let version = schemas[..id].iter().filter(|s| s.subject == found.subject).count();
            Some(
                json!({"subject": found.subject, "version": version, "id": id, "schemaType": found.kind, "schema": found.schema}),
            )
        };
        match path.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["subjects"] => {
                let mut names: Vec<&str> = schemas.iter().map(|s| s.subject.as_str()).collect();
                names.dedup();
                Some(json!(names))
            }
            ["schemas", "ids", id] => one(id.parse().ok().filter(|id| *id > 0)?),
            ["subjects", subject, "versions", "latest"] => {
                let subject = subject.replace("%2E", ".").replace("%2D", "-").replace("%5F", "_");
                one(schemas.iter().rposition(|s| s.subject == subject)? + 1)
            }
            _ => None,
        }
    }

    /// Answers one request. A client that goes away in the middle is no fault of the test.
    fn serve(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            if !stream.read(&mut byte).is_ok_and(|n| n == 1) {
                return;
            }
            request.push(byte[0]);
        }
        let path = text(&request).split(' ').nth(1).unwrap().to_owned();
        let (status, body) = match self.answer(&path) {
            Some(found) => (200, found.to_string()),
            None => (404, r#"{"error_code":40401,"message":"not found"}"#.to_owned()),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// A cluster, a registry and a folder to run in.
pub struct Bench {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    pub registry: Registry,
    pub job: Workspace,
}

impl Bench {
    /// With the topic `t` of one partition, whose subject has the schema [`N`] under id 1.
    pub fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let mut client = ClientConfig::new();
        let producer = client.set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        let bench = Self { cluster, producer, registry: Registry::start(), job: Workspace::new() };
        std::fs::remove_dir_all(bench.job.path().join("sql")).unwrap();
        bench.topic("t");
        bench.registry.register("t-value", "AVRO", N);
        bench
    }

    pub fn topic(&self, name: &str) {
        self.cluster.create_topic(name, 1, 1).unwrap();
    }

    /// A pipeline of one table over a source with these options beside the topic.
    pub fn pipeline(&self, options: &str) {
        self.sql(&format!("'subscribe' = 't'{options}"));
    }

    /// The same with all of its options.
    pub fn sql(&self, options: &str) {
        let text = format!(
            "CREATE TABLE events USING kafka OPTIONS ({options});\nCREATE STREAMING TABLE bronze_t AS SELECT * FROM STREAM events;\n"
        );
        self.job.write("p.sql", &text);
    }

    pub fn send(&self, topic: &str, value: &[u8], headers: &[(&str, &[u8])]) {
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            all = all.insert(Header { key, value: Some(*value) });
        }
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(value).headers(all);
        self.producer.send(record).unwrap();
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Events of `n` with the schema `id`, each with `tail` after it.
    pub fn events(&self, id: i32, numbers: std::ops::Range<i64>, tail: &[u8]) {
        for n in numbers {
            let mut body = vec![0];
            body.extend(id.to_be_bytes());
            body.extend(zigzag(n));
            body.extend(tail);
            let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).payload(&body);
            self.producer.send(record).unwrap();
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// An event of `n` with the schema 1, whose key is framed with the schema `key_id`.
    pub fn keyed(&self, n: i64, key_id: i32, key: &[u8]) {
        let key = [&[0][..], &key_id.to_be_bytes(), key].concat();
        let body = [vec![0, 0, 0, 0, 1], zigzag(n)].concat();
        self.producer.send(BaseRecord::<[u8], [u8]>::to("t").partition(0).key(&key).payload(&body)).unwrap();
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Events without a value.
    pub fn tombstones(&self, count: usize) {
        for _ in 0..count {
            self.producer.send(BaseRecord::<[u8], [u8]>::to("t").partition(0).key(b"gone")).unwrap();
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Events of `n` with the schema 1, each with a key of a kilobyte.
    pub fn large_events(&self, numbers: std::ops::Range<i64>) {
        for n in numbers {
            let body = [vec![0, 0, 0, 0, 1], zigzag(n)].concat();
            let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).key(&[7; 1024]).payload(&body);
            self.producer.send(record).unwrap();
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// The binary with the brokers and the registry in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.job.command(args);
        command.env("KAFKA_BOOTSTRAP_SERVERS", self.cluster.bootstrap_servers());
        command.env("SCHEMA_REGISTRY_URL", &self.registry.url);
        command
    }

    /// The same, run to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Reads what is there, which must end with `code`; gives what was said.
    pub fn ends(&self, code: i32, more: &[&str]) -> String {
        let args = [&["run", "p.sql", "--trigger", "available-now"], more].concat();
        let output = self.run(&args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// Plans, which must end with `code`; gives what was said, on both ways.
    pub fn plans(&self, code: i32, more: &[&str]) -> String {
        let output = self.run(&[&["plan", "p.sql"], more].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// That nothing is there but the pipeline.
    pub fn nothing_is_left(&self, when: &str) {
        let left: Vec<_> = std::fs::read_dir(self.job.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["p.sql"], "{when}");
    }
}

/// A long in Avro.
pub fn zigzag(n: i64) -> Vec<u8> {
    let mut rest = ((n << 1) ^ (n >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
