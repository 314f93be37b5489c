//! What kinds of files there are, and what a run does when one of them is damaged: the table of `docs/semantics.md`,
//! "Damaged files", as code.

use std::path::Path;

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    Removed,
    Emptied,
    Halved,
    BitFlipped,
    /// By another whole file of the same kind.
    Replaced,
    /// By a FIFO, which nobody writes to.
    Fifo,
}

pub const DAMAGES: [Damage; 6] =
    [Damage::Removed, Damage::Emptied, Damage::Halved, Damage::BitFlipped, Damage::Replaced, Damage::Fifo];

/// What a run does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It stops, and its message names the file.
    Stops,
    /// It goes on, and the tables are right.
    GoesOn,
    /// Either, by what the damage hit; never anything else.
    Either,
}

/// A kind of file, for sampling and for messages. `current` tells what the newest batch stands on from what is only kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub name: &'static str,
    pub current: bool,
}

/// The kind of a file below the project that a run depends on; `None` for those that it does not read: published files,
/// which `checkpoint verify` compares, and the pipeline's text. A file that no line knows fails the test.
pub fn kind_of(path: &Path, is_current: impl Fn(&Path) -> bool) -> Option<Kind> {
    let text = path.to_str().unwrap();
    let kind = |name| Some(Kind { name, current: is_current(path) });
    if let Some(below) = text.strip_prefix("checkpoints/revenue_5m/") {
        let folder = below.split('/').next().unwrap_or_default();
        return match (folder, path.file_name().and_then(|n| n.to_str()).unwrap_or_default()) {
            ("metadata", _) => kind("metadata"),
            ("lock", _) => kind("lock"),
            ("refresh", _) => kind("refresh"),
            ("epochs", _) => kind("epoch"),
            ("pipelines", _) => kind("pipeline"),
            ("offsets", _) => kind("plan"),
            ("commits", _) => kind("commit"),
            ("compactions", _) => kind("compaction"),
            ("state", name) if name.ends_with(".segment") => kind("state segment"),
            ("state", _) => kind("state"),
            ("sources", "start") => kind("start"),
            ("sources", "reader") => kind("reader"),
            ("sources", name) if name.ends_with(".json") => kind("schema"),
            _ => panic!("a kind of checkpoint file that the test does not know: {text}"),
        };
    }
    if let Some(below) = text.strip_prefix("data/.log/") {
        return match below {
            _ if below.ends_with("@lock") => kind("log lock"),
            "@log.json" => kind("log id"),
            _ if below.ends_with("@topic.json") => kind("topic"),
            _ if below.starts_with("registry/") => kind("registry"),
            _ if below.ends_with(".log") => kind("segment"),
            _ => panic!("a kind of log file that the test does not know: {text}"),
        };
    }
    if text.ends_with("_sluicebox_owner") {
        return kind("mark");
    }
    if text.contains("/_staging/") {
        // Of a batch that was stopped: committed files are compared when they are published, others are swept.
        return None;
    }
    let published = text.ends_with(".parquet") || text.ends_with("report.json");
    assert!(published || text.starts_with("sql/"), "a kind of file that the test does not know: {text}");
    None
}

/// What a run does when a file of this kind is damaged.
pub fn expected(kind: &Kind, damage: Damage) -> Expect {
    match (kind.name, damage) {
        // They are opened for their locks; those of the log are where it is written to.
        ("lock" | "epoch" | "mark", Damage::Fifo) => Expect::Stops,
        ("log lock", Damage::Fifo) => Expect::Either,
        // Their content is of no account; the next epoch stands above every record's.
        ("lock" | "log lock" | "epoch", _) => Expect::GoesOn,
        // Only the newest pair, and what it names, is read.
        ("plan" | "commit" | "state" | "state segment" | "compaction", _) if !kind.current => Expect::GoesOn,
        // An exchange is done or not, as the folders say. Without the record of one since the newest commit, files of that
        // commit are missed: see `compactions`.
        ("compaction", Damage::Removed) => Expect::GoesOn,
        // Of a segment's data a run checks what it looks into.
        ("state segment", Damage::BitFlipped) => Expect::Either,
        ("state segment", _) => Expect::Stops,
        ("metadata" | "pipeline" | "plan" | "commit" | "compaction", _) => Expect::Stops,
        ("state" | "start" | "reader" | "refresh", _) => Expect::Stops,
        // Fetched again while the registry can be reached.
        ("schema", Damage::Removed) => Expect::GoesOn,
        ("schema", _) => Expect::Stops,
        // Marks of one pipeline differ in nothing that counts, and one that is gone from an empty folder is set again.
        ("mark", Damage::Replaced) => Expect::GoesOn,
        ("mark", Damage::Removed) if kind.current => Expect::Stops,
        ("mark", Damage::Removed) => Expect::GoesOn,
        ("mark", Damage::Emptied | Damage::Halved) => Expect::Stops,
        // In the embedded log a run reads only what it has not read yet.
        ("mark" | "log id" | "topic" | "registry" | "segment", _) => Expect::Either,
        (other, _) => panic!("no line for {other}"),
    }
}
