//! Compatibility: whether one schema can read everything that another wrote.
//!
//! Checked here and not by `apache-avro`'s `SchemaCompatibility`, which knows no aliases of records, compares a
//! reference to a type by its name alone, and takes a schema that fails for some values for one that is half compatible.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::schema::{AvroSchema, Field, Kind, NodeId};
use crate::store::error::StoreError;

/// Types below types are compared to this depth; deeper ones are taken for incompatible. Names can nest a schema much
/// deeper than its text is.
const DEEPEST: usize = 200;
/// Pairs of types that one comparison may look at: branches of unions within branches of unions multiply.
const MOST_PAIRS: usize = 100_000;

/// Which earlier versions a new version of a subject must be compatible with, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Anything goes.
    None,
    /// The new schema reads what the latest version wrote: upgrade consumers first.
    Backward,
    /// The new schema reads what every version wrote.
    BackwardTransitive,
    /// The latest version reads what the new schema writes: upgrade producers first.
    Forward,
    /// Every version reads what the new schema writes.
    ForwardTransitive,
    /// Backward and forward.
    Full,
    /// Backward and forward, with every version.
    FullTransitive,
}

impl Level {
    const ALL: [(Self, &'static str); 7] = [
        (Self::None, "NONE"),
        (Self::Backward, "BACKWARD"),
        (Self::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Self::Forward, "FORWARD"),
        (Self::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Self::Full, "FULL"),
        (Self::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// The level's name in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("NONE", |(_, name)| name)
    }

    /// Whether all versions count, not only the latest.
    #[must_use]
    pub fn transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    fn backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// What keeps `new` from following `old`; nothing if it may.
    #[must_use]
    pub fn problems(self, new: &AvroSchema, old: &AvroSchema) -> Vec<Incompatibility> {
        let mut problems = Vec::new();
        if self.backward() {
            problems.extend(incompatibilities(new, old, ("new", "old")));
        }
        if self.forward() {
            problems.extend(incompatibilities(old, new, ("old", "new")));
        }
        problems
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(level, _)| *level)
            .ok_or_else(|| StoreError::InvalidLevel(text.to_owned()))
    }
}

/// Why a reader's schema cannot read all of a writer's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// Avro's name for it, such as `READER_FIELD_MISSING_DEFAULT_VALUE`.
    pub kind: &'static str,
    /// Where in the reader's schema, such as `/fields/1/type`.
    pub path: String,
    /// What does not fit, for people.
    pub description: String,
}

impl fmt::Display for Incompatibility {
    /// As Confluent's registry words it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{errorType:'{}', description:'{} (at path '{}')'}}", self.kind, self.description, self.path)
    }
}

/// What keeps `reader` from reading every value of `writer`. `names` are what the two are called in descriptions.
fn incompatibilities(reader: &AvroSchema, writer: &AvroSchema, names: (&str, &str)) -> Vec<Incompatibility> {
    let mut check = Check {
        reader,
        writer,
        names,
        seen: HashSet::new(),
        path: String::new(),
        found: Vec::new(),
        depth: 0,
        pairs: 0,
    };
    check.pair(reader.root(), writer.root());
    check.found
}

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    names: (&'a str, &'a str),
    /// Pairs that were checked or are being: recursive types end here.
    seen: HashSet<(NodeId, NodeId)>,
    path: String,
    found: Vec<Incompatibility>,
    /// Of the pair that is looked at.
    depth: usize,
    /// Looked at so far, in attempts too.
    pairs: usize,
}

impl Check<'_> {
    fn add(&mut self, kind: &'static str, description: String) {
        let path = if self.path.is_empty() { "/".to_owned() } else { self.path.clone() };
        self.found.push(Incompatibility { kind, path, description });
    }

    fn below(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        self.path.push_str(step);
        check(self);
        self.path.truncate(len);
    }

    fn pair(&mut self, r: NodeId, w: NodeId) {
        if !self.seen.insert((r, w)) {
            return;
        }
        self.pairs += 1;
        if self.depth >= DEEPEST || self.pairs > MOST_PAIRS {
            let (rs, os) = self.names;
            self.add("TOO_COMPLEX", format!("The {rs} and the {os} schema are too deep or too large to be compared"));
            return;
        }
        self.depth += 1;
        self.types(r, w);
        self.depth -= 1;
    }

    fn types(&mut self, r: NodeId, w: NodeId) {
        let (reader, writer) = (self.reader.node(r), self.writer.node(w));
        match (&reader.kind, &writer.kind) {
            (_, Kind::Union(branches)) => {
                for branch in branches {
                    self.pair(r, *branch);
                }
            }
            (Kind::Union(branches), _) => self.reader_union(branches, w),
            (Kind::Array(ri), Kind::Array(wi)) => self.below("/items", |c| c.pair(*ri, *wi)),
            (Kind::Map(ri), Kind::Map(wi)) => self.below("/values", |c| c.pair(*ri, *wi)),
            (Kind::Record { name, fields }, Kind::Record { name: wn, fields: wf }) => {
                if self.same_name(name.reads(wn), &name.full, &wn.full) {
                    self.fields(fields, wf);
                }
            }
            (Kind::Enum { name, symbols, default }, Kind::Enum { name: wn, symbols: ws, .. }) => {
                if self.same_name(name.reads(wn), &name.full, &wn.full) && default.is_none() {
                    self.symbols(symbols, ws);
                }
            }
            (Kind::Fixed { name, size }, Kind::Fixed { name: wn, size: ws }) => {
                if self.same_name(name.reads(wn), &name.full, &wn.full) && size != ws {
                    let (rs, os) = self.names;
                    self.add(
                        "FIXED_SIZE_MISMATCH",
                        format!("The {rs} schema's fixed has size {size}, the {os} schema's {ws}"),
                    );
                }
            }
            (rk, wk) if promotes(wk, rk) => {}
            _ => {
                let (rs, os) = self.names;
                self.add(
                    "TYPE_MISMATCH",
                    format!(
                        "The type '{}' in the {rs} schema cannot read the type '{}' of the {os} schema",
                        reader.type_name(),
                        writer.type_name()
                    ),
                );
            }
        }
    }

    fn same_name(&mut self, reads: bool, reader: &str, writer: &str) -> bool {
        if !reads {
            let (rs, os) = self.names;
            self.add(
                "NAME_MISMATCH",
                format!("The name '{reader}' in the {rs} schema is neither '{writer}', as in the {os} schema, nor has it as an alias"),
            );
        }
        reads
    }

    /// Some branch must read the writer's value; what is tried here leaves no trace.
    fn reader_union(&mut self, branches: &[NodeId], w: NodeId) {
        let mut pairs = self.pairs;
        let fits = branches.iter().any(|branch| {
            let mut attempt = Check {
                reader: self.reader,
                writer: self.writer,
                names: self.names,
                seen: self.seen.clone(),
                path: String::new(),
                found: Vec::new(),
                depth: self.depth,
                pairs,
            };
            attempt.pair(*branch, w);
            pairs = attempt.pairs;
            attempt.found.is_empty()
        });
        self.pairs = pairs;
        if !fits {
            let (rs, os) = self.names;
            let writer = self.writer.node(w).type_name().to_owned();
            self.add(
                "MISSING_UNION_BRANCH",
                format!(
                    "The union in the {rs} schema lacks a branch that reads the type '{writer}' of the {os} schema"
                ),
            );
        }
    }

    fn fields(&mut self, reader: &[Field], writer: &[Field]) {
        for (index, field) in reader.iter().enumerate() {
            let of_name = |name: &String| writer.iter().find(|w| w.name == *name);
            let source = of_name(&field.name).or_else(|| field.aliases.iter().find_map(of_name));
            self.below(&format!("/fields/{index}"), |c| match source {
                Some(source) => c.below("/type", |c| c.pair(field.node, source.node)),
                None if field.default.is_some() => {}
                None => {
                    let (rs, os) = c.names;
                    c.add(
                        "READER_FIELD_MISSING_DEFAULT_VALUE",
                        format!(
                            "The field '{}' in the {rs} schema has no default value and is missing in the {os} schema",
                            field.name
                        ),
                    );
                }
            });
        }
    }

    fn symbols(&mut self, reader: &IndexSet<String>, writer: &IndexSet<String>) {
        let missing: Vec<&str> = writer.iter().filter(|s| !reader.contains(*s)).map(String::as_str).collect();
        if !missing.is_empty() {
            let (rs, os) = self.names;
            let description = format!(
                "The {rs} schema's enum lacks the symbols [{}] of the {os} schema and has no default",
                missing.join(", ")
            );
            self.add("MISSING_ENUM_SYMBOLS", description);
        }
    }
}

/// Whether every value of the plain type `writer` is read as `reader`. Logical types do not count, as in Confluent's.
fn promotes(writer: &Kind, reader: &Kind) -> bool {
    match writer {
        Kind::Null => matches!(reader, Kind::Null),
        Kind::Boolean => matches!(reader, Kind::Boolean),
        Kind::Int => matches!(reader, Kind::Int | Kind::Long | Kind::Float | Kind::Double),
        Kind::Long => matches!(reader, Kind::Long | Kind::Float | Kind::Double),
        Kind::Float => matches!(reader, Kind::Float | Kind::Double),
        Kind::Double => matches!(reader, Kind::Double),
        Kind::Bytes | Kind::String => matches!(reader, Kind::Bytes | Kind::String),
        _ => false,
    }
}
