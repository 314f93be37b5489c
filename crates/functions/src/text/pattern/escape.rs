//! Escapes: a backslash and what follows it.

use super::class::class_char;
use super::{Flags, LINE_ENDS, Rewriter, SPACE};

impl Rewriter<'_> {
    /// After a backslash.
    pub(super) fn escape(&mut self, flags: Flags, in_class: bool) -> Result<(), String> {
        let c = self.next().ok_or("it ends with a backslash")?;
        let wrapped = |body: &str| format!("[{body}]");
        let text = match c {
            'd' => "[0-9]".to_owned(),
            'D' => "[^0-9]".to_owned(),
            'w' => "[a-zA-Z_0-9]".to_owned(),
            'W' => "[^a-zA-Z_0-9]".to_owned(),
            's' => wrapped(SPACE),
            'S' => format!("[^{SPACE}]"),
            'h' => r"[ \t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]".to_owned(),
            'v' => format!(r"[\x0B\f{LINE_ENDS}]"),
            'R' if !in_class => format!(r"(?:\r\n|[\x0B\f{LINE_ENDS}])"),
            'b' | 'B' | 'A' | 'z' if !in_class => format!("\\{c}"),
            'Z' if !in_class => {
                self.end();
                return Ok(());
            }
            't' | 'n' | 'r' | 'f' | 'a' => format!("\\{c}"),
            'e' => r"\x1B".to_owned(),
            'x' if self.rest.starts_with('{') => {
                let end = self.rest.find('}').ok_or("\\x{ has no end")?;
                let hex = self.rest[..=end].to_owned();
                self.rest = &self.rest[end + 1..];
                format!("\\x{hex}")
            }
            'x' | 'u' => {
                let digits = if c == 'x' { 2 } else { 4 };
                let hex = self
                    .rest
                    .get(..digits)
                    .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
                    .ok_or_else(|| format!("\\{c} is to be followed by {digits} hexadecimal digits"))?;
                let text = format!("\\x{{{hex}}}");
                self.rest = &self.rest[digits..];
                text
            }
            '0' => {
                let digits = self.rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let code = u32::from_str_radix(&self.rest[..digits], 8)
                    .map_err(|_| "\\0 is to be followed by octal digits".to_owned())?;
                self.rest = &self.rest[digits..];
                format!("\\x{{{code:x}}}")
            }
            'Q' => {
                let end = self.rest.find("\\E").unwrap_or(self.rest.len());
                let quoted = self.rest[..end].to_owned();
                self.rest = self.rest.get(end + 2..).unwrap_or_default();
                for c in quoted.chars() {
                    if in_class { self.out.push_str(&class_char(c)) } else { self.literal(c, flags) }
                }
                return Ok(());
            }
            'E' => return Ok(()),
            'p' | 'P' => self.property(c)?,
            '1'..='9' | 'k' => return Err("back references are not known".to_owned()),
            _ if c.is_ascii_alphabetic() => return Err(format!("`\\{c}` is not known")),
            _ if in_class => class_char(c),
            _ => regex::escape(c.encode_utf8(&mut [0; 4])),
        };
        self.out.push_str(&text);
        Ok(())
    }

    /// After `\p` or `\P`.
    fn property(&mut self, p: char) -> Result<String, String> {
        let name = if self.skip("{") {
            let end = self.rest.find('}').ok_or("\\p{ has no end")?;
            let name = self.rest[..end].to_owned();
            self.rest = &self.rest[end + 1..];
            name
        } else {
            self.next().ok_or("\\p has no name")?.to_string()
        };
        let posix = [
            "Lower", "Upper", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl", "XDigit",
            "Space", "ASCII",
        ];
        if posix.contains(&name.as_str()) {
            let not = if p == 'P' { "^" } else { "" };
            return Ok(format!("[[:{not}{}:]]", name.to_lowercase()));
        }
        let name = match name.as_str() {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaWhitespace" => return Err("\\p{javaWhitespace} is not known; write \\s".to_owned()),
            name if name.starts_with("In") => {
                return Err(format!("the block \\p{{{name}}} is not known; write its range"));
            }
            name => name.strip_prefix("Is").unwrap_or(name),
        };
        Ok(format!("\\{p}{{{name}}}"))
    }
}
