//! A scalar function as a name, its types, and its code for arrays.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{impl_by_name, named};
use crate::rows::together;
use crate::size;

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
        let mut parts = Parts::default();
        for rows in spans(rows, args.args.iter().map(bytes_of_constant).sum()) {
            let arrays = args.args.iter().map(|a| part_of(a, &rows)).collect::<Result<Vec<_>>>()?;
            parts.push((self.run)(&arrays, rows.len(), args.return_field.data_type())?)?;
        }
        let out = parts.one()?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// So many bytes of a constant are there at once, once for each row; of one row as many as there are.
const AT_ONCE: usize = 8 << 20;

/// `rows` rows, no more at once than constants of `bytes` may be there for.
pub(crate) fn spans(rows: usize, bytes: usize) -> Vec<Range<usize>> {
    let most = (AT_ONCE / bytes.max(1)).max(1);
    (0..rows.max(1)).step_by(most).map(|start| start..(start + most).min(rows)).collect()
}

/// How many bytes an argument takes for each row in which it is there again.
pub(crate) fn bytes_of_constant(argument: &ColumnarValue) -> usize {
    match argument {
        ColumnarValue::Array(_) => 0,
        ColumnarValue::Scalar(constant) => bytes_of_value(constant),
    }
}

fn bytes_of_value(constant: &ScalarValue) -> usize {
    match constant {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.len()
        }
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes))
        | ScalarValue::FixedSizeBinary(_, Some(bytes)) => bytes.len(),
        ScalarValue::List(list) => size::of(&**list),
        ScalarValue::LargeList(list) => size::of(&**list),
        ScalarValue::FixedSizeList(list) => size::of(&**list),
        ScalarValue::Map(map) => size::of(&**map),
        ScalarValue::Struct(fields) => size::of(&**fields),
        _ => 0,
    }
}

/// Some rows of an argument; a constant is there once for each of them.
pub(crate) fn part_of(argument: &ColumnarValue, rows: &Range<usize>) -> Result<ArrayRef> {
    match argument {
        ColumnarValue::Array(array) => Ok(array.slice(rows.start, rows.len())),
        ColumnarValue::Scalar(constant) => constant.to_array_of_size(rows.len()),
    }
}

/// An array that is made part by part.
#[derive(Default)]
pub(crate) struct Parts {
    parts: Vec<ArrayRef>,
    bytes: usize,
}

impl Parts {
    /// The next part.
    ///
    /// # Errors
    /// If this is one of several, and they are too large together.
    pub(crate) fn push(&mut self, part: ArrayRef) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size::of(&part));
        self.parts.push(part);
        if self.parts.len() > 1 { together(self.bytes) } else { Ok(()) }
    }

    /// The array, of one part at least.
    pub(crate) fn one(self) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{FixedSizeListArray, LargeListArray, ListArray};
    use arrow::datatypes::Int64Type;
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::ColumnarValue;

    use super::{AT_ONCE, bytes_of_constant, spans};

    #[test]
    fn a_constant_is_counted_whatever_its_type() {
        let (text, bytes) = (|| Some("x".repeat(100)), || Some(vec![0; 100]));
        let numbers = || [Some([1, 2, 3].map(Some))];
        for (constant, counted) in [
            (ScalarValue::Utf8(text()), 100),
            (ScalarValue::LargeUtf8(text()), 100),
            (ScalarValue::Utf8View(text()), 100),
            (ScalarValue::Binary(bytes()), 100),
            (ScalarValue::LargeBinary(bytes()), 100),
            (ScalarValue::BinaryView(bytes()), 100),
            (ScalarValue::FixedSizeBinary(100, bytes()), 100),
            (ScalarValue::List(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(numbers()))), 4 + 24),
            (
                ScalarValue::LargeList(Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(numbers()))),
                8 + 24,
            ),
            (
                ScalarValue::FixedSizeList(Arc::new(FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(
                    numbers(),
                    3,
                ))),
                24,
            ),
            (ScalarValue::Int64(Some(1)), 0),
        ] {
            let shown = constant.data_type();
            assert_eq!(bytes_of_constant(&ColumnarValue::Scalar(constant)), counted, "{shown}");
        }
    }

    #[test]
    fn large_constants_are_there_for_few_rows_at_once() {
        let ends = |rows, bytes| spans(rows, bytes).iter().map(|rows| (rows.start, rows.end)).collect::<Vec<_>>();
        assert_eq!(ends(0, 0), [(0, 0)]);
        assert_eq!(ends(1_000_000, 8), [(0, 1_000_000)]);
        assert_eq!(ends(5, AT_ONCE / 2), [(0, 2), (2, 4), (4, 5)]);
        assert_eq!(ends(2, 3 * AT_ONCE), [(0, 1), (1, 2)]);
    }
}
