//! Requests that keep a core busy take turns. Other requests do not wait for them.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use crate::store::RegistryStore;
use crate::store::rest::{Failure, with};

/// Schemas that are read at the same time: each may take a second of a core, and a hundred times the memory of its text.
pub(super) const JUDGES: usize = 4;

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) store: Arc<RegistryStore>,
    pub(super) judges: Arc<Semaphore>,
}

impl Served {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self { store, judges: Arc::new(Semaphore::new(JUDGES)) }
    }
}

impl FromRef<Served> for Arc<RegistryStore> {
    fn from_ref(served: &Served) -> Self {
        Self::clone(&served.store)
    }
}

/// Runs `work`, which reads a schema that was sent, when it is its turn.
pub(super) async fn in_turn<T: Send + 'static>(
    served: Served,
    work: impl FnOnce(&RegistryStore) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    // The turn lasts until the work is done, whether or not the client still waits for it. Nobody closes the semaphore.
    let turn = served.judges.acquire_owned().await.ok();
    with(served.store, move |store| {
        let _turn = turn;
        work(store)
    })
    .await
}
