//! A cache of bounded size: a map whose values can be computed or fetched again.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map that forgets what came first when there is too much in it.
#[derive(Debug)]
pub struct Bounded<K, V> {
    by_key: HashMap<K, V>,
    /// The keys in the order in which they came, with what each weighs.
    order: VecDeque<(K, usize)>,
    weight: usize,
    most: usize,
    heaviest: usize,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    /// A map of at most `most` entries, which weigh at most `heaviest` together; the newest is always kept.
    pub fn new(most: usize, heaviest: usize) -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new(), weight: 0, most, heaviest }
    }

    /// The value of `key`, if it is still there.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.by_key.get(key)
    }

    /// The value of `key`: the one that is there, else `value`, which weighs `weight`.
    pub fn get_or_insert(&mut self, key: K, value: V, weight: usize) -> &V {
        if !self.by_key.contains_key(&key) {
            self.order.push_back((key.clone(), weight));
            self.weight += weight;
            while self.order.len() > 1 && (self.order.len() > self.most || self.weight > self.heaviest) {
                if let Some((oldest, weight)) = self.order.pop_front() {
                    self.by_key.remove(&oldest);
                    self.weight -= weight;
                }
            }
        }
        self.by_key.entry(key).or_insert(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_goes_first() {
        let mut map = Bounded::new(3, 100);
        for n in 0..5 {
            assert_eq!(*map.get_or_insert(n, n * 10, 1), n * 10);
        }
        assert_eq!([0, 1, 2, 3, 4].map(|n| map.get(&n).copied()), [None, None, Some(20), Some(30), Some(40)]);
        assert_eq!(*map.get_or_insert(3, 99, 1), 30, "what is there stays");
        assert_eq!(*map.get_or_insert(0, 1, 99), 1);
        assert_eq!([2, 3, 4, 0].map(|n| map.get(&n).copied()), [None, None, Some(40), Some(1)]);
        assert_eq!(*map.get_or_insert(7, 7, 1_000), 7, "one that is too heavy is kept until the next");
        assert_eq!([4, 0, 7].map(|n| map.get(&n).copied()), [None, None, Some(7)]);
        map.get_or_insert(8, 8, 1);
        assert_eq!((map.get(&7), map.get(&8), map.weight, map.order.len()), (None, Some(&8), 1, 1));
    }
}
