//! A diagnostic, as the user sees it: file, line and column, the text underlined, and the fix.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ariadne::{CharSet, Color, Config, IndexType, Label, Report, ReportKind, Source};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
pub use sluicebox_core::nearest::nearest;
use sluicebox_core::shown::{LONGEST, acts, cut_to, shown};
use sluicebox_core::{Blame, Blamed};

use crate::span::Span;

/// The place of what was not written in the file but given on the command line, by `--set`. It never indexes the text.
pub const COMMAND_LINE: Span = Span { start: usize::MAX, end: usize::MAX };

/// Mistakes that are shown of one file; the rest are counted.
const MOST_SHOWN: usize = 50;

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It does not run.
    Error,
    /// It runs, and somebody should know.
    Warning,
}

/// One mistake, or something that should be known.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Whether it is a mistake.
    pub severity: Severity,
    /// What is wrong, in one line that starts in lower case.
    pub message: String,
    /// Where: the text that is underlined; [`COMMAND_LINE`] for what is not in the file.
    pub span: Span,
    /// What is said beside the underlined text; empty to say nothing.
    pub label: String,
    /// Why it is so, when that is not plain.
    pub note: Option<String>,
    /// The fix.
    pub help: Option<String>,
    /// A short name of the kind of mistake in kebab-case, the same in every release.
    pub code: &'static str,
    /// Other places that matter, each with what it is.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// A mistake at `span`; `label` is said beside the underlined text.
    #[must_use]
    pub fn new(code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        let (message, label) = (message.into(), label.into());
        Self { severity: Severity::Error, message, span, label, note: None, help: None, code, related: Vec::new() }
    }

    /// Something at `span` that runs and should be known.
    #[must_use]
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(code, span, message, label) }
    }

    /// Adds why it is so.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Adds the fix.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the fix, if there is one.
    #[must_use]
    pub fn with_help_opt(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The same with `change` made to all that is said.
    #[must_use]
    pub fn map_said(mut self, change: impl Fn(&str) -> String) -> Self {
        let related = self.related.iter_mut().map(|(_, what)| what);
        let said = [&mut self.message, &mut self.label].into_iter().chain(&mut self.note).chain(&mut self.help);
        said.chain(related).for_each(|text| *text = change(text));
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn with_related(mut self, span: Span, what: impl Into<String>) -> Self {
        self.related.push((span, what.into()));
        self
    }
}

/// All mistakes found in one file, in the order of the text.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    file: String,
    text: Arc<str>,
    /// The mistakes; never empty.
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The mistakes of `file`, whose text is `text`; they are put in the order of the text.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<Arc<str>>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|d| (d.span.start, d.span.end));
        list.dedup();
        Self { file: file.into(), text: text.into(), list }
    }

    /// The file's name, as given on the command line.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes, in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// How many mistakes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Line and column of one of them, both from 1; `None` for what stands on the command line.
    #[must_use]
    pub fn place(&self, one: &Diagnostic) -> Option<(usize, usize)> {
        (one.span != COMMAND_LINE).then(|| line_col(&self.text, one.span.start))
    }

    /// Whether there is no mistake.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All mistakes as a terminal shows them; with ANSI colours if `color`. What is said and what is underlined is text, whatever is in it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for (i, diagnostic) in self.list.iter().take(MOST_SHOWN).enumerate() {
            if i > 0 {
                out.push('\n');
            }
            self.render_one(diagnostic, color, &mut out);
        }
        let more = self.list.len().saturating_sub(MOST_SHOWN);
        if more > 0 {
            // Writing to a String cannot fail.
            let _ = fmt::Write::write_fmt(&mut out, format_args!("\nand {more} more mistakes\n"));
        }
        out
    }

    fn render_one(&self, d: &Diagnostic, color: bool, out: &mut String) {
        if d.span == COMMAND_LINE {
            return self.render_without_place(d, color, out);
        }
        let (file, text) = (shown(&self.file), drawable(&self.text));
        let file: &str = &file;
        let config =
            Config::default().with_color(color).with_index_type(IndexType::Char).with_char_set(CharSet::Unicode);
        let (kind, main) = match d.severity {
            Severity::Error => (ReportKind::Error, Color::Red),
            Severity::Warning => (ReportKind::Warning, Color::Yellow),
        };
        let mut builder =
            Report::build(kind, (file, chars(&self.text, d.span))).with_config(config).with_message(told(&d.message));
        if !self.text.is_empty() {
            let label = if d.label.is_empty() { "here" } else { &d.label };
            let mut labels = vec![(chars(&self.text, d.span), told(label), main)];
            let related = d.related.iter().filter(|(span, _)| *span != COMMAND_LINE);
            labels.extend(related.map(|(span, what)| (chars(&self.text, *span), told(what), Color::Blue)));
            // In the order of the text, or ariadne starts a new snippet for each.
            labels.sort_by_key(|(span, ..)| (span.start, span.end));
            builder = builder.with_labels(
                labels
                    .into_iter()
                    .map(|(span, what, color)| Label::new((file, span)).with_message(what).with_color(color)),
            );
        }
        if let Some(help) = &d.help {
            builder = builder.with_help(told(help));
        }
        if let Some(note) = &d.note {
            builder = builder.with_note(told(note));
        }
        let mut bytes = Vec::new();
        let written = builder.finish().write((file, Source::from(&*text)), &mut bytes);
        match (written, String::from_utf8(bytes)) {
            (Ok(()), Ok(rendered)) => {
                // As every other error begins.
                let rendered = match d.severity {
                    Severity::Error => rendered.replacen("Error:", &format!("error[{}]:", d.code), 1),
                    Severity::Warning => rendered.replacen("Warning:", &format!("warning[{}]:", d.code), 1),
                };
                out.extend(rendered.lines().flat_map(|line| [line.trim_end(), "\n"]));
            }
            _ => out.push_str(&format!("error[{}]: {}\n", d.code, self.line(d))),
        }
    }

    /// What is said of the command line: there is no text to show.
    fn render_without_place(&self, d: &Diagnostic, color: bool, out: &mut String) {
        let (kind, of_kind) = match d.severity {
            Severity::Error => ("error", "\u{1b}[31m"),
            Severity::Warning => ("warning", "\u{1b}[33m"),
        };
        let (main, green, plain) = if color { (of_kind, "\u{1b}[38;5;115m", "\u{1b}[0m") } else { ("", "", "") };
        out.push_str(&format!("{main}{kind}[{}]:{plain} {}\n", d.code, told(&d.message)));
        for (what, text) in [("Help", &d.help), ("Note", &d.note)] {
            if let Some(text) = text {
                out.push_str(&format!("  {green}{what}{plain}: {}\n", told(text)));
            }
        }
    }

    /// `file:line:column: message; help`: one mistake in one line.
    fn line(&self, d: &Diagnostic) -> String {
        let place = if d.span == COMMAND_LINE {
            String::new()
        } else {
            let (line, column) = line_col(&self.text, d.span.start);
            format!("{}:{line}:{column}: ", shown(&self.file))
        };
        match &d.help {
            Some(help) => format!("{place}{}; {}", told(&d.message), told(help)),
            None => format!("{place}{}", told(&d.message)),
        }
    }
}

/// What is said, in one line.
fn told(text: &str) -> String {
    cut_to(text, LONGEST)
}

/// `text` for a snippet: in the place of each character that acts on a terminal stands one that does not, since places are counted in
/// characters. Line ends and tabs are what snippets are made of.
fn drawable(text: &str) -> Cow<'_, str> {
    let is_left = |c: char, next: Option<&char>| matches!(c, '\n' | '\t') || c == '\r' && next == Some(&'\n');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_text = !acts(c) || is_left(c, chars.peek());
        out.push(if is_text { c } else { char::REPLACEMENT_CHARACTER });
    }
    Cow::Owned(out)
}

impl fmt::Display for Diagnostics {
    /// One line per mistake, without the text: what a log gets. [`Diagnostics::render`] is for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.line(d))?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Blamed for Diagnostics {
    fn blame(&self) -> Blame {
        Blame::User
    }
}

/// Line and column of the character at byte `offset`, both from 1; a column counts characters. An offset past the end,
/// or inside a character, is that of the character before it.
#[must_use]
pub fn line_col(text: &str, offset: usize) -> (usize, usize) {
    let offset = floor_char(text, offset.min(text.len()));
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}

/// `span` in characters, which is what ariadne counts by.
fn chars(text: &str, span: Span) -> std::ops::Range<usize> {
    let bytes = clamp(text, span);
    let start = text[..bytes.start].chars().count();
    start..start + text[bytes].chars().count()
}

/// `span` as a range of whole characters of `text`, not empty where the text is not.
fn clamp(text: &str, span: Span) -> std::ops::Range<usize> {
    let mut start = floor_char(text, span.start.min(text.len()));
    let mut end = floor_char(text, span.end.min(text.len())).max(start);
    if start == end {
        match text[start..].chars().next() {
            Some(c) if c != '\n' => end += c.len_utf8(),
            _ => start = text[..start].char_indices().next_back().map_or(start, |(i, _)| i),
        }
    }
    start..end
}

fn floor_char(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The byte offset of a place that is given as line and column, both from 1; past a line's end, the end of the line.
#[must_use]
pub fn offset_at(text: &str, location: Location) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(location.line), usize::try_from(location.column)) else { return 0 };
    let mut start = 0;
    for _ in 1..line.max(1) {
        match text[start..].find('\n') {
            Some(i) => start += i + 1,
            None => return text.len(),
        }
    }
    let line_text = text[start..].split('\n').next().unwrap_or_default();
    start + line_text.char_indices().nth(column.max(1) - 1).map_or(line_text.len(), |(i, _)| i)
}

/// A place that sqlparser or DataFusion gives, in bytes; `None` for the empty span, which is what nodes without a place
/// carry.
#[must_use]
pub fn byte_span(text: &str, span: SqlSpan) -> Option<Span> {
    if span.start.line == 0 {
        return None;
    }
    let start = offset_at(text, span.start);
    Some(Span { start, end: offset_at(text, span.end).max(start) })
}
