//! Functions that take a lambda: `transform(array, x -> x + 1)` and its relatives.
//!
//! A lambda is evaluated once for the elements of all rows. So it is as fast as an expression over a column.

mod cost;
mod evaluate;
mod fold;
mod lists;
mod maps;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use super::maps::entry;
use super::types::{as_list, as_map, element_of, list_of, map_of, name, plain, wider};
use crate::arrays::{Parts, bytes_of_constant, part_of, spans};
use crate::error::{impl_by_name, plan_error};

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<HigherOrderUDF>> {
    let all = [
        Kind::Transform,
        Kind::Filter,
        Kind::Exists,
        Kind::ForAll,
        Kind::Aggregate,
        Kind::ZipWith,
        Kind::ArraySort,
        Kind::MapFilter,
        Kind::TransformKeys,
        Kind::TransformValues,
        Kind::MapZipWith,
    ];
    all.into_iter().map(|kind| Arc::new(HigherOrderUDF::new_from_impl(Lambda::new(kind)))).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Transform,
    Filter,
    Exists,
    ForAll,
    Aggregate,
    ZipWith,
    ArraySort,
    MapFilter,
    TransformKeys,
    TransformValues,
    MapZipWith,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Filter => "filter",
            Self::Exists => "exists",
            Self::ForAll => "forall",
            Self::Aggregate => "aggregate",
            Self::ZipWith => "zip_with",
            Self::ArraySort => "array_sort",
            Self::MapFilter => "map_filter",
            Self::TransformKeys => "transform_keys",
            Self::TransformValues => "transform_values",
            Self::MapZipWith => "map_zip_with",
        }
    }

    /// Other names; those of DataFusion's functions, which bound neither time nor memory, too.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Transform => &["array_transform", "list_transform"],
            Self::Filter => &["array_filter", "list_filter"],
            Self::Exists => &["array_any_match", "any_match", "list_any_match"],
            Self::Aggregate => &["reduce"],
            _ => &[],
        }
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::Transform => "write transform(array, x -> ...) or transform(array, (x, i) -> ...)",
            Self::Filter => "write filter(array, x -> condition) or filter(array, (x, i) -> condition)",
            Self::Exists => "write exists(array, x -> condition)",
            Self::ForAll => "write forall(array, x -> condition)",
            Self::Aggregate => "write aggregate(array, start, (sum, x) -> ...), or with a last lambda sum -> ...",
            Self::ZipWith => "write zip_with(array, array, (x, y) -> ...)",
            Self::ArraySort => "write array_sort(array) or array_sort(array, (x, y) -> ...)",
            Self::MapFilter => "write map_filter(map, (k, v) -> condition)",
            Self::TransformKeys => "write transform_keys(map, (k, v) -> ...)",
            Self::TransformValues => "write transform_values(map, (k, v) -> ...)",
            Self::MapZipWith => "write map_zip_with(map, map, (k, v, w) -> ...)",
        }
    }

    /// How many values and lambdas it takes.
    fn takes(self, values: usize, lambdas: usize) -> bool {
        match self {
            Self::Aggregate => values == 2 && (lambdas == 1 || lambdas == 2),
            Self::ZipWith | Self::MapZipWith => values == 2 && lambdas == 1,
            Self::ArraySort => values == 1 && lambdas <= 1,
            _ => values == 1 && lambdas == 1,
        }
    }
}

#[derive(Debug)]
struct Lambda {
    kind: Kind,
    aliases: Vec<String>,
    signature: HigherOrderSignature,
}

impl Lambda {
    fn new(kind: Kind) -> Self {
        let aliases = kind.aliases().iter().map(|alias| (*alias).to_owned()).collect();
        Self { kind, aliases, signature: HigherOrderSignature::user_defined(Volatility::Immutable) }
    }

    fn wrong<T>(&self, why: &str) -> Result<T> {
        plan_error(format!("{}: {why}", self.kind.name()))
    }
}

impl_by_name!(Lambda, kind);

/// The types of the values among arguments.
fn values<L>(args: &[ValueOrLambda<FieldRef, L>]) -> Vec<DataType> {
    let value = |arg: &ValueOrLambda<FieldRef, L>| match arg {
        ValueOrLambda::Value(field) => Some(field.data_type().clone()),
        ValueOrLambda::Lambda(_) => None,
    };
    args.iter().filter_map(value).collect()
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

impl HigherOrderUDFImpl for Lambda {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn clear_null_values(&self) -> bool {
        false
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = match (self.kind, types) {
            (Kind::Aggregate, [list, start]) => as_list(list).map(|list| vec![list, plain(start)]),
            (Kind::ZipWith, [a, b]) => as_list(a).and_then(|a| Ok(vec![a, as_list(b)?])),
            (Kind::MapZipWith, [a, b]) => as_map(a).and_then(|a| {
                let b = as_map(b)?;
                let ((ka, va), (kb, vb)) = (entry(&a), entry(&b));
                match wider(&ka, &kb) {
                    Some(key) => Ok(vec![map_of(&key, &va), map_of(&key, &vb)]),
                    None => plan_error(format!("keys of {} and {} are never equal", name(&ka), name(&kb))),
                }
            }),
            (Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues, [map]) => as_map(map).map(|map| vec![map]),
            (_, [list]) => as_list(list).map(|list| vec![list]),
            _ => return self.wrong(self.kind.usage()),
        };
        coerced.or_else(|e| self.wrong(&crate::error::words(&e)))
    }

    fn lambda_parameters(
        &self,
        _step: usize,
        args: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let types = values(args);
        let lambdas = args.len() - types.len();
        if !self.kind.takes(types.len(), lambdas) {
            return self.wrong(self.kind.usage());
        }
        let element = |at: usize| types.get(at).and_then(element_of).cloned().unwrap_or(DataType::Null);
        let parameters = match self.kind {
            Kind::Transform | Kind::Filter => vec![vec![field("x", element(0)), field("i", DataType::Int32)]],
            Kind::Exists | Kind::ForAll => vec![vec![field("x", element(0))]],
            Kind::Aggregate => {
                let sum = || field("sum", types[1].clone());
                [vec![vec![sum(), field("x", element(0))]], vec![vec![sum()]; lambdas - 1]].concat()
            }
            Kind::ZipWith => vec![vec![field("x", element(0)), field("y", element(1))]],
            Kind::ArraySort => vec![vec![field("x", element(0)), field("y", element(0))]; lambdas],
            Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues => {
                let (key, value) = entry(&types[0]);
                vec![vec![field("k", key), field("v", value)]]
            }
            Kind::MapZipWith => {
                let ((key, a), (_, b)) = (entry(&types[0]), entry(&types[1]));
                vec![vec![field("k", key), field("v", a), field("w", b)]]
            }
        };
        Ok(LambdaParametersProgress::Complete(parameters))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let types = values(args.arg_fields);
        let bodies: Vec<DataType> = args
            .arg_fields
            .iter()
            .filter_map(|arg| match arg {
                ValueOrLambda::Lambda(body) => Some(plain(body.data_type())),
                ValueOrLambda::Value(_) => None,
            })
            .collect();
        if !self.kind.takes(types.len(), bodies.len()) {
            return self.wrong(self.kind.usage());
        }
        let condition = matches!(self.kind, Kind::Filter | Kind::Exists | Kind::ForAll | Kind::MapFilter);
        if condition && !matches!(bodies[0], DataType::Boolean | DataType::Null) {
            return self.wrong(&format!("its lambda is a condition, this is {}", name(&bodies[0])));
        }
        let returned = match self.kind {
            Kind::Transform | Kind::ZipWith => list_of(&bodies[0]),
            Kind::Filter | Kind::MapFilter | Kind::ArraySort => plain(&types[0]),
            Kind::Exists | Kind::ForAll => DataType::Boolean,
            Kind::Aggregate => {
                if bodies[0] != plain(&types[1]) {
                    let (start, body) = (name(&types[1]), name(&bodies[0]));
                    return self
                        .wrong(&format!("it starts with {start}, and its lambda gives {body}: cast one of them"));
                }
                bodies.last().cloned().unwrap_or(DataType::Null)
            }
            Kind::TransformKeys => map_of(&bodies[0], &entry(&types[0]).1),
            Kind::TransformValues | Kind::MapZipWith => map_of(&entry(&types[0]).0, &bodies[0]),
        };
        Ok(Arc::new(Field::new(self.name(), returned, true)))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let mut values = Vec::new();
        let mut lambdas = Vec::new();
        for arg in &args.args {
            match arg {
                ValueOrLambda::Value(value) => values.push(value),
                ValueOrLambda::Lambda(lambda) => lambdas.push(lambda),
            }
        }
        let returned = args.return_type();
        let part = |rows: Range<usize>| {
            let arrays = values.iter().map(|value| part_of(value, &rows)).collect::<Result<Vec<_>>>()?;
            let lambdas: Vec<Body> = lambdas.iter().map(|&lambda| Body { lambda, first: rows.start }).collect();
            self.kind.run(&arrays, &lambdas, returned)
        };
        let constants: usize = values.iter().map(|value| bytes_of_constant(value)).sum();
        let mut parts = Parts::default();
        for rows in spans(args.number_rows, constants) {
            parts.push(cost::by_rows(rows, &part)?)?;
        }
        parts.one().map(ColumnarValue::Array)
    }
}

impl Kind {
    /// What it gives for arrays of one length.
    fn run(self, arrays: &[ArrayRef], lambdas: &[Body], returned: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Transform => lists::transform(&arrays[0], &lambdas[0], returned),
            Self::Filter => lists::filter(&arrays[0], &lambdas[0], returned),
            Self::Exists => lists::any(&arrays[0], &lambdas[0], true),
            Self::ForAll => lists::any(&arrays[0], &lambdas[0], false),
            Self::Aggregate => fold::aggregate(arrays, lambdas, returned),
            Self::ZipWith => lists::zip_with(arrays, &lambdas[0], returned),
            Self::ArraySort => match lambdas.first() {
                Some(lambda) => fold::sort(&arrays[0], lambda, returned),
                None => super::sets::sorted(&arrays[0], returned, |_| super::sets::Order {
                    descending: false,
                    nulls_first: false,
                }),
            },
            Self::MapFilter => maps::filter(&arrays[0], &lambdas[0], returned),
            Self::TransformKeys => maps::transform(&arrays[0], &lambdas[0], returned, true),
            Self::TransformValues => maps::transform(&arrays[0], &lambdas[0], returned, false),
            Self::MapZipWith => maps::zip_with(arrays, &lambdas[0], returned),
        }
    }
}

/// A lambda for some of the rows.
struct Body<'a> {
    lambda: &'a LambdaArgument,
    /// The first of them, among all whose columns it sees.
    first: usize,
}

/// The result of a condition for each element; NULL where it is neither true nor false.
fn condition(array: &ArrayRef) -> Result<BooleanArray> {
    match array.as_boolean_opt() {
        Some(found) => Ok(found.clone()),
        None if array.data_type() == &DataType::Null => Ok(BooleanArray::new_null(array.len())),
        None => Err(DataFusionError::Internal(format!("a condition gave {}", array.data_type()))),
    }
}

/// What a lambda gives for each of `owners`, the rows that its parameters belong to.
fn evaluated(body: &Body, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    evaluate::evaluate(body, parameters, owners)
}
