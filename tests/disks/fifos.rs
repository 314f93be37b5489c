//! FIFOs that nobody writes to, where files are expected that no checkpoint names. Whoever opens one waits for ever: all name it.

use std::path::Path;

use crate::GOLD;
use crate::scene::{Scene, said, table_files};
use crate::support::{Workspace, ended, make_fifo, text};

/// What `args` say on both streams, to their end.
fn told(job: &Workspace, args: &[&str]) -> (Option<i32>, String) {
    let output = ended(&mut job.command(args), &args.join(" "));
    let errors = said(&output, &args.join(" "));
    (output.status.code(), text(&output.stdout) + &errors)
}

#[test]
fn a_fifo_among_a_tables_files_is_named_by_all_who_read_them() {
    let scene = Scene::new(600, 300, 150, &[]);
    let bronze = |path: &&Path| path.starts_with("data/bronze") && path.extension().is_some_and(|e| e == "parquet");
    let oldest = scene.files().keys().map(|path| path.as_path()).find(bronze).unwrap();
    for (what, path) in [("another's", Path::new("data/bronze/sales/x.parquet")), ("an old one", oldest)] {
        let at = scene.job.path().join(path);
        let _ = std::fs::remove_file(&at);
        make_fifo(&at);
        let name = path.to_str().unwrap();
        // A run reads no file of a batch that is over.
        let output = scene.run(&[]);
        assert!(output.status.success(), "{what}: {}", said(&output, what));
        let count = ["query", "SELECT count(*) FROM bronze.sales"];
        for engine in [&[] as &[&str], &["--engine", "datafusion"]] {
            let (code, told) = told(&scene.job, &[&count, engine].concat());
            assert!(matches!(code, Some(1 | 2)), "{what}, {engine:?}: {code:?} {told}");
            assert!(told.contains(name) && told.contains("it is a FIFO, and no file"), "{what}, {engine:?}: {told}");
        }
        let (code, verified) = told(&scene.job, &["checkpoint", "verify", "checkpoints/revenue_5m"]);
        assert!(code == Some(1) && verified.contains(name), "{what}: {code:?} {verified}");
        let (code, compacted) = told(&scene.job, &["compact", GOLD]);
        assert!(matches!(code, Some(0..=2)), "{what}: {code:?} {compacted}");
        scene.reset();
    }
}

#[test]
fn a_fifo_in_the_place_of_a_mark_keeps_a_first_start_from_writing_to_a_table_of_nobody() {
    for there in [true, false] {
        let job = Workspace::new();
        job.produce(100, 4);
        let folder = job.path().join("data/silver/sales");
        std::fs::create_dir_all(if there { &folder } else { folder.parent().unwrap() }).unwrap();
        let mark = crate::support::mark_of(&folder);
        make_fifo(&mark);
        let run = ["run", GOLD, "--trigger", "available-now"];
        let (code, refused) = told(&job, &run);
        assert_eq!(code, Some(1), "{refused}");
        assert!(refused.contains("data/silver/.sales_sluicebox_owner") && refused.contains("a FIFO"), "{refused}");
        assert!(table_files(&job).is_empty(), "it wrote rows");
        std::fs::remove_file(&mark).unwrap();
        let (code, ran) = told(&job, &run);
        assert_eq!(code, Some(0), "{ran}");
        job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
    }
}

#[test]
fn a_fifo_in_the_place_of_a_folder_is_named_and_not_waited_for() {
    let scene = Scene::new(300, 300, 150, &[]);
    let checkpoint = Path::new("checkpoints/revenue_5m");
    for folder in
        ["commits", "sources/sales_events", "compactions", "../../data/gold/revenue_5m", "../../data/.log/registry"]
    {
        let at = scene.job.path().join(checkpoint).join(folder);
        std::fs::remove_dir_all(&at).unwrap();
        make_fifo(&at);
        let (code, told) = told(&scene.job, &["run", GOLD, "--trigger", "available-now"]);
        let name = Path::new(folder).file_name().unwrap().to_str().unwrap();
        assert!(code == Some(1) && told.contains(name), "{folder}: {code:?} {told}");
        scene.assert_nothing_else(folder);
        scene.reset();
    }
}

#[test]
fn a_pipeline_that_nobody_writes_to_its_pipe_is_given_up() {
    let job = Workspace::new();
    make_fifo(&job.path().join("p.sql"));
    let (code, said) = told(&job, &["plan", "p.sql"]);
    assert!(code == Some(2) && said.contains("p.sql: it is a pipe, and what is written to it did not end"), "{said}");
    let (code, said) = told(&job, &["plan", "/dev/null"]);
    assert!(code == Some(2) && said.contains("/dev/null: it is a device, and no file"), "{said}");
}
