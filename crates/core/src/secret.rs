//! Which options hold a secret, by name: one rule for every place that refuses, hides or warns. And a text that does not print itself.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use crate::nearest::nearest;

/// The name of a secret has one of these in it.
const WORDS: [&str; 9] =
    ["password", "passphrase", "secret", "token", "private", "jaas", "key.pem", "user.info", "oauthbearer.config"];

/// What only tells where something is, whatever the name has before it, ends so.
const PLACES: [&str; 3] = [".file", ".location", ".url"];

/// What somebody means who misspells the name of a secret.
const MEANT: [&str; 7] = ["password", "passphrase", "passwd", "secret", "token", "private", "jaas"];

/// Words of other names that are like one of those by their letters alone.
const UNLIKE: [&str; 2] = ["security", "socket"];

/// Whether the value of the option `name` is a secret. Names are compared without case.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    !is_place(&lower) && WORDS.iter().any(|word| lower.contains(word))
}

/// Whether the value of the option `name` is a secret, or would be one if the name were spelt right: it is not shown. That there is no
/// such name may not be known yet.
#[must_use]
pub fn may_be_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    // A shorter one is like too much.
    let mut parts = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 3 && !UNLIKE.contains(part));
    is_secret(name) || !is_place(&lower) && parts.any(|part| nearest(part, MEANT).is_some())
}

fn is_place(lower: &str) -> bool {
    PLACES.iter().any(|end| lower.ends_with(end))
}

/// Whether what goes to `host`, a name or an address, stays on this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be sent and not to be printed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Characters of the shortest piece of a secret that is looked for: shorter ones are found in half of all words.
const PIECE: usize = 4;

/// The pieces of secrets, by which they are found in what others say of them: whole, cut off, or from the middle on.
#[derive(Clone, Default)]
pub struct Pieces(HashSet<[char; PIECE]>);

impl Pieces {
    /// Those of `secrets`. One of fewer than four characters has none, and is not found.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let mut pieces = Self::default();
        for secret in secrets {
            pieces.add(secret);
        }
        pieces
    }

    /// Adds those of `secret`.
    pub fn add(&mut self, secret: &str) {
        let chars: Vec<char> = secret.chars().collect();
        self.0.extend(chars.windows(PIECE).filter_map(|piece| <[char; PIECE]>::try_from(piece).ok()));
    }

    /// `text` with `***` in the place of every four or more characters that stand so in a secret. A word that stands in a secret too
    /// is hidden with it: better a word that is missing than a part of a password that is told.
    #[must_use]
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let chars: Vec<char> = text.chars().collect();
        let mut hidden = vec![false; chars.len()];
        for (at, piece) in chars.windows(PIECE).enumerate() {
            if self.0.contains(piece) {
                hidden[at..at + PIECE].fill(true);
            }
        }
        if !hidden.contains(&true) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut before = false;
        for (c, hidden) in chars.into_iter().zip(hidden) {
            match hidden {
                true if before => {}
                true => out.push_str("***"),
                false => out.push(c),
            }
            before = hidden;
        }
        Cow::Owned(out)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_whole_and_in_pieces_wherever_it_stands() {
        let pieces = Pieces::of(["geheim6", "scope=päß wort", "abc", "x"]);
        for (text, told) in [
            ("geheim6 is wrong", "*** is wrong"),
            ("beginning at: geheim6", "beginning at: ***"),
            ("not \"geheim6\" nor 'heim6'", "not \"***\" nor '***'"),
            ("eheim", "***"),
            ("geheim6geheim6", "***"),
            ("at päß wor", "at ***"),
            // What is too short to be told from a word, and what is like a secret and is none of it.
            ("abc x eim6 gehei_", "abc x *** ***_"),
            ("geh im6 GEHEIM6 päß", "geh im6 GEHEIM6 päß"),
            ("abcabc xxxx", "abcabc xxxx"),
            ("", ""),
        ] {
            assert_eq!(pieces.hide(text), told, "{text}");
        }
        let short = Pieces::of(["a", "ab", "abc", ""]);
        assert_eq!(short.hide("a cab is no tabc, abc"), "a cab is no tabc, abc");
        assert!(!format!("{pieces:?}").contains('g'));
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in [
            "kafka.sasl.password",
            "KAFKA.SASL.PASSWORD",
            "kafka.sasl.jaas.config",
            "kafka.sasl.oauthbearer.config",
            "kafka.ssl.key.pem",
            "schema.registry.basic.auth.user.info",
            "schema.registry.bearer.auth.token",
            "some.private.thing",
        ] {
            assert!(is_secret(secret) && may_be_secret(secret), "{secret}");
        }
        for none in [
            "kafka.sasl.username",
            "kafka.sasl.oauthbearer.token.endpoint.url",
            "schema.registry.bearer.auth.token.file",
            "kafka.ssl.keystore.location",
            "kafka.ssl.ca.pem",
            "kafka.ssl.certificate.pem",
            "kafka.partition.assignment.strategy",
            "kafka.security.protocol",
            "kafka.socket.timeout.ms",
            "subscribe",
        ] {
            assert!(!is_secret(none) && !may_be_secret(none), "{none}");
        }
    }

    #[test]
    fn what_goes_to_this_machine_is_read_by_nobody_else() {
        for here in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(is_loopback(here), "{here}");
        }
        for away in ["", "localhost.example.com", "10.0.0.1", "0.0.0.0", "[::2]", "registry"] {
            assert!(!is_loopback(away), "{away}");
        }
    }

    #[test]
    fn a_misspelt_name_is_not_shown_either() {
        for misspelt in ["kafka.sasl.passwrod", "kafka.sasl_pasword", "kafka.sasl.passwd", "client.secrte", "x.tokn"] {
            assert!(!is_secret(misspelt) && may_be_secret(misspelt), "{misspelt}");
        }
    }
}
