//! An aggregate function as a name, its types, and its state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{impl_by_name, named, plan_error};
use crate::nested::types::item;

/// What an aggregate function is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) name: &'static str,
    /// The types of the arguments, as the function wants them.
    pub(super) coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    pub(super) returns: fn(&[DataType]) -> Result<DataType>,
    /// The types of what is remembered.
    pub(super) state: fn(&[DataType]) -> Vec<DataType>,
    pub(super) make: fn(&Given<'_>) -> Result<Box<dyn Accumulator>>,
    /// Whether `ORDER BY` within a group says what is aggregated.
    pub(super) ordered_set: bool,
    /// Whether no rows give an empty array.
    pub(super) empty_list: bool,
}

/// How it is called.
pub(super) struct Given<'a> {
    pub(super) types: Vec<DataType>,
    pub(super) distinct: bool,
    pub(super) descending: bool,
    exprs: &'a [Arc<dyn PhysicalExpr>],
}

impl Given<'_> {
    /// The argument `at`, which must be a constant; None if it is not there.
    pub(super) fn constant(&self, at: usize) -> Result<Option<ScalarValue>> {
        let Some(expr) = self.exprs.get(at) else { return Ok(None) };
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        match expr.evaluate(&nothing) {
            Ok(ColumnarValue::Scalar(value)) => Ok(Some(value)),
            _ => plan_error(format!("argument {} is a constant, the same for all rows", at + 1)),
        }
    }
}

#[derive(Debug)]
struct Aggregate {
    parts: Parts,
    aliases: Vec<String>,
    signature: Signature,
}

/// The function, which `aliases` call too.
pub(super) fn aggregate(parts: Parts, aliases: &[&str]) -> Arc<AggregateUDF> {
    let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::from(Aggregate { parts, aliases, signature }))
}

impl_by_name!(Aggregate, parts.name);

impl Aggregate {
    fn named<T>(&self, found: Result<T>) -> Result<T> {
        found.map_err(|e| named(self.parts.name, &e))
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.parts.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.named((self.parts.coerce)(types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.named((self.parts.returns)(types))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|f| f.data_type().clone()).collect();
        let state = (self.parts.state)(&types).into_iter().enumerate();
        Ok(state.map(|(at, t)| Arc::new(Field::new(format!("{}[{at}]", args.name), t, true)) as FieldRef).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let given = Given {
            types: args.expr_fields.iter().map(|f| f.data_type().clone()).collect(),
            distinct: args.is_distinct,
            descending: args.order_bys.first().is_some_and(|o| o.options.descending),
            exprs: args.exprs,
        };
        self.named((self.parts.make)(&given))
    }

    fn supports_within_group_clause(&self) -> bool {
        self.parts.ordered_set
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match data_type {
            DataType::List(field) if self.parts.empty_list => {
                Ok(list_value(arrow::array::new_empty_array(field.data_type())))
            }
            other => ScalarValue::try_from(other),
        }
    }
}

/// One list with all of `values`.
pub(super) fn list_value(values: ArrayRef) -> ScalarValue {
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(item(values.data_type()), offsets, values, None)))
}

/// The lists of a column of states, one after the other; NULL is none.
pub(super) fn lists(column: &ArrayRef) -> impl Iterator<Item = ArrayRef> + '_ {
    let lists = column.as_list::<i32>();
    (0..lists.len()).filter(|at| lists.is_valid(*at)).map(|at| lists.value(at))
}

/// A number of a constant.
pub(super) fn number(value: &ScalarValue) -> Option<f64> {
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => number,
        _ => None,
    }
}
