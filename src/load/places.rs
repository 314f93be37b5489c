//! Where a source's options stand in the pipeline's text: so that what other crates say of an option has a place.

use std::sync::Arc;

use sluicebox_avro::{AvroError, RegistryError};
use sluicebox_core::nearest::nearest_few;
use sluicebox_core::shown::cut_to;
use sluicebox_engine::EngineError;
use sluicebox_ingest::SourceError;
use sluicebox_pipeline::ast::{Pipeline, SourceDef, Span};
use sluicebox_pipeline::diagnostic::{COMMAND_LINE, Diagnostic, Diagnostics};
use sluicebox_pipeline::values::Reference;

/// Topics that are named when none is like the one that is looked for.
const TOPICS_NAMED: usize = 10;
/// Characters that are told of each: Kafka takes no longer name, and a broker may say one.
const LONGEST_TOPIC: usize = 249;

/// The options of one source, with their places.
#[derive(Debug, Clone)]
pub struct Places {
    file: String,
    text: Arc<str>,
    /// Name, its place, that of the value.
    options: Vec<(String, Span, Span)>,
    /// Whether an earlier run has read the source.
    begun: bool,
}

impl Places {
    /// Those of `source`.
    pub fn of(pipeline: &Pipeline, source: &SourceDef) -> Self {
        let place = |(key, value): &(_, _)| place(key, value);
        Self {
            file: pipeline.file.clone(),
            text: Arc::clone(&pipeline.text),
            options: source.options.iter().map(place).collect(),
            begun: false,
        }
    }

    /// The same of a source that an earlier run has read, if `begun`: what is missing then was there.
    pub fn begun(self, begun: bool) -> Self {
        Self { begun, ..self }
    }

    /// `error` at its option, if it is about one that stands in the text.
    pub fn of_source(&self, error: SourceError) -> anyhow::Error {
        if let SourceError::Option { option, given, accepted, .. } = &error {
            let message = format!("`{option}` is {given}");
            if let Some(found) = self.diagnostic(option, message, format!("right is: {accepted}")) {
                return found.into();
            }
        }
        if let SourceError::UnknownTopic { topic, log, known, .. } = &error {
            return self.unknown_topic(topic, log, known).into();
        }
        EngineError::from(error).into()
    }

    /// The same of what is known once the log was asked: offsets and partitions that it does not have.
    pub fn of_engine(&self, error: EngineError) -> anyhow::Error {
        match error {
            EngineError::Source(error) => self.of_source(error),
            other => other.into(),
        }
    }

    /// The same of an error of the registry's options.
    pub fn of_registry(&self, error: RegistryError) -> anyhow::Error {
        if let RegistryError::Option { option, problem } = &error
            && let Some((_, _, value)) = self.find(option)
        {
            // What is right stands behind what is wrong.
            let (problem, help) = match problem.split_once("; right is: ") {
                Some((problem, right)) => (problem, Some(format!("right is: {right}"))),
                None => (problem.as_str(), None),
            };
            let found = Diagnostic::new("option", value, format!("`{option}`: {problem}"), "this value");
            return self.at(found.with_help_opt(help)).into();
        }
        EngineError::from(AvroError::from(error)).into()
    }

    /// That a topic is not in `log`, which has those that are `known`.
    fn unknown_topic(&self, topic: &str, log: &str, known: &[String]) -> Diagnostics {
        let place = ["subscribe", "assign"].into_iter().find_map(|option| self.find(option));
        let near = nearest_few(topic, known.iter().map(String::as_str), 3);
        let help = if self.begun {
            "an earlier run has read it: restore it, and run again; or correct the option, and start over with --full-refresh".to_owned()
        } else if known.is_empty() {
            "it has no topics: set KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL to read your Kafka, or fill the log with `sluicebox \
             produce sales`"
                .to_owned()
        } else if near.is_empty() {
            let shown: Vec<String> = known.iter().take(TOPICS_NAMED).map(|name| cut_to(name, LONGEST_TOPIC)).collect();
            let more = known.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("there are: {}{more}; correct the option, or create the topic", shown.join(", "))
        } else {
            let near: Vec<String> = near.iter().map(|name| format!("'{}'", cut_to(name, LONGEST_TOPIC))).collect();
            format!("did you mean {}?", near.join(" or "))
        };
        let span = place.map_or(COMMAND_LINE, |(_, _, value)| value);
        let message = format!("topic '{topic}' does not exist in {log}");
        self.at(Diagnostic::new("unknown-topic", span, message, "this topic").with_help(help))
    }

    /// That what the option `key` refers to is not there.
    pub fn unset(&self, key: &str, reference: Reference<'_>, why: &str) -> anyhow::Error {
        let span = self.find(key).map_or(COMMAND_LINE, |(_, _, value)| value);
        let found = match reference {
            Reference::Env(name) => {
                let message = format!("`{key}` names the environment variable {name}, which is not set");
                Diagnostic::new("unset-reference", span, message, "this value")
                    .with_help(format!("set it before the command, as in {name}=... sluicebox run ..."))
            }
            Reference::File(path) => {
                let message = format!("`{key}` names the file {path}, which cannot be read: {why}");
                Diagnostic::new("unset-reference", span, message, "this value")
                    .with_help("name a file that this user may read; a relative path begins at the working directory")
            }
        };
        self.at(found).into()
    }

    fn diagnostic(&self, option: &str, message: String, help: String) -> Option<Diagnostics> {
        let (_, key, value) = self.find(option)?;
        // What is wrong with a name stands under the name.
        let about_name = message.ends_with("is not known") || message.ends_with("is set");
        let (span, label) = if about_name { (key, "this option") } else { (value, "this value") };
        Some(self.at(Diagnostic::new("option", span, message, label).with_help(help)))
    }

    fn find(&self, option: &str) -> Option<(&str, Span, Span)> {
        // Of several that do not go together, `kafka.*`, the first stands for all.
        let is_it = |name: &str| match option.strip_suffix('*') {
            Some(prefix) => name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            None => name.eq_ignore_ascii_case(option),
        };
        let found = self.options.iter().find(|(name, ..)| is_it(name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_topics_that_are_none_of_them_like_it_the_first_are_named() {
        let places = Places { file: "p.sql".to_owned(), text: "".into(), options: Vec::new(), begun: false };
        let said = |topics: usize| {
            let known: Vec<String> = (0..topics).map(|n| format!("t{n:02}")).collect();
            places.unknown_topic("sales.events", "the log", &known).render(false)
        };
        let ten = "there are: t00, t01, t02, t03, t04, t05, t06, t07, t08, t09";
        assert!(said(12).contains(&format!("{ten} and 2 more; correct the option")), "{}", said(12));
        assert!(said(10).contains(&format!("{ten}; correct the option")), "{}", said(10));
        assert!(said(0).contains("it has no topics"), "{}", said(0));
        let gone = places.begun(true).unknown_topic("sales.events", "the log", &[]).render(false);
        assert!(gone.contains("restore it"), "{gone}");
    }
}
