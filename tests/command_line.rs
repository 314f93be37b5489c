//! The command line as a shell sees it: what it prints, where, and with which exit code.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PIPELINE: &str = "\
CREATE TABLE sales USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE bronze_sales AS SELECT event_id, amount FROM STREAM sales;
";

fn sluicebox(dir: &Path, args: &[&str]) -> Command {
    // A test that is run by `nohup` would hand that on, and a closed terminal would be none of the run's business.
    sluicebox_by("--default-signal=HUP", dir, args)
}

/// The same, with what `env` does about SIGHUP.
fn sluicebox_by(hangup: &str, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args([hangup, env!("CARGO_BIN_EXE_sluicebox")]);
    command.current_dir(dir).args(args).stdin(Stdio::null());
    for name in ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "SLUICEBOX_LOG", "SLUICEBOX_LOG_FORMAT", "NO_COLOR"]
    {
        command.env_remove(name);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), text(&stdout), text(&stderr))
}

/// A folder with a pipeline and a hundred events.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.sql"), PIPELINE).unwrap();
    let made = run(&mut sluicebox(dir.path(), &["produce", "sales", "--events", "100", "--malformed", "0"]));
    assert_eq!(made.0, Some(0), "{}", made.2);
    dir
}

#[test]
fn lines_of_progress_that_cannot_be_written_cost_no_row_and_are_told_at_the_end() {
    let dir = folder();
    let available_now = ["run", "p.sql", "--trigger", "available-now", "--progress", "json"];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (status, _, said) = run(sluicebox(dir.path(), &available_now).stdout(full));
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(said.matches("the run goes on").count(), 1, "{said}");
    assert!(said.contains("the line of batch 0 could not be written to stdout"), "{said}");
    let rows = run(&mut sluicebox(dir.path(), &["query", "SELECT count(*) AS n FROM bronze.sales", "--format", "csv"]));
    assert_eq!(rows.1, "n\n100\n", "{}", rows.2);
    // Nothing is left to be read, so no line is missing.
    let (status, _, said) = run(&mut sluicebox(dir.path(), &available_now));
    assert_eq!(status, Some(0), "{said}");
    // A reader that has gone away wants no line.
    let more = run(&mut sluicebox(dir.path(), &["produce", "sales", "--events", "10", "--malformed", "0"]));
    assert_eq!(more.0, Some(0), "{}", more.2);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (status, _, said) = run(sluicebox(dir.path(), &available_now).stdout(writer));
    assert_eq!((status, said.contains("stdout")), (Some(0), false), "{said}");
}

#[test]
fn version_says_with_what_it_was_built() {
    let dir = tempfile::tempdir().unwrap();
    let (status, out, _) = run(&mut sluicebox(dir.path(), &["version"]));
    assert_eq!(status, Some(0));
    for what in ["sluicebox ", "datafusion ", "arrow ", "librdkafka ", "openssl "] {
        assert!(out.contains(what), "{out}");
    }
    assert!(out.lines().any(|line| line.starts_with("openssl ") && line.split('.').count() == 3), "{out}");
    assert_eq!(run(&mut sluicebox(dir.path(), &["--version"])).1, out, "both say the same");
    let (_, json, _) = run(&mut sluicebox(dir.path(), &["version", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["datafusion"].as_str().is_some_and(|version| version.contains('.')), "{json}");
}

/// That none is missing is compared by scripts/supply.sh, which has the sources of the crates.
#[test]
fn licences_of_others_are_printed_of_the_versions_that_are_built() {
    let dir = tempfile::tempdir().unwrap();
    let (status, out, err) = run(&mut sluicebox(dir.path(), &["version", "--licences"]));
    assert_eq!((status, err.as_str()), (Some(0), ""));
    for what in ["librdkafka", "OpenSSL", "jemalloc", "Zstandard", "END OF TERMS AND CONDITIONS"] {
        assert!(out.contains(what), "{what}");
    }
    let lock = include_str!("../Cargo.lock");
    let rows =
        out.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).filter(|row| row.1.contains(" | "));
    let crates: Vec<(&str, &str)> =
        rows.map(|(name, rest)| (name, rest.split(" | ").next().unwrap())).skip(1).collect();
    assert!(crates.len() > 300, "{}", crates.len());
    for (name, version) in crates {
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&locked),
            "{name} {version}: write THIRD_PARTY.md anew, by scripts/third_party.py --write"
        );
    }
}

#[test]
fn shells_get_completions() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (status, out, err) = run(&mut sluicebox(dir.path(), &["completions", shell]));
        assert!(status == Some(0) && out.contains("full-refresh") && err.is_empty(), "{shell}: {err}");
    }
}

#[test]
fn every_error_begins_alike() {
    let dir = folder();
    std::fs::write(dir.path().join("wrong.sql"), PIPELINE.replace("amount", "amuont")).unwrap();
    for (args, code) in [
        (vec!["plan", "none.sql"], 2),
        (vec!["plan", "wrong.sql"], 2),
        (vec!["plan", "p.sql", "--set", "batch.byte=1"], 2),
        (vec!["plan", "p.sql", "--set", "x"], 2),
        (vec!["plan"], 2),
        (vec!["run", "p.sql", "--trigger", "sometimes"], 2),
        (vec!["checkpoint", "show", "p.sql"], 2),
        (vec!["checkpoint", "show", "nowhere"], 2),
        (vec!["explain", "nothing"], 2),
        (vec!["no-such-command"], 2),
    ] {
        let (status, out, err) = run(&mut sluicebox(dir.path(), &args));
        assert_eq!((status, out.as_str()), (Some(code), ""), "{args:?}: {err}");
        assert!(err.starts_with("error: ") || err.starts_with("error["), "{args:?}: {err}");
        assert!(!err.contains('\u{1b}'), "no colours into a pipe: {err:?}");
    }
}

#[test]
fn a_property_of_a_table_is_set_for_one_run() {
    let dir = folder();
    let sent =
        "CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'out') AS SELECT event_id FROM STREAM sales;";
    std::fs::write(dir.path().join("p.sql"), format!("{PIPELINE}{sent}\n")).unwrap();
    for (set, said) in [
        ("sent.topik=other", "did you mean sent.topic?"),
        ("sendt.topic=other", "did you mean sent.topic?"),
        ("sent.topic=no topic", "error[property]: --set sent.topic"),
    ] {
        let (status, _, err) = run(&mut sluicebox(dir.path(), &["plan", "p.sql", "--set", set]));
        assert_eq!(status, Some(2), "{set}: {err}");
        assert!(err.contains(said), "{set}: {err}");
    }
    let args = ["run", "p.sql", "--trigger", "available-now", "--set", "sent.topic=other"];
    let (status, _, err) = run(&mut sluicebox(dir.path(), &args));
    assert_eq!(status, Some(0), "{err}");
    let is_there = |topic: &str| dir.path().join("data/.log").join(topic).join("@topic.json").exists();
    assert_eq!((is_there("other"), is_there("out")), (true, false));
}

#[test]
fn who_asks_for_the_status_is_told_the_command_that_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["status"][..], &["status", "p.sql"]] {
        let (status, _, err) = run(&mut sluicebox(dir.path(), args));
        assert_eq!(status, Some(2), "{err}");
        assert!(err.starts_with("error: ") && err.contains("sluicebox checkpoint show"), "{err}");
    }
}

#[test]
fn a_checkpoint_is_named_by_its_pipeline_or_its_folder() {
    let dir = folder();
    let (status, _, err) = run(&mut sluicebox(dir.path(), &["run", "p.sql", "--trigger", "available-now"]));
    assert_eq!(status, Some(0), "{err}");
    for command in ["show", "verify"] {
        let by_file = run(&mut sluicebox(dir.path(), &["checkpoint", command, "p.sql", "--json"]));
        let by_folder = run(&mut sluicebox(dir.path(), &["checkpoint", command, "checkpoints/p", "--json"]));
        assert_eq!((by_file.0, by_folder.0), (Some(0), Some(0)), "{}", by_file.2);
        let parsed = |text: &str| {
            let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
            json.as_object_mut().unwrap().remove("took");
            json
        };
        assert_eq!(parsed(&by_file.1), parsed(&by_folder.1));
    }
    let (_, shown, _) = run(&mut sluicebox(dir.path(), &["checkpoint", "show", "p.sql"]));
    assert!(shown.contains("since     batch 0: 100 events, 0 dead letters"), "{shown}");
}

#[test]
fn counts_go_on_from_run_to_run() {
    let dir = folder();
    let available = ["run", "p.sql", "--trigger", "available-now"];
    assert_eq!(run(&mut sluicebox(dir.path(), &available)).0, Some(0));
    let more = ["produce", "sales", "--events", "50", "--seed", "2", "--malformed", "0"];
    assert_eq!(run(&mut sluicebox(dir.path(), &more)).0, Some(0));
    assert_eq!(run(&mut sluicebox(dir.path(), &available)).0, Some(0));
    let (_, shown, _) = run(&mut sluicebox(dir.path(), &["checkpoint", "show", "p.sql"]));
    assert!(shown.contains("since     batch 0: 150 events"), "{shown}");
    assert!(shown.contains("bronze_sales: 150 rows written"), "{shown}");
}

#[test]
fn a_wrong_log_filter_is_an_error() {
    let dir = folder();
    for filter in ["inof", "sluicebox=loud", "info,librdkafka"] {
        let (status, _, err) = run(sluicebox(dir.path(), &["plan", "p.sql"]).env("SLUICEBOX_LOG", filter));
        assert_eq!(status, Some(2), "{filter}: {err}");
        assert!(err.starts_with("error: SLUICEBOX_LOG="), "{filter}: {err}");
    }
    let (status, _, err) = run(sluicebox(dir.path(), &["plan", "p.sql"]).env("SLUICEBOX_LOG_FORMAT", "xml"));
    assert_eq!(status, Some(2), "{err}");
}

#[test]
fn the_log_tells_start_commits_and_stop_with_their_time() {
    let dir = folder();
    let args = ["run", "p.sql", "--trigger", "available-now", "--progress", "none"];
    let (status, _, err) = run(sluicebox(dir.path(), &args).env("SLUICEBOX_LOG", "info"));
    assert_eq!(status, Some(0), "{err}");
    for what in ["the run starts", "a schema that no event had before", "committed", "the run stops"] {
        let line = err.lines().find(|line| line.contains(what)).unwrap_or_else(|| unreachable!("{what}: {err}"));
        assert!(line.starts_with("20") && line.contains("T") && line.contains("Z  INFO"), "it has a time: {line}");
    }
    assert!(err.lines().count() < 12, "commits are told now and then: {err}");
    let debug = run(sluicebox(dir.path(), &args).env("SLUICEBOX_LOG", "debug")).2;
    assert!(!debug.contains("sqlparser") && !debug.contains("datafusion"), "libraries are silent: {debug}");
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let dir = folder();
    let args = ["run", "p.sql", "--trigger", "available-now", "--progress", "none", "--log-format", "json"];
    let (status, _, err) = run(sluicebox(dir.path(), &args).env("SLUICEBOX_LOG", "info"));
    assert_eq!(status, Some(0), "{err}");
    let lines: Vec<serde_json::Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let start = lines.iter().find(|line| line["message"] == "the run starts").unwrap();
    assert_eq!((start["level"].as_str(), start["pipeline"].as_str()), (Some("INFO"), Some("p")));
    assert!(start["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    let committed = lines.iter().filter(|line| line["message"].as_str().is_some_and(|m| m.starts_with("committed")));
    assert_eq!(committed.map(|line| line["events"].as_u64().unwrap()).sum::<u64>(), 100);
}

#[test]
fn progress_as_json_has_the_name_that_all_else_has() {
    let dir = folder();
    let (status, out, _) = run(&mut sluicebox(dir.path(), &["run", "p.sql", "--trigger", "available-now", "--json"]));
    assert_eq!(status, Some(0));
    let batches = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let read: u64 = batches.map(|batch| batch["numInputRows"].as_u64().unwrap()).sum();
    assert_eq!(read, 100);
}

#[test]
fn all_data_is_json_by_one_name() {
    let dir = folder();
    assert_eq!(run(&mut sluicebox(dir.path(), &["run", "p.sql", "--trigger", "available-now"])).0, Some(0));
    let produced = run(&mut sluicebox(dir.path(), &["produce", "sales", "--events", "10", "--json"]));
    let asked = run(&mut sluicebox(dir.path(), &["query", "SELECT count(*) AS n FROM bronze.sales", "--json"]));
    let planned = run(&mut sluicebox(dir.path(), &["plan", "p.sql", "--json"]));
    let explained = run(&mut sluicebox(dir.path(), &["explain", "--json"]));
    let of = |(status, out, err): &(Option<i32>, String, String)| -> serde_json::Value {
        assert_eq!(*status, Some(0), "{err}");
        serde_json::from_str(out).unwrap()
    };
    assert_eq!(of(&produced)["events"], 10);
    assert_eq!(of(&asked)["n"], 100);
    assert_eq!(of(&planned)["pipeline"], "p");
    assert!(of(&explained).as_array().is_some_and(|pages| pages.len() > 100));
}

#[test]
fn a_reader_that_goes_away_does_not_end_a_run() {
    let dir = folder();
    let args = ["run", "p.sql", "--trigger", "available-now", "--json"];
    let mut command = sluicebox(dir.path(), &args);
    command.env("SLUICEBOX_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Nobody reads, from before the first line on.
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (_, shown, _) = run(&mut sluicebox(dir.path(), &["checkpoint", "show", "p.sql"]));
    assert!(shown.contains("100 events"), "{shown}");
}

/// A run that goes on, as far as its first rows.
fn living(command: &mut Command) -> (Child, std::io::Lines<BufReader<std::process::ChildStderr>>) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("first rows in bronze_sales")));
    (child, lines)
}

#[test]
fn a_terminal_that_is_closed_stops_a_run_as_a_service_manager_does() {
    let dir = folder();
    let (mut child, lines) = living(&mut sluicebox(dir.path(), &["run", "p.sql"]));
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "it ends cleanly");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(
        rest.iter().any(|line| line.contains("stopping after the current batch; press Ctrl-C again to stop now")),
        "{rest:?}"
    );
    assert!(rest.iter().any(|line| line.contains("100 events read")), "{rest:?}");
}

#[test]
fn a_run_that_nohup_has_started_outlives_its_terminal() {
    let dir = folder();
    let (mut child, lines) = living(&mut sluicebox_by("--ignore-signal=HUP", dir.path(), &["run", "p.sql"]));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    let code = child.wait().unwrap().code();
    drop(lines);
    // A hang-up is the first bit. If it were caught, it would be the first of two wishes to stop, the second of which ends it at once.
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    assert_eq!(u64::from_str_radix(ignored.trim(), 16).unwrap() & 1, 1, "{status}");
    assert_eq!(code, Some(0), "it ends cleanly");
}

#[test]
fn values_come_from_the_environment() {
    let dir = folder();
    let sql = "SET 'pipeline.name' = '${env:TENANT}_sales';
        CREATE TABLE sales USING kafka OPTIONS ('subscribe' = '${env:TOPIC}', 'startingOffsets' = '${env:FROM}');
        CREATE STREAMING TABLE bronze_sales LOCATION 'data/${env:TENANT}/bronze' AS SELECT event_id FROM STREAM sales;";
    std::fs::write(dir.path().join("env.sql"), sql).unwrap();
    let env = [("TENANT", "acme"), ("TOPIC", "sales.events.v1"), ("FROM", "earliest")];
    let args = ["run", "env.sql", "--trigger", "available-now"];
    let (status, _, err) = run(sluicebox(dir.path(), &args).envs(env));
    assert_eq!(status, Some(0), "{err}");
    assert!(dir.path().join("data/acme/bronze").is_dir() && dir.path().join("checkpoints/acme_sales").is_dir());
    let (status, _, err) = run(sluicebox(dir.path(), &args).envs(env).env_remove("TOPIC"));
    assert_eq!(status, Some(2));
    assert!(err.contains("error[unset-reference]") && err.contains("TOPIC") && err.contains("env.sql:2:"), "{err}");
}
