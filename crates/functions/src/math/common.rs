//! Choices among values of several types, which get the type that Spark says they have in common.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::functions::core;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::rows::{plan_error, timestamp};
use crate::values::type_name;

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

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (name, n) = (self.name(), types.len());
        match name {
            "coalesce" if n == 0 => return plan_error("coalesce takes at least 1 argument, here it has 0".to_owned()),
            "nvl" if n != 2 => return plan_error(format!("nvl takes 2 arguments, here it has {n}")),
            "greatest" | "least" if n < 2 => {
                return plan_error(format!("{name} takes at least 2 arguments, here it has {n}"));
            }
            _ => {}
        }
        let mut all = DataType::Null;
        for of in types {
            let Some(wide) = common(&all, of) else {
                return plan_error(format!(
                    "{name} is given {} and {}, which have no type in common; CAST one",
                    type_name(&all),
                    type_name(of)
                ));
            };
            all = wide;
        }
        Ok(vec![all; n])
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
        self.inner.invoke_with_args(args)
    }
}

/// How wide a number is: whole ones, DECIMAL, FLOAT, DOUBLE.
fn rank(of: &DataType) -> Option<u8> {
    Some(match of {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Decimal128(..) => 4,
        DataType::Float32 => 5,
        DataType::Float64 => 6,
        _ => return None,
    })
}

fn decimal_of(of: &DataType) -> Option<(u8, i8)> {
    Some(match of {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        _ => return None,
    })
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type in common, where text is read as what stands beside it.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b || b.is_null() {
        return Some(a.clone());
    }
    if a.is_null() {
        return Some(b.clone());
    }
    if let (Some(low), Some(high)) = (rank(a), rank(b)) {
        let wide = if low >= high { a } else { b };
        return Some(match (low.min(high), low.max(high)) {
            (_, 0..=3) | (_, 6) => wide.clone(),
            (_, 4) => {
                let ((p1, s1), (p2, s2)) = (decimal_of(a)?, decimal_of(b)?);
                let scale = s1.max(s2);
                let whole = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
                // Of what is over 38 digits, those behind the point are given up.
                let scale = i32::from(scale).min((38 - whole).max(0));
                DataType::Decimal128((whole + scale).min(38) as u8, scale as i8)
            }
            // Beside a FLOAT everything is a DOUBLE.
            _ => DataType::Float64,
        });
    }
    if is_text(a) || is_text(b) {
        let other = if is_text(a) { b } else { a };
        return Some(match (other, rank(other)) {
            (other, _) if is_text(other) => DataType::Utf8,
            (_, Some(0..=3)) => DataType::Int64,
            (_, Some(_)) => DataType::Float64,
            (DataType::Date32 | DataType::Timestamp(..) | DataType::Boolean | DataType::Binary, _) => other.clone(),
            _ => return None,
        });
    }
    let micros = |zone: bool| if zone { timestamp() } else { DataType::Timestamp(TimeUnit::Microsecond, None) };
    match (a, b) {
        (DataType::Date32, DataType::Timestamp(_, zone)) | (DataType::Timestamp(_, zone), DataType::Date32) => {
            Some(micros(zone.is_some()))
        }
        (DataType::Timestamp(_, x), DataType::Timestamp(_, y)) => Some(micros(x.is_some() || y.is_some())),
        // Arrays and structs are DataFusion's to widen.
        _ => datafusion::logical_expr::type_coercion::binary::type_union_coercion(a, b),
    }
}
