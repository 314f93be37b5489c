//! The table functions, `explode` and its relatives: each turns a value into an array of structs, one for each row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::build::joined;
use super::lists::{Lists, MAX_ASKED, bounded, pick};
use super::maps::{Maps, list_of_structs};
use super::types::{as_type, element_of, entry_of, exactly, list_of, name, plain};
use crate::arrays::Arrays;
use crate::error::{plan_error, words};

/// A function that gives rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// `explode`, `explode_outer`: the elements of an array, the entries of a map.
    Explode {
        /// Whether nothing gives one row of NULLs.
        outer: bool,
    },
    /// `posexplode`, `posexplode_outer`: the same with their places from 0.
    PosExplode {
        /// Whether nothing gives one row of NULLs.
        outer: bool,
    },
    /// `inline`, `inline_outer`: the structs of an array.
    Inline {
        /// Whether nothing gives one row of NULLs.
        outer: bool,
    },
    /// `stack`: its arguments in so many rows.
    Stack,
    /// `json_tuple`: fields of a JSON text, in one row.
    JsonTuple,
}

impl Generator {
    /// The names of all of them.
    pub const NAMES: [&'static str; 8] =
        ["explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack", "json_tuple"];

    /// The function that is called `name`, in lower case.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "explode" => Self::Explode { outer: false },
            "explode_outer" => Self::Explode { outer: true },
            "posexplode" => Self::PosExplode { outer: false },
            "posexplode_outer" => Self::PosExplode { outer: true },
            "inline" => Self::Inline { outer: false },
            "inline_outer" => Self::Inline { outer: true },
            "stack" => Self::Stack,
            "json_tuple" => Self::JsonTuple,
            _ => return None,
        })
    }

    /// Whether a value that gives no row gives one of NULLs.
    #[must_use]
    pub const fn is_outer(self) -> bool {
        matches!(self, Self::Explode { outer: true } | Self::PosExplode { outer: true } | Self::Inline { outer: true })
    }

    /// Whether it always gives one row, so that its function gives a struct, not an array of them.
    #[must_use]
    pub const fn is_one_row(self) -> bool {
        matches!(self, Self::JsonTuple)
    }

    /// The function of [`rows_function`] that makes its rows. That of `stack` is given the number of columns in place of that of rows.
    #[must_use]
    pub const fn rows_function(self) -> &'static str {
        match self {
            Self::Explode { .. } => "__sb_explode",
            Self::PosExplode { .. } => "__sb_posexplode",
            Self::Inline { .. } => "__sb_inline",
            Self::Stack => "__sb_stack",
            Self::JsonTuple => "json_tuple",
        }
    }

    /// The columns of its rows where its arguments are of `types`; for `stack` there is [`stack_of`].
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub fn columns(self, types: &[DataType]) -> std::result::Result<Vec<String>, String> {
        let rows = match self {
            Self::Explode { .. } => explode_type(types, &[]),
            Self::PosExplode { .. } => posexplode_type(types, &[]),
            Self::Inline { .. } => inline_type(types, &[]),
            Self::Stack => return Err(format!("stack of {} arguments: see stack_of", types.len())),
            Self::JsonTuple => {
                let fields = types.len().saturating_sub(1);
                return if fields > 0 {
                    Ok((0..fields).map(|at| format!("c{at}")).collect())
                } else {
                    Err("takes a text and the names of fields".to_owned())
                };
            }
        };
        match rows.map_err(|e| words(&e))? {
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => Ok(fields.iter().map(|f| f.name().clone()).collect()),
                other => Err(format!("rows of {other}")),
            },
            other => Err(format!("rows of {other}")),
        }
    }
}

/// The function that makes rows by the name that [`Generator::rows_function`] gives; it is in no registry.
#[must_use]
pub fn rows_function(name: &str) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "__sb_explode" => Arrays::of("__sb_explode", one, explode_type, |a, n, t| explode(a, n, t, false)),
        "__sb_posexplode" => Arrays::of("__sb_posexplode", one, posexplode_type, |a, n, t| explode(a, n, t, true)),
        "__sb_inline" => Arrays::of("__sb_inline", one, inline_type, inline),
        "__sb_stack" => Arrays::of("__sb_stack", all, stack_type, stack),
        _ => return None,
    })
}

fn one(types: &[DataType]) -> Result<Vec<DataType>> {
    let [one] = exactly(types)?;
    Ok(vec![plain(one)])
}

fn all(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(types.iter().map(plain).collect())
}

fn structs(fields: Vec<(&str, DataType)>) -> DataType {
    let fields = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true));
    list_of(&DataType::Struct(fields.collect::<Fields>()))
}

fn parts(types: &[DataType]) -> Result<Vec<(&'static str, DataType)>> {
    let [one] = exactly(types)?;
    if let Some(element) = element_of(one) {
        return Ok(vec![("col", plain(element))]);
    }
    match entry_of(one) {
        Some((key, value)) => Ok(vec![("key", plain(key)), ("value", plain(value))]),
        None => plan_error(format!("an array or a map is wanted, this is {}", name(one))),
    }
}

fn explode_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(structs(parts(types)?))
}

fn posexplode_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let mut parts = parts(types)?;
    parts.insert(0, ("pos", DataType::Int32));
    Ok(structs(parts))
}

fn inline_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let [one] = exactly(types)?;
    match plain(one) {
        DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)) => Ok(DataType::List(item)),
        other => plan_error(format!("an array of structs is wanted, this is {}", name(&other))),
    }
}

fn explode(args: &[ArrayRef], rows: usize, returned: &DataType, with_places: bool) -> Result<ArrayRef> {
    let mut taken = Vec::new();
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    let mut row = |range: Option<std::ops::Range<usize>>| {
        valid.push(range.is_some());
        let range = range.unwrap_or_default();
        lengths.push(range.len());
        places.extend((0..range.len()).map(|p| i32::try_from(p).unwrap_or(i32::MAX)));
        taken.extend(range.map(Some));
    };
    let sides = if entry_of(args[0].data_type()).is_some() {
        let maps = Maps::of(&args[0])?;
        (0..rows).for_each(|at| row(maps.row(at)));
        vec![Arc::clone(maps.keys()), Arc::clone(maps.values())]
    } else {
        let lists = Lists::of(&args[0])?;
        (0..rows).for_each(|at| row(lists.row(at)));
        vec![Arc::clone(lists.values())]
    };
    let mut columns: Vec<ArrayRef> = Vec::new();
    if with_places {
        columns.push(Arc::new(Int32Array::from(places)));
    }
    for side in &sides {
        columns.push(pick(side, taken.clone())?);
    }
    list_of_structs(returned, columns, lengths, valid)
}

fn inline(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let lists = Lists::of(&args[0])?;
    let structs = lists.values().as_struct();
    let mut taken = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for at in 0..rows {
        let range = lists.row(at);
        valid.push(range.is_some());
        let range = range.unwrap_or_default();
        lengths.push(range.len());
        // A NULL among the structs is a row of NULLs.
        taken.extend(range.map(|e| structs.is_valid(e).then_some(e)));
    }
    let columns = structs.columns().iter().map(|c| pick(c, taken.clone())).collect::<Result<Vec<_>>>()?;
    list_of_structs(returned, columns, lengths, valid)
}

/// The types of the columns of `values` in rows of `width`.
fn stack_types(values: &[DataType], width: usize) -> std::result::Result<Vec<DataType>, String> {
    let mut columns = vec![DataType::Null; width];
    for (at, value) in values.iter().enumerate() {
        let (value, column) = (plain(value), &mut columns[at % width]);
        if *column == DataType::Null {
            *column = value;
        } else if value != DataType::Null && value != *column {
            let names = (name(column), name(&value));
            return Err(format!(
                "column {} has values of {} and of {}: cast one of them",
                at % width,
                names.0,
                names.1
            ));
        }
    }
    Ok(columns)
}

/// The columns of `stack(rows, values...)`.
///
/// # Errors
/// What is wrong with the arguments.
pub fn stack_of(rows: usize, values: &[DataType]) -> std::result::Result<Vec<String>, String> {
    if rows == 0 || values.is_empty() {
        return Err("takes a number of rows, and values".to_owned());
    }
    if i64::try_from(rows).map_or(true, |rows| rows > MAX_ASKED) {
        return Err(format!("gives at most {MAX_ASKED} rows, not {rows}"));
    }
    let width = values.len().div_ceil(rows);
    stack_types(values, width)?;
    Ok((0..width).map(|at| format!("col{at}")).collect())
}

fn width(constants: &[Option<&ScalarValue>]) -> Option<usize> {
    constants.first().copied().flatten()?.try_as_str().flatten()?.split('x').nth(1)?.parse().ok()
}

fn stack_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let Some(width) = width(constants) else { return plan_error("the number of rows is written out") };
    let columns = stack_types(&types[1..], width.max(1)).or_else(plan_error)?;
    let fields = columns.into_iter().enumerate().map(|(at, t)| Field::new(format!("col{at}"), t, true));
    Ok(list_of(&DataType::Struct(fields.collect::<Fields>())))
}

fn stack(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let text = super::access::text(&args[0])?;
    let height = if rows == 0 { 0 } else { text.value(0).split('x').next().and_then(|h| h.parse().ok()).unwrap_or(0) };
    let DataType::List(item) = returned else { return plan_error("rows are wanted") };
    let DataType::Struct(fields) = item.data_type() else { return plan_error("rows are wanted") };
    let width = fields.len();
    bounded(rows.saturating_mul(height))?;
    let mut columns = Vec::with_capacity(width);
    for (at, field) in fields.iter().enumerate() {
        let values = args[1..].iter().skip(at).step_by(width);
        let values = values.map(|v| as_type(v, field.data_type())).collect::<Result<Vec<_>>>()?;
        let all = joined(&values, field.data_type())?;
        let place = |row: usize, line: usize| (line < values.len()).then_some(line * rows + row);
        columns.push(pick(
            &all,
            (0..rows)
                .flat_map(|row| (0..height).map(move |line| (row, line)))
                .map(|(row, line)| place(row, line))
                .collect(),
        )?);
    }
    list_of_structs(returned, columns, vec![height; rows], vec![true; rows])
}
