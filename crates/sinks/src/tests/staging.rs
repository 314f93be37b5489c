//! Staging: rows come back per partition in their order, bytes do not depend on cuts, checksums are those of the files.

use std::collections::BTreeMap;
use std::fs;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int64Type};
use proptest::prelude::*;
use sluicebox_core::Blamed;
use sluicebox_durable::checksum;

use super::{key, read, rows, table, table_with};
use crate::layout::{NULL_FOLDER, folder_value};
use crate::{Check, LakeError, ParquetOptions, StagedFile, publish, stage_file};

/// `rows` cut into batches of the lengths `cuts`, repeated; empty batches included.
fn cut(rows: &RecordBatch, cuts: &[usize]) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut at = 0;
    for len in cuts.iter().cycle() {
        let len = (*len).min(rows.num_rows() - at);
        batches.push(rows.slice(at, len));
        at += len;
        if at == rows.num_rows() {
            return batches;
        }
    }
    batches
}

/// Region and day as a reader sees them, to the ids in order.
type ByPartition = BTreeMap<(Option<String>, Option<i32>), Vec<i64>>;

fn expected(rows: &RecordBatch) -> ByPartition {
    let mut expected = ByPartition::new();
    let regions = rows.column(1).as_string::<i32>();
    let days = rows.column(3).as_primitive::<Date32Type>();
    for (i, id) in rows.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
        let region = (regions.is_valid(i) && !regions.value(i).is_empty()).then(|| regions.value(i).to_owned());
        let day = days.is_valid(i).then(|| days.value(i));
        expected.entry((region, day)).or_default().push(*id);
    }
    expected
}

fn found(location: &std::path::Path, files: &[StagedFile]) -> ByPartition {
    let mut found = ByPartition::new();
    for file in files {
        let parts: Vec<&str> = file.target.split('/').collect();
        let [region, day, _] = parts.as_slice() else { panic!("{}", file.target) };
        let (_, region) = folder_value(region).unwrap();
        let day = folder_value(day).unwrap().1.map(|day| {
            let date = chrono::NaiveDate::parse_from_str(&day, "%Y-%m-%d").unwrap();
            i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).unwrap()
        });
        let content = read(&location.join(&file.staged));
        assert_eq!(content.schema_ref().fields().len(), 2, "partition columns are in the path only");
        assert_eq!(u64::try_from(content.num_rows()).unwrap(), file.rows);
        found.entry((region, day)).or_default().extend(content.column(0).as_primitive::<Int64Type>().values());
    }
    found
}

fn value() -> impl Strategy<Value = (Option<String>, Option<i32>)> {
    let odd = prop::sample::select(vec![
        "",
        "a/b",
        "%",
        "a=b",
        " ",
        "ä",
        "NULL",
        "..",
        "日本",
        "a",
        "b",
        "A",
        NULL_FOLDER,
        "?\n",
    ]);
    (prop::option::weighted(0.9, odd.prop_map(str::to_owned)), prop::option::weighted(0.9, 19_000..19_003))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_come_back_per_partition_in_order_and_bytes_do_not_depend_on_cuts(
        values in prop::collection::vec(value(), 1..200),
        repeat in 1_usize..120,
        cuts in prop::collection::vec(0_usize..3000, 1..6),
    ) {
        prop_assume!(cuts.iter().any(|c| *c > 0));
        let values: Vec<(Option<&str>, Option<i32>)> = values.iter().map(|(r, d)| (r.as_deref(), *d)).collect();
        let values = values.repeat(repeat);
        let all = rows(0, &values);
        let dir = tempfile::tempdir().unwrap();
        let table = table(dir.path(), &["region", "day"]);
        let whole = table.stage_files(&key(1, 1), std::slice::from_ref(&all)).unwrap();
        prop_assert_eq!(found(dir.path(), &whole), expected(&all));
        for file in &whole {
            let content = fs::read(dir.path().join(&file.staged)).unwrap();
            prop_assert_eq!(&checksum(&content), &file.checksum);
            prop_assert_eq!(u64::try_from(content.len()).unwrap(), file.bytes);
        }
        let pieces = table.stage_files(&key(1, 2), &cut(&all, &cuts)).unwrap();
        let identity = |files: &[StagedFile]| -> Vec<_> {
            files.iter().map(|f| (f.target.clone(), f.rows, f.bytes, f.checksum.clone())).collect()
        };
        prop_assert_eq!(identity(&whole), identity(&pieces));
        // Many folders, but no more than are open at once get rows for more than one chunk.
        let stream = table.stage_stream(&key(1, 3), cut(&all, &cuts).into_iter()).unwrap();
        prop_assert_eq!(identity(&whole), identity(&stream));
    }
}

#[test]
fn folders_that_rows_come_back_to_get_all_of_them_and_the_same_files_each_time() {
    // Forty folders in turn, each for more than a chunk, so that files have to be closed to open others.
    let regions: Vec<String> = (0..40).map(|region| format!("r{region}")).collect();
    let values: Vec<_> = (0..400_000).map(|row| (Some(regions[row / 100 % 40].as_str()), Some(19_000))).collect();
    let all = rows(0, &values);
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["region", "day"]);
    let mut seen = None;
    for (epoch, cuts) in [vec![400_000], vec![8192], vec![777, 5]].iter().enumerate() {
        let key = key(3, u64::try_from(epoch).unwrap());
        let files = table.stage_stream(&key, cut(&all, cuts).into_iter()).unwrap();
        assert!(files.iter().any(|f| f.target.contains("-001-")), "some folder has more than one part");
        assert_eq!(found(dir.path(), &files), expected(&all));
        let identity: Vec<_> = files.into_iter().map(|f| (f.target, f.rows, f.bytes, f.checksum)).collect();
        assert_eq!(*seen.get_or_insert(identity.clone()), identity, "cut by {cuts:?}");
    }
}

#[test]
fn a_batch_of_thousands_of_partition_values_is_written_whole_and_the_same_each_time() {
    let values: Vec<_> = (0..9_000).map(|row| (Some("EMEA"), Some(19_000 + row * 7 % 3_000))).collect();
    let all = rows(0, &values);
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["region", "day"]);
    let whole = table.stage_files(&key(1, 1), std::slice::from_ref(&all)).unwrap();
    assert_eq!(whole.len(), 3_000);
    assert_eq!(found(dir.path(), &whole), expected(&all));
    let identity = |files: Vec<StagedFile>| -> Vec<_> {
        files.into_iter().map(|f| (f.target, f.rows, f.bytes, f.checksum)).collect()
    };
    let again = table.stage_files(&key(1, 2), &cut(&all, &[1_234])).unwrap();
    let stream = table.stage_stream(&key(1, 3), cut(&all, &[777, 5]).into_iter()).unwrap();
    let whole = identity(whole);
    assert_eq!(whole, identity(again));
    assert_eq!(whole, identity(stream));
}

#[test]
fn the_same_rows_cut_differently_give_the_same_bytes() {
    // Enough rows for many chunks, pages and two parts, constant and changing partition values.
    let days: Vec<(Option<&str>, Option<i32>)> =
        (0..60_000).map(|i| (Some("EMEA"), Some(if i < 40_000 { 19_000 } else { 19_000 + i % 3 }))).collect();
    let all = rows(7, &days);
    let dir = tempfile::tempdir().unwrap();
    let options = ParquetOptions { target_file_bytes: 20_000, ..ParquetOptions::default() };
    let table = table_with(dir.path(), &["day"], options);
    let mut seen = None;
    for (epoch, cuts) in [vec![60_000], vec![8192], vec![8191, 1, 77], vec![1000, 33_000], vec![13]].iter().enumerate()
    {
        let files = table.stage_files(&key(3, u64::try_from(epoch).unwrap()), &cut(&all, cuts)).unwrap();
        assert!(files.iter().any(|f| f.target.contains("-001-")), "more than one part: {files:?}");
        let identity: Vec<_> = files.into_iter().map(|f| (f.target, f.rows, f.bytes, f.checksum)).collect();
        assert_eq!(*seen.get_or_insert(identity.clone()), identity, "cut by {cuts:?}");
    }
}

#[test]
fn nothing_staged_is_visible_and_names_carry_batch_part_and_query() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["day"]);
    let files = table.stage_files(&key(42, 3), &[rows(0, &[(None, Some(0)), (None, None)])]).unwrap();
    let report = stage_file(dir.path(), &key(42, 3), "batch_id=42/report.json", b"{}").unwrap();
    assert!(super::glob(dir.path()).is_empty());
    let targets: Vec<&str> = files.iter().map(|f| f.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "day=1970-01-01/000000042-000-0f3a9c1e.parquet",
            "day=__HIVE_DEFAULT_PARTITION__/000000042-000-0f3a9c1e.parquet"
        ]
    );
    for file in files.iter().chain([&report]) {
        assert!(file.staged.starts_with("_staging/3/") && file.staged.ends_with(".staged"), "{}", file.staged);
    }
    publish(table.location(), &files, Check::Size).unwrap();
    crate::publish(dir.path(), &[report], Check::Size).unwrap();
    assert_eq!(super::glob(dir.path()).len(), 3);
}

#[test]
fn a_file_larger_than_any_buffer_has_the_checksum_of_its_content() {
    let dir = tempfile::tempdir().unwrap();
    crate::prepare(dir.path()).unwrap();
    let content: Vec<u8> = (0..1_000_003_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let file = stage_file(dir.path(), &key(1, 1), "report.json", &content).unwrap();
    assert_eq!((file.bytes, file.checksum.as_str()), (1_000_003, checksum(&content).as_str()));
    assert_eq!(fs::read(dir.path().join(&file.staged)).unwrap(), content);
    let values: Vec<String> = (0..60_000_u64).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let values: Vec<_> = values.iter().map(|v| (Some(v.as_str()), None)).collect();
    let files = table(dir.path(), &["day"]).stage_files(&key(2, 1), &[rows(0, &values)]).unwrap();
    let content = fs::read(dir.path().join(&files[0].staged)).unwrap();
    assert!(content.len() > 300_000);
    assert_eq!(files[0].checksum, checksum(&content));
}

#[test]
fn a_report_cannot_be_staged_for_a_name_outside_or_hidden() {
    let dir = tempfile::tempdir().unwrap();
    crate::prepare(dir.path()).unwrap();
    for target in ["../x.json", "/x.json", "_x.json", "a/.x.json", ""] {
        let error = stage_file(dir.path(), &key(1, 1), target, b"{}").unwrap_err();
        assert!(matches!(error, LakeError::ManifestPath { .. }), "{target}: {error}");
    }
    assert!(super::walk(dir.path()).is_empty());
}

#[test]
fn no_rows_give_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &[]);
    assert!(table.stage_files(&key(1, 1), &[]).unwrap().is_empty());
    assert!(table.stage_files(&key(1, 1), &[rows(0, &[])]).unwrap().is_empty());
    let files = table.stage_files(&key(1, 1), &[rows(0, &[]), rows(0, &[(None, None)])]).unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(read(&dir.path().join(&files[0].staged)), rows(0, &[(None, None)]));
}

#[test]
fn staging_again_in_the_same_epoch_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &[]);
    let longer: Vec<_> = (0..1000).map(|i| (None, Some(i))).collect();
    table.stage_files(&key(1, 1), &[rows(0, &longer)]).unwrap();
    let files = table.stage_files(&key(1, 1), &[rows(5, &[(None, None)])]).unwrap();
    assert_eq!(read(&dir.path().join(&files[0].staged)), rows(5, &[(None, None)]));
    assert_eq!(checksum(&fs::read(dir.path().join(&files[0].staged)).unwrap()), files[0].checksum);
}

#[test]
fn rows_of_another_table_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["day"]);
    // Columns are taken by their names: a query may have them in another order than the table.
    let (as_it_is, turned) = (rows(0, &[(None, None)]), rows(0, &[(None, None)]).project(&[0, 2, 1, 3]).unwrap());
    let staged = |rows: RecordBatch| {
        let files = table.stage_files(&key(1, 1), &[rows]).unwrap();
        read(&dir.path().join(&files[0].staged))
    };
    assert_eq!(staged(turned), staged(as_it_is.clone()));
    let fields = as_it_is.schema().fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<_>>();
    let renamed = fields.into_iter().enumerate().map(|(i, f)| if i == 0 { f.with_name("another") } else { f });
    let renamed = std::sync::Arc::new(arrow::datatypes::Schema::new(renamed.collect::<Vec<_>>()));
    let other = RecordBatch::try_new(renamed, as_it_is.columns().to_vec()).unwrap();
    assert!(matches!(table.stage_files(&key(1, 1), &[other]), Err(LakeError::Rows { .. })));
    let mut columns = rows(0, &[(None, None)]).columns().to_vec();
    columns[0] = arrow::array::new_null_array(columns[0].data_type(), 1);
    let nullable = rows(0, &[(None, None)])
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    let null = RecordBatch::try_new(std::sync::Arc::new(arrow::datatypes::Schema::new(nullable)), columns).unwrap();
    let error = table.stage_files(&key(1, 1), &[null]).unwrap_err().to_string();
    assert!(error.contains("id"), "a NULL in a column without: {error}");
    let fewer = rows(0, &[(None, None)]).project(&[0, 1]).unwrap();
    assert!(matches!(table.stage_files(&key(1, 1), &[fewer]), Err(LakeError::Rows { .. })));
}

#[test]
fn a_value_too_long_for_a_folder_names_the_column() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), &["region"]);
    let long = "x".repeat(300);
    let error = table.stage_files(&key(1, 1), &[rows(0, &[(Some(&long), None)])]).unwrap_err();
    assert!(error.to_string().contains("partition column region"), "{error}");
    assert_eq!(error.blame(), sluicebox_core::Blame::User);
}

#[test]
fn a_type_without_a_parquet_form_is_refused_before_anything_is_read() {
    use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
    let schema = std::sync::Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, false),
        Field::new("i", DataType::Interval(IntervalUnit::MonthDayNano), true),
    ]));
    let error = crate::ParquetTable::try_new("/t", std::sync::Arc::clone(&schema), vec![], ParquetOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("column i"), "{error}");
    assert!(crate::ParquetTable::try_new("t", schema, vec![], ParquetOptions::default()).is_err());
}
