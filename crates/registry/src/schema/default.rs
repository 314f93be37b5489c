//! Converts a field's default from JSON to the Avro binary of its type. Decoding then treats it like any other value.

use serde_json::{Map, Value as Json};

use crate::schema::{AvroSchema, Field, Kind, Logical, NodeId};

/// A default's binary form must stay this short, and be made of this few values: a record's default may stand for the
/// defaults of its fields, and theirs, without end.
const LONGEST: usize = 1 << 20;
const MOST_VALUES: usize = 10_000;
const DEEPEST: usize = 64;
/// Values that all defaults of a schema may be made of.
const MOST_IN_ALL: usize = 1_000_000;
/// Bytes of a text that count as a value of their own: each branch of a union may have to look at all of it.
const BYTES_OF_A_VALUE: usize = 128;

/// Makes the defaults of one schema.
#[derive(Debug)]
pub struct Defaults<'a> {
    schema: &'a AvroSchema,
    out: Vec<u8>,
    depth: usize,
    /// Of the default that is made.
    values: usize,
    /// Of all that were made before it.
    before: usize,
}

impl<'a> Defaults<'a> {
    /// Of `schema`.
    #[must_use]
    pub fn new(schema: &'a AvroSchema) -> Self {
        Self { schema, out: Vec::new(), depth: 0, values: 0, before: 0 }
    }

    /// The binary form of `json`, a default of type `id`.
    ///
    /// # Errors
    /// What is wrong with the default.
    pub fn encode(&mut self, id: NodeId, json: &Json) -> Result<&[u8], String> {
        self.out.clear();
        self.before += std::mem::take(&mut self.values);
        self.value(id, json)?;
        Ok(&self.out)
    }

    fn value(&mut self, id: NodeId, json: &Json) -> Result<(), String> {
        let looks_at =
            matches!(self.schema.node(id).kind, Kind::String | Kind::Bytes | Kind::Fixed { .. } | Kind::Enum { .. });
        let text = json.as_str().filter(|_| looks_at);
        self.values += 1 + text.map_or(0, |text| text.len() / BYTES_OF_A_VALUE);
        if self.depth >= DEEPEST || self.values > MOST_VALUES || self.out.len() > LONGEST {
            return Err("the default stands for too many values; defaults may not nest without end".to_owned());
        }
        if self.before + self.values > MOST_IN_ALL {
            return Err(format!("the defaults of the schema stand for more than {MOST_IN_ALL} values in all"));
        }
        self.depth += 1;
        let done = self.kind(id, json);
        self.depth -= 1;
        done
    }

    fn kind(&mut self, id: NodeId, json: &Json) -> Result<(), String> {
        let node = self.schema.node(id);
        let wrong = || format!("the default {} is no {}", shown(json), node.type_name());
        let out = &mut self.out;
        match &node.kind {
            Kind::Null => json.as_null().ok_or_else(wrong)?,
            Kind::Boolean => out.push(u8::from(json.as_bool().ok_or_else(wrong)?)),
            Kind::Int => long(i64::from(integer(json).and_then(|v| i32::try_from(v).ok()).ok_or_else(wrong)?), out),
            Kind::Long => long(integer(json).ok_or_else(wrong)?, out),
            #[expect(clippy::cast_possible_truncation, reason = "a float's default is the float nearest to it")]
            Kind::Float => out.extend_from_slice(&(double(json).ok_or_else(wrong)? as f32).to_le_bytes()),
            Kind::Double => out.extend_from_slice(&double(json).ok_or_else(wrong)?.to_le_bytes()),
            Kind::String => bytes(json.as_str().ok_or_else(wrong)?.as_bytes(), out),
            Kind::Bytes => {
                let value = code_points(json).ok_or_else(wrong)?;
                if value.is_empty() && matches!(node.logical, Some(Logical::Decimal { .. })) {
                    return Err("the default \"\" is no decimal, which has at least one byte".to_owned());
                }
                bytes(&value, out);
            }
            Kind::Fixed { size, .. } => {
                out.extend_from_slice(&code_points(json).filter(|v| v.len() == *size).ok_or_else(wrong)?);
            }
            Kind::Enum { symbols, .. } => {
                let index = json.as_str().and_then(|s| symbols.get_index_of(s)).ok_or_else(wrong)?;
                count(index, out);
            }
            Kind::Array(item) => self.array(*item, json.as_array().ok_or_else(wrong)?)?,
            Kind::Map(item) => self.map(*item, json.as_object().ok_or_else(wrong)?)?,
            Kind::Union(branches) => self.union(branches, json)?,
            Kind::Record { fields, .. } => self.record(fields, json.as_object().ok_or_else(wrong)?)?,
        }
        Ok(())
    }

    fn array(&mut self, item: NodeId, items: &[Json]) -> Result<(), String> {
        if !items.is_empty() {
            count(items.len(), &mut self.out);
        }
        for value in items {
            self.value(item, value)?;
        }
        self.out.push(0);
        Ok(())
    }

    fn map(&mut self, item: NodeId, entries: &Map<String, Json>) -> Result<(), String> {
        if !entries.is_empty() {
            count(entries.len(), &mut self.out);
        }
        for (key, value) in entries {
            bytes(key.as_bytes(), &mut self.out);
            self.value(item, value)?;
        }
        self.out.push(0);
        Ok(())
    }

    fn record(&mut self, fields: &[Field], object: &Map<String, Json>) -> Result<(), String> {
        for field in fields {
            let value = object
                .get(&field.name)
                .or(field.default.as_ref())
                .ok_or_else(|| format!("the default has no field '{}', which has no default of its own", field.name))?;
            self.value(field.node, value)?;
        }
        Ok(())
    }

    /// Since Avro 1.12 a union's default may be of any branch; before, of the first.
    fn union(&mut self, branches: &[NodeId], json: &Json) -> Result<(), String> {
        let start = self.out.len();
        for (index, branch) in branches.iter().enumerate() {
            count(index, &mut self.out);
            if self.value(*branch, json).is_ok() {
                return Ok(());
            }
            self.out.truncate(start);
        }
        Err(format!("the default {} is of no branch of the union", shown(json)))
    }
}

/// A default in a message: it may be large, and is named once for each type that it is not.
pub(super) fn shown(json: &Json) -> String {
    match json {
        Json::Array(_) => "[...]".to_owned(),
        Json::Object(_) => "{...}".to_owned(),
        Json::String(text) if text.len() > 100 => format!("\"{}...\"", text.chars().take(50).collect::<String>()),
        other => other.to_string(),
    }
}

fn integer(json: &Json) -> Option<i64> {
    // `1.0` is an integer too.
    #[expect(clippy::cast_possible_truncation, reason = "bounded to what a double holds exactly")]
    json.as_i64().or_else(|| json.as_f64().filter(|v| v.fract() == 0.0 && v.abs() <= 9e15).map(|v| v as i64))
}

fn double(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| match json.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" | "INF" => Some(f64::INFINITY),
        "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

/// Bytes in JSON are a text whose code points are the bytes.
fn code_points(json: &Json) -> Option<Vec<u8>> {
    json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Appends `value` as a zigzag varint.
pub fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    long(i64::try_from(value.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(value);
}

fn count(items: usize, out: &mut Vec<u8>) {
    long(i64::try_from(items).unwrap_or(i64::MAX), out);
}
