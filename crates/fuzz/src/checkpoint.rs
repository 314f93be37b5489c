//! Every sealed file, of any content: as it is, or with first line and checksum made right.
//!
//! Input: a byte that says which file, and with its highest bit that the rest is to be sealed; then the file.

use std::fs;
use std::path::{Component, Path};

use sluicebox_avro::{PinnedSchema, RegistryStore, SchemaCache, SchemaKey};
use sluicebox_core::SystemClock;
use sluicebox_core::durable::checksum;
use sluicebox_engine::checkpoint::records::{Commit, Epoch, Metadata, Offsets, Refresh, SourceStart};
use sluicebox_engine::checkpoint::{Checkpoint, envelope};
use sluicebox_engine::verify::verify;
use sluicebox_lake::owner;

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

pub(crate) fn run(mut input: &[u8]) {
    let [what] = array(&mut input);
    let content = if what & 0x80 == 0 { input.to_vec() } else { sealed(input) };
    let path = Path::new("f");
    match what & 0x0f {
        0 => drop(envelope::unwrap::<Metadata>(path, &content)),
        1 => drop(envelope::unwrap::<Epoch>(path, &content)),
        2 => drop(envelope::unwrap::<SourceStart>(path, &content)),
        3 => drop(envelope::unwrap::<Refresh>(path, &content)),
        4 => drop(envelope::unwrap::<PinnedSchema>(path, &content)),
        5 => in_place("metadata", &content),
        6 => in_place("offsets/0", &content),
        7 => in_place("commits/0", &content),
        8 => {
            let dir = folder();
            put(dir.path(), owner::MARK, &content);
            drop(owner::read(dir.path()));
        }
        9 => {
            let dir = folder();
            put(dir.path(), "id-1.json", &content);
            drop(SchemaCache::open(dir.path()).unwrap().get(SchemaKey::Id(1)));
        }
        10 => {
            let dir = folder();
            put(dir.path(), "0000000001.json", &content);
            if let Ok(store) = RegistryStore::open(dir.path()) {
                drop((store.all(true), store.subjects(false), store.global_level()));
            }
        }
        11 => drop(envelope::unwrap::<Commit>(path, &content)),
        12 => in_place("compactions/1", &content),
        13 => in_place("pipelines/1", &content),
        14 => in_place("refresh", &content),
        _ => drop(envelope::unwrap::<Offsets>(path, &content)),
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
    drop((checkpoint.pipeline(1), checkpoint.refresh()));
    if let Ok(compaction) = checkpoint.compaction(1) {
        assert!(is_plain(&compaction.folder), "{}", compaction.folder);
    }
    if let Ok(verdict) = verify(&checkpoint, &SystemClock::new()) {
        assert!(!verdict.to_string().is_empty());
    }
    if let Ok(commit) = checkpoint.commit(0) {
        let files = commit.files.iter().flat_map(|output| &output.files);
        let names = files.flat_map(|file| [&file.target, &file.staged]);
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
