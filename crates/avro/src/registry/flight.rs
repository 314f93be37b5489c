//! One question under way per key: later askers wait for the first one's answer, and answers are kept for ever.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Immutable answers by key. If an asker is dropped while it asks, or fails, the next one waiting asks again.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    cells: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self { cells: Mutex::new(HashMap::new()) }
    }

    /// The answer for `key`: the one that is there, the one under way, or that of `ask`.
    pub(crate) async fn get<E, F: Future<Output = Result<V, E>>>(
        &self,
        key: &K,
        ask: impl FnOnce() -> F,
    ) -> Result<V, E> {
        let cell =
            Arc::clone(self.cells.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
        let answer = cell.get_or_try_init(ask).await.cloned();
        if answer.is_err() {
            self.forget_unanswered(key, &cell);
        }
        answer
    }

    /// Keys that the registry does not know must not fill memory: an empty cell goes when its last asker leaves.
    fn forget_unanswered(&self, key: &K, cell: &Arc<OnceCell<V>>) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if !cell.initialized() && Arc::strong_count(cell) == 2 && cells.get(key).is_some_and(|c| Arc::ptr_eq(c, cell)) {
            cells.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn askers_of_one_key_share_one_question() {
        let flights = Flights::<i32, i32>::new();
        let asked = AtomicU32::new(0);
        let (open, gate) = tokio::sync::watch::channel(false);
        let ask = || {
            let mut gate = gate.clone();
            let asked = &asked;
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                gate.wait_for(|open| *open).await.unwrap();
                Ok::<_, ()>(42)
            }
        };
        let answers = async { tokio::join!(flights.get(&1, ask), flights.get(&1, ask), flights.get(&1, ask)) };
        let (answers, _) = tokio::join!(answers, async { open.send(true).unwrap() });
        assert_eq!(answers, (Ok(42), Ok(42), Ok(42)));
        assert_eq!(flights.get(&1, ask).await, Ok(42));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let flights = Flights::<i32, i32>::new();
        assert_eq!(flights.get(&1, || async { Err("down") }).await, Err("down"));
        assert!(flights.cells.lock().unwrap().is_empty());
        assert_eq!(flights.get(&1, || async { Ok::<_, &str>(7) }).await, Ok(7));
    }
}
