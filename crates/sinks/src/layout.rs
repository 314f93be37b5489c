//! Names: of staged files, of final files, and of hive folders.
//!
//! A hive folder is `<column>=<value>`. DuckDB, DataFusion, Hive and Spark parse it differently, so a value is written in the form that all
//! of them read back:
//!
//! - ASCII letters, digits, `-`, `_`, `.`, `~` are kept. Every other ASCII character is percent-encoded (DuckDB takes a folder with `?`, a
//!   line feed or a second `=` for an ordinary one; Windows has its own list).
//! - Characters beyond ASCII are kept: Spark decodes percent codes to UTF-16 units, and not to UTF-8.
//! - NULL is [`NULL_FOLDER`]. So is the empty text, as Spark and Hive write it: Spark refuses to read a table with an empty value in any
//!   path. A reader thus sees NULL for it.
//! - The text `NULL`, or [`NULL_FOLDER`] itself, in any case, has its first character percent-encoded, since DuckDB would read it as NULL.

use std::fmt::Write as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// The folder below a location in which files wait for their commit; hidden from readers by its name.
pub const STAGING: &str = "_staging";

/// Behind the epoch in the name of the folder that a run of it tries in [`STAGING`] whether folders can be exchanged.
const TRIAL: &str = "-trial";

/// The folder in [`STAGING`] that a run of `epoch` tries with.
pub(crate) fn trial_folder(epoch: u64) -> String {
    format!("{epoch}{TRIAL}")
}

/// The epoch of the run that made the folder `name` in [`STAGING`], if a run did.
pub(crate) fn epoch_of(name: &str) -> Option<u64> {
    name.strip_suffix(TRIAL).unwrap_or(name).parse().ok()
}

/// How the name of a staged file ends; no glob for table or report files matches it.
pub const STAGED_SUFFIX: &str = ".staged";

/// What stands for NULL in a hive folder's name.
pub const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The most bytes that a file or folder name may have on the usual filesystems.
pub const MAX_NAME_BYTES: usize = 255;

/// Whether readers hide a file or folder of this name.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('_') || name.starts_with('.')
}

/// The final name of a part of a batch: `<batch, 9 digits>-<part, 3 digits>-<first 8 of the query id>.<extension>`.
#[must_use]
pub fn file_name(batch: u64, part: usize, query_id: &str, extension: &str) -> String {
    format!("{batch:09}-{part:03}-{}.{extension}", query_of(query_id))
}

/// The batch of a published file, from its name: that of [`file_name`], or `report.json` in the folder `batch_id=<batch>`.
/// `None` for a file that no pipeline published.
#[must_use]
pub fn batch_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    if name == "report.json" {
        return batch_folder(path.parent()?.file_name()?.to_str()?);
    }
    part_of(name).filter(|(_, query)| query.len() <= 8).map(|(batch, _)| batch)
}

/// The same of a file below `location`; `None`, too, if a folder on the way has a name that is no UTF-8: no run gives it one, so somebody
/// else put the file there.
pub(crate) fn batch_below(location: &Path, path: &Path) -> Option<u64> {
    path.strip_prefix(location).unwrap_or(path).to_str().and_then(|_| batch_of(path))
}

/// The batch whose folder, of what stands beside the tables, has this name.
pub(crate) fn batch_folder(name: &str) -> Option<u64> {
    name.strip_prefix("batch_id=")?.parse().ok()
}

/// Batch and query in a name as [`file_name`] or [`compacted_name`] makes them for Parquet files; `None` for any other. The
/// query may be of any length, and empty.
#[must_use]
pub fn part_of(name: &str) -> Option<(u64, &str)> {
    numbers_of(name).map(|part| (part.batch, part.query))
}

/// What a file's name says, as [`numbers_of`] reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers<'n> {
    /// The batch; of a compacted file the highest of those whose rows it may hold.
    pub batch: u64,
    /// The compaction that wrote it; none for a file of a batch.
    pub compaction: Option<u64>,
    /// The part.
    pub part: u64,
    /// The first letters of the query's id.
    pub query: &'n str,
}

/// How many digits the part of a compacted file has, behind those of its compaction. A batch's part would need a thousand
/// million files in one folder to be as long as both.
const COMPACTED_PART_DIGITS: usize = 6;

/// The fewest digits between the dashes of a compacted file's name.
const COMPACTED_DIGITS: usize = 9 + COMPACTED_PART_DIGITS;

/// The final name of a part of a compaction: `<batch, 9 digits>-<compaction, 9 digits><part, 6 digits>-<first 8 of the query
/// id>.parquet`, `batch` being the highest whose rows the folder holds. No batch writes a file of such a name.
#[must_use]
pub fn compacted_name(batch: u64, compaction: u64, part: u64, query_id: &str) -> String {
    let query = query_of(query_id);
    format!("{batch:09}-{compaction:09}{part:0width$}-{query}.parquet", width = COMPACTED_PART_DIGITS)
}

/// The first eight letters or digits of a query's id, as names of files carry them.
#[must_use]
pub fn query_of(query_id: &str) -> String {
    query_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

/// What the name of a Parquet file says; `None` for one that no pipeline wrote.
#[must_use]
pub fn numbers_of(name: &str) -> Option<Numbers<'_>> {
    let mut parts = name.strip_suffix(".parquet")?.split('-');
    let (batch, part, query) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    let named = digits(batch, 9) && digits(part, 3) && parts.next().is_none();
    if !named || !query.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let compacted = part.len() >= COMPACTED_DIGITS;
    let (compaction, part) = part.split_at(if compacted { part.len() - COMPACTED_PART_DIGITS } else { 0 });
    let compaction = if compacted { Some(compaction.parse().ok()?) } else { None };
    Some(Numbers { batch: batch.parse().ok()?, compaction, part: part.parse().ok()?, query })
}

/// Where the file that will become `target` (relative to the location) is staged, relative to the location. The same
/// target always gets the same name, other targets other names.
#[must_use]
pub fn staged_path(epoch: u64, batch: u64, target: &str) -> String {
    format!("{STAGING}/{epoch}/{batch:09}-{:032x}{STAGED_SUFFIX}", xxh3_128(target.as_bytes()))
}

/// Whether a file of this name, in the folder of an epoch, may be one that a run has staged.
pub(crate) fn is_staged_name(name: &str) -> bool {
    name.ends_with(STAGED_SUFFIX) && !is_hidden(name)
}

/// Whether `target` may be the final path of a table or report file: relative, with `/` between its parts, none of them
/// hidden, empty, or leading out of the folder.
#[must_use]
pub fn is_target(target: &str) -> bool {
    !target.is_empty()
        && target.split('/').all(|part| !part.is_empty() && !is_hidden(part) && !part.contains('\0'))
        && !target.ends_with(STAGED_SUFFIX)
}

/// Whether `staged` is a path as [`staged_path`] makes them.
#[must_use]
pub fn is_staged(staged: &str) -> bool {
    let mut parts = staged.split('/');
    parts.next() == Some(STAGING)
        && parts.next().is_some_and(|epoch| epoch.parse::<u64>().is_ok())
        && parts.next().is_some_and(is_staged_name)
        && parts.next().is_none()
}

/// Whether `c` may stand in a hive folder's name as it is.
fn stands_as_it_is(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~')
}

/// Whether `name` can be a partition column: every reader takes it from the path as it is, and none hides it.
#[must_use]
pub fn is_partition_column(name: &str) -> bool {
    !name.is_empty() && !is_hidden(name) && name.chars().all(stands_as_it_is)
}

/// Appends the folder `<column>=<value>` to `path`; `None` is NULL.
pub fn push_folder(path: &mut String, column: &str, value: Option<&str>) {
    path.push_str(column);
    path.push('=');
    match value {
        None | Some("") => path.push_str(NULL_FOLDER),
        Some(value) => push_encoded(path, value),
    }
}

fn push_encoded(path: &mut String, value: &str) {
    let reads_as_null = value.eq_ignore_ascii_case("NULL") || value.eq_ignore_ascii_case(NULL_FOLDER);
    for (i, c) in value.chars().enumerate() {
        if stands_as_it_is(c) && !(i == 0 && reads_as_null) {
            path.push(c);
        } else {
            // Every other character is one ASCII byte. Writing to a String cannot fail.
            let _ = write!(path, "%{:02X}", u32::from(c));
        }
    }
}

/// The value in a hive folder's name, the reverse of [`push_folder`]; `None` is NULL, or the empty text. A code that is
/// none stays as it is.
#[must_use]
pub fn folder_value(folder: &str) -> Option<(String, Option<String>)> {
    let (column, value) = folder.split_once('=')?;
    if value == NULL_FOLDER {
        return Some((column.to_owned(), None));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Some((column.to_owned(), Some(String::from_utf8_lossy(&bytes).into_owned())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use proptest::prelude::*;

    fn folder(value: Option<&str>) -> String {
        let mut path = String::new();
        push_folder(&mut path, "c", value);
        path
    }

    #[test]
    fn odd_values_have_the_names_that_readers_expect() {
        for (value, name) in [
            (Some("EMEA"), "c=EMEA"),
            (Some("a b/c=d%e"), "c=a%20b%2Fc%3Dd%25e"),
            (Some("10:15"), "c=10%3A15"),
            (Some("Zürich"), "c=Zürich"),
            (Some("null"), "c=%6Eull"),
            (Some("__hive_default_partition__"), "c=%5F_hive_default_partition__"),
            (Some(""), "c=__HIVE_DEFAULT_PARTITION__"),
            (None, "c=__HIVE_DEFAULT_PARTITION__"),
            (Some(".."), "c=.."),
            (Some("a\nb?"), "c=a%0Ab%3F"),
        ] {
            assert_eq!(folder(value), name);
        }
    }

    #[test]
    fn names_that_readers_hide_or_split_are_refused() {
        for name in ["", "_c", ".c", "a=b", "a/b", "a b", "a%"] {
            assert!(!is_partition_column(name), "{name:?}");
        }
        for name in ["event_date", "größe", "a-b"] {
            assert!(is_partition_column(name), "{name:?}");
        }
        for target in ["", "/a", "../a", "a/../b", "_a/b", "a/.b", "a//b", "a.staged"] {
            assert!(!is_target(target), "{target:?}");
        }
        assert!(is_target("d=2026-01-01/000000001-000-abcdefgh.parquet"));
    }

    #[test]
    fn file_names_carry_batch_part_and_query() {
        let name = file_name(42, 1, "0f-3a9c1e22-77", "parquet");
        assert_eq!(name, "000000042-001-0f3a9c1e.parquet");
        let staged = staged_path(7, 42, &name);
        assert!(is_staged(&staged), "{staged}");
        assert!(!staged.ends_with(".parquet") && !staged.ends_with(".json"));
    }

    #[test]
    fn published_files_tell_their_batch_and_others_do_not() {
        let of = |path: &str| batch_of(Path::new(path));
        assert_eq!(of(&format!("/t/day=1/{}", file_name(42, 1, "0f-3a9c1e22-77", "parquet"))), Some(42));
        assert_eq!(of(&format!("/t/{}", file_name(12_345_678_901, 1000, "q", "parquet"))), Some(12_345_678_901));
        assert_eq!(of("/t/batch_id=7/report.json"), Some(7));
        for other in ["/t/x.parquet", "/t/report.json", "/t/000000001-000-0f3a9c1e.json", "/t/1-000-0f3a9c1e.parquet"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(of("/t/000000001-000-0f3a9c1e-2.parquet"), None);
        assert_eq!(of("/t/part-00000-0f3a9c1e.parquet"), None, "as Spark names them");
    }

    #[test]
    fn compacted_files_tell_their_compaction_and_sort_behind_their_batches() {
        let name = compacted_name(42, 7, 3, "0f-3a9c1e22-77");
        assert_eq!(name, "000000042-000000007000003-0f3a9c1e.parquet");
        let numbers = numbers_of(&name).unwrap();
        assert_eq!((numbers.batch, numbers.compaction, numbers.part, numbers.query), (42, Some(7), 3, "0f3a9c1e"));
        assert_eq!(part_of(&name), Some((42, "0f3a9c1e")));
        assert_eq!(batch_of(Path::new(&format!("/t/d=1/{name}"))), Some(42));
        let of_batch = file_name(42, 1234, "0f-3a9c1e22-77", "parquet");
        assert_eq!(numbers_of(&of_batch).map(|n| (n.compaction, n.part)), Some((None, 1234)));
        let large = compacted_name(12_345_678_901, 12_345_678_901, 999_999, "q");
        let numbers = numbers_of(&large).unwrap();
        assert_eq!((numbers.batch, numbers.compaction, numbers.part), (12_345_678_901, Some(12_345_678_901), 999_999));
        assert!(name < file_name(43, 0, "0f-3a9c1e22-77", "parquet"), "rows stay in the order of batches");
    }

    proptest! {
        #[test]
        fn every_value_is_one_folder_and_comes_back(value in "\\PC*|[\\x00-\\x7f]{0,9}") {
            let name = folder(Some(&value));
            prop_assert!(!name.contains('/') && !name.contains('\0') && !name.contains('?') && !name.contains('\n'));
            prop_assert_eq!(name.matches('=').count(), 1);
            let back = folder_value(&name).and_then(|(_, v)| v);
            prop_assert_eq!(back, Some(value).filter(|v| !v.is_empty()));
        }
    }
}
