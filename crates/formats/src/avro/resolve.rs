//! Schema resolution as the specification defines it, compiled to [`Op`]s.
//!
//! Where the specification leaves room: a writer's value goes to the reader's union branch of its own type before one that needs a
//! promotion, as in Java; times of different units are converted and not reinterpreted; a decimal may gain digits after the point but not
//! lose them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use sluicebox_core::told::{beginning, listed};
use sluicebox_registry::schema::{AvroSchema, Defaults, Field, Kind, Logical, Node, NodeId};

use crate::avro::leaf::leaf;
use crate::avro::program::{FieldStep, Items, Op, Record, Symbols, What};
use crate::limits::WORTH;

/// Work that resolving one schema may take, about a tenth of a second of it: a name that is compared counts one.
const MOST_WORK: usize = 5_000_000;
/// What a field or value counts, for which an operation is made.
const OPERATION: usize = 25;
/// So many bytes of text that is kept count one.
const BYTES: usize = 8;

pub(super) struct Resolver<'a> {
    writer: &'a AvroSchema,
    reader: &'a AvroSchema,
    /// For each of the writer's nodes, whether a value may take no byte.
    empty: &'a [bool],
    /// The same for the reader's, needed for defaults.
    reader_empty: Cow<'a, [bool]>,
    defaults: Defaults<'a>,
    /// Of the pairs of enums that were met, and of those of defaults, which are read from the reader's enum.
    enums: Enums,
    enums_of_defaults: Enums,
    path: Vec<String>,
    ignored: Vec<String>,
    work: usize,
}

/// By the writer's enum and the reader's.
type Enums = HashMap<(NodeId, NodeId), Symbols>;

impl<'a> Resolver<'a> {
    pub(super) fn new(writer: &'a AvroSchema, reader: &'a AvroSchema, empty: &'a [bool]) -> Self {
        Self {
            writer,
            reader,
            empty,
            reader_empty: Cow::Owned(reader.may_be_empty()),
            defaults: Defaults::new(reader),
            enums: Enums::new(),
            enums_of_defaults: Enums::new(),
            path: Vec::new(),
            ignored: Vec::new(),
            work: 0,
        }
    }

    /// The paths of the writer's fields that the reader lacks, sorted.
    pub(super) fn ignored(self) -> Vec<String> {
        let mut ignored = self.ignored;
        ignored.sort();
        ignored.dedup();
        ignored
    }

    /// The program over the value's columns: the record's own, or one column for another type.
    pub(super) fn root(&mut self) -> Result<Op, String> {
        let op = self.value(self.writer.root(), self.reader.root())?;
        if matches!(self.reader.node(self.reader.root()).kind, Kind::Record { .. }) {
            return Ok(op);
        }
        let step = FieldStep { name: "value".into(), what: What::Read { column: 0, op } };
        Ok(Op::Record(Box::new(Record { steps: vec![step] })))
    }

    fn spend(&mut self, work: usize) -> Result<(), String> {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK { Err("the two schemas are too large to be resolved".to_owned()) } else { Ok(()) }
    }

    fn value(&mut self, w: NodeId, r: NodeId) -> Result<Op, String> {
        let (writer, reader) = (self.writer.node(w), self.reader.node(r));
        self.spend(OPERATION + reader.aliases())?;
        match (&writer.kind, &reader.kind) {
            (Kind::Union(branches), _) => self.each_branch(branches, r),
            (_, Kind::Union(branches)) => self.best_branch(w, branches),
            (Kind::Null, Kind::Null) => Ok(Op::Null),
            (Kind::Boolean, Kind::Boolean) => Ok(Op::Boolean),
            (Kind::Array(wi), Kind::Array(ri)) => Ok(Op::Array(Box::new(self.items(*wi, *ri, "[]")?))),
            (Kind::Map(wi), Kind::Map(ri)) => {
                let mut items = self.items(*wi, *ri, "{}")?;
                // An entry has a key, whose length takes a byte.
                items.empty = false;
                items.width += 1;
                Ok(Op::Map(Box::new(items)))
            }
            (Kind::Enum { name: wn, symbols, .. }, Kind::Enum { name: rn, symbols: known, default })
                if rn.reads(wn) =>
            {
                self.enumeration((w, r), symbols, known, default.as_deref())
            }
            (Kind::Record { name: wn, fields: wf }, Kind::Record { name: rn, fields: rf }) => {
                if rn.reads(wn) {
                    self.record(wf, rf)
                } else {
                    Err(self.at(format!(
                        "the writer's record is '{}', the reader's '{}' without an alias for it",
                        wn.full, rn.full
                    )))
                }
            }
            _ => leaf(writer, reader).ok_or_else(|| {
                self.at(format!("the writer's {} cannot be read as {}", describe(writer), describe(reader)))
            }),
        }
    }

    fn at(&self, problem: String) -> String {
        if self.path.is_empty() { problem } else { format!("field {}: {problem}", self.path.join(".")) }
    }

    fn items(&mut self, w: NodeId, r: NodeId, mark: &str) -> Result<Items, String> {
        self.path.push(mark.to_owned());
        let op = self.value(w, r);
        self.path.pop();
        Ok(Items { op: op?, empty: self.empty[w], width: width(self.reader, r) })
    }

    /// Each of the writer's branches on its own; one that cannot be read fails only the events that have it.
    fn each_branch(&mut self, branches: &[NodeId], r: NodeId) -> Result<Op, String> {
        let mut ops = Vec::with_capacity(branches.len());
        let mut first_problem = None;
        let here = self.path.len();
        for branch in branches {
            ops.push(self.value(*branch, r).unwrap_or_else(|problem| {
                self.path.truncate(here);
                let problem = beginning(problem);
                let op = Op::Unresolvable(problem.as_str().into());
                first_problem.get_or_insert(problem);
                op
            }));
        }
        if ops.iter().all(|op| matches!(op, Op::Unresolvable(_))) {
            return Err(first_problem.unwrap_or_else(|| self.at("a union without branches has no values".to_owned())));
        }
        let null = match &ops[..] {
            [Op::Null, _] => 0,
            [_, Op::Null] => 1,
            _ => return Ok(Op::Union(ops.into())),
        };
        let other = Box::new(ops.swap_remove(usize::from(1 - null)));
        Ok(Op::Nullable { null, other })
    }

    /// Into the first branch that fits best: its own type and name, its own type, a promotion.
    fn best_branch(&mut self, w: NodeId, branches: &[NodeId]) -> Result<Op, String> {
        let writer = self.writer.node(w);
        let work: usize = branches.iter().map(|b| 1 + self.reader.node(*b).aliases()).sum();
        self.spend(work)?;
        // The rank of each that may do, and the number of its member, which branches other than null have.
        let mut candidates: Vec<(u8, NodeId, Option<usize>)> = Vec::new();
        let mut members = 0;
        for branch in branches {
            let reader = self.reader.node(*branch);
            let member = (!matches!(reader.kind, Kind::Null)).then_some(members);
            members += usize::from(member.is_some());
            candidates.extend(rank(writer, reader).map(|rank| (rank, *branch, member)));
        }
        candidates.sort_by_key(|(rank, ..)| *rank);
        let mut problem = None;
        let here = self.path.len();
        for (_, branch, member) in candidates {
            match self.value(w, branch) {
                // A union of one branch beside null is that branch; and null makes the whole union NULL.
                Ok(op) => {
                    return Ok(match member.filter(|_| members > 1) {
                        Some(member) => Op::Member { member, op: Box::new(op) },
                        None => op,
                    });
                }
                Err(e) => {
                    self.path.truncate(here);
                    problem = problem.or(Some(e));
                }
            }
        }
        Err(problem.unwrap_or_else(|| {
            let names = listed(branches.iter().map(|b| describe(self.reader.node(*b))));
            self.at(format!("the writer's {} cannot be read as any of {names}", describe(writer)))
        }))
    }

    fn enumeration(
        &mut self,
        pair: (NodeId, NodeId),
        symbols: &IndexSet<String>,
        known: &IndexSet<String>,
        default: Option<&str>,
    ) -> Result<Op, String> {
        if let Some(symbols) = self.enums.get(&pair) {
            return Ok(Op::Enum(Symbols::clone(symbols)));
        }
        self.spend(symbols.len())?;
        let text = |symbol: &String| match (known.contains(symbol), default) {
            (true, _) => Ok(symbol.as_str().into()),
            (false, Some(default)) => Ok(default.into()),
            (false, None) => {
                Err(format!("symbol '{symbol}' is unknown to the reader's enum, which has no default").into())
            }
        };
        let symbols: Symbols = symbols.iter().map(text).collect();
        self.enums.insert(pair, Symbols::clone(&symbols));
        Ok(Op::Enum(symbols))
    }

    fn record(&mut self, writer: &[Field], reader: &[Field]) -> Result<Op, String> {
        self.spend(OPERATION * writer.len() + reader.iter().map(|f| 1 + f.aliases.len()).sum::<usize>())?;
        let mut steps = Vec::with_capacity(writer.len());
        let sources = sources(writer, reader);
        let mut columns = vec![None; writer.len()];
        for (column, source) in sources.iter().enumerate() {
            if let Some(index) = source {
                columns[*index] = Some(column);
            }
        }
        for (field, column) in writer.iter().zip(columns) {
            self.path.push(field.name.clone());
            let what = match column {
                Some(column) => What::Read { column, op: self.value(field.node, reader[column].node)? },
                None => {
                    let path = self.path.join(".").replace(".[]", "[]").replace(".{}", "{}");
                    self.spend(path.len() / BYTES)?;
                    self.ignored.push(path);
                    What::Skip(field.node)
                }
            };
            self.path.pop();
            steps.push(FieldStep { name: field.name.as_str().into(), what });
        }
        for (column, field) in reader.iter().enumerate().filter(|(i, _)| sources[*i].is_none()) {
            self.path.push(field.name.clone());
            steps.push(FieldStep { name: field.name.as_str().into(), what: self.default(column, field)? });
            self.path.pop();
        }
        Ok(Op::Record(Box::new(Record { steps })))
    }

    fn default(&mut self, column: usize, field: &Field) -> Result<What, String> {
        let json = field
            .default
            .as_ref()
            .ok_or_else(|| self.at("the writer does not have it, and the reader schema gives no default".to_owned()))?;
        let bytes: Result<Box<[u8]>, String> = self.defaults.encode(field.node, json).map(Box::from);
        let bytes = bytes.map_err(|problem| self.at(problem))?;
        let enums = std::mem::take(&mut self.enums_of_defaults);
        let empty: &[bool] = &self.reader_empty;
        let mut own = Resolver {
            writer: self.reader,
            reader: self.reader,
            empty,
            reader_empty: Cow::Borrowed(empty),
            defaults: Defaults::new(self.reader),
            enums,
            enums_of_defaults: Enums::new(),
            path: self.path.clone(),
            ignored: Vec::new(),
            work: self.work,
        };
        let op = own.value(field.node, field.node);
        let Resolver { enums, work, .. } = own;
        (self.enums_of_defaults, self.work) = (enums, work);
        let cost = bytes.len() + width(self.reader, field.node);
        Ok(What::Default { column, op: op?, bytes, cost })
    }
}

/// For each of the reader's fields, the writer's that it is read from: by name, else by alias; each at most once.
fn sources(writer: &[Field], reader: &[Field]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> = writer.iter().enumerate().map(|(at, w)| (w.name.as_str(), at)).collect();
    let find = |name: &String| places.get(name.as_str()).copied();
    let mut sources: Vec<Option<usize>> = reader.iter().map(|r| find(&r.name)).collect();
    let mut taken: HashSet<usize> = sources.iter().flatten().copied().collect();
    for (source, field) in sources.iter_mut().zip(reader) {
        if source.is_none() {
            *source = field.aliases.iter().filter_map(find).find(|at| taken.insert(*at));
        }
    }
    sources
}

/// How well a reader's branch suits a writer's value, less is better; `None` if not at all.
fn rank(writer: &Node, reader: &Node) -> Option<u8> {
    let same_kind = std::mem::discriminant(&writer.kind) == std::mem::discriminant(&reader.kind);
    match (writer.name(), reader.name()) {
        (Some(w), Some(r)) if same_kind => match (w.full == r.full, r.reads(w)) {
            (true, _) => Some(0),
            (false, true) => Some(1),
            (false, false) => None,
        },
        _ if same_kind => Some(0),
        _ => Some(2),
    }
}

/// Columns, nested ones included, that a value of the reader's node appends to; of long bytes as many as they are worth. The reader
/// schema is not recursive.
fn width(reader: &AvroSchema, id: NodeId) -> usize {
    match &reader.node(id).kind {
        Kind::Record { fields, .. } => 1 + fields.iter().map(|f| width(reader, f.node)).sum::<usize>(),
        Kind::Union(branches) => branches.iter().map(|b| width(reader, *b)).sum(),
        Kind::Fixed { size, .. } => 1 + size / WORTH,
        // Their items are counted when they come.
        _ => 1,
    }
}

fn describe(node: &Node) -> String {
    let logical = match node.logical {
        None => "",
        Some(Logical::Decimal { precision, scale }) => return format!("decimal({precision}, {scale})"),
        Some(Logical::Uuid) => "uuid",
        Some(Logical::Date) => "date",
        Some(Logical::Time(_)) => "time",
        Some(Logical::Timestamp { local: false, .. }) => "timestamp",
        Some(Logical::Timestamp { local: true, .. }) => "local timestamp",
        Some(Logical::Duration) => "duration",
    };
    match (&node.kind, logical) {
        (_, logical) if !logical.is_empty() => format!("{} ({logical})", node.type_name()),
        (Kind::Fixed { name, size }, _) => format!("fixed '{}' of {size} bytes", name.full),
        (Kind::Enum { name, .. }, _) => format!("enum '{}'", name.full),
        (Kind::Record { name, .. }, _) => format!("record '{}'", name.full),
        _ => node.type_name().to_owned(),
    }
}
