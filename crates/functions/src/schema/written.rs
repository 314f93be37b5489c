//! Writes a type as a schema does.

use arrow::datatypes::{DataType, FieldRef};

use super::How;
use crate::types;

/// The type as it stands in a schema, from which it is read again as the same. As [`types::name`], but with backticks around the names
/// of fields that need them, and NOT NULL behind those that may not be NULL.
#[must_use]
pub fn written(data_type: &DataType, how: How) -> String {
    match data_type {
        // A value that is always NULL fits any type.
        DataType::Null => "STRING".to_owned(),
        DataType::List(item) => format!("ARRAY<{}>", written(item.data_type(), how)),
        DataType::Struct(fields) => format!("STRUCT<{}>", members(fields, ": ", how)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", written(pair[0].data_type(), how), written(pair[1].data_type(), how))
            }
            _ => types::name(data_type),
        },
        simple => types::name(simple),
    }
}

/// The columns as a list of them stands in a schema.
#[must_use]
pub fn written_columns(fields: &[FieldRef], how: How) -> String {
    members(fields, " ", how)
}

fn members(fields: &[FieldRef], between: &str, how: How) -> String {
    let one = |field: &FieldRef| {
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{}{between}{}{not_null}", quoted(field.name(), how), written(field.data_type(), how))
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The name of a field, between backticks if it could not be read without them.
fn quoted(name: &str, how: How) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && (how == How::Text || !name.contains(|c: char| c.is_ascii_uppercase()));
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}
