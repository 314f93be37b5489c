//! What stands in `[ ]`.

use super::{Flags, Rewriter};

impl Rewriter<'_> {
    /// After `[`.
    pub(super) fn class(&mut self, flags: Flags) -> Result<(), String> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.next().ok_or("`[` has no end")?;
            match c {
                ']' if !first => break,
                '[' => self.class(flags)?,
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
            let (from, to) = (from.max(low) as u8 as u32, to.min(high) as u32);
            if from <= to && from >= low as u32 {
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
