//! A split-block Bloom filter as Parquet specifies it (`BloomFilter.md` of parquet-format), over keys that are already hashes: 256-bit
//! blocks, in which a key sets one bit in each of eight words. It is written here because its bits are part of a file format, which must
//! not change with a crate.

/// Bytes of a block.
pub(super) const BLOCK: usize = 32;

/// Bits for each key: about 0.5 % of other keys are taken for one that is there.
const BITS: u64 = 12;

const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Bytes of a filter for so many keys: whole blocks, at least one.
pub(super) fn bytes_for(keys: u64) -> usize {
    let blocks = keys.saturating_mul(BITS).div_ceil(8 * BLOCK as u64).max(1);
    usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK)
}

/// Where the block of `hash` starts. Greater hashes have greater blocks: sorted keys go through a filter front to back.
#[inline]
fn place(bits: &[u8], hash: u64) -> usize {
    let blocks = (bits.len() / BLOCK) as u64;
    (((hash >> 32) * blocks) >> 32) as usize * BLOCK
}

#[inline]
fn mask(hash: u64, word: usize) -> u32 {
    1 << ((hash as u32).wrapping_mul(SALT[word]) >> 27)
}

/// Adds `hash` to the filter `bits`, which is of [`bytes_for`] length.
pub(super) fn insert(bits: &mut [u8], hash: u64) {
    let at = place(bits, hash);
    for (word, bytes) in bits[at..at + BLOCK].as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *bytes = (u32::from_le_bytes(*bytes) | mask(hash, word)).to_le_bytes();
    }
}

/// Whether `hash` may have been added. Without a block nothing may.
#[inline]
pub(super) fn contains(bits: &[u8], hash: u64) -> bool {
    let at = place(bits, hash);
    let Some(block) = bits.get(at..at + BLOCK) else { return false };
    let mut missing = 0;
    for (word, bytes) in block.as_chunks::<4>().0.iter().enumerate() {
        missing |= !u32::from_le_bytes(*bytes) & mask(hash, word);
    }
    missing == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn what_was_added_is_found_and_little_else_is() {
        let hash = |n: u32| xxh3_64(&n.to_le_bytes());
        let mut bits = vec![0; bytes_for(100_000)];
        assert_eq!(bits.len() % BLOCK, 0);
        (0..100_000).for_each(|n| insert(&mut bits, hash(n)));
        assert!((0..100_000).all(|n| contains(&bits, hash(n))));
        let wrong = (100_000..300_000).filter(|n| contains(&bits, hash(*n))).count();
        assert!(wrong < 200_000 / 125, "{wrong} of 200,000 are taken for ones that are there");
        assert!(!contains(&[], 7));
    }

    #[test]
    fn the_bits_are_those_of_parquets_specification() {
        // One block: the word i has the bit (low half of the hash * salt i) >> 27, worked out by hand for 1: salt >> 27.
        let mut bits = vec![0; BLOCK];
        insert(&mut bits, 1);
        let words: Vec<u32> = bits.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        assert_eq!(words, [1 << 8, 1 << 8, 1 << 17, 1 << 20, 1 << 14, 1 << 5, 1 << 19, 1 << 11]);
        // The upper half chooses the block, in proportion.
        let two = vec![0; 2 * BLOCK];
        assert_eq!((place(&two, u64::MAX >> 1), place(&two, 1 << 63)), (0, BLOCK));
    }
}
