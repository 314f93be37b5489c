//! `--set KEY=VALUE`: a setting, or an option of a source as `<source>.<option>`.

use super::Context;
use crate::ast::Spanned;
use crate::diagnostic::{COMMAND_LINE, Diagnostic, nearest};
use crate::values::Problem;
use crate::{options, settings};

/// Puts the overrides over what the file says; the last one of a key holds.
pub(crate) fn apply(cx: &mut Context<'_>, overrides: &[(String, String)]) {
    for (key, value) in overrides {
        if let Err(mut diagnostic) = one(cx, key.trim(), value) {
            diagnostic.message = format!("--set {key}: {}", diagnostic.message);
            cx.found.push(*diagnostic);
        }
    }
}

fn one(cx: &mut Context<'_>, key: &str, value: &str) -> Result<(), Box<Diagnostic>> {
    let given = |text: &str| Spanned { value: text.to_owned(), span: COMMAND_LINE };
    let at = |problem: Problem, code| Box::new(problem.at(code, COMMAND_LINE));
    let source = cx.sources.iter().filter(|s| starts_with_name(key, &s.name.value)).max_by_key(|s| s.name.value.len());
    if let Some(source) = source {
        let option = &key[source.name.value.len() + 1..];
        let (option, source_name) = (option.to_owned(), source.name.value.clone());
        let (written, mut value) = (value, given(value));
        if !options::keeps_references(&option) {
            cx.resolve("option", &option, &mut value)?;
        }
        let name = options::check(&option, &value.value, written).map_err(|p| at(p, "option"))?;
        if let Some(source) = cx.sources.iter_mut().find(|s| s.name.value == source_name) {
            source.options.retain(|(k, _)| k.value != name);
            source.options.push((given(&name), value));
        }
        return Ok(());
    }
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
            let keys = settings::SETTINGS.iter().map(|s| s.name.to_owned());
            let options =
                cx.sources.iter().flat_map(|s| options::OPTIONS.iter().map(|o| format!("{}.{}", s.name.value, o.name)));
            let known: Vec<String> = keys.chain(options).collect();
            let help = nearest(key, known.iter().map(String::as_str)).map(|near| format!("did you mean {near}?"));
            Err(Box::new(
                Diagnostic::new("unknown-setting", COMMAND_LINE, problem.message.replace(&lower, key), "")
                    .with_help_opt(help.or(problem.help))
                    .with_note("--set takes the key of a setting, or an option as <source>.<option>"),
            ))
        }
    }
}

/// Whether `key` is `name`, a point, and more.
fn starts_with_name(key: &str, name: &str) -> bool {
    key.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) && key[name.len()..].starts_with('.')
}
