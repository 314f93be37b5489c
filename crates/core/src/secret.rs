//! Which options hold a secret, by their names: one rule for all who refuse, hide and warn. And text that is kept from being printed.

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

#[cfg(test)]
mod tests {
    use super::*;

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
