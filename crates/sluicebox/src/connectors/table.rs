//! Kinds of tables: from the properties of one to its sink.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sluicebox_pipeline::kinds::TableWords;
use sluicebox_sinks::{LakeError, Outbox, Sink};

use super::Home;

/// A kind of table, by the name that stands after `USING`.
///
/// `examples/sink.rs` has one from beginning to end.
pub trait TableConnector: Send + Sync + Debug {
    /// Its name, and the properties that it alone has.
    fn words(&self) -> &'static TableWords;

    /// The sink of the table that is `asked` for. Nothing is opened or written to make it.
    ///
    /// # Errors
    /// When the properties or the columns are not such as it takes.
    fn sink(&self, asked: &TableAsked<'_>) -> Result<Arc<dyn Sink>, LakeError>;
}

/// What a pipeline says of one table.
pub struct TableAsked<'a> {
    /// Its name.
    pub name: &'a str,
    /// The columns of its rows.
    pub columns: &'a SchemaRef,
    /// Its properties by their names in the reference; references are replaced.
    pub properties: &'a BTreeMap<String, String>,
    /// What the references among them stand for, each with the name of its property: no message should hold it.
    pub meant: &'a [(String, String)],
    /// The folder of the pipeline's checkpoint.
    pub checkpoint: &'a Path,
    /// Where the pipeline runs.
    pub home: &'a Home,
}

impl TableAsked<'_> {
    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// Where rows wait in the checkpoint until they are published: what a sink with transactions stages by.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.checkpoint, self.name)
    }
}
