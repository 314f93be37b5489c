//! Every target over its corpus, and over changed copies of it.
//!
//! An input may take ten seconds and two gigabytes, as in `scripts/fuzz.sh`. A change is a function of a seed.
//! `SLUICEBOX_FUZZ_ROUNDS` says how many copies a target gets (default 400), and `SLUICEBOX_FUZZ_SEED` where they begin,
//! so that other runs try others. An input that stops a target is kept in its corpus and its name printed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod seeds;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_fuzz::{TARGETS, Target};

/// How long an input may take.
const LONGEST: Duration = Duration::from_secs(10);
/// Kilobytes that this process may have had, with all targets.
const MEMORY: u64 = 2 << 20;

fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The inputs of a corpus, in the order of their names.
fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(corpus(target)).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no corpus", target.name);
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Cut, stained, doubled, crossed with another: one to four times.
fn changed(rng: &mut SmallRng, inputs: &[(PathBuf, Vec<u8>)], longest: usize) -> Vec<u8> {
    let mut bytes = inputs[rng.random_range(0..inputs.len())].1.clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..16)).min(bytes.len());
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'"', b'('][rng.random_range(0..8)],
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..end].to_vec();
                let times = rng.random_range(1..64);
                bytes.splice(at..at, again.repeat(times));
            }
            5 => {
                let other = &inputs[rng.random_range(0..inputs.len())].1;
                let from = rng.random_range(0..=other.len());
                let to = (from + rng.random_range(0..64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            6 => {
                let number = [0, 1, -1, i64::MAX, i64::MIN, 1 << 32][rng.random_range(0..6)];
                bytes.splice(at..end, number.to_string().into_bytes());
            }
            _ => drop(bytes.splice(at..end, [0xff; 9])),
        }
    }
    bytes.truncate(longest);
    bytes
}

/// What is wrong with what the target does with `input`, if something is.
fn wrong(target: &Target, input: &[u8]) -> Option<String> {
    let clock = SystemClock::new();
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        return Some(format!("{} does not survive", target.name));
    }
    let took = clock.monotonic();
    if took > LONGEST {
        return Some(format!("{} takes {took:?} for", target.name));
    }
    let memory = memory();
    (memory > MEMORY).then(|| format!("{memory} kB of memory were taken when {} had taken", target.name))
}

/// Kilobytes of memory that this process has had at its most; 0 where the system does not tell.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

fn holds(name: &str) {
    let target = TARGETS.into_iter().find(|t| t.name == name).unwrap();
    let inputs = inputs(&target);
    for (path, input) in &inputs {
        if let Some(wrong) = wrong(&target, input) {
            panic!("{wrong} {}", path.display());
        }
    }
    let (first, rounds) = (number("SLUICEBOX_FUZZ_SEED", 0), number("SLUICEBOX_FUZZ_ROUNDS", 400));
    for seed in first..first + rounds {
        let input = changed(&mut SmallRng::seed_from_u64(seed), &inputs, target.longest);
        if let Some(wrong) = wrong(&target, &input) {
            let path = corpus(&target).join(format!("found-{seed}"));
            fs::write(&path, &input).unwrap();
            panic!("{wrong} seed {seed}, kept as {}", path.display());
        }
    }
}

#[test]
fn avro() {
    holds("avro");
}

#[test]
fn schema() {
    holds("schema");
}

#[test]
fn json() {
    holds("json");
}

#[test]
fn log() {
    holds("log");
}

#[test]
fn packed() {
    holds("packed");
}

#[test]
fn checkpoint() {
    holds("checkpoint");
}

#[test]
fn state() {
    holds("state");
}

#[test]
fn sql() {
    holds("sql");
}

#[test]
fn options() {
    holds("options");
}

#[test]
fn registry() {
    holds("registry");
}

#[test]
fn answers() {
    holds("answers");
}

/// Writes the inputs that a search begins with: right ones of every kind.
#[test]
#[ignore = "writes the corpora"]
fn make_seeds() {
    for target in TARGETS {
        let dir = corpus(&target);
        fs::create_dir_all(&dir).unwrap();
        for (name, input) in seeds::of(target.name) {
            assert!(input.len() <= target.longest, "{} {name} has {} bytes", target.name, input.len());
            fs::write(dir.join(name), input).unwrap();
        }
    }
}
