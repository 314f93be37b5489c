//! The segments of a deduplication: chooses which to merge and what a new one holds, and looks up keys in all of them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::file::{BLOCK, Builder, KeyFile, entries};
use super::filter;
use super::memory::{Entry, Key, Lifetime, Memory};
use crate::error::Result;
use crate::segment::{Segment, SegmentContent, Work, Written};

/// So many segments of about one size become one.
const FAN: usize = 4;
/// A segment of fewer entries is of the smallest size.
const SMALLEST: u64 = 1 << 12;
/// No merge makes a segment of more entries: so that none takes long, and what is over goes by whole files.
const LARGEST: u64 = 1 << 26;
/// Blocks that a merge reads at a time from each segment.
const AHEAD: usize = 64;

/// A segment, and maybe all that is in it.
#[derive(Debug)]
struct Level {
    file: Arc<KeyFile>,
    /// What went into the file, while there is memory for it.
    resident: Option<Arc<Memory>>,
}

/// All segments of an operator, oldest first.
#[derive(Debug, Default)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// The names of those that are being merged.
    merging: BTreeSet<String>,
    /// Memory of the merge that is under way.
    merge_bytes: usize,
}

impl Levels {
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The newest segment; `resident` is what went into it.
    pub fn push(&mut self, operator: &str, segment: Segment, resident: Option<Arc<Memory>>) -> Result<()> {
        let file = Arc::new(KeyFile::open(operator, segment)?);
        self.levels.push(Level { file, resident });
        Ok(())
    }

    /// Puts the merged segment in the place of those that went into it.
    pub fn replace(&mut self, operator: &str, names: &[String], merged: Option<Segment>) -> Result<()> {
        let merged = merged.map(|segment| KeyFile::open(operator, segment)).transpose()?;
        let is_old = |level: &Level| names.iter().any(|name| name == level.file.name());
        let at = self.levels.iter().position(is_old).unwrap_or(self.levels.len());
        self.levels.retain(|level| !is_old(level));
        let merged = merged.map(|file| Level { file: Arc::new(file), resident: None });
        self.levels.splice(at..at, merged);
        self.merging.clear();
        self.merge_bytes = 0;
        Ok(())
    }

    /// Gives up those that are over at `watermark`; not while they are being merged, which leaves them out itself.
    pub fn release(&mut self, lifetime: Lifetime, watermark: Option<i64>) -> Vec<String> {
        let Some(watermark) = watermark else { return Vec::new() };
        let merging = &self.merging;
        let over = |level: &mut Level| {
            lifetime.is_over(level.file.latest(), watermark) && !merging.contains(level.file.name())
        };
        self.levels.extract_if(.., over).map(|level| level.file.name().to_owned()).collect()
    }

    /// Lets go of copies in memory.
    pub fn evict(&mut self) {
        self.levels.iter_mut().for_each(|level| level.resident = None);
    }

    /// Entries in all of them; those of a key that was kept again, or that are over, are counted while they are there.
    pub fn entries(&self) -> u64 {
        self.levels.iter().map(|level| level.file.entries()).sum()
    }

    pub fn bytes(&self) -> usize {
        let held = |level: &Level| level.file.bytes() + level.resident.as_ref().map_or(0, |memory| memory.bytes());
        self.levels.iter().map(held).sum::<usize>() + self.merge_bytes
    }

    /// The time that the newest segment with the key has for each of `keys`, of which only those in `open` are looked up:
    /// these leave `open` when they are found.
    pub fn find(&self, keys: &[u128], open: &mut Vec<u32>, times: &mut [Option<i64>]) -> Result<()> {
        for level in self.levels.iter().rev() {
            if open.is_empty() {
                break;
            }
            let key = |row: &u32| Key::new(keys[*row as usize]);
            let mut asked: Vec<(Key, u32)> =
                open.iter().map(|row| (key(row), *row)).filter(|(key, _)| level.file.may_have(*key)).collect();
            if let Some(memory) = &level.resident {
                for (key, row) in asked {
                    times[row as usize] = memory.get(key);
                }
            } else {
                asked.sort_unstable();
                let sorted: Vec<Key> = asked.iter().map(|(key, _)| *key).collect();
                level.file.find(&sorted, |place, time| times[asked[place].1 as usize] = Some(time))?;
            }
            open.retain(|row| times[*row as usize].is_none());
        }
        Ok(())
    }

    /// A merge, if one is due and none is under way.
    pub fn merge(&mut self, operator: &str, forgotten_before: i64) -> Option<Work> {
        if !self.merging.is_empty() {
            return None;
        }
        let sizes: Vec<u64> = self.levels.iter().map(|level| level.file.entries()).collect();
        let files: Vec<_> = self.levels[due(&sizes)?].iter().map(|level| Arc::clone(&level.file)).collect();
        let entries: u64 = files.iter().map(|file| file.entries()).sum();
        let index: usize = files.iter().map(|file| file.blocks() * size_of::<Key>()).sum();
        self.merge_bytes = filter::bytes_for(entries) + index + files.len() * AHEAD * BLOCK;
        let replaces: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
        self.merging = replaces.iter().cloned().collect();
        let content = Box::new(Merge { operator: operator.to_owned(), files, entries, forgotten_before });
        Some(Work { replaces, content, wait: false })
    }
}

/// Which segments to merge, by their number of entries, oldest first: neighbours none of which is larger than [`FAN`] of
/// them are; the smallest first. So an entry is written again once for each size, and there are a few segments of each.
fn due(sizes: &[u64]) -> Option<std::ops::Range<usize>> {
    let tier = |size: &u64| (size.max(&SMALLEST) / SMALLEST).ilog(FAN as u64);
    let mut tiers: Vec<u32> = sizes.iter().map(tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for top in tiers {
        let mut start = 0;
        while start < sizes.len() {
            let mut total = 0;
            let fits = |size: &&u64| {
                total += **size;
                tier(size) <= top && total <= LARGEST
            };
            let length = sizes[start..].iter().take_while(fits).count();
            let run = &sizes[start..start + length];
            if run.iter().filter(|size| tier(size) == top).count() >= FAN {
                return Some(start..start + length);
            }
            start += length.max(1);
        }
    }
    None
}

/// What was in memory, as a segment.
pub(super) struct Fold {
    pub operator: String,
    pub memory: Arc<Memory>,
}

impl SegmentContent for Fold {
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> Result<Written> {
        let entries = self.memory.sorted();
        let mut builder = Builder::new(&self.operator, out, entries.len() as u64);
        entries.into_iter().try_for_each(|entry| builder.push(entry))?;
        builder.finish()
    }
}

/// Segments as one: of each key the latest entry, which is that of the newest segment, unless it is forgotten.
struct Merge {
    operator: String,
    files: Vec<Arc<KeyFile>>,
    entries: u64,
    forgotten_before: i64,
}

impl SegmentContent for Merge {
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> Result<Written> {
        let mut builder = Builder::new(&self.operator, out, self.entries);
        let mut cursors = self.files.iter().map(Cursor::open).collect::<Result<Vec<_>>>()?;
        while let Some(key) = cursors.iter().filter_map(|c| c.entry.map(|entry| entry.key)).min() {
            let mut time = i64::MIN;
            for cursor in &mut cursors {
                if let Some(entry) = cursor.entry.filter(|entry| entry.key == key) {
                    time = time.max(entry.time);
                    cursor.step()?;
                }
            }
            if time >= self.forgotten_before {
                builder.push(Entry { key, time })?;
            }
        }
        builder.finish()
    }
}

/// A segment read from its first entry to its last.
struct Cursor<'a> {
    file: &'a KeyFile,
    buffer: Vec<u8>,
    /// The first block that was not read.
    block: usize,
    /// Where it stands; `None` at the end.
    entry: Option<Entry>,
    batch: std::vec::IntoIter<Entry>,
}

impl<'a> Cursor<'a> {
    fn open(file: &'a Arc<KeyFile>) -> Result<Self> {
        let batch = Vec::new().into_iter();
        let mut cursor = Self { file, buffer: Vec::new(), block: 0, entry: None, batch };
        cursor.step()?;
        Ok(cursor)
    }

    fn step(&mut self) -> Result<()> {
        if self.batch.len() == 0 {
            self.fill()?;
        }
        self.entry = self.batch.next();
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let blocks = AHEAD.min(self.file.blocks() - self.block);
        self.buffer.resize(blocks * BLOCK, 0);
        self.file.read(self.block, &mut self.buffer)?;
        let numbered = (self.block..).zip(self.buffer.as_chunks::<BLOCK>().0);
        let all = numbered.flat_map(|(number, block)| entries(block, self.file.entries_in(number)));
        self.batch = all.collect::<Vec<_>>().into_iter();
        self.block += blocks;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::HashMap;

    use super::*;
    use crate::conformance::stored;

    const FOREVER: i64 = i64::MIN;

    /// Keys as hashes are: anywhere.
    fn key(n: u64) -> u128 {
        u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn folded(name: &str, keys: impl Iterator<Item = (u64, i64)>) -> (Segment, Arc<Memory>) {
        let mut memory = Memory::new(Lifetime::new(Some(0)));
        keys.for_each(|(n, time)| memory.replace(Key::new(key(n)), time));
        let memory = Arc::new(memory);
        let content = Box::new(Fold { operator: "op".into(), memory: Arc::clone(&memory) });
        (stored(name, content).unwrap(), memory)
    }

    fn look_up(levels: &Levels, keys: &[u128]) -> Vec<Option<i64>> {
        let mut times = vec![None; keys.len()];
        levels.find(keys, &mut (0..keys.len() as u32).collect(), &mut times).unwrap();
        times
    }

    #[test]
    fn segments_hold_what_a_map_holds_before_and_after_merging() {
        let mut levels = Levels::default();
        let mut model: HashMap<u64, i64> = HashMap::new();
        for round in 0..9u64 {
            // Each overlaps with the one before, and one is of a single entry.
            let from = round * 1_500;
            let keys =
                (from..if round == 4 { from + 1 } else { from + 2_000 }).map(|n| (n, (round * 10_000 + n) as i64));
            model.extend(keys.clone());
            let (segment, memory) = folded(&format!("s{round}"), keys);
            levels.push("op", segment, (round % 3 == 0).then_some(memory)).unwrap();
        }
        // Unsorted, with keys that are nowhere and one asked for twice.
        let asked: Vec<u64> = (0..20_000).rev().chain([7]).collect();
        let keys: Vec<u128> = asked.iter().map(|n| key(*n)).collect();
        let expected: Vec<Option<i64>> = asked.iter().map(|n| model.get(n).copied()).collect();
        assert_eq!(look_up(&levels, &keys), expected);
        levels.evict();
        assert_eq!(look_up(&levels, &keys), expected);
        let before = levels.entries();
        let work = levels.merge("op", FOREVER).unwrap();
        assert!(levels.merge("op", FOREVER).is_none(), "one at a time");
        let merged = stored("m", work.content).unwrap();
        levels.replace("op", &work.replaces, Some(merged)).unwrap();
        assert!(levels.entries() < before && levels.entries() >= model.len() as u64);
        assert_eq!(look_up(&levels, &keys), expected);
    }

    #[test]
    fn what_was_folded_while_older_ones_were_merged_stays_newer() {
        let mut levels = Levels::default();
        // The same keys each time, kept again later.
        let fold = |levels: &mut Levels, round: i64| {
            let (segment, memory) = folded(&format!("s{round}"), (0..2_000).map(|n| (n, round)));
            levels.push("op", segment, Some(memory)).unwrap();
        };
        (0..4).for_each(|round| fold(&mut levels, round));
        let work = levels.merge("op", FOREVER).unwrap();
        (4..6).for_each(|round| fold(&mut levels, round));
        levels.replace("op", &work.replaces, stored("m", work.content)).unwrap();
        let keys: Vec<u128> = (0..2_000).map(key).collect();
        for _ in 0..2 {
            assert_eq!(look_up(&levels, &keys), vec![Some(5); keys.len()]);
            levels.evict();
        }
        assert_eq!(levels.release(Lifetime::new(Some(0)), Some(9)), ["m", "s4", "s5"]);
    }

    #[test]
    fn a_merge_leaves_out_what_is_forgotten_and_a_segment_that_is_over_goes() {
        let mut levels = Levels::default();
        for n in 0..FAN as u64 {
            let (segment, _) = folded(&format!("s{n}"), (0..300).map(|key| (300 * n + key, (300 * n + key) as i64)));
            levels.push("op", segment, None).unwrap();
        }
        let lifetime = Lifetime::new(Some(10));
        assert!(levels.release(lifetime, Some(308)).is_empty());
        assert_eq!(levels.release(lifetime, Some(309)), ["s0"]);
        let (segment, _) = folded("s9", (2_000..2_001).map(|n| (n, n as i64)));
        levels.push("op", segment, None).unwrap();
        let work = levels.merge("op", 700).unwrap();
        assert!(levels.release(lifetime, Some(5_000)).is_empty(), "what is being merged stays");
        let merged = stored("m", work.content).unwrap();
        assert_eq!(merged.rows, 501);
        levels.replace("op", &work.replaces, Some(merged)).unwrap();
        assert_eq!(look_up(&levels, &[key(699), key(700), key(2_000)]), [None, Some(700), Some(2_000)]);
        assert_eq!(levels.release(lifetime, Some(5_000)), ["m"]);
        assert!(levels.is_empty() && levels.bytes() == 0);
    }

    #[test]
    fn neighbours_of_one_size_are_merged_the_smallest_first() {
        assert_eq!(due(&[]), None);
        assert_eq!(due(&[100_000, 10, 10, 10]), None, "a large one is not written again for three small ones");
        assert_eq!(due(&[100_000, 10, 10, 10, 10]), Some(1..5));
        assert_eq!(due(&[100_000, 10, 100_000, 100_000, 10, 100_000]), Some(0..6));
        assert_eq!(due(&[10, 100_000, 10, 10, 10]), None, "only neighbours in age are merged");
        assert_eq!(due(&[LARGEST / 2; 9]), None, "none becomes too large");
    }

    #[test]
    fn there_are_few_segments_and_an_entry_is_written_a_few_times() {
        let (mut sizes, mut written, each) = (Vec::new(), 0, 5_000u64);
        for _ in 0..4_000 {
            sizes.push(each);
            while let Some(run) = due(&sizes) {
                let merged = sizes[run.clone()].iter().sum();
                written += merged;
                sizes.splice(run, [merged]);
            }
        }
        assert!(sizes.len() <= 24, "{sizes:?}");
        assert!(written < 8 * each * 4_000, "{written}");
    }
}
