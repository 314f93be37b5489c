//! Functions that choose among their arguments, and tests of a value.

use arrow::array::{ArrayRef, AsArray, Float32Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::Result;

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error, row_error};
use crate::values;
use crate::values::Kind::{Any, Bool, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("isnan", &[crate::values::Kind::Double], Gives::Bool, |call| {
            let value = call.double(0)?;
            call.bools(|row| Ok(Some(value.get(row).is_some_and(f64::is_nan))))
        })
        .lenient(),
        function("nanvl", &[Any, Any], Gives::Same(0), nanvl).types(floating).lenient(),
        function("typeof", &[Any], Gives::Text, |call| {
            let name = values::type_name(call.array(0)?.data_type());
            call.texts(|_| Ok(Some(name.as_str())))
        })
        .lenient(),
        function("assert_true", &[Bool, Text], Gives::Nothing, assert_true).optional(1).lenient(),
        function("raise_error", &[Text], Gives::Nothing, |call| {
            let message = call.text(0)?;
            (0..call.rows).try_for_each(|row| row_error(message.get(row).unwrap_or("raise_error")))?;
            Ok(arrow::array::new_null_array(&DataType::Null, call.rows))
        })
        .lenient(),
    ]
}

fn floating(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [a, b] = types else { return plan_error(format!("nanvl takes 2 arguments, here it has {}", types.len())) };
    let number = crate::values::Kind::Double;
    if number.data_type(a).is_none() || number.data_type(b).is_none() {
        return plan_error("nanvl takes two numbers");
    }
    let float = |of: &DataType| matches!(of, DataType::Float32);
    let to = if float(a) && (float(b) || b.is_null()) { DataType::Float32 } else { DataType::Float64 };
    Ok(vec![to; 2])
}

fn nanvl(call: &Call) -> Result<ArrayRef> {
    if call.gives == DataType::Float32 {
        let (a, b) = (call.array(0)?.as_primitive::<Float32Type>(), call.array(1)?.as_primitive::<Float32Type>());
        let get = |array: &Float32Array, at: usize| (!arrow::array::Array::is_null(array, at)).then(|| array.value(at));
        let out: Float32Array = call.rows(|row| {
            let a = get(a, call.place(0, row));
            Ok(if a.is_some_and(f32::is_nan) { get(b, call.place(1, row)) } else { a })
        })?;
        return Ok(std::sync::Arc::new(out));
    }
    let (a, b) = (
        kernel::run(call.array(0)?, &DataType::Float64, false)?,
        kernel::run(call.array(1)?, &DataType::Float64, false)?,
    );
    let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
    let get = |array: &arrow::array::Float64Array, at: usize| {
        (!arrow::array::Array::is_null(array, at)).then(|| array.value(at))
    };
    call.doubles(|row| {
        let a = get(a, call.place(0, row));
        Ok(if a.is_some_and(f64::is_nan) { get(b, call.place(1, row)) } else { a })
    })
}

fn assert_true(call: &Call) -> Result<ArrayRef> {
    let condition = call.bool(0)?;
    let message = if call.len() > 1 { Some(call.text(1)?) } else { None };
    for row in 0..call.rows {
        if condition.get(row) != Some(true) {
            return row_error(
                message
                    .as_ref()
                    .and_then(|m| m.get(row))
                    .unwrap_or("assert_true was given a condition that is not true"),
            );
        }
    }
    Ok(arrow::array::new_null_array(&DataType::Null, call.rows))
}
