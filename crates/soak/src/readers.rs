//! Third-party readers that glob the tables in a loop while the run writes them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::scripts;

/// The readers, and the file that stops them.
#[derive(Debug)]
pub struct Readers {
    running: Vec<(&'static str, Child)>,
    stop: PathBuf,
}

/// What a reader saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saw {
    /// Its name.
    pub reader: &'static str,
    /// How many reads it made.
    pub reads: u64,
    /// How many of them found a file gone that they had listed, and were made again.
    pub again: u64,
    /// Its last line.
    pub told: String,
}

const READERS: [(&str, &str); 2] = [("DuckDB", "glob_reader.py"), ("pyarrow", "arrow_reader.py")];
/// Looks at the names of partitions alone, a thousand times while the others read once.
const OF_NAMES: (&str, &str) = ("names", "names_reader.py");

impl Readers {
    /// Starts them over the tables below `folder`. Of `compacted` ones a file that was listed may be gone.
    pub fn start(python: &Path, folder: &Path, compacted: bool) -> Result<Self> {
        let mut readers = Self { running: Vec::new(), stop: folder.with_extension("stop") };
        let _ = std::fs::remove_file(&readers.stop);
        for (name, script) in READERS.into_iter().chain(compacted.then_some(OF_NAMES)) {
            let mut command = Command::new(python);
            command.arg(scripts::file("tests/real").join(script)).arg(folder).arg(&readers.stop);
            command.args(compacted.then_some("--compacted"));
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| name.to_owned())?;
            readers.running.push((name, child));
        }
        Ok(readers)
    }

    /// Fails when one of them has ended: it has seen too much.
    pub fn must_run(&mut self) -> Result<()> {
        for at in 0..self.running.len() {
            if self.running[at].1.try_wait()?.is_some() {
                let (name, child) = self.running.remove(at);
                let output = child.wait_with_output()?;
                bail!("{name} has seen what may not be:\n{}", String::from_utf8_lossy(&output.stdout));
            }
        }
        Ok(())
    }

    /// Lets them look once more, and asks what they saw.
    pub fn finish(mut self) -> Result<Vec<Saw>> {
        std::fs::write(&self.stop, [])?;
        let mut saw = Vec::new();
        for (reader, child) in std::mem::take(&mut self.running) {
            let output = child.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() {
                bail!("{reader} has seen what may not be:\n{text}");
            }
            let told = text.lines().last().unwrap_or_default().to_owned();
            let mut numbers = told.split_whitespace().filter_map(|word| word.parse().ok());
            let (Some(reads), Some(again)) = (numbers.next(), numbers.next()) else {
                bail!("{reader} does not say how often it read: {told}");
            };
            saw.push(Saw { reader, reads, again, told });
        }
        Ok(saw)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
