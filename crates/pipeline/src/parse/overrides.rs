//! `--set KEY=VALUE`: a setting, an option of a source as `<source>.<option>`, or a property of a table as `<table>.<property>`.

use super::Context;
use crate::ast::Spanned;
use crate::diagnostic::{COMMAND_LINE, Diagnostic, nearest};
use crate::options::check as options;
use crate::settings;
use crate::values::Problem;

/// Puts the overrides over what the file says; the last one of a key holds.
pub(crate) fn apply(cx: &mut Context<'_>, overrides: &[(String, String)]) {
    for (key, value) in overrides {
        if let Err(mut diagnostic) = one(cx, key.trim(), value) {
            diagnostic.message = format!("--set {key}: {}", diagnostic.message);
            cx.found.push(*diagnostic);
        }
    }
}

/// What a key begins with.
enum Of {
    /// The name of a source.
    Source(String),
    /// The name of a table.
    Table(String),
}

fn one(cx: &mut Context<'_>, key: &str, value: &str) -> Result<(), Box<Diagnostic>> {
    match named(cx, key) {
        Some(Of::Source(source)) => option(cx, &source, key, value),
        Some(Of::Table(table)) => property(cx, &table, key, value),
        None => setting(cx, key, value),
    }
}

/// The source or table that `key` begins with; of several the longest name. A setting is none of a table, whatever that is called.
fn named(cx: &Context<'_>, key: &str) -> Option<Of> {
    let is_setting = settings::SETTINGS.iter().any(|setting| setting.name.eq_ignore_ascii_case(key));
    let sources = cx.sources.iter().map(|source| Of::Source(source.name.value.clone()));
    let tables = cx.tables.iter().filter(|_| !is_setting).map(|table| Of::Table(table.name.value.clone()));
    sources.chain(tables).filter(|of| starts_with_name(key, of.name())).max_by_key(|of| of.name().len())
}

impl Of {
    fn name(&self) -> &str {
        match self {
            Self::Source(name) | Self::Table(name) => name,
        }
    }
}

fn given(text: &str) -> Spanned<String> {
    Spanned { value: text.to_owned(), span: COMMAND_LINE }
}

fn at(problem: Problem, code: &'static str) -> Box<Diagnostic> {
    Box::new(problem.at(code, COMMAND_LINE))
}

fn option(cx: &mut Context<'_>, source: &str, key: &str, written: &str) -> Result<(), Box<Diagnostic>> {
    let option = key[source.len() + 1..].to_owned();
    let mut value = given(written);
    let Some(at_source) = cx.sources.iter().position(|s| s.name.value == source) else { return Ok(()) };
    let kind = cx.sources[at_source].kind.value;
    if !options::keeps_references(kind, cx.vocabulary, &option) {
        cx.resolve("option", &option, &mut value)?;
    }
    let checked = options::check(kind, cx.vocabulary, &option, &value.value, written);
    let name = checked.map_err(|problem| at(problem, "option"))?;
    let given_options = &mut cx.sources[at_source].options;
    given_options.retain(|(k, _)| k.value != name);
    given_options.push((given(&name), value));
    Ok(())
}

fn property(cx: &mut Context<'_>, table: &str, key: &str, written: &str) -> Result<(), Box<Diagnostic>> {
    let property = key[table.len() + 1..].to_owned();
    let mut value = given(written);
    if !settings::keeps_references(cx.vocabulary, &property) {
        cx.resolve("property", &property, &mut value)?;
    }
    let Some(def) = cx.tables.iter_mut().find(|t| t.name.value == table) else { return Ok(()) };
    match settings::check_property(cx.vocabulary, &property, &value.value, written) {
        Ok(name) => {
            def.properties.retain(|(k, _)| k.value != name);
            def.properties.push((given(&name), value));
            Ok(())
        }
        Err(problem) if problem.about_value => Err(at(problem, "property")),
        Err(problem) => {
            let near = nearest(&property, settings::properties_of(def.using()));
            let help = near.map(|near| format!("did you mean {table}.{near}?"));
            Err(Box::new(problem.at("unknown-property", COMMAND_LINE).with_help_opt(help)))
        }
    }
}

fn setting(cx: &mut Context<'_>, key: &str, value: &str) -> Result<(), Box<Diagnostic>> {
    let lower = key.to_lowercase();
    let mut resolved = given(value);
    if settings::SETTINGS.iter().any(|s| s.name == lower) {
        cx.resolve("setting", &lower, &mut resolved)?;
    }
    match settings::check(&lower, &resolved.value, value) {
        Ok(()) => {
            cx.settings.insert(lower, resolved);
            Ok(())
        }
        Err(problem) if problem.about_value => Err(at(problem, "setting")),
        Err(problem) => {
            let known = known(cx);
            let help = nearest(key, known.iter().map(String::as_str)).map(|near| format!("did you mean {near}?"));
            Err(Box::new(
                Diagnostic::new("unknown-setting", COMMAND_LINE, problem.message.replace(&lower, key), "")
                    .with_help_opt(help.or(problem.help))
                    .with_note(
                        "--set takes the key of a setting, an option as <source>.<option>, or a property as <table>.<property>",
                    ),
            ))
        }
    }
}

/// All keys that `--set` takes of this pipeline, but for `kafka.*` and `schema.registry.*`.
fn known(cx: &Context<'_>) -> Vec<String> {
    let keys = settings::SETTINGS.iter().map(|s| s.name.to_owned());
    let options = cx
        .sources
        .iter()
        .flat_map(|s| cx.vocabulary.options_of(s.kind.value).map(|o| format!("{}.{}", s.name.value, o.name)));
    let properties = cx
        .tables
        .iter()
        .flat_map(|t| settings::properties_of(t.using()).map(|name| format!("{}.{name}", t.name.value)));
    keys.chain(options).chain(properties).collect()
}

/// Whether `key` is `name`, a point, and more.
fn starts_with_name(key: &str, name: &str) -> bool {
    key.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) && key[name.len()..].starts_with('.')
}
