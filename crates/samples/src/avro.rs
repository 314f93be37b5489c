//! Encodes the parts of Avro's binary form, for bodies that are written by hand.

/// Appends Avro's long (and int): zigzag, then seven bits a byte, the lowest first.
pub fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

/// Appends Avro's bytes (and string): the length as a long, then the bytes.
pub fn bytes(value: &[u8], out: &mut Vec<u8>) {
    long(i64::try_from(value.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(value);
}
