//! `array[i]`, `map[key]`, and fields of structs within arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::nested::keys::keys;
use crate::{casts, types};

/// `of[key]`.
///
/// # Errors
/// If `of` has no items, or is asked for them by another type.
pub fn item(of: Expr, key: Expr, schema: &DFSchema) -> Result<Expr> {
    let (from, by) = (of.get_type(schema)?, key.get_type(schema)?);
    match &from {
        DataType::List(_) | DataType::LargeList(_) => {
            if !by.is_integer() && by != DataType::Null {
                return plan_err!(
                    "an item of an ARRAY is asked for by its place, from 0, not by {}",
                    types::article(&by)
                );
            }
            let key = casts::plan(key, &by, &DataType::Int32, false)?;
            Ok(Access::call(What::Place, vec![of, key]))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return internal_err!("a map of {entries}") };
            let to = pair[0].data_type();
            if types::common(&by, to).is_none() {
                return plan_err!("{} has no key of type {}", types::article(&from), types::name(&by));
            }
            let key = casts::plan(key, &by, to, false)?;
            Ok(Access::call(What::Key, vec![of, key]))
        }
        DataType::Struct(_) => match &key {
            Expr::Literal(value, _) if types::is_text(&by) => field(of, &value.to_string(), &from),
            _ => plan_err!("a field of a STRUCT is asked for by its name: s.name"),
        },
        other => plan_err!("{} has no items", types::article(other)),
    }
}

/// `of.name`.
///
/// # Errors
/// If `of` has no fields.
pub fn field(of: Expr, name: &str, from: &DataType) -> Result<Expr> {
    match from {
        DataType::Struct(fields) => Ok(get_field(of, found(fields, name)?)),
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            DataType::Struct(fields) => {
                let name = found(fields, name)?;
                Ok(Access::call(What::Field(name.clone()), vec![of]))
            }
            other => plan_err!("an ARRAY<{}> has no fields", types::name(other)),
        },
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return internal_err!("a map of {entries}") };
            let key = Expr::Literal(ScalarValue::from(name), None);
            let key = casts::plan(key, &DataType::Utf8, pair[0].data_type(), false)?;
            Ok(Access::call(What::Key, vec![of, key]))
        }
        other => plan_err!("{} has no fields", types::article(other)),
    }
}

/// The field's name as the struct has it.
fn found(fields: &arrow::datatypes::Fields, name: &str) -> Result<String> {
    if fields.iter().any(|f| f.name() == name) {
        return Ok(name.to_owned());
    }
    let mut like = fields.iter().filter(|f| f.name().eq_ignore_ascii_case(name));
    match (like.next(), like.next()) {
        (Some(one), None) => Ok(one.name().clone()),
        _ => {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            plan_err!("there is no field `{name}` in this STRUCT; it has {}", names.join(", "))
        }
    }
}

/// The type that `name` of `from` has.
#[must_use]
pub fn field_type(from: &DataType, name: &str) -> Option<DataType> {
    let of = |fields: &arrow::datatypes::Fields| {
        let name = found(fields, name).ok()?;
        fields.iter().find(|f| f.name() == &name).map(Arc::clone)
    };
    match from {
        DataType::Struct(fields) => of(fields).map(|f| f.data_type().clone()),
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            DataType::Struct(fields) => of(fields).map(|f| DataType::new_list(f.data_type().clone(), true)),
            _ => None,
        },
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => Some(pair[1].data_type().clone()),
            _ => None,
        },
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    /// The item at a place of an array, from 0.
    Place,
    /// The value of a key of a map.
    Key,
    /// A field of the structs in an array.
    Field(String),
}

/// No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Access {
    name: String,
    what: What,
    signature: Signature,
}

impl Access {
    fn call(what: What, args: Vec<Expr>) -> Expr {
        let name = match &what {
            What::Place => "array_item".to_owned(),
            What::Key => "map_item".to_owned(),
            What::Field(field) => format!("fields_{field}"),
        };
        ScalarUDF::from(Self { name, what, signature: Signature::variadic_any(Volatility::Immutable) }).call(args)
    }
}

/// The field that `function` takes of each struct of an array, `None` within for an item by its place or key; `None` if it
/// does neither.
pub(super) fn access_of(function: &ScalarUDF) -> Option<Option<&str>> {
    function.inner().downcast_ref::<Access>().map(|access| match &access.what {
        What::Field(field) => Some(field.as_str()),
        What::Place | What::Key => None,
    })
}

impl ScalarUDFImpl for Access {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(match (&self.what, names.as_slice()) {
            (What::Field(field), [of, ..]) => format!("{of}[{field}]"),
            (_, [of, key]) => format!("{of}[{key}]"),
            _ => self.name.clone(),
        })
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        let found = match (&self.what, of.first()) {
            (What::Place, Some(DataType::List(item) | DataType::LargeList(item))) => Some(item.data_type().clone()),
            (What::Key, Some(of @ DataType::Map(..))) => field_type(of, ""),
            (What::Field(name), Some(of)) => field_type(of, name),
            _ => None,
        };
        found.map_or_else(|| internal_err!("no items in {of:?}"), Ok)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let of: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&of)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &self.what {
            What::Field(name) => crate::unary(&args, |lists| fields(lists, name)),
            What::Place => crate::binary(&args, place),
            What::Key => crate::binary(&args, key),
        }
    }
}

fn lists(values: &ArrayRef) -> Result<ListArray> {
    match values.data_type() {
        DataType::LargeList(item) => Ok(cast(values, &DataType::List(Arc::clone(item)))?.as_list::<i32>().clone()),
        _ => Ok(values.as_list::<i32>().clone()),
    }
}

fn fields(values: &ArrayRef, name: &str) -> Result<ArrayRef> {
    let list = lists(values)?;
    let structs = list.values().as_struct();
    let Some(column) = structs.column_by_name(name) else { return internal_err!("no field {name}") };
    // A field of a NULL is NULL.
    let column = casts::kernel::under(column, structs.nulls())?;
    let item = Arc::new(Field::new_list_field(column.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(item, list.offsets().clone(), column, list.nulls().cloned())?))
}

/// The place in an array of values for each row, with its side of a single value repeated.
fn rows(left: &ArrayRef, right: &ArrayRef) -> impl Iterator<Item = (usize, usize)> {
    let (n, m) = (left.len(), right.len());
    (0..if n == 1 { m } else { n }).map(move |i| (if n == 1 { 0 } else { i }, if m == 1 { 0 } else { i }))
}

fn place(values: &ArrayRef, places: &ArrayRef) -> Result<ArrayRef> {
    let list = lists(values)?;
    let places = places.as_primitive::<Int32Type>();
    let mut found = UInt64Array::builder(values.len());
    for (i, j) in rows(values, &(Arc::new(places.clone()) as ArrayRef)) {
        if list.is_null(i) || places.is_null(j) {
            found.append_null();
            continue;
        }
        let (at, length) = (places.value(j), list.value_length(i));
        if at < 0 || at >= length {
            return exec_err!("an ARRAY of {length} items has none at [{at}]");
        }
        found.append_value(u64::try_from(list.value_offsets()[i] + at).unwrap_or_default());
    }
    Ok(take(list.values(), &found.finish(), None)?)
}

fn key(values: &ArrayRef, asked: &ArrayRef) -> Result<ArrayRef> {
    let map = values.as_map();
    let compared = keys(&[map.keys(), &cast(asked, map.keys().data_type())?])?;
    let (held, wanted) = (&compared[0], &compared[1]);
    let mut found = UInt64Array::builder(values.len());
    for (i, j) in rows(values, asked) {
        if map.is_null(i) || asked.is_null(j) {
            found.append_null();
            continue;
        }
        let range = map.value_offsets()[i]..map.value_offsets()[i + 1];
        let mut range = range.map(|at| usize::try_from(at).unwrap_or_default());
        let at = range.find(|at| held.row(*at) == wanted.row(j));
        found.append_option(at.and_then(|at| u64::try_from(at).ok()));
    }
    Ok(take(map.values(), &found.finish(), None)?)
}
