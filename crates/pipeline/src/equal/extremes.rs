//! `min` and `max`, to which NaN is the largest number and -0.0 is 0.0.
//!
//! DataFusion's own compare floating point with `partial_cmp`, which has no answer for NaN: what came last stays, so that
//! the result depends on the order of rows. They also start from the largest finite number, so that no infinity is ever the
//! minimum or maximum of its group. All other types, names, and the layout of the state are those of
//! [`sluicebox_functions::aggregates`], which compares structs and arrays as Spark does and is DataFusion's for the rest.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

use super::normal::{f32_form, f64_form};

/// `min` and `max`, for a session.
#[must_use]
pub fn extremes() -> Vec<Arc<AggregateUDF>> {
    let of = |inner, most| Arc::new(AggregateUDF::from(Extreme { inner, most }));
    vec![of(sluicebox_functions::aggregates::min(), false), of(sluicebox_functions::aggregates::max(), true)]
}

/// One of them: what it is for other types, and whether it is `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    inner: Arc<AggregateUDF>,
    most: bool,
}

/// The accumulator for a type of floating point: NaN counts as more than all numbers.
macro_rules! floats {
    ($kind:ty, $native:ty, $form:ident, $most:expr, $data_type:expr) => {{
        let most = $most;
        let better = move |new: $native, now: $native| match most {
            true => new.is_nan() || new > now,
            false => now.is_nan() || new < now,
        };
        let step = move |now: &mut $native, new: $native| {
            let new = $form(new);
            if better(new, *now) {
                *now = new;
            }
        };
        let start = if most { <$native>::NEG_INFINITY } else { $form(<$native>::NAN) };
        Box::new(PrimitiveGroupsAccumulator::<$kind, _>::new($data_type, step).with_starting_value(start))
    }};
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.inner().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = args.return_field.data_type();
        Ok(match data_type {
            DataType::Float64 => floats!(Float64Type, f64, f64_form, self.most, data_type),
            DataType::Float32 => floats!(Float32Type, f32, f32_form, self.most, data_type),
            _ => return self.inner.inner().create_groups_accumulator(args),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.inner().create_sliding_accumulator(args)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.inner().is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.inner().value_from_stats(statistics)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}
