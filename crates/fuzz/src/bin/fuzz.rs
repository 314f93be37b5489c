//! The coverage-guided search: libFuzzer over the target that `SLUICEBOX_FUZZ_TARGET` names. See `scripts/fuzz.sh`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sluicebox_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("SLUICEBOX_FUZZ_TARGET").unwrap_or_default();
        let known = || TARGETS.map(|t| t.name).join(", ");
        TARGETS.into_iter().find(|t| t.name == name).unwrap_or_else(|| {
            eprintln!("SLUICEBOX_FUZZ_TARGET is '{name}'; there are {}", known());
            std::process::exit(2)
        })
    });
    if input.len() <= target.longest {
        (target.run)(input);
    }
});
