//! `collect_list`, `collect_set`, `listagg`: values in the order of their rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::compute::{cast, concat, filter, is_not_null};
use arrow::datatypes::DataType;
use arrow::row::OwnedRow;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::function::{Given, Parts, aggregate, list_value, lists};
use crate::error::plan_error;
use crate::nested::keys::keys;
use crate::nested::lists::pick;
use crate::nested::types::{exactly, list_of, name, plain};

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let collect = Parts {
        name: "collect_list",
        coerce: |types| exactly::<1>(types).map(|[t]| vec![plain(t)]),
        returns: |types| Ok(list_of(&types[0])),
        state: |types| vec![list_of(&types[0])],
        make: |given| Ok(Box::new(Collected::new(given, given.distinct))),
        ordered_set: false,
        empty_list: true,
    };
    let set = Parts { name: "collect_set", make: |given| Ok(Box::new(Collected::new(given, true))), ..collect };
    let text = Parts {
        name: "listagg",
        coerce: texts,
        returns: |types| Ok(types[0].clone()),
        state: |types| vec![list_of(&types[0])],
        make: |given| Ok(Box::new(Joined::new(given)?)),
        ordered_set: false,
        empty_list: false,
    };
    vec![aggregate(collect, &[]), aggregate(set, &[]), aggregate(text, &[])]
}

/// What a key in a set of them costs beside its bytes.
const KEY: usize = 2 * size_of::<OwnedRow>();

/// Values that are not NULL, each once if it is a set.
#[derive(Debug)]
struct Collected {
    data_type: DataType,
    parts: Vec<ArrayRef>,
    seen: Option<HashSet<OwnedRow>>,
    bytes: usize,
}

impl Collected {
    fn new(given: &Given<'_>, set: bool) -> Self {
        let data_type = given.types[0].clone();
        Self { data_type, parts: Vec::new(), seen: set.then(HashSet::new), bytes: 0 }
    }

    fn take(&mut self, values: &ArrayRef) -> Result<()> {
        let mut values = if values.data_type() == &DataType::Null {
            values.slice(0, 0)
        } else if values.null_count() > 0 {
            filter(values, &is_not_null(values)?)?
        } else {
            Arc::clone(values)
        };
        if let Some(seen) = &mut self.seen {
            let rows = keys(&[&values])?.swap_remove(0);
            let new: Vec<Option<usize>> =
                (0..values.len()).filter(|at| seen.insert(rows.row(*at).owned())).map(Some).collect();
            self.bytes += new.iter().flatten().map(|at| rows.row(*at).as_ref().len() + KEY).sum::<usize>();
            values = pick(&values, new)?;
        }
        if !values.is_empty() {
            self.bytes += values.get_slice_memory_size().unwrap_or_default();
            self.parts.push(values);
        }
        // Many small pieces cost more than their values.
        if self.parts.len() > 64 {
            self.parts = vec![self.all()?];
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        if self.parts.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?)
    }
}

trait SliceSize {
    fn get_slice_memory_size(&self) -> Option<usize>;
}

impl SliceSize for ArrayRef {
    fn get_slice_memory_size(&self) -> Option<usize> {
        self.to_data().get_slice_memory_size().ok()
    }
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // What came in is part of a batch, which must not be held for the sake of a few rows.
        let copied = concat(&[&arrow::array::new_empty_array(&self.data_type), &values[0]])?;
        self.take(&copied)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        lists(&states[0]).try_for_each(|values| self.take(&values))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list_value(self.all()?)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(list_value(self.all()?))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}

/// Text, or binary values with a binary separator.
fn texts(types: &[DataType]) -> Result<Vec<DataType>> {
    let ([one] | [one, _]) = types else { return plan_error("takes a text and a separator") };
    if one.is_nested() {
        return plan_error(format!("a text is wanted, this is {}", name(one)));
    }
    let joined = if plain(one) == DataType::Binary { DataType::Binary } else { DataType::Utf8 };
    match types.get(1).map(plain) {
        Some(between) if joined == DataType::Binary && !matches!(between, DataType::Binary | DataType::Null) => {
            plan_error("takes text between texts, and BINARY between BINARY values; write X'2C'")
        }
        Some(DataType::Binary) if joined != DataType::Binary => {
            plan_error("takes text between texts, and BINARY between BINARY values; write ','")
        }
        _ => Ok(vec![joined; types.len()]),
    }
}

/// Nothing, if a column of Arrow's can hold `bytes`: it would panic.
fn held(bytes: usize) -> Result<()> {
    if i32::try_from(bytes).is_err() {
        return Err(DataFusionError::ResourcesExhausted(format!("listagg makes a text of {bytes} bytes")));
    }
    Ok(())
}

/// Texts, or binary values, and what stands between them.
#[derive(Debug)]
struct Joined {
    binary: bool,
    between: Vec<u8>,
    parts: Vec<Vec<u8>>,
    seen: Option<HashSet<Vec<u8>>>,
    bytes: usize,
}

impl Joined {
    fn new(given: &Given<'_>) -> Result<Self> {
        let between = match given.constant(1)? {
            Some(ScalarValue::Binary(bytes)) => bytes.unwrap_or_default(),
            other => other.and_then(|b| b.try_as_str().flatten().map(|b| b.as_bytes().to_vec())).unwrap_or_default(),
        };
        let binary = given.types[0] == DataType::Binary;
        Ok(Self { binary, between, parts: Vec::new(), seen: given.distinct.then(HashSet::new), bytes: 0 })
    }

    fn take(&mut self, values: &ArrayRef) {
        if let Some(texts) = values.as_string_opt::<i32>() {
            texts.iter().flatten().for_each(|text| self.add(text.as_bytes()));
        } else if let Some(values) = values.as_binary_opt::<i32>() {
            values.iter().flatten().for_each(|bytes| self.add(bytes));
        }
    }

    fn add(&mut self, value: &[u8]) {
        if self.seen.as_mut().is_none_or(|seen| seen.insert(value.to_vec())) {
            // A value in a set is there twice.
            let copies = if self.seen.is_some() { 2 } else { 1 };
            self.bytes += copies * (value.len() + size_of::<Vec<u8>>());
            self.parts.push(value.to_vec());
        }
    }

    /// Bytes as a value of the type that is joined.
    fn typed(&self, parts: &[Vec<u8>]) -> Result<ArrayRef> {
        held(parts.iter().map(Vec::len).sum())?;
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(parts));
        if self.binary { Ok(bytes) } else { Ok(cast(&bytes, &DataType::Utf8)?) }
    }
}

impl Accumulator for Joined {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        lists(&states[0]).for_each(|values| self.take(&values));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list_value(self.typed(&self.parts)?)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.parts.is_empty() {
            return Ok(if self.binary { ScalarValue::Binary(None) } else { ScalarValue::Utf8(None) });
        }
        let between = self.between.len().saturating_mul(self.parts.len() - 1);
        held(self.parts.iter().map(Vec::len).sum::<usize>().saturating_add(between))?;
        ScalarValue::try_from_array(&self.typed(&[self.parts.join(self.between.as_slice())])?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}
