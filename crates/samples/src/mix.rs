//! A random number generator whose numbers depend on nothing but its seed: the same on every machine and in every version.
//!
//! It is SplitMix64. An event must never change, so the generator of an outside crate, which may change with its version, cannot be used.

/// The finaliser of SplitMix64: spreads every bit of `x` over the result.
#[must_use]
#[inline]
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Stream(u64);

impl Stream {
    /// The stream of `index` under `seed`.
    #[must_use]
    #[inline]
    pub fn new(seed: u64, index: u64) -> Self {
        Self(mix(seed ^ 0x5a17_ce80_0000_0000).wrapping_add(mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product; its bias is far below what a test could see.
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A number in `0.0..1.0`.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
