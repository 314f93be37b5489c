//! `||`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{
    Case, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::{casts, types};

/// `expr` as text.
///
/// # Errors
/// If its type cannot be told.
pub fn of(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let of = expr.get_type(schema)?;
    if types::is_text(&of) { Ok(expr) } else { casts::plan(expr, &of, &DataType::Utf8, false) }
}

/// `left || right`: of texts, of what is shown as text, of binary values, or of arrays.
///
/// # Errors
/// If one side is an array and the other is not.
pub fn concat(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Expr> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let list = |t: &DataType| matches!(t, DataType::List(_) | DataType::LargeList(_));
    if list(&l) || list(&r) {
        let common = types::common(&l, &r).filter(|_| list(&l) && list(&r));
        let Some(common) = common else {
            return plan_err!("`||` does not join {} and {}", types::article(&l), types::article(&r));
        };
        let null = left.clone().is_null().or(right.clone().is_null());
        let left = casts::plan(left.clone(), &l, &common, false)?;
        let right = casts::plan(right.clone(), &r, &common, false)?;
        let joined = datafusion::functions_nested::expr_fn::array_concat(vec![left, right]);
        let nothing = Expr::Literal(ScalarValue::try_from(&common)?, None);
        let pairs = vec![(Box::new(null), Box::new(nothing))];
        return Ok(Expr::Case(Case::new(None, pairs, Some(Box::new(joined)))));
    }
    let binary = |t: &DataType| types::is_binary(t) || t == &DataType::Null;
    if binary(&l) && binary(&r) && l != r || types::is_binary(&l) && types::is_binary(&r) {
        let function = JoinBinary { signature: Signature::any(2, Volatility::Immutable) };
        let args = [(left, &l), (right, &r)].map(|(e, t)| casts::plan(e.clone(), t, &DataType::Binary, false));
        return Ok(ScalarUDF::from(function).call(args.into_iter().collect::<Result<_>>()?));
    }
    for t in [&l, &r] {
        if t.is_nested() {
            return plan_err!("`||` does not take {}; CAST it to STRING", types::article(t));
        }
    }
    let (left, right) = (of(left.clone(), schema)?, of(right.clone(), schema)?);
    Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::StringConcat, Box::new(right))))
}

/// No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JoinBinary {
    signature: Signature,
}

impl ScalarUDFImpl for JoinBinary {
    fn name(&self) -> &'static str {
        "join_binary"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _of: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Binary, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        crate::binary(&args, |left, right| {
            let (l, r) = (cast(left, &DataType::Binary)?, cast(right, &DataType::Binary)?);
            let (l, r) = (l.as_binary::<i32>(), r.as_binary::<i32>());
            let mut out = BinaryBuilder::new();
            let n = if l.len() == 1 { r.len() } else { l.len() };
            let at = |len: usize, i: usize| if len == 1 { 0 } else { i };
            for i in 0..n {
                let (i, j) = (at(l.len(), i), at(r.len(), i));
                if l.is_null(i) || r.is_null(j) {
                    out.append_null();
                } else {
                    out.append_value([l.value(i), r.value(j)].concat());
                }
            }
            Ok(Arc::new(out.finish()) as ArrayRef)
        })
    }
}
