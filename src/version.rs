//! `sluicebox version`: what was built, with what.

use std::sync::LazyLock;

use clap::Args;
use serde_json::{Map, Value};

use crate::out;

/// What was built, with what
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluicebox version --json | jq -r .datafusion\n  sluicebox version --licences | less"
)]
pub struct VersionArgs {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The software of others in this binary, with its licences
    #[arg(long, alias = "licenses", conflicts_with = "json")]
    licences: bool,
}

/// Whose software this is built of; `scripts/third_party.py` writes it.
const THIRD_PARTY: &str = include_str!("../THIRD_PARTY.md");

/// The version of OpenSSL that was built in: its crate has it behind its own, `300.6.1+3.6.3`.
fn openssl() -> &'static str {
    let mut lines = include_str!("../Cargo.lock").lines().skip_while(|line| *line != r#"name = "openssl-src""#);
    let version = lines.nth(1).and_then(|line| line.strip_suffix('"')?.rsplit_once('+'));
    version.map_or("unknown", |(_, version)| version)
}

fn parts() -> Vec<(&'static str, String)> {
    let features: Vec<&str> = [("duckdb", cfg!(feature = "duckdb")), ("faults", cfg!(feature = "faults"))]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    vec![
        ("sluicebox", env!("CARGO_PKG_VERSION").to_owned()),
        ("datafusion", datafusion::DATAFUSION_VERSION.to_owned()),
        ("arrow", arrow::ARROW_VERSION.to_owned()),
        ("librdkafka", sluicebox_sources::librdkafka_version()),
        ("openssl", openssl().to_owned()),
        ("features", if features.is_empty() { "none".to_owned() } else { features.join(", ") }),
        ("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
    ]
}

/// What `sluicebox --version` prints after the name.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let mut parts = parts().into_iter();
    let own = parts.next().map(|(_, version)| version).unwrap_or_default();
    parts.fold(own, |text, (name, version)| format!("{text}\n{name:<11} {version}"))
});

/// Prints it.
pub fn version(args: &VersionArgs) -> anyhow::Result<()> {
    if args.licences {
        return Ok(out::print(THIRD_PARTY)?);
    }
    if args.json {
        let map: Map<String, Value> = parts().into_iter().map(|(name, v)| (name.to_owned(), Value::from(v))).collect();
        return out::pretty(&map);
    }
    Ok(out::print(&format!("sluicebox {}\n", *LONG))?)
}
