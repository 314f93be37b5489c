//! `sluicebox registry` as a shell and its clients see it. What every server keeps is tried in crates/serve.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

fn registry(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
    command.arg("registry").args(args).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::piped());
    for name in ["SLUICEBOX_REGISTRY_TOKEN", "SLUICEBOX_LOG", "SLUICEBOX_LOG_FORMAT"] {
        command.env_remove(name);
    }
    command
}

/// What a call that is refused says. Nothing is made by it.
fn refused(dir: &Path, command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!dir.join("data").exists(), "{said}");
    said
}

#[test]
fn other_machines_are_let_in_with_a_token_alone() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let said = refused(dir.path(), &mut registry(dir.path(), &["--listen", address]));
        assert!(said.contains(address) && said.contains("--token-file") && said.contains("127.0.0.1"), "{said}");
    }
    // A variable that is empty is no token.
    let mut blank = registry(dir.path(), &["--listen", "0.0.0.0:0"]);
    refused(dir.path(), blank.env("SLUICEBOX_REGISTRY_TOKEN", " "));
    std::fs::write(dir.path().join("two"), "s3cret w0rds\n").unwrap();
    let said = refused(dir.path(), &mut registry(dir.path(), &["--token-file", "two"]));
    assert!(said.contains("--token-file two") && !said.contains("s3cret"), "{said}");
    let said = refused(dir.path(), &mut registry(dir.path(), &["--token-file", "none"]));
    assert!(said.contains("--token-file none cannot be read"), "{said}");
    let said = refused(dir.path(), &mut registry(dir.path(), &["--listen", "8081"]));
    assert!(said.contains("'8081'") && said.contains("HOST:PORT"), "{said}");
}

/// A registry that runs; killed with this.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let port = line.split(" over ").next().and_then(|head| head.rsplit(':').next()?.parse().ok());
        Self { child, said, port: port.unwrap_or_else(|| unreachable!("{line}")) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// The answer to a GET of the subjects, with these headers.
    fn subjects(&self, headers: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(format!("GET /subjects HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

#[test]
fn a_token_is_asked_for_and_said_to_go_over_plain_http() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let args = ["--listen", "0.0.0.0:0", "--token-file", "token", "--host", "lake.example"];
    let mut server = Running::start(&mut registry(dir.path(), &args));
    let warning = server.line();
    assert!(warning.contains("warning: other machines may reach 0.0.0.0:"), "{warning}");
    assert!(warning.contains("TLS") && !warning.contains("s3cret"), "{warning}");
    let token = "Authorization: Bearer s3cret\r\n";
    assert!(server.subjects("Host: localhost\r\n").starts_with("HTTP/1.1 401 "));
    assert!(server.subjects(&format!("Host: lake.example\r\n{token}")).starts_with("HTTP/1.1 200 "));
    let foreign = server.subjects(&format!("Host: evil.example\r\n{token}"));
    assert!(foreign.starts_with("HTTP/1.1 421 ") && foreign.contains(r#""error_code":421"#), "{foreign}");
    drop(server);

    let mut command = registry(dir.path(), &["--listen", "127.0.0.1:0"]);
    let server = Running::start(command.env("SLUICEBOX_REGISTRY_TOKEN", "0ther"));
    assert!(server.subjects("Host: localhost\r\n").starts_with("HTTP/1.1 401 "));
    assert!(server.subjects("Host: localhost\r\nAuthorization: Bearer 0ther\r\n").starts_with("HTTP/1.1 200 "));
}

/// Sends half a request, and waits until the server asks for the other half.
fn half(server: &Running) -> TcpStream {
    let mut stream = server.connect();
    let head = "POST /subjects/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    stream
}

#[test]
fn the_second_signal_ends_it_whoever_hangs_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(&mut registry(dir.path(), &["--listen", "127.0.0.1:0"]));
    let client = half(&server);
    server.signal("-INT");
    let said = server.line();
    assert!(said.contains("stopping after the requests under way; press Ctrl-C again to stop now"), "{said}");
    server.signal("-INT");
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
    drop(client);
}

#[test]
fn the_first_signal_ends_it_when_nobody_asks() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(&mut registry(dir.path(), &["--listen", "127.0.0.1:0"]));
    let idle = server.connect();
    server.signal("-TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    drop(idle);
}
