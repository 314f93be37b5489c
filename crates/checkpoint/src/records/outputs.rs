//! The outputs in a commit, in every version of it.

use serde::{Deserialize, Serialize};
use sluicebox_core::OutputId;
use sluicebox_sinks::{Staged, StagedFile, StagedFiles, StagedRows};

use super::Commit;

/// What one output has staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredOutput")]
pub struct StagedOutput {
    /// What it is of.
    pub id: OutputId,
    /// What it has staged. A folder is absolute here, see `place` for how the file names it.
    pub staged: Staged,
}

impl StagedOutput {
    /// The staged files of the folder `location`.
    #[must_use]
    pub fn files(id: OutputId, location: String, files: Vec<StagedFile>) -> Self {
        Self { id, staged: Staged::Files(StagedFiles { location, files }) }
    }
}

/// A [`StagedOutput`] as versions of the commit have it: up to version 2 an output was a folder of files.
#[derive(Deserialize)]
struct StoredOutput {
    #[serde(alias = "output")]
    id: OutputId,
    staged: Option<Staged>,
    location: Option<String>,
    files: Option<Vec<StagedFile>>,
}

impl TryFrom<StoredOutput> for StagedOutput {
    type Error = String;

    fn try_from(stored: StoredOutput) -> Result<Self, String> {
        match stored {
            StoredOutput { id, staged: Some(staged), location: None, files: None } => Ok(Self { id, staged }),
            StoredOutput { id, staged: None, location: Some(location), files: Some(files) } => {
                Ok(Self::files(id, location, files))
            }
            StoredOutput { id, .. } => Err(format!("the output `{id}` is neither staged nor files in a location")),
        }
    }
}

/// The staged files of one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputFiles<'c> {
    /// What they are of.
    pub output: &'c OutputId,
    /// The output's folder.
    pub location: &'c str,
    /// Its files.
    pub files: &'c [StagedFile],
}

impl Commit {
    /// What outputs have staged as files.
    pub fn files(&self) -> impl Iterator<Item = OutputFiles<'_>> {
        self.outputs.iter().filter_map(|output| match &output.staged {
            Staged::Files(staged) => {
                Some(OutputFiles { output: &output.id, location: &staged.location, files: &staged.files })
            }
            Staged::Rows(_) => None,
        })
    }

    /// What outputs have staged as rows of a transaction, by output.
    pub fn rows(&self) -> impl Iterator<Item = (&OutputId, &StagedRows)> {
        self.outputs.iter().filter_map(|output| match &output.staged {
            Staged::Files(_) => None,
            Staged::Rows(staged) => Some((&output.id, staged)),
        })
    }

    /// Puts `f` of each folder in its place.
    pub(crate) fn locations(&mut self, f: impl Fn(&str) -> String) {
        for output in &mut self.outputs {
            if let Staged::Files(staged) = &mut output.staged {
                staged.location = f(&staged.location);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn output(json: &str) -> Result<StagedOutput, serde_json::Error> {
        serde_json::from_str(json)
    }

    const FILE: &str = r#"{"staged":"_staging/1/a.staged","target":"a.parquet","rows":2,"bytes":3,"checksum":"ff"}"#;

    #[test]
    fn an_output_of_every_version_is_read_and_that_of_the_newest_is_written() {
        let old = output(&format!(r#"{{"output":"table t","location":"/t","files":[{FILE}]}}"#)).unwrap();
        let new = format!(r#"{{"id":"table t","staged":{{"kind":"files","location":"/t","files":[{FILE}]}}}}"#);
        assert_eq!(serde_json::to_string(&old).unwrap(), new);
        assert_eq!(output(&new).unwrap(), old);
        let rows = r#"{"id":"table t","staged":{"kind":"rows","sink":"the store s","path":"outbox/t/000000007-3.arrow","rows":2,"bytes":3,"checksum":"ff"}}"#;
        let read = output(rows).unwrap();
        assert_eq!((read.staged.rows(), serde_json::to_string(&read).unwrap().as_str()), (2, rows));
    }

    #[test]
    fn an_output_that_says_nothing_of_what_it_staged_or_something_else_is_damage() {
        for wrong in [
            r#"{"id":"table t"}"#,
            r#"{"id":"t","staged":{"kind":"files","location":"/t","files":[]}}"#,
            r#"{"id":"table t","location":"/t"}"#,
            r#"{"id":"table t","staged":{"kind":"promises","location":"/t","files":[]}}"#,
            r#"{"id":"table t","staged":{"kind":"files","location":"/t","files":[]},"files":[]}"#,
        ] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
    }
}
