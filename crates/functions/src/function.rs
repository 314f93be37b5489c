//! A scalar function as a name, its types, and what it does with arrays.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The types of the arguments, as the function wants them.
type Coerce = fn(&[DataType]) -> Result<Vec<DataType>>;
/// The type of the result, from the arguments' types and those that are constants.
type Returns = fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>;
/// The values, from arrays of one length, which is given too, and the type of the result.
type Run = fn(&[ArrayRef], usize, &DataType) -> Result<ArrayRef>;

/// A pure scalar function; any value of it may be NULL.
#[derive(Debug)]
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    coerce: Coerce,
    returns: Returns,
    run: Run,
}

impl Function {
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

// There is one function of a name.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
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
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let out = (self.run)(&arrays, rows, args.return_field.data_type())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// A mistake in the types, under the function's name.
fn named(name: &str, error: &DataFusionError) -> DataFusionError {
    DataFusionError::Plan(format!("{name}: {}", plain(error)))
}

/// An error's own words.
pub(crate) fn plain(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
        other => other.strip_backtrace(),
    }
}

/// A mistake in a query.
pub(crate) fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Plan(message.into()))
}

/// A row that cannot be computed.
pub(crate) fn fails<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(message.into()))
}
