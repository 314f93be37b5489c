//! Lambdas over the elements of arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::lists::{Lists, Taken, field_of, list, pick};
use super::{Body, condition, evaluated};

/// The elements of all lists, one after the other, without those of NULLs.
pub(super) struct Flat {
    pub(super) values: ArrayRef,
    /// The row that each belongs to.
    pub(super) owners: Vec<usize>,
    /// Its place in the list, from 0.
    places: Vec<i32>,
    pub(super) lengths: Vec<usize>,
    pub(super) valid: Vec<bool>,
}

impl Flat {
    pub(super) fn of(array: &ArrayRef) -> Result<Self> {
        let lists = Lists::of(array)?;
        let rows = lists.len();
        let mut flat = Self {
            values: Arc::clone(array),
            owners: Vec::new(),
            places: Vec::new(),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
        };
        let mut taken = Vec::new();
        for at in 0..rows {
            let range = lists.row(at);
            flat.valid.push(range.is_some());
            let range = range.unwrap_or_default();
            flat.lengths.push(range.len());
            for (place, e) in range.enumerate() {
                taken.push(Some(e));
                flat.owners.push(at);
                flat.places.push(i32::try_from(place).unwrap_or(i32::MAX));
            }
        }
        flat.values = pick(lists.values(), taken)?;
        Ok(flat)
    }

    fn places(&self) -> ArrayRef {
        Arc::new(Int32Array::from(self.places.clone()))
    }
}

pub(super) fn transform(array: &ArrayRef, lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let values = evaluated(lambda, &[Arc::clone(&flat.values), flat.places()], &flat.owners)?;
    list(&field_of(returned)?, &values, flat.lengths, flat.valid)
}

pub(super) fn filter(array: &ArrayRef, lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let kept = condition(&evaluated(lambda, &[Arc::clone(&flat.values), flat.places()], &flat.owners)?)?;
    let mut taken = Taken::new(flat.lengths.len());
    let mut start = 0;
    for (length, valid) in flat.lengths.iter().zip(&flat.valid) {
        if *valid {
            taken.extend((start..start + length).filter(|e| kept.is_valid(*e) && kept.value(*e)));
            taken.end()?;
        } else {
            taken.null();
        }
        start += length;
    }
    taken.finish(&flat.values, &field_of(returned)?)
}

/// Whether some element fulfils a condition, if `some`, else whether all do: NULL where it depends on a NULL.
pub(super) fn any(array: &ArrayRef, lambda: &Body, some: bool) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let found = condition(&evaluated(lambda, &[Arc::clone(&flat.values)], &flat.owners)?)?;
    let mut start = 0;
    let mut out = Vec::with_capacity(flat.lengths.len());
    for (length, valid) in flat.lengths.iter().zip(&flat.valid) {
        let mut range = start..start + length;
        start += length;
        let decided = range.clone().any(|e| found.is_valid(e) && found.value(e) == some);
        let unknown = range.any(|e| found.is_null(e));
        out.push(if !valid {
            None
        } else if decided {
            Some(some)
        } else if unknown {
            None
        } else {
            Some(!some)
        });
    }
    Ok(Arc::new(BooleanArray::from(out)))
}

pub(super) fn zip_with(args: &[ArrayRef], lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let (a, b) = (Lists::of(&args[0])?, Lists::of(&args[1])?);
    let mut places = (Vec::new(), Vec::new());
    let mut owners = Vec::new();
    let mut lengths = Vec::with_capacity(a.len());
    let mut valid = Vec::with_capacity(a.len());
    for at in 0..a.len() {
        let both = a.row(at).zip(b.row(at));
        valid.push(both.is_some());
        let (left, right) = both.unwrap_or_default();
        let length = left.len().max(right.len());
        lengths.push(length);
        for place in 0..length {
            places.0.push((place < left.len()).then_some(left.start + place));
            places.1.push((place < right.len()).then_some(right.start + place));
            owners.push(at);
        }
    }
    let (left, right) = (pick(a.values(), places.0)?, pick(b.values(), places.1)?);
    let values = evaluated(lambda, &[left, right], &owners)?;
    list(&field_of(returned)?, &values, lengths, valid)
}
