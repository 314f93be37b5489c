//! Functions of JSON text. It is read as Jackson reads it for Spark (`parse`), and written as Jackson writes it (`write`).

mod ddl;
mod from;
mod parse;
mod path;
mod times;
mod to;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use self::parse::{Json, Lenient, parse};
use crate::arrays::Arrays;
use crate::error::plan_error;
use crate::nested::access::text;
use crate::nested::lists::list;
use crate::nested::types::{exactly, item, list_of, name, plain};
use crate::rows::fits;

/// How the functions that take JSON apart read it.
const LENIENT: Lenient = Lenient { control: true, not_finite: false };

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        get_json_object(),
        Arrays::of("json_array_length", one_text, |_, _| Ok(DataType::Int32), json_array_length),
        Arrays::of("json_object_keys", one_text, |_, _| Ok(list_of(&DataType::Utf8)), json_object_keys),
        Arrays::of("json_tuple", texts, tuple_type, json_tuple),
        Arrays::of("to_json", value_and_options, to_json_type, to_json),
        Arrays::of("from_json", text_schema_options, from_json_type, from_json),
    ]
}

/// `get_json_object`.
pub(crate) fn get_json_object() -> Arc<ScalarUDF> {
    let two = |types: &[DataType]| exactly::<2>(types).map(|_| vec![DataType::Utf8; 2]);
    Arrays::of("get_json_object", two, |_, _| Ok(DataType::Utf8), object)
}

/// The path of `get_json_object` for the path of `v:a.b[0]`.
pub(crate) fn path_of_colon(path: &str) -> String {
    let path = path.replace("[\"", "['").replace("\"]", "']").replace(['`', '"'], "");
    if path.starts_with('[') { format!("${path}") } else { format!("$.{path}") }
}

/// The schema that `schema_of_json` gives for a text; None if it is no JSON.
#[must_use]
pub fn schema_of_json(text: &str) -> Option<String> {
    ddl::schema_of(text)
}

fn one_text(types: &[DataType]) -> Result<Vec<DataType>> {
    exactly::<1>(types).map(|_| vec![DataType::Utf8])
}

fn texts(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.len() < 2 {
        return plan_error("takes a text and the names of fields");
    }
    Ok(vec![DataType::Utf8; types.len()])
}

fn object(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let (values, paths) = (text(&args[0])?, text(&args[1])?);
    let mut known: Option<(String, Option<Vec<path::Step>>)> = None;
    let mut out = StringBuilder::new();
    for at in 0..values.len() {
        if values.is_null(at) || paths.is_null(at) {
            out.append_null();
            continue;
        }
        let path = paths.value(at);
        if known.as_ref().is_none_or(|(last, _)| last != path) {
            known = Some((path.to_owned(), path::steps(path)));
        }
        let steps = known.as_ref().and_then(|(_, steps)| steps.as_ref());
        let found = match steps {
            Some(steps) => parse(values.value(at), LENIENT)?.ok().flatten().and_then(|value| path::find(&value, steps)),
            None => None,
        };
        out.append_option(found);
    }
    Ok(Arc::new(out.finish()))
}

fn json_array_length(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let length = |text: &str| -> Result<Option<i32>> {
        Ok(match parse(text, LENIENT)? {
            Ok(Some(Json::Array(items))) => i32::try_from(items.len()).ok(),
            _ => None,
        })
    };
    let lengths = text(&args[0])?.iter().map(|t| t.map_or(Ok(None), length)).collect::<Result<Int32Array>>()?;
    Ok(Arc::new(lengths))
}

fn json_object_keys(args: &[ArrayRef], _: usize, _: &DataType) -> Result<ArrayRef> {
    let values = text(&args[0])?;
    let keys = |text: &str| -> Result<Option<Vec<String>>> {
        Ok(match parse(text, LENIENT)? {
            Ok(Some(Json::Object(fields))) => Some(fields.into_iter().map(|(n, _)| n.into_owned()).collect()),
            _ => None,
        })
    };
    let all = values.iter().map(|t| t.map_or(Ok(None), keys)).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = all.iter().map(|k| k.as_ref().map_or(0, Vec::len)).collect();
    let valid = all.iter().map(Option::is_some).collect();
    let names: Vec<String> = all.into_iter().flatten().flatten().collect();
    let names: ArrayRef = Arc::new(StringArray::from(names));
    list(&item(&DataType::Utf8), &names, lengths, valid)
}

fn tuple_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    let fields = (0..types.len() - 1).map(|at| Field::new(format!("c{at}"), DataType::Utf8, true));
    Ok(DataType::Struct(fields.collect::<Fields>()))
}

fn json_tuple(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let values = text(&args[0])?;
    let names = args[1..].iter().map(text).collect::<Result<Vec<_>>>()?;
    let mut columns: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
    for at in 0..rows {
        let value = if values.is_valid(at) { parse(values.value(at), LENIENT)?.ok().flatten() } else { None };
        let fields = if let Some(Json::Object(fields)) = value { fields } else { Vec::new() };
        for (names, out) in names.iter().zip(&mut columns) {
            let wanted = |(name, value): &&(_, Json<'_>)| {
                let name: &std::borrow::Cow<'_, str> = name;
                names.is_valid(at) && name.as_ref() == names.value(at) && *value != Json::Null
            };
            out.append_option(fields.iter().rev().find(wanted).map(|(_, value)| write::plain(value)));
        }
    }
    let DataType::Struct(fields) = returned else { return plan_error("takes a text and names") };
    let columns = columns.iter_mut().map(|c| Arc::new(c.finish()) as ArrayRef).collect();
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

fn value_and_options(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [value] => Ok(vec![plain(value)]),
        [value, _] => Ok(vec![plain(value), DataType::Utf8]),
        _ => plan_error(format!("takes a value and options, not {} arguments", types.len())),
    }
}

fn to_json_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    if !matches!(types[0], DataType::Struct(_) | DataType::Map(..) | DataType::List(_) | DataType::Null) {
        return plan_error(format!("takes a struct, a map or an array, this is {}", name(&types[0])));
    }
    if types.len() == 2 && constants.get(1).copied().flatten().is_none() {
        return plan_error("the options are written out, as in to_json(value, map('ignoreNullFields', 'false'))");
    }
    for (name, value) in options(constants.get(1).copied().flatten(), &[KEEP_NULLS])? {
        if boolean(value).is_none() {
            return plan_error(format!("the option `{name}` is true or false, not '{value}'"));
        }
    }
    Ok(DataType::Utf8)
}

/// The option of `to_json` that, where it is false, has NULL fields written.
const KEEP_NULLS: &str = "ignoreNullFields";

/// `true` or `false` in letters of any case, as options have it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Whether NULL fields are written by the options `given`.
fn keeps_nulls(given: &str) -> bool {
    pairs(given).any(|(name, value)| name.eq_ignore_ascii_case(KEEP_NULLS) && boolean(value) == Some(false))
}

fn to_json(args: &[ArrayRef], rows: usize, _: &DataType) -> Result<ArrayRef> {
    let given = args.get(1).filter(|given| !given.is_empty()).map(text).transpose()?;
    let nulls = given.is_some_and(|given| given.is_valid(0) && keeps_nulls(given.value(0)));
    let writer = to::Writer::of(&args[0])?;
    let mut out = StringBuilder::new();
    let mut line = String::new();
    for at in 0..rows {
        if writer.is_null(at) {
            out.append_null();
            continue;
        }
        line.clear();
        writer.write(&mut line, at, nulls)?;
        fits(out.values_slice().len(), line.len())?;
        out.append_value(&line);
    }
    Ok(Arc::new(out.finish()))
}

fn text_schema_options(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.len() {
        2 | 3 => Ok(vec![DataType::Utf8; types.len()]),
        n => plan_error(format!("takes a text, a schema and options, not {n} arguments")),
    }
}

fn from_json_type(_: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let Some(schema) = constants.get(1).copied().flatten().and_then(|s| s.try_as_str().flatten()) else {
        return plan_error("the schema is written out, as in from_json(value, 'a INT, b STRING')");
    };
    let given = options(constants.get(2).copied().flatten(), &["mode"])?;
    for (_, mode) in given {
        if !["PERMISSIVE", "FAILFAST"].iter().any(|m| mode.eq_ignore_ascii_case(m)) {
            return plan_error(format!("there is no mode `{mode}`: PERMISSIVE gives NULLs, FAILFAST an error"));
        }
    }
    match ddl::parse(schema) {
        Ok(DataType::Struct(fields)) => match from::corrupt_record(&fields).map(|at| fields[at].data_type()) {
            Some(other) if other != &DataType::Utf8 => plan_error(format!(
                "`_corrupt_record` takes the text that cannot be read: it is STRING, not {}; write `_corrupt_record STRING`",
                name(other)
            )),
            _ => Ok(DataType::Struct(fields)),
        },
        Ok(list @ DataType::List(_)) => Ok(list),
        Ok(data_type @ DataType::Map(..)) => match crate::nested::types::entry_of(&data_type) {
            Some((DataType::Utf8, _)) => Ok(data_type),
            _ => plan_error("the keys of a map in JSON are STRING"),
        },
        Ok(other) => plan_error(format!("the schema is a list of columns, an ARRAY or a MAP, not {}", name(&other))),
        Err(why) => plan_error(format!("the schema `{schema}` cannot be read: {why}")),
    }
}

fn from_json(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let strict = args
        .get(2)
        .is_some_and(|o| rows > 0 && text(o).is_ok_and(|o| o.value(0).to_ascii_uppercase().ends_with("=FAILFAST")));
    from::from_json(&text(&args[0])?, returned, strict)
}

fn pairs(options: &str) -> impl Iterator<Item = (&str, &str)> {
    options.split(';').filter_map(|pair| pair.split_once('='))
}

/// The options of `name=value;name=value`, of which only `known` are taken.
fn options<'a>(given: Option<&'a ScalarValue>, known: &[&str]) -> Result<Vec<(&'a str, &'a str)>> {
    let text = given.and_then(|o| o.try_as_str().flatten()).unwrap_or_default();
    let pairs: Vec<(&str, &str)> = pairs(text).collect();
    match pairs.iter().find(|(name, _)| !known.iter().any(|k| k.eq_ignore_ascii_case(name))) {
        None => Ok(pairs),
        Some((name, _)) => plan_error(format!("the option `{name}` is not supported; `{}` is", known.join("`, `"))),
    }
}
