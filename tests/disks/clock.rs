//! A machine's clock that goes backwards, within a run and between runs: batches take it as it is, and the tables are those
//! of a run whose clock was right. (An hour back and more, events are in the future: `maxFuture`.)

use std::collections::BTreeSet;

use crate::scene::{Scene, said};

fn run(scene: &Scene, clock: &str) {
    let output = scene.command(90).env("SLUICEBOX_CLOCK", clock).output().unwrap();
    assert!(output.status.success(), "{clock}: {}", said(&output, clock));
}

/// The clocks of all batches, in order.
fn clocks(scene: &Scene) -> Vec<i64> {
    let plans = scene.job.path().join("checkpoints/revenue_5m/offsets");
    let mut ids: Vec<u64> =
        std::fs::read_dir(&plans).unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    let clock = |id: &u64| {
        let text = std::fs::read_to_string(plans.join(id.to_string())).unwrap();
        let record: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
        record["clock_micros"].as_i64().unwrap()
    };
    ids.iter().map(clock).collect()
}

#[test]
fn a_clock_that_goes_backwards_changes_no_table() {
    let scene = Scene::new(400, 400, 90, &[]);
    // Between runs, by less than `maxFuture`; and at every other look within one.
    for clock in ["-3000", "0,-3000,-600,-2400,-1", "-2000,60,-1800,-60"] {
        let before = clocks(&scene);
        run(&scene, clock);
        let after = clocks(&scene);
        let back = after.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(back > 0 && after.len() > before.len() + 3, "{clock}: the clock went back {back} times: {after:?}");
        assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), after.len());
        scene.assert_right(clock);
        scene.job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
        scene.reset();
    }
}
