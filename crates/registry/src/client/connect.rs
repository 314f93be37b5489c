//! The HTTP client of a registry: the certificates that it trusts, its credentials, and the redirects that it follows.

use reqwest::Url;
use reqwest::redirect::Policy;
use sluicebox_core::pem::{self, Holds};
use sluicebox_durable::read_given;

use crate::client::HttpOptions;
use crate::client::options::{CA_FILE, IDENTITY_FILE, URL};
use crate::registry::RegistryError;

/// A client as `options` want it. Sends nothing yet.
///
/// # Errors
/// When a certificate or key file cannot be read, or holds something else.
pub(super) fn client(options: &HttpOptions) -> Result<reqwest::Client, RegistryError> {
    let mut builder = reqwest::Client::builder()
        .timeout(options.timeout)
        .redirect(Policy::custom(|attempt| match goes_down(attempt.previous(), attempt.url()) {
            true => attempt.stop(),
            false => Policy::default().redirect(attempt),
        }))
        .user_agent(concat!("sluicebox/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &options.ca_file {
        let authorities = read_pem(CA_FILE, path, Holds::Certificates, reqwest::Certificate::from_pem_bundle)?;
        builder = authorities.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    if let Some(path) = &options.identity_file {
        builder = builder.identity(read_pem(IDENTITY_FILE, path, Holds::Identity, reqwest::Identity::from_pem)?);
    }
    builder.build().map_err(|e| {
        // What is in a certificate is looked at here, and the error names no file.
        let option = match (&options.ca_file, &options.identity_file) {
            (Some(_), _) => CA_FILE,
            (None, Some(_)) => IDENTITY_FILE,
            (None, None) => URL,
        };
        RegistryError::Option {
            option: option.to_owned(),
            problem: format!("no client can be made with it: {}", innermost(&e)),
            right: None,
        }
    })
}

/// Whether TLS would be left behind: what is sent over it, and what it vouches for, is not for anybody on the way.
fn goes_down(previous: &[Url], next: &Url) -> bool {
    next.scheme() == "http" && previous.iter().any(|url| url.scheme() == "https")
}

/// What the file at `path` holds. One without any certificate is no error of the parser's, and would never be trusted.
fn read_pem<T>(
    option: &str,
    path: &std::path::Path,
    holds: Holds,
    parse: impl Fn(&[u8]) -> Result<T, reqwest::Error>,
) -> Result<T, RegistryError> {
    let problem = |why: String| RegistryError::Option {
        option: option.to_owned(),
        problem: format!("cannot read the PEM file {}: {why}", path.display()),
        right: None,
    };
    let bytes = read_given(path).map_err(|e| problem(e.to_string()))?;
    pem::check(&bytes, holds).map_err(|unfit| RegistryError::Option {
        option: option.to_owned(),
        problem: format!("{} {}", path.display(), unfit.problem),
        right: Some(format!("name {}", unfit.right)),
    })?;
    parse(&bytes).map_err(|e| problem(e.to_string()))
}

/// The reason (refused, name unknown, certificate), which stands at the end of the chain.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn nothing_is_sent_on_from_tls_to_where_there_is_none() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (previous, next, down) in [
            (&["https://h:8081/a"][..], "http://h:8081/a", true),
            (&["http://a", "https://b"], "http://c", true),
            (&["https://a", "https://b"], "https://c", false),
            (&["http://a"], "http://b", false),
            (&["http://a"], "https://b", false),
        ] {
            let previous: Vec<Url> = previous.iter().map(|text| url(text)).collect();
            assert_eq!(goes_down(&previous, &url(next)), down, "{previous:?} {next}");
        }
    }
}
