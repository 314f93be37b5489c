//! Fuzz targets. Each takes any bytes for one kind of foreign input. It panics only if Sluicebox panics, or breaks a promise that the
//! target can check (invariant 7: no input panics, a bad input costs itself alone).
//!
//! `tests/corpus.rs` runs every target over its corpus and over mutations of it, on every build. `scripts/fuzz.sh` searches further, guided
//! by the coverage of Sluicebox's own crates.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a fuzz target that stops has found something")]

mod answers;
mod avro;
mod checkpoint;
mod input;
mod json;
mod log;
mod options;
mod packed;
mod registry;
mod sql;
mod state;

/// What one input is given to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The folder of its corpus.
    pub name: &'static str,
    /// Inputs longer than this are not tried.
    pub longest: usize,
    /// Takes an input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    Target { name: "avro", longest: 4096, run: avro::run },
    Target { name: "schema", longest: 4096, run: avro::schema },
    Target { name: "json", longest: 2048, run: json::run },
    Target { name: "log", longest: 4096, run: log::run },
    Target { name: "packed", longest: 2048, run: packed::run },
    Target { name: "checkpoint", longest: 4096, run: checkpoint::run },
    Target { name: "state", longest: 8192, run: state::run },
    Target { name: "sql", longest: 4096, run: sql::run },
    Target { name: "options", longest: 512, run: options::run },
    Target { name: "registry", longest: 4096, run: registry::run },
    Target { name: "answers", longest: 4096, run: answers::run },
];
