//! Columns encoded side by side: the bytes are those of one thread, and only what is one row group of one file is.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::basic::Encoding;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::key;
use crate::parquet::gather::Run;
use crate::parquet::table::columns::bytes_in_memory;
use crate::{ParquetOptions, ParquetTable, prepare};

/// Columns of all sorts, the nested ones with several leaves each.
fn rows(count: usize, seed: u64) -> RecordBatch {
    let mut rng = SmallRng::seed_from_u64(seed);
    let few = ["a", "b", "", "a longer one"];
    let text: StringArray = (0..count).map(|_| rng.random_bool(0.9).then(|| few[rng.random_range(0..4)])).collect();
    let ids: StringArray = (0..count).map(|_| Some(format!("{:016x}", rng.random::<u64>()))).collect();
    let numbers: Int64Array = (0..count).map(|_| rng.random_bool(0.8).then(|| rng.random())).collect();
    let flags: BooleanArray = (0..count).map(|_| rng.random_bool(0.9).then(|| rng.random_bool(0.5))).collect();
    let floats: Float64Array = (0..count).map(|_| Some(rng.random())).collect();
    let fields = Fields::from(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
        Field::new("flag", DataType::Boolean, true),
    ]);
    let some = NullBuffer::from_iter((0..count).map(|_| rng.random_bool(0.9)));
    let all = vec![Arc::new(text.clone()) as ArrayRef, Arc::new(numbers.clone()), Arc::new(flags.clone())];
    let record = StructArray::new(fields, all, Some(some));
    let lengths: Vec<usize> = (0..count).map(|_| rng.random_range(0..3)).collect();
    let items = StringArray::from_iter_values((0..lengths.iter().sum()).map(|i: usize| format!("{}", i % 1000)));
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let list = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(items), None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", Arc::new(list)),
        ("text", Arc::new(text)),
        ("record", Arc::new(record)),
        ("id", Arc::new(ids)),
        ("number", Arc::new(numbers)),
        ("flag", Arc::new(flags)),
        ("float", Arc::new(floats)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn table(location: &std::path::Path, schema: SchemaRef, options: ParquetOptions) -> ParquetTable {
    let table = ParquetTable::try_new(location, schema, Vec::new(), options).unwrap();
    prepare(table.location()).unwrap();
    table
}

fn whole(batches: &[RecordBatch]) -> Vec<Run> {
    let run = |(batch, rows): (usize, &RecordBatch)| Run { batch, start: 0, len: rows.num_rows() };
    batches.iter().enumerate().map(run).filter(|run| run.len > 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn they_give_the_bytes_of_one_thread(
        seed: u64, count in 1usize..30_000, piece in 1usize..9_000, every in 1usize..50, threads in 2usize..9,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rows = rows(count, seed);
        let table = table(folder.path(), rows.schema(), ParquetOptions::default());
        let batches: Vec<RecordBatch> =
            (0..count).step_by(piece).map(|at| rows.slice(at, piece.min(count - at))).collect();
        // Every so many-th row belongs to another folder.
        let mut runs = Vec::new();
        for run in whole(&batches) {
            for row in (run.start..run.start + run.len).filter(|row| every == 1 || row % every != 0) {
                crate::parquet::gather::push_run(&mut runs, Run { batch: run.batch, start: row, len: 1 });
            }
        }
        prop_assume!(!runs.is_empty());
        let mut alone = Vec::new();
        table.stage_parts(&key(1, 1), "", &batches, &runs, &mut alone).unwrap();
        let together = table.stage_by(threads, &key(1, 2), "", &batches, &runs).unwrap();
        let bytes = |staged: &str| fs::read(folder.path().join(staged)).unwrap();
        prop_assert_eq!(alone.len(), 1);
        prop_assert_eq!(bytes(&alone[0].staged), bytes(&together.staged));
        prop_assert_eq!((&alone[0].target, alone[0].rows, alone[0].bytes, &alone[0].checksum),
            (&together.target, together.rows, together.bytes, &together.checksum));
    }
}

#[test]
fn only_rows_that_are_sure_to_be_one_row_group_are_taken_apart() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [rows(30_000, 1)];
    let runs = whole(&rows);
    let default = ParquetOptions::default();
    let encoders = |name: &str, options| {
        table(&folder.path().join(name), rows[0].schema(), options).encoders(bytes_in_memory(&rows), &runs)
    };
    if std::thread::available_parallelism().unwrap().get() > 1 {
        assert!(encoders("default", default) > 1);
    }
    assert_eq!(encoders("rows", ParquetOptions { row_group_rows: 30_000, ..default }), 1);
    assert_eq!(encoders("group", ParquetOptions { row_group_bytes: 1 << 20, ..default }), 1);
    assert_eq!(encoders("file", ParquetOptions { target_file_bytes: 1 << 20, ..default }), 1);
}

/// The estimate that decides is not below what the writer counts, also where values take nothing in memory.
#[test]
fn what_is_taken_apart_is_one_row_group_by_one_thread_too() {
    let nothing = |count: usize| {
        let item = Arc::new(Field::new_list_field(DataType::Null, true));
        let lists = ListArray::new(
            item,
            OffsetBuffer::from_lengths((0..count).map(|i| i % 3)),
            Arc::new(arrow::array::NullArray::new((0..count).map(|i| i % 3).sum())),
            None,
        );
        RecordBatch::try_from_iter_with_nullable([
            ("lists", Arc::new(lists) as ArrayRef, true),
            ("flags", Arc::new((0..count).map(|i| Some(i % 7 == 0)).collect::<BooleanArray>()), true),
        ])
        .unwrap()
    };
    for rows in [rows(40_000, 2), nothing(400_000)] {
        for limit in [1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24] {
            let folder = tempfile::tempdir().unwrap();
            let options = ParquetOptions { row_group_bytes: limit, ..ParquetOptions::default() };
            let table = table(folder.path(), Arc::new(Schema::new(rows.schema().fields.clone())), options);
            let (rows, mut files) = (vec![rows.clone()], Vec::new());
            if table.encoders(bytes_in_memory(&rows), &whole(&rows)) == 1 {
                continue;
            }
            table.stage_parts(&key(1, 1), "", &rows, &whole(&rows), &mut files).unwrap();
            let file = fs::File::open(folder.path().join(&files[0].staged)).unwrap();
            let groups = SerializedFileReader::new(file).unwrap().metadata().num_row_groups();
            assert_eq!((files.len(), groups), (1, 1), "limit {limit}, {} rows", rows[0].num_rows());
        }
    }
}

#[test]
fn nothing_is_lost_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(20_000, 3);
    let table = table(folder.path(), all.schema(), ParquetOptions::default());
    let batches = [all.slice(0, 11_000), all.slice(11_000, 9_000)];
    let staged = table.stage_by(3, &key(1, 1), "", &batches, &whole(&batches)).unwrap();
    let found = super::read(&folder.path().join(&staged.staged));
    let wanted = concat_batches(&all.schema(), &batches).unwrap();
    assert_eq!(found.columns(), wanted.columns());
    assert_eq!(found.column(0).len(), 20_000);
}

/// A writer of 3,000 texts set six gigabytes aside before it had a row; one of 209, 440 MB, and four such are open at once.
#[test]
fn what_columns_set_aside_is_no_more_than_a_row_group() {
    let table = |types: &[(&DataType, usize)]| {
        let types = types.iter().flat_map(|(of, count)| std::iter::repeat_n((*of).clone(), *count)).enumerate();
        let fields: Vec<Field> = types.map(|(n, of)| Field::new(format!("c{n}"), of, true)).collect();
        ParquetTable::try_new("/nowhere", Arc::new(Schema::new(fields)), Vec::new(), ParquetOptions::default()).unwrap()
    };
    let by_differences = |table: &ParquetTable| {
        let plain = |column: &str| table.properties.encoding(&ColumnPath::from(column)) == Some(Encoding::PLAIN);
        table.schema().fields().iter().map(|field| !plain(field.name())).collect::<Vec<_>>()
    };
    let (text, number) = (&DataType::Utf8, &DataType::Int64);
    assert_eq!(by_differences(&table(&[(text, 32)])), [true; 32]);
    assert_eq!(by_differences(&table(&[(number, 64)])), [true; 64]);
    // Texts of two megabytes each, until 64 are used up.
    let wide = by_differences(&table(&[(text, 3_000)]));
    assert_eq!((wide[..32].iter().all(|by| *by), wide[32..].iter().any(|by| *by)), (true, false));
    // Numbers go first, wherever they stand.
    let mixed = by_differences(&table(&[(text, 40), (number, 60)]));
    assert_eq!((mixed[..2].to_vec(), mixed[2..40].iter().any(|by| *by)), (vec![true; 2], false));
    assert!(mixed[40..].iter().all(|by| *by));
    let column = ColumnPath::from("c7");
    assert!(table(&[(text, 1_024)]).properties.dictionary_enabled(&column));
    assert!(!table(&[(text, 1_025)]).properties.dictionary_enabled(&column));
}

/// Each column of a record has an encoder of its own.
#[test]
fn columns_of_records_are_counted_too() {
    let inner: Fields = (0..40).map(|n| Field::new(format!("i{n}"), DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("r", DataType::Struct(inner), true)]));
    let table = ParquetTable::try_new("/nowhere", schema, Vec::new(), ParquetOptions::default()).unwrap();
    let encoding = |n: usize| table.properties.encoding(&ColumnPath::from(vec!["r".to_owned(), format!("i{n}")]));
    assert_eq!((encoding(31), encoding(32)), (None, Some(Encoding::PLAIN)));
}
