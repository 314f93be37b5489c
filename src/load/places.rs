//! Where a source's options stand in the pipeline's text: so that what other crates say of an option has a place.

use std::sync::Arc;

use sluicebox_avro::{AvroError, RegistryError};
use sluicebox_engine::EngineError;
use sluicebox_ingest::SourceError;
use sluicebox_pipeline::ast::{Pipeline, SourceDef, Span};
use sluicebox_pipeline::diagnostic::{Diagnostic, Diagnostics};

/// The options of one source, with their places.
#[derive(Debug, Clone)]
pub struct Places {
    file: String,
    text: Arc<str>,
    /// Name, its place, that of the value.
    options: Vec<(String, Span, Span)>,
}

impl Places {
    /// Those of `source`.
    pub fn of(pipeline: &Pipeline, source: &SourceDef) -> Self {
        let place = |(key, value): &(_, _)| place(key, value);
        Self {
            file: pipeline.file.clone(),
            text: Arc::clone(&pipeline.text),
            options: source.options.iter().map(place).collect(),
        }
    }

    /// `error` at its option, if it is about one that stands in the text.
    pub fn of_source(&self, error: SourceError) -> anyhow::Error {
        if let SourceError::Option { option, given, accepted, .. } = &error {
            let message = format!("`{option}` is {given}");
            if let Some(found) = self.diagnostic(option, message, format!("right is: {accepted}")) {
                return found.into();
            }
        }
        EngineError::from(error).into()
    }

    /// The same of an error of the registry's options.
    pub fn of_registry(&self, error: RegistryError) -> anyhow::Error {
        if let RegistryError::Option { option, problem } = &error
            && let Some((_, _, value)) = self.find(option)
        {
            let found = Diagnostic::new("option", value, format!("`{option}`: {problem}"), "this value");
            return self.at(found).into();
        }
        EngineError::from(AvroError::from(error)).into()
    }

    fn diagnostic(&self, option: &str, message: String, help: String) -> Option<Diagnostics> {
        let (_, key, value) = self.find(option)?;
        // What is wrong with a name stands under the name.
        let about_name = message.ends_with("is not known") || message.ends_with("is set");
        let (span, label) = if about_name { (key, "this option") } else { (value, "this value") };
        Some(self.at(Diagnostic::new("option", span, message, label).with_help(help)))
    }

    fn find(&self, option: &str) -> Option<(&str, Span, Span)> {
        let found = self.options.iter().find(|(name, ..)| name.eq_ignore_ascii_case(option));
        found.map(|(name, key, value)| (name.as_str(), *key, *value))
    }

    fn at(&self, diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics::new(self.file.clone(), Arc::clone(&self.text), vec![diagnostic])
    }
}

fn place(
    key: &sluicebox_pipeline::ast::Spanned<String>,
    value: &sluicebox_pipeline::ast::Spanned<String>,
) -> (String, Span, Span) {
    (key.value.clone(), key.span, value.span)
}
