//! The columns of a table's late rows: those of the streams that its watermark clauses judge, and the event's topic, partition and offset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sluicebox_core::provenance::{is_hidden, place_fields};

use crate::bind::unstorable;
use crate::graph::{Node, StreamNode, Table};

/// See the module's page.
#[derive(Debug, Clone)]
pub struct LateColumns {
    schema: SchemaRef,
    /// Of each clause: the name here of a column, and its name in the stream.
    clauses: BTreeMap<String, BTreeMap<String, String>>,
}

impl LateColumns {
    /// Text: `partition` or `clause`, the watermark that a row was behind.
    pub const REASON: &str = "_late";

    /// Of a table's late rows. A column of one name and type in several streams is one column; one of another type is called
    /// `<stream>_<column>`.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut types: HashMap<String, DataType> = HashMap::new();
        let mut clauses = BTreeMap::new();
        for (stream, clause) in table.flows.iter().flat_map(|flow| judged(&flow.node)) {
            let mut own = BTreeMap::new();
            let visible = stream.schema.fields().iter().filter(|f| !is_hidden(f.name()) && f.name() != Self::REASON);
            for field in visible.filter(|f| unstorable(f.data_type()).is_none()) {
                let name = free_name(&types, field, &stream.upstream);
                if types.insert(name.clone(), field.data_type().clone()).is_none() {
                    fields.push(Arc::new(field.as_ref().clone().with_name(&name).with_nullable(true)));
                }
                own.insert(name, field.name().clone());
            }
            clauses.insert(clause.clone(), own);
        }
        for field in place_fields() {
            if !types.contains_key(field.name()) {
                fields.push(field);
            }
        }
        fields.push(Arc::new(Field::new(Self::REASON, DataType::Utf8, false)));
        Self { schema: Arc::new(Schema::new(fields)), clauses }
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that rows of `clause` have, by their names here: their names in the stream.
    #[must_use]
    pub fn of(&self, clause: &str) -> Option<&BTreeMap<String, String>> {
        self.clauses.get(clause)
    }
}

/// The name of a column that is new, or is the same as one of those that have `types`.
fn free_name(types: &HashMap<String, DataType>, field: &Field, stream: &str) -> String {
    let mut name = field.name().clone();
    while types.get(&name).is_some_and(|known| known != field.data_type()) {
        name = format!("{stream}_{name}");
    }
    name
}

/// The streams below `node` at which a clause stands, and its id.
fn judged(node: &Node) -> Vec<(&StreamNode, &String)> {
    let streams = node.streams().into_iter();
    streams.filter_map(|stream| stream.clause.as_ref().map(|clause| (stream, &clause.id))).collect()
}
