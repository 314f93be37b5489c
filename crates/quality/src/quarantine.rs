//! The form of a row in quarantine.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Builder, ListArray, ListBuilder, RecordBatch, StringBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sluicebox_core::{PartitionId, provenance};

use crate::error::Result;
use crate::row_error::{RowError, place};

/// List of Utf8: the names of the expectations that a quarantined row broke, in the order of the text; empty for a row that
/// could not be computed.
pub const VIOLATIONS: &str = "_violations";

/// Why a row could not be computed: NULL, all of them, for a row that broke an expectation.
const ERRORS: [&str; 5] = ["_error_table", "_error_column", "_error_expression", "_error_value", "_error_message"];

/// The columns of quarantined rows: those of the table, which may be NULL here, [`VIOLATIONS`], why the row could not be
/// computed, and its place in the source, as far as the table has no columns that are called so.
#[must_use]
pub fn quarantine_schema(visible: &Schema) -> SchemaRef {
    let own = visible.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    let mut fields: Vec<FieldRef> = own.collect();
    fields.push(Arc::new(Field::new(VIOLATIONS, DataType::List(item()), false)));
    fields.extend(ERRORS.map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
    fields.extend(missing_place(visible));
    Arc::new(Schema::new(fields))
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8, false))
}

fn missing_place(visible: &Schema) -> impl Iterator<Item = FieldRef> {
    provenance::place_fields().into_iter().filter(|field| visible.field_with_name(field.name()).is_err())
}

/// Makes rows for the quarantine of one table in one batch.
#[derive(Debug, Clone)]
pub struct Quarantine {
    table: String,
    visible: SchemaRef,
    schema: SchemaRef,
    parts: Vec<PartitionId>,
}

impl Quarantine {
    /// For rows of `table`, whose columns are those of `visible`; `parts` is the batch's sorted list of partitions.
    #[must_use]
    pub fn new(table: &str, visible: &SchemaRef, parts: &[PartitionId]) -> Self {
        Self {
            table: table.to_owned(),
            visible: Arc::clone(visible),
            schema: quarantine_schema(visible),
            parts: parts.to_vec(),
        }
    }

    /// Rows that broke expectations: the table's columns, then hidden ones; `violations` names the expectations of each.
    ///
    /// # Errors
    /// When the rows do not have the table's columns.
    pub(crate) fn violating(&self, rows: &RecordBatch, violations: ListArray) -> Result<RecordBatch> {
        let visible = rows.columns()[..self.visible.fields().len()].to_vec();
        self.batch(visible, violations, None, rows)
    }

    /// Rows that could not be computed, each with its error. They have the table's columns, or, on their way into an
    /// operator, others: then the table's are NULL.
    ///
    /// # Errors
    /// When rows and errors do not fit each other.
    pub fn failing(&self, rows: &RecordBatch, errors: &[RowError]) -> Result<RecordBatch> {
        let found = provenance::visible(rows)?;
        let same = found.num_columns() == self.visible.fields().len()
            && found
                .schema_ref()
                .fields()
                .iter()
                .zip(self.visible.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()));
        let visible = if same {
            found.columns().to_vec()
        } else {
            self.visible.fields().iter().map(|f| new_null_array(f.data_type(), rows.num_rows())).collect()
        };
        let mut violations = ListBuilder::new(StringBuilder::new()).with_field(item());
        (0..rows.num_rows()).for_each(|_| violations.append(true));
        self.batch(visible, violations.finish(), Some(errors), rows)
    }

    fn batch(
        &self,
        visible: Vec<ArrayRef>,
        violations: ListArray,
        errors: Option<&[RowError]>,
        rows: &RecordBatch,
    ) -> Result<RecordBatch> {
        let mut columns = visible;
        columns.push(Arc::new(violations));
        columns.extend(self.errors(errors, rows.num_rows()));
        columns.extend(self.places(rows));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn errors(&self, errors: Option<&[RowError]>, rows: usize) -> Vec<ArrayRef> {
        let Some(errors) = errors else { return vec![new_null_array(&DataType::Utf8, rows); ERRORS.len()] };
        let mut columns: [StringBuilder; ERRORS.len()] = std::array::from_fn(|_| StringBuilder::new());
        let [table, column, expression, value, message] = &mut columns;
        for error in errors {
            table.append_value(&self.table);
            column.append_option(error.column.as_deref());
            expression.append_value(&error.expression);
            value.append_value(&error.value);
            message.append_value(&error.message);
        }
        columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect()
    }

    fn places(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let (mut topic, mut partition, mut offset) = (StringBuilder::new(), Int32Builder::new(), Int64Builder::new());
        for row in 0..rows.num_rows() {
            let (part, at) = place(rows, row);
            let part = part.and_then(|part| self.parts.get(usize::try_from(part).ok()?));
            topic.append_option(part.map(|part| part.topic.as_str()));
            partition.append_option(part.map(|part| part.partition));
            offset.append_option(at);
        }
        let all: [ArrayRef; 3] = [Arc::new(topic.finish()), Arc::new(partition.finish()), Arc::new(offset.finish())];
        let wanted: Vec<FieldRef> = missing_place(&self.visible).collect();
        let named = provenance::place_fields().into_iter().zip(all);
        named.filter(|(field, _)| wanted.contains(field)).map(|(_, column)| column).collect()
    }
}
