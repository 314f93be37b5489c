//! How to reach a registry: its options, and secrets that are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicebox_core::durable::read_given_text;
use sluicebox_core::secret::Secret;

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
    /// Base URLs, tried in turn; at least one. They carry no credentials.
    pub urls: Vec<String>,
    /// How requests prove who sent them.
    pub auth: Auth,
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
        f.debug_struct("HttpOptions").field("urls", &self.urls).field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl HttpOptions {
    /// The options for `urls`, comma-separated, without authentication. Credentials inside a URL become basic
    /// authentication and leave the URL.
    ///
    /// # Errors
    /// When a URL is not `http://` or `https://`, or there is none.
    pub fn new(urls: &str) -> Result<Self, RegistryError> {
        let mut auth = Auth::None;
        let mut bases = Vec::new();
        for text in urls.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let (base, credentials) = base_url(text)?;
            bases.push(base);
            auth = credentials.unwrap_or(auth);
        }
        if bases.is_empty() {
            return Err(option(URL, "names no registry; write for example 'http://localhost:8081'"));
        }
        Ok(Self {
            urls: bases,
            auth,
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
    /// `env` gives an environment variable. The result is `None` if no registry is named.
    ///
    /// # Errors
    /// When an option has no meaning or a secret's file cannot be read.
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
        match (user_info, token) {
            (Some(_), Some(_)) => {
                return Err(option(TOKEN, &format!("cannot stand beside '{USER_INFO}'; give one of them")));
            }
            (Some(info), None) => {
                let (user, password) = info
                    .split_once(':')
                    .ok_or_else(|| option(USER_INFO, "must be a user and a password with a colon between them"))?;
                built.auth = Auth::Basic { user: Secret::new(user), password: Secret::new(password) };
            }
            (None, Some(token)) => built.auth = Auth::Bearer(Secret::new(token)),
            (None, None) => {}
        }
        built.ca_file = options.get("schema.registry.ssl.ca.location").map(PathBuf::from);
        built.identity_file = options.get("schema.registry.ssl.identity.location").map(PathBuf::from);
        Ok(Some(built))
    }
}

const URL: &str = "schema.registry.url";
const USER_INFO: &str = "schema.registry.basic.auth.user.info";
const TOKEN: &str = "schema.registry.bearer.auth.token";

fn option(option: &str, problem: &str) -> RegistryError {
    RegistryError::Option { option: option.to_owned(), problem: problem.to_owned() }
}

fn base_url(text: &str) -> Result<(String, Option<Auth>), RegistryError> {
    let mut url = reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| option(URL, "is not a list of http:// or https:// URLs"))?;
    let credentials = url.password().map(|password| Auth::Basic {
        user: Secret::new(percent_decoded(url.username())),
        password: Secret::new(percent_decoded(password)),
    });
    // Both fail only for URLs that cannot carry credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url.as_str().trim_end_matches('/').to_owned(), credentials))
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
        assert_eq!(built.urls, ["http://one:8081", "https://two/base"]);
        assert_eq!(built.auth, Auth::Basic { user: Secret::new("alice"), password: Secret::new("hunter:2") });
        let printed = format!("{built:?}");
        assert!(!printed.contains("hunter") && !printed.contains("pw") && !printed.contains("alice"), "{printed}");
        let in_url = HttpOptions::new("http://u%40x:pw@one:8081").unwrap();
        assert_eq!(in_url.auth, Auth::Basic { user: Secret::new("u@x"), password: Secret::new("pw") });
    }

    #[test]
    fn options_come_before_the_environment_and_secrets_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "t0ken\n").unwrap();
        let env = |name: &str| (name == "SCHEMA_REGISTRY_URL").then(|| "http://env:1".to_owned());
        let given = options(&[("schema.registry.bearer.auth.token.file", file.to_str().unwrap())]);
        let built = HttpOptions::from_options(&given, env).unwrap().unwrap();
        assert_eq!(built.urls, ["http://env:1"]);
        assert_eq!(built.auth, Auth::Bearer(Secret::new("t0ken")));
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
