//! Killed at random moments, again and again, the tables end up as if nothing had happened.
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use support::{Workspace, assert_same};

/// Kills the run after a random time, until one run reaches the end. Gives the number of kills.
#[expect(clippy::disallowed_methods, reason = "the moment of a kill is a matter of real time")]
fn run_under_fire(job: &Workspace, random: &mut SmallRng, kills_wanted: u32) -> u32 {
    let args = [
        "run",
        "sql/gold_revenue.sql",
        "--trigger",
        "available-now",
        "--set",
        "sales_events.maxOffsetsPerTrigger=1500",
    ];
    let mut kills = 0;
    loop {
        let mut run = job.start(&args);
        let life = Duration::from_millis(random.random_range(50..1500));
        let born = Instant::now();
        let ended = loop {
            if let Some(status) = run.try_wait().expect("a state") {
                break Some(status);
            }
            if kills < kills_wanted && born.elapsed() >= life {
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "a run failed after {kills} kills: {status}");
                return kills;
            }
            None => {
                run.kill().expect("killed");
                run.wait().expect("ended");
                kills += 1;
            }
        }
    }
}

#[test]
fn killed_at_random_the_tables_equal_an_undisturbed_run() {
    let seed = std::env::var("SLUICEBOX_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SLUICEBOX_TEST_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let calm = Workspace::new();
    calm.produce(40_000, seed);
    let stormy = Workspace::with_log_of(&calm);
    calm.run_to_end(&[]);
    let kills = run_under_fire(&stormy, &mut random, 15);
    println!("{kills} kills");
    assert!(kills >= 3, "the run was over before it could be killed: {kills} kills");
    assert_same(&calm.tables(), &stormy.tables());
    stormy.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}
