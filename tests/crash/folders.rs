//! Every folder that a run makes is durable before something rests on it, also those between a table's own and the files.
//!
//! A power loss takes a folder in the middle in few of many cases; here its sync is looked for in the journal of a run that
//! nothing disturbs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::journal::Op;
use crate::scenarios;

fn is_staged(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "staged")
}

/// A commit names staged files: their folders must be there after a power loss. When the staged names go, the published ones
/// are the only ones left: then all must be.
#[test]
fn every_folder_on_the_way_to_a_file_is_durable_before_something_rests_on_it() {
    let world = scenarios::undisturbed();
    let data = world.path().join("data");
    let commits = world.path().join("checkpoints/crash/commits");
    // Folders whose own names a power loss would take.
    let mut open: BTreeSet<PathBuf> = BTreeSet::new();
    let (mut deep, mut committed, mut removed) = (0, 0, 0);
    for op in world.journal() {
        match op {
            Op::MakeDir { path } if path.starts_with(&data) => {
                let above = path.parent().and_then(Path::file_name).unwrap();
                deep += u32::from(above.to_string_lossy().starts_with("plan_tier="));
                open.insert(path);
            }
            Op::RemoveDir { path } => open.retain(|made| !made.starts_with(&path)),
            Op::SyncDir { path } => open.retain(|made| made.parent() != Some(path.as_path())),
            Op::Link { to, .. } if to.starts_with(&commits) => {
                let staging = open.iter().find(|made| made.iter().any(|part| part == "_staging"));
                assert!(staging.is_none(), "{} names files in {staging:?}, which is not durable", to.display());
                committed += 1;
            }
            Op::Remove { path, .. } if is_staged(&path) => {
                assert!(open.is_empty(), "{} goes, and not durable are {open:#?}", path.display());
                removed += 1;
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "not durable at the end: {open:#?}");
    assert!(deep > 1 && committed > 2 && removed > 10, "{deep} deep folders, {committed} commits, {removed} files");
}
