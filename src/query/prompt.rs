//! The prompt: statements one after the other, each until its semicolon.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use console::Term;
use sluicebox::query::{Tables, Text};
use sluicebox_pipeline::ask;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::edit::{self, Line};
use super::{Engine, Format, answer};
use crate::failure;

/// Lines that are kept from one time to the next.
const KEPT: usize = 1000;

const HELP: &str = "\
A statement ends with `;` and may have several lines. SHOW TABLES lists the tables, DESCRIBE <layer>.<table> their columns.
Arrows go through earlier lines; Ctrl-C leaves a statement or stops what it does, Ctrl-D or `exit` leave the prompt.";

/// Asks for statements until there are no more.
pub async fn run(data: &Path, format: Format, engine: Engine) -> anyhow::Result<()> {
    let term = Term::stdout();
    let mut history = History::load();
    // From here on Ctrl-C ends statements, and not the process.
    drop(signal(SignalKind::interrupt())?);
    term.write_line("help; for help, exit; to leave")?;
    let mut sql = String::new();
    loop {
        let prompt = if sql.is_empty() { "sluicebox> " } else { "        -> " };
        let (from, lines) = (term.clone(), history.lines.clone());
        let line = tokio::task::spawn_blocking(move || edit::read(&from, prompt, &lines)).await?;
        match line {
            Ok(Line::Entered(line)) => {
                history.add(&line);
                sql.push_str(&line);
                sql.push('\n');
            }
            Ok(Line::Left) => {
                sql.clear();
                continue;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {
                sql.clear();
                continue;
            }
            Ok(Line::End) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        match sql.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
            "exit" | "quit" | "\\q" => return Ok(()),
            "help" | "?" | "\\?" => {
                term.write_line(HELP)?;
                sql.clear();
            }
            _ if ask::is_whole(&sql) => {
                let text = Text { file: "query".to_owned(), sql: std::mem::take(&mut sql) };
                if text.sql.trim().is_empty() {
                    continue;
                }
                match unless_interrupted(all(data, &text, format, engine)).await? {
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        failure::report(&error);
                    }
                    None => term.write_line("stopped")?,
                }
            }
            _ => {}
        }
    }
}

/// What `work` gives; `None` if Ctrl-C stops it. Where it does not give way, a second Ctrl-C ends the process.
#[expect(clippy::disallowed_methods, reason = "it is aborted when the work is done")]
async fn unless_interrupted<T>(work: impl Future<Output = T>) -> std::io::Result<Option<T>> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let (stop, stopped) = oneshot::channel();
    let watch = tokio::spawn(async move {
        interrupts.recv().await;
        // What was done meanwhile waits for it no more.
        let _ = stop.send(());
        interrupts.recv().await;
        std::process::exit(130);
    });
    let done = tokio::select! {
        done = work => Some(done),
        Ok(()) = stopped => None,
    };
    watch.abort();
    Ok(done)
}

/// Runs the statements of `text`. Tables that came since the last time are seen.
async fn all(data: &Path, text: &Text, format: Format, engine: Engine) -> anyhow::Result<()> {
    let asked = ask::statements(&text.file, &text.sql)?;
    let tables = Tables::below(data)?;
    for asked in &asked {
        answer(&tables, text, asked, format, engine).await?;
    }
    Ok(())
}

/// The lines before, kept in a file of the user. One that cannot be read or written is no error.
struct History {
    lines: Vec<String>,
    file: Option<PathBuf>,
}

impl History {
    fn load() -> Self {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
        let file = state.map(|dir| dir.join("sluicebox").join("query_history"));
        // Something else of that name, such as a FIFO, is left alone.
        let file = file.filter(|file| file.is_file() || file.symlink_metadata().is_err());
        let text = file.as_ref().and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.drain(..lines.len().saturating_sub(KEPT));
        Self { lines, file }
    }

    fn add(&mut self, line: &str) {
        if line.trim().is_empty() || self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        self.lines.push(line.to_owned());
        let from = self.lines.len().saturating_sub(KEPT);
        let text = self.lines.iter().skip(from).fold(String::new(), |text, line| text + line + "\n");
        if let Some(file) = &self.file
            && let Some(dir) = file.parent()
            && let Err(error) = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(file, text))
        {
            tracing::debug!(file = %file.display(), %error, "the history cannot be kept");
            self.file = None;
        }
    }
}
