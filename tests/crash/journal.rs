//! The journal of a run (`SLUICEBOX_FAULT_JOURNAL`), read back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What was done to files; see `crates/durable/src/fault/journal.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Create {
        inode: u64,
        path: PathBuf,
    },
    Write {
        inode: u64,
        from: u64,
        len: u64,
    },
    Truncate {
        inode: u64,
        len: u64,
    },
    Sync {
        inode: u64,
    },
    Link {
        inode: u64,
        from: PathBuf,
        to: PathBuf,
    },
    Rename {
        inode: u64,
        from: PathBuf,
        to: PathBuf,
        replaced: u64,
    },
    Remove {
        inode: u64,
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    RemoveDir {
        path: PathBuf,
    },
    SyncDir {
        path: PathBuf,
    },
    /// A folder, with all in it.
    MoveDir {
        from: PathBuf,
        to: PathBuf,
    },
    /// Two folders, with all in them.
    Exchange {
        one: PathBuf,
        other: PathBuf,
    },
    /// What a folder that is moved or exchanged holds.
    There {
        inode: u64,
        path: PathBuf,
    },
    ThereDir {
        path: PathBuf,
    },
}

/// The journal in `folder`; none was written if it is not there.
pub fn read(folder: &Path) -> Vec<Op> {
    let text = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("journal: {line}"))).collect()
}

fn parse(line: &str) -> Option<Op> {
    let fields: Vec<&str> = line.split('\t').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let path = |at: usize| Some(PathBuf::from(fields.get(at)?));
    Some(match *fields.first()? {
        "create" => Op::Create { inode: number(1)?, path: path(2)? },
        "write" => Op::Write { inode: number(1)?, from: number(2)?, len: number(3)? },
        "truncate" => Op::Truncate { inode: number(1)?, len: number(2)? },
        "sync" => Op::Sync { inode: number(1)? },
        "link" => Op::Link { inode: number(1)?, from: path(2)?, to: path(3)? },
        "rename" => Op::Rename { inode: number(1)?, from: path(2)?, to: path(3)?, replaced: number(4)? },
        "remove" => Op::Remove { inode: number(1)?, path: path(2)? },
        "mkdir" => Op::MakeDir { path: path(1)? },
        "rmdir" => Op::RemoveDir { path: path(1)? },
        "movedir" => Op::MoveDir { from: path(1)?, to: path(2)? },
        "exchange" => Op::Exchange { one: path(1)?, other: path(2)? },
        "there" => Op::There { inode: number(1)?, path: path(2)? },
        "thered" => Op::ThereDir { path: path(1)? },
        "syncdir" => Op::SyncDir { path: path(1)? },
        _ => return None,
    })
}

/// The checksums of staged files that were written to their end and synced, by folder and name: a batch that is replayed
/// must give the same.
pub fn staged(folder: &Path, ops: &[Op]) -> BTreeMap<PathBuf, Vec<u64>> {
    let mut created: BTreeMap<u64, &Path> = BTreeMap::new();
    let mut found: BTreeMap<PathBuf, Vec<u64>> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Create { inode, path } if path.extension().is_some_and(|e| e == "staged") || waits(path).is_some() => {
                created.insert(*inode, path);
            }
            Op::Sync { inode } => {
                let Some(path) = created.remove(inode) else { continue };
                // <location>/_staging/<epoch>/<name>
                let location = path.ancestors().nth(3).unwrap_or(path);
                let key = waits(path).unwrap_or_else(|| location.join(path.file_name().unwrap_or_default()));
                let content = std::fs::read(folder.join("files").join(inode.to_string())).unwrap();
                found.entry(key).or_default().push(hash(&content));
            }
            _ => {}
        }
    }
    found
}

/// `<table>.<batch>` for a file `outbox/<table>/<batch>-<epoch>.arrow`: rows that wait for their transaction.
fn waits(path: &Path) -> Option<PathBuf> {
    let (batch, _) = path.file_name()?.to_str()?.strip_suffix(".arrow")?.split_once('-')?;
    let table = path.parent()?;
    (table.parent()?.file_name()? == "outbox").then(|| table.with_extension(batch))
}

/// A checksum that is the same in every run.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
