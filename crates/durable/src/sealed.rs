//! The envelope of every small file that Sluicebox reads back: a first line `v<version> <checksum>`, then JSON. It shows whether the file
//! is complete and whether this version can read it.
//!
//! The checksum covers everything after the first line feed. From version 3 on it also covers `v<version>` and a line feed before that,
//! since one flipped bit turns a 1 into a 3. Within a version a reader ignores fields that it does not know, and gives missing fields their
//! documented default. A field that an older reader must not ignore raises the version. A reader refuses a higher version without parsing
//! the content.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum;

/// The version that files have which say nothing that version 1 could not say.
pub const VERSION: u32 = 1;

/// The newest version that this code reads. It writes it where a reader of an older one must not pass over a field.
pub const NEWEST: u32 = 3;

/// Why a file's content cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It is not as it was written: torn, changed, or not such a file at all. The text says what is wrong.
    Damaged(String),
    /// A newer Sluicebox wrote it.
    Newer {
        /// The version of the format that it has.
        found: u32,
        /// The newest version of this format that this Sluicebox reads.
        reads: u32,
    },
}

impl fmt::Display for Broken {
    /// To follow the file's name and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::Newer { found, reads } => write!(
                f,
                "it is of format version {found}, and this Sluicebox ({}) reads versions up to {reads}: a newer \
                 Sluicebox wrote it. Go on with that one, or a later one; nothing has been changed",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

fn damaged(why: impl Into<String>) -> Broken {
    Broken::Damaged(why.into())
}

/// `value` as the content of a file, ending with a line feed.
///
/// # Errors
/// When the value cannot be written as JSON, which is a bug.
pub fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    seal_as(VERSION, value)
}

/// [`seal`] in a version of one's own, at most [`NEWEST`].
///
/// # Errors
/// When the value cannot be written as JSON, which is a bug.
pub fn seal_as<T: Serialize>(version: u32, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    debug_assert!((1..=NEWEST).contains(&version), "what is written must be readable");
    let mut body = serde_json::to_vec_pretty(value)?;
    body.push(b'\n');
    let mut content = format!("v{version} {}\n", sum_of(version, &body)).into_bytes();
    content.extend_from_slice(&body);
    Ok(content)
}

/// The checksum in the first line of a file of this version.
fn sum_of(version: u32, body: &[u8]) -> String {
    if version < 3 {
        return checksum(body);
    }
    checksum(&[format!("v{version}\n").as_bytes(), body].concat())
}

/// The value in `content`.
///
/// # Errors
/// When the first line is not such a line, the version is not known, the checksum does not fit, or the JSON is no `T`.
pub fn unseal<T: DeserializeOwned>(content: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(body(content)?).map_err(|e| damaged(format!("its content is not what it should be ({e})")))
}

/// Whether `content` begins as that of a sealed file, which may be damaged behind that. Nothing at all may be what was left of one.
#[must_use]
pub fn begins_sealed(content: &[u8]) -> bool {
    let Some(rest) = content.strip_prefix(b"v") else { return content.is_empty() };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b' ')
}

/// Everything after the first line, once version and checksum have been found right.
fn body(content: &[u8]) -> Result<&[u8], Broken> {
    let end = content.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("it has no first line"))?;
    let (head, body) = (&content[..end], &content[end + 1..]);
    let head = std::str::from_utf8(head).ok().and_then(|head| head.strip_prefix('v')?.split_once(' '));
    let (version, sum) = head
        .and_then(|(version, sum)| Some((version.parse::<u32>().ok()?, sum)))
        .ok_or_else(|| damaged("its first line is not `v<version> <checksum>`"))?;
    match version {
        0 => Err(damaged("it says that it is of format version 0, which there never was")),
        found if found > NEWEST => Err(Broken::Newer { found, reads: NEWEST }),
        found if sum == sum_of(found, body) => Ok(body),
        _ => Err(damaged("its checksum does not fit its content, so it was changed or cut short")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        n: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        n: u64,
        #[serde(default)]
        more: Vec<String>,
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let content = seal(&Old { n: 7 }).unwrap();
        assert_eq!(String::from_utf8(content).unwrap(), "v1 92a5364a4d595a99\n{\n  \"n\": 7\n}\n");
    }

    #[test]
    fn the_examples_of_the_docs_are_sealed_files() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
        let page = std::fs::read_to_string(page).unwrap();
        let blocks = page.split("\n```\n").filter(|b| b.starts_with("v1 ") && !b.contains("...") && !b.contains('<'));
        let mut checked = 0;
        for block in blocks {
            let found = unseal::<serde_json::Value>(format!("{block}\n").as_bytes());
            let right = block.split_once('\n').map(|(_, body)| checksum(format!("{body}\n").as_bytes()));
            assert!(found.is_ok(), "{block}\n{found:?}; its checksum would be {right:?}");
            checked += 1;
        }
        assert!(checked >= 5, "{checked} examples");
    }

    #[test]
    fn every_change_of_a_byte_and_every_cut_is_found() {
        for version in 1..=NEWEST {
            let whole = seal_as(version, &New { n: 7, more: vec!["ä".to_owned()] }).unwrap();
            for at in 0..whole.len() {
                assert!(unseal::<New>(&whole[..at]).is_err(), "version {version}, cut at {at}");
                for bit in 0..8 {
                    let mut flipped = whole.clone();
                    flipped[at] ^= 1 << bit;
                    assert!(unseal::<New>(&flipped).is_err(), "version {version}, bit {bit} of byte {at}");
                }
            }
            let mut longer = whole.clone();
            longer.push(b'\n');
            assert!(unseal::<New>(&longer).is_err());
        }
    }

    #[test]
    fn within_a_version_new_fields_are_passed_over_and_missing_ones_have_their_default() {
        let new = seal(&New { n: 7, more: vec!["x".to_owned()] }).unwrap();
        assert_eq!(unseal::<Old>(&new).unwrap(), Old { n: 7 });
        let old = seal(&Old { n: 7 }).unwrap();
        assert_eq!(unseal::<New>(&old).unwrap(), New { n: 7, more: Vec::new() });
    }

    #[test]
    fn a_newer_version_is_refused_before_its_content_is_looked_at_and_the_way_out_is_named() {
        let found = unseal::<Old>(b"v4 whatever it may be\nnot even JSON").unwrap_err();
        assert_eq!(found, Broken::Newer { found: 4, reads: 3 });
        assert!(found.to_string().contains("newer Sluicebox") && found.to_string().contains("up to 3"), "{found}");
        for wrong in ["", "v1", "v1\n", "v0 x\n{}", "v99999999999 x\n{}", "w1 x\n{}", "v-1 x\n", "\n\n"] {
            assert!(matches!(unseal::<Old>(wrong.as_bytes()), Err(Broken::Damaged(_))), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_sealed_file_is_told_by_how_it_begins() {
        for content in ["", "v1 92a5364a4d595a99\n{}", "v2 torn", "v12 "] {
            assert!(begins_sealed(content.as_bytes()), "{content:?}");
        }
        for content in ["v1\n{\"id\":\"x\"}", "version 1", "v 1", "V1 x", "{}", "\u{0}"] {
            assert!(!begins_sealed(content.as_bytes()), "{content:?}");
        }
    }

    #[test]
    fn every_version_up_to_the_newest_is_read() {
        for version in 1..=NEWEST {
            let content = seal_as(version, &Old { n: 7 }).unwrap();
            assert!(content.starts_with(format!("v{version} ").as_bytes()));
            assert_eq!(unseal::<Old>(&content).unwrap(), Old { n: 7 });
        }
    }

    #[test]
    fn content_nested_without_end_is_damage_and_no_overflow() {
        let body = format!("{}\n", "[".repeat(1_000_000));
        let content = format!("v1 {}\n{body}", checksum(body.as_bytes()));
        let found = unseal::<serde_json::Value>(content.as_bytes());
        assert!(matches!(found, Err(Broken::Damaged(_))), "{found:?}");
    }
}
