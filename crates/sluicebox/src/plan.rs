//! Describes a pipeline, and its changes since its checkpoint was written.

use std::fmt;

use serde::Serialize;
use sluicebox_core::shown::shown;
use sluicebox_engine::EngineError;
use sluicebox_evolve::{Changes, Request};
use sluicebox_pipeline::bind::Description;

use crate::error::{Error, Result};
use crate::load::{Check, Checked};

/// A pipeline, and what of it has changed since its checkpoint was written.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Sources, tables, state and guarantees.
    #[serde(flatten)]
    pub description: Description,
    /// What has changed; none without a checkpoint.
    pub changes: Option<Changes>,
    /// What was found of brokers, topics and folders.
    pub checks: Vec<Check>,
    /// What a run would be refused with, or would wait for.
    #[serde(skip)]
    pub refused: Option<Error>,
}

impl Plan {
    /// That of the pipeline `checked`, which `command` runs; with `offline` no broker is asked, and no registry. Nothing is changed.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub async fn of(checked: &Checked, command: &str, offline: bool) -> Result<Self> {
        let changes = match checked.checkpoint.refresh().map_err(EngineError::from)? {
            // A full refresh that was begun is finished by the next run: what was before is gone.
            Some(_) => None,
            None => {
                let text = checked.graph.pipeline.resolved.clone();
                let readable = sluicebox_evolve::readable(&checked.graph);
                let request = Request { command: command.to_owned(), readable, ..Request::default() };
                sluicebox_evolve::read_only(&checked.checkpoint, checked.shape()?, &text, request)
                    .map_err(EngineError::from)?
            }
        };
        let mut checks = Vec::new();
        let refused = checked.look(offline, &mut checks).await.err();
        Ok(Self { description: checked.graph.describe(), changes, checks, refused })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.description)?;
        if let Some(changes) = &self.changes {
            write!(f, "\n{changes}")?;
        }
        if !self.checks.is_empty() {
            writeln!(f, "\nlooked at")?;
        }
        let width = self.checks.iter().map(|check| check.about.len()).max().unwrap_or(0);
        let mut told = false;
        for Check { about, status, text } in &self.checks {
            // One line, whatever names are in it.
            let text = shown(text);
            match *status {
                "ok" => writeln!(f, "  {about:<width$}  {text}")?,
                // Told whole at the end.
                "problem" if !std::mem::replace(&mut told, true) => {
                    writeln!(f, "  {about:<width$}  a run would be refused, see below")?
                }
                status => writeln!(f, "  {about:<width$}  {status}: {text}")?,
            }
        }
        Ok(())
    }
}
