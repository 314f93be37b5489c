//! What every table format promises, whatever its files are. An implementation joins by a line in
//! [`every_table_format_conforms`].

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;

use super::{glob, key, rows, table, table_with};
use crate::{Check, LakeError, ParquetOptions, ParquetVersion, StagedFile, TableFormat, prepare};

type Make<'a> = &'a dyn Fn(&Path) -> Box<dyn TableFormat>;

#[test]
fn every_table_format_conforms() {
    let old = ParquetOptions { version: ParquetVersion::V1, zstd_level: 0, ..ParquetOptions::default() };
    let small = ParquetOptions { target_file_bytes: 1, row_group_rows: 100, ..ParquetOptions::default() };
    let formats: [(&str, Make<'_>); 4] = [
        ("parquet", &|location| Box::new(table(location, &[]))),
        ("parquet in folders", &|location| Box::new(table(location, &["region", "day"]))),
        ("parquet of version 1", &move |location| Box::new(table_with(location, &["day"], old))),
        ("parquet in many parts", &move |location| Box::new(table_with(location, &["day"], small))),
    ];
    for (name, make) in formats {
        println!("{name}");
        nothing_shows_before_publish(make);
        publishing_is_repeatable(make);
        a_replay_gives_the_same_files(make);
        batches_stand_side_by_side(make);
        nothing_is_replaced(make);
        a_sweep_spares_its_own_epoch(make);
    }
}

fn some_rows(n: usize) -> Vec<RecordBatch> {
    let values: Vec<(Option<&str>, Option<i32>)> =
        (0..n).map(|i| ([Some("NA"), Some("a/b"), None][i % 3], [Some(1), None][i % 2])).collect();
    vec![rows(0, &values), rows(i64::try_from(n).unwrap_or(0), &values)]
}

fn contents(files: &[StagedFile]) -> Vec<(&str, u64, u64, &str)> {
    files.iter().map(|f| (f.target.as_str(), f.rows, f.bytes, f.checksum.as_str())).collect()
}

fn nothing_shows_before_publish(make: Make<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let format = make(dir.path());
    let files = format.stage(&key(1, 1), &some_rows(9000)).unwrap();
    assert!(glob(dir.path()).is_empty());
    assert_eq!(files.iter().map(|f| f.rows).sum::<u64>(), 18_000);
    format.publish(&files, Check::Size).unwrap();
    let found = glob(dir.path());
    assert_eq!(found.keys().collect::<Vec<_>>().len(), files.len());
    for file in &files {
        assert_eq!(sluicebox_durable::checksum(&found[&file.target]), file.checksum);
    }
}

fn publishing_is_repeatable(make: Make<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let format = make(dir.path());
    let files = format.stage(&key(1, 1), &some_rows(10)).unwrap();
    format.publish(&files[..1], Check::Size).unwrap();
    for check in [Check::Content, Check::Size, Check::Content] {
        format.publish(&files, check).unwrap();
        assert_eq!(glob(dir.path()).len(), files.len());
    }
}

fn a_replay_gives_the_same_files(make: Make<'_>) {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = make(one.path()).stage(&key(5, 1), &some_rows(9000)).unwrap();
    let again = make(two.path()).stage(&key(5, 2), &some_rows(9000)).unwrap();
    assert_eq!(contents(&first), contents(&again));
}

fn batches_stand_side_by_side(make: Make<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let format = make(dir.path());
    let mut files = 0;
    for batch in 1..4 {
        let staged = format.stage(&key(batch, 1), &some_rows(10)).unwrap();
        format.publish(&staged, Check::Size).unwrap();
        files += staged.len();
    }
    assert_eq!(glob(dir.path()).len(), files);
}

fn nothing_is_replaced(make: Make<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let format = make(dir.path());
    let files = format.stage(&key(1, 1), &some_rows(10)).unwrap();
    let target = dir.path().join(&files[0].target);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::write(&target, "another's").unwrap();
    assert!(matches!(format.publish(&files, Check::Size), Err(LakeError::ForeignFile { .. })));
    assert_eq!(fs::read(&target).unwrap(), b"another's");
}

fn a_sweep_spares_its_own_epoch(make: Make<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let format = make(dir.path());
    let old = format.stage(&key(1, 1), &some_rows(10)).unwrap();
    let own = format.stage(&key(1, 2), &some_rows(10)).unwrap();
    format.sweep(2).unwrap();
    prepare(dir.path()).unwrap();
    assert!(!dir.path().join(&old[0].staged).exists());
    format.publish(&own, Check::Content).unwrap();
}
