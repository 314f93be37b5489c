//! The embedded registry's REST API, asked anything.
//!
//! Input: requests separated by zero bytes, each a line with method and path, then the body.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use sluicebox_registry::RegistryStore;
use sluicebox_registry::store::router;
use tower::ServiceExt;

use crate::input::{folder, line, wait};

pub(crate) fn run(input: &[u8]) {
    let dir = folder();
    let router = router(Arc::new(RegistryStore::open(dir.path()).unwrap()));
    for mut request in input.split(|b| *b == 0).take(16) {
        let head = line(&mut request);
        let (method, path) = head.split_once(' ').unwrap_or(("GET", &head));
        let Ok(request) = Request::builder().method(method).uri(path).body(Body::from(request.to_vec())) else {
            continue;
        };
        let answer = wait(router.clone().oneshot(request)).unwrap();
        // A request that panics is answered so, too.
        assert_ne!(answer.status().as_u16(), 500, "{head}");
    }
    // What was taken in can be read again.
    drop(router);
    RegistryStore::open(dir.path()).unwrap();
}
