//! What a reader needs to read the files of a folder as one table: the columns over all files, and the types of the partition columns.
//!
//! A folder's name is text without a type: `001` may be a number. So each file carries the types in its footer ([`KEY`]). If no file does,
//! because an older version or another program wrote them, the types are guessed from the names.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};
use sluicebox_core::threads::side_by_side;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError, open_regular};

use crate::catalog::BATCH;
use crate::contents::each_file;
use crate::error::{LakeError, Result};
use crate::layout;

/// The key in a file's footer under which the partition columns stand, as JSON.
pub const KEY: &str = "sluicebox.partitions";

/// A partition column, as a file's footer tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    name: String,
    r#type: String,
    nullable: bool,
}

/// The columns of a table and its files.
#[derive(Debug, Clone)]
pub struct View {
    /// The columns in files, over all of them: those that came later stand behind. Each may be NULL, since a file that is older
    /// than a column has none of it.
    pub columns: Fields,
    /// The columns in the folders' names, outermost first.
    pub partitions: Vec<FieldRef>,
    /// The files, in the order of their paths.
    pub files: Vec<ViewFile>,
}

/// A file of a table.
#[derive(Debug, Clone)]
pub struct ViewFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The values of the partition columns: an array of one row each.
    pub values: Vec<ArrayRef>,
}

/// What the footer of a file says.
struct Footer {
    path: PathBuf,
    bytes: u64,
    columns: Fields,
    told: Option<Vec<Told>>,
}

/// What `location` holds, by the footers of all Parquet files that readers see there.
///
/// # Errors
/// When a folder or file cannot be read, files have a column in types that do not fit each other, or a folder's name does not fit
/// its column.
pub fn view(location: &Path) -> Result<View> {
    view_of(&[location], false)
}

/// [`view`] of several folders together, which hold files of one table. With `of_batches`, only files below `batch_id=…` folders
/// belong to the table.
///
/// # Errors
/// As [`view`].
pub fn view_of(locations: &[&Path], of_batches: bool) -> Result<View> {
    let (mut paths, mut groups) = (Vec::new(), Vec::with_capacity(locations.len()));
    for location in locations {
        let from = paths.len();
        let mut see = |path: PathBuf| {
            if path.extension().is_some_and(|e| e == "parquet") {
                paths.push(path);
            }
        };
        if of_batches {
            for entry in durable::list(What::Owner, location)? {
                if entry.file_name().to_string_lossy().starts_with(BATCH) {
                    each_file(&entry.path(), &|_| false, &mut see)?;
                }
            }
        } else {
            each_file(location, &|_| false, &mut see)?;
        }
        paths[from..].sort();
        groups.push((*location, from..paths.len()));
    }
    let footers = footers(&paths)?;
    let first = groups.iter().find(|(_, group)| !group.is_empty()).or(groups.first());
    let Some((location, group)) = first else {
        return Ok(View { columns: Fields::empty(), partitions: Vec::new(), files: Vec::new() });
    };
    let partitions = partitions(location, &footers[group.clone()]);
    let mut files = Vec::with_capacity(footers.len());
    for (location, group) in &groups {
        for footer in &footers[group.clone()] {
            let values = values(location, &footer.path, &partitions)?;
            files.push(ViewFile { path: footer.path.clone(), bytes: footer.bytes, values });
        }
    }
    let columns = columns(location, &footers, &partitions)?;
    Ok(View { columns, partitions, files })
}

/// The footers of `paths`, in their order.
fn footers(paths: &[PathBuf]) -> Result<Vec<Footer>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 8);
    let share = paths.len().div_ceil(threads).max(1);
    let work = |part: &[PathBuf]| part.iter().map(|path| footer(path)).collect::<Result<Vec<_>>>();
    let mut all = Vec::with_capacity(paths.len());
    for part in side_by_side(paths.chunks(share), work) {
        all.extend(part?);
    }
    Ok(all)
}

fn footer(path: &Path) -> Result<Footer> {
    let opened = open_regular(path).map_err(|e| FileError::new("open", path, e))?;
    let bytes = opened.metadata().map_err(|e| FileError::new("look at", path, e))?.len();
    let read = ArrowReaderMetadata::load(&opened, Default::default());
    let read = read.map_err(|source| LakeError::Unreadable { path: path.to_owned(), source })?;
    let pairs = read.metadata().file_metadata().key_value_metadata();
    let told = pairs.into_iter().flatten().find(|pair| pair.key == KEY).and_then(|pair| pair.value.as_deref());
    let told = told.and_then(|json| serde_json::from_str(json).ok());
    Ok(Footer { path: path.to_owned(), bytes, columns: read.schema().fields().clone(), told })
}

/// The partition columns: as the newest file tells that does, else as the folders look.
fn partitions(location: &Path, footers: &[Footer]) -> Vec<FieldRef> {
    let newest = footers.iter().filter(|f| f.told.is_some()).max_by_key(|f| layout::batch_of(&f.path));
    let told = newest.and_then(|f| f.told.as_ref()).and_then(|told| told.iter().map(told_field).collect());
    told.unwrap_or_else(|| guessed(location, footers))
}

fn told_field(told: &Told) -> Option<FieldRef> {
    Some(Arc::new(Field::new(&told.name, type_of(&told.r#type)?, told.nullable)))
}

/// What stands in `fields` in a file's footer; none without partition columns, or for a type that has no word here.
pub(crate) fn told(fields: &[&Field]) -> Option<KeyValue> {
    let told = fields.iter().map(|field| {
        let r#type = word_of(field.data_type())?;
        Some(Told { name: field.name().clone(), r#type, nullable: field.is_nullable() })
    });
    let told: Vec<Told> = told.collect::<Option<_>>()?;
    if told.is_empty() {
        return None;
    }
    Some(KeyValue::new(KEY.to_owned(), serde_json::to_string(&told).ok()))
}

const WORDS: [(&str, DataType); 8] = [
    ("boolean", DataType::Boolean),
    ("tinyint", DataType::Int8),
    ("smallint", DataType::Int16),
    ("int", DataType::Int32),
    ("bigint", DataType::Int64),
    ("string", DataType::Utf8),
    ("date", DataType::Date32),
    ("timestamp_ntz", DataType::Timestamp(TimeUnit::Microsecond, None)),
];

/// The word for a type that partition columns are written in, as Spark has it.
fn word_of(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Some("timestamp".to_owned()),
        DataType::Decimal128(precision, scale) => Some(format!("decimal({precision},{scale})")),
        other => WORDS.iter().find(|(_, t)| t == other).map(|(word, _)| (*word).to_owned()),
    }
}

fn type_of(word: &str) -> Option<DataType> {
    if word == "timestamp" {
        return Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    }
    if let Some(digits) = word.strip_prefix("decimal(").and_then(|w| w.strip_suffix(')')) {
        let (precision, scale) = digits.split_once(',')?;
        return Some(DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?));
    }
    WORDS.iter().find(|(w, _)| *w == word).map(|(_, t)| t.clone())
}

/// Column and value of each hive folder between `location` and `file`.
fn folders(location: &Path, file: &Path) -> Vec<(String, Option<String>)> {
    let between = file.strip_prefix(location).ok().and_then(Path::parent);
    let parts = between.into_iter().flat_map(Path::components);
    parts.filter_map(|part| layout::folder_value(&part.as_os_str().to_string_lossy())).collect()
}

fn guessed(location: &Path, footers: &[Footer]) -> Vec<FieldRef> {
    let mut columns: Vec<(String, Option<DataType>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, value) in footers.iter().flat_map(|f| folders(location, &f.path)) {
        let own = value.as_deref().map(guess);
        match places.entry(name) {
            Entry::Vacant(new) => {
                columns.push((new.key().clone(), own));
                new.insert(columns.len() - 1);
            }
            Entry::Occupied(at) => {
                let (_, kind) = &mut columns[*at.get()];
                *kind = match (kind.take(), own) {
                    (Some(a), Some(b)) if a == b => Some(a),
                    (Some(_), Some(_)) => Some(DataType::Utf8),
                    (a, b) => a.or(b),
                }
            }
        }
    }
    let field = |(name, kind): (String, Option<DataType>)| Field::new(name, kind.unwrap_or(DataType::Utf8), true);
    columns.into_iter().map(|column| Arc::new(field(column))).collect()
}

/// The type that a value looks like. One that would not be written so if it were a number is text.
fn guess(value: &str) -> DataType {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = value.split('-').collect();
    match parts.as_slice() {
        [y, m, d] if y.len() == 4 && m.len() == 2 && d.len() == 2 && [y, m, d].iter().all(|p| digits(p)) => {
            DataType::Date32
        }
        [n] | ["", n] if digits(n) && n.len() < 18 && (*n == "0" || !n.starts_with('0')) => DataType::Int64,
        _ => DataType::Utf8,
    }
}

/// The values of `partitions` for the rows of `file`. The folder of NULL is also that of the empty text: of a column that may not
/// be NULL it says the empty text.
fn values(location: &Path, file: &Path, partitions: &[FieldRef]) -> Result<Vec<ArrayRef>> {
    let folders = folders(location, file);
    let value = |field: &FieldRef| {
        let refuse =
            |reason: String| LakeError::Column { location: file.to_owned(), column: field.name().clone(), reason };
        let text = match folders.iter().find(|(name, _)| name == field.name()) {
            Some((_, Some(text))) => text.as_str(),
            Some((_, None)) if !field.is_nullable() && *field.data_type() == DataType::Utf8 => "",
            _ => return Ok(new_null_array(field.data_type(), 1)),
        };
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let value = cast(&texts, field.data_type()).map_err(|e| refuse(e.to_string()))?;
        if value.is_null(0) {
            return Err(refuse(format!("the folder's value '{text}' is no {}", field.data_type())));
        }
        Ok(value)
    };
    partitions.iter().map(value).collect()
}

/// The columns of all files, in the order in which batches brought them.
fn columns(location: &Path, footers: &[Footer], partitions: &[FieldRef]) -> Result<Fields> {
    let mut in_order: Vec<&Footer> = footers.iter().collect();
    in_order.sort_by_key(|f| layout::batch_of(&f.path));
    let partitions: HashSet<&str> = partitions.iter().map(|p| p.name().as_str()).collect();
    let mut columns: Vec<(Field, &Path)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut last: Option<&Fields> = None;
    for footer in in_order {
        if last == Some(&footer.columns) {
            continue;
        }
        last = Some(&footer.columns);
        for field in &footer.columns {
            if partitions.contains(field.name().as_str()) {
                continue;
            }
            let (known, first) = match places.entry(field.name()) {
                Entry::Occupied(at) => &mut columns[*at.get()],
                Entry::Vacant(new) => {
                    new.insert(columns.len());
                    columns.push((Field::new(field.name(), field.data_type().clone(), true), &footer.path));
                    continue;
                }
            };
            let both = together(known.data_type(), field.data_type()).ok_or_else(|| LakeError::Column {
                location: location.to_owned(),
                column: field.name().clone(),
                reason: format!(
                    "it is {} in {} and {} in {}, which cannot be read as one",
                    known.data_type(),
                    first.display(),
                    field.data_type(),
                    footer.path.display()
                ),
            })?;
            *known = Field::new(field.name(), both, true);
        }
    }
    Ok(columns.into_iter().map(|(field, _)| field).collect())
}

/// The type that holds the values of both.
fn together(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, List, Map, Null, Struct, Timestamp,
    };
    let (a, b) = (sluicebox_core::stored::stored(a), sluicebox_core::stored::stored(b));
    if a == b {
        return Some(a);
    }
    Some(match (&a, &b) {
        (Null, other) | (other, Null) => other.clone(),
        (Int8 | Int16 | Int32 | Int64, Int8 | Int16 | Int32 | Int64) => {
            if a.primitive_width() < b.primitive_width() {
                b
            } else {
                a
            }
        }
        (Float32, Float64) | (Float64, Float32) => Float64,
        (Date32, Timestamp(..)) => b,
        (Timestamp(..), Date32) => a,
        (Decimal128(p, s), Decimal128(q, t)) => {
            let (scale, whole) = (*s.max(t), i16::from(*p) - i16::from(*s));
            let whole = whole.max(i16::from(*q) - i16::from(*t));
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|p| *p <= 38)?;
            Decimal128(precision, scale)
        }
        (List(x), List(y)) => List(field_of_both(x, y)?),
        (Map(x, sorted), Map(y, _)) => Map(field_of_both(x, y)?, *sorted),
        (Struct(x), Struct(y)) => {
            let by_name = |fields: &Fields| -> HashMap<String, FieldRef> {
                fields.iter().rev().map(|f| (f.name().clone(), Arc::clone(f))).collect()
            };
            let (of_x, of_y) = (by_name(x), by_name(y));
            let mut fields: Vec<FieldRef> = Vec::with_capacity(x.len());
            for field in x {
                fields.push(match of_y.get(field.name()) {
                    Some(other) => field_of_both(field, other)?,
                    None => Arc::new(field.as_ref().clone().with_nullable(true)),
                });
            }
            let new = y.iter().filter(|f| !of_x.contains_key(f.name()));
            fields.extend(new.map(|f| Arc::new(f.as_ref().clone().with_nullable(true))));
            Struct(fields.into())
        }
        _ => return None,
    })
}

fn field_of_both(a: &FieldRef, b: &FieldRef) -> Option<FieldRef> {
    let nullable = a.is_nullable() || b.is_nullable();
    Some(Arc::new(Field::new(a.name(), together(a.data_type(), b.data_type())?, nullable)))
}

#[cfg(test)]
mod tests;
