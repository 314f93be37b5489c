//! Limits of the system: open files, a file's size, processes. Below any of them a run goes on, or ends by itself with exit code 1,
//! what is lacking and what raises it; and once the limit is raised the tables are right.
//!
//! Limits are set by `prlimit` (util-linux). Those of processes do not count for root: they are tried as another user, which only
//! root can become. Where that cannot be done the tests fail and say so.

use std::process::Command;

use crate::GOLD;
use crate::scene::{Scene, said};
use crate::support::{ended, text, within};

/// Fails with what is lacking for the tests, if `around` cannot start a process.
fn check_means(around: &[&str], why: &str) {
    let tried = Command::new(around[0]).args(&around[1..]).arg("true").output();
    let works = tried.as_ref().is_ok_and(|output| output.status.success());
    let told = tried.map_or_else(|error| error.to_string(), |output| text(&output.stderr));
    assert!(works, "`{}` does not start a process, so nothing was tried: {told}. {why}", around.join(" "));
}

/// Tries a run below each limit, which `around` sets; one that stops says `lack` and `way_out`, and another run brings the tables.
/// Gives how many stopped.
fn try_each(scene: &Scene, limits: &[u64], around: &dyn Fn(u64) -> Vec<String>, lack: &[&str], way_out: &str) -> usize {
    let mut stopped = 0;
    for limit in limits {
        let around = around(*limit);
        let around: Vec<&str> = around.iter().map(String::as_str).collect();
        let what = around.join(" ");
        let run = scene.job.command(&["run", GOLD, "--trigger", "available-now"]);
        let output = ended(&mut within(&around, &run), &what);
        let told = said(&output, &what);
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                let error = told.lines().find(|line| line.starts_with("error")).unwrap_or_default();
                assert!(lack.iter().any(|lack| error.contains(lack)), "{what}: not what is lacking: {told}");
                assert!(error.contains(way_out), "{what}: no way out: {told}");
                assert!(!error.contains("Os {"), "{what}: a value as Rust writes it down: {told}");
                stopped += 1;
                let output = scene.run(&[]);
                assert!(output.status.success(), "{what}, then without it: {}", said(&output, &what));
            }
            other => panic!("{what}: it ended with {other:?}: {told}"),
        }
        scene.assert_right(&what);
        scene.job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
        scene.reset();
    }
    stopped
}

fn prlimit(option: &str, limit: u64) -> Vec<String> {
    vec!["prlimit".to_owned(), format!("--{option}={limit}")]
}

const UTIL_LINUX: &str = "`prlimit` is of util-linux: install it";

#[test]
fn a_run_with_few_open_files_says_so_and_goes_on_with_more() {
    check_means(&["prlimit", "--nofile=64"], UTIL_LINUX);
    let scene = Scene::new(300, 450, 150, &[]);
    let limits = [4, 6, 8, 9, 10, 12, 16, 22, 28, 34, 256];
    let stopped = try_each(&scene, &limits, &|n| prlimit("nofile", n), &["Too many open files"], "`ulimit -n`");
    assert!((5..limits.len()).contains(&stopped), "{stopped} stopped: the limit was not tried, or 256 are too few");
}

#[test]
fn a_run_that_may_write_short_files_only_says_so_and_is_ended_by_no_signal() {
    check_means(&["prlimit", "--fsize=65536"], UTIL_LINUX);
    let scene = Scene::new(300, 450, 150, &[]);
    let limits = [0, 300, 1_024, 2_000, 4_096, 8_192, 65_536, 16 << 20];
    let stopped = try_each(&scene, &limits, &|n| prlimit("fsize", n), &["File too large"], "`ulimit -f`");
    assert!(
        (4..limits.len()).contains(&stopped),
        "{stopped} stopped: the limit was not tried, or 16 MiB are too little"
    );
}

/// What starts a process with so many threads at most, as a user of whom there is nobody else; it may do with files what root may.
/// Tests that run at once are each the `nth`.
fn of_few_threads(nth: u32) -> impl Fn(u64) -> Vec<String> {
    let user = 61_000 + (std::process::id() * 2 + nth) % 4_000;
    let around = move |n: u64| {
        let ids = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
        let rights = "+dac_override,+dac_read_search,+fowner,+chown";
        let rights = [format!("--inh-caps={rights}"), format!("--ambient-caps={rights}")];
        let mut around = vec!["setpriv".to_owned()];
        around.extend(ids.into_iter().chain(rights).chain(prlimit("nproc", n)));
        around
    };
    let tried = around(64);
    let why = "Processes are limited for a user that is not root, and only root can become another (`setpriv` and `prlimit` are of \
               util-linux): run this test as root";
    check_means(&tried.iter().map(String::as_str).collect::<Vec<_>>(), why);
    around
}

fn cores() -> u64 {
    u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap()
}

#[test]
fn a_run_with_few_threads_says_so_or_does_with_what_there_is() {
    let around = of_few_threads(0);
    let scene = Scene::new(300, 450, 150, &[]);
    // One for the process, then those of the runtime, one that may block, one of the source; what comes after can be done without.
    // A thread that is ending counts for a moment, so that a few more may be too few.
    let cores = cores();
    let limits = [1, 2, cores + 1, cores + 2, cores + 3, cores + 4, cores + 6, 400];
    let stopped = try_each(&scene, &limits, &around, &["no thread can be started"], "`ulimit -u`");
    let some = (3..limits.len() - 1).contains(&stopped);
    assert!(some, "{stopped} stopped: the limit was not tried, or a run needs more threads than it says");
}

#[cfg(feature = "duckdb")]
#[test]
fn a_query_with_too_few_threads_says_so() {
    let around = of_few_threads(1);
    let job = crate::support::Workspace::new();
    job.produce(100, 1);
    job.run_to_end(&[]);
    // One for the process, then those of the runtime, one that may block: DuckDB's own is too many.
    for limit in [cores() + 1, cores() + 2] {
        let around = around(limit);
        let around: Vec<&str> = around.iter().map(String::as_str).collect();
        let what = around.join(" ");
        let query = job.command(&["query", "SELECT count(*) FROM bronze.sales", "--engine", "duckdb"]);
        let output = ended(&mut within(&around, &query), &what);
        let told = said(&output, &what);
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        let error = told.lines().find(|line| line.starts_with("error")).unwrap_or_default();
        assert!(error.starts_with("error[threads]: ") && error.contains("`ulimit -u`"), "{what}: {told}");
    }
}
