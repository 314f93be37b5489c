//! Builds, splits and merges maps. A new map has each key once, and no NULL key.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::access::text;
use super::build::joined;
use super::keys::keys;
use super::lists::{Left, Lists, Taken, field_of, list, pick};
use super::types::{as_list, as_map, as_type, element_of, entry_of, exactly, list_of, map_of, name, widest};
use crate::arrays::Arrays;
use crate::error::{plan_error, row_error};
use crate::text::pattern::Last;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        map_function(),
        Arrays::of("map_keys", one_map, |t, _| Ok(list_of(&entry(&t[0]).0)), |a, _, t| part(a, t, 0)),
        Arrays::of("map_values", one_map, |t, _| Ok(list_of(&entry(&t[0]).1)), |a, _, t| part(a, t, 1)),
        Arrays::of("map_entries", one_map, entries_type, map_entries),
        Arrays::of("map_from_arrays", keys_and_values, from_arrays_type, map_from_arrays),
        Arrays::of("map_from_entries", list_of_pairs, from_entries_type, map_from_entries),
        Arrays::of("map_concat", maps_alike, |t, _| first_or_empty(t), map_concat),
        Arrays::of("str_to_map", texts, |_, _| Ok(map_of(&DataType::Utf8, &DataType::Utf8)), str_to_map),
    ]
}

/// `map(key, value, ...)`.
pub(super) fn map_function() -> Arc<ScalarUDF> {
    Arrays::of("map", pairs, |t, _| Ok(map_of(&t[0], &t[1])), map)
}

/// An argument that is a map.
pub(crate) struct Maps {
    map: MapArray,
}

impl Maps {
    pub(crate) fn of(array: &ArrayRef) -> Result<Self> {
        let (key, value) = entry(array.data_type());
        let array = as_type(array, &map_of(&key, &value))?;
        match array.as_map_opt() {
            Some(map) => Ok(Self { map: alone(map)? }),
            None => plan_error("a map is wanted"),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn keys(&self) -> &ArrayRef {
        self.map.keys()
    }

    pub(crate) fn values(&self) -> &ArrayRef {
        self.map.values()
    }

    /// Where the entries of row `at` stand, None for NULL.
    pub(crate) fn row(&self, at: usize) -> Option<Range<usize>> {
        if self.map.is_null(at) {
            return None;
        }
        let offsets = self.map.value_offsets();
        let place = |of: i32| usize::try_from(of).unwrap_or_default();
        Some(place(offsets[at])..place(offsets[at + 1]))
    }

    /// For each row the list of what its entries have in `values`, a value for each entry of all rows.
    fn lists_of(&self, values: &ArrayRef, returned: &DataType) -> Result<ArrayRef> {
        let mut taken = Taken::new(self.len());
        for at in 0..self.len() {
            match self.row(at) {
                Some(range) => {
                    taken.extend(range);
                    taken.end()?;
                }
                None => taken.null(),
            }
        }
        taken.finish(values, &field_of(returned)?)
    }

    /// For each row the entry whose key is that of `wanted`.
    pub(crate) fn find(&self, wanted: &ArrayRef) -> Result<Vec<Option<usize>>> {
        let wanted = as_type(wanted, self.keys().data_type())?;
        let compared = keys(&[self.keys(), &wanted])?;
        let one = |at: usize| {
            let mut range = self.row(at)?;
            if wanted.is_null(at) {
                return None;
            }
            range.find(|e| compared[0].row(*e) == compared[1].row(at))
        };
        Ok((0..self.len()).map(one).collect())
    }
}

/// `map` with its own entries alone: of rows that were cut from many, the others' would be looked at each time.
fn alone(map: &MapArray) -> Result<MapArray> {
    let place = |of: i32| usize::try_from(of).unwrap_or_default();
    let (first, last) = (map.value_offsets()[0], map.value_offsets()[map.len()]);
    let DataType::Map(field, ordered) = map.data_type() else { return Ok(map.clone()) };
    if place(last - first) == map.entries().len() {
        return Ok(map.clone());
    }
    let entries = map.entries().slice(place(first), place(last - first));
    let offsets = map.offsets().clone().subtract(first);
    Ok(MapArray::try_new(Arc::clone(field), offsets, entries, map.nulls().cloned(), *ordered)?)
}

/// The types of keys and values of a map type.
pub(super) fn entry(map: &DataType) -> (DataType, DataType) {
    entry_of(map).map_or((DataType::Null, DataType::Null), |(k, v)| (k.clone(), v.clone()))
}

/// Maps of keys and values that stand side by side, so many to each row.
///
/// # Errors
/// A key that is NULL, or twice in a row.
pub(crate) fn made(
    returned: &DataType,
    keys_: &ArrayRef,
    values: &ArrayRef,
    lengths: &[usize],
    valid: Vec<bool>,
) -> Result<ArrayRef> {
    let DataType::Map(field, ordered) = returned else { return plan_error(format!("{returned} is no map")) };
    let DataType::Struct(pair) = field.data_type() else { return plan_error(format!("{returned} is no map")) };
    let keys_ = as_type(keys_, pair[0].data_type())?;
    let values = as_type(values, pair[1].data_type())?;
    check(&keys_, lengths)?;
    let pair: Fields = pair.clone();
    let entries = StructArray::try_new(pair, vec![keys_, values], None)?;
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths.iter().copied());
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *ordered)?))
}

fn check(keys_: &ArrayRef, lengths: &[usize]) -> Result<()> {
    if keys_.null_count() > 0 || (keys_.data_type() == &DataType::Null && !keys_.is_empty()) {
        return row_error("a map key is NULL");
    }
    let compared = keys(&[keys_])?;
    let mut start = 0;
    for length in lengths {
        let mut seen = HashSet::with_capacity(*length);
        if let Some(twice) = (start..start + length).find(|e| !seen.insert(compared[0].row(*e))) {
            let shown = ScalarValue::try_from_array(keys_, twice)?;
            return row_error(format!("the map key {shown} occurs twice"));
        }
        start += length;
    }
    Ok(())
}

fn pairs(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() || !types.len().is_multiple_of(2) {
        return plan_error(format!("takes keys and values in turn, not {} arguments", types.len()));
    }
    let key = widest(types.iter().step_by(2))?;
    let value = widest(types.iter().skip(1).step_by(2))?;
    Ok((0..types.len()).map(|at| if at % 2 == 0 { key.clone() } else { value.clone() }).collect())
}

fn one_map(types: &[DataType]) -> Result<Vec<DataType>> {
    let [map] = exactly(types)?;
    Ok(vec![as_map(map)?])
}

fn keys_and_values(types: &[DataType]) -> Result<Vec<DataType>> {
    let [keys, values] = exactly(types)?;
    Ok(vec![as_list(keys)?, as_list(values)?])
}

fn list_of_pairs(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list] = exactly(types)?;
    let list = as_list(list)?;
    match element_of(&list) {
        Some(DataType::Struct(fields)) if fields.len() == 2 => Ok(vec![list]),
        _ => plan_error(format!("an array of structs of two fields is wanted, this is {}", name(&list))),
    }
}

fn maps_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    let maps = types.iter().map(as_map).collect::<Result<Vec<_>>>()?;
    Ok(vec![widest(&maps)?; maps.len()])
}

fn texts(types: &[DataType]) -> Result<Vec<DataType>> {
    if (1..=3).contains(&types.len()) {
        return Ok(vec![DataType::Utf8; types.len()]);
    }
    plan_error(format!("takes a text and two separators, not {} arguments", types.len()))
}

fn entries_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let (key, value) = entry(&types[0]);
    let fields = Fields::from(vec![
        arrow::datatypes::Field::new("key", key, true),
        arrow::datatypes::Field::new("value", value, true),
    ]);
    Ok(list_of(&DataType::Struct(fields)))
}

fn from_arrays_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let of = |t: &DataType| element_of(t).cloned().unwrap_or(DataType::Null);
    Ok(map_of(&of(&types[0]), &of(&types[1])))
}

fn from_entries_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match element_of(&types[0]) {
        Some(DataType::Struct(pair)) if pair.len() == 2 => Ok(map_of(pair[0].data_type(), pair[1].data_type())),
        _ => plan_error("an array of structs of two fields is wanted"),
    }
}

fn first_or_empty(types: &[DataType]) -> Result<DataType> {
    Ok(types.first().cloned().unwrap_or_else(|| map_of(&DataType::Utf8, &DataType::Utf8)))
}

fn map(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let (key, value) = entry(returned);
    let side = |from: usize, data_type: &DataType| -> Result<ArrayRef> {
        let columns = args.iter().skip(from).step_by(2).map(|a| as_type(a, data_type)).collect::<Result<Vec<_>>>()?;
        let all = joined(&columns, data_type)?;
        let places = (0..rows).flat_map(|at| (0..columns.len()).map(move |c| Some(c * rows + at)));
        pick(&all, places.collect())
    };
    let lengths = vec![args.len() / 2; rows];
    made(returned, &side(0, &key)?, &side(1, &value)?, &lengths, vec![true; rows])
}

fn part(args: &[ArrayRef], returned: &DataType, side: usize) -> Result<ArrayRef> {
    let maps = Maps::of(&args[0])?;
    maps.lists_of(if side == 0 { maps.keys() } else { maps.values() }, returned)
}

fn map_entries(args: &[ArrayRef], _: usize, returned: &DataType) -> Result<ArrayRef> {
    let maps = Maps::of(&args[0])?;
    let field = field_of(returned)?;
    let DataType::Struct(pair) = field.data_type() else { return plan_error("a map is wanted") };
    let columns = vec![Arc::clone(maps.keys()), Arc::clone(maps.values())];
    let entries: ArrayRef = Arc::new(StructArray::try_new(pair.clone(), columns, None)?);
    maps.lists_of(&entries, returned)
}

fn map_from_arrays(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let (a, b) = (Lists::of(&args[0])?, Lists::of(&args[1])?);
    let mut places = (Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for at in 0..rows {
        let both = a.row(at).zip(b.row(at));
        valid.push(both.is_some());
        let (keys, values) = both.unwrap_or_default();
        if keys.len() != values.len() {
            return row_error(format!("map_from_arrays has {} keys and {} values", keys.len(), values.len()));
        }
        lengths.push(keys.len());
        places.0.extend(keys.map(Some));
        places.1.extend(values.map(Some));
    }
    made(returned, &pick(a.values(), places.0)?, &pick(b.values(), places.1)?, &lengths, valid)
}

fn map_from_entries(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let entries = lists.values().as_struct();
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for at in 0..rows {
        // A NULL among the entries makes the map NULL.
        let range = lists.row(at).filter(|range| range.clone().all(|e| entries.is_valid(e)));
        valid.push(range.is_some());
        lengths.push(range.as_ref().map_or(0, ExactSizeIterator::len));
        places.extend(range.into_iter().flatten().map(Some));
    }
    let (keys, values) = (pick(entries.column(0), places.clone())?, pick(entries.column(1), places)?);
    made(returned, &keys, &values, &lengths, valid)
}

fn map_concat(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let (key, value) = entry(returned);
    let maps = args.iter().map(Maps::of).collect::<Result<Vec<_>>>()?;
    let keys = maps.iter().map(|m| as_type(m.keys(), &key)).collect::<Result<Vec<_>>>()?;
    let values = maps.iter().map(|m| as_type(m.values(), &value)).collect::<Result<Vec<_>>>()?;
    let (all_keys, all_values) = (joined(&keys, &key)?, joined(&values, &value)?);
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for at in 0..rows {
        let ranges = maps.iter().map(|m| m.row(at)).collect::<Option<Vec<_>>>();
        valid.push(ranges.is_some());
        let (mut start, before) = (0, places.len());
        for (range, keys) in ranges.into_iter().flatten().zip(&keys) {
            places.extend(range.map(|e| Some(start + e)));
            start += keys.len();
        }
        lengths.push(places.len() - before);
    }
    let (keys, values) = (pick(&all_keys, places.clone())?, pick(&all_values, places)?);
    made(returned, &keys, &values, &lengths, valid)
}

/// The separators are regular expressions of Java's.
fn str_to_map(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let values = text(&args[0])?;
    let between = args.get(1).map(text).transpose()?;
    let within = args.get(2).map(text).transpose()?;
    let (mut entries_by, mut pair_by) = (Last::new(false), Last::new(false));
    let mut keys = arrow::array::StringBuilder::new();
    let mut parts = arrow::array::StringBuilder::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    let mut left = Left::new();
    for at in 0..rows {
        let null = [&between, &within].into_iter().flatten().any(|s| s.is_null(at));
        if null || values.is_null(at) {
            valid.push(false);
            lengths.push(0);
            continue;
        }
        let between = between.as_ref().map_or(",", |s| s.value(at));
        let within = within.as_ref().map_or(":", |s| s.value(at));
        let entries_by = entries_by.pattern(between).or_else(row_error)?;
        let entries = entries_by.split(values.value(at), None, &mut left).or_else(row_error)?;
        let within = pair_by.pattern(within).or_else(row_error)?;
        for entry in &entries {
            let pair = within.split(entry, Some(2), &mut Left::of(2)).or_else(row_error)?;
            keys.append_value(pair.first().copied().unwrap_or_default());
            parts.append_option(pair.get(1));
        }
        valid.push(true);
        lengths.push(entries.len());
    }
    let (keys, parts): (ArrayRef, ArrayRef) = (Arc::new(keys.finish()), Arc::new(parts.finish()));
    made(returned, &keys, &parts, &lengths, valid)
}

/// A list of structs whose columns are `columns`.
pub(crate) fn list_of_structs(
    returned: &DataType,
    columns: Vec<ArrayRef>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
) -> Result<ArrayRef> {
    let field = field_of(returned)?;
    let DataType::Struct(fields) = field.data_type() else { return plan_error("structs are wanted") };
    let fields = fields.clone();
    let rows: ArrayRef = Arc::new(StructArray::try_new(fields, columns, None)?);
    list(&field, &rows, lengths, valid)
}
