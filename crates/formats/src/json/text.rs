//! JSON strings: finds their plain parts, and writes them.

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes of `text` come before the first double quote, backslash or control character.
#[inline]
pub(super) fn plain(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = not_plain(u64::from_le_bytes(*word));
        if found != 0 {
            return 8 * index + found.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    8 * words.len() + tail.unwrap_or(rest.len())
}

/// The high bit of the lowest byte of `word` that is not plain; those above it may be wrong.
#[inline]
fn not_plain(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

/// Appends `json`, a value that has been checked, without the white space between its parts.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let [first, ..] = rest {
        let (part, behind) = match first {
            b' ' | b'\n' | b'\r' | b'\t' => {
                rest = &rest[1..];
                continue;
            }
            b'"' => rest.split_at(quoted(rest)),
            _ => {
                let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'"'));
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        out.extend_from_slice(part);
        rest = behind;
    }
}

/// The bytes of the text that `json` begins with, its quotes included.
fn quoted(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// Appends `text` as it stands between double quotes.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_at(plain(rest));
        out.extend_from_slice(part);
        let [first, behind @ ..] = behind else { return };
        match first {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *first]),
            other => {
                let [high, low] = [DIGITS[usize::from(other >> 4)], DIGITS[usize::from(other & 15)]];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use proptest::prelude::*;

    use super::*;

    fn compacted(json: &str) -> String {
        let mut out = Vec::new();
        compact(json.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn white_space_goes_outside_of_texts_alone() {
        assert_eq!(compacted(" { \"a b\" : [ 1 , \"\\\" \\\\\" ,\n true ] } "), r#"{"a b":[1,"\" \\",true]}"#);
        assert_eq!(compacted("12.50"), "12.50");
        assert_eq!(compacted(""), "");
    }

    proptest! {
        #[test]
        fn the_first_byte_that_is_not_plain_is_found(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let found = text.iter().position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20);
            prop_assert_eq!(plain(&text), found.unwrap_or(text.len()));
        }

        #[test]
        fn what_is_escaped_is_read_as_what_it_was(text in ".{0,40}") {
            let mut out = vec![b'"'];
            escape(text.as_bytes(), &mut out);
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
