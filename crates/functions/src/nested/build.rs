//! Builds arrays of values and of other arrays, element by element.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::access::text;
use super::keys::keys;
use super::lists::{Lists, MAX_ASKED, Taken, field_of, whole};
use super::types::{
    as_index, as_list, as_type, beside, element_of, exactly, list_and_element, list_of, name, one_list, plain, widest,
};
use crate::arrays::Arrays;
use crate::casts::kernel;
use crate::error::{plan_error, row_error};
use crate::rows::{fits, together};
use crate::size;
use crate::values::Kind;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arrays::of("array", alike, |t, _| Ok(list_of(t.first().unwrap_or(&DataType::Null))), array),
        Arrays::of("array_append", list_and_new, first, |a, _, t| add(a, t, false)),
        Arrays::of("array_prepend", list_and_new, first, |a, _, t| add(a, t, true)),
        Arrays::of("array_insert", list_place_new, first, array_insert),
        Arrays::of("array_remove", list_and_old, first, array_remove),
        Arrays::of("array_compact", one_list, first, array_compact),
        Arrays::named("array_repeat", &["list_repeat"], value_and_count, |t, _| Ok(list_of(&t[0])), array_repeat),
        Arrays::of("slice", list_start_length, first, slice),
        Arrays::of("flatten", lists_in_list, inner, flatten),
        Arrays::of("array_join", list_and_texts, |_, _| Ok(DataType::Utf8), array_join),
        Arrays::of("reverse", list_or_text, first, reverse),
        Arrays::of("concat", lists_or_texts, |t, _| Ok(put_together(t)), concatenated),
    ]
}

pub(super) fn first(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    types.first().cloned().map_or_else(|| plan_error("takes arguments"), Ok)
}

fn inner(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(element_of(&types[0]).cloned().unwrap_or(DataType::Null))
}

fn alike(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![widest(types)?; types.len()])
}

fn list_and_new(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, value] = exactly(types)?;
    list_and_element(list, value)
}

fn list_and_old(types: &[DataType]) -> Result<Vec<DataType>> {
    list_and_new(types)
}

fn list_place_new(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, place, value] = exactly(types)?;
    let pair = list_and_element(list, value)?;
    Ok(vec![pair[0].clone(), as_index(place)?, pair[1].clone()])
}

fn value_and_count(types: &[DataType]) -> Result<Vec<DataType>> {
    let [value, count] = exactly(types)?;
    Ok(vec![plain(value), as_index(count)?])
}

fn list_start_length(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, start, length] = exactly(types)?;
    Ok(vec![as_list(list)?, as_index(start)?, as_index(length)?])
}

fn lists_in_list(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list] = exactly(types)?;
    let list = as_list(list)?;
    match element_of(&list) {
        Some(inner) if element_of(inner).is_some() => Ok(vec![list]),
        Some(DataType::Null) => Ok(vec![list_of(&list_of(&DataType::Null))]),
        _ => plan_error(format!("an array of arrays is wanted, this is {}", name(&list))),
    }
}

fn list_and_texts(types: &[DataType]) -> Result<Vec<DataType>> {
    if !(2..=3).contains(&types.len()) {
        return plan_error(format!(
            "takes an array, a separator and what stands for NULL, not {} arguments",
            types.len()
        ));
    }
    let list = as_list(&types[0])?;
    let plain_element = element_of(&list).is_some_and(|e| element_of(e).is_none() && !e.is_nested());
    if !plain_element {
        return plan_error(format!("an array of texts is wanted, this is {}", name(&list)));
    }
    Ok(std::iter::once(list_of(&DataType::Utf8)).chain(types[1..].iter().map(|_| DataType::Utf8)).collect())
}

fn list_or_text(types: &[DataType]) -> Result<Vec<DataType>> {
    let [one] = exactly(types)?;
    if element_of(one).is_some() { Ok(vec![plain(one)]) } else { Ok(vec![DataType::Utf8]) }
}

fn lists_or_texts(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.iter().any(|t| element_of(t).is_some()) {
        let all = types.iter().map(as_list).collect::<Result<Vec<_>>>()?;
        return alike(&all);
    }
    match types.iter().find(|t| Kind::Bytes.data_type(t).is_none()) {
        Some(other) => plan_error(format!(
            "concat takes texts, binary values or arrays, not {}; CAST it AS STRING",
            crate::types::article(other)
        )),
        // Numbers and times become text as Spark writes them.
        None => Ok(types.to_vec()),
    }
}

/// The type of values of `types` put together.
fn put_together(types: &[DataType]) -> DataType {
    let binary = !types.is_empty() && types.iter().all(|t| plain(t) == DataType::Binary);
    match types.first() {
        Some(list) if element_of(list).is_some() => list.clone(),
        _ if binary => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn array(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let field = field_of(returned)?;
    let values = args.iter().map(|a| as_type(a, field.data_type())).collect::<Result<Vec<_>>>()?;
    let all = joined(&values, field.data_type())?;
    let mut taken = Taken::new(rows);
    for at in 0..rows {
        taken.extend((0..args.len()).map(|of| of * rows + at));
        taken.end()?;
    }
    taken.finish(&all, &field)
}

/// One array after the other.
pub(super) fn joined(arrays: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    if arrays.is_empty() {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    let refs: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&refs)?)
}

fn add(args: &[ArrayRef], returned: &DataType, before: bool) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let field = field_of(returned)?;
    let all = joined(&[Arc::clone(lists.values()), as_type(&args[1], field.data_type())?], field.data_type())?;
    let new = lists.values().len();
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        if before {
            taken.push(Some(new + at));
        }
        taken.extend(range);
        if !before {
            taken.push(Some(new + at));
        }
        taken.end()?;
    }
    taken.finish(&all, &field)
}

fn array_insert(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let field = field_of(returned)?;
    let all = joined(&[Arc::clone(lists.values()), as_type(&args[2], field.data_type())?], field.data_type())?;
    let new = lists.values().len();
    let mut taken = Taken::new(lists.len());
    for (at, place) in whole(&args[1])?.into_iter().enumerate() {
        let (Some(range), Some(place)) = (lists.row(at), place) else {
            taken.null();
            continue;
        };
        let length = i64::try_from(range.len()).unwrap_or(i64::MAX);
        if place == 0 {
            return row_error("array_insert at place 0: places count from 1");
        }
        if place.unsigned_abs() > MAX_ASKED.unsigned_abs() {
            return row_error(format!(
                "array_insert at place {place} makes an array of more than {MAX_ASKED} elements"
            ));
        }
        // How many elements stand before the new one, and how many NULLs between.
        let before = if place > 0 { place - 1 } else { length + place + 1 };
        let split = usize::try_from(before.clamp(0, length)).unwrap_or_default();
        taken.extend(range.start..range.start + split);
        (length..before).for_each(|_| taken.push(None));
        taken.push(Some(new + at));
        (before..0).for_each(|_| taken.push(None));
        taken.extend(range.start + split..range.end);
        taken.end()?;
    }
    taken.finish(&all, &field)
}

fn array_remove(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let compared = keys(&[lists.values(), &args[1]])?;
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        match lists.row(at) {
            Some(range) if args[1].is_valid(at) && args[1].data_type() != &DataType::Null => {
                taken.extend(range.filter(|e| compared[0].row(*e) != compared[1].row(at)));
                taken.end()?;
            }
            _ => taken.null(),
        }
    }
    taken.finish(lists.values(), &field_of(returned)?)
}

fn array_compact(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let values = lists.values();
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        taken.extend(range.filter(|e| values.is_valid(*e) && values.data_type() != &DataType::Null));
        taken.end()?;
    }
    taken.finish(values, &field_of(returned)?)
}

fn array_repeat(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let mut taken = Taken::new(rows);
    let mut bytes = 0_usize;
    for (at, count) in whole(&args[1])?.into_iter().enumerate() {
        let Some(count) = count else {
            taken.null();
            continue;
        };
        if count > MAX_ASKED {
            return row_error(format!("array_repeat asks for {count} elements, more than {MAX_ASKED}"));
        }
        let times = usize::try_from(count).unwrap_or(0);
        bytes = bytes.saturating_add(size::row(&args[0], at).saturating_mul(times));
        together(bytes)?;
        (0..count).for_each(|_| taken.push(Some(at)));
        taken.end()?;
    }
    taken.finish(&args[0], &field_of(returned)?)
}

fn slice(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let (starts, lengths) = (whole(&args[1])?, whole(&args[2])?);
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let (Some(range), Some(start), Some(length)) = (lists.row(at), starts[at], lengths[at]) else {
            taken.null();
            continue;
        };
        if start == 0 {
            return row_error("slice starts at 0: places count from 1");
        }
        let Ok(length) = usize::try_from(length) else {
            return row_error(format!("slice of {length} elements is asked for"));
        };
        let size = i64::try_from(range.len()).unwrap_or(i64::MAX);
        let first = if start > 0 { start - 1 } else { size.saturating_add(start) };
        if let Ok(first) = usize::try_from(first) {
            taken.extend(range.skip(first).take(length));
        }
        taken.end()?;
    }
    taken.finish(lists.values(), &field_of(returned)?)
}

fn flatten(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let outer = Lists::of(&args[0])?;
    let inner = Lists::of(outer.values())?;
    let mut taken = Taken::new(outer.len());
    for at in 0..outer.len() {
        let parts = outer.row(at).and_then(|range| range.map(|e| inner.row(e)).collect::<Option<Vec<_>>>());
        let Some(parts) = parts else {
            taken.null();
            continue;
        };
        parts.into_iter().for_each(|part| taken.extend(part));
        taken.end()?;
    }
    taken.finish(inner.values(), &field_of(returned)?)
}

fn array_join(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let values = text(lists.values())?;
    let separators = text(&args[1])?;
    let instead = args.get(2).map(text).transpose()?;
    let mut out = StringBuilder::new();
    let mut line = String::new();
    for at in 0..lists.len() {
        let wanted = instead.as_ref().is_none_or(|i| i.is_valid(at)) && separators.is_valid(at);
        let Some(range) = lists.row(at).filter(|_| wanted) else {
            out.append_null();
            continue;
        };
        line.clear();
        let mut some = false;
        for e in range {
            let part = if values.is_valid(e) { Some(values.value(e)) } else { instead.as_ref().map(|i| i.value(at)) };
            let Some(part) = part else { continue };
            if some {
                line.push_str(separators.value(at));
            }
            line.push_str(part);
            fits(out.values_slice().len(), line.len())?;
            some = true;
        }
        out.append_value(&line);
    }
    Ok(Arc::new(out.finish()))
}

fn reverse(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    if element_of(returned).is_none() {
        let values = text(&args[0])?;
        let mut out = StringBuilder::new();
        values.iter().for_each(|v| out.append_option(v.map(|v| v.chars().rev().collect::<String>())));
        return Ok(Arc::new(out.finish()));
    }
    let lists = Lists::of(&args[0])?;
    let mut taken = Taken::new(lists.len());
    for at in 0..lists.len() {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        taken.extend(range.rev());
        taken.end()?;
    }
    taken.finish(lists.values(), &field_of(returned)?)
}

fn concatenated(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    if element_of(returned).is_none() {
        return concatenated_bytes(args, rows, returned);
    }
    let field = field_of(returned)?;
    let lists = args.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
    let values = lists.iter().map(|l| as_type(l.values(), field.data_type())).collect::<Result<Vec<_>>>()?;
    let all = joined(&values, field.data_type())?;
    let starts: Vec<usize> = values
        .iter()
        .scan(0, |sum, v| {
            let start = *sum;
            *sum += v.len();
            Some(start)
        })
        .collect();
    let mut taken = Taken::new(rows);
    for at in 0..rows {
        if lists.iter().any(|l| l.is_null(at)) {
            taken.null();
            continue;
        }
        for (list, start) in lists.iter().zip(&starts) {
            taken.extend(list.row(at).into_iter().flatten().map(|e| start + e));
        }
        taken.end()?;
    }
    taken.finish(&all, &field)
}

fn concatenated_bytes(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    use arrow::array::{AsArray, BinaryBuilder};
    let columns = args.iter().map(|a| kernel::run(a, returned, false)).collect::<Result<Vec<_>>>()?;
    let null = |at: usize| columns.iter().any(|c| c.is_null(at));
    if *returned == DataType::Binary {
        let mut out = BinaryBuilder::new();
        for at in 0..rows {
            if null(at) {
                out.append_null();
                continue;
            }
            let all: Vec<u8> = columns.iter().flat_map(|c| c.as_binary::<i32>().value(at).iter().copied()).collect();
            fits(out.values_slice().len(), all.len())?;
            out.append_value(all);
        }
        return Ok(Arc::new(out.finish()));
    }
    let texts: Vec<_> = columns.iter().map(|c| c.as_string::<i32>()).collect();
    let mut out = StringBuilder::new();
    let mut line = String::new();
    for at in 0..rows {
        if null(at) {
            out.append_null();
            continue;
        }
        line.clear();
        texts.iter().for_each(|t| line.push_str(t.value(at)));
        fits(out.values_slice().len(), line.len())?;
        out.append_value(&line);
    }
    Ok(Arc::new(out.finish()))
}

/// The type of two lists that are put together.
pub(super) fn two_lists(types: &[DataType]) -> Result<Vec<DataType>> {
    let [a, b] = exactly(types)?;
    let (list, other) = (as_list(a)?, as_list(b)?);
    match beside(element_of(&list).unwrap_or(&DataType::Null), element_of(&other).unwrap_or(&DataType::Null)) {
        Some(common) => Ok(vec![list_of(&common); 2]),
        None => plan_error(format!("{} and {} have no type in common", name(a), name(b))),
    }
}
