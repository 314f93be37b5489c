//! Character classes: `[ ]`.

use super::{Flags, Rewriter};

/// So deep may classes stand within each other; the engine has a limit of its own, which is not far from it.
const DEEPEST: usize = 100;

impl Rewriter<'_> {
    /// After `[`, which stands within so many others.
    pub(super) fn class(&mut self, flags: Flags, within: usize) -> Result<(), String> {
        // A pattern may be a row's: it must not use up the stack.
        if within > DEEPEST {
            return Err(format!("more than {DEEPEST} `[` stand within each other"));
        }
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.next().ok_or("`[` has no end")?;
            match c {
                ']' if !first => break,
                '[' => self.class(flags, within + 1)?,
                '&' if self.skip("&") => self.out.push_str("&&"),
                '\\' => {
                    let before = self.out.len();
                    self.escape(flags, true)?;
                    // The beginning of a range, if it is one character.
                    let single = !self.out[before..].starts_with("[");
                    if single
                        && self.rest.starts_with('-')
                        && !self.rest.starts_with("-]")
                        && !self.rest.starts_with("-[")
                    {
                        self.skip("-");
                        self.out.push('-');
                        self.range_end()?;
                    }
                }
                _ if self.rest.starts_with('-') && !self.rest.starts_with("-]") && !self.rest.starts_with("-[") => {
                    self.skip("-");
                    self.out.push_str(&format!("{}-", class_char(c)));
                    let to = self.range_end()?;
                    if flags.any_case
                        && let Some(to) = to
                    {
                        self.other_case(c, to);
                    }
                }
                _ => {
                    self.out.push_str(&class_char(c));
                    if flags.any_case {
                        self.other_case(c, c);
                    }
                }
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// The last character of a range, if it is written as itself.
    fn range_end(&mut self) -> Result<Option<char>, String> {
        match self.next().ok_or("`[` has no end")? {
            '\\' => self.escape(Flags::default(), true).map(|()| None),
            to => {
                self.out.push_str(&class_char(to));
                Ok(Some(to))
            }
        }
    }

    /// The letters from `from` to `to` in their other case.
    fn other_case(&mut self, from: char, to: char) {
        for (low, high, other) in [('a', 'z', 'A'), ('A', 'Z', 'a')] {
            let (from, to) = (from.max(low) as u32, to.min(high) as u32);
            if from <= to {
                let swap = |c: u32| char::from_u32(c - low as u32 + other as u32).unwrap_or(other);
                self.out.push_str(&format!("{}-{}", swap(from), swap(to)));
            }
        }
    }
}

/// A character within `[]`.
pub(super) fn class_char(c: char) -> String {
    if c.is_alphanumeric() || c == '_' || c == ' ' { c.to_string() } else { format!("\\x{{{:x}}}", c as u32) }
}
