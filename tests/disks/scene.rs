//! A project that has run for a while, kept aside, so that it can be damaged and put back again and again. Commits name
//! absolute paths: it is put back where it was.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::GOLD;
use crate::support::{Workspace, ended, register_newer, text};

/// Files by path below the project.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;
type Tables = Vec<(&'static str, Vec<String>)>;

pub struct Scene {
    pub job: Workspace,
    kept: Files,
    /// The folders, those without files too: a mark beside a folder that is not there counts for nothing.
    folders: BTreeSet<PathBuf>,
    /// What the tables hold when an undisturbed run goes on to the end.
    expected: Tables,
    expected_files: Files,
    anew: OnceCell<Tables>,
}

impl Scene {
    /// A run over `first` events in batches of about `cut`, with `options`; then `more` events wait to be read.
    pub fn new(first: u64, more: u64, cut: u32, options: &[&str]) -> Self {
        let job = Workspace::new();
        job.produce(first, 4);
        run_ok(&job, cut, options);
        job.produce(more, 5);
        Self::of(job)
    }

    /// As [`Scene::new`], with events of an older schema than the reader's, which is fetched by its id and kept.
    pub fn with_old_schema(first: u64, more: u64, cut: u32) -> Self {
        let job = Workspace::new();
        job.produce(first, 4);
        register_newer(job.path());
        run_ok(&job, cut, &[]);
        job.produce(more, 5);
        Self::of(job)
    }

    /// The project as it stands, with events that wait to be read.
    pub fn of(job: Workspace) -> Self {
        let (mut kept, mut folders) = (Files::new(), BTreeSet::new());
        walk(job.path(), Path::new(""), &mut kept, &mut folders);
        job.run_to_end(&[]);
        let (expected, expected_files) = (job.tables(), table_files(&job));
        let scene = Self { job, kept, folders, expected, expected_files, anew: OnceCell::new() };
        scene.reset();
        scene
    }

    /// Puts everything back.
    pub fn reset(&self) {
        for entry in std::fs::read_dir(self.job.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        for folder in &self.folders {
            std::fs::create_dir_all(self.job.path().join(folder)).unwrap();
        }
        for (path, content) in &self.kept {
            std::fs::write(self.job.path().join(path), content).unwrap();
        }
    }

    /// The files as they were kept.
    pub fn files(&self) -> &Files {
        &self.kept
    }

    /// A run to the end in batches of about `cut`.
    #[cfg(feature = "faults")]
    pub fn command(&self, cut: u32) -> std::process::Command {
        let limit = format!("sales_events.maxOffsetsPerTrigger={cut}");
        self.job.command(&["run", GOLD, "--trigger", "available-now", "--set", &limit])
    }

    pub fn run(&self, more: &[&str]) -> Output {
        let mut args = vec!["run", GOLD, "--trigger", "available-now"];
        args.extend(more);
        ended(&mut self.job.command(&args), &args.join(" "))
    }

    /// Fails unless the tables are what an undisturbed run gives.
    pub fn assert_right(&self, what: &str) {
        // The same files are the same rows; other cuts of the batches give other files, and maybe the same rows.
        if table_files(&self.job) != self.expected_files {
            let found = self.job.tables();
            assert!(found == self.expected, "{what}: {}", difference(&self.expected, &found));
        }
    }

    /// Fails unless the tables are what a run gives that reads everything from the beginning, at once: after a run has
    /// ended partitions were idle, so that of what was read in two runs other rows may be late.
    pub fn assert_anew(&self, what: &str) {
        let anew = self.anew.get_or_init(|| {
            let fresh = Workspace::with_log_of(&self.job);
            std::fs::copy(self.job.path().join(GOLD), fresh.path().join(GOLD)).unwrap();
            fresh.run_to_end(&[]);
            fresh.tables()
        });
        let found = self.job.tables();
        assert!(found == *anew, "{what}: {}", difference(anew, &found));
    }

    /// Fails unless the published files are those that there were, as far as they were: a run that stops may have
    /// published what was committed, never anything else.
    pub fn assert_nothing_else(&self, what: &str) {
        for (path, content) in table_files(&self.job) {
            let known = self.kept.get(&path).or_else(|| self.expected_files.get(&path));
            assert!(known == Some(&content), "{what}: the run that stopped left {}", path.display());
        }
    }
}

fn run_ok(job: &Workspace, cut: u32, options: &[&str]) {
    job.run_to_end(&[&["--set", &format!("sales_events.maxOffsetsPerTrigger={cut}")], options].concat());
}

fn difference(expected: &Tables, found: &Tables) -> String {
    for (name, rows) in expected {
        match found.iter().find(|(n, _)| n == name) {
            None => return format!("{name} is not there"),
            Some((_, other)) if other != rows => return format!("{name}: {} rows, not {}", other.len(), rows.len()),
            Some(_) => {}
        }
    }
    "other tables".to_owned()
}

/// Every file of the project.
pub fn files_of(job: &Workspace) -> Files {
    let mut files = Files::new();
    walk(job.path(), Path::new(""), &mut files, &mut BTreeSet::new());
    files
}

/// The published files of tables and what stands beside them, but reports, which carry the clock.
pub fn table_files(job: &Workspace) -> Files {
    let mut files = files_of(job);
    files.retain(|path, _| {
        let hidden = path.components().any(|c| c.as_os_str().to_string_lossy().starts_with('_'));
        path.starts_with("data")
            && path.extension().is_some_and(|e| e == "parquet")
            && !hidden
            && !path.starts_with("data/dq")
    });
    files
}

fn walk(root: &Path, below: &Path, files: &mut Files, folders: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, files, folders);
            folders.insert(path);
        } else if root.join(&path).is_file()
            && let Ok(content) = std::fs::read(root.join(&path))
        {
            files.insert(path, content);
        }
    }
}

/// A record of the checkpoint with this content.
pub fn seal(record: &serde_json::Value) -> Vec<u8> {
    sluicebox_durable::sealed::seal(record).unwrap()
}

/// What a run said on stderr; fails when it panicked or blames itself.
pub fn said(output: &Output, what: &str) -> String {
    let said = text(&output.stderr);
    assert!(!said.contains("panicked") && !said.contains("a bug in Sluicebox"), "{what}: {said}");
    assert!(output.status.code().is_some(), "{what}: ended by a signal: {said}");
    said
}
