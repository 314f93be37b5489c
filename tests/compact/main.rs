//! Compacted partitions hold the same rows in fewer files, whatever runs before, beside and after.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[cfg(feature = "faults")]
mod linger;
mod records;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::SystemClock;
use sluicebox_upkeep::verify::{Verdict, verify};
use support::{Workspace, assert_same, copy, files_below, is_parquet};

const SQL: &str = "sql/gold_revenue.sql";
const CHECKPOINT: &str = "checkpoints/revenue_5m";

/// Some batches of the README's pipeline.
fn job() -> Workspace {
    let job = Workspace::new();
    job.produce(4_000, 5);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=500"]);
    job
}

fn verified(job: &Workspace) -> Verdict {
    proved(&Checkpoint::new(job.path().join(CHECKPOINT)))
}

fn proved(checkpoint: &Checkpoint) -> Verdict {
    let verdict = verify(checkpoint, &SystemClock::new()).unwrap();
    assert!(verdict.problems.is_empty(), "{verdict}");
    verdict
}

/// The Parquet files that a glob for `**/*.parquet` finds, with their content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let found = files_below(folder).into_iter().filter(|path| is_parquet(path));
    found.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_name_of_a_file_forges_no_line() {
    let job = job();
    let all = files(&job.path().join("data/silver/sales"));
    let folder = all.keys().next().and_then(|path| path.parent()).unwrap();
    std::fs::write(folder.join("x\nerror[bug]: forged.parquet"), "x").unwrap();
    let output = job.run(&["compact", SQL, "--dry-run"]);
    let said = support::text(&output.stderr);
    assert!(output.status.success() && said.contains("x\\nerror[bug]: forged.parquet in it was not written"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("error[bug]")), "{said}");
}

#[test]
fn rows_stay_and_files_become_few_before_between_and_after_runs() {
    let job = job();
    let tables = job.tables();
    let order = |job: &Workspace| {
        // In the order of the files' names and of the rows in them.
        let names: Vec<String> =
            files(&job.path().join("data/silver/sales")).keys().map(|p| p.display().to_string()).collect();
        names.iter().flat_map(|name| ordered(Path::new(name))).collect::<Vec<_>>()
    };
    let rows_in_order = order(&job);
    let before = files(&job.path().join("data/silver/sales"));
    assert!(before.len() >= 8, "{}", before.len());

    let told = job.ok(&["compact", SQL, "--dry-run"]);
    assert!(told.contains("silver_sales event_date=") && told.contains("would be about 1 file\n"), "{told}");
    assert_eq!(files(&job.path().join("data/silver/sales")), before, "a dry run changes nothing");
    assert!(!job.path().join(CHECKPOINT).join("compactions").read_dir().unwrap().any(|_| true));

    // One table, then all.
    let told = job.ok(&["compact", SQL, "--table", "silver_sales"]);
    assert!(told.contains("silver_sales") && !told.contains("bronze_sales"), "{told}");
    let after = files(&job.path().join("data/silver/sales"));
    assert!(after.len() * 2 < before.len(), "{before:?} {after:?}", before = before.len(), after = after.len());
    assert!(after.keys().all(|name| !before.contains_key(name)), "no name is used again");
    assert_same(&tables, &job.tables());
    assert_eq!(order(&job), rows_in_order, "the order of the rows");
    job.ok(&["compact", SQL]);
    assert_same(&tables, &job.tables());
    let verdict = verified(&job);
    assert!(verdict.compacted >= 3 && verdict.unproved.iter().all(|u| u.contains("state files")), "{verdict}");
    assert_eq!(job.ok(&["compact", SQL]), "", "nothing is left to do");
    let mut beside: Vec<_> =
        std::fs::read_dir(job.path().join("data/silver")).unwrap().map(|e| e.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, [".sales_sluicebox_owner", "sales"], "nothing but its mark is left beside the table");

    // Runs go on, and what they add is put together with what was.
    job.produce_now(1_000, 6);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=200"]);
    let undisturbed = Workspace::with_log_of(&job);
    undisturbed.run_to_end(&[]);
    let expected = undisturbed.tables();
    assert_same(&expected, &job.tables());
    verified(&job);
    job.ok(&["compact", SQL]);
    assert_same(&expected, &job.tables());
    let verdict = verified(&job);
    assert!(verdict.notes.is_empty(), "{verdict}");
    assert_eq!(job.path().join(CHECKPOINT).join("compactions").read_dir().unwrap().count(), compacted_folders(&job));
    job.run_to_end(&[]);
    assert_same(&expected, &job.tables());

    job.run_to_end(&["--full-refresh"]);
    assert_same(&expected, &job.tables());
    assert!(verified(&job).compacted == 0);
}

/// Records that another stands for are removed.
fn compacted_folders(job: &Workspace) -> usize {
    let names = files(&job.path().join("data"));
    let compacted = names.keys().filter(|path| path.file_name().unwrap().to_str().unwrap().len() > 36);
    let folders: std::collections::BTreeSet<_> = compacted.map(|path| path.parent().unwrap().to_owned()).collect();
    folders.len()
}

/// The event ids of a file, in its order.
fn ordered(path: &Path) -> Vec<String> {
    use arrow::array::AsArray;
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut ids = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column =
            arrow::compute::cast(batch.column_by_name("event_id").unwrap(), &arrow::datatypes::DataType::Utf8).unwrap();
        ids.extend(column.as_string::<i32>().iter().map(|id| id.unwrap_or("").to_owned()));
    }
    ids
}

#[test]
fn one_writer_and_what_is_not_ours_is_left_alone() {
    let job = job();
    let mut run = job.start(&["run", SQL, "--trigger", "0 seconds", "--progress", "none"]);
    let epochs = || std::fs::read_dir(job.path().join(CHECKPOINT).join("epochs")).unwrap().count();
    while epochs() < 2 {
        assert!(run.try_wait().unwrap().is_none(), "the run ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = job.fails(1, &["compact", SQL]);
    assert!(said.contains("another run (process ") && said.contains(" on "), "{said}");
    job.ok(&["compact", SQL, "--dry-run"]);
    run.kill().unwrap();
    run.wait().unwrap();

    let said = job.fails(2, &["compact", SQL, "--table", "silver"]);
    assert!(said.contains("unknown table `silver`; tables: bronze_sales, silver_sales, gold_revenue_5m"), "{said}");
    let said = job.fails(2, &["compact", SQL, "--older-than", "soon"]);
    assert!(said.contains("--older-than"), "{said}");
    assert_eq!(job.ok(&["compact", SQL, "--older-than", "1 day"]), "", "all was written just now");
    let said = job.fails(2, &["compact", SQL, "--checkpoint", "nowhere"]);
    assert!(said.contains("nothing was ever written"), "{said}");

    // A foreign file would go with the old folder.
    let folder = std::fs::read_dir(job.path().join("data/bronze/sales")).unwrap().map(|e| e.unwrap().path());
    let folder = folder.filter(|p| p.to_str().unwrap().contains("ingest_date=")).min().unwrap();
    std::fs::write(folder.join("_notes.txt"), "mine").unwrap();
    let output = job.run(&["compact", SQL]);
    let said = support::text(&output.stderr);
    assert!(output.status.success() && said.contains("_notes.txt in it was not written by this pipeline"), "{said}");
    assert_eq!(std::fs::read(folder.join("_notes.txt")).unwrap(), b"mine");
    std::fs::remove_file(folder.join("_notes.txt")).unwrap();

    // A file that is not what was committed is not made part of another.
    let file = files(&folder).into_keys().next().unwrap();
    let mut content = std::fs::read(&file).unwrap();
    content[100] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let said = job.fails(1, &["compact", SQL]);
    assert!(said.contains(file.file_name().unwrap().to_str().unwrap()) && said.contains("were committed"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), content, "and it is still there");
}

#[test]
fn verify_names_what_is_wrong_with_compacted_files() {
    let job = job();
    job.ok(&["compact", SQL]);
    let whole = job.path().join("whole");
    copy(&job.path().join("data"), &whole);
    let says = |words: &[&str]| {
        let verdict = verify(&Checkpoint::new(job.path().join(CHECKPOINT)), &SystemClock::new()).unwrap();
        let said = verdict.problems.join("\n");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in: {said}");
    };
    let put_back = || {
        std::fs::remove_dir_all(job.path().join("data")).unwrap();
        copy(&whole, &job.path().join("data"));
        verified(&job);
    };
    let file = files(&job.path().join("data/silver")).into_keys().next().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    std::fs::remove_file(&file).unwrap();
    says(&[name, "No such file"]);
    put_back();
    std::fs::copy(&file, file.with_file_name("000000001-000000099000000-abcdefgh.parquet")).unwrap();
    says(&["compaction 99, which does not name it"]);
    put_back();
    let mut content = std::fs::read(&file).unwrap();
    content[200] ^= 4;
    std::fs::write(&file, &content).unwrap();
    says(&[name, "has another content"]);
    put_back();
    let record = job.path().join(CHECKPOINT).join("compactions/1");
    let kept = std::fs::read(&record).unwrap();
    std::fs::write(&record, &kept[..kept.len() - 9]).unwrap();
    says(&["compactions/1 is damaged"]);
    std::fs::write(&record, kept).unwrap();
    verified(&job);
}

/// A pipeline of one small table, with or without partitions.
fn tally(partitioned: &str, part: &str) -> String {
    let source = KEEPING.split("CREATE STREAMING").next().unwrap();
    format!(
        "{source}CREATE STREAMING TABLE tally {partitioned} AS SELECT event_id, _offset{part} FROM STREAM sales_events;"
    )
}

#[test]
fn a_table_without_partitions_is_left_alone_with_the_way_out() {
    let job = Workspace::new();
    job.write("tally.sql", &tally("", ""));
    job.produce(2_000, 5);
    let run = ["run", "tally.sql", "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=200"];
    job.ok(&run);
    let (before, table) =
        (job.rows("SELECT event_id, _offset FROM tables.tally"), job.path().join("data/tables/tally"));
    let files = files_there(&table);
    assert!(files >= 8, "{files}");
    for args in [&["compact", "tally.sql"][..], &["compact", "tally.sql", "--dry-run"]] {
        let output = job.run(args);
        let said = support::text(&output.stderr);
        assert!(output.status.success() && output.stdout.is_empty(), "{said}");
        assert!(
            said.contains("tally is left alone: it has no PARTITIONED BY") && said.contains("Partition it"),
            "{said}"
        );
        assert!(said.contains("PARTITIONED BY (part) AS SELECT ..., 'all' AS part"), "{said}");
        assert_eq!(files_there(&table), files);
    }
    let said = job.fails(2, &["compact", "tally.sql", "--table", "tally"]);
    assert!(said.contains("Partition it") && said.contains("'all' AS part"), "{said}");
    assert_eq!(job.rows("SELECT event_id, _offset FROM tables.tally"), before);

    // The way out.
    job.write("tally.sql", &tally("PARTITIONED BY (part)", ", 'all' AS part"));
    let said = job.fails(2, &run);
    assert!(said.contains("--full-refresh=tally"), "{said}");
    job.ok(&[&run[..], &["--full-refresh=tally"]].concat());
    let told = job.ok(&["compact", "tally.sql"]);
    assert!(told.contains("tally part=all: ") && told.contains("now 1 file, "), "{told}");
    assert_eq!(job.rows("SELECT event_id, _offset FROM tables.tally"), before);
}

/// A pipeline over the same topic that compacts and retires by itself.
const KEEPING: &str = "
CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest');

CREATE STREAMING TABLE bronze_sales PARTITIONED BY (day, part)
  TBLPROPERTIES ('compact.auto' = 'true', 'compact.after' = '0 seconds')
AS SELECT *, CAST(ingest_time AS DATE) AS day, _partition AS part FROM STREAM sales_events;

CREATE STREAMING TABLE old_sales PARTITIONED BY (day) TBLPROPERTIES ('retain' = '30 days')
AS SELECT event_id, CAST(ingest_time - INTERVAL '40 days' AS DATE) AS day FROM STREAM sales_events;

CREATE STREAMING TABLE young_sales PARTITIONED BY (day) TBLPROPERTIES ('retain' = '50 days')
AS SELECT event_id, CAST(ingest_time - INTERVAL '40 days' AS DATE) AS day FROM STREAM sales_events;
";

#[test]
fn a_run_compacts_and_retires_by_itself_while_others_read() {
    let job = Workspace::new();
    job.write("keeping.sql", KEEPING);
    job.produce(6_000, 5);
    let mut run = job.start(&[
        "run",
        "keeping.sql",
        "--trigger",
        "available-now",
        "--progress",
        "none",
        "--set",
        "sales_events.maxOffsetsPerTrigger=100",
    ]);
    let table = job.path().join("data/bronze/sales");
    let (mut reads, mut most, mut least, mut compacted) = (0, 0, usize::MAX, false);
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        // As many as before at least, and none twice; or a file that is gone.
        match ids(&table) {
            Ok(found) => {
                let distinct: std::collections::BTreeSet<_> = found.iter().collect();
                assert_eq!(distinct.len(), found.len(), "rows twice");
                assert!(found.len() >= reads, "{} rows, then {}", reads, found.len());
                reads = found.len();
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => panic!("{e}"),
        }
        let files = files_there(&table);
        compacted |= files < most;
        (most, least) = (most.max(files), least.min(files));
    };
    assert!(status.success());
    assert!(compacted && most > 6, "at most {most} files, at least {least}");
    assert_eq!(ids(&table).unwrap().len(), usize::try_from(job.value("SELECT count(*) FROM bronze.sales")).unwrap());
    // Three partitions of the topic, on one day or two.
    assert!(files_there(&table) <= 6 * 3, "{}", files_there(&table));
    assert_eq!(files_there(&job.path().join("data/tables/old_sales")), 0);
    let young = job.value("SELECT count(*) FROM tables.young_sales");
    assert_eq!(young, job.value("SELECT count(*) FROM bronze.sales"), "its day is not over for long enough");
    let verdict = verify(&Checkpoint::new(job.path().join("checkpoints/keeping")), &SystemClock::new()).unwrap();
    assert!(verdict.problems.is_empty() && verdict.retired > 0 && verdict.compacted > 0, "{verdict}");
    assert_eq!(i64::try_from(verdict.retired).unwrap(), young);
    let told = job.ok(&["compact", "keeping.sql", "--dry-run", "--table", "young_sales"]);
    assert!(told.contains("young_sales day=") && !told.contains("retired"), "{told}");
}

fn files_there(folder: &Path) -> usize {
    files_below(folder).iter().filter(|path| is_parquet(path)).count()
}

/// (partition, offset) of every row that a reader finds that walks into all folders, then opens what it found.
fn ids(folder: &Path) -> std::io::Result<Vec<(i32, i64)>> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int32Type, Int64Type};
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            // A partition's folder is there or not; staging folders go.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, found)?;
            } else if path.extension().is_some_and(|e| e == "parquet") {
                found.push(path);
            }
        }
        Ok(())
    }
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    walk(folder, &mut names)?;
    for name in names {
        let file = std::fs::File::open(name)?;
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build());
        for batch in reader.map_err(std::io::Error::other)? {
            let batch = batch.map_err(std::io::Error::other)?;
            let (partitions, offsets) = (&batch["_partition"], &batch["_offset"]);
            let offsets = offsets.as_primitive::<Int64Type>().values();
            rows.extend(partitions.as_primitive::<Int32Type>().values().iter().copied().zip(offsets.iter().copied()));
        }
    }
    Ok(rows)
}
