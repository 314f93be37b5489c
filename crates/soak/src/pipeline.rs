//! The pipeline under test: the example's, or one whose partitions close during the soak and are compacted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::producer::SPAN_MICROS;
use crate::scripts;

/// How long a partition of bronze and silver grows, however long the soak is.
const GROWS: Duration = Duration::from_secs(8);

/// The example.
pub fn example() -> PathBuf {
    scripts::file("sql/gold_revenue.sql")
}

/// Writes the pipeline with partitions that close within seconds as `file`, for a soak that lasts `time`. Its tables are
/// compacted or not, and the same otherwise.
pub fn partitioned(file: &Path, time: Duration, compact: bool) -> Result<PathBuf> {
    let text = std::fs::read_to_string(scripts::file("crates/soak/sql/compacted.sql"))?;
    let text = text.replace("{{compact}}", if compact { "true" } else { "false" });
    let text = text.replace("{{seconds}}", &seconds_of_a_partition(time).to_string());
    std::fs::write(file, text).with_context(|| file.display().to_string())?;
    Ok(file.to_owned())
}

/// How many seconds of event time pass while a partition grows: event time runs faster the shorter the soak is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "six hours at most"
)]
fn seconds_of_a_partition(time: Duration) -> u64 {
    let faster = SPAN_MICROS as f64 / 1e6 / time.as_secs_f64();
    (GROWS.as_secs_f64() * faster).max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_closes_within_seconds_however_long_the_soak_is() {
        let seconds = |minutes: u64| seconds_of_a_partition(Duration::from_secs(60 * minutes));
        assert_eq!((seconds(1), seconds(5), seconds(60)), (2880, 576, 48));
        assert_eq!(seconds(60 * 24 * 70), 1);
    }
}
