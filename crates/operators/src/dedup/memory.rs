//! The keys in memory: a hash table that forgets by event time.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use hashbrown::HashMap;
use hashbrown::hash_map;

/// A key and the event time of the row that was kept for it, in microseconds since 1970. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: Key,
    pub time: i64,
}

/// A key in two halves: a u128 would be padded to 32 bytes beside an event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64, u64);

impl Key {
    #[inline]
    pub fn new(key: u128) -> Self {
        Self((key >> 64) as u64, key as u64)
    }

    #[inline]
    pub fn value(self) -> u128 {
        (u128::from(self.0) << 64) | u128::from(self.1)
    }

    /// The half that a filter is asked for; hash tables take the other.
    #[inline]
    pub fn upper(self) -> u64 {
        self.0
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

/// How long keys are remembered, and in what steps they are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// `None`: for ever.
    delay: Option<i64>,
    /// Width of a bucket in microseconds.
    width: i64,
}

impl Lifetime {
    /// Few buckets for a delay, and none so narrow that each key has its own.
    const BUCKETS: i64 = 16;
    const NARROWEST: i64 = 1_000_000;

    pub fn new(delay: Option<i64>) -> Self {
        let delay = delay.map(|delay| delay.max(0));
        Self { delay, width: (delay.unwrap_or(0) / Self::BUCKETS).max(Self::NARROWEST) }
    }

    /// Whether a row at `time` is a copy of the one that was kept at `kept`.
    #[inline]
    pub fn covers(self, kept: i64, time: i64) -> bool {
        self.delay.is_none_or(|delay| time <= kept.saturating_add(delay))
    }

    /// Keys that were kept before this time are forgotten at `watermark`: those of buckets whose last time it has passed by
    /// the delay. Depends on the watermark alone, so that a restored state forgets the same.
    pub fn forgotten_before(self, watermark: i64) -> i64 {
        let Some(delay) = self.delay else { return i64::MIN };
        let passed = watermark.saturating_sub(delay).saturating_add(1);
        passed.div_euclid(self.width).saturating_mul(self.width)
    }

    /// Whether nothing kept up to `latest` need be remembered at `watermark`.
    pub fn is_over(self, latest: i64, watermark: i64) -> bool {
        self.delay.is_some_and(|delay| latest.saturating_add(delay) <= watermark)
    }
}

/// What is remembered in memory.
#[derive(Debug)]
pub(super) struct Memory {
    lifetime: Lifetime,
    kept: HashMap<Key, i64, Build>,
    /// No time in `kept` is before this.
    oldest: i64,
}

impl Memory {
    pub fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, kept: HashMap::default(), oldest: i64::MAX }
    }

    /// Whether a row with `key` at `time` is the first; it is remembered if so. `elsewhere` is the time that is remembered
    /// for the key outside of this memory.
    #[inline]
    pub fn insert_first(&mut self, key: Key, time: i64, elsewhere: Option<i64>) -> bool {
        match self.kept.entry(key) {
            hash_map::Entry::Occupied(mut kept) => {
                if self.lifetime.covers(*kept.get(), time) {
                    return false;
                }
                kept.insert(time);
            }
            hash_map::Entry::Vacant(slot) => {
                if elsewhere.is_some_and(|kept| self.lifetime.covers(kept, time)) {
                    return false;
                }
                slot.insert(time);
            }
        }
        self.oldest = self.oldest.min(time);
        true
    }

    /// Remembers `key` at `time`, whatever was remembered before.
    pub fn replace(&mut self, key: Key, time: i64) {
        self.kept.insert(key, time);
        self.oldest = self.oldest.min(time);
    }

    /// The time that is remembered for `key`.
    #[inline]
    pub fn get(&self, key: Key) -> Option<i64> {
        self.kept.get(&key).copied()
    }

    /// Forgets what was kept before `time`. Looks at everything, but only when there is something to forget: since times
    /// come in steps of buckets, a key is looked at about as often as there are buckets in a delay.
    pub fn forget_before(&mut self, time: i64) {
        if self.oldest >= time {
            return;
        }
        let mut oldest = i64::MAX;
        self.kept.retain(|_, kept| {
            let stays = *kept >= time;
            if stays {
                oldest = oldest.min(*kept);
            }
            stays
        });
        self.oldest = oldest;
        if self.kept.capacity() > 1024 && self.kept.len() < self.kept.capacity() / 8 {
            self.kept.shrink_to(self.kept.len() * 2);
        }
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn bytes(&self) -> usize {
        self.kept.allocation_size()
    }

    /// Everything by key.
    pub fn sorted(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.kept.iter().map(|(&key, &time)| Entry { key, time }).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        entries
    }
}
