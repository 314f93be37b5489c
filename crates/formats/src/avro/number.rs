//! Decimals: from big-endian two's complement bytes to Arrow's numbers.

use arrow::datatypes::i256;

use crate::avro::cursor::Cursor;
use crate::class::ErrorClass;
use crate::fault::Step;

/// How to read a decimal.
#[derive(Debug, Clone)]
pub(crate) struct Decimal<T> {
    /// Bytes of a fixed; `None` if the length stands before them.
    pub(crate) size: Option<usize>,
    /// Brings the writer's scale to the reader's.
    pub(crate) factor: T,
    /// Ten to the power of the reader's precision: more than every value that fits.
    pub(crate) bound: T,
}

/// What the two decimal types have in common.
pub(crate) trait Unscaled: Copy + PartialOrd {
    const SIZE: usize;
    fn from_be(bytes: &[u8]) -> Self;
    fn ten_to(exponent: u32) -> Option<Self>;
    fn times(self, factor: Self) -> Option<Self>;
    fn negative(self) -> Option<Self>;
}

impl Unscaled for i128 {
    const SIZE: usize = 16;

    fn from_be(bytes: &[u8]) -> Self {
        Self::from_be_bytes(extended(bytes))
    }

    fn ten_to(exponent: u32) -> Option<Self> {
        10_i128.checked_pow(exponent)
    }

    fn times(self, factor: Self) -> Option<Self> {
        self.checked_mul(factor)
    }

    fn negative(self) -> Option<Self> {
        self.checked_neg()
    }
}

impl Unscaled for i256 {
    const SIZE: usize = 32;

    fn from_be(bytes: &[u8]) -> Self {
        Self::from_be_bytes(extended(bytes))
    }

    fn ten_to(exponent: u32) -> Option<Self> {
        Self::from_i128(10).checked_pow(exponent)
    }

    fn times(self, factor: Self) -> Option<Self> {
        self.checked_mul(factor)
    }

    fn negative(self) -> Option<Self> {
        self.checked_neg()
    }
}

/// The last `N` of `bytes`, or all of them with the sign before them.
fn extended<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let negative = bytes.first().is_some_and(|b| *b >= 0x80);
    let mut out = [if negative { 0xff } else { 0 }; N];
    let len = bytes.len().min(N);
    out[N - len..].copy_from_slice(&bytes[bytes.len() - len..]);
    out
}

/// How to read a decimal of `from` (precision, scale) as one of `to`; `None` if digits after the point would be lost.
pub(crate) fn decimal<T: Unscaled>(size: Option<usize>, from_scale: u32, to: (u32, u32)) -> Option<Decimal<T>> {
    let (precision, scale) = to;
    let factor = T::ten_to(scale.checked_sub(from_scale)?)?;
    Some(Decimal { size, factor, bound: T::ten_to(precision)? })
}

impl<T: Unscaled> Decimal<T> {
    #[inline]
    pub(crate) fn read(&self, cursor: &mut Cursor<'_>) -> Step<T> {
        let bytes = match self.size {
            Some(size) => cursor.fixed(size)?,
            None => cursor.bytes()?,
        };
        self.value(bytes).ok_or_else(|| {
            let problem = if bytes.is_empty() {
                "a decimal has no bytes".to_owned()
            } else {
                format!("a decimal of {} bytes has more digits than its precision", bytes.len())
            };
            cursor.fault(ErrorClass::InvalidDecimal, problem)
        })
    }

    fn value(&self, bytes: &[u8]) -> Option<T> {
        let sign = if *bytes.first()? >= 0x80 { 0xff } else { 0 };
        if let Some(excess) = bytes.len().checked_sub(T::SIZE)
            && excess > 0
        {
            // The bytes left out must be the sign alone, and the sign must be what the rest starts with.
            let (more, rest) = bytes.split_at(excess);
            if more.iter().any(|b| *b != sign) || (rest[0] >= 0x80) != (sign == 0xff) {
                return None;
            }
        }
        let value = T::from_be(bytes).times(self.factor)?;
        (value < self.bound && value > self.bound.negative()?).then_some(value)
    }
}
