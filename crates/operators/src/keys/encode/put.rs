//! The bytes behind a tag.

use super::tag;

pub(super) fn put_tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

pub(super) fn put_sized(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

/// A length and the bytes.
pub(in crate::keys) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

pub(super) fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// `value` is in two's complement, little-endian: the bytes at its end that only repeat the sign are left out.
pub(super) fn put_decimal(scale: i8, value: &[u8], out: &mut Vec<u8>) {
    let sign = if value.last().is_some_and(|high| high & 0x80 != 0) { 0xff } else { 0x00 };
    let mut length = value.len();
    while length > 1 && value[length - 1] == sign && (value[length - 2] & 0x80) == (sign & 0x80) {
        length -= 1;
    }
    put_tagged(tag::DECIMAL, &scale.to_le_bytes(), out);
    put_bytes(&value[..length], out);
}

pub(super) fn put_instant(tag: u8, value: i64, per_second: i64, out: &mut Vec<u8>) {
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    put_tagged(tag, &value.div_euclid(per_second).to_le_bytes(), out);
    // Less than a second, so that it always fits.
    out.extend((nanos as u32).to_le_bytes());
}
