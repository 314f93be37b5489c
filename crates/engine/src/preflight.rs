//! Checks before a first start writes anything, so that a refused start leaves nothing behind.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::Scope;
use sluicebox_durable::{self as durable, FileError};
use sluicebox_evolve::{EvolveError, Logs, named, refresh};
use sluicebox_pipeline::graph::Graph;
use sluicebox_runtime::outputs::{Outputs, refuse_in_table};
use sluicebox_sinks::{Owner, Sinks, owner};

use crate::EngineError;
use crate::begin::Begin;
use crate::config::Config;
use crate::opening::{identities, new_runner};

/// A filesystem that a pipeline writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The folder that holds all that is written to it, or will be.
    pub folder: PathBuf,
    /// Bytes that are free for this user.
    pub free_bytes: u64,
}

/// What a first start needs of every filesystem that it writes to, in bytes: the records of a checkpoint and the marks of
/// its tables, many times over. With less it would fail half-way through making them.
const LEAST_FREE_BYTES: u64 = 1 << 20;

/// What the system says of a filesystem that is full.
const ENOSPC: i32 = 28;

/// What a first start has learned before it wrote anything.
pub(crate) struct Learned {
    pub logs: Logs,
    pub begins: BTreeMap<String, Begin>,
}

/// Makes sure that the folders of a pipeline are its own or nobody's, that they lie apart, that files can be published in
/// them, and that a first start has the room to make its records. `full_refresh` says that the start is asked for one,
/// `take_tables` that it may take the tables of lost checkpoints. Nothing is left behind. Gives the filesystems that the
/// folders are on.
///
/// # Errors
/// What a start would be refused with.
pub fn check_folders(
    graph: &Graph,
    (working_dir, data_dir): (&Path, &Path),
    sinks: &Sinks,
    checkpoint: &Checkpoint,
    (full_refresh, take_tables): (bool, bool),
) -> Result<Vec<Room>, EngineError> {
    let outputs = Outputs::try_new(graph, working_dir, data_dir, sinks)?;
    outputs.refuse_shared(checkpoint.root())?;
    let is_new = checkpoint.is_new()?;
    if is_new {
        refuse_in_table(checkpoint.root())?;
    }
    let mut there: Vec<PathBuf> = vec![sluicebox_sinks::existing(checkpoint.root())?.to_owned()];
    if is_new && full_refresh {
        refresh::refuse_foreign(&outputs, "", checkpoint.root(), take_tables)?;
    }
    for folder in outputs.folders() {
        if is_new && !full_refresh {
            let home = |owner: &Owner| named::home(owner, checkpoint.root());
            if let Err(error) = owner::check_unowned(&folder.location, outputs.pipeline(), home) {
                // Another run may have begun here since the first look: the files are its own then.
                return Err(if checkpoint.is_new()? { error.into() } else { EvolveError::Moved.into() });
            }
        }
        there.push(sluicebox_sinks::existing(&folder.location)?.to_owned());
    }
    there.sort();
    there.dedup();
    let mut filesystems: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for folder in there {
        sluicebox_sinks::try_out(&folder)?;
        let device = folder.metadata().map_or(0, |found| found.dev());
        let around = match filesystems.remove(&device) {
            Some(other) => common(&other, &folder),
            None => folder,
        };
        filesystems.insert(device, around);
    }
    // A filesystem that does not tell its room is nobody's trouble.
    let room = |folder: PathBuf| Room { free_bytes: durable::free_bytes(&folder).unwrap_or(u64::MAX), folder };
    let rooms: Vec<Room> = filesystems.into_values().map(room).collect();
    if is_new {
        rooms.iter().try_for_each(refuse_full)?;
    }
    Ok(rooms)
}

/// Stops a first start on a filesystem that is full, before it has made anything.
fn refuse_full(room: &Room) -> Result<(), FileError> {
    if room.free_bytes < LEAST_FREE_BYTES {
        return Err(FileError::new("write in", &room.folder, io::Error::from_raw_os_error(ENOSPC)));
    }
    Ok(())
}

/// The innermost folder that both lie in.
fn common(one: &Path, other: &Path) -> PathBuf {
    one.ancestors().find(|folder| other.starts_with(folder)).unwrap_or(one).to_owned()
}

/// Everything that a first start may be refused for, asked before it writes anything; `None` when it is not the first. Every
/// start is refused here when its folders do not lie apart, or what is to be its checkpoint is none: it leaves nothing in what may
/// be another's.
pub(crate) async fn first_start(config: &mut Config) -> Result<Option<Learned>, EngineError> {
    Outputs::try_new(&config.graph, &config.working_dir, &config.data_dir, &config.sinks)?
        .refuse_shared(config.checkpoint.root())?;
    config.checkpoint.refuse_no_checkpoint()?;
    if !config.checkpoint.is_new()? {
        return Ok(None);
    }
    let folders = (config.working_dir.as_path(), config.data_dir.as_path());
    let asked = (config.full_refresh, config.take_tables);
    check_folders(&config.graph, folders, &config.sinks, &config.checkpoint, asked)?;
    new_runner(config)?;
    let logs = identities(&mut config.sources).await?;
    let mut begins = BTreeMap::new();
    for binding in config.sources.iter_mut().filter(|b| Scope::of(&b.name).is_live()) {
        begins.insert(binding.name.clone(), Begin::first(binding.source.as_mut(), &binding.starting).await?);
    }
    Ok(Some(Learned { logs, begins }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_first_start_on_a_full_filesystem_is_refused_with_the_way_out() {
        let room = |free_bytes| Room { folder: PathBuf::from("/full"), free_bytes };
        refuse_full(&room(LEAST_FREE_BYTES)).unwrap();
        refuse_full(&room(u64::MAX)).unwrap();
        let refused = refuse_full(&room(LEAST_FREE_BYTES - 1)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "cannot write in /full: No space left on device (os error 28); make room on its filesystem and run again: nothing is \
             lost"
        );
    }
}
