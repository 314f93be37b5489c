//! The guard before an application: it checks request heads, reads bodies, and enforces time limits.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::Rule;
use crate::rule::Refused;

/// `app` behind `rule`.
pub(crate) fn guarded(app: Router, rule: &Arc<Rule>) -> Router {
    // Bodies are measured here: the limit of the library would be a second one, with words of its own.
    let app = app.layer(DefaultBodyLimit::disable());
    app.layer(middleware::from_fn_with_state(Arc::clone(rule), guard))
}

async fn guard(State(rule): State<Arc<Rule>>, request: Request, next: Next) -> Response {
    let answer = match admitted(&rule, request).await {
        Ok(request) => timeout(rule.answer, next.run(request)).await.map_err(|_| {
            Refused(StatusCode::SERVICE_UNAVAILABLE, "the answer takes too long: ask again later, or for less")
        }),
        Err(refused) => Err(refused),
    };
    answer.unwrap_or_else(|Refused(status, message)| {
        let mut refused = (rule.refuse)(status, message);
        // Who is refused goes: asking on and on, and reading nothing, it would keep its place from those who are served.
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if status == StatusCode::UNAUTHORIZED {
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        refused
    })
}

/// The request with its whole body, if the rule lets it in.
async fn admitted(rule: &Rule, request: Request) -> Result<Request, Refused> {
    let (head, body) = request.into_parts();
    rule.judge(&head)?;
    let too_large = Refused(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is larger than this server takes");
    // Who says how much will come is not waited for.
    if body.size_hint().lower() > rule.body_bytes as u64 {
        return Err(too_large);
    }
    match timeout(rule.body, Limited::new(body, rule.body_bytes).collect()).await {
        Ok(Ok(whole)) => Ok(Request::from_parts(head, Body::from(whole.to_bytes()))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err(Refused(StatusCode::BAD_REQUEST, "the request's body broke off")),
        Err(_) => Err(Refused(StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time")),
    }
}
