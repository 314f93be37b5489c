//! The embedded registry over HTTP: the calls of Confluent's REST API that its clients make, with its answers and error
//! codes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::framing::{Guid, SchemaKey};
use crate::registry::Reference;
use crate::store::turns::{Served, in_turn};
use crate::store::{NewSchema, Registered, RegistryStore, SchemaOfKey, StoreError, VersionName};

/// A refusal in the form of the API, with the status as its code.
pub fn failure(status: StatusCode, message: &str) -> Response {
    let name = status.canonical_reason().unwrap_or_default();
    Failure::new(status, status.as_u16().into(), format!("HTTP {} {name}: {message}", status.as_u16())).into_response()
}

/// The REST API over `store`. What else a server asks of requests is not this one's to know.
pub fn router(store: Arc<RegistryStore>) -> Router {
    Router::new()
        .route("/", get(|| async { Reply(json!({})) }))
        .route("/schemas", get(all_schemas))
        .route("/schemas/types", get(|| async { Reply(json!(["AVRO"])) }))
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
        .route("/contexts", get(|| async { Reply(json!(["."])) }))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, 405, "HTTP 405 Method Not Allowed")
        })
        .with_state(Served::new(store))
}

type Store = State<Arc<RegistryStore>>;
type Parameters = Query<HashMap<String, String>>;
type Answer = Result<Reply, Failure>;

/// JSON with the API's media type.
struct Reply(Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        with_media_type(Json(self.0))
    }
}

/// An error with its code.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
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

/// Runs `work` where it may wait for the disk.
pub(super) async fn with<T: Send + 'static>(
    store: Arc<RegistryStore>,
    work: impl FnOnce(&RegistryStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(move || work(&store)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, "the request was not finished")),
    }
}

fn flag(parameters: &Parameters, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The body of a request about a schema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaRequest {
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
}

fn schema_request(body: &Bytes) -> Result<NewSchema, Failure> {
    let request: SchemaRequest = serde_json::from_slice(body)
        .map_err(|e| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, 42201, format!("Invalid schema request: {e}")))?;
    match request.schema_type {
        Some(other) if !other.eq_ignore_ascii_case("AVRO") => Err(StoreError::InvalidType(other).into()),
        _ => Ok(NewSchema { schema: request.schema, references: request.references.unwrap_or_default() }),
    }
}

fn with_references(mut answer: Value, references: &[Reference]) -> Value {
    if !references.is_empty() {
        answer["references"] = json!(references);
    }
    answer
}

fn registered_json(found: &Registered) -> Value {
    let answer = json!({
        "subject": found.subject, "version": found.version, "id": found.id, "guid": found.guid, "schema": found.schema,
    });
    with_references(answer, &found.references)
}

fn schema_json(found: &SchemaOfKey) -> Value {
    with_references(json!({ "schema": found.schema, "guid": found.guid }), &found.references)
}

/// The schema as JSON itself and not as a text in JSON.
fn raw_json(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap_or(Value::Null)
}

fn id_of(text: &str) -> Result<SchemaKey, Failure> {
    text.parse().map(SchemaKey::Id).map_err(|_| Failure::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))
}

fn guid_of(text: &str) -> Result<SchemaKey, Failure> {
    text.parse::<Guid>().map(SchemaKey::Guid).map_err(|e| Failure::new(StatusCode::NOT_FOUND, 40403, e))
}

async fn all_schemas(State(store): Store, parameters: Parameters) -> Answer {
    let deleted = flag(&parameters, "deleted");
    let prefix = parameters.get("subjectPrefix").cloned().unwrap_or_default();
    let all = with(store, move |s| s.all(deleted)).await?;
    let chosen: Vec<Value> = all.iter().filter(|r| r.subject.starts_with(&prefix)).map(registered_json).collect();
    Ok(Reply(json!(chosen)))
}

async fn schema_by_id(State(store): Store, Path(id): Path<String>) -> Answer {
    let key = id_of(&id)?;
    Ok(Reply(schema_json(&with(store, move |s| s.schema(key)).await?)))
}

async fn schema_text_by_id(State(store): Store, Path(id): Path<String>) -> Answer {
    let key = id_of(&id)?;
    Ok(Reply(raw_json(&with(store, move |s| s.schema(key)).await?.schema)))
}

async fn schema_by_guid(State(store): Store, Path(guid): Path<String>) -> Answer {
    let key = guid_of(&guid)?;
    Ok(Reply(schema_json(&with(store, move |s| s.schema(key)).await?)))
}

async fn ids_of_guid(State(store): Store, Path(guid): Path<String>) -> Answer {
    let key = guid_of(&guid)?;
    let found = with(store, move |s| s.schema(key)).await?;
    Ok(Reply(json!([{ "context": ".", "id": found.id }])))
}

async fn uses(store: Arc<RegistryStore>, id: &str, parameters: &Parameters) -> Result<Vec<(String, i32)>, Failure> {
    let key = id_of(id)?;
    let deleted = flag(parameters, "deleted");
    with(store, move |s| s.uses(s.schema(key)?.id, deleted)).await
}

async fn subjects_of_id(State(store): Store, Path(id): Path<String>, parameters: Parameters) -> Answer {
    let mut names: Vec<String> = uses(store, &id, &parameters).await?.into_iter().map(|(subject, _)| subject).collect();
    names.dedup();
    Ok(Reply(json!(names)))
}

async fn versions_of_id(State(store): Store, Path(id): Path<String>, parameters: Parameters) -> Answer {
    let uses = uses(store, &id, &parameters).await?;
    let versions = uses.iter().map(|(subject, version)| json!({ "subject": subject, "version": version }));
    Ok(Reply(versions.collect()))
}

async fn subjects(State(store): Store, parameters: Parameters) -> Answer {
    let deleted = flag(&parameters, "deleted");
    let prefix = parameters.get("subjectPrefix").cloned().unwrap_or_default();
    let mut names = with(store, move |s| s.subjects(deleted)).await?;
    names.retain(|name| name.starts_with(&prefix));
    Ok(Reply(json!(names)))
}

async fn lookup(State(store): Store, Path(subject): Path<String>, parameters: Parameters, body: Bytes) -> Answer {
    let (schema, deleted) = (schema_request(&body)?, flag(&parameters, "deleted"));
    Ok(Reply(registered_json(&with(store, move |s| s.lookup(&subject, &schema, deleted)).await?)))
}

async fn delete_subject(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let permanent = flag(&parameters, "permanent");
    Ok(Reply(json!(with(store, move |s| s.delete_subject(&subject, permanent)).await?)))
}

async fn versions(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let deleted = flag(&parameters, "deleted");
    Ok(Reply(json!(with(store, move |s| s.versions(&subject, deleted)).await?)))
}

async fn register(State(served): State<Served>, Path(subject): Path<String>, body: Bytes) -> Answer {
    let schema = schema_request(&body)?;
    let found = in_turn(served, move |s| s.register(&subject, &schema)).await?;
    let answer = json!({ "id": found.id, "version": found.version, "guid": found.guid, "schema": found.schema });
    Ok(Reply(with_references(answer, &found.references)))
}

async fn one_version(
    store: Arc<RegistryStore>,
    (subject, version): (String, String),
    parameters: &Parameters,
) -> Result<Registered, Failure> {
    let (name, deleted) = (version.parse::<VersionName>()?, flag(parameters, "deleted"));
    with(store, move |s| s.registered(&subject, name, deleted)).await
}

async fn version(State(store): Store, Path(path): Path<(String, String)>, parameters: Parameters) -> Answer {
    Ok(Reply(registered_json(&one_version(store, path, &parameters).await?)))
}

async fn version_text(State(store): Store, Path(path): Path<(String, String)>, parameters: Parameters) -> Answer {
    Ok(Reply(raw_json(&one_version(store, path, &parameters).await?.schema)))
}

async fn delete_version(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let (name, permanent) = (version.parse::<VersionName>()?, flag(&parameters, "permanent"));
    Ok(Reply(json!(with(store, move |s| s.delete_version(&subject, name, permanent)).await?)))
}

async fn referrers(State(store): Store, Path((subject, version)): Path<(String, String)>) -> Answer {
    let name = version.parse::<VersionName>()?;
    Ok(Reply(json!(with(store, move |s| s.referrers(&subject, name)).await?)))
}

async fn compatible_with_level(
    State(served): State<Served>,
    Path(subject): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Answer {
    compatible(served, subject, None, &parameters, &body).await
}

async fn compatible_with_version(
    State(served): State<Served>,
    Path((subject, version)): Path<(String, String)>,
    parameters: Parameters,
    body: Bytes,
) -> Answer {
    compatible(served, subject, Some(version.parse()?), &parameters, &body).await
}

async fn compatible(
    served: Served,
    subject: String,
    against: Option<VersionName>,
    parameters: &Parameters,
    body: &Bytes,
) -> Answer {
    let schema = schema_request(body)?;
    let details = in_turn(served, move |s| s.incompatibilities(&subject, &schema, against)).await?;
    let mut answer = json!({ "is_compatible": details.is_empty() });
    if flag(parameters, "verbose") {
        answer["messages"] = json!(details);
    }
    Ok(Reply(answer))
}

async fn global_level(State(store): Store) -> Answer {
    let level = with(store, RegistryStore::global_level).await?;
    Ok(Reply(json!({ "compatibilityLevel": level })))
}

async fn subject_level(State(store): Store, Path(subject): Path<String>, parameters: Parameters) -> Answer {
    let to_global = flag(&parameters, "defaultToGlobal");
    let level = with(store, move |s| match s.subject_level(&subject)? {
        Some(level) => Ok(level),
        None if to_global => s.global_level(),
        None => Err(StoreError::NoSubjectLevel(subject)),
    });
    Ok(Reply(json!({ "compatibilityLevel": level.await? })))
}

async fn set_global_level(State(store): Store, body: Bytes) -> Answer {
    set_level(store, None, &body).await
}

async fn set_subject_level(State(store): Store, Path(subject): Path<String>, body: Bytes) -> Answer {
    set_level(store, Some(subject), &body).await
}

async fn set_level(store: Arc<RegistryStore>, subject: Option<String>, body: &Bytes) -> Answer {
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = request["compatibility"].as_str().unwrap_or_default();
    let level = text.parse::<crate::store::Level>()?;
    with(store, move |s| s.set_level(subject.as_deref(), level)).await?;
    Ok(Reply(json!({ "compatibility": level })))
}

async fn delete_global_level(State(store): Store) -> Answer {
    let level = with(store, |s| s.delete_level(None)).await?;
    Ok(Reply(json!({ "compatibilityLevel": level })))
}

async fn delete_subject_level(State(store): Store, Path(subject): Path<String>) -> Answer {
    let level = with(store, move |s| s.delete_level(Some(&subject))).await?;
    Ok(Reply(json!({ "compatibilityLevel": level })))
}

async fn mode() -> Reply {
    Reply(json!({ "mode": "READWRITE" }))
}
