//! A journal of every file operation of a run, in order. Tests compute from it which states a power loss could have left.
//!
//! One line an operation, fields separated by tabs, paths absolute, files identified by inode:
//!
//! ```text
//! create    INODE PATH         write     INODE FROM LENGTH     truncate  INODE LENGTH     sync    INODE
//! link      INODE FROM TO      rename    INODE FROM TO OLD     remove    INODE PATH
//! mkdir     PATH               rmdir     PATH                  syncdir   PATH
//! movedir   FROM TO            exchange  PATH PATH
//! there     INODE PATH         thered    PATH
//! ```
//!
//! The last two precede a `movedir` or `exchange`, one for each file and folder that it moves, since the journal may not have seen them
//! before.
//!
//! OLD is the file that had the name TO before, 0 if there was none.
//!
//! The journal links every file that a run touches into `files/` under its inode number. So the filesystem never reuses the number, and the
//! file's last content stays readable.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::Effect;

struct Journal {
    file: File,
    files: PathBuf,
}

static JOURNAL: LazyLock<Option<Journal>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("SLUICEBOX_FAULT_JOURNAL")?);
    let files = folder.join("files");
    fs::create_dir_all(&files).ok()?;
    let file = OpenOptions::new().create(true).append(true).open(folder.join("journal")).ok()?;
    Some(Journal { file, files })
});

pub(super) fn is_wanted() -> bool {
    let wanted = std::env::var_os("SLUICEBOX_FAULT_JOURNAL").is_some();
    if wanted && JOURNAL.is_none() {
        // A run without the journal that was asked for would prove nothing.
        std::process::abort();
    }
    wanted
}

/// What has to be known before an effect is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The file at the path, if there is one.
    inode: Option<u64>,
    /// What a rename replaces.
    replaced: Option<u64>,
}

pub(super) fn before(effect: Effect, path: &Path, to: Option<&Path>) -> Before {
    if matches!(effect, Effect::RenameFolder | Effect::Exchange) {
        [Some(path), to].into_iter().flatten().for_each(there);
    }
    Before {
        replaced: to.and_then(keep),
        inode: if matches!(effect, Effect::Read | Effect::List) { None } else { keep(path) },
    }
}

pub(super) fn after(effect: Effect, path: &Path, to: Option<&Path>, before: Before) {
    let inode = before.inode.or_else(|| keep(path)).unwrap_or(0);
    let (from, to) = (shown(path), to.map_or_else(String::new, shown));
    match effect {
        Effect::Open | Effect::Create if before.inode.is_none() => line(&format!("create\t{inode}\t{from}")),
        Effect::Create => line(&format!("truncate\t{inode}\t0")),
        Effect::Truncate => line(&format!("truncate\t{inode}\t{}", length(path))),
        Effect::Sync => line(&format!("sync\t{inode}")),
        Effect::Link => line(&format!("link\t{inode}\t{from}\t{to}")),
        Effect::Rename => line(&format!("rename\t{inode}\t{from}\t{to}\t{}", before.replaced.unwrap_or(0))),
        Effect::Tidy | Effect::Remove => line(&format!("remove\t{inode}\t{from}")),
        Effect::RenameFolder => line(&format!("movedir\t{from}\t{to}")),
        Effect::Exchange => line(&format!("exchange\t{from}\t{to}")),
        Effect::Folder => line(&format!("mkdir\t{from}")),
        Effect::RemoveFolder => line(&format!("rmdir\t{from}")),
        Effect::SyncFolder => line(&format!("syncdir\t{from}")),
        Effect::Open | Effect::List | Effect::Read | Effect::Write | Effect::Fetch | Effect::Call => {}
    }
}

pub(super) fn written(path: &Path, at: u64, bytes: usize) {
    if let Some(inode) = keep(path) {
        line(&format!("write\t{inode}\t{at}\t{bytes}"));
    }
}

/// Tells of everything in a folder, and of the folder.
fn there(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    line(&format!("thered\t{}", shown(dir)));
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        match keep(&path) {
            Some(inode) => line(&format!("there\t{inode}\t{}", shown(&path))),
            None => there(&path),
        }
    }
}

/// The path absolute, and without what may be written in more than one way.
fn shown(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.components().collect::<PathBuf>().display().to_string()
}

/// Links the file at `path` under its inode's number; `None` if there is none.
fn keep(path: &Path) -> Option<u64> {
    let journal = JOURNAL.as_ref()?;
    let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let kept = journal.files.join(metadata.ino().to_string());
    if !kept.exists() && fs::hard_link(path, &kept).is_err() {
        std::process::abort();
    }
    Some(metadata.ino())
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

fn line(text: &str) {
    if let Some(journal) = JOURNAL.as_ref()
        && (&journal.file).write_all(format!("{text}\n").as_bytes()).is_err()
    {
        std::process::abort();
    }
}
