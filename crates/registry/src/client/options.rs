//! The options of a registry, whose secrets are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicebox_core::secret::{Secret, is_loopback};
use sluicebox_durable::read_given_text;

use crate::client::Address;
use crate::registry::RegistryError;

/// How a request proves who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user.
        user: Secret,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

/// How to reach a registry over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Base URLs, tried in turn; at least one. They carry no credentials before the host.
    pub urls: Vec<Address>,
    /// How requests to each of them prove who sent them: as many as there are URLs, in the same order.
    pub auths: Vec<Auth>,
    /// A PEM file of certificate authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's certificate and key, for mutual TLS.
    pub identity_file: Option<PathBuf>,
    /// The longest one request may take.
    pub timeout: Duration,
    /// The pause after the first failed round over all URLs; it doubles, with jitter, up to `max_backoff`.
    pub first_backoff: Duration,
    /// The longest pause between two rounds.
    pub max_backoff: Duration,
    /// How long a registry that is down is waited for; `None` for ever.
    pub give_up_after: Option<Duration>,
    /// How long "there is no such id" is believed without asking again: a new id may reach a replica late.
    pub unknown_for: Duration,
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions").field("urls", &self.urls).field("auths", &self.auths).finish_non_exhaustive()
    }
}

impl HttpOptions {
    /// The options for `urls`, comma-separated, without authentication. Credentials inside a URL become basic
    /// authentication of that URL and leave it.
    ///
    /// # Errors
    /// When a URL is not `http://` or `https://`, or there is none.
    pub fn new(urls: &str) -> Result<Self, RegistryError> {
        let (mut bases, mut auths) = (Vec::new(), Vec::new());
        for text in urls.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let (base, auth) = base_url(text)?;
            bases.push(base);
            auths.push(auth);
        }
        if bases.is_empty() {
            return Err(option(URL, "names no registry; write for example 'http://localhost:8081'"));
        }
        Ok(Self {
            urls: bases,
            auths,
            ca_file: None,
            identity_file: None,
            timeout: Duration::from_secs(30),
            first_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            give_up_after: None,
            unknown_for: Duration::from_secs(5),
        })
    }

    /// The options of a source, by their names:
    ///
    /// | option | meaning |
    /// |---|---|
    /// | `schema.registry.url` | base URLs, comma-separated; else `SCHEMA_REGISTRY_URL` of the environment |
    /// | `schema.registry.basic.auth.user.info` | `user:password`; else `SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO` |
    /// | `schema.registry.bearer.auth.token` | a token; else `SCHEMA_REGISTRY_BEARER_AUTH_TOKEN` |
    /// | the two above with `.file` appended | the same, read from a file, its last line break dropped |
    /// | `schema.registry.ssl.ca.location` | PEM file of certificate authorities |
    /// | `schema.registry.ssl.identity.location` | PEM file of the client's certificate and key |
    ///
    /// User, password and token are those of each URL that has none of its own. `env` gives an environment variable. The result is
    /// `None` if no registry is named.
    ///
    /// # Errors
    /// When an option has no meaning, a secret's file cannot be read, or a secret would go to a URL over TLS and to another without.
    pub fn from_options(
        options: &BTreeMap<String, String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, RegistryError> {
        let Some(urls) = options.get(URL).cloned().or_else(|| env("SCHEMA_REGISTRY_URL").filter(|u| !u.is_empty()))
        else {
            return Ok(None);
        };
        let mut built = Self::new(&urls)?;
        let user_info = secret(options, USER_INFO, &env, "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO")?;
        let token = secret(options, TOKEN, &env, "SCHEMA_REGISTRY_BEARER_AUTH_TOKEN")?;
        let auth = match (user_info, token) {
            (Some(_), Some(_)) => {
                return Err(option(TOKEN, &format!("cannot stand beside '{USER_INFO}'; give one of them")));
            }
            (Some(info), None) => {
                let (user, password) = info
                    .split_once(':')
                    .ok_or_else(|| option(USER_INFO, "must be a user and a password with a colon between them"))?;
                Auth::Basic { user: Secret::new(user), password: Secret::new(password) }
            }
            (None, Some(token)) => Auth::Bearer(Secret::new(token)),
            (None, None) => Auth::None,
        };
        built.give(&auth)?;
        built.ca_file = options.get(CA_FILE).map(PathBuf::from);
        built.identity_file = options.get(IDENTITY_FILE).map(PathBuf::from);
        Ok(Some(built))
    }

    /// Lets each URL without credentials of its own have `auth`.
    fn give(&mut self, auth: &Auth) -> Result<(), RegistryError> {
        if *auth == Auth::None {
            return Ok(());
        }
        let without = self.urls.iter().zip(&mut self.auths).filter(|(_, own)| **own == Auth::None);
        let (mut tls, mut plain) = (false, None);
        for (url, own) in without {
            tls |= !url.is_plain();
            if url.is_plain() && !is_loopback(url.host()) {
                plain = Some(url);
            }
            *own = auth.clone();
        }
        match plain.filter(|_| tls) {
            None => Ok(()),
            Some(plain) => Err(option(
                URL,
                &format!(
                    "has https and http, and the same secret would go over both: take {plain} out, or write the credentials that are \
                     meant for it into it, by reference"
                ),
            )),
        }
    }

    /// The URLs to which credentials go where others may read them on the way: over plain HTTP, to another machine.
    pub fn exposed(&self) -> impl Iterator<Item = &str> {
        let all = self.urls.iter().zip(&self.auths);
        let exposed = all.filter(|(url, auth)| **auth != Auth::None && url.is_plain() && !is_loopback(url.host()));
        exposed.map(|(url, _)| url.name())
    }

    /// From now on messages call each registry by scheme, host and port: its path may be what a reference stands for.
    pub fn call_by_hosts(&mut self) {
        self.urls.iter_mut().for_each(Address::call_by_host);
    }

    /// What messages call the registries, with commas between.
    pub(super) fn names(&self) -> String {
        self.urls.iter().map(Address::name).collect::<Vec<_>>().join(", ")
    }
}

pub(super) const URL: &str = "schema.registry.url";
pub(super) const CA_FILE: &str = "schema.registry.ssl.ca.location";
pub(super) const IDENTITY_FILE: &str = "schema.registry.ssl.identity.location";
const USER_INFO: &str = "schema.registry.basic.auth.user.info";
const TOKEN: &str = "schema.registry.bearer.auth.token";

fn option(option: &str, problem: &str) -> RegistryError {
    RegistryError::Option { option: option.to_owned(), problem: problem.to_owned(), right: None }
}

/// A URL, and what stood before its `@`: a user without a password has an empty one, as for any other client.
fn base_url(text: &str) -> Result<(Address, Auth), RegistryError> {
    let mut url = reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| option(URL, "is not a list of http:// or https:// URLs"))?;
    let auth = match (url.username(), url.password()) {
        ("", None) => Auth::None,
        (user, password) => Auth::Basic {
            user: Secret::new(percent_decoded(user)),
            password: Secret::new(percent_decoded(password.unwrap_or_default())),
        },
    };
    // Both fail only for URLs that cannot carry credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((Address::new(url), auth))
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn secret(
    options: &BTreeMap<String, String>,
    name: &str,
    env: &impl Fn(&str) -> Option<String>,
    variable: &str,
) -> Result<Option<String>, RegistryError> {
    if let Some(value) = options.get(name) {
        return Ok(Some(value.clone()));
    }
    let file_option = format!("{name}.file");
    if let Some(path) = options.get(&file_option) {
        let content =
            read_given_text(Path::new(path)).map_err(|e| option(&file_option, &format!("cannot read {path}: {e}")))?;
        return Ok(Some(content.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(env(variable).filter(|v| !v.is_empty()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn secrets_are_never_printed() {
        let given = options(&[(URL, "http://u%40x:pw@one:8081/, https://two/base/"), (USER_INFO, "alice:hunter:2")]);
        let built = HttpOptions::from_options(&given, |_| None).unwrap().unwrap();
        assert_eq!(sent(&built), ["http://one:8081", "https://two/base"]);
        assert_eq!(built.auths, [basic("u@x", "pw"), basic("alice", "hunter:2")]);
        let printed = format!("{built:?}");
        assert!(!printed.contains("hunter") && !printed.contains("pw") && !printed.contains("alice"), "{printed}");
    }

    fn sent(options: &HttpOptions) -> Vec<String> {
        options.urls.iter().map(|url| url.at("")).collect()
    }

    fn basic(user: &str, password: &str) -> Auth {
        Auth::Basic { user: Secret::new(user), password: Secret::new(password) }
    }

    #[test]
    fn credentials_belong_to_their_own_url() {
        let built = HttpOptions::new("http://a,http://bob:pw@b, https://t0ken@c/, http://:p@d").unwrap();
        assert_eq!(sent(&built), ["http://a", "http://b", "https://c", "http://d"]);
        assert_eq!(built.auths, [Auth::None, basic("bob", "pw"), basic("t0ken", ""), basic("", "p")]);
        let given = options(&[(URL, "https://a,http://bob:pw@b,https://c"), (TOKEN, "t0ken")]);
        let built = HttpOptions::from_options(&given, |_| None).unwrap().unwrap();
        let token = || Auth::Bearer(Secret::new("t0ken"));
        assert_eq!(built.auths, [token(), basic("bob", "pw"), token()]);
    }

    #[test]
    fn a_secret_goes_over_tls_or_not_and_that_it_may_be_read_is_known() {
        let built = |urls: &str| HttpOptions::from_options(&options(&[(URL, urls), (TOKEN, "t0ken")]), |_| None);
        let refused = built("https://a,http://b").unwrap_err().to_string();
        assert!(refused.contains("take http://b out") && !refused.contains("t0ken"), "{refused}");
        for (urls, exposed) in [
            ("https://a,https://b", &[][..]),
            ("http://a:1,http://localhost:1,http://127.0.0.1,http://[::1]:2,http://b/x", &["http://a:1", "http://b/x"]),
        ] {
            assert_eq!(built(urls).unwrap().unwrap().exposed().collect::<Vec<_>>(), exposed);
        }
        let own = HttpOptions::new("http://bob@a,http://b,https://bob@c").unwrap();
        assert_eq!(own.exposed().collect::<Vec<_>>(), ["http://a"], "only what has credentials");
    }

    #[test]
    fn options_come_before_the_environment_and_secrets_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "t0ken\n").unwrap();
        let env = |name: &str| (name == "SCHEMA_REGISTRY_URL").then(|| "http://env:1".to_owned());
        let given = options(&[("schema.registry.bearer.auth.token.file", file.to_str().unwrap())]);
        let built = HttpOptions::from_options(&given, env).unwrap().unwrap();
        assert_eq!(sent(&built), ["http://env:1"]);
        assert_eq!(built.auths, [Auth::Bearer(Secret::new("t0ken"))]);
        assert!(HttpOptions::from_options(&options(&[]), |_| None).unwrap().is_none());
    }

    #[test]
    fn wrong_options_name_themselves() {
        let problem =
            |pairs: &[(&str, &str)]| HttpOptions::from_options(&options(pairs), |_| None).unwrap_err().to_string();
        assert!(problem(&[(URL, "localhost:8081")]).contains("http://"));
        assert!(problem(&[(URL, " , ")]).contains("names no registry"));
        assert!(problem(&[(URL, "http://a"), (USER_INFO, "nocolon")]).contains(USER_INFO));
        assert!(!problem(&[(URL, "http://a"), (USER_INFO, "nocolon")]).contains("nocolon"));
    }
}
