//! The bytes of a segment of keys, as `docs/formats.md` specifies them: sorted entries in blocks of one page with a checksum each. The tail
//! holds the first key of every block, the filter, and a footer.

use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::filter;
use super::memory::{Entry, Key};
use crate::error::{Error, Result};
use crate::segment::{Segment, Written};

/// Bytes of a block.
pub(super) const BLOCK: usize = 4096;
/// Bytes of an entry: the key, big-endian, and its time, little-endian.
const ENTRY: usize = 24;
/// Entries of a block; the last may have fewer, zeros stand for the rest.
pub(super) const ENTRIES: usize = (BLOCK - CHECKSUM) / ENTRY;
/// Blocks that are so close are read at once: what lies between costs less than another call.
const NEAR: usize = 4;
/// At most so many blocks are read at once.
const SPAN: usize = 64;
/// Bytes of the checksum at a block's end.
const CHECKSUM: usize = 8;
const KEY: usize = 16;
const MAGIC: [u8; 8] = *b"sbxdedup";
const VERSION: u64 = 1;
/// Bytes of the footer: magic, version, entries, blocks, bytes of the filter, earliest and latest time.
const FOOTER: usize = 56;

fn checksum(block: &[u8], number: u64) -> u64 {
    // The number keeps a whole block from passing in another's place.
    xxh3_64_with_seed(block, number)
}

/// Writes a segment of entries that come sorted by key.
pub(super) struct Builder<'a> {
    operator: &'a str,
    out: &'a mut dyn io::Write,
    block: Vec<u8>,
    index: Vec<u8>,
    filter: Vec<u8>,
    entries: u64,
    blocks: u64,
    earliest: i64,
    latest: i64,
}

impl<'a> Builder<'a> {
    /// For at most `expected` entries.
    pub fn new(operator: &'a str, out: &'a mut dyn io::Write, expected: u64) -> Self {
        Self {
            operator,
            out,
            block: Vec::with_capacity(BLOCK),
            index: Vec::new(),
            filter: vec![0; filter::bytes_for(expected)],
            entries: 0,
            blocks: 0,
            earliest: i64::MAX,
            latest: i64::MIN,
        }
    }

    pub fn push(&mut self, Entry { key, time }: Entry) -> Result<()> {
        let bytes = key.value().to_be_bytes();
        if self.block.is_empty() {
            self.index.extend_from_slice(&bytes);
        }
        self.block.extend_from_slice(&bytes);
        self.block.extend_from_slice(&time.to_le_bytes());
        filter::insert(&mut self.filter, key.upper());
        self.entries += 1;
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
        if self.block.len() == ENTRIES * ENTRY { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        self.block.resize(BLOCK - CHECKSUM, 0);
        let sum = checksum(&self.block, self.blocks);
        self.block.extend_from_slice(&sum.to_le_bytes());
        let written = self.out.write_all(&self.block);
        self.block.clear();
        self.blocks += 1;
        written.map_err(|source| Error::SegmentWrite { operator: self.operator.to_owned(), source })
    }

    pub fn finish(mut self) -> Result<Written> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let mut tail = self.index;
        let filter = self.filter.len() as u64;
        tail.append(&mut self.filter);
        tail.extend_from_slice(&MAGIC);
        for number in [VERSION, self.entries, self.blocks, filter] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        tail.extend_from_slice(&self.earliest.to_le_bytes());
        tail.extend_from_slice(&self.latest.to_le_bytes());
        Ok(Written { rows: self.entries, tail })
    }
}

/// A segment of keys, open.
#[derive(Debug)]
pub(super) struct KeyFile {
    operator: String,
    segment: Segment,
    entries: u64,
    blocks: usize,
    filter: std::ops::Range<usize>,
    latest: i64,
}

impl KeyFile {
    /// Reads the footer.
    pub fn open(operator: &str, segment: Segment) -> Result<Self> {
        let wrong = |why: &str| Err(segment.broken(operator, why));
        let tail = segment.tail.as_slice();
        let Some((rest, footer)) = tail.split_last_chunk::<FOOTER>() else { return wrong("its tail has no footer") };
        let (magic, numbers) = footer.split_at(MAGIC.len());
        if magic != MAGIC {
            return wrong("its footer is not one of keys");
        }
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let mut next = || numbers.next().unwrap_or_default();
        let (version, entries, blocks, filter, _, latest) = (next(), next(), next(), next(), next(), next());
        if version != VERSION {
            return wrong(&format!("it is of version {version}, and this Sluicebox reads version {VERSION}"));
        }
        let index = blocks.checked_mul(KEY as u64);
        let whole = index.and_then(|index| index.checked_add(filter)) == Some(rest.len() as u64)
            && filter.is_multiple_of(filter::BLOCK as u64)
            && blocks == entries.div_ceil(ENTRIES as u64)
            && blocks.checked_mul(BLOCK as u64) == Some(segment.data_bytes);
        if !whole || entries == 0 {
            return wrong("the numbers in its footer do not fit its length");
        }
        let filter = rest.len() - usize::try_from(filter).unwrap_or(0)..rest.len();
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        let (operator, latest) = (operator.to_owned(), latest.cast_signed());
        Ok(Self { operator, segment, entries, blocks, filter, latest })
    }

    pub fn name(&self) -> &str {
        self.segment.file.name()
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.segment.tail.len()
    }

    /// The latest time in it.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Whether the key may be in it.
    #[inline]
    pub fn may_have(&self, key: Key) -> bool {
        filter::contains(&self.segment.tail.as_slice()[self.filter.clone()], key.upper())
    }

    /// The only block that the key can be in; `None` before the first.
    fn block_of(&self, key: Key) -> Option<usize> {
        let index = self.segment.tail.as_slice()[..self.blocks * KEY].as_chunks::<KEY>().0;
        index.partition_point(|first| u128::from_be_bytes(*first) <= key.value()).checked_sub(1)
    }

    /// Reads whole blocks from the block `from` on and checks them.
    pub fn read(&self, from: usize, buffer: &mut [u8]) -> Result<()> {
        let at = (from * BLOCK) as u64;
        let read = self.segment.file.read_exact_at(buffer, at);
        read.map_err(|e| self.segment.broken(&self.operator, format!("cannot read byte {at}: {e}")))?;
        for (number, block) in (from..).zip(buffer.as_chunks::<BLOCK>().0) {
            let (content, sum) = block.split_at(BLOCK - CHECKSUM);
            let first = &self.segment.tail.as_slice()[number * KEY..(number + 1) * KEY];
            if checksum(content, number as u64).to_le_bytes() != *sum || content[..KEY] != *first {
                let why = format!("its block at byte {} was changed", number * BLOCK);
                return Err(self.segment.broken(&self.operator, why));
            }
        }
        Ok(())
    }

    /// Entries of the block `number`.
    pub fn entries_in(&self, number: usize) -> usize {
        let before = (number * ENTRIES) as u64;
        usize::try_from(self.entries.saturating_sub(before)).unwrap_or(usize::MAX).min(ENTRIES)
    }

    /// Blocks of the file.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Looks `keys` up, given sorted, and calls `found` with the place in `keys` and the time of each that is there.
    pub fn find(&self, keys: &[Key], mut found: impl FnMut(usize, i64)) -> Result<()> {
        let blocks: Vec<Option<usize>> = keys.iter().map(|key| self.block_of(*key)).collect();
        // Only keys before the first of the file have none.
        let mut at = blocks.partition_point(Option::is_none);
        let mut buffer = Vec::new();
        while let Some(first) = blocks.get(at).copied().flatten() {
            let near = |pair: &&[Option<usize>]| pair[1] <= pair[0].map(|n| n + NEAR) && pair[1] < Some(first + SPAN);
            let end = at + 1 + blocks[at..].windows(2).take_while(near).count();
            let count = blocks[end - 1].unwrap_or(first) - first + 1;
            buffer.resize(count * BLOCK, 0);
            self.read(first, &mut buffer)?;
            for place in at..end {
                let number = blocks[place].unwrap_or(first);
                let block = &buffer.as_chunks::<BLOCK>().0[number - first];
                let entries = &block.as_chunks::<ENTRY>().0[..self.entries_in(number)];
                if let Ok(entry) = entries.binary_search_by_key(&keys[place].value(), |entry| of(entry).key.value()) {
                    found(place, of(&entries[entry]).time);
                }
            }
            at = end;
        }
        Ok(())
    }
}

/// The entry of these bytes.
#[inline]
pub(super) fn of(bytes: &[u8; ENTRY]) -> Entry {
    let (key, time) = bytes.split_at(KEY);
    let key = u128::from_be_bytes(key.try_into().unwrap_or_default());
    Entry { key: Key::new(key), time: i64::from_le_bytes(time.try_into().unwrap_or_default()) }
}

/// The entries in a block's bytes, of which `count` are used.
pub(super) fn entries(block: &[u8; BLOCK], count: usize) -> impl Iterator<Item = Entry> {
    block.as_chunks::<ENTRY>().0.iter().take(count).map(of)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::buffer::Buffer;
    use proptest::prelude::*;

    use super::*;
    use crate::conformance::MemoryFile;

    /// Data and tail of a segment of the keys 2, 4, 6, ...
    fn written(entries: u64) -> (Vec<u8>, Vec<u8>) {
        let mut data = Vec::new();
        let mut builder = Builder::new("op", &mut data, entries);
        (1..=entries)
            .for_each(|n| builder.push(Entry { key: Key::new(u128::from(2 * n)), time: -(n as i64) }).unwrap());
        let tail = builder.finish().unwrap().tail;
        (data, tail)
    }

    fn open(data: Vec<u8>, tail: Vec<u8>) -> Result<KeyFile> {
        let data_bytes = data.len() as u64;
        let file = Arc::new(MemoryFile { name: "state/op/7-1-0.segment".into(), content: data });
        KeyFile::open("op", Segment { file, data_bytes, tail: Buffer::from_vec(tail), rows: 0 })
    }

    fn find(file: &KeyFile, keys: &[u128]) -> Result<Vec<(usize, i64)>> {
        let mut all = Vec::new();
        let keys: Vec<Key> = keys.iter().map(|key| Key::new(*key)).collect();
        file.find(&keys, |place, time| all.push((place, time)))?;
        Ok(all)
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let (data, tail) = written(171);
        assert_eq!((data.len(), tail.len()), (2 * BLOCK, 2 * KEY + 9 * filter::BLOCK + FOOTER));
        assert_eq!(data[..24], [&[0u8; 15][..], &[2], &(-1i64).to_le_bytes()].concat());
        assert_eq!(data[BLOCK..BLOCK + 25], [&[0u8; 14][..], &[1, 86], &(-171i64).to_le_bytes(), &[0]].concat());
        assert_eq!(data[BLOCK - 8..BLOCK], xxh3_64_with_seed(&data[..BLOCK - 8], 0).to_le_bytes());
        assert_eq!(data[2 * BLOCK - 8..], xxh3_64_with_seed(&data[BLOCK..2 * BLOCK - 8], 1).to_le_bytes());
        assert_eq!(tail[16..32], 342u128.to_be_bytes());
        let footer = &tail[tail.len() - FOOTER..];
        let numbers: Vec<i64> = footer[8..].as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
        assert_eq!((&footer[..8], numbers), (b"sbxdedup".as_slice(), vec![1, 171, 2, 288, -171, -1]));
    }

    #[test]
    fn keys_are_found_at_the_edges_of_blocks_and_others_are_not() {
        for count in [1, 169, 170, 171, 340, 341, 1_000, 30_000] {
            let (data, tail) = written(count);
            let file = open(data, tail).unwrap();
            assert_eq!((file.entries(), file.latest(), file.blocks()), (count, -1, count.div_ceil(170) as usize));
            let all: Vec<u128> = (0..=2 * u128::from(count) + 3).collect();
            let expected: Vec<(usize, i64)> = (1..=count as usize).map(|n| (2 * n, -(n as i64))).collect();
            assert_eq!(find(&file, &all).unwrap(), expected);
            let some: Vec<u128> = all.iter().copied().filter(|key| key % 1_300 == 8).collect();
            let few: Vec<i64> =
                some.iter().filter(|key| **key <= 2 * u128::from(count)).map(|key| -(*key as i64) / 2).collect();
            assert_eq!(find(&file, &some).unwrap().into_iter().map(|(_, time)| time).collect::<Vec<_>>(), few);
            assert!((1..=count).all(|n| file.may_have(Key::new(u128::from(2 * n)))));
        }
    }

    #[test]
    fn a_changed_moved_or_missing_block_is_an_error_with_the_files_name() {
        let (data, tail) = written(400);
        let refused = |data: Vec<u8>| {
            let said = find(&open(data, tail.clone()).unwrap(), &[2, 350]).unwrap_err().to_string();
            assert!(said.contains("state/op/7-1-0.segment") && said.contains("--full-refresh"), "{said}");
            said
        };
        for at in [0, 17, 4_000, 4_085, 4_095] {
            let mut changed = data.clone();
            changed[BLOCK + at] ^= 1;
            assert!(refused(changed).contains("at byte 4096"));
        }
        let swapped = [&data[BLOCK..2 * BLOCK], &data[..BLOCK], &data[2 * BLOCK..]].concat();
        refused(swapped);
        let mut short = data.clone();
        short.truncate(BLOCK + 5);
        let file = Arc::new(MemoryFile { name: "state/op/7-1-0.segment".into(), content: short });
        let segment = Segment { file, data_bytes: data.len() as u64, tail: Buffer::from_vec(tail.clone()), rows: 0 };
        let said = find(&KeyFile::open("op", segment).unwrap(), &[350]).unwrap_err().to_string();
        assert!(said.contains("cannot read byte 4096"), "{said}");
    }

    proptest! {
        /// The engine compares checksums before: this is about tails that an operator never wrote.
        #[test]
        fn any_tail_is_refused_or_read_without_a_panic(
            entries in 1u64..400, cut in 0usize..800, flips in prop::collection::vec((0usize..800, any::<u8>()), 0..4)
        ) {
            let (data, mut tail) = written(entries);
            tail.drain(..cut.min(tail.len()));
            let last = tail.len();
            for (at, by) in flips {
                if let Some(byte) = last.checked_sub(at + 1).and_then(|at| tail.get_mut(at)) {
                    *byte ^= by;
                }
            }
            if let Ok(file) = open(data, tail) {
                let _ = find(&file, &[1, 2, 350, 800]);
                let _ = file.may_have(Key::new(u128::MAX));
            }
        }
    }
}
