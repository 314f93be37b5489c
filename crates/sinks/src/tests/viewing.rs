//! What is told of a folder's files as one table: its columns, and what stands in the folders' names.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::key;
use crate::parquet::view::view;
use crate::{Check, ParquetOptions, ParquetTable, prepare};

/// Publishes a batch of a table that is partitioned by `region`.
fn publish(location: &Path, batch: u64, rows: &RecordBatch) {
    let by = vec!["region".to_owned()];
    let table = ParquetTable::try_new(location, rows.schema(), by, ParquetOptions::default()).unwrap();
    prepare(table.location()).unwrap();
    let files = table.stage_files(&key(batch, 1), std::slice::from_ref(rows)).unwrap();
    crate::publish(table.location(), &files, Check::Size).unwrap();
}

#[test]
fn the_folder_of_null_says_the_empty_text_where_a_column_may_not_be_null() {
    for (nullable, expected) in [(true, None), (false, Some(""))] {
        let folder = tempfile::tempdir().unwrap();
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("region", DataType::Utf8, nullable)];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["", "EU"]))];
        publish(folder.path(), 1, &RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap());
        let seen = view(folder.path()).unwrap();
        assert_eq!(seen.partitions[0].is_nullable(), nullable);
        let regions: Vec<Option<String>> = seen
            .files
            .iter()
            .map(|file| file.values[0].as_string::<i32>())
            .map(|value| value.is_valid(0).then(|| value.value(0).to_owned()))
            .collect();
        // `region=EU`, then the folder of NULL.
        assert_eq!(regions, [Some("EU".to_owned()), expected.map(str::to_owned)]);
    }
}

#[test]
fn what_is_no_file_among_the_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let region: ArrayRef = Arc::new(StringArray::from(vec!["EU"]));
    publish(folder.path(), 1, &RecordBatch::try_from_iter([("id", id), ("region", region)]).unwrap());
    let _listening = UnixListener::bind(folder.path().join("region=EU/x.parquet")).unwrap();
    let told = view(folder.path()).unwrap_err().to_string();
    assert!(told.contains("region=EU/x.parquet: it is a socket, and no file; "), "{told}");
}

#[test]
fn columns_stand_in_the_order_in_which_batches_brought_them_whatever_their_folders_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let batch = |columns: &[&str], region: &str| {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let region: ArrayRef = Arc::new(StringArray::from(vec![region]));
        let numbers = columns.iter().map(|name| (*name, Arc::clone(&number)));
        RecordBatch::try_from_iter(numbers.chain([("region", region)])).unwrap()
    };
    // The later batch's folder comes first.
    publish(folder.path(), 1, &batch(&["id", "old"], "z"));
    publish(folder.path(), 10, &batch(&["new", "id", "old"], "a"));
    let seen = view(folder.path()).unwrap();
    assert!(seen.files[0].path.to_string_lossy().contains("region=a"), "{seen:?}");
    let names: Vec<&str> = seen.columns.iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "old", "new"]);
    assert!(seen.columns.iter().all(|field| field.is_nullable()), "an older file has none of it");
}
