//! What a power loss may leave of what was done.
//!
//! A pure function of a journal and a seed. An entry of a folder (made, linked, renamed, removed) is durable when its
//! folder was synced after the change; a file's content is durable up to what it held when it was synced last. Everything
//! else may be there or not, each by itself, in any subset: a rename alone is one change, whose two names go together. Of
//! content that is not durable any first part may be there, and zeros in place of the rest.
//!
//! A folder that is moved, or two that are exchanged, are one change too, that takes all in them along. What is done below
//! such a folder later is done to what is in it: is the change lost, so it was done where the folder then is.
//!
//! What was there before the journal began is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::journal::Op;

/// What is in the place of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(u64),
    Folder,
}

type Entries = BTreeMap<PathBuf, Entry>;

/// What a file holds after the power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its own bytes up to here.
    pub kept: u64,
    /// Then zeros, up to here.
    pub size: u64,
}

/// A disk after a power loss, as far as the journal speaks of it.
#[derive(Debug, Default)]
pub struct Disk {
    /// What the journal left.
    before: Entries,
    /// What the power loss left.
    after: Entries,
    /// Files that lost content.
    pub contents: BTreeMap<u64, Content>,
}

/// How much is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// All that can be.
    Everything,
    /// Content only: names without bytes, as a filesystem that writes names first leaves them.
    Contents,
    /// Names only.
    Names,
    /// Each thing with this chance, in percent.
    Some(u32),
}

/// Decides what is left.
pub fn lose(ops: &[Op], seed: u64) -> Disk {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mood = match rng.random_range(0..6) {
        0 => Mood::Everything,
        1 => Mood::Contents,
        2 => Mood::Names,
        3 => Mood::Some(10),
        4 => Mood::Some(90),
        _ => Mood::Some(50),
    };
    let lost: BTreeSet<usize> = unsynced(ops)
        .into_iter()
        .filter(|_| match mood {
            Mood::Everything | Mood::Names => true,
            Mood::Contents => false,
            Mood::Some(percent) => rng.random_ratio(percent, 100),
        })
        .collect();
    let initial = initial(ops);
    let contents = if mood == Mood::Names { BTreeMap::new() } else { contents(ops, mood, &mut rng) };
    let after = fold(&initial, ops, |at| !lost.contains(&at));
    Disk { before: fold(&initial, ops, |_| true), after: reachable(after, ops), contents }
}

/// All paths that the journal speaks of and left there, if nothing was lost: for comparing with a real disk.
pub fn left(ops: &[Op]) -> BTreeSet<PathBuf> {
    fold(&initial(ops), ops, |_| true).into_keys().collect()
}

/// Which changes of folders may still be lost.
fn unsynced(ops: &[Op]) -> Vec<usize> {
    let mut open: Vec<(usize, BTreeSet<PathBuf>)> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let folder = |path: &Path| path.parent().unwrap_or(path).to_owned();
        match op {
            Op::SyncDir { path } => {
                for (_, folders) in &mut open {
                    folders.remove(path);
                }
                open.retain(|(_, folders)| !folders.is_empty());
            }
            Op::Link { to: path, .. }
            | Op::Create { path, .. }
            | Op::Remove { path, .. }
            | Op::MakeDir { path }
            | Op::RemoveDir { path } => open.push((at, BTreeSet::from([folder(path)]))),
            Op::Rename { from, to, .. } | Op::MoveDir { from, to } | Op::Exchange { one: from, other: to } => {
                open.push((at, BTreeSet::from([folder(from), folder(to)])));
            }
            Op::Write { .. } | Op::Truncate { .. } | Op::Sync { .. } | Op::There { .. } | Op::ThereDir { .. } => {}
        }
    }
    open.into_iter().map(|(at, _)| at).collect()
}

/// What was there before: names that are removed or replaced and were never made.
fn initial(ops: &[Op]) -> Entries {
    let (mut initial, mut now): (Entries, Entries) = Default::default();
    for (at, op) in ops.iter().enumerate() {
        let old = match op {
            Op::Remove { inode, path } | Op::Rename { inode, from: path, .. } | Op::Link { inode, from: path, .. } => {
                Some((path, Entry::File(*inode)))
            }
            Op::There { inode, path } => Some((path, Entry::File(*inode))),
            Op::RemoveDir { path } | Op::ThereDir { path } => Some((path, Entry::Folder)),
            _ => None,
        };
        // What a folder that was moved took along has been told of before.
        if let Some((path, entry)) = old
            && !now.contains_key(path)
            && !initial.contains_key(path)
        {
            initial.insert(path.clone(), entry);
            now.insert(path.clone(), entry);
        }
        if let Op::Rename { to, replaced, .. } = op
            && *replaced != 0
            && !now.contains_key(to)
        {
            initial.insert(to.clone(), Entry::File(*replaced));
        }
        apply(&mut now, &ops[at]);
    }
    initial
}

fn fold(initial: &Entries, ops: &[Op], happened: impl Fn(usize) -> bool) -> Entries {
    let mut entries = initial.clone();
    let mut lost: Vec<(&Path, &Path)> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::MoveDir { from: one, to: other } | Op::Exchange { one, other } if !happened(at) => {
                lost.push((one, other));
            }
            _ if happened(at) && lost.is_empty() => apply(&mut entries, op),
            _ if happened(at) => apply(&mut entries, &elsewhere(op, &lost)),
            _ => {}
        }
    }
    entries
}

/// `path` where folders that were to get each other's name did not.
fn place(path: &Path, lost: &[(&Path, &Path)]) -> PathBuf {
    let mut path = path.to_owned();
    for (one, other) in lost.iter().rev() {
        let below = |dir: &Path| path.strip_prefix(dir).ok().map(Path::to_owned);
        if let Some(rest) = below(one) {
            path = joined(other, &rest);
        } else if let Some(rest) = below(other) {
            path = joined(one, &rest);
        }
    }
    path
}

/// `op`, done to what is at its paths when the changes of folders in `lost` have not happened.
fn elsewhere(op: &Op, lost: &[(&Path, &Path)]) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Create { path, .. }
        | Op::Remove { path, .. }
        | Op::MakeDir { path }
        | Op::RemoveDir { path }
        | Op::SyncDir { path }
        | Op::There { path, .. }
        | Op::ThereDir { path } => *path = place(path, lost),
        Op::Link { from, to, .. }
        | Op::Rename { from, to, .. }
        | Op::MoveDir { from, to }
        | Op::Exchange { one: from, other: to } => {
            (*from, *to) = (place(from, lost), place(to, lost));
        }
        Op::Write { .. } | Op::Truncate { .. } | Op::Sync { .. } => {}
    }
    op
}

/// Takes all in and at `dir` out, by its path below it.
fn take_tree(entries: &mut Entries, dir: &Path) -> Vec<(PathBuf, Entry)> {
    let taken: Vec<PathBuf> = entries.keys().filter(|p| p.starts_with(dir)).cloned().collect();
    let below = |path: &Path| path.strip_prefix(dir).unwrap_or(path).to_owned();
    taken.iter().filter_map(|path| Some((below(path), entries.remove(path)?))).collect()
}

fn put_tree(entries: &mut Entries, dir: &Path, tree: Vec<(PathBuf, Entry)>) {
    entries.extend(tree.into_iter().map(|(below, entry)| (joined(dir, &below), entry)));
}

/// The path `below` a folder; the folder itself is there under an empty one.
fn joined(dir: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { dir.to_owned() } else { dir.join(below) }
}

fn apply(entries: &mut Entries, op: &Op) {
    match op {
        Op::Create { inode, path } => {
            entries.insert(path.clone(), Entry::File(*inode));
        }
        Op::Link { inode, to, .. } => {
            entries.insert(to.clone(), Entry::File(*inode));
        }
        Op::Rename { inode, from, to, .. } => {
            entries.remove(from);
            entries.insert(to.clone(), Entry::File(*inode));
        }
        Op::Remove { path, .. } => {
            entries.remove(path);
        }
        Op::MakeDir { path } => {
            entries.insert(path.clone(), Entry::Folder);
        }
        Op::RemoveDir { path } => entries.retain(|p, _| !p.starts_with(path)),
        Op::MoveDir { from, to } => {
            let tree = take_tree(entries, from);
            put_tree(entries, to, tree);
        }
        Op::Exchange { one, other } => {
            let (first, second) = (take_tree(entries, one), take_tree(entries, other));
            put_tree(entries, other, first);
            put_tree(entries, one, second);
        }
        Op::Write { .. }
        | Op::Truncate { .. }
        | Op::Sync { .. }
        | Op::SyncDir { .. }
        | Op::There { .. }
        | Op::ThereDir { .. } => {}
    }
}

/// Less what lies in folders that are gone.
fn reachable(mut entries: Entries, ops: &[Op]) -> Entries {
    let folders: BTreeSet<&PathBuf> = ops
        .iter()
        .flat_map(|op| match op {
            Op::MakeDir { path } | Op::RemoveDir { path } | Op::ThereDir { path } => vec![path],
            Op::MoveDir { from: one, to: other } | Op::Exchange { one, other } => vec![one, other],
            _ => Vec::new(),
        })
        .collect();
    let gone: BTreeSet<PathBuf> =
        folders.into_iter().filter(|f| entries.get(*f) != Some(&Entry::Folder)).cloned().collect();
    entries.retain(|path, _| !path.ancestors().any(|a| gone.contains(a)));
    entries
}

#[derive(Debug, Default, Clone, Copy)]
struct Written {
    size: u64,
    durable: u64,
}

fn contents(ops: &[Op], mood: Mood, rng: &mut SmallRng) -> BTreeMap<u64, Content> {
    let mut files: BTreeMap<u64, Written> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Create { inode, .. } => {
                files.insert(*inode, Written::default());
            }
            Op::Write { inode, from, len } => {
                let file = files.entry(*inode).or_insert(Written { size: *from, durable: *from });
                file.size = file.size.max(from + len);
                file.durable = file.durable.min(*from);
            }
            Op::Truncate { inode, len } => {
                let file = files.entry(*inode).or_insert(Written { size: *len, durable: *len });
                file.size = *len;
                file.durable = file.durable.min(*len);
            }
            Op::Sync { inode } => {
                if let Some(file) = files.get_mut(inode) {
                    file.durable = file.size;
                }
            }
            _ => {}
        }
    }
    let mut contents = BTreeMap::new();
    for (inode, file) in files.into_iter().filter(|(_, f)| f.durable < f.size) {
        let (kept, zeros) = match mood {
            Mood::Everything => (file.durable, false),
            Mood::Some(percent) if !rng.random_ratio(percent, 100) => continue,
            _ => (rng.random_range(file.durable..file.size), rng.random_ratio(1, 3)),
        };
        contents.insert(inode, Content { kept, size: if zeros { file.size } else { kept } });
    }
    contents
}

impl Disk {
    /// Makes the real disk so. `files` holds every file that the journal speaks of, by inode.
    pub fn make(&self, files: &Path) {
        let file = |inode: u64| files.join(inode.to_string());
        for (inode, content) in &self.contents {
            let open = std::fs::OpenOptions::new().write(true).open(file(*inode)).unwrap();
            open.set_len(content.kept).unwrap();
            open.set_len(content.size).unwrap();
        }
        // Inner before outer, then outer before inner.
        for (path, entry) in self.before.iter().rev().filter(|(p, e)| self.after.get(*p) != Some(e)) {
            match entry {
                Entry::File(_) => std::fs::remove_file(path).unwrap(),
                Entry::Folder => std::fs::remove_dir_all(path).unwrap(),
            }
        }
        for (path, entry) in self.after.iter().filter(|(p, e)| self.before.get(*p) != Some(e)) {
            match entry {
                Entry::File(inode) => std::fs::hard_link(file(*inode), path).unwrap(),
                Entry::Folder => std::fs::create_dir(path).unwrap(),
            }
        }
    }

    /// How many names and files it took.
    pub fn losses(&self) -> usize {
        let names = self.before.iter().filter(|(p, e)| self.after.get(*p) != Some(e)).count()
            + self.after.iter().filter(|(p, e)| self.before.get(*p) != Some(e)).count();
        names + self.contents.len()
    }
}

#[test]
fn what_was_synced_stays_and_what_was_not_goes_in_any_subset() {
    let path = |p: &str| PathBuf::from(p);
    let mut ops = vec![
        Op::Create { inode: 1, path: path("/d/.tmp") },
        Op::Write { inode: 1, from: 0, len: 8 },
        Op::Sync { inode: 1 },
        Op::Link { inode: 1, from: path("/d/.tmp"), to: path("/d/x") },
        Op::Remove { inode: 1, path: path("/d/.tmp") },
    ];
    let disks: Vec<Disk> = (0..200).map(|seed| lose(&ops, seed)).collect();
    assert!(disks.iter().all(|d| d.contents.is_empty()), "the content was synced");
    for wanted in [vec![], vec!["/d/.tmp"], vec!["/d/x"], vec!["/d/.tmp", "/d/x"]] {
        let wanted: BTreeSet<PathBuf> = wanted.into_iter().map(PathBuf::from).collect();
        assert!(disks.iter().any(|d| d.after.keys().cloned().collect::<BTreeSet<_>>() == wanted), "{wanted:?}");
    }
    ops.push(Op::SyncDir { path: path("/d") });
    ops.push(Op::Write { inode: 1, from: 8, len: 8 });
    for seed in 0..200 {
        let disk = lose(&ops, seed);
        assert_eq!(disk.before, disk.after);
        assert!(disk.contents.get(&1).is_none_or(|c| (8..16).contains(&c.kept)), "{disk:?}");
    }
}

#[test]
fn folders_are_exchanged_with_all_in_them_or_not_at_all() {
    let path = |p: &str| PathBuf::from(p);
    let mut ops = vec![
        Op::MakeDir { path: path("/s/1") },
        Op::Create { inode: 9, path: path("/s/1/new") },
        Op::SyncDir { path: path("/s/1") },
        Op::SyncDir { path: path("/s") },
        Op::ThereDir { path: path("/s/1") },
        Op::There { inode: 9, path: path("/s/1/new") },
        Op::ThereDir { path: path("/t/d=1") },
        Op::There { inode: 5, path: path("/t/d=1/old") },
        Op::Exchange { one: path("/s/1"), other: path("/t/d=1") },
        Op::Remove { inode: 5, path: path("/s/1/old") },
    ];
    let outcomes = |ops: &[Op]| -> BTreeSet<Vec<String>> {
        let names = |disk: Disk| disk.after.keys().map(|p| p.display().to_string()).collect();
        (0..200).map(|seed| names(lose(ops, seed))).collect()
    };
    let whole = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let exchanged = whole(&["/s/1", "/t/d=1", "/t/d=1/new"]);
    let found = outcomes(&ops);
    assert!(found.contains(&whole(&["/s/1", "/s/1/new", "/t/d=1", "/t/d=1/old"])), "neither: {found:?}");
    assert!(found.contains(&whole(&["/s/1", "/s/1/new", "/t/d=1"])), "only the removal, of the old file: {found:?}");
    assert!(found.contains(&exchanged), "{found:?}");
    // In one of the two folders is not enough.
    ops.insert(9, Op::SyncDir { path: path("/t") });
    assert!(outcomes(&ops).contains(&whole(&["/s/1", "/s/1/new", "/t/d=1"])));
    ops.insert(10, Op::SyncDir { path: path("/s") });
    ops.push(Op::SyncDir { path: path("/s/1") });
    assert_eq!(outcomes(&ops), BTreeSet::from([exchanged]));
}
