//! Every sealed file, of any content: as it is, or with a right first line and checksum. A file that is accepted gives the same content
//! when it is written again. The error of a refused file names it.
//!
//! Input: a byte that chooses the file, and whose highest bit says that the target seals the rest; then the file.

use std::fmt::Debug;
use std::fs;
use std::path::{Component, Path};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sluicebox_checkpoint::records::{Commit, Compaction, Epoch, Metadata, Offsets, Refresh, SourceStart};
use sluicebox_checkpoint::{Checkpoint, CheckpointError, envelope};
use sluicebox_core::SystemClock;
use sluicebox_durable::checksum;
use sluicebox_durable::sealed::seal;
use sluicebox_formats::SourcePin;
use sluicebox_registry::{RegistryStore, SchemaCache, SchemaKey};
use sluicebox_sinks::{Owner, owner};
use sluicebox_upkeep::verify::verify;

use crate::input::{array, folder};

/// A checkpoint of one batch that nothing is wrong with.
const METADATA: &str = r#"{"id":"q","generation":1,"pipeline":"p","created_micros":0,"plan_partitions":1,"logs":{}}"#;
const OFFSETS: &str = r#"{"batch_id":0,"epoch":1,"clock_micros":0,"finishing":false,"watermarks":{},"ranges":[],
    "run_end":null,"sql_hash":""}"#;
const COMMIT: &str = r#"{"batch_id":0,"epoch":1,"files":[],"positions":[],"watermarks":{},"schemas":{},"state":{}}"#;

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut content = format!("v1 {}\n", checksum(body)).into_bytes();
    content.extend_from_slice(body);
    content
}

fn put(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A record as it is read.
fn record<T: Serialize + DeserializeOwned + PartialEq + Debug>(content: &[u8]) {
    let path = Path::new("folder/of a record");
    let read = |content: &[u8]| envelope::unwrap::<T>(path, content);
    match read(content) {
        Ok(value) => assert_eq!(read(&seal(&value).unwrap()).unwrap(), value, "what is read is what was written"),
        Err(error) => names(&error, path),
    }
}

fn names(error: &dyn std::error::Error, path: &Path) {
    let (said, path) = (error.to_string(), path.display().to_string());
    assert!(said.contains(&path), "{path} is not named: {said}");
}

/// The mark of a folder, inside it as an earlier version made it, or beside it. It is believed or refused, and stays.
fn mark(content: &[u8], is_beside: bool) {
    let dir = folder();
    let table = dir.path().join("t");
    fs::create_dir(&table).unwrap();
    let path = if is_beside { owner::mark(&table) } else { table.join(owner::MARK) };
    fs::write(&path, content).unwrap();
    let ours = Owner {
        query_id: "q".into(),
        generation: 1,
        pipeline: "p".into(),
        table: "t".into(),
        checkpoint: "c".into(),
        host: String::new(),
    };
    let taken = owner::claim(&table, &ours).is_ok();
    assert_eq!(fs::read(&path).unwrap(), content, "nobody writes over a mark");
    match owner::read(&table) {
        Ok(found) => {
            let found = found.unwrap();
            assert_eq!(taken, found.is_same(&ours), "whose folder it is: {found}");
            fs::write(&path, seal(&found).unwrap()).unwrap();
            assert_eq!(owner::read(&table).unwrap(), Some(found), "what is read is what was written");
        }
        Err(error) => {
            assert!(!taken);
            names(&error, &path);
        }
    }
}

/// The schema of an id, as the checkpoint keeps it.
fn schema(content: &[u8]) {
    let dir = folder();
    let path = dir.path().join("id-1.json");
    fs::write(&path, content).unwrap();
    let key = SchemaKey::Id(1);
    match SchemaCache::open(dir.path()).unwrap().get(key) {
        Ok(text) => {
            let (again, text) = (SchemaCache::at(dir.path().join("again")), text.unwrap());
            again.put(key, &text).unwrap();
            assert_eq!(again.get(key).unwrap(), Some(text), "what is read is what was written");
        }
        Err(error) => names(&error, &path),
    }
}

pub(crate) fn run(mut input: &[u8]) {
    let [what] = array(&mut input);
    let content = if what & 0x80 == 0 { input.to_vec() } else { sealed(input) };
    match what & 0x0f {
        0 => record::<Metadata>(&content),
        1 => record::<Epoch>(&content),
        2 => record::<SourceStart>(&content),
        3 => record::<Refresh>(&content),
        4 => record::<SourcePin>(&content),
        5 => in_place("metadata", &content),
        6 => in_place("offsets/0", &content),
        7 => in_place("commits/0", &content),
        8 => mark(&content, what & 0x40 != 0),
        9 => schema(&content),
        10 => {
            let dir = folder();
            put(dir.path(), "0000000001.json", &content);
            match RegistryStore::open(dir.path()) {
                Ok(store) => drop((store.subjects(true), store.subjects(false), store.global_level())),
                Err(error) => names(&error, Path::new("0000000001.json")),
            }
        }
        11 => record::<Commit>(&content),
        12 => in_place("compactions/1", &content),
        13 => in_place("pipelines/1", &content),
        14 => in_place("refresh", &content),
        _ if what & 0x40 == 0 => record::<Offsets>(&content),
        _ => record::<Compaction>(&content),
    }
}

/// Whether `name` leads nowhere but down.
fn is_plain(name: &str) -> bool {
    let name = Path::new(name);
    name.components().count() > 0 && name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// One file of a checkpoint, with the others right: as a restart and `checkpoint verify` read it.
fn in_place(name: &str, content: &[u8]) {
    let dir = folder();
    for (name, body) in [("metadata", METADATA), ("offsets/0", OFFSETS), ("commits/0", COMMIT)] {
        put(dir.path(), name, &sealed(body.as_bytes()));
    }
    put(dir.path(), name, content);
    let checkpoint = Checkpoint::new(dir.path());
    // Whoever reads the record that is tried names it; the others are right, or missing.
    let path = dir.path().join(name);
    let refused = |read: Result<(), CheckpointError>| match read {
        Err(CheckpointError::Missing { .. }) | Ok(()) => {}
        Err(error) => names(&error, &path),
    };
    refused(checkpoint.metadata().map(drop));
    refused(checkpoint.offsets(0).map(drop));
    refused(checkpoint.commit(0).map(drop));
    refused(checkpoint.pipeline(1).map(drop));
    refused(checkpoint.refresh().map(drop));
    refused(checkpoint.compaction(1).map(drop));
    if let Ok(compaction) = checkpoint.compaction(1) {
        assert!(is_plain(&compaction.folder), "{}", compaction.folder);
    }
    if let Ok(verdict) = verify(&checkpoint, &SystemClock::new()) {
        assert!(!verdict.to_string().is_empty());
    }
    if let Ok(commit) = checkpoint.commit(0) {
        let files = commit.files().flat_map(|output| output.files);
        let names = files.flat_map(|file| [&file.target, &file.staged]);
        let names = names.chain(commit.rows().map(|(_, rows)| &rows.path));
        let state = commit.state.values().flat_map(|state| state.files().map(|file| &file.path));
        for name in names.chain(state) {
            assert!(is_plain(name), "{name}");
        }
        for segment in commit.state.values().flat_map(|state| &state.segments) {
            drop(checkpoint.open_segment(segment));
        }
        let state = commit.state.into_iter();
        for (operator, file) in
            state.flat_map(|(op, s)| s.snapshot.into_iter().chain(s.deltas).map(move |f| (op.clone(), f)))
        {
            drop(checkpoint.read_state(&operator, &file));
        }
    }
}
