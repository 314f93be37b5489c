//! The output of an aggregate: groups of closed windows as rows of the node's schema.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StructArray, TimestampMicrosecondArray, UInt8Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use sluicebox_core::provenance::Lateness;
use sluicebox_pipeline::graph::AggregateNode;

use super::pane::Panes;
use super::plans::Plans;
use crate::error::{Error, Result};

/// State rows of a pane as state rows of the window that ends at `end`, if there is one. Only the first column is new.
pub(super) fn at_window(run: &RecordBatch, end: Option<i64>, plans: &Plans) -> Result<RecordBatch> {
    let mut columns = run.columns().to_vec();
    if let Some(end) = end {
        columns[0] = Arc::new(Int64Array::from_value(end, run.num_rows()));
    }
    plans.named(columns)
}

/// How output rows are laid out.
#[derive(Debug)]
pub(super) struct Output {
    operator: String,
    schema: SchemaRef,
    /// Where the window stands among the group columns.
    position: usize,
    /// `start` and `end`.
    window: Fields,
    /// Group keys without the window, and the grouping id if there is one.
    keys: usize,
    /// Of grouping sets, how many keys stand behind the window.
    behind: Option<u32>,
}

impl Output {
    pub fn try_new(node: &AggregateNode) -> Result<Self> {
        let wrong = |detail: String| Error::Input { operator: node.id.clone(), detail };
        let position = node.window.position;
        let window = match node.schema.fields().get(position).map(|field| field.data_type()) {
            Some(DataType::Struct(fields)) if fields.len() == 2 && position <= node.group.len() => fields.clone(),
            other => return Err(wrong(format!("column {position} is to be its window, but is {other:?}"))),
        };
        // The keys, the window, the grouping id, the aggregates, and two hidden columns.
        let keys = node.group.len() + usize::from(!node.sets.is_empty());
        let columns = keys + 1 + node.aggregates.len() + 2;
        if node.schema.fields().len() != columns {
            let has = node.schema.fields().len();
            return Err(wrong(format!("its schema has {has} columns where its expressions make {columns}")));
        }
        let schema = Arc::clone(&node.schema);
        let behind = u32::try_from(node.group.len() - position).unwrap_or(u32::MAX);
        let behind = (!node.sets.is_empty()).then_some(behind);
        Ok(Self { operator: node.id.clone(), schema, position, window, keys, behind })
    }

    /// `groups` are (window end, keys, values).
    pub fn rows(&self, groups: &RecordBatch, panes: &Panes) -> Result<RecordBatch> {
        let ends: &Int64Array = groups.column(0).as_primitive();
        // Rows of one window follow each other.
        let mut last: Option<(i64, i64)> = None;
        let start_of = |end: &i64| {
            let start = last.filter(|(of, _)| of == end).map_or_else(|| panes.start(*end), |(_, start)| start);
            last = Some((*end, start));
            start
        };
        let starts: Vec<i64> = ends.values().iter().map(start_of).collect();
        let (keys, values) = groups.columns()[1..].split_at(self.keys);
        let mut keys = keys.to_vec();
        if let (Some(behind), Some(id)) = (self.behind, keys.last_mut()) {
            *id = with_window_in_place(id, self.keys, behind).map_err(Error::arrow("say which keys a group has"))?;
        }
        self.laid_out(&starts, ends.values(), &keys, values)
    }

    /// Rows of the windows from `starts` to `ends` with these keys and values.
    pub fn laid_out(
        &self,
        starts: &[i64],
        ends: &[i64],
        keys: &[ArrayRef],
        values: &[ArrayRef],
    ) -> Result<RecordBatch> {
        let micros = |times: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        };
        let bounds = [micros(starts.to_vec()), micros(ends.to_vec())];
        let bounds = bounds.iter().zip(&self.window).map(|(times, field)| self.fit(times, field.data_type()));
        let bounds = bounds.collect::<Result<Vec<_>>>()?;
        let window = StructArray::try_new(self.window.clone(), bounds, None).map_err(Error::arrow("make windows"))?;

        let mut columns = keys.to_vec();
        columns.insert(self.position, Arc::new(window));
        columns.extend_from_slice(values);
        // The last instant of the window: below, it belongs to whichever larger window holds this one.
        columns.push(micros(ends.iter().map(|end| end - 1).collect()));
        columns.push(Arc::new(UInt8Array::from_value(Lateness::InTime as u8, ends.len())));
        let columns = columns.iter().zip(self.schema.fields()).map(|(column, f)| self.fit(column, f.data_type()));
        let columns = columns.collect::<Result<_>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(Error::arrow("make output rows"))
    }

    /// `column` as the schema has it: types may differ in time zone or layout, not in meaning.
    fn fit(&self, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        if column.data_type() == data_type {
            return Ok(Arc::clone(column));
        }
        cast(column, data_type).map_err(|e| Error::Input {
            operator: self.operator.clone(),
            detail: format!("its schema says {data_type} of a column that is {}: {e}", column.data_type()),
        })
    }
}

/// Grouping ids whose bits are those of `keys` keys, the window before all others, as ids in which `behind` keys stand behind it. A bit is
/// set for a key that is left out, the lowest for the last key; it never is for the window. Bits above tell sets apart that are there
/// twice.
fn with_window_in_place(ids: &ArrayRef, keys: usize, behind: u32) -> Result<ArrayRef, ArrowError> {
    let above = |bits: u32| u64::MAX.checked_shl(bits).unwrap_or(0);
    let (keys, behind) = (above(u32::try_from(keys).unwrap_or(u32::MAX)), above(behind));
    let moved = |id: u64| (id & keys) | ((id & !keys & behind) << 1) | (id & !behind);
    let wide = cast(ids, &DataType::UInt64)?;
    let wide: &UInt64Array = wide.as_primitive();
    let moved: ArrayRef = Arc::new(wide.unary::<_, UInt64Type>(moved));
    cast(&moved, ids.data_type())
}
