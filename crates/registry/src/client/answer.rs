//! Classifies a registry's answer: a schema, no such schema, a refusal, or a transient error.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use sluicebox_core::shown::{cut, cut_to};

use crate::client::connect::innermost;
use crate::client::options::CA_FILE;
use crate::registry::{Reference, RegistryError};

/// No answer is longer: what is, is no schema, and must not fill memory.
pub(super) const LONGEST_ANSWER: usize = 16 << 20;
/// Characters that are told of a subject that the registry names. None is longer that is made of a topic.
pub const LONGEST_NAME: usize = 300;
/// Characters that are told of the type of a schema, which is one word.
const LONGEST_TYPE: usize = 60;

/// What the registry says of a schema. `id` and `version` are there only when a version was asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) schema: String,
    /// Left out for AVRO.
    pub(super) schema_type: Option<String>,
    #[serde(default)]
    pub(super) references: Option<Vec<Reference>>,
    pub(super) version: Option<i32>,
    pub(super) id: Option<i32>,
}

impl Answer {
    /// How long its texts are.
    pub(super) fn bytes(&self) -> usize {
        let references = self.references.iter().flatten();
        self.schema.len() + references.map(Reference::bytes).sum::<usize>()
    }
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error_code: i64,
    #[serde(default)]
    message: String,
}

/// What became of one request.
pub(super) enum Outcome<T> {
    Answered(T),
    Final(RegistryError),
    /// Worth trying again, no sooner than after the pause that the registry asked for.
    Again {
        why: String,
        pause: Option<Duration>,
    },
}

/// Trouble on the way to `registry`, which may pass.
pub(super) fn again<T>(registry: &str, error: reqwest::Error) -> Outcome<T> {
    let error = error.without_url();
    // A certificate says what it likes.
    let reason = cut(&innermost(&error));
    let help = match reason.contains("UnknownIssuer") {
        true => format!(": install ca-certificates, or name who signed it in '{CA_FILE}'"),
        false => String::new(),
    };
    Outcome::Again { why: format!("{registry}: {reason}{help}"), pause: None }
}

/// The body of an answer; `None` when it is longer than [`LONGEST_ANSWER`].
pub(super) async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// The pause that the registry asks for, when it gives it in seconds.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// That a registry over TLS sends on to where there is none, which was not followed.
pub(super) fn sent_down(registry: &str, response: &Response) -> Option<RegistryError> {
    let to = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection())?;
    let to = reqwest::Url::parse(to.to_str().ok()?).ok().filter(|to| to.scheme() == "http")?;
    let port = to.port().map(|port| format!(":{port}")).unwrap_or_default();
    let to = cut_to(&format!("http://{}{port}", to.host_str().unwrap_or_default()), LONGEST_NAME);
    Some(RegistryError::SentDown { registry: registry.to_owned(), to })
}

/// What is meant by an answer that is none.
pub(super) fn refusal(what: &str, registry: &str, status: StatusCode, body: &[u8]) -> RegistryError {
    let (what, registry, code) = (what.to_owned(), registry.to_owned(), status.as_u16());
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return RegistryError::Denied { what, registry, status: code };
    }
    match serde_json::from_slice::<Refusal>(body) {
        // A bare 404 is a wrong URL, not an unknown schema: it must stop the run, not cost every event.
        Ok(refusal) if status == StatusCode::NOT_FOUND && refusal.error_code != 404 => {
            RegistryError::NotFound { what, registry }
        }
        Ok(refusal) => {
            let message = cut(&refusal.message);
            RegistryError::Refused { what, registry, status: code, code: refusal.error_code, message }
        }
        Err(_) => RegistryError::Refused {
            what,
            registry,
            status: code,
            code: i64::from(code),
            message: "the answer is not a schema registry's; check 'schema.registry.url' or SCHEMA_REGISTRY_URL, and the path in \
                      it: Apicurio serves a registry at /apis/ccompat/v7"
                .to_owned(),
        },
    }
}

/// `answer`, if it is an Avro schema.
pub(super) fn avro_only(what: &str, answer: Answer) -> Result<Answer, RegistryError> {
    match answer.schema_type.as_deref() {
        None | Some("AVRO") => Ok(answer),
        Some(other) => Err(RegistryError::NotAvro { what: what.to_owned(), schema_type: cut_to(other, LONGEST_TYPE) }),
    }
}
