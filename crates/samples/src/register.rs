//! Registers the schema of the events before they are produced.

use reqwest::redirect::{Action, Attempt, Policy};
use serde::{Deserialize, Serialize};

use crate::error::{ProduceError, Result};

#[derive(Serialize)]
struct Request<'a> {
    schema: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    id: u32,
}

/// Registers `schema` under `<topic>-value` at the registry whose Confluent REST API is at `url`, and returns the id it
/// has there. A schema that is registered already keeps its id.
///
/// A user and password in the URL are sent as basic authentication.
///
/// # Errors
/// When the registry cannot be reached, or refuses the schema.
pub async fn register(url: &str, topic: &str, schema: &str) -> Result<u32> {
    let subject = format!("{topic}-value");
    let unreachable = |source: reqwest::Error| ProduceError::RegistryUnreachable {
        url: without_password(url),
        subject: subject.clone(),
        source: source.without_url(),
    };
    let client = reqwest::Client::builder().redirect(Policy::custom(followed)).build().map_err(unreachable)?;
    let answer = client
        .post(format!("{}/subjects/{subject}/versions", url.trim_end_matches('/')))
        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
        .json(&Request { schema })
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    let id = if status.is_success() { serde_json::from_str::<Answer>(&text).ok() } else { None };
    match id {
        Some(Answer { id }) => Ok(id),
        None => Err(ProduceError::RegistryRefused {
            url: without_password(url),
            subject,
            status: status.as_u16(),
            answer: text.chars().take(500).collect(),
        }),
    }
}

/// Follows a redirect, but from https to http, where the password would be read by anybody on the way: then the redirect is the answer.
fn followed(attempt: Attempt<'_>) -> Action {
    let goes_down = attempt.url().scheme() == "http" && attempt.previous().iter().any(|url| url.scheme() == "https");
    if goes_down { attempt.stop() } else { Policy::default().redirect(attempt) }
}

/// `url` without what stands between `//` and `@`.
fn without_password(url: &str) -> String {
    match (url.find("//"), url.rfind('@')) {
        (Some(start), Some(end)) if start + 2 <= end => format!("{}{}", &url[..start + 2], &url[end + 1..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("http://me:secret@host:8081/x"), "http://host:8081/x");
        assert_eq!(without_password("http://host:8081"), "http://host:8081");
    }
}
