//! What on the command line names a pipeline and changes its settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sluicebox::load::{Spec, trigger_of};
use sluicebox_engine::Trigger;
use sluicebox_pipeline::values;

use crate::failure::Usage;

/// What names a pipeline and changes its settings.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The pipeline
    #[arg(value_name = "PIPELINE.sql")]
    pub pipeline: PathBuf,
    /// The folder to resume from; without it, checkpoints/<pipeline>
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Overrides a SET key, an option of a source as <source>.<option>, or a property of a table as <table>.<property>; may
    /// be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How long brokers and a registry that do not answer are waited for, as '30 seconds'; without it a run whose
    /// trigger is not available-now waits for ever, and all else waits 30 seconds
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

/// How long is waited for what does not answer, where nobody says how long.
const WAIT: Duration = Duration::from_secs(30);

impl LoadArgs {
    /// The pipeline, read.
    pub fn spec(&self) -> anyhow::Result<Spec> {
        let spec = Spec::read(&self.pipeline)?;
        Ok(Spec { checkpoint: self.checkpoint.clone(), set: overrides(&self.set)?, ..spec })
    }

    /// The command that runs this pipeline so, for messages.
    pub fn command(&self) -> String {
        let mut words = vec!["sluicebox".to_owned(), "run".to_owned(), quoted(&self.pipeline.display().to_string())];
        if let Some(dir) = &self.checkpoint {
            words.extend(["--checkpoint".to_owned(), quoted(&dir.display().to_string())]);
        }
        for set in &self.set {
            words.extend(["--set".to_owned(), quoted(set)]);
        }
        words.join(" ")
    }

    /// How long what does not answer is waited for; `None` for ever, where a run that goes `on` for ever is asked for.
    pub fn patience(&self, on: bool) -> anyhow::Result<Option<Duration>> {
        match &self.wait {
            Some(text) => wait(text).map(Some),
            None => Ok((!on).then_some(WAIT)),
        }
    }

    /// The names of the sources of `spec`, and how long a run of it waits for what does not answer: its trigger is `given`, or else that of
    /// its `SET 'trigger'`.
    pub fn first_look(&self, spec: &Spec, given: Option<Trigger>) -> anyhow::Result<(Vec<String>, Option<Duration>)> {
        let pipeline = spec.parsed()?;
        let wait = self.patience(given.or(trigger_of(&pipeline)) != Some(Trigger::AvailableNow))?;
        Ok((pipeline.sources.into_iter().map(|s| s.name.value).collect(), wait))
    }
}

/// The value of `--wait`.
pub fn wait(text: &str) -> anyhow::Result<Duration> {
    let micros = values::duration(text).and_then(|micros| u64::try_from(micros).ok());
    let wrong = || Usage(format!("--wait '{text}' is not a duration: write a number and a unit, as in '30 seconds'"));
    Ok(Duration::from_micros(micros.ok_or_else(wrong)?))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn overrides(set: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut overrides = Vec::with_capacity(set.len());
    for text in set {
        let (key, value) =
            text.split_once('=').ok_or_else(|| Usage(format!("--set '{text}' has no `=`: write --set KEY=VALUE")))?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    Ok(overrides)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_run_to_the_end_gives_up_what_does_not_answer_whoever_says_that_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let waits = |set: &str, given: Option<Trigger>, wait: Option<&str>| {
            let pipeline = folder.path().join("p.sql");
            let sql = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e'); CREATE STREAMING TABLE t AS SELECT * FROM STREAM e;";
            std::fs::write(&pipeline, format!("{set}{sql}")).unwrap();
            let args = LoadArgs { pipeline, checkpoint: None, set: Vec::new(), wait: wait.map(str::to_owned) };
            let (sources, wait) = args.first_look(&args.spec().unwrap(), given).unwrap();
            assert_eq!(sources, ["e"]);
            wait
        };
        let (now, second) = ("SET 'trigger' = 'available-now';\n", "SET 'trigger' = '1 second';\n");
        let every = Some(Trigger::Interval(Duration::from_secs(1)));
        assert_eq!(waits("", Some(Trigger::AvailableNow), None), Some(WAIT));
        assert_eq!(waits(now, None, None), Some(WAIT), "the file says so");
        assert_eq!(waits(second, Some(Trigger::AvailableNow), None), Some(WAIT), "the flag is stronger");
        for for_ever in [waits("", None, None), waits(second, None, None), waits(now, every, None)] {
            assert_eq!(for_ever, None);
        }
        assert_eq!(waits("", None, Some("2 seconds")), Some(Duration::from_secs(2)));
    }
}
