//! Every sink of this crate runs the suite of all sinks. An implementation joins by a line here.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use sluicebox_core::{Blamed, Retry};

use super::{glob, key, read, rows, table, table_with, walk};
use crate::testing::{Fault, RemoteStore, Subject, conforms, owner, schema};
use crate::{Check, LakeError, ParquetOptions, ParquetTable, ParquetVersion, RemoteError, Rows, Sink, publish};

type Make = fn(&Path) -> ParquetTable;

/// A folder of Parquet files, as the suite meets it.
struct Folder {
    dir: tempfile::TempDir,
    make: Make,
}

impl Subject for Folder {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new((self.make)(self.dir.path()))
    }

    fn seen(&self) -> Vec<i64> {
        let mut seen = Vec::new();
        for path in glob(self.dir.path()).keys().map(|name| self.dir.path().join(name)) {
            seen.extend_from_slice(read(&path).column(0).as_primitive::<Int64Type>().values());
        }
        seen
    }
}

#[tokio::test]
async fn folders_of_parquet_files_conform() {
    let formats: [(&str, Make); 4] = [
        ("parquet", |location| table(location, &[])),
        ("parquet in folders", |location| table(location, &["region", "day"])),
        ("parquet of version 1", |location| {
            let old = ParquetOptions { version: ParquetVersion::V1, zstd_level: 0, ..ParquetOptions::default() };
            table_with(location, &["day"], old)
        }),
        ("parquet in many parts", |location| {
            let small = ParquetOptions { target_file_bytes: 1, row_group_rows: 100, ..ParquetOptions::default() };
            table_with(location, &["day"], small)
        }),
    ];
    for (name, make) in formats {
        println!("{name}");
        conforms(|| Folder { dir: tempfile::tempdir().unwrap(), make }).await;
        published_files_are_those_that_were_committed(make);
        nothing_is_replaced(make);
    }
}

#[tokio::test]
async fn a_store_with_transactions_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    conforms(|| {
        made.set(made.get() + 1);
        let name = format!("store {}", made.get());
        RemoteStore::new(&name, dir.path().join(&name), schema())
    })
    .await;
    assert!(!walk(dir.path()).is_empty());
}

#[tokio::test]
async fn whatever_a_store_says_its_rows_are_there_once() {
    for faults in [
        [Fault::NotDone; 2],
        [Fault::Cut; 2],
        [Fault::Lost; 2],
        [Fault::Lost, Fault::NotDone],
        [Fault::Cut, Fault::Lost],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = RemoteStore::new("s", dir.path(), schema());
        let sink = store.connect();
        sink.open(&owner(), 1).await.unwrap();
        let staged = sink.stage(&key(0, 1), Rows::All(&[rows(0, &[(None, None); 3])])).unwrap().unwrap();
        store.fail(&faults);
        let mut tries = 0;
        while let Err(error) = sink.publish(&key(0, 1), &staged, Check::Size).await {
            assert_eq!(error.retry(), Retry::WithBackoff, "{error}");
            drop(sink.open(&owner(), 1).await);
            tries += 1;
            assert!(tries < 10, "{faults:?}");
        }
        assert_eq!((store.seen(), sink.published().await.unwrap()), (vec![0, 1, 2], Some(0)), "{faults:?}");
        let left = walk(dir.path());
        assert!(left.is_empty(), "rows that are published do not wait any more: {left:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_no_outage() {
    let dir = tempfile::tempdir().unwrap();
    let store = RemoteStore::new("s", dir.path(), schema());
    store.fail(&[Fault::Refused]);
    let error = store.connect().open(&owner(), 1).await.unwrap_err();
    assert!(matches!(error, LakeError::Remote(RemoteError::Refused { .. })) && error.retry() == Retry::No);
}

fn published_files_are_those_that_were_committed(make: Make) {
    let dir = tempfile::tempdir().unwrap();
    let table = make(dir.path());
    let files =
        table.stage_files(&key(1, 1), &[rows(0, &[(Some("NA"), Some(1)), (None, None), (Some("a/b"), None)])]).unwrap();
    assert!(glob(dir.path()).is_empty());
    publish(dir.path(), &files[..1], Check::Size).unwrap();
    publish(dir.path(), &files, Check::Content).unwrap();
    let found = glob(dir.path());
    assert_eq!(found.len(), files.len());
    for file in &files {
        assert_eq!(sluicebox_durable::checksum(&found[&file.target]), file.checksum);
    }
}

fn nothing_is_replaced(make: Make) {
    let dir = tempfile::tempdir().unwrap();
    let files = make(dir.path()).stage_files(&key(1, 1), &[rows(0, &[(None, None); 10])]).unwrap();
    let target = dir.path().join(&files[0].target);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::write(&target, "another's").unwrap();
    assert!(matches!(publish(dir.path(), &files, Check::Size), Err(LakeError::ForeignFile { .. })));
    assert_eq!(fs::read(&target).unwrap(), b"another's");
}
