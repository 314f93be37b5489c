//! The embedded registry over HTTP: the calls of Confluent's REST API that its clients make, with its answers and error codes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::key::{Guid, SchemaKey};
use crate::store::json::SchemaJson;
use crate::store::list::{Listing, portions};
use crate::store::path::Path;
use crate::store::request::SchemaRequest;
use crate::store::turns::{Served, in_turn};
use crate::store::{RegistryStore, StoreError, VersionName};

/// A refusal in the form of the API, with the status as its code.
pub fn failure(status: StatusCode, message: &str) -> Response {
    Failure::of(status, message).into_response()
}

/// The REST API over `store`. What else a server asks of requests is not this one's to know.
pub fn router(store: Arc<RegistryStore>) -> Router {
    Router::new()
        .route("/", get(|| async { told(&json!({})) }))
        .route("/schemas", get(all_schemas))
        .route("/schemas/types", get(|| async { told(&["AVRO"]) }))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/schema", get(schema_text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_of_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/schemas/guids/{guid}", get(schema_by_guid))
        .route("/schemas/guids/{guid}/ids", get(ids_of_guid))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referrers))
        .route("/compatibility/subjects/{subject}/versions", post(compatible_with_level))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(compatible_with_version))
        .route("/config", get(global_level).put(set_global_level).delete(delete_global_level))
        .route("/config/{subject}", get(subject_level).put(set_subject_level).delete(delete_subject_level))
        .route("/mode", get(mode))
        .route("/mode/{subject}", get(mode))
        .route("/contexts", get(|| async { told(&["."]) }))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, 405, "HTTP 405 Method Not Allowed")
        })
        .with_state(Served::new(store))
}

type Store = State<Arc<RegistryStore>>;
type Parameters = Query<HashMap<String, String>>;
type Answer = Result<Reply, Failure>;

/// JSON with the API's media type. It is written where it may take long, by [`told`].
#[derive(Debug)]
pub(super) struct Reply(Vec<u8>);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        with_media_type(self.0)
    }
}

/// `value` as an answer.
fn told(value: &impl Serialize) -> Answer {
    let failed = |e: serde_json::Error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, e.to_string());
    serde_json::to_vec(value).map(Reply).map_err(failed)
}

/// An error with its code.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// With the status as its code.
    pub(super) fn of(status: StatusCode, message: &str) -> Self {
        let (code, name) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
        Self::new(status, code.into(), format!("HTTP {code} {name}: {message}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = error.code();
        let digits = if code >= 1000 { code / 100 } else { code };
        let status = u16::try_from(digits).ok().and_then(|s| StatusCode::from_u16(s).ok());
        Self::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error_code": self.code, "message": self.message }));
        with_media_type((self.status, body))
    }
}

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

fn with_media_type(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// Runs `work` where it may wait for the disk, and may take long.
pub(super) async fn with<T: Send + 'static>(
    store: Arc<RegistryStore>,
    work: impl FnOnce(&RegistryStore) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let unfinished = |_| Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, "the request was not finished"));
    tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or_else(unfinished)
}

fn flag(parameters: &Parameters, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn id_of(text: &str) -> Result<SchemaKey, Failure> {
    text.parse().map(SchemaKey::Id).map_err(|_| Failure::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))
}

fn guid_of(text: &str) -> Result<SchemaKey, Failure> {
    text.parse::<Guid>().map(SchemaKey::Guid).map_err(|e| Failure::new(StatusCode::NOT_FOUND, 40403, e))
}

/// A number among the parameters; `None` if it is not there, or negative.
fn count(parameters: &Parameters, name: &str) -> Result<Option<usize>, Failure> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| Failure::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))?;
    Ok(usize::try_from(number).ok())
}

async fn all_schemas(State(store): Store, parameters: Parameters) -> Result<Response, Failure> {
    let listing = Listing {
        prefix: parameters.get("subjectPrefix").cloned().unwrap_or_default(),
        deleted: flag(&parameters, "deleted"),
        offset: count(&parameters, "offset")?.unwrap_or(0),
        limit: count(&parameters, "limit")?.unwrap_or(usize::MAX),
        last: None,
    };
    // What fails in the first portion has a status yet; later the answer can only break off.
    let (first, rest) = with(Arc::clone(&store), move |s| Ok(listing.portion(s)?)).await?;
    let all = stream::iter([Ok(first)]).chain(portions(rest, store));
    Ok(with_media_type(Body::from_stream(all)))
}

async fn schema_by_id(State(store): Store, Path(id): Path<String>) -> Answer {
    let key = id_of(&id)?;
    with(store, move |s| told(&SchemaJson::of_key(&s.schema(key)?))).await
}

/// The schema as JSON itself and not as a text in JSON: it is kept as such.
async fn schema_text_by_id(State(store): Store, Path(id): Path<String>) -> Answer {
    let key = id_of(&id)?;
    with(store, move |s| Ok(Reply(s.schema(key)?.schema.into_bytes()))).await
}

async fn schema_by_guid(State(store): Store, Path(guid): Path<String>) -> Answer {
    let key = guid_of(&guid)?;
    with(store, move |s| told(&SchemaJson::of_key(&s.schema(key)?))).await
}

async fn ids_of_guid(State(store): Store, Path(guid): Path<String>) -> Answer {
    let key = guid_of(&guid)?;
    with(store, move |s| told(&json!([{ "context": ".", "id": s.schema(key)?.id }]))).await
}

async fn subjects_of_id(State(store): Store, Path(id): Path<String>, parameters: Parameters) -> Answer {
    let (key, deleted) = (id_of(&id)?, flag(&parameters, "deleted"));
    with(store, move |s| {
        let mut names: Vec<String> =
            s.uses(s.schema(key)?.id, deleted)?.into_iter().map(|(subject, _)| subject).collect();
        names.dedup();
        told(&names)
    })
    .await
}

async fn versions_of_id(State(store): Store, Path(id): Path<String>, parameters: Parameters) -> Answer {
    let (key, deleted) = (id_of(&id)?, flag(&parameters, "deleted"));
    with(store, move |s| {
        let uses = s.uses(s.schema(key)?.id, deleted)?;
        let versions = uses.iter().map(|(subject, version)| json!({ "subject": subject, "version": version }));
        told(&versions.collect::<Value>())
    })
    .await
}

async fn subjects(State(store): Store, parameters: Parameters) -> Answer {
    let deleted = flag(&parameters, "deleted");
    let prefix = parameters.get("subjectPrefix").cloned().unwrap_or_default();
    with(store, move |s| {
        let mut names = s.subjects(deleted)?;
        names.retain(|name| name.starts_with(&prefix));
        told(&names)
    })
    .await
}

pub(super) async fn lookup(
    State(served): State<Served>,
    Path(subject): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Answer {
    let deleted = flag(&parameters, "deleted");
    // Who asks for a subject that is not there, or for nothing that reads, waits for nobody's turn. What is no request is told before
    // that there is no such subject, as by Confluent; what is no schema is told after.
    let name = subject.clone();
    let request = with(Arc::clone(&served.store), move |s| {
        let request = SchemaRequest::read(&body)?;
        s.versions(&name, deleted)?;
        Ok(request)
    })
    .await?;
    in_turn(served, move |s| {
        let schema = request.schema()?;
        told(&SchemaJson::version(&s.lookup(&subject, &schema, deleted)?))
    })
    .await
}

async fn delete_subject(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let permanent = flag(&parameters, "permanent");
    with(store, move |s| told(&s.delete_subject(&subject, permanent)?)).await
}

async fn versions(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let deleted = flag(&parameters, "deleted");
    with(store, move |s| told(&s.versions(&subject, deleted)?)).await
}

async fn register(State(served): State<Served>, Path(subject): Path<String>, body: Bytes) -> Answer {
    in_turn(served, move |s| {
        let schema = SchemaRequest::read(&body)?.schema()?;
        told(&SchemaJson::registered(&s.register(&subject, &schema)?))
    })
    .await
}

async fn version(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let (name, deleted) = (version.parse::<VersionName>()?, flag(&parameters, "deleted"));
    with(store, move |s| told(&SchemaJson::version(&s.registered(&subject, name, deleted)?))).await
}

async fn version_text(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let (name, deleted) = (version.parse::<VersionName>()?, flag(&parameters, "deleted"));
    with(store, move |s| Ok(Reply(s.registered(&subject, name, deleted)?.schema.into_bytes()))).await
}

async fn delete_version(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let (name, permanent) = (version.parse::<VersionName>()?, flag(&parameters, "permanent"));
    with(store, move |s| told(&s.delete_version(&subject, name, permanent)?)).await
}

async fn referrers(State(store): Store, Path((subject, version)): Path<(String, String)>) -> Answer {
    let name = version.parse::<VersionName>()?;
    with(store, move |s| told(&s.referrers(&subject, name)?)).await
}

async fn compatible_with_level(
    State(served): State<Served>,
    Path(subject): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Answer {
    compatible(served, subject, None, &parameters, body).await
}

async fn compatible_with_version(
    State(served): State<Served>,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
    body: Bytes,
) -> Answer {
    compatible(served, subject, Some(version.parse()?), &parameters, body).await
}

async fn compatible(
    served: Served,
    subject: String,
    against: Option<VersionName>,
    parameters: &Parameters,
    body: Bytes,
) -> Answer {
    let verbose = flag(parameters, "verbose");
    in_turn(served, move |s| {
        let details = s.incompatibilities(&subject, &SchemaRequest::read(&body)?.schema()?, against)?;
        let mut answer = json!({ "is_compatible": details.is_empty() });
        if verbose {
            answer["messages"] = details.into();
        }
        told(&answer)
    })
    .await
}

async fn global_level(State(store): Store) -> Answer {
    with(store, |s| told(&json!({ "compatibilityLevel": s.global_level()? }))).await
}

async fn subject_level(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let to_global = flag(&parameters, "defaultToGlobal");
    with(store, move |s| {
        let level = match s.subject_level(&subject)? {
            Some(level) => level,
            None if to_global => s.global_level()?,
            None => return Err(StoreError::NoSubjectLevel(subject).into()),
        };
        told(&json!({ "compatibilityLevel": level }))
    })
    .await
}

async fn set_global_level(State(store): Store, body: Bytes) -> Answer {
    set_level(store, None, &body).await
}

async fn set_subject_level(State(store): Store, Path(subject): Path<String>, body: Bytes) -> Answer {
    set_level(store, Some(subject), &body).await
}

/// Bytes of a request for a level: it is a few words.
const LEVEL_BYTES: usize = 4 << 10;

/// The body of a request for a level; what else Confluent's clients put into it has no meaning here.
#[derive(Deserialize)]
struct LevelRequest {
    compatibility: String,
}

async fn set_level(store: Arc<RegistryStore>, subject: Option<String>, body: &Bytes) -> Answer {
    if body.len() > LEVEL_BYTES {
        let message = format!("HTTP 413 Payload Too Large: a request for a level has at most {LEVEL_BYTES} bytes");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, 413, message));
    }
    let text = serde_json::from_slice::<LevelRequest>(body).map(|request| request.compatibility).unwrap_or_default();
    let level = text.parse::<crate::store::Level>()?;
    with(store, move |s| {
        s.set_level(subject.as_deref(), level)?;
        told(&json!({ "compatibility": level }))
    })
    .await
}

async fn delete_global_level(State(store): Store) -> Answer {
    with(store, |s| told(&json!({ "compatibilityLevel": s.delete_level(None)? }))).await
}

async fn delete_subject_level(State(store): Store, Path(subject): Path<String>) -> Answer {
    with(store, move |s| told(&json!({ "compatibilityLevel": s.delete_level(Some(&subject))? }))).await
}

async fn mode() -> Answer {
    told(&json!({ "mode": "READWRITE" }))
}
