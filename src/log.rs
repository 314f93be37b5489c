//! What a run writes to its log: which events, in which form.
//!
//! A level alone (`SLUICEBOX_LOG=debug`) is that of Sluicebox's own crates; what the SQL parser, DataFusion and other libraries
//! have to say is theirs to ask for by name. With time stamps where nobody watches: when stderr is no terminal.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::failure::Usage;
use crate::screen::{self, Above};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The filter that `text` asks for.
fn filter(text: &str) -> Result<EnvFilter, Usage> {
    let text = text.trim();
    let level = text.to_lowercase();
    if LEVELS.contains(&level.as_str()) {
        // Others are no louder than warnings, and no louder than asked for.
        let others = if matches!(level.as_str(), "off" | "error") { level.as_str() } else { "warn" };
        return Ok(EnvFilter::new(format!("{others},sluicebox={level}")));
    }
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        // The library takes a word that is no level for the name of a crate, and is silent about it.
        let (name, level) = part.rsplit_once('=').unwrap_or(("", part));
        if !LEVELS.contains(&level.trim().to_lowercase().as_str()) {
            return Err(wrong(text, level, name));
        }
        if !is_target(name.trim()) {
            return Err(silent(text, name.trim(), level));
        }
    }
    EnvFilter::builder().parse(text).map_err(|error| wrong(text, &error.to_string(), ""))
}

/// The packages that this was built of: names of targets begin with one of theirs.
fn packages() -> impl Iterator<Item = String> {
    let names =
        include_str!("../Cargo.lock").lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    // What the C library says has a name of its own.
    names.map(|name| name.replace('-', "_")).chain(["librdkafka".to_owned()])
}

/// Whether something may log under `name`, which is a crate, a module of one, or the beginning of such a name.
fn is_target(name: &str) -> bool {
    let name = name.split('[').next().unwrap_or(name);
    let of = name.split("::").next().unwrap_or(name);
    name.is_empty() || packages().any(|package| if of == name { package.starts_with(name) } else { package == of })
}

/// A filter that would say nothing, ever.
fn silent(text: &str, name: &str, level: &str) -> Usage {
    let all: Vec<String> = packages().collect();
    let near = sluicebox_pipeline::diagnostic::nearest(name, all.iter().map(String::as_str));
    let meant = near.map(|near| format!("; did you mean `{near}={level}`?")).unwrap_or_else(|| ".".to_owned());
    Usage(format!(
        "SLUICEBOX_LOG='{text}' is no filter: nothing logs under `{name}`{meant} Write a level, or levels by crate, as in \
         `info,librdkafka=debug`"
    ))
}

fn wrong(text: &str, level: &str, name: &str) -> Usage {
    let near = sluicebox_pipeline::diagnostic::nearest(level, LEVELS);
    let name = if name.is_empty() { String::new() } else { format!("{name}=") };
    let meant = near.map(|near| format!("; did you mean `{name}{near}`?")).unwrap_or_else(|| ".".to_owned());
    Usage(format!(
        "SLUICEBOX_LOG='{text}' is no filter: `{level}` is no level{meant} Write a level, {}, or levels by crate, as in \
         `info,librdkafka=debug`",
        LEVELS.join(", ")
    ))
}

/// Starts to log, as `SLUICEBOX_LOG` asks for, else warnings and errors.
pub fn start(format: Format) -> Result<(), Usage> {
    if format == Format::Json {
        screen::speak_json();
    }
    let filter = match std::env::var("SLUICEBOX_LOG") {
        Ok(text) if !text.trim().is_empty() => filter(&text)?,
        Err(std::env::VarError::NotUnicode(_)) => return Err(Usage("SLUICEBOX_LOG is not UTF-8".to_owned())),
        _ => filter("warn")?,
    };
    let log = tracing_subscriber::fmt().with_writer(|| Above).with_env_filter(filter).with_ansi(screen::colours());
    match format {
        Format::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        Format::Text if screen::is_terminal() => log.with_target(false).without_time().init(),
        Format::Text => log.with_target(false).init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_told_and_a_right_one_taken() {
        for right in ["info", "DEBUG", "off", "warn,sluicebox=debug", "librdkafka=debug", "sluicebox_engine=trace,info"]
        {
            assert!(filter(right).is_ok(), "{right}");
        }
        for (wrong, meant) in [("inof", "`info`"), ("sluicebox=debg", "`sluicebox=debug`"), ("info,x=", "is no level")]
        {
            let told = filter(wrong).err().map(|usage| usage.0).unwrap_or_default();
            assert!(told.contains(meant), "{wrong}: {told}");
        }
        for (wrong, meant) in [
            ("foo=info,datafusionn=debug", "under `foo`. Write"),
            ("datafusionn=debug", "`datafusion=debug`"),
            ("infodatafusion=debug", "under `infodatafusion`"),
            ("sluicebox_engin::run=debug", "under `sluicebox_engin::run`"),
        ] {
            let told = filter(wrong).err().map(|usage| usage.0).unwrap_or_default();
            assert!(told.contains(meant), "{wrong}: {told}");
        }
        for right in ["datafusion=debug", "sluicebox_engine::run=trace", "hyper_util=info,reqwest=info", "[span]=debug"]
        {
            assert!(filter(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn a_level_alone_is_that_of_our_own_crates() {
        let of = |text: &str| filter(text).map(|filter| filter.to_string()).unwrap_or_default();
        assert_eq!(of("debug"), "sluicebox=debug,warn");
        assert_eq!(of("error"), "sluicebox=error,error");
    }
}
