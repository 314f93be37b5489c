//! Parses the JSON of a schema into nodes.

use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use serde_json::{Map, Value as Json};
use sluicebox_core::shown::cut_to;

use crate::registry::SchemaText;
use crate::schema::default::shown;
use crate::schema::{AvroSchema, Field, Kind, Logical, Name, Node, NodeId, SchemaError, Unit};

/// Types are nested at most this deep; what generators write stays far below.
const DEEPEST: usize = 200;
/// Nodes that a schema and what it refers to may have.
const MOST_NODES: usize = 100_000;
/// Bytes of a name, with its namespace: each name below carries it, and each path in a message its fields'.
const LONGEST_NAME: usize = 1024;
/// Symbols of an enum.
const MOST_SYMBOLS: usize = 65_536;
/// Aliases that a schema and what it refers to may have: each carries its type's namespace, and is compared with the other schema's names.
const MOST_ALIASES: usize = 20_000;
/// Bytes of a path in a message, about: each field below carries it.
const LONGEST_PATH: usize = 2_000;
/// Characters that are told of a name, or of what stands in the place of one.
const TOLD: usize = 100;
/// The largest fixed.
const LARGEST_FIXED: u64 = 1 << 24;

pub(super) fn parse(text: &SchemaText) -> Result<AvroSchema, SchemaError> {
    let mut parser = Parser { nodes: Vec::new(), names: HashMap::new(), aliases: 0, depth: 0 };
    for reference in &text.references {
        let name = &reference.reference.name;
        let place = format!("the reference '{name}'");
        let id = parser.top(&reference.schema, &place)?;
        // A reference may use a name of its own for what it refers to, as long as nothing else has it.
        parser.names.entry(name.clone()).or_insert(id);
    }
    let root = parser.top(&text.schema, "")?;
    Ok(AvroSchema { nodes: parser.nodes, root })
}

struct Parser {
    nodes: Vec<Node>,
    /// Full names defined so far.
    names: HashMap<String, NodeId>,
    /// How many there were so far.
    aliases: usize,
    depth: usize,
}

/// Where the parser is: for messages, and for names without a namespace.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    namespace: &'a str,
}

impl Place<'_> {
    fn error(&self, problem: impl Into<String>) -> SchemaError {
        SchemaError::new(self.path, problem)
    }
}

impl Parser {
    fn top(&mut self, text: &str, path: &str) -> Result<NodeId, SchemaError> {
        let place = Place { path, namespace: "" };
        let json: Json = serde_json::from_str(text).map_err(|e| place.error(format!("is not JSON: {e}")))?;
        self.node(&json, place)
    }

    fn node(&mut self, json: &Json, place: Place<'_>) -> Result<NodeId, SchemaError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(place.error(format!("is nested deeper than {DEEPEST} types")));
        }
        let node = match json {
            Json::String(name) => self.named(name, place),
            Json::Array(branches) => self.union(branches, place),
            Json::Object(object) => self.object(object, place),
            other => {
                let other = told(&other.to_string());
                Err(place.error(format!("{other} is no type; a type is a name, an object or a list of types")))
            }
        };
        self.depth -= 1;
        node
    }

    fn add(&mut self, kind: Kind, logical: Option<Logical>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= MOST_NODES {
            return Err(place.error(format!("the schema has more than {MOST_NODES} types")));
        }
        self.nodes.push(Node { kind, logical });
        Ok(self.nodes.len() - 1)
    }

    fn named(&mut self, name: &str, place: Place<'_>) -> Result<NodeId, SchemaError> {
        if let Some(kind) = primitive(name) {
            return self.add(kind, None, place);
        }
        let full = full_name(name, place.namespace);
        // Some writers leave out the namespace of names that have none.
        self.names.get(&full).or_else(|| self.names.get(name)).copied().ok_or_else(|| {
            let full = told(&full);
            place.error(format!("type '{full}' is neither a primitive type, nor defined before, nor a reference"))
        })
    }

    fn object(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        let kind = match object.get("type") {
            None => return Err(place.error("a type's object needs an attribute 'type'")),
            Some(Json::String(kind)) => kind.as_str(),
            // `{"type": {"type": ...}}` and `{"type": [...]}` stand for the inner type.
            Some(inner) => {
                let id = self.node(inner, place)?;
                return self.annotated(id, object, place);
            }
        };
        match kind {
            "record" | "error" => self.record(object, place),
            "enum" => self.enumeration(object, place),
            "fixed" => self.fixed(object, place),
            "array" | "map" => {
                let attribute = if kind == "array" { "items" } else { "values" };
                let path = below(place.path, if kind == "array" { "[]" } else { "{}" });
                let inner = object
                    .get(attribute)
                    .ok_or_else(|| place.error(format!("{kind} needs an attribute '{attribute}'")))?;
                let id = self.node(inner, Place { path: &path, ..place })?;
                self.add(if kind == "array" { Kind::Array(id) } else { Kind::Map(id) }, None, place)
            }
            name => {
                let id = self.named(name, place)?;
                self.annotated(id, object, place)
            }
        }
    }

    /// The node of a primitive type with the logical type of `object`; names keep what they were defined with.
    fn annotated(&mut self, id: NodeId, object: &Map<String, Json>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        let node = &self.nodes[id];
        if node.name().is_some() || node.logical.is_some() {
            return Ok(id);
        }
        match logical(&node.kind, object) {
            Some(logical) => {
                let kind = node.kind.clone();
                self.add(kind, Some(logical), place)
            }
            None => Ok(id),
        }
    }

    fn union(&mut self, branches: &[Json], place: Place<'_>) -> Result<NodeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        let mut seen = HashSet::new();
        for branch in branches {
            let id = self.node(branch, place)?;
            let node = &self.nodes[id];
            if matches!(node.kind, Kind::Union(_)) {
                return Err(place.error("a union must not hold a union at once"));
            }
            let name = node.name().map_or_else(|| node.type_name().to_owned(), |n| n.full.clone());
            if !seen.insert(name.clone()) {
                return Err(place.error(format!("the union has two branches of type '{name}'")));
            }
            ids.push(id);
        }
        self.add(Kind::Union(ids), None, place)
    }

    fn record(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        let name = self.name(object, place)?;
        let fields = object
            .get("fields")
            .and_then(Json::as_array)
            .ok_or_else(|| place.error(format!("record '{}' needs an attribute 'fields' with a list", name.full)))?;
        // Its fields may name the record, so it must be there before them.
        let id =
            self.define(name.full.clone(), Kind::Record { name: name.clone(), fields: Vec::new() }, None, place)?;
        let namespace = name.full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let base = if place.path.is_empty() { name.short().to_owned() } else { place.path.to_owned() };
        let mut parsed = Vec::with_capacity(fields.len());
        let mut seen = HashSet::new();
        for field in fields {
            let field = self.field(field, &base, namespace)?;
            if !seen.insert(field.name.clone()) {
                return Err(place.error(format!("record '{}' has two fields '{}'", name.full, field.name)));
            }
            parsed.push(field);
        }
        self.nodes[id].kind = Kind::Record { name, fields: parsed };
        Ok(id)
    }

    fn field(&mut self, json: &Json, base: &str, namespace: &str) -> Result<Field, SchemaError> {
        let at = Place { path: base, namespace };
        let object = json
            .as_object()
            .ok_or_else(|| at.error(format!("{} is no field; a field is an object", told(&json.to_string()))))?;
        let name = text(object, "name").ok_or_else(|| at.error("a field needs an attribute 'name'"))?;
        check_length(name, at)?;
        let path = below(base, &format!(".{name}"));
        let place = Place { path: &path, namespace };
        check_identifier(name, place)?;
        let json = object.get("type").ok_or_else(|| place.error("the field needs an attribute 'type'"))?;
        let node = self.node(json, place)?;
        let aliases = self.aliases(object, place)?;
        Ok(Field { name: name.to_owned(), aliases, node, default: object.get("default").cloned() })
    }

    fn enumeration(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        let name = self.name(object, place)?;
        if !object.contains_key("symbols") {
            return Err(place.error(format!("enum '{}' needs an attribute 'symbols' with a list", name.full)));
        }
        let texts = texts(object, "symbols", place)?;
        if texts.len() > MOST_SYMBOLS {
            let (name, there) = (&name.full, texts.len());
            return Err(place.error(format!("enum '{name}' has {there} symbols, {MOST_SYMBOLS} are the most")));
        }
        let mut symbols = IndexSet::with_capacity(texts.len());
        for symbol in texts {
            check_length(&symbol, place)?;
            check_identifier(&symbol, place)?;
            if symbols.contains(&symbol) {
                return Err(place.error(format!("enum '{}' has two symbols '{symbol}'", name.full)));
            }
            symbols.insert(symbol);
        }
        let default = match object.get("default") {
            None => None,
            Some(Json::String(symbol)) if symbols.contains(symbol) => Some(symbol.clone()),
            Some(other) => {
                let (other, name) = (shown(other), told(&name.full));
                return Err(place.error(format!("the default {other} of enum '{name}' is no symbol of it")));
            }
        };
        self.define(name.full.clone(), Kind::Enum { name, symbols, default }, None, place)
    }

    fn fixed(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<NodeId, SchemaError> {
        let name = self.name(object, place)?;
        let size =
            object.get("size").and_then(Json::as_u64).filter(|size| *size <= LARGEST_FIXED).ok_or_else(|| {
                place.error(format!("fixed '{}' needs an attribute 'size' from 0 to {LARGEST_FIXED}", name.full))
            })?;
        let kind = Kind::Fixed { name: name.clone(), size: usize::try_from(size).unwrap_or_default() };
        let logical = logical(&kind, object);
        self.define(name.full.clone(), kind, logical, place)
    }

    fn define(
        &mut self,
        full: String,
        kind: Kind,
        logical: Option<Logical>,
        place: Place<'_>,
    ) -> Result<NodeId, SchemaError> {
        if self.names.contains_key(&full) {
            return Err(place.error(format!("'{full}' is defined twice")));
        }
        let id = self.add(kind, logical, place)?;
        self.names.insert(full, id);
        Ok(id)
    }

    fn name(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<Name, SchemaError> {
        let name =
            text(object, "name").ok_or_else(|| place.error("a record, enum or fixed needs an attribute 'name'"))?;
        let full = full_name(name, text(object, "namespace").unwrap_or(place.namespace));
        check_length(&full, place)?;
        if primitive(&full).is_some() {
            return Err(place.error(format!("'{full}' is the name of a primitive type")));
        }
        for part in full.split('.') {
            check_identifier(part, place)?;
        }
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let aliases = self.aliases(object, place)?.iter().map(|alias| full_name(alias, namespace)).collect();
        Ok(Name { full, aliases })
    }

    fn aliases(&mut self, object: &Map<String, Json>, place: Place<'_>) -> Result<Vec<String>, SchemaError> {
        let aliases = texts(object, "aliases", place)?;
        self.aliases += aliases.len();
        if self.aliases > MOST_ALIASES {
            return Err(place.error(format!("the schema has more than {MOST_ALIASES} aliases")));
        }
        Ok(aliases)
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.strip_prefix('.') {
        Some(name) => name.to_owned(),
        None if name.contains('.') || namespace.is_empty() => name.to_owned(),
        None => format!("{namespace}.{name}"),
    }
}

/// The path of `step` below `base`. What lies behind a long path is told by the beginning of it.
fn below(base: &str, step: &str) -> String {
    match base {
        long if long.ends_with("...") => long.to_owned(),
        long if long.len() > LONGEST_PATH => format!("{long}..."),
        _ => format!("{base}{step}"),
    }
}

fn check_identifier(name: &str, place: Place<'_>) -> Result<(), SchemaError> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let name = told(name);
    Err(place.error(format!("'{name}' is no name: names have letters, digits and _, and start with no digit")))
}

/// A name, or what stands in the place of one, in a message.
fn told(text: &str) -> String {
    cut_to(text, TOLD)
}

fn check_length(name: &str, place: Place<'_>) -> Result<(), SchemaError> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(place.error(format!("a name has {} bytes, {LONGEST_NAME} are the most", name.len())))
}

fn text<'a>(object: &'a Map<String, Json>, attribute: &str) -> Option<&'a str> {
    object.get(attribute).and_then(Json::as_str)
}

fn texts(object: &Map<String, Json>, attribute: &str, place: Place<'_>) -> Result<Vec<String>, SchemaError> {
    let Some(json) = object.get(attribute) else { return Ok(Vec::new()) };
    json.as_array()
        .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect())
        .ok_or_else(|| place.error(format!("attribute '{attribute}' must be a list of texts")))
}

/// The logical type that `object` gives to `kind`, if it fits.
fn logical(kind: &Kind, object: &Map<String, Json>) -> Option<Logical> {
    let name = text(object, "logicalType")?;
    let timestamp = |unit, local| Some(Logical::Timestamp { unit, local });
    match (kind, name) {
        (Kind::Bytes | Kind::Fixed { .. }, "decimal") => decimal(kind, object),
        (Kind::String | Kind::Fixed { size: 16, .. }, "uuid") => Some(Logical::Uuid),
        (Kind::Fixed { size: 12, .. }, "duration") => Some(Logical::Duration),
        (Kind::Int, "date") => Some(Logical::Date),
        (Kind::Int, "time-millis") => Some(Logical::Time(Unit::Millis)),
        (Kind::Long, "time-micros") => Some(Logical::Time(Unit::Micros)),
        (Kind::Long, "timestamp-millis") => timestamp(Unit::Millis, false),
        (Kind::Long, "timestamp-micros") => timestamp(Unit::Micros, false),
        (Kind::Long, "timestamp-nanos") => timestamp(Unit::Nanos, false),
        (Kind::Long, "local-timestamp-millis") => timestamp(Unit::Millis, true),
        (Kind::Long, "local-timestamp-micros") => timestamp(Unit::Micros, true),
        (Kind::Long, "local-timestamp-nanos") => timestamp(Unit::Nanos, true),
        _ => None,
    }
}

fn decimal(kind: &Kind, object: &Map<String, Json>) -> Option<Logical> {
    let number = |attribute: &str| object.get(attribute).map(|v| v.as_u64().and_then(|v| u32::try_from(v).ok()));
    let precision = number("precision")??;
    let scale = number("scale").unwrap_or(Some(0))?;
    // A fixed of n bytes holds every number of floor(log10(2^(8n-1))) digits.
    let fits = match kind {
        Kind::Fixed { size, .. } => {
            let bits = u32::try_from(*size).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(1);
            f64::from(precision) <= f64::from(bits) * std::f64::consts::LOG10_2
        }
        _ => true,
    };
    (precision > 0 && scale <= precision && fits).then_some(Logical::Decimal { precision, scale })
}
