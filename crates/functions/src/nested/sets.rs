//! Arrays as sets, sorted arrays, and zipped arrays.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::build::{first, joined, two_lists};
use super::keys::{keys, set_keys};
use super::lists::{Lists, Taken, field_of, list, pick};
use super::types::{as_list, element_of, list_of, one_list, plain};
use crate::arrays::Arrays;
use crate::error::plan_error;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arrays::of("array_distinct", one_list, first, |a, _, t| distinct(a, t)),
        Arrays::of("array_union", two_lists, first, |a, _, t| set(a, t, Kept::Either)),
        Arrays::of("array_intersect", two_lists, first, |a, _, t| set(a, t, Kept::Both)),
        Arrays::of("array_except", two_lists, first, |a, _, t| set(a, t, Kept::FirstOnly)),
        Arrays::of("arrays_overlap", two_lists, |_, _| Ok(DataType::Boolean), overlap),
        Arrays::of("sort_array", list_and_flag, first, sort_array),
        Arrays::of("arrays_zip", lists_and_names, zipped_type, arrays_zip),
    ]
}

fn list_and_flag(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [list] => Ok(vec![as_list(list)?]),
        [list, DataType::Boolean] => Ok(vec![as_list(list)?, DataType::Boolean]),
        _ => plan_error("takes an array, and false for the largest first"),
    }
}

fn distinct(args: &[ArrayRef], returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let compared = set_keys(lists.values())?;
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        let mut seen = HashSet::with_capacity(range.len());
        taken.extend(range.filter(|e| seen.insert(compared.row(*e))));
        taken.end()?;
    }
    taken.finish(lists.values(), &field_of(returned)?)
}

/// Which elements of two lists a set keeps.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    Either,
    Both,
    FirstOnly,
}

fn set(args: &[ArrayRef], returned: &DataType, kept: Kept) -> Result<ArrayRef> {
    let (a, b) = (Lists::of(&args[0])?, Lists::of(&args[1])?);
    let field = field_of(returned)?;
    let all = joined(&[Arc::clone(a.values()), Arc::clone(b.values())], field.data_type())?;
    let compared = set_keys(&all)?;
    let second = a.values().len();
    let mut taken = Taken::new(a.len());
    for at in 0..a.len() {
        let (Some(left), Some(right)) = (a.row(at), b.row(at)) else {
            taken.null();
            continue;
        };
        let right = right.map(|e| e + second);
        let mut seen = HashSet::new();
        if kept == Kept::Either {
            taken.extend(left.chain(right).filter(|e| seen.insert(compared.row(*e))));
        } else {
            let other: HashSet<_> = right.map(|e| compared.row(e)).collect();
            let wanted = |e: &usize| other.contains(&compared.row(*e)) == (kept == Kept::Both);
            taken.extend(left.filter(wanted).filter(|e| seen.insert(compared.row(*e))));
        }
        taken.end()?;
    }
    taken.finish(&all, &field)
}

fn overlap(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let (a, b) = (Lists::of(&args[0])?, Lists::of(&args[1])?);
    let compared = keys(&[a.values(), b.values()])?;
    let one = |at: usize| {
        let (left, right) = (a.row(at)?, b.row(at)?);
        let both = !left.is_empty() && !right.is_empty();
        let null = left.clone().any(|e| a.values().is_null(e)) || right.clone().any(|e| b.values().is_null(e));
        let set: HashSet<_> = left.filter(|e| a.values().is_valid(*e)).map(|e| compared[0].row(e)).collect();
        let common = right.filter(|e| b.values().is_valid(*e)).any(|e| set.contains(&compared[1].row(e)));
        if common {
            Some(true)
        } else if both && null {
            None
        } else {
            Some(false)
        }
    };
    Ok(Arc::new((0..a.len()).map(one).collect::<BooleanArray>()))
}

fn sort_array(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let ascending = |at: usize| args.get(1).is_none_or(|flag| flag.as_boolean().value(at));
    sorted(&args[0], returned, |at| Order { descending: !ascending(at), nulls_first: ascending(at) })
}

/// How a list is sorted.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// Each list in the order that `order` gives for its row.
pub(super) fn sorted(array: &ArrayRef, returned: &DataType, order: impl Fn(usize) -> Order) -> Result<ArrayRef> {
    let lists = Lists::of(array)?;
    let values = lists.values();
    let compared = keys(&[values])?;
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        let Order { descending, nulls_first } = order(at);
        let is_null = |e: &usize| values.data_type() == &DataType::Null || values.is_null(*e);
        let nulls: Vec<usize> = range.clone().filter(is_null).collect();
        let mut valid: Vec<usize> = range.filter(|e| !is_null(e)).collect();
        valid.sort_by(|a, b| {
            let order = compared[0].row(*a).cmp(&compared[0].row(*b));
            if descending { order.reverse() } else { order }
        });
        let (first, last) = if nulls_first { (nulls, valid) } else { (valid, nulls) };
        taken.extend(first.into_iter().chain(last));
        taken.end()?;
    }
    taken.finish(values, &field_of(returned)?)
}

fn lists_and_names(types: &[DataType]) -> Result<Vec<DataType>> {
    let Some((names, lists)) = types.split_last() else { return plan_error("takes arrays") };
    let mut all = lists.iter().map(as_list).collect::<Result<Vec<_>>>()?;
    all.push(plain(names));
    Ok(all)
}

fn zipped_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let names = constants.last().copied().flatten().and_then(|n| n.try_as_str().flatten()).unwrap_or_default();
    let names = names.split(',');
    let lists = &types[..types.len().saturating_sub(1)];
    let field =
        |(list, name): (&DataType, &str)| Field::new(name, element_of(list).cloned().unwrap_or(DataType::Null), true);
    Ok(list_of(&DataType::Struct(lists.iter().zip(names).map(field).collect::<Fields>())))
}

fn arrays_zip(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let field = field_of(returned)?;
    let lists = args[..args.len() - 1].iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    let mut places: Vec<Vec<Option<usize>>> = vec![Vec::new(); lists.len()];
    for at in 0..rows {
        let ranges = lists.iter().map(|l| l.row(at)).collect::<Option<Vec<_>>>();
        let length = ranges.iter().flatten().map(|r| r.len()).max().unwrap_or_default();
        valid.push(ranges.is_some());
        lengths.push(length);
        for (range, places) in ranges.iter().flatten().zip(&mut places) {
            places.extend((0..length).map(|p| (p < range.len()).then_some(range.start + p)));
        }
    }
    let columns = lists.iter().zip(places).map(|(l, p)| pick(l.values(), p)).collect::<Result<Vec<_>>>()?;
    let DataType::Struct(fields) = field.data_type() else { return plan_error("takes arrays") };
    let length = lengths.iter().sum();
    let rows: ArrayRef = Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, length)?);
    list(&field, &rows, lengths, valid)
}
