//! Numbers: from text as Java reads them, and from one another.

/// Ten to the power of `exponent`. `None` where 128 bits do not hold it.
#[must_use]
pub fn power(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// Text without the white space and control characters around it that Spark overlooks.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

/// A whole number: digits after an optional sign. `None` where the text is none, or is out of the range of BIGINT.
#[must_use]
pub fn whole(text: &str) -> Option<i64> {
    let text = trimmed(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// A floating-point number as `Double.parseDouble` and Spark's words for infinity and NaN have it; what is out of range is infinite. `None` where
/// the text is no such number. Hexadecimal numbers, which Java reads, are none.
#[must_use]
pub fn floating<F: std::str::FromStr>(text: &str) -> Option<F> {
    let text = trimmed(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let infinite = ["inf", "infinity"].iter().any(|w| unsigned.eq_ignore_ascii_case(w));
    // Spark has its own words in any letters and without a sign, and Java's word as it is, with one.
    if infinite || unsigned == "NaN" || text.eq_ignore_ascii_case("nan") {
        return text.parse().ok();
    }
    let body = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let number = body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    number.then(|| body.parse().ok())?
}

/// Text as a boolean. `None` where it is none of Spark's words for true and false.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match trimmed(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A number such as `-12.5e3` as the unscaled value of a DECIMAL; half a last digit is rounded away from zero.
#[must_use]
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = trimmed(text);
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // So many of the digits are kept.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut at = 0;
    for digit in digits() {
        if at >= kept {
            if at == kept && digit >= b'5' {
                value = value.checked_add(1)?;
            }
            at = kept + 1;
            break;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        at += 1;
    }
    while value != 0 && at < kept {
        value = value.checked_mul(10)?;
        at += 1;
    }
    fits(if negative { -value } else { value }, precision)
}

/// `value` if it has at most `precision` digits.
#[must_use]
pub fn fits(value: i128, precision: u8) -> Option<i128> {
    (value.unsigned_abs() < power(u32::from(precision))?.unsigned_abs()).then_some(value)
}

/// An unscaled value of scale `from` as one of scale `to`; half a last digit is rounded away from zero.
#[must_use]
pub fn rescaled(value: i128, from: i8, to: i8) -> Option<i128> {
    let steps = i32::from(to) - i32::from(from);
    if steps >= 0 {
        return value.checked_mul(power(steps.unsigned_abs())?);
    }
    let Some(divisor) = power(steps.unsigned_abs()) else { return Some(0) };
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    Some(if up { quotient + value.signum() } else { quotient })
}

/// Seconds, an unscaled value of `scale`, in microseconds; what is finer is cut off. `None` where 64 bits do not hold them.
#[must_use]
pub fn micros_of_seconds(value: i128, scale: i8) -> Option<i64> {
    let finer = i32::from(scale) - 6;
    let power = power(finer.unsigned_abs())?;
    i64::try_from(if finer > 0 { value / power } else { value.checked_mul(power)? }).ok()
}

/// A double as an unscaled value: that of its shortest text, as Spark has it.
#[must_use]
pub fn decimal_of_double(value: f64, precision: u8, scale: i8) -> Option<i128> {
    value.is_finite().then(|| decimal(&format!("{value:e}"), precision, scale))?
}

/// The double nearest to an unscaled value.
#[must_use]
pub fn double_of_decimal(value: i128, scale: i8) -> f64 {
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        // Both are exact, so that the quotient is rounded once.
        #[expect(clippy::cast_precision_loss, reason = "it has at most 53 bits")]
        return value as f64 / 10_f64.powi(i32::from(scale));
    }
    format!("{value}e-{scale}").parse().unwrap_or(f64::NAN)
}

/// The float nearest to an unscaled value.
#[must_use]
pub fn float_of_decimal(value: i128, scale: i8) -> f32 {
    format!("{value}e-{scale}").parse().unwrap_or(f32::NAN)
}

/// A double without what is behind the point, within the range from `least` to `most`; what lies within one of it counts, as in
/// Spark.
#[must_use]
pub fn whole_of_double(value: f64, least: i64, most: i64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "Spark compares with the rounded limits too")]
    let within = value.floor() <= most as f64 && value.ceil() >= least as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float stops at the limits, as Java's does")]
    within.then_some(value as i64).map(|v| v.clamp(least, most))
}
