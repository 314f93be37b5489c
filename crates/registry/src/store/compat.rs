//! Compatibility: whether one schema can read everything that another one wrote.
//!
//! This module compares schemas itself. `apache-avro` compares named types by their names alone, in both directions, ignores aliases of
//! records, and does not say where two schemas differ. `tests/apache.rs` shows it, `docs/decisions/0029` weighs it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use indexmap::IndexSet;
use sluicebox_core::told::listed;

use crate::schema::{AvroSchema, Field, Kind, Node, NodeId};

/// Types below types are compared to this depth; deeper ones are taken for incompatible. Names can nest a schema much
/// deeper than its text is.
const DEEPEST: usize = 200;
/// Pairs of types that one comparison may look at: branches of unions within branches of unions multiply.
const MOST_PAIRS: usize = 100_000;
/// Work that one request may take, about a second: a name that is compared counts one.
const MOST_WORK: usize = 20_000_000;
/// What a pair of types counts.
const PAIR: usize = 10;
/// With so many problems a comparison ends.
pub(super) const MOST_FOUND: usize = 100;

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

/// How much comparing a request may still do: a limit that does not depend on the machine, as a deadline would.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: MOST_WORK }
    }
}

impl Work {
    /// Takes `work`; false when there is not so much left, and then there is none.
    pub(super) fn spend(&mut self, work: usize) -> bool {
        let rest = self.left.checked_sub(work);
        self.left = rest.unwrap_or(0);
        rest.is_some()
    }

    /// Whether there is none left.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    #[cfg(test)]
    pub(super) fn of(left: usize) -> Self {
        Self { left }
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

/// That two schemas, `names`, are not compared.
pub(super) fn too_complex((reader, writer): (&str, &str)) -> Incompatibility {
    let description =
        format!("The {reader} and the {writer} schema are too deep, too large or too many to be compared");
    Incompatibility { kind: "TOO_COMPLEX", path: "/".to_owned(), description }
}

/// What keeps `reader` from reading every value of `writer`. `names` are what the two are called in descriptions.
pub(super) fn incompatibilities(
    reader: &AvroSchema,
    writer: &AvroSchema,
    names: (&str, &str),
    work: &mut Work,
) -> Vec<Incompatibility> {
    let mut check = Check {
        reader,
        writer,
        names,
        seen: HashSet::new(),
        order: Vec::new(),
        path: String::new(),
        found: Vec::new(),
        enough: MOST_FOUND,
        depth: 0,
        pairs: 0,
        work,
        exhausted: false,
    };
    check.pair(reader.root(), writer.root());
    if check.exhausted {
        check.found.push(too_complex(names));
    }
    check.found
}

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    names: (&'a str, &'a str),
    /// Pairs that were checked or are being: recursive types end here.
    seen: HashSet<(NodeId, NodeId)>,
    /// Those of `seen` in the order in which they came, so that an attempt can take back its own.
    order: Vec<(NodeId, NodeId)>,
    path: String,
    found: Vec<Incompatibility>,
    /// With so many found nothing more is looked at.
    enough: usize,
    /// Of the pair that is looked at.
    depth: usize,
    /// Looked at so far, in attempts too.
    pairs: usize,
    work: &'a mut Work,
    /// Whether it ended before all was looked at.
    exhausted: bool,
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

    fn is_over(&self) -> bool {
        self.exhausted || self.found.len() >= self.enough
    }

    /// Takes `work`; false when the check is over.
    fn spend(&mut self, work: usize) -> bool {
        self.exhausted |= !self.work.spend(work);
        !self.is_over()
    }

    fn pair(&mut self, r: NodeId, w: NodeId) {
        if self.is_over() || !self.seen.insert((r, w)) {
            return;
        }
        self.order.push((r, w));
        self.pairs += 1;
        self.exhausted |= self.pairs > MOST_PAIRS;
        if !self.spend(PAIR + self.reader.node(r).aliases()) {
            return;
        }
        if self.depth >= DEEPEST {
            let problem = too_complex(self.names);
            self.add(problem.kind, problem.description);
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
                    if self.is_over() {
                        return;
                    }
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

    /// Some branch must read the writer's value.
    fn reader_union(&mut self, branches: &[NodeId], w: NodeId) {
        for branch in branches {
            if !self.spend(1 + self.reader.node(*branch).aliases()) {
                return;
            }
            if may_read(self.reader.node(*branch), self.writer.node(w)) && self.attempt(*branch, w) {
                return;
            }
        }
        if self.is_over() {
            return;
        }
        let (rs, os) = self.names;
        let writer = self.writer.node(w).type_name().to_owned();
        self.add(
            "MISSING_UNION_BRANCH",
            format!("The union in the {rs} schema lacks a branch that reads the type '{writer}' of the {os} schema"),
        );
    }

    /// Whether the branch `r` reads the value `w`. Of one that does not, nothing stays, neither what is wrong with it nor the pairs
    /// that were looked at for it.
    fn attempt(&mut self, r: NodeId, w: NodeId) -> bool {
        let before = self.order.len();
        let found = std::mem::take(&mut self.found);
        let enough = std::mem::replace(&mut self.enough, 1);
        self.pair(r, w);
        let fits = self.found.is_empty() && !self.exhausted;
        self.found = found;
        self.enough = enough;
        if !fits {
            for pair in self.order.drain(before..) {
                self.seen.remove(&pair);
            }
        }
        fits
    }

    fn fields(&mut self, reader: &[Field], writer: &[Field]) {
        if !self.spend(writer.len() + reader.iter().map(|f| 1 + f.aliases.len()).sum::<usize>()) {
            return;
        }
        let by_name: HashMap<&str, &Field> = writer.iter().map(|w| (w.name.as_str(), w)).collect();
        let of_name = |name: &String| by_name.get(name.as_str()).copied();
        for (index, field) in reader.iter().enumerate() {
            if self.is_over() {
                return;
            }
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
        if !self.spend(writer.len()) {
            return;
        }
        let missing: Vec<&String> = writer.iter().filter(|s| !reader.contains(*s)).collect();
        if !missing.is_empty() {
            let (rs, os) = self.names;
            let description = format!(
                "The {rs} schema's enum lacks the symbols [{}] of the {os} schema and has no default",
                listed(missing.iter())
            );
            self.add("MISSING_ENUM_SYMBOLS", description);
        }
    }
}

/// Whether the branch `reader` of a union may read the value `writer`, by their kinds and names: most branches of a large union do not.
fn may_read(reader: &Node, writer: &Node) -> bool {
    match (&reader.kind, &writer.kind) {
        (Kind::Array(_), Kind::Array(_)) | (Kind::Map(_), Kind::Map(_)) => true,
        (Kind::Record { name, .. }, Kind::Record { name: of, .. })
        | (Kind::Enum { name, .. }, Kind::Enum { name: of, .. })
        | (Kind::Fixed { name, .. }, Kind::Fixed { name: of, .. }) => name.reads(of),
        (reader, writer) => promotes(writer, reader),
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
