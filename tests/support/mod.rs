//! A working directory of its own for each test, the binary run in it, and its tables read back as text.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sluicebox_core::shown::acts;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_samples::sales::SALES_SCHEMA;

/// The tables of `sql/gold_revenue.sql` and what stands beside them, each with the columns that a result is compared by.
pub const TABLES: [(&str, &str); 6] = [
    ("bronze.sales", "*"),
    ("silver.sales", "*"),
    ("gold.revenue_5m", "*"),
    ("late.silver_sales", "_topic, _partition, _offset, event_id, _late"),
    ("quarantine.silver_sales", "_topic, _partition, _offset, event_id, array_to_string(_violations, ',')"),
    ("dead_letters.sales_events", "topic, partition, \"offset\", error_class, message"),
];

/// A folder that is a project of its own, removed at the end.
pub struct Workspace {
    dir: tempfile::TempDir,
}

impl Workspace {
    /// A folder with `sql/gold_revenue.sql` and nothing else.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sql")).unwrap();
        let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/gold_revenue.sql");
        // The sample would go on for ever: a test reads what it produced itself.
        let text = std::fs::read_to_string(sql).unwrap().replace(", 'sample' = 'sales'", "");
        assert!(!text.contains("sample"));
        std::fs::write(dir.path().join("sql/gold_revenue.sql"), text).unwrap();
        Self { dir }
    }

    /// A folder with the same log as `other`, and nothing else of it.
    pub fn with_log_of(other: &Self) -> Self {
        let own = Self::new();
        copy(&other.path().join("data/.log"), &own.path().join("data/.log"));
        own
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a pipeline.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        // So tests are run as a build without the feature `duckdb` would answer them, by one that has it.
        if let (Some(&"query"), Some(engine)) = (args.first(), std::env::var_os("SLUICEBOX_TEST_ENGINE"))
            && !args.contains(&"--engine")
        {
            command.arg("--engine").arg(engine);
        }
        for name in ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "SLUICEBOX_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the binary, which must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}\n{}", output.status, told(&output));
        text(&output.stdout)
    }

    /// Runs the binary, which must fail with `code`; gives what it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        text(&output.stderr)
    }

    /// Fills the topic of the pipeline.
    pub fn produce(&self, events: u64, seed: u64) {
        self.ok(&["produce", "sales", "--events", &events.to_string(), "--seed", &seed.to_string()]);
    }

    /// Adds events of this very moment. Those of [`Workspace::produce`] lie over two hours: after a run that ended, the ones
    /// near its watermark would be late or not by the seconds that passed in between.
    pub fn produce_now(&self, events: u64, seed: u64) {
        let (events, seed) = (events.to_string(), seed.to_string());
        self.ok(&["produce", "sales", "--events", &events, "--rate", "1000000", "--seed", &seed]);
    }

    /// Reads all there is, then ends.
    pub fn run_to_end(&self, more: &[&str]) -> String {
        let mut args = vec!["run", "sql/gold_revenue.sql", "--trigger", "available-now"];
        args.extend(more);
        self.ok(&args)
    }

    /// Starts the binary, output thrown away.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The rows of a query, as lines of CSV, sorted.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let mut lines: Vec<String> =
            self.ok(&["query", sql, "--format", "csv"]).lines().skip(1).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The only value of a query.
    pub fn value(&self, sql: &str) -> i64 {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].parse().unwrap_or_else(|_| panic!("{sql}: {rows:?}"))
    }

    /// Whether there is such a table with a row in it.
    pub fn rows_exist(&self, table: &str) -> bool {
        let output = self.run(&["query", &format!("SELECT 1 FROM {table} LIMIT 1"), "--format", "csv"]);
        output.status.success() && text(&output.stdout).lines().count() > 1
    }

    /// All that the pipeline of the README wrote, by table.
    pub fn tables(&self) -> Vec<(&'static str, Vec<String>)> {
        let there = self.rows("SHOW TABLES");
        TABLES
            .iter()
            .filter(|(table, _)| there.iter().any(|t| t == table))
            .map(|(table, columns)| (*table, self.rows(&format!("SELECT {columns} FROM {table}"))))
            .collect()
    }
}

/// How long a run over a few events may take on a machine that has much else to do. One that takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What `command` says to its end, which it has to come to by itself.
pub fn ended(command: &mut Command, what: &str) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (id, (done, end)) = (child.id().to_string(), mpsc::channel());
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(LIMIT) else {
        let killed = Command::new("kill").args(["-KILL", &id]).status();
        panic!("{what}: it hangs; killed: {killed:?}");
    };
    output.unwrap()
}

/// `command` as `around`, such as `prlimit --nofile=64`, starts it.
pub fn within(around: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(around[0]);
    outer.args(&around[1..]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    outer.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Makes a FIFO, which whoever opens it waits for until somebody opens its other end.
pub fn make_fifo(at: &Path) {
    let made = Command::new("mkfifo").arg(at).status();
    assert!(made.as_ref().is_ok_and(|status| status.success()), "`mkfifo` (coreutils) is needed: {made:?}");
}

/// What clears a terminal, names its window, begins a line that looks like ours, and turns the direction of writing.
pub const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nerror[FAKE]: fine \u{202e}\u{9b}31m";

/// Fails if something in `printed` does anything to a terminal, or is a line that nobody here has said.
pub fn assert_is_text(printed: &str) {
    assert!(!printed.replace('\n', "").contains(acts), "{printed:?}");
    assert!(!printed.lines().any(|line| line.starts_with("error[FAKE]")), "{printed}");
}

/// Fails with the first difference.
pub fn assert_same(expected: &[(&str, Vec<String>)], found: &[(&str, Vec<String>)]) {
    let names = |tables: &[(&str, Vec<String>)]| tables.iter().map(|(n, _)| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "the tables");
    for ((name, expected), (_, found)) in expected.iter().zip(found) {
        if let Some((e, f)) = expected.iter().zip(found).find(|(e, f)| e != f) {
            panic!("{name}: {} rows expected, {} found; first difference\n  {e}\n  {f}", expected.len(), found.len());
        }
        assert_eq!(expected.len(), found.len(), "{name}");
    }
}

/// What the binary told: its messages, and the end of what it printed before them, where `checkpoint verify` has its problems.
pub fn told(output: &Output) -> String {
    const MOST: usize = 4_000;
    let printed = text(&output.stdout);
    let from = printed.char_indices().rev().nth(MOST - 1).map_or(0, |(at, _)| at);
    format!("{}{}", &printed[from..], text(&output.stderr))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Registers a schema with one field more than the sales have, in the project at `root`. A source then has it as its reader
/// schema, and fetches theirs by its id.
pub fn register_newer(root: &Path) {
    let shop = "\"fields\": [{\"name\": \"shop\", \"type\": [\"null\", \"string\"], \"default\": null},";
    let newer = SALES_SCHEMA.replacen("\"fields\": [", shop, 1);
    let registry = RegistryStore::open(root.join("data/.log/registry")).unwrap();
    assert_eq!(registry.register("sales.events.v1-value", &NewSchema::new(newer)).unwrap().version, 2);
}

/// Every file below `dir`, sorted; none when it is not there. What goes meanwhile is passed over.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    walk(dir, &|_| true)
}

/// Every file below `dir` with its content, hidden ones too; links are followed.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(dir).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The files below `dir` that readers see: neither they nor a folder on the way has a name that begins with `_` or `.`.
pub fn visible_files(dir: &Path) -> Vec<PathBuf> {
    let shown = |path: &Path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['_', '.']));
    walk(dir, &shown)
}

fn walk(dir: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()).filter(|path| wanted(path)) {
        if path.is_dir() {
            found.extend(walk(&path, wanted));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Where the owner's mark of a table's folder lies.
pub fn mark_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap().to_string_lossy();
    folder.with_file_name(format!(".{name}_sluicebox_owner"))
}

pub fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
}

/// Copies what is in a folder into another, over what is there.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
