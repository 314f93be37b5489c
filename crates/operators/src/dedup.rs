//! `DISTINCT ON (keys)`: the first row per key.
//!
//! With a watermark, a key is remembered for the delay. A row is a duplicate if its event time is at most the delay after that of the row
//! kept for its key. A row that comes later in event time is new: it is kept, and remembered in the other's place. That is decided row by
//! row from event times alone, so it does not matter when a key is forgotten:
//!
//! > In the batches after W(N), every row that is not late has an event time e > W(N). A key kept at t may be forgotten
//! > once t + delay <= W(N): a row with that key would then have e > W(N) >= t + delay, which makes it a new row whether
//! > the key is remembered or not. In both cases it is kept and the key is remembered at e.
//!
//! Keys are grouped into buckets of kept event times, and a whole bucket is forgotten at once. Without a watermark, keys are kept forever
//! and event times are ignored.
//!
//! State: rows of (key, event time), see [`State`]. A later row of a key replaces the earlier one. It always has the later time: with an
//! earlier one it would be a duplicate.
//!
//! Keys are in memory until they are folded into a segment ([`crate::segment`]). The operator looks up a batch's keys in memory first, then
//! all together in the segments, newest first: in their filters, which are in memory, then in the blocks of the file that may hold them.
//! The first match is the latest. A segment is removed when all its keys are forgotten, and a merge leaves out forgotten keys.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Int64Array,
    RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use sluicebox_core::{Masked, masked, provenance};
use sluicebox_pipeline::equal;
use sluicebox_pipeline::graph::{DedupNode, Node};

use crate::error::{Error, Result};
use crate::keys;
use crate::operator::{Operator, Processed, State, Step};
use crate::order::{in_offset_order, is_ordered};
use crate::segment::{Segment, Work};

mod file;
mod filter;
mod levels;
mod memory;
#[cfg(test)]
mod tests;

use levels::{Fold, Levels};
use memory::{Entry, Key, Lifetime, Memory};

/// Rows of a snapshot's batches.
const SNAPSHOT_ROWS: usize = 1 << 17;

/// The operator. See the module's page.
#[derive(Debug)]
pub struct Dedup {
    id: String,
    keys: Vec<String>,
    delay: Option<i64>,
    schema: SchemaRef,
    /// Positions in `schema` of what is written in the one form of equal values.
    in_form: Vec<usize>,
    fingerprint: String,
    lifetime: Lifetime,
    /// What is in no segment.
    memory: Memory,
    /// What is on its way into one.
    folding: Option<Arc<Memory>>,
    levels: Levels,
    gained: Vec<Entry>,
    /// The highest watermark that it was closed at.
    watermark: Option<i64>,
}

impl Dedup {
    /// The operator of `node`, with no key in it.
    ///
    /// # Errors
    /// [`Error::Input`] when the node's keys are not among its input's columns; [`Error::KeyType`] when they have a type
    /// that cannot be a key.
    pub fn try_new(node: &DedupNode) -> Result<Self> {
        let input = node.input.schema();
        for name in &node.keys {
            let Ok(field) = input.field_with_name(name) else {
                let detail = format!("its input has no column {name}");
                return Err(Error::Input { operator: node.id.clone(), detail });
            };
            // Whether a type can be a key shows on no rows as well as on many.
            keys::keys(&node.id, &[arrow::array::new_empty_array(field.data_type())], 0)?;
        }
        Ok(Self {
            id: node.id.clone(),
            keys: node.keys.clone(),
            delay: node.delay_micros,
            schema: Arc::clone(&node.schema),
            in_form: node.in_form.clone(),
            fingerprint: fingerprint(node),
            lifetime: Lifetime::new(node.delay_micros),
            memory: Memory::new(Lifetime::new(node.delay_micros)),
            folding: None,
            levels: Levels::default(),
            gained: Vec::new(),
            watermark: None,
        })
    }

    /// Keeps the first row per key of `rows`, the rows of one batch that are not late, by (partition, offset). That is also
    /// the order of those that are kept.
    ///
    /// # Errors
    /// [`Error::Input`] when the rows lack a column that the node promised.
    pub fn process(&mut self, rows: &[RecordBatch]) -> Result<Processed> {
        self.process_masked(masked::whole(rows.to_vec()))
    }

    /// As [`process`](Self::process), of rows among others.
    ///
    /// # Errors
    /// As there.
    pub fn process_masked(&mut self, mut rows: Vec<Masked>) -> Result<Processed> {
        if !is_ordered(rows.iter().map(Masked::all)) {
            let meant = masked::into_rows(rows).map_err(Error::arrow("take rows out"))?;
            rows = masked::whole(in_offset_order(meant)?);
        }
        let mut processed = Processed::default();
        for batch in &rows {
            self.process_batch(batch, &mut processed)?;
        }
        Ok(processed)
    }

    /// Forgets the keys that no row after `watermark` can have as duplicates.
    pub fn close(&mut self, watermark: i64) {
        self.watermark = self.watermark.max(Some(watermark));
        self.memory.forget_before(self.forgotten_before());
    }

    fn forgotten_before(&self) -> i64 {
        self.watermark.map_or(i64::MIN, |watermark| self.lifetime.forgotten_before(watermark))
    }

    /// The times that are remembered for `keys`, of rows that are `meant`, outside of memory; empty when there is nothing.
    fn elsewhere(&self, keys: &[u128], meant: Option<&BooleanBuffer>) -> Result<Vec<Option<i64>>> {
        if self.levels.is_empty() && self.folding.is_none() {
            return Ok(Vec::new());
        }
        let mut times = vec![None; keys.len()];
        let mut open = Vec::new();
        for (row, &key) in (0..).zip(keys) {
            let key = Key::new(key);
            if meant.is_some_and(|meant| !meant.value(row as usize)) || self.memory.get(key).is_some() {
                continue;
            }
            times[row as usize] = self.folding.as_ref().and_then(|memory| memory.get(key));
            if times[row as usize].is_none() {
                open.push(row);
            }
        }
        self.levels.find(keys, &mut open, &mut times)?;
        Ok(times)
    }

    fn process_batch(&mut self, chosen: &Masked, processed: &mut Processed) -> Result<()> {
        let (batch, meant) = (chosen.all(), chosen.mask());
        let columns: Vec<ArrayRef> =
            self.keys.iter().map(|name| self.column(batch, name).cloned()).collect::<Result<_>>()?;
        let keys = keys::keys(&self.id, &columns, batch.num_rows())?;
        let times = self.delay.map(|_| self.event_times(batch)).transpose()?;
        let elsewhere = self.elsewhere(&keys, meant)?;
        let mut keep = BooleanBufferBuilder::new(batch.num_rows());
        for (row, &key) in keys.iter().enumerate() {
            if meant.is_some_and(|meant| !meant.value(row)) {
                keep.append(false);
                continue;
            }
            let time = match &times {
                None => 0,
                Some(times) if times.is_null(row) => {
                    processed.filtered_null_event_time += 1;
                    keep.append(false);
                    continue;
                }
                Some(times) => times.value(row),
            };
            let key = Key::new(key);
            let new = self.memory.insert_first(key, time, elsewhere.get(row).copied().flatten());
            keep.append(new);
            if new {
                self.gained.push(Entry { key, time });
            } else {
                processed.duplicate += 1;
            }
        }
        let kept = Masked::new(self.without_keys(batch)?, keep.finish());
        if kept.count() > 0 {
            processed.rows.push(kept.into_rows().map_err(Error::arrow("keep first rows"))?);
        }
        Ok(())
    }

    fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
        let missing = || Error::Input { operator: self.id.clone(), detail: format!("rows without column {name}") };
        batch.column_by_name(name).ok_or_else(missing)
    }

    fn event_times<'a>(&self, batch: &'a RecordBatch) -> Result<&'a TimestampMicrosecondArray> {
        let column = self.column(batch, provenance::EVENT_TIME)?;
        column.as_primitive_opt().ok_or_else(|| Error::Input {
            operator: self.id.clone(),
            detail: format!("{} is of type {}", provenance::EVENT_TIME, column.data_type()),
        })
    }

    fn without_keys(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let fields = batch.schema_ref().fields().iter().zip(batch.columns());
        let columns = fields.filter(|(field, _)| !self.keys.contains(field.name())).map(|(_, column)| column.clone());
        let mut columns: Vec<ArrayRef> = columns.collect();
        for &at in &self.in_form {
            if let Some(column) = columns.get_mut(at) {
                *column = equal::normal(column).map_err(Error::arrow("bring keys to one form"))?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(Error::arrow("drop the key columns"))
    }

    fn state_batch(&self, entries: &[Entry]) -> Result<RecordBatch> {
        let mut keys = FixedSizeBinaryBuilder::with_capacity(entries.len(), 16);
        for entry in entries {
            keys.append_value(entry.key.value().to_be_bytes()).map_err(Error::arrow("write keys"))?;
        }
        let times = Int64Array::from_iter_values(entries.iter().map(|entry| entry.time));
        RecordBatch::try_new(self.state_schema(), vec![Arc::new(keys.finish()), Arc::new(times)])
            .map_err(Error::arrow("write keys"))
    }

    fn entries<'a>(&self, batch: &'a RecordBatch) -> Result<(&'a FixedSizeBinaryArray, &'a Int64Array)> {
        let wrong = || Error::StateShape {
            operator: self.id.clone(),
            detail: format!("its columns are {:?}", batch.schema_ref().fields()),
        };
        let [keys, times] = batch.columns() else { return Err(wrong()) };
        let keys = keys.as_fixed_size_binary_opt().filter(|k| k.value_length() == 16 && k.null_count() == 0);
        let times = times.as_primitive_opt().filter(|t: &&Int64Array| t.null_count() == 0);
        Ok((keys.ok_or_else(wrong)?, times.ok_or_else(wrong)?))
    }
}

/// What keys are made of and how, and how long they are remembered.
fn fingerprint(node: &DedupNode) -> String {
    let key = |name: &String| {
        let class = node.input.schema().field_with_name(name).map(|field| keys::class(field.data_type()));
        let made_of = made_of(&node.input, name).unwrap_or_else(|| name.clone());
        format!("{made_of}: {}", class.unwrap_or_default())
    };
    let keys: Vec<String> = node.keys.iter().map(key).collect();
    let delay = node.delay_micros.map_or_else(|| "for ever".to_owned(), |micros| format!("{micros} us"));
    format!("dedup v1; key encoding v{}; keys [{}]; delay {delay}", keys::VERSION, keys.join(", "))
}

/// The expression that the plan below gives the name of the key `name`.
fn made_of(input: &Node, name: &str) -> Option<String> {
    let plan = match input {
        Node::Plan(node) => &node.plan,
        Node::Late(input) => return made_of(input, name),
        _ => return None,
    };
    let key = |expr: Expr| match expr {
        Expr::Alias(alias) if alias.name == name => Some(alias.expr.to_string()),
        _ => None,
    };
    plan.expressions().into_iter().find_map(key)
}

impl State for Dedup {
    fn id(&self) -> &str {
        &self.id
    }

    /// `key` FixedSizeBinary(16), the hash big-endian; `event_time` Int64, microseconds since 1970, 0 without watermark.
    fn state_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("key", DataType::FixedSizeBinary(16), false),
            Field::new("event_time", DataType::Int64, false),
        ]))
    }

    /// The keys that were kept, in the order of their rows.
    fn delta(&mut self) -> Result<Option<RecordBatch>> {
        let gained = std::mem::take(&mut self.gained);
        if gained.is_empty() { Ok(None) } else { self.state_batch(&gained).map(Some) }
    }

    /// What is in no segment, by key.
    fn snapshot(&self) -> Result<Vec<RecordBatch>> {
        self.memory.sorted().chunks(SNAPSHOT_ROWS).map(|chunk| self.state_batch(chunk)).collect()
    }

    fn restore(&mut self, batches: Vec<RecordBatch>, watermark: Option<i64>) -> Result<()> {
        self.memory = Memory::new(self.lifetime);
        self.folding = None;
        self.levels = Levels::default();
        self.gained.clear();
        self.watermark = watermark;
        for batch in &batches {
            let (keys, times) = self.entries(batch)?;
            for (key, &time) in keys.iter().flatten().zip(times.values()) {
                let bytes = key.try_into().unwrap_or_default();
                self.memory.replace(Key::new(u128::from_be_bytes(bytes)), time);
            }
        }
        self.memory.forget_before(self.forgotten_before());
        Ok(())
    }

    fn has_segments(&self) -> bool {
        true
    }

    fn attach(&mut self, segments: Vec<Segment>) -> Result<()> {
        segments.into_iter().try_for_each(|segment| self.levels.push(&self.id, segment, None))
    }

    fn foldable_bytes(&self) -> usize {
        if self.memory.len() == 0 { 0 } else { self.memory.bytes() }
    }

    fn fold(&mut self) -> Result<Option<Work>> {
        if self.folding.is_some() {
            let detail = "a second fold, before the first was adopted".to_owned();
            return Err(Error::Input { operator: self.id.clone(), detail });
        }
        if self.memory.len() == 0 {
            return Ok(None);
        }
        let memory = Arc::new(std::mem::replace(&mut self.memory, Memory::new(self.lifetime)));
        self.folding = Some(Arc::clone(&memory));
        let content = Box::new(Fold { operator: self.id.clone(), memory });
        Ok(Some(Work { replaces: Vec::new(), content, wait: false }))
    }

    fn merge(&mut self) -> Result<Option<Work>> {
        Ok(self.levels.merge(&self.id, self.forgotten_before()))
    }

    fn adopt(&mut self, segment: Option<Segment>, replaces: &[String]) -> Result<()> {
        if !replaces.is_empty() {
            return self.levels.replace(&self.id, replaces, segment);
        }
        let folded = self.folding.take();
        segment.map_or(Ok(()), |segment| self.levels.push(&self.id, segment, folded))
    }

    fn release(&mut self) -> Vec<String> {
        self.levels.release(self.lifetime, self.watermark)
    }

    fn evict(&mut self) {
        self.levels.evict();
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn memory_bytes(&self) -> usize {
        // A fold sorts a copy of what it writes.
        let folding = self.folding.as_ref().map_or(0, |memory| memory.bytes() + memory.len() * size_of::<Entry>());
        self.memory.bytes() + folding + self.levels.bytes() + self.gained.capacity() * size_of::<Entry>()
    }

    fn rows(&self) -> u64 {
        let folding = self.folding.as_ref().map_or(0, |memory| memory.len());
        (self.memory.len() + folding) as u64 + self.levels.entries()
    }
}

impl Operator for Dedup {
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed> {
        Box::pin(std::future::ready(Self::process(self, rows)))
    }

    fn process_masked(&mut self, rows: Vec<Masked>) -> Step<'_, Processed> {
        Box::pin(std::future::ready(Self::process_masked(self, rows)))
    }

    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>> {
        Self::close(self, watermark);
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Never: forgetting gives no rows.
    fn next_close(&self) -> Option<i64> {
        None
    }
}
