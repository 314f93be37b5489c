//! Parsed Avro schemas: an arena of nodes, with every name resolved.
//!
//! This module parses schemas itself. With `apache-avro`'s parser, whoever may register a schema can make it panic or take unbounded
//! memory, and it refuses schemas that Confluent's registry accepts. `tests/apache.rs` shows it, `docs/decisions/0029` weighs it.

mod default;
mod parse;
#[cfg(test)]
mod tests;

use indexmap::IndexSet;
use serde_json::Value as Json;
use sluicebox_core::shown::cut;
use thiserror::Error;

use crate::registry::SchemaText;

pub use default::{Defaults, long as encode_long};

/// A schema that cannot be used, with the place in it. What of the schema stands in the message is cut, and is text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct SchemaError {
    /// Where, such as `Order.items[].price`, or `the schema`.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl SchemaError {
    /// `problem` at `place`, which is empty for the schema itself.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        let place = place.into();
        let place = if place.is_empty() { "the schema".to_owned() } else { cut(&place) };
        Self { place, problem: cut(&problem.into()) }
    }
}

/// A node's number in its schema.
pub type NodeId = usize;

/// A parsed schema.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    nodes: Vec<Node>,
    root: NodeId,
}

/// One type of a schema.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is on the wire.
    pub kind: Kind,
    /// What its values mean beyond that.
    pub logical: Option<Logical>,
}

/// What a node is on the wire.
#[derive(Debug, Clone)]
pub enum Kind {
    /// No byte.
    Null,
    /// One byte.
    Boolean,
    /// A zigzag varint of 32 bits.
    Int,
    /// A zigzag varint of 64 bits.
    Long,
    /// Four bytes, little-endian.
    Float,
    /// Eight bytes, little-endian.
    Double,
    /// A length and so many bytes.
    Bytes,
    /// The same, which are UTF-8.
    String,
    /// As many bytes as the schema says.
    Fixed {
        /// Its name.
        name: Name,
        /// How many bytes.
        size: usize,
    },
    /// The number of a symbol.
    Enum {
        /// Its name.
        name: Name,
        /// The symbols, by number.
        symbols: IndexSet<String>,
        /// What a reader takes for a symbol that it does not know.
        default: Option<String>,
    },
    /// The values of its fields, in their order.
    Record {
        /// Its name.
        name: Name,
        /// The fields.
        fields: Vec<Field>,
    },
    /// Blocks of values of the type.
    Array(NodeId),
    /// Blocks of texts, each with a value of the type.
    Map(NodeId),
    /// The number of a branch and a value of it.
    Union(Vec<NodeId>),
}

/// The name of a record, enum or fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// With its namespace.
    pub full: String,
    /// Other full names, by which a writer may know the type.
    pub aliases: Vec<String>,
}

impl Name {
    /// The name without its namespace.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.full)
    }

    /// Whether a reader's type of this name may read a writer's named `writer`: the same name, namespaces apart, or an
    /// alias of it.
    #[must_use]
    pub fn reads(&self, writer: &Self) -> bool {
        self.short() == writer.short() || self.aliases.iter().any(|a| *a == writer.full || a == writer.short())
    }
}

fn short(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

/// A record's field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Other names, by which a writer may know it.
    pub aliases: Vec<String>,
    /// Its type.
    pub node: NodeId,
    /// What a reader takes where the writer has no such field.
    pub default: Option<Json>,
}

/// What a node's values mean beyond their bytes. A logical type that does not fit its node is ignored, as the
/// specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// A number times a power of ten.
    Decimal {
        /// Digits in all.
        precision: u32,
        /// Digits behind the point.
        scale: u32,
    },
    /// On a string or on a fixed of 16 bytes.
    Uuid,
    /// Days since 1970.
    Date,
    /// Since midnight.
    Time(Unit),
    /// Since 1970.
    Timestamp {
        /// In which unit.
        unit: Unit,
        /// Whether it is a time of day somewhere, and no instant.
        local: bool,
    },
    /// On a fixed of 12 bytes.
    Duration,
}

/// The unit of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Thousandths of a second.
    Millis,
    /// Millionths.
    Micros,
    /// Billionths.
    Nanos,
}

impl AvroSchema {
    /// Takes fields out of the record that the schema is.
    pub fn without_fields(&mut self, left_out: impl Fn(&str) -> bool) {
        if let Some(Node { kind: Kind::Record { fields, .. }, .. }) = self.nodes.get_mut(self.root) {
            fields.retain(|field| !left_out(&field.name));
        }
    }

    /// Parses a schema and what it refers to.
    ///
    /// # Errors
    /// When it is not a valid Avro schema, or a name in it is neither defined nor referred to.
    pub fn parse(text: &SchemaText) -> Result<Self, SchemaError> {
        parse::parse(text)
    }

    /// Checks that every default is a value of its field's type, which a registry asks of new schemas. Reading is more
    /// lenient: only defaults that are needed must be right.
    ///
    /// # Errors
    /// The first default that is not, or that all of them together stand for too many values.
    pub fn check_defaults(&self) -> Result<(), SchemaError> {
        let mut defaults = Defaults::new(self);
        for node in &self.nodes {
            if let Kind::Record { name, fields } = &node.kind {
                for field in fields {
                    if let Some(default) = &field.default {
                        defaults
                            .encode(field.node, default)
                            .map_err(|problem| SchemaError::new(format!("{}.{}", name.full, field.name), problem))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The full name of the schema's record, enum or fixed; `None` for other types.
    #[must_use]
    pub fn full_name(&self) -> Option<&str> {
        self.node(self.root).name().map(|n| n.full.as_str())
    }

    /// The schema itself.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The node `id`, a number that this schema gave.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// For each node, whether a value of it may take no byte: null, a fixed of size 0, a record of nothing else.
    #[must_use]
    pub fn may_be_empty(&self) -> Vec<bool> {
        let mut empty = vec![false; self.nodes.len()];
        loop {
            let mut changed = false;
            for (id, node) in self.nodes.iter().enumerate() {
                let now = match &node.kind {
                    Kind::Null | Kind::Fixed { size: 0, .. } => true,
                    Kind::Record { fields, .. } => fields.iter().all(|f| empty[f.node]),
                    _ => false,
                };
                changed |= now != empty[id];
                empty[id] = now;
            }
            if !changed {
                return empty;
            }
        }
    }
}

impl Node {
    /// The type's name, if its kind has one.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Fixed { name, .. } | Kind::Enum { name, .. } | Kind::Record { name, .. } => Some(name),
            _ => None,
        }
    }

    /// How many names beside its own a node may be compared by.
    #[must_use]
    pub fn aliases(&self) -> usize {
        self.name().map_or(0, |name| name.aliases.len())
    }

    /// The type's name in messages and, for unions, in column names.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Fixed { name, .. } | Kind::Enum { name, .. } | Kind::Record { name, .. } => name.short(),
        }
    }
}
