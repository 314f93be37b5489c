//! Text to [`Pipeline`]. This module parses statements; sqlparser parses queries and conditions.
//!
//! The steps: [`lex`] splits the text into tokens and statements; [`statement`] parses each, and hands queries to [`query`], which takes
//! the streams out of them ([`stream`]); [`check`] checks the whole. A mistake ends its statement and not the file, so that several are
//! reported at once.

mod check;
mod cursor;
mod foreign;
mod interval;
pub(crate) mod lex;
mod masked;
mod odd;
mod overrides;
pub(crate) mod query;
mod references;
pub(crate) mod size;
mod spark;
mod statement;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{FlowDef, Pipeline, SourceDef, Span, Spanned, TableDef, ViewDef};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::values::Unresolved;
use crate::vocabulary::Vocabulary;

pub(crate) use check::default_location;
pub(crate) use interval::{Written, of_expr};
pub use masked::starred;
pub(crate) use stream::LEAF;

/// Bytes of a pipeline's text: far more than anybody writes, and little enough to be checked at once.
const LONGEST_TEXT: usize = 1 << 20;

/// What has been read of a file.
pub(crate) struct Context<'a> {
    text: &'a str,
    found: Vec<Diagnostic>,
    /// How many streams have been read: numbers their leaves.
    leaves: usize,
    settings: BTreeMap<String, Spanned<String>>,
    sources: Vec<SourceDef>,
    views: Vec<ViewDef>,
    tables: Vec<TableDef>,
    /// The flows and the tables that they insert into.
    flows: Vec<(Spanned<String>, FlowDef)>,
    /// The environment.
    env: Env<'a>,
    /// The kinds and formats that there are.
    vocabulary: &'a Vocabulary,
    /// The texts of queries and conditions with references in them: where each stands, and the text of SQL in its place.
    replaced: Vec<(Span, String)>,
    /// What was defined by statements with mistakes: reading it is no further mistake.
    broken: Vec<String>,
}

impl<'a> Context<'a> {
    fn new(text: &'a str, env: Env<'a>, vocabulary: &'a Vocabulary) -> Self {
        Self {
            text,
            env,
            vocabulary,
            replaced: Vec::new(),
            found: Vec::new(),
            leaves: 0,
            settings: BTreeMap::new(),
            sources: Vec::new(),
            views: Vec::new(),
            tables: Vec::new(),
            flows: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// `value` with each `${env:NAME}` in it replaced. What takes secrets keeps its references: whoever needs the secret looks.
    fn resolve(&self, code: &'static str, key: &str, value: &mut Spanned<String>) -> Result<(), Box<Diagnostic>> {
        let resolved = crate::values::resolve_env(&value.value, self.env);
        value.value = resolved.map_err(|problem| {
            Box::new(match problem {
                Unresolved::NotSet(name) => {
                    let message = format!("`{key}` names the environment variable {name}, which is not set");
                    Diagnostic::new("unset-reference", value.span, message, "this value")
                        .with_help(format!("set it before the command, as in {name}=... sluicebox run ..."))
                }
                Unresolved::NoReference => {
                    let message = format!("`{key}` has a reference that names no place");
                    Diagnostic::new(code, value.span, message, "this value")
                        .with_help("write ${env:NAME} for an environment variable; ${file:PATH} is for secrets")
                }
            })
        })?;
        Ok(())
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }
}

/// Looks a variable of the environment up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// As [`parse_with`], in an environment without variables.
///
/// # Errors
/// All mistakes found, in the order of the text.
pub fn parse(file: &str, text: &str, overrides: &[(String, String)]) -> Result<Pipeline, Diagnostics> {
    parse_with(file, text, overrides, &|_| None)
}

/// Reads a pipeline. `file` is its name as messages show it; `overrides` are the `--set KEY=VALUE`s of the command line in
/// order: the key of a setting, `<source>.<option>`, or `<table>.<property>`.
///
/// Nothing is resolved that needs a schema; all else is checked: names, options, settings, properties, windows, delays,
/// locations, that streams are read as streams, and that no table feeds itself.
///
/// # Errors
/// All mistakes found, in the order of the text.
pub fn parse_with(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
    env: Env<'_>,
) -> Result<Pipeline, Diagnostics> {
    parse_in(file, text, overrides, env, &Vocabulary::default())
}

/// As [`parse_with`], of a pipeline that may name the kinds and formats of `vocabulary`.
///
/// # Errors
/// As there.
pub fn parse_in(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
    env: Env<'_>,
    vocabulary: &Vocabulary,
) -> Result<Pipeline, Diagnostics> {
    if text.len() > LONGEST_TEXT {
        let message = format!("this has {} bytes, and a pipeline has at most {LONGEST_TEXT}", text.len());
        let diagnostic = Diagnostic::new("too-large", Span::default(), message, "").with_help("is it the right file?");
        // Without its text: nobody wants to see it.
        return Err(Diagnostics::new(file, "", vec![diagnostic]));
    }
    let (toks, mistake) = lex::tokenize(text);
    if let Some(mistake) = mistake {
        return Err(Diagnostics::new(file, masked::roughly(text), vec![mistake]));
    }
    let shown: Arc<str> = masked::masked(text, &toks).into();
    let mut cx = Context::new(text, env, vocabulary);
    let mut found = Vec::new();
    for toks in lex::statements(&toks, &mut found) {
        statement::statement(&mut cx, toks);
    }
    cx.found.append(&mut found);
    check::flows(&mut cx);
    overrides::apply(&mut cx, overrides);
    check::encodings(&mut cx);
    check::all(&mut cx);
    check::without_echoes(&mut cx.found);
    if !cx.found.is_empty() {
        return Err(Diagnostics::new(file, shown, cx.found));
    }
    views::read(&mut cx);
    let resolved = match cx.replaced.is_empty() {
        true => Arc::from(text),
        false => Arc::from(references::text_at(&cx, Span { start: 0, end: text.len() })),
    };
    let name = cx.settings.get("pipeline.name").map_or_else(|| stem(file), |s| s.value.clone());
    let references = references::written(&cx);
    Ok(Pipeline {
        file: file.to_owned(),
        text: shown,
        resolved,
        references,
        name,
        settings: cx.settings,
        sources: cx.sources,
        views: cx.views,
        tables: cx.tables,
    })
}

/// The file's name without folder and `.sql`, as the name of a folder.
fn stem(file: &str) -> String {
    let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = last.strip_suffix(".sql").unwrap_or(last);
    let kept: String =
        stem.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect();
    let words: Vec<&str> = kept.split('_').filter(|w| !w.is_empty()).collect();
    let name = words.join("_");
    let name = name.trim_matches(['-', '.', '_']);
    if name.is_empty() { "pipeline".to_owned() } else { name.to_owned() }
}
