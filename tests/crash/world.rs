//! A project's folder, the binary run in it with faults, and what its tables hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluicebox_checkpoint::Checkpoint;
use tempfile::TempDir;

use crate::journal::{self, Op};
use crate::power;
use crate::support::{copy, is_parquet, visible_files};

/// Rows as text, sorted, by the folder they lie in (without `batch_id=`), and sums of the reports.
pub type Outcome = BTreeMap<String, Vec<String>>;

/// A table with files so large that a compaction keeps them as they are.
const LARGE: &str = "
CREATE STREAMING TABLE large PARTITIONED BY (kind) TBLPROPERTIES ('target.file.size' = '1 MiB', 'compression' = 'none')
AS SELECT _partition, _offset, repeat(event_id, 180) AS text, 'k' AS kind FROM STREAM sales_events;
";
/// A table whose rows are all older than it retains them.
const RETIRED: &str = "
CREATE STREAMING TABLE retired PARTITIONED BY (day) TBLPROPERTIES ('retain' = '30 days')
AS SELECT event_id, CAST(ingest_time - INTERVAL '40 days' AS DATE) AS day FROM STREAM sales_events;
";

/// Where the journal of a world is kept.
const JOURNAL: &str = "journal";
/// Where the names of the points that were reached go.
const POINTS: &str = "points.log";

/// A folder that is removed at the end.
pub struct World {
    dir: TempDir,
}

/// How a run ended, for comparing.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Ended {
    /// By its own exit code.
    Code(i32),
    /// By the crash that was asked for.
    Crashed,
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: folder() };
        let pipeline = include_str!("pipeline.sql");
        let closed = ") TBLPROPERTIES ('compact.auto' = 'true', 'compact.after' = '0 seconds')\nAS SELECT";
        let keeping = pipeline.replace(")\nAS SELECT", closed);
        assert_ne!(keeping, pipeline);
        let files = [
            ("pipeline.sql", pipeline.to_owned()),
            ("failing.sql", include_str!("failing.sql").to_owned()),
            ("json.sql", include_str!("json.sql").to_owned()),
            ("topic.sql", include_str!("topic.sql").to_owned()),
            ("changed.sql", changed(pipeline)),
            ("compact.sql", [pipeline, LARGE].concat()),
            ("keeping.sql", [keeping.as_str(), RETIRED].concat()),
        ];
        for (name, sql) in files {
            std::fs::write(world.path().join(name), sql).unwrap();
        }
        world
    }

    /// A copy; its journal begins anew.
    pub fn copy_of(other: &Self) -> Self {
        let world = Self { dir: folder() };
        copy(other.path(), world.path());
        world.forget_journal();
        let _ = std::fs::remove_file(world.path().join(POINTS));
        world
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program `what` started in this folder.
    fn command(&self, program: &Program) -> Command {
        let mut command = match program {
            Program::Sluicebox(args) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_sluicebox"));
                command.args(args);
                command
            }
            Program::Writer => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--ignored", "--exact", "log::writer", "--quiet"]).env("SLUICEBOX_CRASH_WRITER", "1");
                command
            }
        };
        command.current_dir(self.path()).stdin(Stdio::null());
        for name in ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "SLUICEBOX_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `program`, with a crash if one is asked for, and what it did written down. What it said comes back.
    pub fn run(&self, program: &Program, crash: Option<&str>) -> (Ended, String) {
        let mut command = self.command(program);
        command.env("SLUICEBOX_FAULT_LOG", self.path().join(POINTS));
        command.env("SLUICEBOX_FAULT_JOURNAL", self.path().join(JOURNAL));
        if let Some(crash) = crash {
            command.env("SLUICEBOX_CRASH_AT", crash);
        }
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().map_or(Ended::Crashed, Ended::Code), said)
    }

    /// Runs `program`, which must succeed, without faults.
    pub fn ok(&self, program: &Program) {
        let output = self.command(program).output().unwrap();
        assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// How often each point was reached since the last call, or the copy.
    pub fn points(&self) -> BTreeMap<String, u64> {
        let path = self.path().join(POINTS);
        let mut points = BTreeMap::new();
        for name in std::fs::read_to_string(&path).unwrap_or_default().lines() {
            *points.entry(name.to_owned()).or_default() += 1;
        }
        let _ = std::fs::remove_file(path);
        points
    }

    /// What was done since the last power loss, or the copy.
    pub fn journal(&self) -> Vec<Op> {
        journal::read(&self.path().join(JOURNAL))
    }

    /// The staged files that were written to their end, by name.
    pub fn staged(&self) -> BTreeMap<PathBuf, Vec<u64>> {
        journal::staged(&self.path().join(JOURNAL), &self.journal())
    }

    /// Takes what `seed` says of all that is not durable; gives how much.
    pub fn lose_power(&self, seed: u64) -> usize {
        let disk = power::lose(&self.journal(), seed);
        disk.make(&self.path().join(JOURNAL).join("files"));
        self.forget_journal();
        disk.losses()
    }

    fn forget_journal(&self) {
        let _ = std::fs::remove_dir_all(self.path().join(JOURNAL));
    }

    /// What the tables hold, as a reader that globs sees them, and what a source of the log sees.
    pub fn tables(&self) -> Result<Outcome, String> {
        let mut found = Outcome::new();
        let data = self.path().join("data");
        for file in visible(&data) {
            let name = place(&data, &file);
            // Reports are added up instead.
            if name.starts_with("dq/") && !name.ends_with("/samples") {
                continue;
            }
            let rows = rows(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            found.entry(name).or_default().extend(rows);
        }
        found.extend(crate::log::written(self.path())?);
        found.values_mut().for_each(|rows| rows.sort());
        found.retain(|_, rows| !rows.is_empty());
        Ok(found)
    }

    /// What the tables hold, the sums over all reports, and the samples of a failed update.
    pub fn outcome(&self) -> Result<Outcome, String> {
        let mut found = self.tables()?;
        for dir in folders(&self.path().join("data/dq")) {
            let name = dir.file_name().unwrap().to_string_lossy().into_owned();
            found.insert(format!("reports of {name}"), reports(&dir.join("metrics"))?);
            let failed = all_files(&dir.join("failed"));
            // How many rows broke it depends on how far the batch that stopped had been fetched: all of them did.
            let broken = |line: &String| line.contains("\"amount\":\"-");
            let failed = failed.iter().map(|f| format!("broken: {}", lines(f).iter().all(broken)));
            found.insert(format!("failed of {name}"), failed.collect());
        }
        Ok(found)
    }

    /// Checkpoint and tables, proved against each other.
    pub fn verify(&self) -> Result<(), String> {
        for dir in folders(&self.path().join("checkpoints")) {
            let verdict = sluicebox_upkeep::verify::verify(&Checkpoint::new(&dir), &sluicebox_core::SystemClock::new())
                .map_err(|e| e.to_string())?;
            if !verdict.problems.is_empty() {
                return Err(format!("checkpoint verify: {}", verdict.problems.join("; ")));
            }
        }
        Ok(())
    }

    /// Gives it the log of `other`, which has what it has and more.
    pub fn take_log_of(&self, other: &Self) {
        copy(&other.path().join("data/.log"), &self.path().join("data/.log"));
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.path().join("checkpoints/crash"))
    }

    /// Whether the newest commit names state that was written whole.
    pub fn has_snapshot(&self) -> bool {
        let checkpoint = self.checkpoint();
        let newest = checkpoint.observe().unwrap().commit.unwrap();
        checkpoint.commit(newest).unwrap().state.values().any(|state| state.snapshot.is_some())
    }

    /// Whether the plan of a batch is there.
    pub fn has_planned(&self) -> bool {
        self.checkpoint().observe().unwrap().offsets.is_some()
    }

    /// Looks in the plans: a run that was begun is finished to its own end, in one batch, before another one begins.
    pub fn keeps_its_end(&self) -> Result<(), String> {
        let checkpoint = self.checkpoint();
        let ids = checkpoint.commit_ids().map_err(|e| e.to_string())?;
        let plans: Result<Vec<_>, _> = ids.iter().map(|id| checkpoint.offsets(*id)).collect();
        let plans = plans.map_err(|e| e.to_string())?;
        let last = plans.iter().position(|plan| plan.finishing).ok_or("no batch finishes a run")?;
        if let Some(other) = plans[..last].iter().find(|plan| plan.run_end != plans[last].run_end) {
            return Err(format!("batch {last} finishes another run than the one of batch {}", other.batch_id));
        }
        match plans.windows(2).find(|two| two[0].finishing && two[1].finishing) {
            Some(two) => Err(format!("batch {} finishes a run that is finished", two[1].batch_id)),
            None => Ok(()),
        }
    }

    /// What is in the folders of a run and did not go through the door, and the other way round.
    pub fn escaped(&self) -> Vec<String> {
        let here = |path: &PathBuf| ["data", "checkpoints"].iter().any(|d| path.starts_with(self.path().join(d)));
        let journalled: BTreeSet<PathBuf> = power::left(&self.journal()).into_iter().filter(here).collect();
        let mut there = BTreeSet::new();
        for root in ["data", "checkpoints"] {
            collect(&self.path().join(root), &mut there);
        }
        let log = self.path().join("data/.log");
        let mut wrong = Vec::new();
        for path in there.symmetric_difference(&journalled).filter(|p| !p.starts_with(&log)) {
            let how = if there.contains(path) { "is there and not in the journal" } else { "is in the journal only" };
            wrong.push(format!("{} {how}", path.display()));
        }
        wrong.retain(|w| !w.contains("/data is there"));
        wrong
    }
}

/// The pipeline with other aggregates in a gold table, and two tables more.
fn changed(pipeline: &str) -> String {
    let aggregates = "min(amount) AS least, max(amount) AS most";
    assert!(pipeline.contains(aggregates));
    let more = "
        CREATE STREAMING TABLE silver_accounts
        AS SELECT DISTINCT ON (account_id, _partition) account_id, event_time, _topic, _partition, _offset
           FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '30 minutes';
        CREATE STREAMING TABLE gold_tiers
        AS SELECT window.start AS window_start, plan_tier, count(*) AS events
           FROM STREAM silver_sales GROUP BY window(event_time, INTERVAL '15 minutes'), plan_tier;";
    pipeline.replacen(aggregates, "sum(quantity) AS sold", 1) + more
}

/// What is run.
#[derive(Debug, Clone)]
pub enum Program {
    /// The binary, with these arguments.
    Sluicebox(Vec<String>),
    /// [`crate::log::writer`], in this test's own binary.
    Writer,
}

impl Program {
    pub fn sluicebox(args: &[&str]) -> Self {
        Self::Sluicebox(args.iter().map(|a| (*a).to_owned()).collect())
    }
}

/// In memory where there is such a place: thousands of files are synced. The model decides what a sync is worth.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none()
        && memory.is_dir()
        && let Ok(dir) = tempfile::Builder::new().prefix("sluicebox-crash-").tempdir_in(memory)
    {
        return dir;
    }
    // A name that begins with a point is hidden, and what is hidden is not compared.
    tempfile::Builder::new().prefix("sluicebox-crash-").tempdir().unwrap()
}

/// Where a file's rows belong: its folder below `data`, without the batch.
fn place(data: &Path, file: &Path) -> String {
    let folder = file.parent().unwrap().strip_prefix(data).unwrap();
    let parts = folder.iter().map(|p| p.to_string_lossy()).filter(|p| !p.starts_with("batch_id="));
    parts.collect::<Vec<_>>().join("/")
}

/// The Parquet files that readers see below `dir`.
fn visible(dir: &Path) -> Vec<PathBuf> {
    visible_files(dir).into_iter().filter(|path| is_parquet(path)).collect()
}

fn rows(file: &Path) -> Result<Vec<String>, String> {
    let open = std::fs::File::open(file).map_err(|e| e.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(open).and_then(|b| b.build()).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    for batch in reader {
        text(&batch.map_err(|e| e.to_string())?, &mut out).map_err(|e| e.to_string())?;
    }
    Ok(out)
}

/// Which row was kept and when a batch ran differ with how the topic is cut, the query's id with each project: such columns
/// are left out.
const BY_BATCH: [&str; 3] = ["ingested_at", "batch_clock", "query_id"];

fn text(batch: &RecordBatch, out: &mut Vec<String>) -> Result<(), arrow::error::ArrowError> {
    let options = FormatOptions::new().with_null("NULL");
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields()).filter(|(_, f)| !BY_BATCH.contains(&f.name().as_str()));
    let columns = columns.map(|(c, _)| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        out.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(","));
    }
    Ok(())
}

/// The numbers of all reports, added up by what they count.
fn reports(dir: &Path) -> Result<Vec<String>, String> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for file in all_files(dir).into_iter().filter(|f| f.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read(&file).map_err(|e| e.to_string())?;
        let report: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        for (list, name, keys) in [
            ("sources", "source", vec!["read", "tombstones", "dead_letters", "rows", "dead_letters_by_class"]),
            ("tables", "table", vec!["fates", "future_event_time"]),
            ("expectations", "name", vec!["evaluated", "passed", "failed", "null_result", "error_result"]),
        ] {
            for item in report[list].as_array().ok_or("no such list")? {
                let name = item[name].as_str().unwrap_or_default();
                for key in &keys {
                    add(&mut sums, &format!("{list}.{name}.{key}"), &item[*key]);
                }
            }
        }
    }
    Ok(sums.into_iter().map(|(name, n)| format!("{name} = {n}")).collect())
}

fn add(sums: &mut BTreeMap<String, u64>, name: &str, value: &serde_json::Value) {
    if let Some(n) = value.as_u64() {
        *sums.entry(name.to_owned()).or_default() += n;
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        add(sums, &format!("{name}.{key}"), value);
    }
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect()
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    collect(dir, &mut found);
    found
        .into_iter()
        .filter(|p| p.is_file() && !p.iter().any(|n| n.to_string_lossy().starts_with(['_', '.'])))
        .collect()
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn collect(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    if dir.is_dir() {
        found.insert(dir.to_owned());
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.insert(path);
        }
    }
}
