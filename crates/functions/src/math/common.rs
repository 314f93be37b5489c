//! Functions that choose among values of several types, which are cast to Spark's common type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::core;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::casts::kernel;
use crate::equal::has_twins;
use crate::nested::keys::keys;
use crate::rows::plan_error;
use crate::types;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    [core::coalesce(), core::nvl(), core::greatest(), core::least()].into_iter().map(Common::over).collect()
}

/// A function of DataFusion over arguments that are cast to the type which they have in common in Spark.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Common {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl Common {
    fn over(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Self { inner, signature: Signature::user_defined(Volatility::Immutable) }))
    }
}

impl ScalarUDFImpl for Common {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, of: &[DataType]) -> Result<Vec<DataType>> {
        let (name, n) = (self.name(), of.len());
        match name {
            "coalesce" if n == 0 => return plan_error("coalesce takes at least 1 argument, here it has 0".to_owned()),
            "nvl" if n != 2 => return plan_error(format!("nvl takes 2 arguments, here it has {n}")),
            "greatest" | "least" if n < 2 => {
                return plan_error(format!("{name} takes at least 2 arguments, here it has {n}"));
            }
            _ => {}
        }
        if matches!(name, "greatest" | "least") && of.iter().any(types::has_map) {
            return plan_error(format!("{name}: maps have no order"));
        }
        let Some(common) = types::common_of(of) else {
            let names: Vec<String> = of.iter().map(types::name).collect();
            return plan_error(format!(
                "{name} is given {}, which have no type in common; CAST them",
                names.join(", ")
            ));
        };
        Ok(vec![common; n])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if args.arg_fields.is_empty() {
            // DataFusion's own panics.
            return plan_error(format!("{} takes arguments, here it has none", self.name()));
        }
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = args.return_field.data_type();
        // DataFusion's order of floating point is that of the bits, and its NULL within a value is the largest.
        let ours = of.is_nested() || has_twins(of);
        match self.name() {
            "greatest" if ours => extreme(&args, true),
            "least" if ours => extreme(&args, false),
            _ => self.inner.invoke_with_args(args),
        }
    }
}

/// The first of the largest, or smallest, arguments of each row; NULL is passed over.
fn extreme(args: &ScalarFunctionArgs, largest: bool) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let of = args.return_field.data_type();
    let whole = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => kernel::run(array, of, false),
        ColumnarValue::Scalar(value) => kernel::run(&value.to_array()?, of, false),
    };
    let mut arrays: Vec<ArrayRef> = args.args.iter().map(whole).collect::<Result<_>>()?;
    let compared = keys(&arrays.iter().collect::<Vec<_>>())?;
    let nothing = (arrays.len(), 0);
    arrays.push(new_null_array(of, 1));
    let best = |row: usize| {
        let mut best = nothing;
        for (at, keys) in compared.iter().enumerate() {
            let place = if keys.num_rows() == 1 { 0 } else { row };
            if arrays[at].is_null(place) {
                continue;
            }
            let better = best == nothing || {
                let (now, new) = (compared[best.0].row(best.1), keys.row(place));
                if largest { new > now } else { new < now }
            };
            if better {
                best = (at, place);
            }
        }
        best
    };
    let places: Vec<(usize, usize)> = (0..rows).map(best).collect();
    let values: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let out = interleave(&values, &places)?;
    Ok(if constant { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
}
