//! From an error to what a person reads and the exit code.

use std::process::ExitCode;
use std::sync::Arc;

use sluicebox_core::{Blame, Blamed};
use sluicebox_engine::EngineError;
use sluicebox_pipeline::diagnostic::Diagnostics;
use sluicebox_pipeline::graph::Graph;

use crate::screen::{self, say};

/// A mistake on the command line or in what it names, without a place in a pipeline: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Draws on stderr what runs and should be known.
pub fn warn(graph: &Graph) {
    if !graph.warnings.is_empty() {
        let (file, text) = (graph.pipeline.file.clone(), Arc::clone(&graph.pipeline.text));
        let warnings = Diagnostics::new(file, text, graph.warnings.clone());
        screen::tell(warnings.render(screen::colours()).as_bytes());
    }
}

/// Prints `error` on stderr and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(diagnostics) = error.downcast_ref::<Diagnostics>() {
        screen::tell(diagnostics.render(screen::colours()).as_bytes());
        return ExitCode::from(2);
    }
    let (red, plain) = if screen::colours() { ("\u{1b}[31m", "\u{1b}[0m") } else { ("", "") };
    let engine = error.downcast_ref::<EngineError>();
    let code = engine.map(|error| format!("[{}]", error.code())).unwrap_or_default();
    say!("{red}error{code}:{plain} {error:#}");
    if error.downcast_ref::<Usage>().is_some() {
        return ExitCode::from(2);
    }
    match engine {
        Some(EngineError::FailUpdate { .. } | EngineError::FailRow { .. } | EngineError::TooManyLetters { .. }) => {
            ExitCode::from(3)
        }
        Some(error) => match error.blame() {
            Blame::User => ExitCode::from(2),
            Blame::Outside => ExitCode::from(1),
            Blame::Us => {
                say!("this is a bug in Sluicebox: please report it with the lines above");
                ExitCode::from(1)
            }
        },
        None => ExitCode::from(1),
    }
}
