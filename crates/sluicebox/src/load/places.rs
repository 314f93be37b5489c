//! The places of a source's options in the pipeline's text. An error of another crate about an option is shown there.

use std::sync::Arc;

use sluicebox_core::nearest::nearest_few;
use sluicebox_core::secret::Secret;
use sluicebox_core::shown::cut_to;
use sluicebox_engine::EngineError;
use sluicebox_formats::FormatError;
use sluicebox_pipeline::ast::{Pipeline, SourceDef, Span, Spanned, TableDef};
use sluicebox_pipeline::diagnostic::{COMMAND_LINE, Diagnostic, Diagnostics};
use sluicebox_pipeline::parse::starred;
use sluicebox_pipeline::values::Reference;
use sluicebox_registry::RegistryError;
use sluicebox_sources::{KAFKA_PREFIX, LONGEST_TOPIC, SourceError, is_property};

use crate::error::Error;

/// Topics that are named when none is like the one that is looked for.
const TOPICS_NAMED: usize = 10;

/// A value is no shorter that is looked for in what is said: one would be found in half of all words.
const SHORTEST: usize = 3;

/// The options of one source, with their places.
#[derive(Debug, Clone)]
pub struct Places {
    file: String,
    text: Arc<str>,
    options: Vec<Placed>,
    /// Whether an earlier run has read the source: what is missing then was there.
    pub begun: bool,
}

/// An option and its places.
#[derive(Debug, Clone)]
struct Placed {
    name: String,
    key: Span,
    value: Span,
    /// What stands in the file.
    written: String,
    /// What it stands for, if that is something else.
    meant: Option<Secret>,
}

impl Places {
    /// Those of `source`.
    pub fn of(pipeline: &Pipeline, source: &SourceDef) -> Self {
        Self::among(pipeline, &source.options)
    }

    /// Those of the properties of `table`.
    pub fn of_table(pipeline: &Pipeline, table: &TableDef) -> Self {
        Self::among(pipeline, &table.properties)
    }

    /// Those of `options`. The values of properties that the Kafka client does not have are hidden: one may be a misspelt secret.
    fn among(pipeline: &Pipeline, options: &[(Spanned<String>, Spanned<String>)]) -> Self {
        let options = options.iter().map(|(key, value)| placed(&pipeline.text, key, value)).collect();
        let of_tables = pipeline.tables.iter().flat_map(|table| &table.properties);
        let all = pipeline.sources.iter().flat_map(|source| &source.options).chain(of_tables);
        let unknown = all.filter(|(key, value)| {
            let property = key.value.strip_prefix(KAFKA_PREFIX);
            property.is_some_and(|property| !is_property(property)) && value.span != COMMAND_LINE
        });
        let hidden: Vec<_> = unknown.map(|(_, value)| value.span.start..value.span.end).collect();
        let text = match hidden.is_empty() {
            true => Arc::clone(&pipeline.text),
            false => starred(&pipeline.text, hidden).into(),
        };
        Self { file: pipeline.file.clone(), text, options, begun: false }
    }

    /// Keeps that the value of `key` stands for `meant`.
    pub fn learn(&mut self, key: &str, meant: &str) {
        for option in self.options.iter_mut().filter(|o| o.name == key && o.written != meant) {
            option.meant = Some(Secret::new(meant));
        }
    }

    /// What the references in `options` that begin with `prefix` stand for.
    pub fn meant<'p>(&'p self, prefix: &'p str) -> impl Iterator<Item = (&'p str, &'p str)> {
        let of = |option: &'p Placed| Some((option.name.as_str(), option.meant.as_ref()?.reveal()));
        self.options.iter().filter_map(of).filter(move |(name, _)| is_it(&format!("{prefix}*"), name))
    }

    /// What the references in all options stand for, each with the name of its option.
    pub fn all_meant(&self) -> Vec<(String, String)> {
        self.meant("").map(|(name, meant)| (name.to_owned(), meant.to_owned())).collect()
    }

    /// `error` at its option, if it is about one that stands in the text. Of a value that a reference stands for, the reference is shown.
    pub fn of_source(&self, error: SourceError) -> Error {
        if let SourceError::Option { source_name, option, given, remedy } = error {
            let given = self.hide(&option, &given, "a reference whose value is not taken");
            let remedy = self.hide(&option, &remedy, "write a value that it takes: docs/sql.md says which");
            let message = format!("`{option}` is {given}");
            return match self.diagnostic(&option, message, remedy.clone()) {
                Some(found) => found.into(),
                None => EngineError::from(SourceError::Option { source_name, option, given, remedy }).into(),
            };
        }
        if let SourceError::UnknownTopic { topic, log, known, .. } = &error {
            return self.unknown_topic(topic, log, known).into();
        }
        EngineError::from(error).into()
    }

    /// The same of what is known once the log was asked: offsets and partitions that it does not have.
    pub fn of_engine(&self, error: EngineError) -> Error {
        match error {
            EngineError::Source(error) => self.of_source(error),
            other => other.into(),
        }
    }

    /// The same of an error of the registry's options.
    pub fn of_registry(&self, error: RegistryError) -> Error {
        if let RegistryError::Option { option, problem, right } = &error
            && let Some(Placed { value, .. }) = self.find(option)
        {
            let problem = self.hide(option, problem, "what the reference stands for is not taken");
            let found = Diagnostic::new("option", *value, format!("`{option}`: {problem}"), "this value");
            return self.at(found.with_help_opt(right.clone())).into();
        }
        EngineError::from(FormatError::from(error)).into()
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
        let span = place.map_or(COMMAND_LINE, |option| option.value);
        let message = format!("topic '{topic}' does not exist in {log}");
        self.at(Diagnostic::new("unknown-topic", span, message, "this topic").with_help(help))
    }

    /// Where the value of `option` stands, if it is given in the file.
    pub fn value_of(&self, option: &str) -> Option<Span> {
        self.find(option).map(|placed| placed.value).filter(|span| *span != COMMAND_LINE)
    }

    /// That what the option `key` refers to is not there.
    pub fn unset(&self, key: &str, reference: Reference<'_>, why: &str) -> Error {
        let span = self.find(key).map_or(COMMAND_LINE, |option| option.value);
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

    /// What is said of `option`, with each reference in the place of what it stands for; `otherwise`, if a part of that would still be told.
    fn hide(&self, option: &str, said: &str, otherwise: &str) -> String {
        let mut said = said.to_owned();
        for placed in &self.options {
            let Some(meant) = placed.meant.as_ref().map(|meant| meant.reveal().trim()) else { continue };
            if meant.len() < SHORTEST || !is_it(option, &placed.name) {
                continue;
            }
            said = said.replace(meant, &placed.written);
            let rest = said.replace(&placed.written, "");
            let mut parts = meant.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > SHORTEST);
            if parts.any(|part| rest.contains(part)) {
                return otherwise.to_owned();
            }
        }
        said
    }

    fn diagnostic(&self, option: &str, message: String, help: String) -> Option<Diagnostics> {
        let Placed { key, value, .. } = self.find(option)?;
        // What is wrong with a name stands under the name.
        let about_name = message.ends_with("is not known") || message.ends_with("is set");
        let (span, label) = if about_name { (*key, "this option") } else { (*value, "this value") };
        Some(self.at(Diagnostic::new("option", span, message, label).with_help(help)))
    }

    /// The option of this name; of several that do not go together, `kafka.*`, the first stands for all.
    fn find(&self, option: &str) -> Option<&Placed> {
        self.options.iter().find(|placed| is_it(option, &placed.name))
    }

    fn at(&self, diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics::new(self.file.clone(), Arc::clone(&self.text), vec![diagnostic])
    }
}

/// Whether `option`, or `kafka.*`, is the one called `name`.
fn is_it(option: &str, name: &str) -> bool {
    match option.strip_suffix('*') {
        Some(prefix) => name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => name.eq_ignore_ascii_case(option),
    }
}

fn placed(text: &str, key: &Spanned<String>, value: &Spanned<String>) -> Placed {
    // What takes no secret has been replaced when the text was read.
    let there = text.get(value.span.start..value.span.end).filter(|there| there.contains("${"));
    let written = there.map_or(value.value.as_str(), |there| there.trim_matches(['\'', '"'])).to_owned();
    let meant = (written != value.value).then(|| Secret::new(value.value.as_str()));
    Placed { name: key.value.clone(), key: key.span, value: value.span, written, meant }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_stands_apart_whatever_is_in_the_name_of_a_file() {
        let (key, file) = ("schema.registry.ssl.ca.location", "a; name b.pem");
        let text = format!("'{key}' = '{file}'");
        let spanned = |part: &str| {
            let start = text.find(part).map_or(0, |at| at - 1);
            Spanned { value: part.to_owned(), span: Span { start, end: start + part.len() + 2 } }
        };
        let options = vec![placed(&text, &spanned(key), &spanned(file))];
        let places = Places { file: "p.sql".to_owned(), text: text.clone().into(), options, begun: false };
        let error = |right: Option<&str>| RegistryError::Option {
            option: key.to_owned(),
            problem: format!("{file} is no PEM"),
            right: right.map(str::to_owned),
        };
        let said = places.of_registry(error(Some("name a PEM"))).to_string();
        assert!(said.contains(&format!("`{key}`: {file} is no PEM")) && said.contains("name a PEM"), "{said}");
        let said = places.of_registry(error(None)).to_string();
        assert!(said.ends_with("is no PEM"), "nothing is made up: {said}");
        assert_eq!(error(Some("name a PEM")).to_string(), format!("option '{key}': {file} is no PEM; name a PEM"));
    }

    #[test]
    fn of_many_topics_that_are_none_of_them_like_it_the_first_are_named() {
        let of = |begun| Places { file: "p.sql".to_owned(), text: "".into(), options: Vec::new(), begun };
        let said = |topics: usize| {
            let known: Vec<String> = (0..topics).map(|n| format!("t{n:02}")).collect();
            of(false).unknown_topic("sales.events", "the log", &known).render(false)
        };
        let ten = "there are: t00, t01, t02, t03, t04, t05, t06, t07, t08, t09";
        assert!(said(12).contains(&format!("{ten} and 2 more; correct the option")), "{}", said(12));
        assert!(said(10).contains(&format!("{ten}; correct the option")), "{}", said(10));
        assert!(said(0).contains("it has no topics"), "{}", said(0));
        let gone = of(true).unknown_topic("sales.events", "the log", &[]).render(false);
        assert!(gone.contains("restore it"), "{gone}");
    }
}
