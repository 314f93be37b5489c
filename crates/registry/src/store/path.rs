//! Parses the path of a request.

use axum::extract::FromRequestParts;
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::store::rest::Failure;

/// The names in a path. One that is no text is refused as anything else is: in the form of the API.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let named = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let refused = |rejection: PathRejection| Failure::of(rejection.status(), &rejection.body_text());
        named.map(|axum::extract::Path(names)| Self(names)).map_err(refused)
    }
}
