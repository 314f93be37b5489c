//! From an error to what a person reads and the exit code.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::json;
use sluicebox::Error;
pub use sluicebox::{NoThread, Usage, told};
use sluicebox_core::shown::{LONGEST, cut_to};
use sluicebox_core::{Blame, Blamed, threads};
use sluicebox_engine::EngineError;
use sluicebox_evolve::EvolveError;
use sluicebox_pipeline::diagnostic::{Diagnostics, Severity};
use sluicebox_pipeline::graph::Graph;

use crate::screen::{self, Style, say};

/// The variable that chooses the form of log lines.
pub const LOG_FORMAT: &str = "SLUICEBOX_LOG_FORMAT";

/// The code of what needs a thread and gets none.
const NO_THREAD: &str = "threads";

/// Draws on stderr what runs and should be known.
pub fn warn(graph: &Graph) {
    if !graph.warnings.is_empty() {
        let (file, text) = (graph.pipeline.file.clone(), Arc::clone(&graph.pipeline.text));
        let warnings = Diagnostics::new(file, text, graph.warnings.clone());
        draw(&warnings);
    }
}

/// Shows mistakes and warnings at their places.
fn draw(found: &Diagnostics) {
    if !screen::is_json() {
        return screen::drawn(&found.render(screen::colours()));
    }
    for one in found.list() {
        let level = if one.severity == Severity::Warning { "WARN" } else { "ERROR" };
        let place = found.place(one);
        let file = place.map(|_| found.file());
        let (line, column) = (place.map(|place| place.0), place.map(|place| place.1));
        let (help, note) = (&one.help, &one.note);
        let more = json!({"code": one.code, "file": file, "line": line, "column": column, "help": help, "note": note});
        screen::object(level, &one.message, more);
    }
}

/// Says what is wrong with the command line, or what was asked of it, and gives the exit code.
pub fn refused(error: &clap::Error) -> ExitCode {
    let given: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if !error.use_stderr() {
        // A reader that has gone away does not want to know.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let by_option = given.iter().position(|arg| arg == "--log-format").and_then(|at| given.get(at + 1)).cloned();
    let by_option =
        by_option.or_else(|| given.iter().find_map(|arg| arg.strip_prefix("--log-format=").map(str::to_owned)));
    let by_variable = std::env::var(LOG_FORMAT).ok();
    if by_option.as_ref().or(by_variable.as_ref()).is_some_and(|form| form == "json") {
        screen::speak_json();
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    if context(ContextKind::InvalidSubcommand) == "status" {
        let text =
            "there is no command `status`: `sluicebox checkpoint show PIPELINE` says how far a pipeline has come";
        return report(&Usage(text.to_owned()).into());
    }
    let wrong = context(ContextKind::InvalidArg);
    let form = by_variable.filter(|_| by_option.is_none() && error.kind() == ErrorKind::InvalidValue);
    if let Some(form) = form.filter(|_| wrong.starts_with("--log-format")) {
        return report(&Usage(format!("{LOG_FORMAT}='{form}' is no form of log lines: it is `text` or `json`")).into());
    }
    let before = given.iter().position(|arg| arg == wrong).and_then(|at| given.get(at.checked_sub(1)?));
    if let Some(flag) = before.filter(|flag| error.kind() == ErrorKind::UnknownArgument && *flag == "--full-refresh") {
        let text = format!("{flag} {wrong}: the tables stand behind `=`: write {flag}={wrong}");
        return report(&Usage(text).into());
    }
    if screen::is_json() {
        let text = error.to_string();
        screen::object("ERROR", text.trim().trim_start_matches("error: "), serde_json::Value::Null);
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}

/// How the panics begin that tokio has for a system that gives it no more; the code of each, what it means, and what to do.
const SYSTEM: [(&str, &str, &str, &str); 2] = [
    ("OS can't spawn worker thread: ", NO_THREAD, "no thread can be started", threads::WAY_OUT),
    (
        "failed to create UnixStream: ",
        "file",
        "no socket can be made",
        "raise the limit of open files (`ulimit -n`), and run again",
    ),
];

/// What the system said: tokio has it as Rust writes down a value, `Os { code: 24, ... }`.
fn in_words(why: &str) -> String {
    let number = why.strip_prefix("Os { code: ").and_then(|rest| rest.split_once(',')?.0.parse::<i32>().ok());
    number.map_or_else(|| why.to_owned(), |number| std::io::Error::from_raw_os_error(number).to_string())
}

/// Says what a panic is about, in place of Rust's own words. Where the system has no thread or socket the process ends here: its
/// exit code is 1, and whoever waits for a thread that never was would wait for ever.
pub fn panicked(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("it gave no reason");
    let lacks = SYSTEM.iter().find_map(|(begin, code, what, way)| Some((said.strip_prefix(begin)?, code, what, way)));
    if let Some((why, code, what, way)) = lacks {
        screen::say_in_panic(code, &format!("{what}: {}; {way}", in_words(why)));
        std::process::exit(1);
    }
    let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
    let trace = Backtrace::capture();
    let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("of no name");
    let told = format!("thread {thread} panicked: {said}{place}; this is a bug in Sluicebox: please report it{trace}");
    screen::say_in_panic("bug", &told);
}

/// The exit code of what ended so; its error is printed on stderr. What there is to say of a panic has been said by [`panicked`].
pub fn ended(result: &std::thread::Result<anyhow::Result<()>>) -> ExitCode {
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => report(error),
        Err(_panic) => ExitCode::from(1),
    }
}

/// Prints `error` on stderr and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let of_library = error.downcast_ref::<Error>();
    let wrong = match of_library {
        Some(Error::Wrong(diagnostics)) => Some(diagnostics),
        _ => error.downcast_ref::<Diagnostics>(),
    };
    if let Some(diagnostics) = wrong {
        draw(diagnostics);
        return ExitCode::from(2);
    }
    if let Some(Error::Placed(diagnostics)) = of_library {
        draw(diagnostics);
        return ExitCode::from(1);
    }
    let engine = match of_library {
        Some(Error::Engine(engine)) => Some(engine),
        _ => error.downcast_ref::<EngineError>(),
    };
    let code = engine.map(EngineError::code).or(error.downcast_ref::<NoThread>().map(|_| NO_THREAD));
    if screen::is_json() {
        screen::object("ERROR", &told(&**error), json!({"code": code}));
    } else {
        let code = code.map(|code| format!("[{code}]")).unwrap_or_default();
        // What has changed of a pipeline is several lines, all of them ours; what else is said is one.
        let text = match engine {
            Some(EngineError::Evolve(changed)) if matches!(**changed, EvolveError::Changed { .. }) => told(&**error),
            _ => cut_to(&told(&**error), LONGEST),
        };
        screen::headed(Style::Red, &format!("error{code}:"), &text);
    }
    if error.downcast_ref::<Usage>().is_some() || matches!(of_library, Some(Error::Usage(_))) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_lacks_is_told_in_words() {
        let debug = format!("{:?}", std::io::Error::from_raw_os_error(24));
        assert!(debug.starts_with("Os {"), "{debug}");
        assert_eq!(in_words(&debug), "Too many open files (os error 24)");
        let told = "Resource temporarily unavailable (os error 11)";
        assert_eq!(in_words(told), told);
    }

    #[test]
    fn a_panic_is_a_failure_and_no_exit_code_of_its_own() {
        let code = |result| format!("{:?}", ended(&result));
        assert_eq!(code(Ok(Ok(()))), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Err(Box::new("a panic"))), format!("{:?}", ExitCode::from(1)));
        assert_eq!(code(Ok(Err(Usage("wrong".to_owned()).into()))), format!("{:?}", ExitCode::from(2)));
    }
}
