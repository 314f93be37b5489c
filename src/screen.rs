//! stderr: what is said goes above, a status that is drawn anew stays at the bottom.
//!
//! Everything for people goes through here, log lines too, so that none of them breaks the status and none is cut by it, and what a
//! line holds of others is text ([`sluicebox_core::shown`]). A reader that goes away is no reason to stop: what cannot be written is
//! left out.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use sluicebox_core::shown::{in_json, shown, shown_lines};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a piece of the status looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As all else.
    Plain,
    /// Of less weight.
    Dim,
    /// Well.
    Green,
    /// Worth a look.
    Yellow,
    /// Wrong.
    Red,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\u{1b}[2m",
            Self::Green => "\u{1b}[32m",
            Self::Yellow => "\u{1b}[33m",
            Self::Red => "\u{1b}[31m",
        }
    }
}

/// A line of the status: pieces, one after the other.
pub type Line = Vec<(Style, String)>;

/// Says a line to people.
macro_rules! say {
    ($($arg:tt)*) => { $crate::screen::line(&format!($($arg)*)) };
}
pub(crate) use say;

/// The status as it was drawn last.
struct Screen {
    /// The lines of the status; none when there is no status.
    lines: Vec<Line>,
    /// How wide each line is that stands on the terminal.
    drawn: Vec<usize>,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { lines: Vec::new(), drawn: Vec::new() });

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether every line of stderr is a JSON object.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on every line of stderr is a JSON object, and no status is drawn.
pub fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether every line of stderr is to be a JSON object.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// A line for programs, with the keys that log lines have: what is said at `level`, and `more` beside it; what is null is left out.
pub fn object(level: &str, message: &str, more: serde_json::Value) {
    above(object_text(level, message, more).as_bytes());
}

fn object_text(level: &str, message: &str, more: serde_json::Value) -> String {
    let mut time = String::new();
    // A clock that cannot be read leaves the time out.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut line = serde_json::json!({"timestamp": time, "level": level, "message": message, "target": "sluicebox"});
    if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    in_json(&format!("{line}\n")).into_owned()
}

/// Whether stderr is a terminal on which something can be drawn anew.
pub fn is_terminal() -> bool {
    can_draw(std::io::stderr().is_terminal(), std::env::var_os("TERM").as_deref())
}

/// A terminal that calls itself dumb, as those of editors and of some build servers do, takes lines and nothing else: no cursor moves
/// on it, and what was meant to move it stands in the text.
fn can_draw(is_terminal: bool, name: Option<&OsStr>) -> bool {
    is_terminal && name.is_none_or(|name| name != "dumb")
}

/// Whether stderr takes colours: it is a terminal, and `NO_COLOR` is not set.
pub fn colours() -> bool {
    !is_json() && is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Columns and rows of the terminal.
pub fn size() -> (usize, usize) {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((terminal_size::Width(columns), terminal_size::Height(rows))) if columns > 0 && rows > 0 => {
            (usize::from(columns), usize::from(rows))
        }
        _ => (80, 24),
    }
}

/// How wide a line of the status may be. The last column stays free, since many terminals begin a new line when it is written, and
/// so do two for the `^C` that a terminal puts behind it.
pub fn width_of(columns: usize) -> usize {
    columns.saturating_sub(3).max(1)
}

/// Says one line above the status: a line end in it is of a name or of another text of others, and ends no line.
pub fn line(text: &str) {
    tell(&shown(text));
}

/// Says several lines above the status.
pub fn tell(text: &str) {
    if is_json() {
        return object("INFO", text.trim(), serde_json::Value::Null);
    }
    above(shown_lines(text).as_bytes());
}

/// Says a line, or several, above the status: `head`, which is ours, in its style, then `text`.
pub fn headed(style: Style, head: &str, text: &str) {
    let (code, end) = if colours() { (style.code(), "\u{1b}[0m") } else { ("", "") };
    above(format!("{code}{head}{end} {}", shown_lines(text)).as_bytes());
}

/// Writes lines above the status as they are, with colours of their own. What they hold of others is text already.
pub fn drawn(text: &str) {
    above(text.as_bytes());
}

/// Says an error of the code `code` from within a panic. Whoever panicked may have been drawing: then the status stands as it is.
pub fn say_in_panic(code: &str, message: &str) {
    let text = match is_json() {
        true => object_text("ERROR", message, serde_json::json!({"code": code})),
        false => format!("error[{code}]: {message}\n"),
    };
    match SCREEN.try_lock() {
        Ok(mut screen) => screen.above(text.as_bytes()),
        Err(TryLockError::Poisoned(screen)) => screen.into_inner().above(text.as_bytes()),
        Err(TryLockError::WouldBlock) => put(text.as_bytes()),
    }
}

/// Writes whole lines above the status.
fn above(text: &[u8]) {
    screen().above(text);
}

/// Puts `lines` in the place of the status.
pub fn show(lines: Vec<Line>) {
    let mut screen = screen();
    let mut out = screen.erase(size().0);
    screen.lines = lines;
    screen.draw(&mut out, size(), colours());
    put(&out);
}

/// What is written at once, so that no other process's text comes between.
fn put(bytes: &[u8]) {
    let mut stderr = std::io::stderr().lock();
    // A reader that has gone away does not keep tables from being written.
    let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
}

impl Screen {
    /// Writes whole lines above the status.
    fn above(&mut self, text: &[u8]) {
        let mut out = self.erase(size().0);
        out.extend_from_slice(text);
        if !text.ends_with(b"\n") {
            out.push(b'\n');
        }
        self.draw(&mut out, size(), colours());
        put(&out);
    }

    /// What takes the status off a terminal that is `columns` wide now: lines that were drawn on a wider one take several rows.
    fn erase(&mut self, columns: usize) -> Vec<u8> {
        let drawn = std::mem::take(&mut self.drawn);
        if drawn.is_empty() {
            return Vec::new();
        }
        let rows: usize = drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        let up = if rows > 1 { format!("\u{1b}[{}A", rows - 1) } else { String::new() };
        format!("\r{up}\u{1b}[0J").into_bytes()
    }

    /// Draws the status; the cursor stays at the end of its last line.
    fn draw(&mut self, out: &mut Vec<u8>, (columns, rows): (usize, usize), colours: bool) {
        let width = width_of(columns);
        let shown = self.lines.len().min(rows.saturating_sub(1).max(1));
        for (i, line) in self.lines.iter().take(shown).enumerate() {
            if i > 0 {
                out.extend_from_slice(b"\r\n");
            }
            self.drawn.push(draw_line(line, width, colours, out));
        }
    }
}

/// Writes what of `line` fits into `width` columns, and gives how many it took.
fn draw_line(line: &Line, width: usize, colours: bool, out: &mut Vec<u8>) -> usize {
    let line: Vec<(Style, Cow<'_, str>)> = line.iter().map(|(style, text)| (*style, shown(text))).collect();
    let whole: usize = line.iter().map(|(_, text)| text.width()).sum();
    let room = if whole > width { width.saturating_sub(1) } else { width };
    let mut taken = 0;
    for (style, text) in &line {
        let mut piece = String::new();
        for c in text.chars() {
            let wide = c.width().unwrap_or(0);
            if taken + wide > room {
                break;
            }
            taken += wide;
            piece.push(c);
        }
        let code = if colours { style.code() } else { "" };
        let end = if code.is_empty() { "" } else { "\u{1b}[0m" };
        out.extend_from_slice(format!("{code}{piece}{end}").as_bytes());
    }
    if whole > width {
        out.extend_from_slice("…".as_bytes());
        taken += 1;
    }
    taken
}

/// stderr for log lines: each write is one of them, whole.
#[derive(Debug, Clone, Copy)]
pub struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = if is_json() { in_json(&text) } else { Cow::Owned(log_line(&text, colours())) };
        above(line.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A line of the log, in which what a field holds is text and ends no line. Where it has colours, each ESC is one of theirs: the library
/// has written out those of fields.
fn log_line(text: &str, colours: bool) -> String {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if !colours {
        return shown(line).into_owned();
    }
    line.split('\u{1b}').map(shown).collect::<Vec<_>>().join("\u{1b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| vec![(Style::Plain, (*text).to_owned())]).collect()
    }

    fn drawn(screen: &mut Screen, size: (usize, usize)) -> String {
        let mut out = Vec::new();
        screen.draw(&mut out, size, false);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_panic_while_the_status_is_drawn_is_told_and_waits_for_nobody() {
        let _drawing = screen();
        say_in_panic("bug", "said by a test");
    }

    #[test]
    fn nothing_is_drawn_on_a_dumb_terminal() {
        assert!(can_draw(true, Some(OsStr::new("xterm-256color"))));
        assert!(can_draw(true, None));
        assert!(!can_draw(true, Some(OsStr::new("dumb"))));
        assert!(!can_draw(false, Some(OsStr::new("xterm"))));
    }

    #[test]
    fn a_line_is_cut_where_the_terminal_ends_and_says_so() {
        let mut screen = Screen { lines: plain(&["0123456789", "日本語の表"]), drawn: Vec::new() };
        assert_eq!(drawn(&mut screen, (10, 24)), "012345…\r\n日本語…");
        assert!(screen.drawn.iter().all(|width| *width <= 7), "{:?}", screen.drawn);
    }

    #[test]
    fn a_status_is_taken_off_whole_after_the_terminal_became_narrower() {
        let mut screen = Screen { lines: plain(&[&"a".repeat(70), &"b".repeat(20)]), drawn: Vec::new() };
        drawn(&mut screen, (80, 24));
        // 70 columns on 30 are three rows, and one for the second line.
        assert_eq!(screen.erase(30), b"\r\x1b[3A\x1b[0J");
        assert_eq!(screen.erase(30), b"", "what is gone is not taken off again");
    }

    #[test]
    fn a_low_terminal_gets_fewer_lines() {
        let mut screen = Screen { lines: plain(&["a", "b", "c"]), drawn: Vec::new() };
        assert_eq!(drawn(&mut screen, (80, 3)), "a\r\nb");
        screen.drawn.clear();
        assert_eq!(drawn(&mut screen, (80, 1)), "a");
    }

    #[test]
    fn colours_end_where_their_piece_ends() {
        let mut out = Vec::new();
        let line = vec![(Style::Red, "bad".to_owned()), (Style::Plain, " ok\u{7}".to_owned())];
        assert_eq!(draw_line(&line, 40, true, &mut out), 11);
        assert_eq!(out, b"\x1b[31mbad\x1b[0m ok\\u{7}");
    }

    #[test]
    fn what_a_status_holds_is_text_as_wide_as_it_is_written() {
        let mut out = Vec::new();
        let line = vec![(Style::Plain, "a\u{202e}\u{1b}[2Jb\n".to_owned())];
        assert_eq!(draw_line(&line, 40, true, &mut out), 21);
        assert_eq!(String::from_utf8_lossy(&out), r"a\u{202e}\u{1b}[2Jb\n");
        out.clear();
        assert_eq!(draw_line(&line, 8, true, &mut out), 8);
        assert_eq!(String::from_utf8_lossy(&out), r"a\u{202…");
    }

    #[test]
    fn a_line_of_the_log_is_one_line_whatever_its_fields_hold() {
        let hostile = "2026 WARN x: a\nb\r\u{202e}c\n";
        assert_eq!(log_line(hostile, false), r"2026 WARN x: a\nb\r\u{202e}c");
        assert_eq!(log_line("\u{1b}[33m WARN\u{1b}[0m a\nb\n", true), "\u{1b}[33m WARN\u{1b}[0m a\\nb");
        assert_eq!(log_line("\u{1b}[33m WARN", false), r"\u{1b}[33m WARN");
    }
}
