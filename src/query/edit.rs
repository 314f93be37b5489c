//! A line that is edited on a terminal, and the lines before it.

use std::io::Write;

use console::{Key, Term, measure_text_width};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// What somebody made of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// It was ended with Enter.
    Entered(String),
    /// It was left with Ctrl-C.
    Left,
    /// Ctrl-D in an empty line.
    End,
}

/// The line under way.
#[derive(Debug, Default)]
struct Editor {
    chars: Vec<char>,
    cursor: usize,
    /// Which line of the history is shown; its length while it is a new one.
    shown: usize,
    /// The new line, while an older one is shown.
    new: Vec<char>,
}

/// What a key came to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Shown,
    Done(Line),
}

impl Editor {
    fn press(&mut self, key: &Key, history: &[String]) -> Step {
        match key {
            Key::Enter => return Step::Done(Line::Entered(self.chars.iter().collect())),
            Key::CtrlC => return Step::Done(Line::Left),
            Key::Char('\u{4}') if self.chars.is_empty() => return Step::Done(Line::End),
            Key::Char('\u{4}') | Key::Del if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            Key::ArrowLeft | Key::Char('\u{2}') => self.cursor = self.cursor.saturating_sub(1),
            Key::ArrowRight | Key::Char('\u{6}') => self.cursor = (self.cursor + 1).min(self.chars.len()),
            Key::Home | Key::Char('\u{1}') => self.cursor = 0,
            Key::End | Key::Char('\u{5}') => self.cursor = self.chars.len(),
            // Ctrl-U, Ctrl-K: what is left of the cursor, what is right of it.
            Key::Char('\u{15}') => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            Key::Char('\u{b}') => self.chars.truncate(self.cursor),
            Key::ArrowUp => self.older(history),
            Key::ArrowDown => self.newer(history),
            Key::Tab => self.insert(' '),
            Key::Char(c) if !c.is_control() => self.insert(*c),
            _ => {}
        }
        Step::Shown
    }

    fn insert(&mut self, c: char) {
        self.chars.insert(self.cursor, c);
        self.cursor += 1;
    }

    fn older(&mut self, history: &[String]) {
        if self.shown == 0 {
            return;
        }
        if self.shown == history.len() {
            self.new = std::mem::take(&mut self.chars);
        }
        self.shown -= 1;
        self.take(history);
    }

    fn newer(&mut self, history: &[String]) {
        if self.shown < history.len() {
            self.shown += 1;
            self.take(history);
        }
    }

    fn take(&mut self, history: &[String]) {
        self.chars = match history.get(self.shown) {
            Some(line) => line.chars().collect(),
            None => std::mem::take(&mut self.new),
        };
        self.cursor = self.chars.len();
    }

    /// The line behind `prompt`, in one row of `width` cells: the part around the cursor, and how far the cursor is from its end.
    fn view(&self, prompt: &str, width: usize) -> (String, usize) {
        let room = width.saturating_sub(measure_text_width(prompt) + 1).max(8);
        let cells = |chars: &[char]| measure_text_width(&chars.iter().collect::<String>());
        let mut from = 0;
        while from < self.cursor && cells(&self.chars[from..self.cursor]) > room {
            from += 1;
        }
        let mut to = self.chars.len();
        while to > self.cursor && cells(&self.chars[from..to]) > room {
            to -= 1;
        }
        let shown: String = self.chars[from..to].iter().collect();
        (format!("{prompt}{shown}"), cells(&self.chars[self.cursor..to]))
    }
}

/// A terminal that hands over each key as it is and shows none of them, until this is dropped.
///
/// `console` asks for that while it waits for a key, and no longer: of keys that come faster than they are read, as when text is pasted,
/// the terminal would edit some by itself and show them.
struct Raw {
    before: Option<Termios>,
}

impl Raw {
    /// Of what is no terminal nothing is changed.
    fn begin() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // A line that ends still moves the cursor to the left.
            raw.output_modes = before.output_modes;
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw);
        }
        Self { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Reads a line from the terminal, which shows `prompt` before it.
pub fn read(term: &Term, prompt: &str, history: &[String]) -> std::io::Result<Line> {
    let _raw = Raw::begin();
    let mut editor = Editor { shown: history.len(), ..Editor::default() };
    loop {
        let (_, columns) = term.size();
        let (text, back) = editor.view(prompt, usize::from(columns));
        let mut out = term;
        write!(out, "\r\u{1b}[K{text}")?;
        if back > 0 {
            term.move_cursor_left(back)?;
        }
        out.flush()?;
        match editor.press(&term.read_key_raw()?, history) {
            Step::Shown => {}
            Step::Done(line) => {
                term.write_line("")?;
                return Ok(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(editor: &mut Editor, keys: impl IntoIterator<Item = Key>, history: &[String]) -> String {
        for key in keys {
            assert_eq!(editor.press(&key, history), Step::Shown);
        }
        editor.chars.iter().collect()
    }

    fn text(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    #[test]
    fn keys_edit_the_line() {
        let mut editor = Editor::default();
        assert_eq!(typed(&mut editor, text("SELCT"), &[]), "SELCT");
        let keys = [Key::ArrowLeft, Key::ArrowLeft, Key::Char('E'), Key::Home, Key::Del, Key::Char('s'), Key::End];
        assert_eq!(typed(&mut editor, keys, &[]), "sELECT");
        assert_eq!(typed(&mut editor, [Key::Backspace, Key::Char('ß')], &[]), "sELECß");
        assert_eq!(editor.press(&Key::Enter, &[]), Step::Done(Line::Entered("sELECß".to_owned())));
    }

    #[test]
    fn the_lines_before_come_back_and_the_new_one_too() {
        let history = ["one".to_owned(), "two".to_owned()];
        let mut editor = Editor { shown: 2, ..Editor::default() };
        typed(&mut editor, text("ne"), &history);
        assert_eq!(typed(&mut editor, [Key::ArrowUp, Key::ArrowUp, Key::ArrowUp], &history), "one");
        assert_eq!(typed(&mut editor, [Key::ArrowDown, Key::Char('!')], &history), "two!");
        assert_eq!(typed(&mut editor, [Key::ArrowDown, Key::Char('w')], &history), "new");
    }

    #[test]
    fn a_long_line_shows_what_is_around_the_cursor() {
        let mut editor = Editor::default();
        typed(&mut editor, text(&"x".repeat(100)), &[]);
        typed(&mut editor, text("yz"), &[]);
        let (shown, back) = editor.view("> ", 20);
        assert!(measure_text_width(&shown) < 20 && shown.ends_with("yz") && back == 0, "{shown}");
        typed(&mut editor, [Key::Home], &[]);
        let (shown, back) = editor.view("> ", 20);
        assert!(measure_text_width(&shown) < 20 && !shown.contains('y') && back == 17, "{shown} {back}");
    }

    #[test]
    fn the_end_of_input_ends_only_an_empty_line() {
        let mut editor = Editor::default();
        assert_eq!(editor.press(&Key::Char('\u{4}'), &[]), Step::Done(Line::End));
        typed(&mut editor, text("a"), &[]);
        assert_eq!(editor.press(&Key::Char('\u{4}'), &[]), Step::Shown);
        assert_eq!(editor.press(&Key::CtrlC, &[]), Step::Done(Line::Left));
    }
}
