//! One request in flight for each key: later callers wait for the first one's answer. Answers are cached while there is room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use sluicebox_core::bounded::Bounded;

/// Answers that are kept, and bytes of them: ids are others' to choose.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 256 << 20;

/// Immutable answers by key. If an asker is dropped while it asks, or fails, the next one waiting asks again.
#[derive(Debug)]
pub(crate) struct Flights<K, V> {
    inner: Mutex<Inner<K, V>>,
    bytes: fn(&V) -> usize,
}

#[derive(Debug)]
struct Inner<K, V> {
    under_way: HashMap<K, Arc<OnceCell<V>>>,
    answered: Bounded<K, V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// None under way. `bytes` gives the length of an answer.
    pub(crate) fn new(bytes: fn(&V) -> usize) -> Self {
        let answered = Bounded::new(MOST, MOST_BYTES);
        Self { inner: Mutex::new(Inner { under_way: HashMap::new(), answered }), bytes }
    }

    /// The answer for `key`: the one that is there, the one under way, or that of `ask`.
    pub(crate) async fn get<E, F: Future<Output = Result<V, E>>>(
        &self,
        key: &K,
        ask: impl FnOnce() -> F,
    ) -> Result<V, E> {
        let cell = {
            let mut inner = self.locked();
            if let Some(answer) = inner.answered.get(key) {
                return Ok(answer.clone());
            }
            Arc::clone(inner.under_way.entry(key.clone()).or_default())
        };
        let answer = cell.get_or_try_init(ask).await.cloned();
        match &answer {
            Ok(answer) => self.keep(key, &cell, answer),
            Err(_) => self.forget_unanswered(key, &cell),
        }
        answer
    }

    fn keep(&self, key: &K, cell: &Arc<OnceCell<V>>, answer: &V) {
        let mut inner = self.locked();
        // The first of its askers does it.
        if inner.under_way.get(key).is_some_and(|c| Arc::ptr_eq(c, cell)) {
            inner.under_way.remove(key);
            inner.answered.get_or_insert(key.clone(), answer.clone(), (self.bytes)(answer));
        }
    }

    /// Keys that the registry does not know must not fill memory: an empty cell goes when its last asker leaves.
    fn forget_unanswered(&self, key: &K, cell: &Arc<OnceCell<V>>) {
        let mut inner = self.locked();
        let cells = &mut inner.under_way;
        if !cell.initialized() && Arc::strong_count(cell) == 2 && cells.get(key).is_some_and(|c| Arc::ptr_eq(c, cell)) {
            cells.remove(key);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn askers_of_one_key_share_one_question() {
        let flights = Flights::<i32, i32>::new(|_| 1);
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
        let flights = Flights::<i32, i32>::new(|_| 1);
        assert_eq!(flights.get(&1, || async { Err("down") }).await, Err("down"));
        assert!(flights.locked().under_way.is_empty());
        assert_eq!(flights.get(&1, || async { Ok::<_, &str>(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn answers_that_fill_memory_are_asked_for_again() {
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(7)
        };
        let many = Flights::<usize, i32>::new(|_| 1);
        for key in 0..=MOST {
            many.get(&key, ask).await.unwrap();
        }
        assert_eq!(asked.swap(0, Ordering::SeqCst), 10_001);
        many.get(&MOST, ask).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 0, "the newest is there");
        many.get(&0, ask).await.unwrap();
        assert_eq!(asked.swap(0, Ordering::SeqCst), 1, "the first is not");
        assert!(many.locked().under_way.is_empty());
        let large = Flights::<usize, i32>::new(|_| 100 << 20);
        for key in [0, 1, 2, 2, 0] {
            large.get(&key, ask).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 4, "two of them are kept");
    }
}
