//! DECIMAL arithmetic: computed exactly, then rounded half up, away from zero, to the scale of the result.

use arrow::datatypes::i256;

use super::arithmetic::Op;
use crate::casts::number::fits;

/// Whole numbers of one width, wide enough or not.
trait Wide: Copy + PartialEq {
    fn of(value: i128) -> Self;
    fn narrow(self) -> Option<i128>;
    fn power(exponent: u32) -> Option<Self>;
    fn add(self, other: Self) -> Option<Self>;
    fn subtract(self, other: Self) -> Option<Self>;
    fn multiply(self, other: Self) -> Option<Self>;
    /// Quotient, without what is behind the point, and remainder; `other` is not 0.
    fn divide(self, other: Self) -> Option<(Self, Self)>;
    fn is_negative(self) -> bool;
    fn is_less(self, other: Self) -> bool;
    fn absolute(self) -> Option<Self>;
}

macro_rules! wide {
    ($type:ty, $of:expr, $narrow:expr) => {
        impl Wide for $type {
            fn of(value: i128) -> Self {
                $of(value)
            }
            fn narrow(self) -> Option<i128> {
                $narrow(self)
            }
            fn power(exponent: u32) -> Option<Self> {
                Self::of(10).checked_pow(exponent)
            }
            fn add(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
            fn subtract(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }
            fn multiply(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
            fn divide(self, other: Self) -> Option<(Self, Self)> {
                Some((self.checked_div(other)?, self.checked_rem(other)?))
            }
            fn is_negative(self) -> bool {
                self < Self::of(0)
            }
            fn is_less(self, other: Self) -> bool {
                self < other
            }
            fn absolute(self) -> Option<Self> {
                if Wide::is_negative(self) { self.checked_neg() } else { Some(self) }
            }
        }
    };
}

wide!(i128, |value| value, Some);
wide!(i256, i256::from_i128, i256::to_i128);

/// `x op y` of unscaled values with `scales`, as an unscaled value of the precision and scale `to`; `Op::Quotient` gives a whole
/// number. None if it does not fit. The divisor is not 0.
pub(crate) fn compute(op: Op, x: i128, y: i128, scales: (i8, i8), to: (u8, i8)) -> Option<i128> {
    let value = exact::<i128>(op, x, y, scales, to.1).or_else(|| exact::<i256>(op, x, y, scales, to.1))?;
    fits(value, to.0)
}

/// The average of `count` values whose sum is `sum`.
pub(super) fn average(sum: i256, count: i64, scale: i8, to: (u8, i8)) -> Option<i128> {
    let more = i32::from(to.1) - i32::from(scale);
    let (sum, count) = (sum, i256::from_i128(count.into()));
    let value = if more >= 0 {
        halves(sum.checked_mul(i256::power(more.unsigned_abs())?)?, count)?
    } else {
        halves(sum, count.checked_mul(i256::power(more.unsigned_abs())?)?)?
    };
    fits(value.narrow()?, to.0)
}

fn exact<W: Wide>(op: Op, x: i128, y: i128, (s1, s2): (i8, i8), scale: i8) -> Option<i128> {
    let (s1, s2, scale) = (i32::from(s1), i32::from(s2), i32::from(scale));
    let (x, y) = (W::of(x), W::of(y));
    let common = s1.max(s2);
    let up = |value: W, by: i32| value.multiply(W::power(by.unsigned_abs())?);
    let aligned = || Some((up(x, common - s1)?, up(y, common - s2)?));
    let value = match op {
        Op::Add => {
            let (x, y) = aligned()?;
            rounded(x.add(y)?, common - scale)?
        }
        Op::Subtract => {
            let (x, y) = aligned()?;
            rounded(x.subtract(y)?, common - scale)?
        }
        Op::Multiply => rounded(x.multiply(y)?, s1 + s2 - scale)?,
        Op::Remainder => {
            let (x, y) = aligned()?;
            rounded(x.divide(y)?.1, common - scale)?
        }
        Op::Quotient => {
            let (x, y) = aligned()?;
            x.divide(y)?.0
        }
        _ => match scale + s2 - s1 {
            more @ 0.. => halves(up(x, more)?, y)?,
            less => halves(x, up(y, less)?)?,
        },
    };
    value.narrow()
}

/// Without the last `digits` digits; a scale that grows by `-digits` is exact.
fn rounded<W: Wide>(value: W, digits: i32) -> Option<W> {
    let power = W::power(digits.unsigned_abs())?;
    if digits <= 0 { value.multiply(power) } else { halves(value, power) }
}

/// A quotient, half of a last digit rounded away from zero.
fn halves<W: Wide>(value: W, by: W) -> Option<W> {
    let (quotient, rest) = value.divide(by)?;
    let (rest, half) = (rest.absolute()?, by.absolute()?.subtract(rest.absolute()?)?);
    if rest.is_less(half) {
        return Some(quotient);
    }
    let one = W::of(1);
    if value.is_negative() == by.is_negative() { quotient.add(one) } else { quotient.subtract(one) }
}
