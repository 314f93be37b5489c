//! The rule of a server: what it requires of clients and of their requests. Pure functions.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

/// Makes a refusal in the form of the server's API, of its status and a message for people.
pub type Refuse = fn(StatusCode, &str) -> Response;

/// What a server asks of those who connect, and what they may cost.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Until a request's head is there, counted from when it is waited for. So a connection on which nothing is sent, at its
    /// start or after an answer, is closed after this, too.
    pub head: Duration,
    /// Until the whole body is there, counted from when the head is.
    pub body: Duration,
    /// Until there is an answer, counted from when the body is there; and as long again until the client reads something of it.
    pub answer: Duration,
    /// After this a connection takes no more requests; the one under way has [`Rule::answer`] to be answered and read. It
    /// ends those who read what they asked for, but hardly.
    pub age: Duration,
    /// From when the server is stopped until connections that are left are closed.
    pub grace: Duration,
    /// Connections at once; who comes beyond them is told 503. Of one address there are three quarters of them at most.
    pub connections: usize,
    /// The longest body, in bytes.
    pub body_bytes: usize,
    /// Names under which clients may call this machine, beside `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// What every request must carry, if anything.
    pub token: Option<Token>,
    /// Makes refusals.
    pub refuse: Refuse,
}

impl Rule {
    /// The rule of a server for programs: 64 connections, 2 MiB a request, half a minute for each of its parts; no names,
    /// no token.
    #[must_use]
    pub fn new(refuse: Refuse) -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            age: Duration::from_secs(600),
            grace: Duration::from_secs(5),
            connections: 64,
            body_bytes: 2 << 20,
            hosts: Vec::new(),
            token: None,
            refuse,
        }
    }

    /// Whether the application may see a request with this head; else the status and the message for people.
    pub(crate) fn judge(&self, request: &Parts) -> Result<(), Refused> {
        let host = self.host(request)?;
        same_origin(request, host)?;
        if self.token.as_ref().is_some_and(|token| !carries(request, token)) {
            let message = "send the server's token: `Authorization: Bearer TOKEN`, or as the password of Basic";
            return Err(Refused(StatusCode::UNAUTHORIZED, message));
        }
        let writes = [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
        let kind = request.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // Pages of other sites may send forms and plain text without being asked, and JSON not.
        if writes && !kind.is_some_and(is_json) {
            let message = "send JSON, with `Content-Type: application/json`";
            return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        Ok(())
    }

    /// The host that the request is for. A page of another site can give its own name this machine's address, and then its
    /// requests come from the user's browser under that name.
    fn host<'a>(&self, request: &'a Parts) -> Result<&'a str, Refused> {
        let mut named = request.headers.get_all(header::HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().ok(),
            _ => None,
        };
        let Some(host) = host else {
            return Err(Refused(
                StatusCode::BAD_REQUEST,
                "send one `Host` header, with the name or address of the server",
            ));
        };
        // What a request line names counts before the header.
        let in_line = request.uri.authority().is_none_or(|authority| self.answers_as(authority.as_str()));
        if !in_line || !self.answers_as(host) {
            let message = "this server does not answer under the name in the `Host` header: use its address, or start it \
                           with this name among its hosts";
            return Err(Refused(StatusCode::MISDIRECTED_REQUEST, message));
        }
        Ok(host)
    }

    /// Whether requests for `authority` (a host, and a port that does not matter) are for this server. Addresses are: only a
    /// name can be led here by somebody else.
    fn answers_as(&self, authority: &str) -> bool {
        if authority.contains('@') {
            return false;
        }
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let named = |name: &str| name.eq_ignore_ascii_case(host);
        bare.parse::<IpAddr>().is_ok() || named("localhost") || self.hosts.iter().any(|name| named(name))
    }
}

/// A request that the application does not see: status, and message for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) &'static str);

/// Browsers say for which page they ask: none of another place has business here.
fn same_origin(request: &Parts, host: &str) -> Result<(), Refused> {
    let own = |origin: &str| {
        let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        place.is_some_and(|place| place.eq_ignore_ascii_case(host))
    };
    let mut origins = request.headers.get_all(header::ORIGIN).iter();
    if origins.all(|origin| origin.to_str().is_ok_and(own)) {
        return Ok(());
    }
    Err(Refused(StatusCode::FORBIDDEN, "pages of other sites may not ask this server"))
}

/// Whether it is a media type of JSON: `application/json` or `application/<anything>+json`.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|rest| rest == "json" || rest.ends_with("+json"))
}

/// Whether the request carries `token`: as a bearer's, or as the password of Basic, whoever the user.
fn carries(request: &Parts, token: &Token) -> bool {
    let given = request.headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    let Some((scheme, given)) = given.and_then(|given| given.split_once(' ')) else { return false };
    if scheme.eq_ignore_ascii_case("bearer") {
        return token.is(given.trim());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let pair = STANDARD.decode(given.trim()).ok().and_then(|pair| String::from_utf8(pair).ok());
    pair.as_deref().and_then(|pair| pair.split_once(':')).is_some_and(|(_, password)| token.is(password))
}

/// What requests must carry. Never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// `text` without space around it, as the last line break of a file. Nothing when it cannot be sent in a header: empty,
    /// or with something else than visible ASCII in it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// Whether `given` is it, in a time that tells its length alone.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use axum::http::Request;
    use axum::response::IntoResponse;

    use super::*;

    fn rule() -> Rule {
        Rule { hosts: vec!["lake.example".to_owned()], ..Rule::new(|status, _| status.into_response()) }
    }

    /// What becomes of a request with this first line and these headers.
    fn judged(rule: &Rule, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        rule.judge(&parts).map_or_else(|refused| refused.0.as_u16(), |()| 200)
    }

    #[test]
    fn hosts_are_addresses_and_names_that_were_given() {
        for (host, expected) in [
            ("127.0.0.1:8081", 200),
            ("127.9.9.9", 200),
            ("10.1.2.3:8081", 200),
            ("[::1]:8081", 200),
            ("localhost:8081", 200),
            ("LocalHost", 200),
            ("Lake.example:1", 200),
            ("evil.example:8081", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost@evil.example", 421),
            ("evil.example@localhost", 421),
            ("127.1.evil", 421),
            ("", 421),
            ("lake.example/", 421),
        ] {
            assert_eq!(judged(&rule(), "GET", "/", &[("host", host)]), expected, "{host}");
        }
        assert_eq!(judged(&rule(), "GET", "/", &[]), 400);
        assert_eq!(judged(&rule(), "GET", "/", &[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(judged(&rule(), "GET", "http://evil.example/", &[("host", "localhost")]), 421, "the line counts");
        assert_eq!(judged(&rule(), "GET", "http://localhost/", &[("host", "localhost")]), 200);
    }

    #[test]
    fn pages_of_other_places_are_refused() {
        for (origin, expected) in [
            ("http://localhost:8081", 200),
            ("https://LOCALHOST:8081", 200),
            ("http://localhost:3000", 403),
            ("http://127.0.0.1:8081", 403),
            ("http://evil.example", 403),
            ("http://evil.example/localhost:8081", 403),
            ("null", 403),
            ("", 403),
        ] {
            let headers = [("host", "localhost:8081"), ("origin", origin)];
            assert_eq!(judged(&rule(), "GET", "/", &headers), expected, "{origin}");
        }
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert_eq!(judged(&rule(), "GET", "/", &twice), 403);
    }

    #[test]
    fn what_writes_is_json() {
        for (kind, expected) in [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("application/vnd.schemaregistry.v1+json", 200),
            ("text/plain", 415),
            ("text/plain; application/json", 415),
            ("text/json", 415),
            ("application/x-www-form-urlencoded", 415),
            ("multipart/form-data; boundary=application/json", 415),
            ("application/octet-stream", 415),
            ("application/jsonx", 415),
            ("", 415),
        ] {
            for method in ["POST", "PUT", "PATCH"] {
                let headers = [("host", "localhost"), ("content-type", kind)];
                assert_eq!(judged(&rule(), method, "/", &headers), expected, "{method} {kind}");
            }
        }
        assert_eq!(judged(&rule(), "POST", "/", &[("host", "localhost")]), 415);
        assert_eq!(judged(&rule(), "DELETE", "/", &[("host", "localhost")]), 200);
    }

    #[test]
    fn a_token_is_asked_of_every_request_and_never_shown() {
        let rule = Rule { token: Token::new(" s3cret:t0ken\n"), ..rule() };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (given, expected) in [
            ("Bearer s3cret:t0ken", 200),
            ("bearer  s3cret:t0ken", 200),
            (basic("anyone:s3cret:t0ken").as_str(), 200),
            (basic(":s3cret:t0ken").as_str(), 200),
            (basic("s3cret:t0ken").as_str(), 401),
            (basic("s3cret:t0ken:").as_str(), 401),
            ("Bearer s3cret:t0ke", 401),
            ("Bearer s3cret:t0ken2", 401),
            ("Bearer S3cret:t0ken", 401),
            ("Bearer", 401),
            ("Basic ????", 401),
            ("Digest s3cret:t0ken", 401),
            ("s3cret:t0ken", 401),
        ] {
            let headers = [("host", "localhost"), ("authorization", given)];
            assert_eq!(judged(&rule, "GET", "/", &headers), expected, "{given}");
        }
        assert_eq!(judged(&rule, "GET", "/", &[("host", "localhost")]), 401);
        assert!(!format!("{rule:?}").contains("s3cret"));
        for none in ["", " \n", "two words", "line\nbreak", "umläut"] {
            assert!(Token::new(none).is_none(), "{none}");
        }
    }
}
