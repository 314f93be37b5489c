//! Lists every version of every subject as JSON, in portions: a server may not have the memory to hold the whole list for each client.

use std::sync::Arc;

use axum::BoxError;
use futures::stream::{self, Stream};

use crate::store::json::SchemaJson;
use crate::store::{RegistryStore, StoreError};

/// Bytes of JSON with which a portion is full; a schema is never cut.
pub(super) const PORTION: usize = 64 << 10;

/// The versions that are asked for, by subject and number, and how far they have been told.
#[derive(Debug)]
pub(super) struct Listing {
    /// What their subjects begin with.
    pub(super) prefix: String,
    /// Whether those that were deleted are among them.
    pub(super) deleted: bool,
    /// How many are left out before the first.
    pub(super) offset: usize,
    /// How many come at most.
    pub(super) limit: usize,
    /// The last one that was told.
    pub(super) last: Option<(String, i32)>,
}

impl Listing {
    /// The next portion, and what comes after it. All portions together are one array of JSON. What is registered or deleted meanwhile
    /// is in it or not.
    pub(super) fn portion(mut self, store: &RegistryStore) -> Result<(Vec<u8>, Option<Self>), StoreError> {
        let inner = store.current()?;
        let (mut told, mut last) = (0, None);
        let mut json = if self.last.is_none() { b"[".to_vec() } else { Vec::new() };
        let versions = inner.state.versions_after(self.last.as_ref(), &self.prefix, self.deleted);
        for (subject, version, id, stored) in versions.skip(self.offset).take(self.limit) {
            if self.last.is_some() || last.is_some() {
                json.push(b',');
            }
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut json, &SchemaJson::listed(subject, version, id, stored));
            told += 1;
            last = Some((subject.to_owned(), version));
            if json.len() >= PORTION {
                break;
            }
        }
        if json.len() < PORTION || last.is_none() {
            json.push(b']');
            return Ok((json, None));
        }
        (self.last, self.offset, self.limit) = (last, 0, self.limit - told);
        Ok((json, Some(self)))
    }
}

/// The portions of `listing`, each made when the client has taken those before, where it may wait for the disk.
pub(super) fn portions(
    listing: Option<Listing>,
    store: Arc<RegistryStore>,
) -> impl Stream<Item = Result<Vec<u8>, BoxError>> + Send + 'static {
    stream::try_unfold((listing, store), |(listing, store)| async move {
        let Some(listing) = listing else { return Ok::<_, BoxError>(None) };
        let of = Arc::clone(&store);
        let (portion, rest) = tokio::task::spawn_blocking(move || listing.portion(&of)).await??;
        Ok(Some((portion, (rest, store))))
    })
}
