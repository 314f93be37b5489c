//! A scalar function as a name, its types, and what it does with arrays.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{impl_by_name, named};
use crate::rows::together;

/// The types of the arguments, as the function wants them.
type Coerce = fn(&[DataType]) -> Result<Vec<DataType>>;
/// The type of the result, from the arguments' types and those that are constants.
type Returns = fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>;
/// The values, from arrays of one length, which is given too, and the type of the result.
type Run = fn(&[ArrayRef], usize, &DataType) -> Result<ArrayRef>;

/// A pure scalar function; any value of it may be NULL.
#[derive(Debug)]
pub(crate) struct Arrays {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    coerce: Coerce,
    returns: Returns,
    run: Run,
}

impl Arrays {
    /// The function `name`.
    pub(crate) fn of(name: &'static str, coerce: Coerce, returns: Returns, run: Run) -> Arc<ScalarUDF> {
        Self::named(name, &[], coerce, returns, run)
    }

    /// The function `name`, which `aliases` call too.
    pub(crate) fn named(
        name: &'static str,
        aliases: &[&str],
        coerce: Coerce,
        returns: Returns,
        run: Run,
    ) -> Arc<ScalarUDF> {
        let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Self { name, aliases, signature, coerce, returns, run }))
    }
}

impl_by_name!(Arrays, name);

impl ScalarUDFImpl for Arrays {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(arg_types).map_err(|e| named(self.name, &e))
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        (self.returns)(arg_types, &vec![None; arg_types.len()]).map_err(|e| named(self.name, &e))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let returned = (self.returns)(&types, args.scalar_arguments).map_err(|e| named(self.name, &e))?;
        Ok(Arc::new(Field::new(self.name, returned, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = !args.args.is_empty() && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|a| repeated(a, rows)).collect::<Result<Vec<_>>>()?;
        let out = (self.run)(&arrays, rows, args.return_field.data_type())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// An argument as an array; a constant is there once for each row.
fn repeated(argument: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    if let ColumnarValue::Scalar(constant) = argument {
        let bytes = match constant {
            ScalarValue::Utf8(Some(text)) => text.len(),
            ScalarValue::Binary(Some(bytes)) => bytes.len(),
            _ => 0,
        };
        together(bytes.saturating_mul(rows))?;
    }
    argument.to_array(rows)
}
