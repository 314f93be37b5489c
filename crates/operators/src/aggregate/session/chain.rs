//! Which fragments are one session.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

use super::super::sort;
use crate::error::{Error, Result};

/// Follows fragments in the order of (keys, start). Those of one key are one session as long as each begins before the end of all
/// before it, or at it.
#[derive(Debug)]
pub(in crate::aggregate) struct Chain {
    keys: Keys,
    /// The session that the last fragment was of: its keys, start and end.
    open: Option<(Option<OwnedRow>, i64, i64)>,
}

impl Chain {
    /// For keys of these types.
    pub fn try_new(types: &[DataType]) -> Result<Self> {
        Ok(Self { keys: Keys::try_new(types)?, open: None })
    }

    /// State rows, whose columns are keys, start, states and end, with the start of their session.
    pub fn joined(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let at = self.keys.columns;
        let starts = self.starts(&rows.columns()[..at], starts(rows, at), ends(rows))?;
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(starts);
        RecordBatch::try_new(rows.schema(), columns).map_err(Error::arrow("put sessions together"))
    }

    /// The start of the session of each fragment from `starts` to `ends`.
    pub fn starts(&mut self, keys: &[ArrayRef], starts: &Int64Array, ends: &Int64Array) -> Result<Int64Array> {
        let rows = self.keys.of(keys)?;
        let same = |a: usize, b: usize| rows.as_ref().is_none_or(|rows| rows.row(a) == rows.row(b));
        let (mut found, mut session) = (Vec::with_capacity(starts.len()), None);
        for (at, (&start, &end)) in starts.values().iter().zip(ends.values().iter()).enumerate() {
            let last: Option<(i64, i64)> = if at > 0 {
                session.filter(|_| same(at - 1, at))
            } else {
                let open = self.open.take();
                let row = rows.as_ref().map(|rows| rows.row(0));
                open.filter(|(key, ..)| key.as_ref().map(OwnedRow::row) == row).map(|(_, start, end)| (start, end))
            };
            let (first, last_end) = last.filter(|(_, last_end)| start <= *last_end).unwrap_or((start, end));
            found.push(first);
            session = Some((first, last_end.max(end)));
        }
        if let Some((start, end)) = session {
            let key = rows.as_ref().map(|rows| rows.row(rows.num_rows() - 1).owned());
            self.open = Some((key, start, end));
        }
        Ok(Int64Array::from(found))
    }
}

/// Keys as rows that are compared.
#[derive(Debug)]
pub(super) struct Keys {
    /// How many columns they are; none of a query that groups by sessions alone.
    pub columns: usize,
    converter: Option<RowConverter>,
}

impl Keys {
    /// Keys of these types.
    pub fn try_new(types: &[DataType]) -> Result<Self> {
        let field = |data_type: &DataType| SortField::new_with_options(data_type.clone(), sort::ORDER);
        let fields: Vec<SortField> = types.iter().map(field).collect();
        let converter = (!fields.is_empty()).then(|| RowConverter::new(fields)).transpose();
        Ok(Self { columns: types.len(), converter: converter.map_err(Error::arrow("compare keys"))? })
    }

    /// The keys in these columns; none if there are no columns, so that all are equal.
    pub fn of(&self, columns: &[ArrayRef]) -> Result<Option<Rows>> {
        let rows = self.converter.as_ref().map(|converter| converter.convert_columns(columns)).transpose();
        rows.map_err(Error::arrow("compare keys"))
    }
}

/// The starts of state rows with `keys` key columns.
pub(super) fn starts(rows: &RecordBatch, keys: usize) -> &Int64Array {
    rows.column(keys).as_primitive()
}

/// The ends of state rows.
pub(super) fn ends(rows: &RecordBatch) -> &Int64Array {
    rows.column(rows.num_columns() - 1).as_primitive()
}
