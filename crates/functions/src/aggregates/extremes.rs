//! `min` and `max` where DataFusion's order is not Spark's: structs and arrays, in which NULL is the smallest, and floating point, where
//! NaN is the largest number and -0.0 is 0.0. The state is DataFusion's.
//!
//! DataFusion's own functions compare floating point with `partial_cmp`, which has no answer for NaN. The newer value then stays, so that
//! the result depends on the order of rows. They also start from the largest finite number, so that an infinity is never the minimum or
//! maximum of its group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use arrow::row::OwnedRow;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use crate::equal::{f32_form, f64_form};
use crate::error::{impl_by_name, plan_error};
use crate::nested::keys::keys;
use crate::types::has_map;

/// `max`.
#[must_use]
pub fn max() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Extreme { largest: true, known: max_udaf() }))
}

/// `min`.
#[must_use]
pub fn min() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Extreme { largest: false, known: min_udaf() }))
}

#[derive(Debug)]
struct Extreme {
    largest: bool,
    known: Arc<AggregateUDF>,
}

impl_by_name!(Extreme, largest);

/// The accumulator for a type of floating point: NaN counts as more than all numbers.
macro_rules! floats {
    ($kind:ty, $native:ty, $form:ident, $largest:expr, $data_type:expr) => {{
        let largest = $largest;
        let better = move |new: $native, now: $native| match largest {
            true => new.is_nan() || new > now,
            false => now.is_nan() || new < now,
        };
        let step = move |now: &mut $native, new: $native| {
            let new = $form(new);
            if better(new, *now) {
                *now = new;
            }
        };
        let start = if largest { <$native>::NEG_INFINITY } else { $form(<$native>::NAN) };
        Box::new(PrimitiveGroupsAccumulator::<$kind, _>::new($data_type, step).with_starting_value(start))
    }};
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.known.name()
    }

    fn signature(&self) -> &Signature {
        self.known.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.iter().any(has_map) {
            return plan_error(format!("{}: maps have no order", self.name()));
        }
        self.known.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.known.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.known.return_field(fields)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.known.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = args.return_field.data_type();
        if data_type.is_nested() {
            let value = ScalarValue::try_from(data_type)?;
            return Ok(Box::new(Kept { largest: self.largest, value, key: None }));
        }
        self.known.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.return_field.data_type().is_nested() && self.known.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type();
        Ok(match data_type {
            DataType::Float64 => floats!(Float64Type, f64, f64_form, self.largest, data_type),
            DataType::Float32 => floats!(Float32Type, f32, f32_form, self.largest, data_type),
            _ => return self.known.create_groups_accumulator(args),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn is_descending(&self) -> Option<bool> {
        Some(self.largest)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.known.inner().set_monotonicity(data_type)
    }
}

/// The largest or smallest value so far.
#[derive(Debug)]
struct Kept {
    largest: bool,
    value: ScalarValue,
    key: Option<OwnedRow>,
}

impl Accumulator for Kept {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let compared = keys(&[&values[0]])?.swap_remove(0);
        let better = |a: usize, b: usize| {
            let more = compared.row(b) > compared.row(a);
            let less = compared.row(b) < compared.row(a);
            if (self.largest && more) || (!self.largest && less) { b } else { a }
        };
        let Some(best) = (0..values[0].len()).filter(|at| values[0].is_valid(*at)).reduce(better) else {
            return Ok(());
        };
        let key = compared.row(best).owned();
        if self.key.as_ref().is_none_or(|known| if self.largest { key > *known } else { key < *known }) {
            self.value = ScalarValue::try_from_array(&values[0], best)?;
            self.value.compact();
            self.key = Some(key);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() * 2
    }
}
