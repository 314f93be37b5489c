//! A pipeline in a folder of its own, and its runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::servers::Servers;

/// A pipeline in a folder, and the runs of it.
#[derive(Debug)]
pub struct Job<'s> {
    /// Where it works.
    pub folder: PathBuf,
    /// The program.
    pub binary: PathBuf,
    /// The pipeline's file.
    pub pipeline: PathBuf,
    /// Whether its runs compact.
    pub compacts: bool,
    /// The topic that it reads.
    pub topic: String,
    /// `maxOffsetsPerTrigger`.
    pub max_offsets: u64,
    /// The servers.
    pub servers: &'s Servers,
}

impl Job<'_> {
    /// Starts it; it follows the topic, or reads what is there and ends.
    pub fn start(&self, available_now: bool) -> Result<Child> {
        std::fs::create_dir_all(&self.folder)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg(&self.pipeline).args(["--checkpoint", "checkpoints/run", "--progress", "json"]);
        for (key, value) in [("subscribe", self.topic.clone()), ("maxOffsetsPerTrigger", self.max_offsets.to_string())]
        {
            command.args(["--set", &format!("sales_events.{key}={value}")]);
        }
        if available_now {
            command.args(["--trigger", "available-now"]);
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.servers.name_in(&mut command).spawn().with_context(|| format!("cannot start {}", self.binary.display()))
    }

    /// Reads what is there and ends.
    pub fn run_to_end(&self) -> Result<()> {
        let status = self.start(true)?.wait()?;
        self.must_be_well(status)
    }

    /// How many batches are committed.
    pub fn batches(&self) -> u64 {
        self.newest("commits").map_or(0, |id| id + 1)
    }

    /// How many folders were exchanged, or were about to be when a run was killed.
    pub fn exchanges(&self) -> u64 {
        self.newest("compactions").unwrap_or(0)
    }

    /// The highest number of a file in a folder of the checkpoint.
    fn newest(&self, folder: &str) -> Option<u64> {
        let entries = std::fs::read_dir(self.checkpoint().join(folder)).ok()?;
        entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).max()
    }

    /// The checkpoint's folder.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoints/run")
    }

    /// Where its runs write what they say.
    pub fn log(&self) -> PathBuf {
        self.folder.join("run.log")
    }

    /// Fails with the end of the log when a run ended with another code than 0.
    pub fn must_be_well(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n");
        bail!("the run ended with {status}; its log is {}:\n{tail}", self.log().display())
    }
}

/// What runs of `folder` have left: staged files, and folders beside tables.
pub fn left_behind(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for path in entries.filter_map(|e| Some(e.ok()?.path())) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".sluicebox-"))
            || path.extension().is_some_and(|e| e == "staged")
        {
            found.push(path);
        } else if path.is_dir() {
            found.extend(left_behind(&path));
        }
    }
    found
}
