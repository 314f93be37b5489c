//! Sort orders of rows, and copies of rows that share no buffers with the input.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use crate::error::{Error, Result};

/// Ascending, NULL first: the order of group keys everywhere.
pub(super) const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

/// Whether rows can be ordered by columns of these types.
pub(super) fn first_unordered<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<&'a DataType> {
    types.into_iter().find(|t| !RowConverter::supports_fields(&[SortField::new((*t).clone())]))
}

/// The order of rows by some columns: indices of rows, equal rows in the order in which they are, and whether no two
/// are equal.
pub(super) struct Order {
    pub indices: Vec<u32>,
    pub unique: bool,
}

/// The order of rows by `columns`, each with its own options.
pub(super) fn order(columns: &[ArrayRef], options: impl Fn(usize) -> SortOptions) -> Result<Order> {
    let doing = "sort rows";
    let field = |(at, column): (usize, &ArrayRef)| SortField::new_with_options(column.data_type().clone(), options(at));
    let fields = columns.iter().enumerate().map(field).collect();
    let converter = RowConverter::new(fields).map_err(Error::arrow(doing))?;
    let rows = converter.convert_columns(columns).map_err(Error::arrow(doing))?;
    let mut indices: Vec<u32> = (0..rows.num_rows() as u32).collect();
    indices.sort_unstable_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)).then(a.cmp(&b)));
    let unique = indices.windows(2).all(|pair| rows.row(pair[0] as usize) != rows.row(pair[1] as usize));
    Ok(Order { indices, unique })
}

/// The rows of `batch` at `indices`, in arrays that hold nothing else.
pub(super) fn copy(batch: &RecordBatch, indices: &[u32]) -> Result<RecordBatch> {
    let indices = UInt32Array::from(indices.to_vec());
    let copied = |column: &ArrayRef| take(column, &indices, None).map(owned);
    let columns = batch.columns().iter().map(copied).collect::<Result<_, _>>();
    let columns = columns.map_err(Error::arrow("copy state rows"))?;
    RecordBatch::try_new(batch.schema(), columns).map_err(Error::arrow("copy state rows"))
}

/// Views share the buffers of the array that they were taken from, of which they may need little.
fn owned(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column,
    }
}
