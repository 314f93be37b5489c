//! Bytes as text, text as bytes, and digests.

use std::fmt::Write;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::common::{Result, ScalarValue};
use md5::Digest;

use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error};
use crate::types;
use crate::values::Kind::{Any, Binary, Int, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("base64", &[Binary], Gives::Text, |call| {
            let bytes = call.binary(0)?;
            call.texts(|row| Ok(Some(in_lines(&BASE64.encode(bytes.at(row))))))
        }),
        function("unbase64", &[Text], Gives::Binary, |call| {
            let text = call.text(0)?;
            call.binaries(|row| unbase64(text.at(row)).map(Some))
        }),
        function("hex", &[Any], Gives::Text, hex).types(hex_types),
        function("unhex", &[Text], Gives::Binary, |call| {
            let text = call.text(0)?;
            call.binaries(|row| Ok(unhex(text.at(row))))
        }),
        function("encode", &[Text, Text], Gives::Binary, |call| {
            let (text, charset) = (call.text(0)?, call.text(1)?);
            call.binaries(|row| Charset::parse(charset.at(row)).or_else(row_error)?.encode(text.at(row)).map(Some))
        })
        .check(|constants| check_charset(constants, 1)),
        function("decode", &[Binary, Text], Gives::Text, |call| {
            let (bytes, charset) = (call.binary(0)?, call.text(1)?);
            call.texts(|row| Charset::parse(charset.at(row)).or_else(row_error)?.decode(bytes.at(row)).map(Some))
        })
        .check(|constants| check_charset(constants, 1)),
        function("to_binary", &[Text, Text], Gives::Binary, |call| {
            to_binary(call, |text, format| binary(text, format).or_else(row_error).map(Some))
        })
        .optional(1),
        function("try_to_binary", &[Text, Text], Gives::Binary, |call| {
            to_binary(call, |text, format| Ok(binary(text, format).ok()))
        })
        .optional(1),
        function("md5", &[Binary], Gives::Text, |call| digest(call, |bytes| lower_hex(&md5::Md5::digest(bytes)))),
        function("sha1", &[Binary], Gives::Text, |call| digest(call, |bytes| lower_hex(&sha1::Sha1::digest(bytes))))
            .alias("sha"),
        function("sha2", &[Binary, Int], Gives::Text, sha2),
        function("crc32", &[Binary], Gives::Long, |call| {
            let bytes = call.binary(0)?;
            call.longs(|row| Ok(Some(i64::from(crc32fast::hash(bytes.at(row))))))
        }),
    ]
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// base64 in lines of 76 letters, as MIME has it.
fn in_lines(letters: &str) -> String {
    let lines = letters.as_bytes().chunks(76).map(String::from_utf8_lossy);
    lines.collect::<Vec<_>>().join("\r\n")
}

fn unbase64(text: &str) -> Result<Vec<u8>> {
    // As Java's decoder of MIME, which passes over what is not of the alphabet.
    let body: Vec<u8> = text
        .bytes()
        .take_while(|b| *b != b'=')
        .filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        .collect();
    BASE64.decode(body).or_else(|_| row_error(format!("'{text}' is not base64")))
}

/// base64 in which white space may stand, but nothing else; what is padded is padded to four letters.
fn strict_base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let letters: Vec<u8> = body.bytes().filter(|b| !matches!(b, b' ' | b'\t'..=b'\r')).collect();
    let complete = if padding == 0 { letters.len() % 4 != 1 } else { (letters.len() + padding).is_multiple_of(4) };
    if padding > 2 || !complete || letters.contains(&b'=') {
        return None;
    }
    BASE64.decode(letters).ok()
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn hex_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [of] = types else { return plan_error(format!("hex takes one argument, here it has {}", types.len())) };
    Ok(vec![match of {
        _ if of.is_numeric() => DataType::Int64,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        _ if Binary.data_type(of).is_some() => DataType::Binary,
        _ => return plan_error(format!("hex takes a whole number, text or binary, not {}", types::name(of))),
    }])
}

fn hex(call: &Call) -> Result<ArrayRef> {
    if call.is_binary(0) {
        let bytes = call.binary(0)?;
        return call.texts(|row| Ok(Some(lower_hex(bytes.at(row)).to_ascii_uppercase())));
    }
    let number = call.long(0)?;
    call.texts(|row| Ok(Some(format!("{:X}", number.at(row)))))
}

/// The bytes of hexadecimal digits; an odd first one stands alone.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<Vec<u8>>>()?;
    let (head, rest) = digits.split_at(digits.len() % 2);
    Some(head.iter().copied().chain(rest.chunks(2).map(|pair| pair[0] << 4 | pair[1])).collect())
}

fn binary(text: &str, format: &str) -> std::result::Result<Vec<u8>, String> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => unhex(text).ok_or_else(|| format!("'{text}' is not hexadecimal")),
        "utf-8" | "utf8" => Ok(text.as_bytes().to_vec()),
        "base64" => strict_base64(text).ok_or_else(|| format!("'{text}' is not base64")),
        other => Err(format!("to_binary knows the formats hex, utf-8 and base64, not '{other}'")),
    }
}

fn to_binary(call: &Call, read: impl Fn(&str, &str) -> Result<Option<Vec<u8>>>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let format = if call.len() > 1 { Some(call.text(1)?) } else { None };
    call.binaries(|row| read(text.at(row), format.as_ref().map_or("hex", |format| format.at(row))))
}

fn digest(call: &Call, of: impl Fn(&[u8]) -> String) -> Result<ArrayRef> {
    let bytes = call.binary(0)?;
    call.texts(|row| Ok(Some(of(bytes.at(row)))))
}

fn sha2(call: &Call) -> Result<ArrayRef> {
    let (bytes, bits) = (call.binary(0)?, call.int(1)?);
    call.texts(|row| {
        let bytes = bytes.at(row);
        Ok(match bits.at(row) {
            224 => Some(lower_hex(&sha2::Sha224::digest(bytes))),
            0 | 256 => Some(lower_hex(&sha2::Sha256::digest(bytes))),
            384 => Some(lower_hex(&sha2::Sha384::digest(bytes))),
            512 => Some(lower_hex(&sha2::Sha512::digest(bytes))),
            _ => None,
        })
    })
}

/// An encoding that `encode` and `decode` know.
#[derive(Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// Two bytes a unit; `little` end first, or by its mark.
    Utf16 {
        little: bool,
        mark: bool,
    },
    Utf32,
}

fn check_charset(constants: &[Option<&ScalarValue>], at: usize) -> Result<()> {
    constant_text(constants, at).map_or(Ok(()), |name| Charset::parse(name).map(|_| ()).or_else(plan_error))
}

impl Charset {
    fn parse(name: &str) -> std::result::Result<Self, String> {
        match name.to_ascii_uppercase().as_str() {
            "US-ASCII" => Ok(Self::Ascii),
            "ISO-8859-1" => Ok(Self::Latin1),
            "UTF-8" => Ok(Self::Utf8),
            "UTF-16" => Ok(Self::Utf16 { little: false, mark: true }),
            "UTF-16BE" => Ok(Self::Utf16 { little: false, mark: false }),
            "UTF-16LE" => Ok(Self::Utf16 { little: true, mark: false }),
            "UTF-32" => Ok(Self::Utf32),
            "HEX" | "BASE64" => {
                Err(format!("'{name}' is no encoding of text; write hex(x) and unhex(x), or base64(x) and unbase64(x)"))
            }
            _ => Err(format!(
                "there is no encoding '{name}'; there are US-ASCII, ISO-8859-1, UTF-8, UTF-16, UTF-16BE, UTF-16LE, UTF-32"
            )),
        }
    }

    fn encode(self, text: &str) -> Result<Vec<u8>> {
        let below = |limit: u32, name: &str| {
            let one = |c: char| {
                if (c as u32) < limit { Ok(c as u32 as u8) } else { row_error(format!("'{c}' is not in {name}")) }
            };
            text.chars().map(one).collect::<Result<Vec<u8>>>()
        };
        match self {
            Self::Ascii => below(0x80, "US-ASCII"),
            Self::Latin1 => below(0x100, "ISO-8859-1"),
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Utf16 { little, mark } => {
                let unit = |u: u16| if little { u.to_le_bytes() } else { u.to_be_bytes() };
                let head = (mark && !text.is_empty()).then_some(0xfeff);
                Ok(head.into_iter().chain(text.encode_utf16()).flat_map(unit).collect())
            }
            Self::Utf32 => Ok(text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect()),
        }
    }

    fn decode(self, bytes: &[u8]) -> Result<String> {
        let found = match self {
            Self::Ascii => bytes.is_ascii().then(|| bytes.iter().map(|b| char::from(*b)).collect()),
            Self::Latin1 => Some(bytes.iter().map(|b| char::from(*b)).collect()),
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Utf16 { mut little, mark } => {
                let mut bytes = bytes;
                if mark && bytes.starts_with(&[0xfe, 0xff]) {
                    bytes = &bytes[2..];
                } else if mark && bytes.starts_with(&[0xff, 0xfe]) {
                    little = true;
                    bytes = &bytes[2..];
                }
                let units: Vec<u16> = bytes
                    .chunks_exact(2)
                    .map(|u| if little { u16::from_le_bytes([u[0], u[1]]) } else { u16::from_be_bytes([u[0], u[1]]) })
                    .collect();
                if bytes.len().is_multiple_of(2) { String::from_utf16(&units).ok() } else { None }
            }
            Self::Utf32 => {
                let one = |u: &[u8]| char::from_u32(u32::from_be_bytes([u[0], u[1], u[2], u[3]]));
                if bytes.len().is_multiple_of(4) { bytes.chunks_exact(4).map(one).collect() } else { None }
            }
        };
        found.map_or_else(|| row_error("the bytes are not of this encoding"), Ok)
    }
}
