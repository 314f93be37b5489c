//! Lambdas that are called repeatedly: folds, and sorts by comparison. All rows take each step together.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use super::super::build::joined;
use super::super::lists::{Lists, Taken, field_of, pick};
use super::super::types::as_type;
use super::lists::Flat;
use super::{Body, cost, evaluated};
use crate::error::row_error;

pub(super) fn aggregate(args: &[ArrayRef], lambdas: &[Body], returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let start = &args[1];
    // Rows with longer lists first, so that those that still go on are at the front.
    let mut rows: Vec<(usize, std::ops::Range<usize>)> =
        (0..lists.len()).filter_map(|at| Some((at, lists.row(at)?))).collect();
    rows.sort_by_key(|(_, range)| std::cmp::Reverse(range.len()));
    let mut sums = pick(start, rows.iter().map(|(at, _)| Some(*at)).collect())?;
    let mut done = Vec::new();
    for step in 0.. {
        let going = rows.partition_point(|(_, range)| range.len() > step);
        if going < sums.len() {
            // A slice would keep those that go on in memory too, for each length that a list has.
            done.push(pick(&sums, (going..sums.len()).map(Some).collect())?);
            sums = sums.slice(0, going);
        }
        if going == 0 {
            break;
        }
        let owners: Vec<usize> = rows[..going].iter().map(|(at, _)| *at).collect();
        let elements = rows[..going].iter().map(|(_, range)| Some(range.start + step)).collect();
        let elements = pick(lists.values(), elements)?;
        sums = as_type(&evaluated(&lambdas[0], &[sums, elements], &owners)?, start.data_type())?;
        cost::spend(cost::of_made(&sums))?;
    }
    done.reverse();
    let mut all = joined(&done, start.data_type())?;
    if let Some(finish) = lambdas.get(1) {
        let owners: Vec<usize> = rows.iter().map(|(at, _)| *at).collect();
        all = evaluated(finish, &[all], &owners)?;
    }
    let mut places = vec![None; lists.len()];
    rows.iter().enumerate().for_each(|(place, (at, _))| places[*at] = Some(place));
    as_type(&pick(&all, places)?, returned)
}

/// Two neighbouring runs that become one.
struct Merge {
    left: std::ops::Range<usize>,
    right: std::ops::Range<usize>,
    owner: usize,
}

/// A merge sort in which each call of the lambda compares a pair of every two runs of every row.
pub(super) fn sort(array: &ArrayRef, lambda: &Body, returned: &DataType) -> Result<ArrayRef> {
    let flat = Flat::of(array)?;
    let mut order: Vec<usize> = (0..flat.values.len()).collect();
    let longest = flat.lengths.iter().copied().max().unwrap_or_default();
    let mut width = 1;
    while width < longest {
        let merges = merges(&flat.lengths, width);
        order = merged(&order, merges, &flat, lambda)?;
        width *= 2;
    }
    let mut taken = Taken::new(flat.lengths.len());
    let mut start = 0;
    for (length, valid) in flat.lengths.iter().zip(&flat.valid) {
        if *valid {
            taken.extend(order[start..start + length].iter().copied());
            taken.end()?;
        } else {
            taken.null();
        }
        start += length;
    }
    taken.finish(&flat.values, &field_of(returned)?)
}

fn merges(lengths: &[usize], width: usize) -> Vec<Merge> {
    let mut all = Vec::new();
    let mut start = 0;
    for (owner, length) in lengths.iter().enumerate() {
        let end = start + length;
        let mut left = start;
        while left + width < end {
            let middle = left + width;
            let right = (middle + width).min(end);
            all.push(Merge { left: left..middle, right: middle..right, owner });
            left = right;
        }
        start = end;
    }
    all
}

fn merged(order: &[usize], mut merges: Vec<Merge>, flat: &Flat, lambda: &Body) -> Result<Vec<usize>> {
    let mut out = order.to_vec();
    let mut filled: Vec<usize> = merges.iter().map(|m| m.left.start).collect();
    loop {
        let open: Vec<usize> =
            (0..merges.len()).filter(|m| !merges[*m].left.is_empty() && !merges[*m].right.is_empty()).collect();
        if open.is_empty() {
            break;
        }
        let side =
            |of: fn(&Merge) -> usize| pick(&flat.values, open.iter().map(|m| Some(order[of(&merges[*m])])).collect());
        let (left, right) = (side(|m| m.left.start)?, side(|m| m.right.start)?);
        let owners: Vec<usize> = open.iter().map(|m| merges[*m].owner).collect();
        let compared = as_type(&evaluated(lambda, &[left, right], &owners)?, &DataType::Int64)?;
        let compared = compared.as_primitive::<Int64Type>();
        for (at, m) in open.into_iter().enumerate() {
            if compared.is_null(at) {
                return row_error(
                    "the lambda of array_sort gave NULL: it gives a negative number, 0 or a positive one",
                );
            }
            let merge = &mut merges[m];
            let run = if compared.value(at) <= 0 { &mut merge.left } else { &mut merge.right };
            out[filled[m]] = order[run.start];
            run.start += 1;
            filled[m] += 1;
        }
    }
    for (merge, filled) in merges.iter().zip(filled) {
        let rest = merge.left.clone().chain(merge.right.clone());
        rest.enumerate().for_each(|(n, from)| out[filled + n] = order[from]);
    }
    Ok(out)
}
