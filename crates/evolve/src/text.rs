//! What changed since the checkpoint was written, for people.

use std::fmt;

use crate::verdict::{Change, ChangeKind, Changes, Subject, Verdict};

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "since the checkpoint {}", self.checkpoint)?;
        if self.verdict == Verdict::Unchanged {
            return writeln!(f, "  nothing has changed: the next run goes on with batch {}", self.from_batch);
        }
        let batch = self.from_batch;
        if self.replays {
            writeln!(
                f,
                "  batch {batch} was planned and not committed: it is run again by this SQL, with the same offsets"
            )?;
        }
        let same: Vec<&str> =
            self.changes.iter().filter(|c| c.verdict == Verdict::Unchanged).map(|c| c.name.as_str()).collect();
        if !same.is_empty() {
            writeln!(f, "  unchanged: {}", same.join(", "))?;
        }
        for change in self.changes.iter().filter(|c| c.verdict != Verdict::Unchanged) {
            write!(f, "{change}")?;
        }
        match self.verdict {
            Verdict::Unchanged | Verdict::Safe => {
                writeln!(f, "  the next run adopts this from batch {batch} on")
            }
            Verdict::Choice | Verdict::Refused => {
                writeln!(f, "  a run stops before it touches anything, until one of the ways on is taken")?;
                if self.compared_with > 0 {
                    writeln!(f, "  the SQL that it was is in {}/pipelines/{}", self.checkpoint, self.compared_with)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.subject {
            Subject::Source => "source",
            Subject::Table => "table",
        };
        let verdict = match (self.verdict, self.kind) {
            (Verdict::Unchanged, _) => "unchanged",
            (Verdict::Safe, ChangeKind::Added) => "safe: added",
            (Verdict::Safe, ChangeKind::Removed) => "safe: removed",
            (Verdict::Safe, _) => "safe",
            (Verdict::Choice, _) => "needs a choice",
            (Verdict::Refused, _) => "refused",
        };
        writeln!(f, "  {subject} {}: {verdict}", self.name)?;
        for difference in &self.differences {
            // Beside what needs a decision the rest is shown as well, marked.
            let mark = if self.verdict > Verdict::Safe && difference.verdict <= Verdict::Safe { " (safe)" } else { "" };
            writeln!(f, "    - {}{mark}", difference.what)?;
            writeln!(f, "      {}", difference.effect)?;
        }
        if !self.ways.is_empty() {
            writeln!(f, "    ways on:")?;
        }
        for way in &self.ways {
            match &way.command {
                Some(command) => writeln!(f, "      {command}\n        {}", way.what)?,
                None => writeln!(f, "      {}", way.what)?,
            }
        }
        Ok(())
    }
}
