//! Lambdas over the entries of maps.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::super::build::joined;
use super::super::keys::keys;
use super::super::lists::pick;
use super::super::maps::{Maps, made};
use super::{Body, condition, evaluated};

/// The entries of all maps, one after the other, without those of NULLs.
struct Flat {
    keys: ArrayRef,
    values: ArrayRef,
    owners: Vec<usize>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Flat {
    fn of(array: &ArrayRef) -> Result<Self> {
        let maps = Maps::of(array)?;
        let mut taken = Vec::new();
        let (mut owners, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..maps.len() {
            let range = maps.row(at);
            valid.push(range.is_some());
            let range = range.unwrap_or_default();
            lengths.push(range.len());
            owners.extend(std::iter::repeat_n(at, range.len()));
            taken.extend(range.map(Some));
        }
        let (keys, values) = (pick(maps.keys(), taken.clone())?, pick(maps.values(), taken)?);
        Ok(Self { keys, values, owners, lengths, valid })
    }

    fn evaluate(&self, lambda: &Body) -> Result<ArrayRef> {
        evaluated(lambda, &[ArrayRef::clone(&self.keys), ArrayRef::clone(&self.values)], &self.owners)
    }
}

pub(super) fn filter(array: &ArrayRef, lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let kept = condition(&flat.evaluate(lambda)?)?;
    let mut taken = Vec::new();
    let mut lengths = Vec::with_capacity(flat.lengths.len());
    let mut start = 0;
    for length in &flat.lengths {
        let before = taken.len();
        taken.extend((start..start + length).filter(|e| kept.is_valid(*e) && kept.value(*e)).map(Some));
        lengths.push(taken.len() - before);
        start += length;
    }
    let (keys, values) = (pick(&flat.keys, taken.clone())?, pick(&flat.values, taken)?);
    made(returned, &keys, &values, &lengths, flat.valid)
}

pub(super) fn transform(array: &ArrayRef, lambda: &Body, returned: &DataType, of_keys: bool) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let new = flat.evaluate(lambda)?;
    let (keys, values) = if of_keys { (&new, &flat.values) } else { (&flat.keys, &new) };
    made(returned, keys, values, &flat.lengths, flat.valid.clone())
}

pub(super) fn zip_with(args: &[ArrayRef], lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let (a, b) = (Maps::of(&args[0])?, Maps::of(&args[1])?);
    let all = joined(&[ArrayRef::clone(a.keys()), ArrayRef::clone(b.keys())], a.keys().data_type())?;
    let compared = keys(&[&all])?;
    let second = a.keys().len();
    let (mut names, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new());
    let (mut owners, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..a.len() {
        let both = a.row(at).zip(b.row(at));
        valid.push(both.is_some());
        let (of_a, of_b) = both.unwrap_or_default();
        let mut places = HashMap::new();
        let before = names.len();
        for e in of_a {
            places.insert(compared[0].row(e), names.len());
            names.push(Some(e));
            left.push(Some(e));
            right.push(None);
        }
        for e in of_b {
            match places.get(&compared[0].row(second + e)) {
                Some(place) => right[*place] = Some(e),
                None => {
                    names.push(Some(second + e));
                    left.push(None);
                    right.push(Some(e));
                }
            }
        }
        lengths.push(names.len() - before);
        owners.extend(std::iter::repeat_n(at, names.len() - before));
    }
    let names = pick(&all, names)?;
    let sides = [ArrayRef::clone(&names), pick(a.values(), left)?, pick(b.values(), right)?];
    let values = evaluated(lambda, &sides, &owners)?;
    made(returned, &names, &values, &lengths, valid)
}
