//! Addresses, as Java's `URI` reads them.

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::rows::{Call, Function, Gives, function, row_error};
use crate::values::Kind::Text;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("parse_url", &[Text, Text, Text], Gives::Text, |call| {
            parse_url(call, |url| row_error(format!("'{url}' is not a URL")))
        })
        .optional(1),
        function("try_parse_url", &[Text, Text, Text], Gives::Text, |call| parse_url(call, |_| Ok(None))).optional(1),
        function("url_encode", &[Text], Gives::Text, |call| {
            let text = call.text(0)?;
            call.texts(|row| Ok(Some(encode(text.at(row)))))
        }),
        function("url_decode", &[Text], Gives::Text, |call| {
            let text = call.text(0)?;
            call.texts(|row| {
                let text = text.at(row);
                decode(text)
                    .map_or_else(|| row_error(format!("'{text}' is not the form of an encoded URL")), |t| Ok(Some(t)))
            })
        }),
        function("try_url_decode", &[Text], Gives::Text, |call| {
            let text = call.text(0)?;
            call.texts(|row| Ok(decode(text.at(row))))
        }),
    ]
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b'.' | b'-' | b'*' | b'_' => out.push(char::from(b)),
            _ if b.is_ascii_alphanumeric() => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            _ => b,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The parts of an address, as they are written.
struct Uri<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    /// None of an address such as `mailto:a@b.c`.
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if !is_legal(text) {
            return None;
        }
        let (rest, fragment) = text.split_once('#').map_or((text, None), |(rest, f)| (rest, Some(f)));
        if fragment.is_some_and(|f| f.contains('#')) {
            return None;
        }
        let scheme_end = rest.find([':', '/', '?']).filter(|at| rest[*at..].starts_with(':'));
        let (scheme, rest) = scheme_end.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
        if let Some(scheme) = scheme {
            let mut chars = scheme.chars();
            let legal = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
                && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
            if !legal || rest.is_empty() {
                return None;
            }
            if !rest.starts_with('/') {
                return Some(Self { scheme: Some(scheme), authority: None, path: None, query: None, fragment });
            }
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, q)| (rest, Some(q)));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                let (authority, path) = after.split_at(end);
                // `file:///x` has none.
                if authority.is_empty() && path.is_empty() && query.is_none() {
                    return None;
                }
                ((!authority.is_empty()).then_some(authority), path)
            }
            None => (None, rest),
        };
        Some(Self { scheme, authority, path: Some(path), query, fragment })
    }

    /// Who, where, if the authority is a server.
    fn server(&self) -> Option<(Option<&'a str>, &'a str)> {
        let authority = self.authority?;
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if let Some(v6) = host.strip_prefix('[') {
            let (inside, port) = v6.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            let legal =
                port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
            return legal.then(|| (user, &host[..inside.len() + 2]));
        }
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        let labels: Vec<&str> = name.strip_suffix('.').unwrap_or(name).split('.').collect();
        let is_label = |l: &&str| {
            !l.is_empty()
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let is_name = labels.iter().all(is_label)
            && labels.last().is_some_and(|l| l.starts_with(|c: char| c.is_ascii_alphabetic()));
        let legal = (is_name || name.parse::<std::net::Ipv4Addr>().is_ok()) && port.bytes().all(|b| b.is_ascii_digit());
        legal.then_some((user, name))
    }

    fn part(&self, part: &str, key: Option<&str>) -> Option<String> {
        if key.is_some() && part != "QUERY" {
            return None;
        }
        match part {
            "HOST" => self.server().map(|(_, host)| host.to_owned()),
            "PATH" => self.path.map(str::to_owned),
            "QUERY" => match key {
                None => self.query.map(str::to_owned),
                Some(key) => self
                    .query?
                    .split('&')
                    .find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned())),
            },
            "REF" => self.fragment.map(str::to_owned),
            "PROTOCOL" => self.scheme.map(str::to_owned),
            "FILE" => {
                self.path.map(|path| self.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
            }
            "AUTHORITY" => self.authority.map(str::to_owned),
            "USERINFO" => self.server().and_then(|(user, _)| user.map(str::to_owned)),
            _ => None,
        }
    }
}

/// Whether all characters may stand in an address.
fn is_legal(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.char_indices().all(|(at, c)| match c {
        '%' => bytes.len() >= at + 3 && bytes[at + 1].is_ascii_hexdigit() && bytes[at + 2].is_ascii_hexdigit(),
        ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
        _ if c.is_ascii() => !c.is_ascii_control(),
        _ => !c.is_control() && !c.is_whitespace(),
    })
}

fn parse_url(call: &Call, otherwise: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
    let (url, part) = (call.text(0)?, call.text(1)?);
    let key = if call.len() > 2 { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let url = url.at(row);
        match Uri::parse(url) {
            Some(uri) => Ok(uri.part(part.at(row), key.as_ref().map(|k| k.at(row)))),
            None => otherwise(url),
        }
    })
}
