//! Late rows. They are remembered where their clause judges them, and found again behind the query. So they are kept as the stream had
//! them, with all its columns and their place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Builder, Int64Builder, RecordBatch, StringArray, StringBuilder,
    UInt8Array, new_null_array,
};
use arrow::compute::{filter, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, UInt8Type};
use sluicebox_core::PartitionId;
use sluicebox_core::columns::by_name;
use sluicebox_core::provenance::{LATE, Lateness, OFFSET, PART, place_fields};
use sluicebox_pipeline::graph::LateColumns;

use crate::RuntimeError;

/// Bits of [`LATE`] that hold the verdict; those above number the late rows of one event.
const VERDICT_BITS: u8 = 2;
const VERDICT: u8 = (1 << VERDICT_BITS) - 1;
/// The number of all late rows of one event after so many.
const LAST: u8 = u8::MAX >> VERDICT_BITS;

/// Partition, offset, and number among the late rows of that event.
type Key = (i32, i64, u8);

/// The late rows of one table in one batch.
#[derive(Debug, Default)]
pub(super) struct LateRows {
    /// Of each clause that judged some: its id, and the rows with all columns of the stream.
    judged: Vec<(String, RecordBatch)>,
    /// Where the rows of each key stand in `judged`.
    places: HashMap<Key, Places>,
    /// Those that came through the query.
    found: BTreeSet<(usize, usize)>,
}

/// The rows of one key, which an event that became many rows may have any number of.
#[derive(Debug, Default)]
struct Places {
    all: Vec<(usize, usize)>,
    /// How many of them were found: always the first.
    found: usize,
}

/// How many late rows were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// All of them.
    pub rows: u64,
    /// Those that are ahead of their partition's mark and behind the clause's watermark.
    pub clause: u64,
}

/// What `late` says of row `row`.
pub(super) fn verdict(late: &UInt8Array, row: usize) -> u8 {
    late.value(row) & VERDICT
}

/// Whether a watermark has judged row `row` of `batch`, and found it late.
pub(super) fn is_late(batch: &RecordBatch, row: usize) -> bool {
    let late = batch.column_by_name(LATE).and_then(|c| c.as_primitive_opt::<UInt8Type>());
    late.is_some_and(|late| late.is_valid(row) && verdict(late, row) != Lateness::InTime as u8)
}

impl LateRows {
    /// Remembers the late ones of `rows`, which `late` is the verdict of clause `clause` on. Gives the verdicts with a number
    /// for each late row, by which [`LateRows::find`] knows it.
    ///
    /// # Errors
    /// When the rows have no provenance.
    pub fn remember(
        &mut self,
        clause: &str,
        rows: &RecordBatch,
        late: &UInt8Array,
    ) -> Result<UInt8Array, RuntimeError> {
        if late.values().iter().all(|verdict| *verdict == Lateness::InTime as u8) {
            return Ok(late.clone());
        }
        let is_late: BooleanArray = late.values().iter().map(|verdict| Some(*verdict != 0)).collect();
        let kept = filter_record_batch(rows, &is_late)?;
        let (part, offset) = place(&kept)?;
        let at = self.judged.len();
        let mut numbers = Vec::with_capacity(kept.num_rows());
        for row in 0..kept.num_rows() {
            let own = (part.value(row), offset.value(row));
            let of_event = |number: u8| self.places.contains_key(&(own.0, own.1, number));
            let number = (0..LAST).find(|number| !of_event(*number)).unwrap_or(LAST);
            self.places.entry((own.0, own.1, number)).or_default().all.push((at, row));
            numbers.push(number);
        }
        let mut numbers = numbers.into_iter();
        let numbered = late.values().iter().map(|verdict| match *verdict {
            0 => 0,
            verdict => verdict | numbers.next().unwrap_or(LAST) << VERDICT_BITS,
        });
        let numbered = numbered.collect::<Vec<u8>>();
        let verdicts = filter(late, &is_late)?;
        let with_verdicts = with_column(&kept, &verdicts)?;
        self.judged.push((clause.to_owned(), with_verdicts));
        Ok(UInt8Array::from(numbered))
    }

    /// Finds the rows that `rows`, which are late, were made of. A row that became several is found once.
    ///
    /// # Errors
    /// When they are none that were remembered.
    pub fn find(&mut self, rows: &RecordBatch) -> Result<Found, RuntimeError> {
        let (part, offset) = place(rows)?;
        let late = rows.column_by_name(LATE).and_then(|c| c.as_primitive_opt::<UInt8Type>());
        let late = late.ok_or_else(|| RuntimeError::Bug("late rows without a verdict".to_owned()))?;
        let mut found = Found::default();
        for row in 0..rows.num_rows() {
            let key = (part.value(row), offset.value(row), late.value(row) >> VERDICT_BITS);
            let places = self.places.get_mut(&key);
            let places = places.ok_or_else(|| RuntimeError::Bug("a late row that no clause has judged".to_owned()))?;
            if let Some(place) = places.all.get(places.found) {
                self.found.insert(*place);
                places.found += 1;
                found.rows += 1;
                found.clause += u64::from(verdict(late, row) == Lateness::Clause as u8);
            }
        }
        Ok(found)
    }

    /// Those that were found, with the columns of `columns`, in the order of clauses and of the stream; `parts` is the batch's
    /// sorted list of partitions.
    ///
    /// # Errors
    /// When rows and columns do not fit each other.
    pub fn finish(self, columns: &LateColumns, parts: &[PartitionId]) -> Result<Vec<RecordBatch>, RuntimeError> {
        let mut by_batch: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (batch, row) in &self.found {
            by_batch.entry(*batch).or_default().push((0, *row));
        }
        let mut rows = Vec::with_capacity(by_batch.len());
        for (batch, wanted) in by_batch {
            let (clause, judged) = &self.judged[batch];
            let found = interleave_record_batch(&[judged], &wanted)?;
            rows.push(shaped(&found, clause, columns, parts)?);
        }
        Ok(rows)
    }
}

/// `rows` with the columns of the table's late rows.
fn shaped(
    rows: &RecordBatch,
    clause: &str,
    columns: &LateColumns,
    parts: &[PartitionId],
) -> Result<RecordBatch, RuntimeError> {
    let own = columns.of(clause);
    let reasons = reasons(rows)?;
    let places = places(rows, parts)?;
    let schema: SchemaRef = Arc::clone(columns.schema());
    let by_name = by_name(rows);
    let column = |name: &String, of: &arrow::datatypes::DataType| -> ArrayRef {
        if name == LateColumns::REASON {
            return Arc::clone(&reasons);
        }
        let found = own.and_then(|own| own.get(name)).and_then(|own| by_name.get(own.as_str()).copied());
        let place = place_fields().iter().position(|field| field.name() == name).map(|at| &places[at]);
        found.or(place).map_or_else(|| new_null_array(of, rows.num_rows()), Arc::clone)
    };
    let made = schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect();
    Ok(RecordBatch::try_new(schema, made)?)
}

/// `partition` or `clause`: the watermark that each row was behind.
fn reasons(rows: &RecordBatch) -> Result<ArrayRef, RuntimeError> {
    let late = rows.columns().last().and_then(|c| c.as_primitive_opt::<UInt8Type>());
    let late = late.ok_or_else(|| RuntimeError::Bug("late rows without a verdict".to_owned()))?;
    let reason = |row| if verdict(late, row) == Lateness::Clause as u8 { "clause" } else { "partition" };
    Ok(Arc::new((0..late.len()).map(|row| Some(reason(row))).collect::<StringArray>()))
}

/// Topic, partition and offset of each row.
fn places(rows: &RecordBatch, parts: &[PartitionId]) -> Result<[ArrayRef; 3], RuntimeError> {
    let (part, offset) = place(rows)?;
    let (mut topic, mut partition, mut at) = (StringBuilder::new(), Int32Builder::new(), Int64Builder::new());
    for row in 0..rows.num_rows() {
        let of = usize::try_from(part.value(row)).ok().and_then(|part| parts.get(part));
        topic.append_option(of.map(|part| part.topic.as_str()));
        partition.append_option(of.map(|part| part.partition));
        at.append_value(offset.value(row));
    }
    Ok([Arc::new(topic.finish()), Arc::new(partition.finish()), Arc::new(at.finish())])
}

fn place(rows: &RecordBatch) -> Result<(&arrow::array::Int32Array, &arrow::array::Int64Array), RuntimeError> {
    let part = rows.column_by_name(PART).and_then(|c| c.as_primitive_opt::<Int32Type>());
    let offset = rows.column_by_name(OFFSET).and_then(|c| c.as_primitive_opt::<Int64Type>());
    part.zip(offset).ok_or_else(|| RuntimeError::Bug("late rows without provenance".to_owned()))
}

/// `rows` with their verdicts behind.
fn with_column(rows: &RecordBatch, verdicts: &ArrayRef) -> Result<RecordBatch, RuntimeError> {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(arrow::datatypes::Field::new(LATE, verdicts.data_type().clone(), true)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::clone(verdicts));
    Ok(RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::{Int32Array, Int64Array};
    use sluicebox_core::{Clock, SystemClock};

    use super::*;

    /// `count` rows of one event.
    fn of_one_event(count: usize) -> RecordBatch {
        let (part, offset): (ArrayRef, ArrayRef) =
            (Arc::new(Int32Array::from(vec![0; count])), Arc::new(Int64Array::from(vec![5; count])));
        RecordBatch::try_from_iter([(PART, part), (OFFSET, offset)]).unwrap()
    }

    #[test]
    fn more_late_rows_of_one_event_than_there_are_numbers_are_found_each_once() {
        let last = usize::from(LAST);
        let count = 2 * last;
        let stream = of_one_event(count);
        let mut late = LateRows::default();
        let verdicts = UInt8Array::from(vec![Lateness::Clause as u8; count]);
        let numbered: ArrayRef = Arc::new(late.remember("silver/e", &stream, &verdicts).unwrap());
        let through = with_column(&stream, &numbered).unwrap();
        let all = |rows: usize| Found { rows: rows as u64, clause: rows as u64 };
        // Those that share the last number first: each has a place of its own.
        assert_eq!(late.find(&through.slice(last, last)).unwrap(), all(last));
        assert_eq!(late.find(&through).unwrap(), all(last), "the others");
        assert_eq!(late.find(&through).unwrap(), all(0), "a row that became several was one");
    }

    /// An event with a long array that is late: what looks for each row from the first on takes a minute and more here.
    #[test]
    fn many_late_rows_of_one_event_are_found_each_at_once() {
        let count = 30_000;
        let stream = of_one_event(count);
        let mut late = LateRows::default();
        let clock = SystemClock::new();
        let verdicts = UInt8Array::from(vec![Lateness::Clause as u8; count]);
        let numbered: ArrayRef = Arc::new(late.remember("silver/e", &stream, &verdicts).unwrap());
        let found = late.find(&with_column(&stream, &numbered).unwrap()).unwrap();
        assert_eq!(found.rows, count as u64);
        assert!(clock.monotonic().as_secs() < 20, "{:?}", clock.monotonic());
    }
}
