//! A registry over HTTP, by Confluent's REST API.
//!
//! The client waits for a registry that is down: it retries transport errors, 429 and 5xx on every URL in turn, with growing pauses, and
//! reports once that it waits. Any other refusal is final at once. Schemas are immutable, so the client requests each one once. It caches
//! an unknown id for a few seconds only.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use reqwest::{StatusCode, header};
use serde::de::DeserializeOwned;
use sluicebox_core::shown::{cut, cut_to};
use sluicebox_core::{Clock, waiting};

use crate::client::answer::{
    Answer, LONGEST_ANSWER, LONGEST_NAME, Outcome, again, avro_only, body, refusal, retry_after, sent_down,
};
use crate::client::connect::client;
use crate::client::flight::Flights;
use crate::client::{Auth, HttpOptions};
use crate::key::{Guid, SchemaKey};
use crate::references::ReferenceWalk;
use crate::registry::{PinnedSchema, Registry, RegistryError, SchemaText};

/// A registry's Retry-After is obeyed up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Unknown keys remembered at most; beyond it all are forgotten, which costs requests and nothing else.
const MOST_UNKNOWN: usize = 10_000;

/// A registry over HTTP. One client serves any number of tasks.
pub struct HttpRegistry {
    options: HttpOptions,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    /// The URL that answered last, tried first.
    preferred: AtomicUsize,
    /// Whether the user has been told that the registry does not answer.
    told_down: AtomicBool,
    schemas: Flights<SchemaKey, Arc<SchemaText>>,
    versions: Flights<(String, i32), Answer>,
    /// Keys that the registry does not know, with the time until which that is believed.
    unknown: Mutex<HashMap<SchemaKey, Duration>>,
}

impl fmt::Debug for HttpRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRegistry").field("options", &self.options).finish_non_exhaustive()
    }
}

impl HttpRegistry {
    /// A client for the registry that `options` name. Sends nothing yet.
    ///
    /// # Errors
    /// When a certificate or key file cannot be read, or holds something else.
    pub fn new(options: HttpOptions, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let client = client(&options)?;
        Ok(Self {
            options,
            client,
            clock,
            preferred: AtomicUsize::new(0),
            told_down: AtomicBool::new(false),
            schemas: Flights::new(|text: &Arc<SchemaText>| text.bytes()),
            versions: Flights::new(Answer::bytes),
            unknown: Mutex::new(HashMap::new()),
        })
    }

    /// Asks until there is an answer.
    async fn ask<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, RegistryError> {
        self.call(what, path, None).await
    }

    /// Gets `path`, or posts `body` to it, until there is an answer: every URL in turn, then a pause, and again.
    async fn call<T: DeserializeOwned>(&self, what: &str, path: &str, body: Option<&str>) -> Result<T, RegistryError> {
        let started = self.clock.monotonic();
        let mut backoff = self.options.first_backoff;
        let mut attempts = 0;
        loop {
            let mut pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
            let mut last = String::new();
            for turn in 0..self.options.urls.len() {
                let index = (self.preferred.load(Ordering::Relaxed) + turn) % self.options.urls.len();
                attempts += 1;
                let waited = self.clock.monotonic().saturating_sub(started);
                let outcome = self.within(waited, index, what, (path, body)).await;
                self.note(index, path, &outcome, self.clock.monotonic().saturating_sub(started).saturating_sub(waited));
                match outcome {
                    Outcome::Answered(answer) => {
                        self.answered(index);
                        return Ok(answer);
                    }
                    Outcome::Final(error) => {
                        self.answered(index);
                        return Err(error);
                    }
                    Outcome::Again { why, pause: wanted } => {
                        pause = pause.max(wanted.unwrap_or_default().min(LONGEST_RETRY_AFTER));
                        last = why;
                    }
                }
            }
            let waited = self.clock.monotonic().saturating_sub(started);
            if let Some(limit) = self.options.give_up_after {
                if waited >= limit {
                    return Err(RegistryError::Unavailable { what: what.to_owned(), attempts, waited, last });
                }
                pause = pause.min(limit.saturating_sub(waited));
            }
            if !self.told_down.swap(true, Ordering::Relaxed) {
                tracing::warn!("waiting for the schema registry {} to answer for {what}: {last}", self.options.names());
                let url = self.options.urls[self.preferred.load(Ordering::Relaxed)].name();
                let why = last.trim_start_matches(url).trim_start_matches(": ");
                waiting::begin(&self.what(), why, waited);
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(self.options.max_backoff);
        }
    }

    /// As [`HttpRegistry::request`], given up when it has been waited for long enough; it has been for `waited` so far.
    async fn within<T: DeserializeOwned>(
        &self,
        waited: Duration,
        index: usize,
        what: &str,
        (path, body): (&str, Option<&str>),
    ) -> Outcome<T> {
        let request = self.request(index, what, path, body);
        let Some(limit) = self.options.give_up_after else { return request.await };
        let why = || format!("{}: no answer", self.options.urls[index]);
        tokio::time::timeout(limit.saturating_sub(waited), request)
            .await
            .unwrap_or_else(|_| Outcome::Again { why: why(), pause: None })
    }

    /// Tells the log of a request. Neither what the registry is called nor the path has credentials in it.
    fn note<T>(&self, index: usize, path: &str, outcome: &Outcome<T>, took: Duration) {
        let (url, took) = (&self.options.urls[index], took.as_millis());
        match outcome {
            Outcome::Answered(_) => tracing::debug!("GET {url}{path}: answered in {took} ms"),
            Outcome::Final(error) => tracing::debug!("GET {url}{path}: refused in {took} ms: {error}"),
            Outcome::Again { why, .. } => tracing::debug!("GET {url}{path}: no answer in {took} ms: {why}"),
        }
    }

    fn what(&self) -> String {
        format!("schema registry {}", self.options.names())
    }

    fn answered(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
        if self.told_down.swap(false, Ordering::Relaxed) {
            tracing::info!("the schema registry {} answers again", self.options.urls[index]);
            waiting::end(&self.what());
        }
    }

    async fn request<T: DeserializeOwned>(
        &self,
        index: usize,
        what: &str,
        path: &str,
        sent: Option<&str>,
    ) -> Outcome<T> {
        let registry = self.options.urls[index].name();
        let url = self.options.urls[index].at(path);
        let request = match sent {
            None => self.client.get(url),
            Some(sent) => self.client.post(url).header(header::CONTENT_TYPE, CONTENT).body(sent.to_owned()),
        };
        let request = request.header(header::ACCEPT, ACCEPT);
        let request = match &self.options.auths[index] {
            Auth::None => request,
            Auth::Basic { user, password } => request.basic_auth(user.reveal(), Some(password.reveal())),
            Auth::Bearer(token) => request.bearer_auth(token.reveal()),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) => return again(registry, e),
        };
        let status = response.status();
        if let Some(error) = sent_down(registry, &response) {
            return Outcome::Final(error);
        }
        let retry_after = retry_after(&response);
        let malformed = |problem: String| {
            let (what, registry, problem) = (what.to_owned(), registry.to_owned(), cut(&problem));
            Outcome::Final(RegistryError::Malformed { what, registry, problem })
        };
        let body = match body(response).await {
            Ok(Some(body)) => body,
            Ok(None) if status.is_success() => {
                return malformed(format!("it is longer than {} MiB", LONGEST_ANSWER >> 20));
            }
            // What it has to say beside its status does not matter.
            Ok(None) => Vec::new(),
            Err(e) => return again(registry, e),
        };
        if status.is_success() {
            return match serde_json::from_slice(&body) {
                Ok(answer) => Outcome::Answered(answer),
                Err(e) => malformed(e.to_string()),
            };
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
        {
            return Outcome::Again { why: format!("{registry} answered HTTP {status}"), pause: retry_after };
        }
        Outcome::Final(refusal(what, registry, status, &body))
    }

    /// The schema of `answer` with its references fetched.
    async fn complete(&self, what: &str, answer: Answer) -> Result<SchemaText, RegistryError> {
        let answer = avro_only(what, answer)?;
        let mut walk = ReferenceWalk::new(answer.references.unwrap_or_default());
        let circular = |problem| RegistryError::References { what: what.to_owned(), problem };
        while let Some(reference) = walk.next().map_err(circular)? {
            let found = self.subject_version(&reference.subject, reference.version).await?;
            let subject = cut_to(&reference.subject, LONGEST_NAME);
            let found = avro_only(&format!("subject {subject} version {}", reference.version), found)?;
            walk.supply(reference, found.schema, found.references.unwrap_or_default());
        }
        Ok(SchemaText { schema: answer.schema, references: walk.finish() })
    }

    async fn subject_version(&self, subject: &str, version: i32) -> Result<Answer, RegistryError> {
        let what = format!("version {version} of subject {}", cut_to(subject, LONGEST_NAME));
        let path = format!("/subjects/{}/versions/{version}", encoded(subject));
        self.versions.get(&(subject.to_owned(), version), || self.ask(&what, &path)).await
    }

    /// The answer for a version of `subject`, which is called as it was asked for: a registry has other names for it too, one with its
    /// context or an alias's. If a version was `asked` for, it is that one.
    async fn pinned(
        &self,
        what: &str,
        subject: &str,
        asked: Option<i32>,
        answer: Answer,
    ) -> Result<PinnedSchema, RegistryError> {
        let malformed = |problem: String| {
            let registry = self.options.names();
            RegistryError::Malformed { what: what.to_owned(), registry, problem }
        };
        let version = answer.version.ok_or_else(|| malformed("field `version` is missing".to_owned()))?;
        if let Some(asked) = asked.filter(|asked| *asked != version) {
            return Err(malformed(format!("it is version {version}, and not {asked}")));
        }
        let id = answer.id.ok_or_else(|| malformed("field `id` is missing".to_owned()))?;
        Ok(PinnedSchema { subject: subject.to_owned(), version, id, text: self.complete(what, answer).await? })
    }

    async fn by_key_at(&self, key: SchemaKey, path: String) -> Result<Arc<SchemaText>, RegistryError> {
        let what = format!("schema {key}");
        if self.still_unknown(key) {
            return Err(RegistryError::NotFound { what, registry: self.options.names() });
        }
        let answer = self
            .schemas
            .get(&key, || async {
                let answer = self.answer_for(key, &what, &path).await?;
                Ok(Arc::new(self.complete(&what, answer).await?))
            })
            .await;
        if matches!(answer, Err(RegistryError::NotFound { .. })) {
            self.remember_unknown(key);
        }
        answer
    }

    /// What the registry says of `key`. One that has no GUIDs answers as a URL does that leads to no registry: it is one if it knows of an
    /// id, and then the GUID is unknown. Else whoever writes a GUID into an event could stop every run that reads it.
    async fn answer_for(&self, key: SchemaKey, what: &str, path: &str) -> Result<Answer, RegistryError> {
        let answer: Result<Answer, RegistryError> = self.ask(what, path).await;
        if !matches!((key, &answer), (SchemaKey::Guid(_), Err(RegistryError::Refused { status: 404, .. }))) {
            return answer;
        }
        // No schema has it.
        match self.ask::<Answer>("schema id 0", "/schemas/ids/0").await {
            Ok(_) | Err(RegistryError::NotFound { .. }) => {
                Err(RegistryError::NotFound { what: what.to_owned(), registry: self.options.names() })
            }
            Err(error) => Err(error),
        }
    }

    fn still_unknown(&self, key: SchemaKey) -> bool {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        match unknown.get(&key) {
            Some(until) if self.clock.monotonic() < *until => true,
            Some(_) => {
                unknown.remove(&key);
                false
            }
            None => false,
        }
    }

    fn remember_unknown(&self, key: SchemaKey) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= MOST_UNKNOWN {
            unknown.clear();
        }
        unknown.entry(key).or_insert(self.clock.monotonic() + self.options.unknown_for);
    }
}

#[async_trait]
impl Registry for HttpRegistry {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        self.by_key_at(SchemaKey::Id(id), format!("/schemas/ids/{id}")).await
    }

    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        self.by_key_at(SchemaKey::Guid(guid), format!("/schemas/guids/{guid}")).await
    }

    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError> {
        let what = format!("subject {subject}");
        let answer = self.ask(&what, &format!("/subjects/{}/versions/latest", encoded(subject))).await?;
        self.pinned(&what, subject, None, answer).await
    }

    async fn version(&self, subject: &str, version: i32) -> Result<PinnedSchema, RegistryError> {
        let answer = self.subject_version(subject, version).await?;
        self.pinned(&format!("version {version} of subject {subject}"), subject, Some(version), answer).await
    }

    fn has_answer(&self, key: SchemaKey) -> bool {
        self.still_unknown(key)
    }

    async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        self.ask("its subjects", "/subjects").await
    }

    async fn register_schema(&self, subject: &str, schema: &str) -> Result<i32, RegistryError> {
        let what = format!("a schema for subject {subject}");
        let body = serde_json::json!({ "schema": schema }).to_string();
        let answer = self.call(&what, &format!("/subjects/{}/versions", encoded(subject)), Some(&body)).await;
        answer.map(|Registered { id }| id)
    }
}

/// What the registry says of a schema that it has taken, or had.
#[derive(serde::Deserialize)]
struct Registered {
    id: i32,
}

const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

fn encoded(subject: &str) -> String {
    percent_encoding::utf8_percent_encode(subject, percent_encoding::NON_ALPHANUMERIC).to_string()
}
