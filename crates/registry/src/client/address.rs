//! The address of a registry, and its name in messages.

use std::fmt;

use reqwest::Url;

/// The base URL of a registry. It is shown as scheme, host, port and path: a query may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Without user, password and fragment.
    url: Url,
    name: String,
}

impl Address {
    /// That of `url`, which has no credentials before its host.
    pub(super) fn new(mut url: Url) -> Self {
        url.set_fragment(None);
        let mut named = url.clone();
        named.set_query(None);
        Self { url, name: base(&named).to_owned() }
    }

    /// From now on it is shown as scheme, host and port.
    pub(super) fn call_by_host(&mut self) {
        let mut named = self.url.clone();
        named.set_query(None);
        named.set_path("");
        base(&named).clone_into(&mut self.name);
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of `path` at it, which is to be sent and not to be shown.
    pub(super) fn at(&self, path: &str) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{path}{query}", base(&url))
    }

    /// Whether what is sent to it is not encrypted.
    pub(super) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Its host.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// `url`, to which a path can be added.
fn base(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)
    }
}
