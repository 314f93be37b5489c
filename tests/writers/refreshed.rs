//! A full refresh, killed at each of its effects.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{Workspace, assert_same, text};
use crate::{CHECKPOINT, effects, everything, run, seed};

#[test]
fn a_full_refresh_killed_anywhere_is_finished_by_the_next_run() {
    let job = Workspace::new();
    job.produce(700, 4);
    assert!(run(&job, 250, &[]).output().unwrap().status.success());
    let expected = job.tables();
    let effects = effects(run(&job, 250, &["--full-refresh"]), &job);
    let part_of_it = ["refresh.", "clear.", "metadata.", "owner.", "table.", "source.", "offsets.", "epoch."];
    let mut random = SmallRng::seed_from_u64(seed());
    let all: Vec<String> = effects
        .iter()
        .filter(|(name, _)| part_of_it.iter().any(|part| name.starts_with(part)))
        .map(|(name, count)| format!("{name}:{}", random.random_range(1..=*count)))
        .collect();
    assert!(all.iter().any(|c| c.starts_with("refresh.")) && all.iter().any(|c| c.starts_with("clear.")), "{all:?}");
    let amount = if everything() { all.len() } else { 16 };
    let mut killed = 0;
    for (n, at) in all.choose_multiple(&mut random, amount).enumerate() {
        // The same folder again and again: each refresh deletes what the last one made.
        let output = run(&job, 250, &["--full-refresh"]).env("SLUICEBOX_CRASH_AT", at).output().unwrap();
        killed += u32::from(output.status.code().is_none());
        // Killed once more on the way, now and then.
        if n % 3 == 0 {
            let _ = run(&job, 250, &[]).env("SLUICEBOX_CRASH_AT", "*.sync_folder:after:9").output().unwrap();
        }
        let more: &[&str] = if n % 2 == 0 { &[] } else { &["--full-refresh"] };
        let output = run(&job, 250, more).output().unwrap();
        assert!(output.status.success(), "{at}, then {more:?}: {}", text(&output.stderr));
        assert!(!job.path().join(CHECKPOINT).join("refresh").exists(), "{at}: the record is left");
        assert_same(&expected, &job.tables());
        job.ok(&["checkpoint", "verify", CHECKPOINT]);
    }
    println!("{killed} kills of {}", all.len());
    assert!(killed > 8, "{killed} kills");
}
