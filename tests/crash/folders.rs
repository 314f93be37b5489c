//! Every folder that a run makes is durable before something rests on it, also those between a table's own and the files.
//!
//! A power loss takes a folder in the middle in few of many cases; here its sync is looked for in the journal of a run that
//! nothing disturbs, and in that of one that goes on with what a killed one made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::journal::Op;
use crate::scenarios;
use crate::world::World;

fn is_staged(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "staged")
}

/// What a journal says.
#[derive(Default)]
struct Followed {
    /// Folders whose own names a power loss would take.
    open: BTreeSet<PathBuf>,
    /// How many commits there were, and how many staged names went.
    commits: u32,
    removed: u32,
}

/// A commit names staged files: their folders must be there after a power loss. When the staged names go, the published ones
/// are the only ones left: then all must be.
fn follow(world: &World) -> Followed {
    let data = world.path().join("data");
    let commits = world.path().join("checkpoints/crash/commits");
    let mut found = Followed::default();
    for op in world.journal() {
        let open = &mut found.open;
        match op {
            Op::MakeDir { path } if path.starts_with(&data) => drop(open.insert(path)),
            Op::RemoveDir { path } => open.retain(|made| !made.starts_with(&path)),
            Op::SyncDir { path } => open.retain(|made| made.parent() != Some(path.as_path())),
            Op::Link { to, .. } if to.starts_with(&commits) => {
                let staging = open.iter().find(|made| made.iter().any(|part| part == "_staging"));
                assert!(staging.is_none(), "{} names files in {staging:?}, which is not durable", to.display());
                found.commits += 1;
            }
            Op::Remove { path, .. } if is_staged(&path) => {
                assert!(open.is_empty(), "{} goes, and not durable are {open:#?}", path.display());
                found.removed += 1;
            }
            _ => {}
        }
    }
    found
}

/// Folders with two others between them and LOCATION.
fn deep(folders: impl Iterator<Item = PathBuf>) -> usize {
    let in_one = |folder: &PathBuf| {
        let above = folder.parent().and_then(Path::file_name);
        above.is_some_and(|name| name.to_string_lossy().starts_with("plan_tier="))
    };
    folders.filter(in_one).count()
}

#[test]
fn every_folder_on_the_way_to_a_file_is_durable_before_something_rests_on_it() {
    let world = scenarios::undisturbed();
    let Followed { open, commits, removed } = follow(&world);
    assert!(open.is_empty(), "not durable at the end: {open:#?}");
    let made =
        world.journal().into_iter().filter_map(|op| if let Op::MakeDir { path } = op { Some(path) } else { None });
    let deep = deep(made);
    assert!(deep > 1 && commits > 2 && removed > 10, "{deep} deep folders, {commits} commits, {removed} files");
}

/// The next run finds the folders, and cannot know whether somebody has synced them.
#[test]
fn every_folder_that_a_killed_run_made_is_durable_before_something_rests_on_it() {
    // All folders of the first batch are there, and none of its files.
    let world = scenarios::killed("publish.link:before:1");
    let left = follow(&world).open;
    assert!(deep(left.iter().cloned()) > 0, "every deep folder is durable: {left:#?}");
    scenarios::go_on(&world);
    let Followed { open, commits, removed } = follow(&world);
    assert!(open.is_empty(), "not durable at the end: {open:#?}");
    assert!(commits > 2 && removed > 10, "{commits} commits, {removed} files");
}
