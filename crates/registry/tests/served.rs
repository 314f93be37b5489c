//! The embedded registry as a server: the suite that each server of the binary runs.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use sluicebox_registry::RegistryStore;
use sluicebox_registry::store::{failure, router};
use sluicebox_serve::conformance::{Tried, all};

#[tokio::test]
async fn the_embedded_registry() {
    let dir = tempfile::tempdir().unwrap();
    let app = router(Arc::new(RegistryStore::open(dir.path()).unwrap()));
    let post = ("/subjects/s/versions", r#"{"schema":"\"string\""}"#);
    all(&Tried { app, refuse: failure, get: "/subjects", post }).await;
}
