//! Reads arrays and maps: size, elements by index or key, and whether and where a value occurs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::keys::keys;
use super::lists::{Lists, Taken, field_of, pick, whole};
use super::maps::Maps;
use super::types::{
    as_index, as_list, as_map, element_of, entry_of, exactly, list_and_element, list_of, name, one_list, plain,
};
use crate::arrays::Arrays;
use crate::error::{plan_error, row_error};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arrays::named("size", &["cardinality"], list_or_map, |_, _| Ok(DataType::Int32), size),
        Arrays::of("array_size", one_list, |_, _| Ok(DataType::Int32), size),
        element_at_function(),
        field_of_each(),
        Arrays::of("try_element_at", place_or_key, element, |a, n, _| element_at(a, n, false)),
        Arrays::of("get", list_and_place, element, |a, n, _| get(a, n)),
        Arrays::of("array_contains", member, |_, _| Ok(DataType::Boolean), array_contains),
        Arrays::of("array_position", member, |_, _| Ok(DataType::Int64), array_position),
        Arrays::of("array_max", one_list, element, |a, _, _| extreme(a, true)),
        Arrays::of("array_min", one_list, element, |a, _, _| extreme(a, false)),
        Arrays::of("map_contains_key", map_and_key, |_, _| Ok(DataType::Boolean), map_contains_key),
    ]
}

/// `element_at`.
pub(super) fn element_at_function() -> Arc<ScalarUDF> {
    Arrays::of("element_at", place_or_key, element, |a, n, _| element_at(a, n, true))
}

/// The field of each struct of an array: `points.x`.
pub(super) fn field_of_each() -> Arc<ScalarUDF> {
    Arrays::of("field_of_each", list_and_name, field_type, field_values)
}

fn list_and_name(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, name] = exactly(types)?;
    Ok(vec![as_list(list)?, plain(name)])
}

/// The result type: an array of the type of the field that the second argument names.
fn field_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let wanted = constants.get(1).copied().flatten().and_then(|n| n.try_as_str().flatten());
    let Some(DataType::Struct(fields)) = element_of(&types[0]) else {
        return plan_error("an array of structs is wanted");
    };
    match fields.iter().find(|f| Some(f.name().as_str()) == wanted) {
        Some(field) => Ok(list_of(field.data_type())),
        None => plan_error("there is no such field"),
    }
}

fn field_values(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let structs = lists.values().as_struct();
    let names = text(&args[1])?;
    let column = (rows > 0).then(|| structs.column_by_name(names.value(0))).flatten();
    let Some(column) = column else { return Ok(arrow::array::new_null_array(returned, rows)) };
    let mut taken = Taken::new(rows);
    for at in 0..rows {
        let Some(range) = lists.row(at) else {
            taken.null();
            continue;
        };
        range.for_each(|e| taken.push(structs.is_valid(e).then_some(e)));
        taken.end()?;
    }
    taken.finish(column, &field_of(returned)?)
}

fn list_or_map(types: &[DataType]) -> Result<Vec<DataType>> {
    let [one] = exactly(types)?;
    if entry_of(one).is_some() { Ok(vec![plain(one)]) } else { Ok(vec![as_list(one)?]) }
}

fn list_and_place(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, place] = exactly(types)?;
    Ok(vec![as_list(list)?, as_index(place)?])
}

fn map_and_key(types: &[DataType]) -> Result<Vec<DataType>> {
    let [map, key] = exactly(types)?;
    let map = as_map(map)?;
    let (of, _) = entry_of(&map).unwrap_or((&DataType::Null, &DataType::Null));
    if *key == DataType::Null {
        return plan_error("a key cannot be NULL");
    }
    match list_and_element(&list_of(of), key).map(|mut types| types.swap_remove(1)) {
        Ok(common) if common == *of => Ok(vec![map, common]),
        _ => plan_error(format!("the map's keys are {}, this is {}", name(of), name(key))),
    }
}

fn place_or_key(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [map, _] if entry_of(map).is_some() => map_and_key(types),
        _ => list_and_place(types),
    }
}

fn member(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, value] = exactly(types)?;
    if *value == DataType::Null {
        return plan_error("NULL is in no array: write exists(array, x -> x IS NULL)");
    }
    list_and_element(list, value)
}

fn element(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let of = |t: &DataType| element_of(t).cloned().or_else(|| entry_of(t).map(|(_, value)| value.clone()));
    Ok(types.first().and_then(of).unwrap_or(DataType::Null))
}

fn size(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let length = |range: Option<std::ops::Range<usize>>| range.map(|r| i32::try_from(r.len()).unwrap_or(i32::MAX));
    let sizes: Int32Array = if entry_of(args[0].data_type()).is_some() {
        let maps = Maps::of(&args[0])?;
        (0..maps.len()).map(|at| length(maps.row(at))).collect()
    } else {
        let lists = Lists::of(&args[0])?;
        (0..lists.len()).map(|at| length(lists.row(at))).collect()
    };
    Ok(Arc::new(sizes))
}

fn element_at(args: &[ArrayRef], rows: usize, strict: bool) -> Result<ArrayRef> {
    if entry_of(args[0].data_type()).is_some() {
        let maps = Maps::of(&args[0])?;
        return pick(maps.values(), maps.find(&args[1])?);
    }
    let lists = Lists::of(&args[0])?;
    let places = whole(&args[1])?;
    let mut picked = Vec::with_capacity(rows);
    for (at, place) in places.into_iter().enumerate() {
        let (Some(range), Some(place)) = (lists.row(at), place) else {
            picked.push(None);
            continue;
        };
        let length = range.len();
        let from_zero = match place {
            0 => return row_error("element 0 of an array is asked for: places count from 1"),
            1.. => usize::try_from(place - 1).ok(),
            _ => place.checked_abs().and_then(|p| length.checked_sub(usize::try_from(p).ok()?)),
        };
        match from_zero.filter(|p| *p < length) {
            Some(p) => picked.push(Some(range.start + p)),
            None if strict => {
                return row_error(format!("element {place} of an array of {length} elements is asked for"));
            }
            None => picked.push(None),
        }
    }
    pick(lists.values(), picked)
}

fn get(args: &[ArrayRef], _: usize) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let places = whole(&args[1])?;
    let one = |(at, place): (usize, Option<i64>)| {
        let range = lists.row(at)?;
        let place = usize::try_from(place?).ok().filter(|p| *p < range.len())?;
        Some(range.start + place)
    };
    pick(lists.values(), places.into_iter().enumerate().map(one).collect())
}

/// The first place in a list that holds a value, None where none does, and whether the list has a NULL.
type Found = (Option<usize>, bool);

/// For each row the first place in its list that holds the row's value, None where list or value is NULL, and whether the list has a NULL.
fn search(args: &[ArrayRef]) -> Result<Vec<Option<Found>>> {
    let lists = Lists::of(&args[0])?;
    let compared = keys(&[lists.values(), &args[1]])?;
    let (elements, wanted) = (&compared[0], &compared[1]);
    let one = |at: usize| {
        let range = lists.row(at)?;
        if args[1].is_null(at) {
            return None;
        }
        let key = wanted.row(at);
        let found = range.clone().position(|e| elements.row(e) == key);
        Some((found, found.is_none() && range.clone().any(|e| lists.values().is_null(e))))
    };
    Ok((0..lists.len()).map(one).collect())
}

fn array_contains(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let found = search(args)?.into_iter().map(|found| match found {
        Some((Some(_), _)) => Some(true),
        Some((None, false)) => Some(false),
        _ => None,
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn array_position(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let place = |found: Option<usize>| found.map_or(0, |p| i64::try_from(p).unwrap_or_default() + 1);
    let places = search(args)?.into_iter().map(|found| found.map(|(found, _)| place(found)));
    Ok(Arc::new(places.collect::<Int64Array>()))
}

fn extreme(args: &[ArrayRef], largest: bool) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let values = lists.values();
    if values.data_type() == &DataType::Null {
        return Ok(arrow::array::new_null_array(&DataType::Null, lists.len()));
    }
    let compared = keys(&[values])?;
    let one = |at: usize| {
        let valid = lists.row(at)?.filter(|e| values.is_valid(*e));
        let better = |best: usize, next: usize| {
            let (a, b) = (compared[0].row(best), compared[0].row(next));
            if (largest && b > a) || (!largest && b < a) { next } else { best }
        };
        valid.reduce(better)
    };
    pick(values, (0..lists.len()).map(one).collect())
}

fn map_contains_key(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let maps = Maps::of(&args[0])?;
    let found = maps.find(&args[1])?;
    let one = |(at, found): (usize, Option<usize>)| {
        maps.row(at)?;
        args[1].is_valid(at).then_some(found.is_some())
    };
    Ok(Arc::new(found.into_iter().enumerate().map(one).collect::<BooleanArray>()))
}

/// The text of an argument.
pub(crate) fn text(array: &ArrayRef) -> Result<arrow::array::StringArray> {
    let array = super::types::as_type(array, &DataType::Utf8)?;
    Ok(array.as_string::<i32>().clone())
}
