//! Folders that are exchanged, under the eyes of a reader.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluicebox_durable::fault::What;

use super::{QUERY, glob, key, read, rows, table_with, walk};
use crate::parquet::compact::{
    FileFacts, Input, Piece, Staging, folders, names_in, plan, remove, swap, take, try_exchange,
};
use crate::{Check, LakeError, ParquetOptions, ParquetTable, Upkeep, layout, publish, sweep};

const DAYS: i32 = 3;

/// A table with `batches` batches of 30 rows, over all days.
fn filled(location: &Path, batches: u64) -> ParquetTable {
    let table = table_with(location, &["day"], ParquetOptions::default());
    for batch in 0..batches {
        let first = i64::try_from(batch).unwrap() * 30;
        let values: Vec<_> = (0..30).map(|i| (Some("EU"), Some(i % DAYS))).collect();
        let files = table.stage_files(&key(batch, 1), &[rows(first, &values)]).unwrap();
        publish(table.location(), &files, Check::Size).unwrap();
    }
    table
}

fn inputs(table: &ParquetTable, folder: &crate::parquet::compact::Folder) -> Vec<Input> {
    let dir = table.location().join(&folder.path);
    let mut inputs: Vec<Input> = folder.parts.iter().map(|part| Input::footer(&dir, part).unwrap()).collect();
    inputs.iter_mut().for_each(|input| input.sum(&dir).unwrap());
    inputs
}

/// Rewrites a folder as compaction `number`, and exchanges it; gives the old one.
fn exchange(table: &ParquetTable, staging: &Staging, path: &str, number: u64, merge: bool) -> PathBuf {
    let folder = folders(table.location(), 1, QUERY).unwrap().into_iter().find(|f| f.path == path).unwrap();
    let inputs = inputs(table, &folder);
    let pieces = if merge { vec![Piece::Merge(0..inputs.len())] } else { (0..inputs.len()).map(Piece::Keep).collect() };
    let staged = staging.make(number).unwrap();
    let newest = folder.parts.iter().map(|part| part.batch).max().unwrap();
    let name = |part| layout::compacted_name(newest, number, part, QUERY);
    let dir = table.location().join(path);
    table.rewrite(&dir, &inputs, &pieces, &staged, &name, &|| true).unwrap().unwrap();
    swap(&staged, &dir).unwrap();
    staged
}

#[test]
fn a_merged_folder_has_the_same_rows_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 5);
    let staging = Staging::of(table.location(), QUERY, 7).unwrap();
    assert!(try_exchange(table.location(), &staging).unwrap());
    let in_order = || -> Vec<i64> {
        let ids = |path: &PathBuf| read(path)["id"].as_primitive::<Int64Type>().values().to_vec();
        walk(table.location()).iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")).flat_map(ids).collect()
    };
    let before = in_order();
    let found = folders(table.location(), 1, QUERY).unwrap();
    assert_eq!(found.len(), 3);
    let facts: Vec<FileFacts> =
        found[0].parts.iter().map(|part| FileFacts { bytes: part.bytes, like_before: true }).collect();
    assert_eq!(plan(&facts, 1 << 20), [Piece::Merge(0..5)]);
    for (number, folder) in (1..).zip(&found) {
        remove(&exchange(&table, &staging, &folder.path, number, true)).unwrap();
    }
    assert_eq!(in_order(), before);
    assert_eq!(glob(table.location()).len(), 3);
    staging.tidy();
    assert_eq!(walk(dir.path()).len(), 3, "nothing is left beside the table");
    assert!(!staging.root().exists());
}

/// What a reader is told that walks into every folder, hidden ones too, and then reads what it found.
fn sum(location: &Path) -> io::Result<(usize, i64)> {
    let (mut count, mut total) = (0, 0);
    for path in walk_all(location)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "parquet")) {
        let file = fs::File::open(&path)?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).map_err(io::Error::other)?;
        for batch in reader {
            let batch = batch.map_err(io::Error::other)?;
            count += batch.num_rows();
            total += batch["id"].as_primitive::<Int64Type>().values().iter().sum::<i64>();
        }
    }
    Ok((count, total))
}

fn walk_all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(walk_all(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[test]
fn a_reader_in_a_loop_sees_all_rows_once_or_a_file_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 4);
    let staging = Staging::of(table.location(), QUERY, 7).unwrap();
    let expected = sum(table.location()).unwrap();
    let (done, whole, gone) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match sum(table.location()) {
                    Ok(found) => {
                        assert_eq!(found, expected);
                        whole.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => drop(gone.fetch_add(1, Ordering::Relaxed)),
                    Err(e) => panic!("{e}"),
                }
            }
        });
        let mut old: Vec<PathBuf> = Vec::new();
        for number in 1..=120 {
            let path = format!("day=1970-01-0{}", 1 + number % 3);
            // Each time all names are new, in the end with one file a folder.
            old.push(exchange(&table, &staging, &path, number, number > 60));
            // A reader that has opened the old folder reads its entries before they go.
            if old.len() > 12 {
                remove(&old.remove(0)).unwrap();
            }
            // Now and then it comes to the end of a table that stands still.
            let before = whole.load(Ordering::Relaxed);
            while number % 4 == 0 && whole.load(Ordering::Relaxed) == before {
                assert!(!reader.is_finished(), "the reader ended");
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{whole:?} reads were whole, {gone:?} met a file that was gone");
    assert_eq!(sum(table.location()).unwrap(), expected);
}

#[test]
fn a_folder_that_was_taken_cannot_be_exchanged_by_the_run_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 2);
    let (stalled, later) = (Staging::of(table.location(), QUERY, 3).unwrap(), 4);
    let partition = table.location().join("day=1970-01-01");
    let names = names_in(&partition).unwrap();
    let staged = stalled.make(9).unwrap();
    fs::write(staged.join("x.parquet"), "new").unwrap();
    let run_of = |epoch| Staging::of(table.location(), QUERY, epoch).unwrap();
    let taken = take(&run_of(later), 9, &partition).unwrap().unwrap();
    assert_eq!(names_in(&taken).unwrap().len(), 1);
    assert!(matches!(swap(&staged, &partition), Err(LakeError::File(_))));
    assert_eq!(names_in(&partition).unwrap(), names);
    // A run that is killed then leaves it under its own epoch, where the next finds it.
    assert_eq!(take(&run_of(6), 9, &partition).unwrap(), Some(stalled.root().join("6/9")));
    assert_eq!(take(&run_of(6), 8, &partition).unwrap(), None);
    Staging::of(table.location(), QUERY, 7).unwrap().sweep().unwrap();
    assert!(!stalled.root().exists());
}

#[test]
fn a_link_in_the_place_of_a_folder_beside_the_table_is_refused_and_its_target_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 1);
    let partition = table.location().join("day=1970-01-01");
    let staging = Staging::of(table.location(), QUERY, 7).unwrap();
    // As its folders are named: older than the run, the run's own, and one of a compaction.
    let victim = dir.path().join("victim");
    for file in ["3/9/x", "7/9/x", "9/x", "x"] {
        fs::create_dir_all(victim.join(file).parent().unwrap()).unwrap();
        fs::write(victim.join(file), "").unwrap();
    }
    let before = walk(&victim);
    let root = staging.root().to_owned();
    for (link, to) in [
        (root.clone(), victim.clone()),
        (root.join("7"), victim.join("7")),
        (root.join("7/9"), victim.join("7/9")),
        (root.join("3"), victim.join("3")),
        (root.join("3/9"), victim.join("3/9")),
    ] {
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&to, &link).unwrap();
        let of_this_run = !link.starts_with(root.join("3"));
        let told = [
            staging.make(9).map(drop),
            take(&staging, 9, &partition).map(drop),
            remove(&root.join(if of_this_run { "7/9" } else { "3/9" })),
            staging.sweep(),
        ];
        for error in told.iter().filter_map(|told| told.as_ref().err()) {
            assert!(error.to_string().contains("is a link to"), "{error}");
        }
        assert!(told[2].is_err() && (told[0].is_err() || !of_this_run), "{}: {told:?}", link.display());
        staging.tidy();
        assert_eq!(walk(&victim), before, "{}", link.display());
        let _ = fs::remove_file(&link);
        let _ = fs::remove_dir_all(&root);
        staging.make(9).unwrap();
        remove(&staging.folder(9)).unwrap();
        staging.tidy();
    }
}

#[test]
fn what_was_not_written_by_the_pipeline_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(dir.path(), 1);
    let alien = |name: &str| {
        let path = table.location().join("day=1970-01-02").join(name);
        fs::write(&path, "x").unwrap();
        let found = folders(table.location(), 1, QUERY).unwrap().remove(1).alien;
        fs::remove_file(path).unwrap();
        found
    };
    assert_eq!(folders(table.location(), 1, QUERY).unwrap()[1].alien, None);
    let other = layout::file_name(1, 0, "another1", "parquet");
    for name in ["notes.txt", ".crc", "_SUCCESS", "part-0.parquet", other.as_str()] {
        assert_eq!(alien(name).as_deref(), Some(name));
    }
    assert_eq!(folders(table.location(), 0, QUERY).unwrap(), [], "a table without partitions");
}

#[test]
fn a_change_of_columns_keeps_files_apart() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(dir.path(), 2);
    let folder = folders(table.location(), 1, QUERY).unwrap().remove(0);
    let inputs = inputs(&table, &folder);
    let staging = Staging::of(table.location(), QUERY, 7).unwrap();
    let staged = staging.make(1).unwrap();
    let name = |part| layout::compacted_name(1, 1, part, QUERY);
    let pieces = [Piece::Keep(0), Piece::Keep(1)];
    let at = table.location().join(&folder.path);
    let files = table.rewrite(&at, &inputs, &pieces, &staged, &name, &|| true).unwrap().unwrap();
    for (file, input) in files.iter().zip(&inputs) {
        assert_ne!(file.name, input.file.name);
        assert_eq!((file.rows, file.bytes, &file.checksum), (input.file.rows, input.file.bytes, &input.file.checksum));
    }
    assert!(
        table.rewrite(&at, &inputs, &[Piece::Keep(0)], &staging.make(2).unwrap(), &name, &|| true).is_err(),
        "a row less"
    );
    assert_eq!(table.rewrite(&at, &inputs, &pieces, &staging.make(3).unwrap(), &name, &|| false).unwrap(), None);
    remove(staging.root()).unwrap();
}

/// A batch takes the folder of its epoch, where there is one, for one whose name is durable.
#[test]
fn a_trial_leaves_the_folder_that_batches_stage_in_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 1);
    let staging = table.location().join(crate::layout::STAGING);
    let beside = Staging::of(table.location(), QUERY, 7).unwrap();
    try_exchange(table.location(), &beside).unwrap();
    assert!(!staging.join("7").exists(), "made, and not durable");
    // A run that is killed meanwhile leaves its folder to the next one.
    fs::create_dir(staging.join(crate::layout::trial_folder(7))).unwrap();
    sweep(table.location(), 7).unwrap();
    assert!(staging.join(crate::layout::trial_folder(7)).exists());
    sweep(table.location(), 8).unwrap();
    assert!(!staging.join(crate::layout::trial_folder(7)).exists());
    remove(beside.root()).unwrap();
}

/// The trial is right for the filesystem of `TMPDIR`: with one on btrfs it says that readers miss folders, and they do.
#[test]
fn a_list_shows_each_folder_once_where_the_trial_says_so() {
    const NAMES: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let table = filled(&dir.path().join("t"), 1);
    let whole = try_exchange(table.location(), &Staging::of(table.location(), QUERY, 7).unwrap()).unwrap();
    let (folder, beside) = (dir.path().join("f"), dir.path().join("beside"));
    (0..NAMES).for_each(|n| fs::create_dir_all(folder.join(format!("day={n}"))).unwrap());
    let (done, torn, lists) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if fs::read_dir(&folder).unwrap().count() != NAMES {
                    torn.fetch_add(1, Ordering::Relaxed);
                }
                lists.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in 0..4_000 {
            fs::create_dir(&beside).unwrap();
            sluicebox_durable::exchange(What::Swap, &beside, &folder.join(format!("day={}", n % NAMES))).unwrap();
            fs::remove_dir(&beside).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let (torn, lists) = (torn.into_inner(), lists.into_inner());
    println!("{torn} of {lists} lists were torn; the trial says {whole}");
    assert!(lists > 0);
    assert!(torn == 0 || !whole);
}
