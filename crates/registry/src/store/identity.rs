//! The identity of a schema: two schemas with one identity are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value as Json;

use crate::key::Guid;
use crate::registry::Reference;
use crate::schema::SchemaError;
use crate::store::error::StoreError;

/// JSON without needless white space. A primitive type may come without quotes, as Confluent's clients send it.
pub(crate) fn compact(schema: &str) -> Result<String, StoreError> {
    let bare = schema.trim();
    if !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphabetic()) {
        return Ok(format!("\"{bare}\""));
    }
    match serde_json::from_str::<Json>(schema) {
        Ok(json) => Ok(json.to_string()),
        Err(e) => Err(SchemaError::new("", format!("is not JSON: {e}")).into()),
    }
}

/// What makes two schemas the same: their JSON, whatever the order of attributes, and what they refer to.
pub(crate) fn identity(schema: &str, references: &[Reference]) -> String {
    let mut text = String::new();
    match serde_json::from_str::<Json>(schema) {
        Ok(json) => sorted(&json, &mut text),
        Err(_) => text.push_str(schema),
    }
    let references: BTreeSet<&Reference> = references.iter().collect();
    for reference in references {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{reference:?}");
    }
    text
}

fn sorted(json: &Json, out: &mut String) {
    match json {
        Json::Object(object) => {
            let ordered: BTreeMap<&String, &Json> = object.iter().collect();
            out.push('{');
            for (key, value) in ordered {
                let _ = write!(out, "{}:", Json::from(key.as_str()));
                sorted(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for item in items {
                sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// The same schema has the same GUID in every embedded registry.
pub(crate) fn guid_of(identity: &str) -> Guid {
    Guid(xxhash_rust::xxh3::xxh3_128(identity.as_bytes()).to_be_bytes())
}
