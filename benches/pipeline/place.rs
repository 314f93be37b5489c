//! Where events come from, and a topic with known content there.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use sluicebox::Home;
use sluicebox::connectors::LOG_DIR;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_registry::{HttpOptions, HttpRegistry, Registry, RegistryStore};
use sluicebox_sources::{EmbeddedLog, KafkaOptions, KafkaSource, LogSource, Source};

/// The kinds of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The broker and the registry of the environment.
    Kafka,
    /// The embedded log and its registry.
    Embedded,
}

/// As much as the engine fetches ahead.
const PREFETCH: u64 = 16 << 20;

impl Place {
    /// Whether the environment names a broker and a registry.
    pub fn has_broker() -> bool {
        ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"].iter().all(|name| std::env::var(name).is_ok())
    }

    /// For the heading of a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Embedded => "the embedded log",
        }
    }

    /// The value of `--from`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Embedded => "embedded",
        }
    }

    /// A source that reads `topic` from its beginning, in the working directory.
    pub fn source(self, topic: &str) -> anyhow::Result<Box<dyn Source>> {
        let pairs = [("subscribe".to_owned(), topic.to_owned()), ("startingOffsets".to_owned(), "earliest".to_owned())];
        let env = |key: &str| if self == Self::Kafka { std::env::var(key).ok() } else { None };
        let options = KafkaOptions::from_options("bench", &pairs, &env)?;
        Ok(match self {
            Self::Kafka => Box::new(KafkaSource::new("bench", options, "bench", PREFETCH)?),
            Self::Embedded => Box::new(LogSource::new("bench", embedded_log()?, options, PREFETCH)?),
        })
    }

    /// The registry, in the working directory.
    pub fn registry(self) -> anyhow::Result<Arc<dyn Registry>> {
        if self == Self::Embedded {
            return Ok(Arc::new(RegistryStore::open(Home::here().registry())?));
        }
        let options = HttpOptions::from_options(&std::collections::BTreeMap::new(), |key| std::env::var(key).ok())?;
        let options = options.context("SCHEMA_REGISTRY_URL is not set")?;
        Ok(Arc::new(HttpRegistry::new(options, Arc::new(SystemClock::new()))?))
    }
}

/// The embedded log of the working directory.
pub fn embedded_log() -> anyhow::Result<EmbeddedLog> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Ok(Home::here().open_log(&clock)?)
}

/// A topic, and the folder that commands which read it run in.
pub struct Topic {
    /// Where.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Holds the embedded log, and the folders of all runs; removed at the end.
    base: Rc<tempfile::TempDir>,
    /// How many runs there were.
    runs: Rc<Cell<usize>>,
}

impl Topic {
    /// A new, empty topic: nothing is made yet.
    pub fn new(place: Place, what: &str) -> anyhow::Result<Self> {
        let base = tempfile::Builder::new().prefix("sluicebox-bench-").tempdir()?;
        // Topics of a broker outlive a run of the bench.
        let unique = base.path().extension().or(base.path().file_name()).unwrap_or_default().to_string_lossy();
        let unique: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
        Ok(Self { place, name: format!("sales.{what}.{unique}"), base: Rc::new(base), runs: Rc::default() })
    }

    /// Another topic of the same log.
    pub fn beside(&self, name: String) -> Self {
        Self { place: self.place, name, base: Rc::clone(&self.base), runs: Rc::clone(&self.runs) }
    }

    /// A topic with `events` sales, written by `sluicebox produce` with further `options`.
    pub fn filled(place: Place, events: u64, options: &[&str]) -> anyhow::Result<Self> {
        let topic = Self::new(place, "bench")?;
        let status = topic
            .command(env!("CARGO_BIN_EXE_sluicebox"), topic.base.path())
            .args(["produce", "sales", "--seed", "42", "--topic", &topic.name, "--events", &events.to_string()])
            .args(options)
            .status()?;
        if !status.success() {
            bail!("sluicebox produce: {status}");
        }
        Ok(topic)
    }

    /// The folder that holds the embedded log, if that is where the topic is.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// A folder in which nothing has run yet, with the topic's log in it. It stays as long as the topic: ext4 searches long for
    /// the inode of a new file when many were removed in the minutes before, which is none of what is measured.
    pub fn workspace(&self) -> anyhow::Result<Workspace> {
        let dir = self.base.path().join(format!("run-{}", self.runs.replace(self.runs.get() + 1)));
        std::fs::create_dir_all(dir.join("data"))?;
        if self.place == Place::Embedded {
            std::os::unix::fs::symlink(self.base.path().join(LOG_DIR), dir.join(LOG_DIR))?;
        }
        Ok(Workspace { dir })
    }

    /// `program` in `folder`, with the environment that leads to the topic.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        if self.place == Place::Embedded {
            command.env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("SCHEMA_REGISTRY_URL");
        }
        command
    }
}

/// A working directory; removed with its topic.
pub struct Workspace {
    dir: PathBuf,
}

impl Workspace {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Bytes of all tables and of everything beside them, checkpoints included.
    pub fn bytes(&self) -> u64 {
        files(self.path(), &|_| true).iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
    }
}

/// The files below `folder` that are `wanted`; links are not followed.
pub fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path, wanted)),
            Ok(kind) if kind.is_file() && wanted(&path) => found.push(path),
            _ => {}
        }
    }
    found
}
