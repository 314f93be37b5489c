//! The keys that are remembered: a hash table for looking up, and lists by time for forgetting.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use hashbrown::hash_map;
use hashbrown::{HashMap, HashSet};

/// A key and the event time of the row that was kept for it, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: u128,
    pub time: i64,
}

/// A key in two halves: a u128 would be padded to 32 bytes beside an event time, this is 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64, u64);

impl Key {
    fn new(key: u128) -> Self {
        Self((key >> 64) as u64, key as u64)
    }

    fn value(self) -> u128 {
        (u128::from(self.0) << 64) | u128::from(self.1)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.1);
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u64` is called; any other input is still hashed, if not well.
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Build = BuildHasherDefault<Identity>;

/// What is remembered.
#[derive(Debug)]
pub(super) enum Memory {
    /// Keys that are never forgotten.
    Forever(HashSet<Key, Build>),
    /// Keys that are forgotten when the watermark has passed their time by the delay.
    Within(Timed),
}

/// Keys with times.
#[derive(Debug)]
pub(super) struct Timed {
    delay: i64,
    /// Width of a bucket in microseconds.
    width: i64,
    kept: HashMap<Key, i64, Build>,
    /// By number of the bucket the keys that were kept with a time in it. A key that was kept again at a later time is
    /// still in the old bucket's list, and its time says that it has left.
    buckets: BTreeMap<i64, Vec<Key>>,
}

impl Memory {
    pub fn new(delay: Option<i64>) -> Self {
        match delay {
            None => Self::Forever(HashSet::default()),
            Some(delay) => Self::Within(Timed::new(delay)),
        }
    }

    /// Whether a row with `key` at `time` is the first; it is remembered if so.
    #[inline]
    pub fn insert_first(&mut self, key: u128, time: i64) -> bool {
        match self {
            Self::Forever(keys) => keys.insert(Key::new(key)),
            Self::Within(timed) => timed.insert_first(Key::new(key), time),
        }
    }

    /// Remembers `key` at `time`, whatever was remembered before.
    pub fn replace(&mut self, key: u128, time: i64) {
        match self {
            Self::Forever(keys) => {
                keys.insert(Key::new(key));
            }
            Self::Within(timed) => timed.replace(Key::new(key), time),
        }
    }

    /// Forgets what no row after `watermark` can meet.
    pub fn forget(&mut self, watermark: i64) {
        if let Self::Within(timed) = self {
            timed.forget(watermark);
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Forever(keys) => keys.len(),
            Self::Within(timed) => timed.kept.len(),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Forever(keys) => keys.allocation_size(),
            Self::Within(timed) => {
                let lists: usize = timed.buckets.values().map(|keys| keys.capacity() * size_of::<Key>()).sum();
                timed.kept.allocation_size() + lists
            }
        }
    }

    /// Everything, in an order that depends on nothing else: by bucket, then by key.
    pub fn entries(&self) -> Vec<Entry> {
        match self {
            Self::Forever(keys) => {
                let mut keys: Vec<Key> = keys.iter().copied().collect();
                keys.sort_unstable();
                keys.into_iter().map(|key| Entry { key: key.value(), time: 0 }).collect()
            }
            Self::Within(timed) => timed.entries(),
        }
    }
}

impl Timed {
    /// Few buckets for a delay, and none so narrow that each key has its own.
    const BUCKETS: i64 = 16;
    const NARROWEST: i64 = 1_000_000;

    fn new(delay: i64) -> Self {
        let delay = delay.max(0);
        let width = (delay / Self::BUCKETS).max(Self::NARROWEST);
        Self { delay, width, kept: HashMap::default(), buckets: BTreeMap::new() }
    }

    #[inline]
    fn insert_first(&mut self, key: Key, time: i64) -> bool {
        match self.kept.entry(key) {
            hash_map::Entry::Occupied(mut kept) => {
                if time <= kept.get().saturating_add(self.delay) {
                    return false;
                }
                kept.insert(time);
            }
            hash_map::Entry::Vacant(slot) => {
                slot.insert(time);
            }
        }
        self.buckets.entry(time.div_euclid(self.width)).or_default().push(key);
        true
    }

    fn replace(&mut self, key: Key, time: i64) {
        self.kept.insert(key, time);
        self.buckets.entry(time.div_euclid(self.width)).or_default().push(key);
    }

    /// Drops the buckets whose last time is at or before `watermark` less the delay. Costs what is forgotten.
    fn forget(&mut self, watermark: i64) {
        while let Some(bucket) = self.buckets.first_entry() {
            let number = *bucket.key();
            let last = number.saturating_add(1).saturating_mul(self.width).saturating_sub(1);
            if last.saturating_add(self.delay) > watermark {
                break;
            }
            for key in bucket.remove() {
                if self.kept.get(&key).is_some_and(|time| time.div_euclid(self.width) == number) {
                    self.kept.remove(&key);
                }
            }
        }
        if self.kept.capacity() > 1024 && self.kept.len() < self.kept.capacity() / 8 {
            self.kept.shrink_to(self.kept.len() * 2);
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.kept.len());
        for (number, keys) in &self.buckets {
            let here = |key: &&Key| self.kept.get(*key).is_some_and(|t| t.div_euclid(self.width) == *number);
            let mut keys: Vec<Key> = keys.iter().filter(here).copied().collect();
            keys.sort_unstable();
            keys.dedup();
            let entry = |key: Key| Some(Entry { key: key.value(), time: *self.kept.get(&key)? });
            entries.extend(keys.into_iter().filter_map(entry));
        }
        entries
    }
}
