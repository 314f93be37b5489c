//! Rows come back from published files as they were written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};

use super::{key, rows, schema, table};
use crate::parquet::inspect::rows_in;
use crate::parquet::read_back::{published, read_back, unpacked_bytes};
use crate::{Check, publish};

#[test]
fn every_row_comes_back_with_its_partition_values_whatever_file_it_lies_in() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["day", "region"]);
    let values = [
        (Some("EMEA"), Some(20_000)),
        (Some("a/b=c %"), None),
        (None, Some(-1)),
        (Some("null"), Some(20_000)),
        (Some("EMEA"), Some(20_001)),
    ];
    let written = rows(1, &values);
    let files = table.stage_files(&key(3, 1), std::slice::from_ref(&written)).unwrap();
    publish(table.location(), &files, Check::Content).unwrap();
    std::fs::write(dir.path().join("foreign.parquet"), "not ours").unwrap();

    let files = published(dir.path()).unwrap();
    assert_eq!(files.len(), 5, "{files:?}");
    let found: Vec<_> = files.iter().flat_map(|f| read_back(dir.path(), f, &schema()).unwrap()).collect();
    let found = concat_batches(&schema(), &found).unwrap();
    let order = sort_to_indices(found.column(0), None, None).unwrap();
    assert_eq!(take_record_batch(&found, &order).unwrap(), written);
    assert!(files.iter().all(|f| unpacked_bytes(f).unwrap() > 0));

    // A column that came later is NULL in files before it; one that may not be NULL, or has another type, is refused.
    let with = |field: Field| Arc::new(Schema::new(vec![schema().field(0).clone(), field]));
    let later = read_back(dir.path(), &files[0], &with(Field::new("later", DataType::Utf8, true))).unwrap();
    assert_eq!(later[0].column(1).null_count(), later[0].num_rows());
    for field in [Field::new("later", DataType::Utf8, false), Field::new("note", DataType::Int64, true)] {
        let name = field.name().clone();
        let error = read_back(dir.path(), &files[0], &with(field)).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains(".parquet"), "{error}");
    }
}

#[test]
fn a_file_in_a_folder_whose_name_is_no_text_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["day", "region"]);
    let files = table.stage_files(&key(3, 1), &[rows(1, &[(Some("EMEA"), Some(20_000))])]).unwrap();
    publish(table.location(), &files, Check::Content).unwrap();
    let file = published(dir.path()).unwrap().remove(0);
    let odd = dir.path().join(OsStr::from_bytes(b"day=2024-10-04/region=\xffA"));
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::copy(&file, odd.join("mine.parquet")).unwrap();
    assert_eq!(
        published(dir.path()).unwrap(),
        std::slice::from_ref(&file),
        "what no run wrote is left out, wherever it lies"
    );
    std::fs::copy(&file, odd.join(file.file_name().unwrap())).unwrap();
    let said = published(dir.path()).unwrap_err().to_string();
    assert!(said.contains(r"region=\xFFA") && said.contains("rename it, or move it away"), "{said}");
}

#[test]
fn a_file_that_is_damaged_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &[]);
    let files = table.stage_files(&key(0, 1), &[rows(1, &[(None, None)])]).unwrap();
    publish(table.location(), &files, Check::Content).unwrap();
    let file = published(dir.path()).unwrap().remove(0);
    std::fs::write(&file, "PAR1 and no more").unwrap();
    let error = read_back(dir.path(), &file, &schema()).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains("checkpoint verify"), "{error}");
}

#[test]
fn what_is_no_file_is_named_and_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("000000001-000-0f3a9c1e.parquet");
    let _listening = std::os::unix::net::UnixListener::bind(&file).unwrap();
    let refused = [
        read_back(dir.path(), &file, &schema()).map(drop).unwrap_err(),
        unpacked_bytes(&file).map(drop).unwrap_err(),
        rows_in(&file).map(drop).unwrap_err(),
    ];
    for error in refused.map(|error| error.to_string()) {
        assert!(error.contains(file.to_str().unwrap()) && error.contains("it is a socket, and no file"), "{error}");
    }
}
