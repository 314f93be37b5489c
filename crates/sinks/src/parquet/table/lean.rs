//! Defers the buffers of encoders until their columns have a value.
//!
//! A delta encoder allocates its buffers when a file begins, although the column may never need them: its values may fit a dictionary, or
//! all be NULL. For a text these are two megabytes. Several files are open at once, and a process with little address space (`ulimit -v`)
//! needs room for all of them.

use parquet::basic::{Encoding, Type};
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::SchemaDescriptor;

/// So many bytes may the encoders of one file set aside: as many as a row group has.
const SET_ASIDE: usize = 64 << 20;

/// What the Parquet writer asks for to keep the differences of a number, or of the lengths of texts, in.
const BUFFER: usize = 1 << 20;

/// Above so many columns there are no dictionaries: 80 KiB a column.
const VERY_WIDE: usize = 1024;

/// `properties` for a file of `columns`: what these take before they have a value is little beside their rows. As many columns as there is
/// room for are written by differences where a dictionary does not do, numbers before texts, since they gain more; the others as they are.
/// Also gives what such a file sets aside.
pub(super) fn lean(
    mut properties: WriterPropertiesBuilder,
    columns: &SchemaDescriptor,
) -> (WriterPropertiesBuilder, usize) {
    let mut left = SET_ASIDE;
    for wanted in [1, 2] {
        for column in columns.columns().iter().filter(|column| buffers(column.physical_type()) == wanted) {
            match left.checked_sub(wanted * BUFFER) {
                Some(rest) => left = rest,
                None => properties = properties.set_column_encoding(column.path().clone(), Encoding::PLAIN),
            }
        }
    }
    if columns.num_columns() > VERY_WIDE {
        properties = properties.set_dictionary_enabled(false);
    }
    (properties, SET_ASIDE - left)
}

/// How many times [`BUFFER`] a column of this type asks for.
fn buffers(of: Type) -> usize {
    match of {
        Type::INT32 | Type::INT64 => 1,
        // The lengths of what is shared with the value before, and of the rest.
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => 2,
        Type::BOOLEAN | Type::INT96 | Type::FLOAT | Type::DOUBLE => 0,
    }
}
