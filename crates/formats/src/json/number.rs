//! Converts JSON numbers to the numbers of columns: exactly, or not at all.

use std::str::FromStr;

/// An exact number: `digits` with the point `scale` digits before their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    pub(super) digits: i128,
    /// Whether digits behind these were left out that are not 0.
    pub(super) cut: bool,
}

/// The number that `text` is, which has neither a point nor an exponent; `None` if 64 bits do not hold it.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // What has 18 digits fits, whatever they are.
    if digits.len() <= 18 {
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Some(if is_negative { -value } else { value });
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number nearest to `text`; `None` if it is beyond the largest one.
#[inline]
pub(super) fn float<F: FromStr + Into<f64> + Copy>(text: &[u8]) -> Option<F> {
    // As a whole number, which has no sign at 0: Spark reads it so.
    let text = if text == b"-0" { &b"0"[..] } else { text };
    let value: F = std::str::from_utf8(text).ok()?.parse().ok()?;
    let wide: f64 = value.into();
    wide.is_finite().then_some(value)
}

/// `text`, a number, as a multiple of ten to the power of minus `scale`, without the digits behind it; `None` if 38 digits do not hold it.
pub(super) fn exact(text: &[u8], scale: u32) -> Option<Exact> {
    let (is_negative, unsigned) = match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        unsigned => (false, unsigned),
    };
    let end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let exponent = self::exponent(exponent);
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    // So many of the digits, from the first on, stand before the place where the number is cut.
    let kept = i64::try_from(point).ok()?.saturating_add(exponent).saturating_add(i64::from(scale));
    let mut exact = Exact { digits: 0, cut: false };
    let mut at = 0;
    for digit in mantissa.iter().filter(|byte| **byte != b'.').map(|byte| i128::from(byte - b'0')) {
        if at >= kept {
            exact.cut |= digit != 0;
        } else {
            exact.digits = exact.digits.checked_mul(10)?.checked_add(digit)?;
        }
        at += 1;
    }
    if exact.digits != 0 && at < kept {
        let zeros = u32::try_from(kept - at).ok()?;
        exact.digits = 10_i128.checked_pow(zeros).and_then(|power| exact.digits.checked_mul(power))?;
    }
    if is_negative {
        exact.digits = -exact.digits;
    }
    Some(exact)
}

/// The exponent that `text` is, with its `e`; 0 without one.
fn exponent(text: &[u8]) -> i64 {
    let (sign, digits) = match text {
        [_, b'-', digits @ ..] => (-1, digits),
        [_, b'+', digits @ ..] | [_, digits @ ..] => (1, digits),
        [] => return 0,
    };
    let value =
        digits.iter().fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    sign * value
}

/// `digits`, if they are at most `precision`.
pub(super) fn within(digits: i128, precision: u8) -> Option<i128> {
    let bound = 10_i128.checked_pow(u32::from(precision))?;
    (digits > -bound && digits < bound).then_some(digits)
}

/// Whether `text` is written as JSON writes numbers.
pub(super) fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let rest = match rest {
        [b'0', rest @ ..] => rest,
        _ if digits(rest) > 0 => &rest[digits(rest)..],
        _ => return false,
    };
    let rest = match rest {
        [b'.', rest @ ..] if digits(rest) > 0 => &rest[digits(rest)..],
        rest => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => {
            digits(rest) > 0 && digits(rest) == rest.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str, scale: u32) -> Option<(i128, bool)> {
        exact(text.as_bytes(), scale).map(|exact| (exact.digits, exact.cut))
    }

    #[test]
    fn whole_numbers_are_exact_to_the_last() {
        for value in [0, 7, -7, 999_999_999_999_999_999, i64::MAX, i64::MIN] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        assert_eq!(integer(b"-0"), Some(0));
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"-9223372036854775809"), None);
        assert_eq!(integer("1".repeat(100_000).as_bytes()), None);
    }

    #[test]
    fn a_decimal_says_whether_it_lost_digits() {
        assert_eq!(decimal("12.34", 2), Some((1234, false)));
        assert_eq!(decimal("-12.3", 2), Some((-1230, false)));
        assert_eq!(decimal("12.345", 2), Some((1234, true)));
        assert_eq!(decimal("12.3400000", 2), Some((1234, false)));
        assert_eq!(decimal("1.5e3", 0), Some((1500, false)));
        assert_eq!(decimal("1500e-3", 1), Some((15, false)));
        assert_eq!(decimal("15e-3", 1), Some((0, true)));
        assert_eq!(decimal("0e99999999999999999999", 2), Some((0, false)));
        assert_eq!(decimal("1e99999999999999999999", 2), None);
        assert_eq!(decimal("1e-99999999999999999999", 2), Some((0, true)));
        assert_eq!(decimal("99999999999999999999999999999999999999", 0), Some((10_i128.pow(38) - 1, false)));
        assert_eq!(within(100, 2), None);
        assert_eq!((within(99, 2), within(-99, 2)), (Some(99), Some(-99)));
        assert_eq!(within(10_i128.pow(38) - 1, 38), Some(10_i128.pow(38) - 1));
    }

    #[test]
    fn what_is_beyond_the_largest_float_is_none() {
        assert_eq!(float::<f64>(b"1e308"), Some(1e308));
        assert_eq!(float::<f64>(b"1e309"), None);
        assert_eq!(float::<f32>(b"1e39"), None);
        assert_eq!(float::<f64>(b"-0").map(f64::to_bits), Some(0));
        assert_eq!(float::<f64>(b"1e-999"), Some(0.0));
    }

    #[test]
    fn numbers_are_told_from_what_only_looks_like_them() {
        for number in ["0", "-0", "10", "0.5", "-1.25e+10", "1E5"] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        for other in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x10", " 1", "1,000", "NaN"] {
            assert!(!is_number(other.as_bytes()), "{other}");
        }
    }
}
