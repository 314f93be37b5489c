//! Random schemas, random values of them, and what the rows must be, told by `apache-avro`'s values.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, HashMap};

use apache_avro::Schema;
use apache_avro::types::Value;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value as Json, json};
use sluicebox_registry::schema::{AvroSchema, Kind, NodeId};

use crate::avro::shape::{UnionShape, union_shape};
use crate::testing::hex;

pub(super) struct Random {
    pub(super) rng: SmallRng,
    names: u32,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), names: 0 }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    pub(super) fn record(&mut self, depth: u32) -> Json {
        let count = self.rng.random_range(0..6);
        self.record_of(count, depth)
    }

    fn record_of(&mut self, count: u32, depth: u32) -> Json {
        let fields: Vec<Json> =
            (0..count).map(|i| json!({ "name": format!("f{i}"), "type": self.schema(depth + 1) })).collect();
        json!({ "type": "record", "name": self.name("R"), "namespace": "a.b", "fields": fields })
    }

    fn schema(&mut self, depth: u32) -> Json {
        if depth > 3 || self.rng.random_bool(0.6) {
            return self.leaf();
        }
        match self.rng.random_range(0..6) {
            0 => json!({ "type": "array", "items": self.schema(depth + 1) }),
            1 => json!({ "type": "map", "values": self.schema(depth + 1) }),
            2 => self.record(depth),
            3 => {
                let other = self.no_union(depth);
                if other == "null" || self.rng.random_bool(0.2) {
                    json!(["null", "string"])
                } else if self.rng.random_bool(0.5) {
                    json!(["null", other])
                } else {
                    json!([other, "null"])
                }
            }
            4 => {
                // apache-avro takes a map for a record without fields.
                let record = self.record_of(2, depth);
                json!([{ "type": "map", "values": self.schema(depth + 1) }, "null", "long", record, "string"])
            }
            _ => json!(["boolean", { "type": "array", "items": self.schema(depth + 1) }]),
        }
    }

    fn no_union(&mut self, depth: u32) -> Json {
        match self.schema(depth + 1) {
            Json::Array(_) => json!("int"),
            other => other,
        }
    }

    fn leaf(&mut self) -> Json {
        let logical = |kind: &str, logical: &str| json!({ "type": kind, "logicalType": logical });
        match self.rng.random_range(0..26) {
            0 => json!("null"),
            1 => json!("boolean"),
            2 => json!("int"),
            3 | 4 => json!("long"),
            5 => json!("float"),
            6 => json!("double"),
            7 => json!("bytes"),
            8..=10 => json!("string"),
            11 => logical("int", "date"),
            12 => logical("int", "time-millis"),
            13 => logical("long", "time-micros"),
            14 => logical("long", "timestamp-millis"),
            15 => logical("long", "timestamp-micros"),
            16 => logical("long", "timestamp-nanos"),
            17 => logical("long", "local-timestamp-millis"),
            18 => logical("long", "local-timestamp-micros"),
            19 => json!({ "type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3 }),
            20 => json!({ "type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 5 }),
            21 => {
                let name = self.name("D");
                json!({ "type": "fixed", "name": name, "size": 9, "logicalType": "decimal", "precision": 18, "scale": 2 })
            }
            22 => json!({ "type": "fixed", "name": self.name("F"), "size": self.rng.random_range(1..20) }),
            23 => json!({ "type": "fixed", "name": self.name("U"), "size": 12, "logicalType": "duration" }),
            24 => json!({ "type": "enum", "name": self.name("E"), "symbols": ["A", "B", "C"] }),
            _ => logical("string", "uuid"),
        }
    }

    /// A reader schema that a writer's may become: promotions, fields that are dropped, added, moved, made nullable.
    pub(super) fn evolved(&mut self, writer: &Json) -> Json {
        match writer {
            Json::String(name) => match (name.as_str(), self.rng.random_range(0..4)) {
                ("int", 0) => json!("long"),
                ("int" | "long", 1) => json!("double"),
                ("int" | "long" | "float", 2) if name != "float" => json!("float"),
                ("float", _) => json!("double"),
                ("string", 0) => json!("bytes"),
                _ => writer.clone(),
            },
            Json::Object(object) if object["type"] == "record" => {
                let mut fields = Vec::new();
                for field in object["fields"].as_array().unwrap() {
                    match self.rng.random_range(0..10) {
                        0 => {}
                        1 if !field["type"].is_array() && field["type"] != "null" => {
                            fields.push(json!({ "name": field["name"], "type": ["null", field["type"]] }));
                        }
                        2 => fields.push(json!({ "name": format!("new_{}", field["name"].as_str().unwrap()),
                            "aliases": [field["name"]], "type": field["type"] })),
                        _ => fields.push(json!({ "name": field["name"], "type": self.evolved(&field["type"]) })),
                    }
                    if self.rng.random_bool(0.1) {
                        fields.push(json!({ "name": self.name("added"), "type": ["long", "null"], "default": 7 }));
                    }
                }
                if self.rng.random_bool(0.5) {
                    fields.reverse();
                }
                let mut reader = object.clone();
                reader.insert("fields".to_owned(), Json::Array(fields));
                Json::Object(reader)
            }
            other => other.clone(),
        }
    }

    pub(super) fn value(&mut self, schema: &Schema) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.rng.random()),
            Schema::Int => Value::Int(self.int()),
            Schema::Long => Value::Long(self.long()),
            Schema::Float => Value::Float(self.rng.random()),
            Schema::Double => Value::Double(self.rng.random_range(-1e300..1e300)),
            Schema::Bytes => Value::Bytes(self.bytes(40)),
            Schema::String => Value::String(self.text()),
            Schema::Date => Value::Date(self.int() % 90_000_000),
            Schema::TimeMillis => Value::TimeMillis(self.int().rem_euclid(86_400_000)),
            Schema::TimeMicros => Value::TimeMicros(self.long().rem_euclid(86_400_000_000)),
            Schema::TimestampMillis => Value::TimestampMillis(self.long() % 8_000_000_000_000_000),
            Schema::TimestampMicros => Value::TimestampMicros(self.long() % 8_000_000_000_000_000_000),
            Schema::TimestampNanos => Value::TimestampNanos(self.long()),
            Schema::LocalTimestampMillis => Value::LocalTimestampMillis(self.long() % 8_000_000_000_000_000),
            Schema::LocalTimestampMicros => Value::LocalTimestampMicros(self.long() % 8_000_000_000_000_000_000),
            Schema::Decimal(_) => {
                Value::Decimal(self.rng.random_range(-10_i64.pow(17)..10_i64.pow(17)).to_be_bytes().into())
            }
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, (0..fixed.size).map(|_| self.rng.random()).collect()),
            Schema::Duration(_) => {
                let bytes: [u8; 12] = self.rng.random();
                Value::Duration(bytes.into())
            }
            Schema::Enum(symbols) => {
                let index = self.rng.random_range(0..symbols.symbols.len());
                Value::Enum(u32::try_from(index).unwrap(), symbols.symbols[index].clone())
            }
            Schema::Uuid(_) => {
                let bytes: [u8; 16] = self.rng.random();
                Value::String(uuid::Uuid::from_bytes(bytes).to_string())
            }
            Schema::Array(array) => {
                Value::Array((0..self.rng.random_range(0..4)).map(|_| self.value(&array.items)).collect())
            }
            Schema::Map(map) => {
                let entries = (0..self.rng.random_range(0..4)).map(|_| (self.text(), self.value(&map.types)));
                Value::Map(entries.collect::<HashMap<_, _>>())
            }
            Schema::Union(union) => {
                let index = self.rng.random_range(0..union.variants().len());
                Value::Union(u32::try_from(index).unwrap(), Box::new(self.value(&union.variants()[index])))
            }
            Schema::Record(record) => {
                Value::Record(record.fields.iter().map(|f| (f.name.clone(), self.value(&f.schema))).collect())
            }
            other => panic!("no values of {other:?}"),
        }
    }

    fn int(&mut self) -> i32 {
        if self.rng.random() { self.rng.random() } else { self.rng.random_range(-70..70) }
    }

    fn long(&mut self) -> i64 {
        if self.rng.random() { self.rng.random() } else { self.rng.random_range(-70..70) }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.rng.random_range(0..most)).map(|_| self.rng.random()).collect()
    }

    fn text(&mut self) -> String {
        let letters = ['a', 'Z', '0', ' ', 'ä', '€', '𝄞'];
        (0..self.rng.random_range(0..30)).map(|_| letters[self.rng.random_range(0..letters.len())]).collect()
    }
}

/// What `cell` must give for `value`, a value of node `id` of the reader schema.
pub(super) fn expected(schema: &AvroSchema, id: NodeId, value: &Value) -> Json {
    match (&schema.node(id).kind, value) {
        (Kind::Union(branches), Value::Union(index, inner)) => {
            let branch = branches[usize::try_from(*index).unwrap()];
            let json = expected(schema, branch, inner);
            match union_shape(schema, branches) {
                UnionShape::Many { branches } if branches.contains(&branch) => {
                    let member = |b: &NodeId| {
                        let name = schema.node(*b).type_name().to_owned();
                        (name, if *b == branch { json.clone() } else { Json::Null })
                    };
                    Json::Object(branches.iter().map(member).collect())
                }
                _ => json,
            }
        }
        (Kind::Array(item), Value::Array(items)) => items.iter().map(|v| expected(schema, *item, v)).collect(),
        (Kind::Map(item), Value::Map(entries)) => {
            let sorted: BTreeMap<&String, Json> =
                entries.iter().map(|(k, v)| (k, expected(schema, *item, v))).collect();
            json!(sorted)
        }
        (Kind::Record { fields, .. }, Value::Record(values)) => {
            let of = |name: &str| &values.iter().find(|(n, _)| n == name).unwrap().1;
            let cells = fields.iter().map(|f| (f.name.clone(), expected(schema, f.node, of(&f.name))));
            Json::Object(cells.collect::<Map<_, _>>())
        }
        _ => plain(value),
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(v) => json!(v),
        Value::Int(v) | Value::Date(v) | Value::TimeMillis(v) => json!(v),
        Value::Long(v)
        | Value::TimeMicros(v)
        | Value::TimestampMillis(v)
        | Value::TimestampMicros(v)
        | Value::TimestampNanos(v)
        | Value::LocalTimestampMillis(v)
        | Value::LocalTimestampMicros(v) => json!(v),
        Value::Float(v) => json!(format!("{v:?}")),
        Value::Double(v) => json!(format!("{v:?}")),
        Value::Bytes(v) | Value::Fixed(_, v) => json!(hex(v)),
        Value::String(v) | Value::Enum(_, v) => json!(v),
        Value::Uuid(v) => json!(v.to_string()),
        Value::Decimal(v) => {
            let bytes: Vec<u8> = v.try_into().unwrap();
            let negative = bytes.first().is_some_and(|b| *b >= 0x80);
            let sum = bytes.iter().fold(if negative { -1_i128 } else { 0 }, |sum, b| (sum << 8) | i128::from(*b));
            json!(sum.to_string())
        }
        Value::Duration(v) => {
            let (months, days, millis): (u32, u32, u32) = (v.months().into(), v.days().into(), v.millis().into());
            json!({ "months": months, "days": days, "millis": millis })
        }
        other => panic!("no JSON of {other:?}"),
    }
}
