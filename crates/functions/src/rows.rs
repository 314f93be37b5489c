//! A scalar function in a few lines: its name, the kinds of its arguments, its type, and the code for its rows.
//!
//! Arguments that Spark casts implicitly are cast here as well (`left(12, 1)` is `'1'`): to the types of [`crate::values`], as an explicit
//! cast does it.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::casts::kernel;
use crate::types;
use crate::values::Kind;

mod call;

use crate::error::{impl_by_name, named};
pub(crate) use crate::error::{plan_error, row_error};

use self::call::{Argument, nulls};
pub(crate) use self::call::{Call, fits, short, together};

/// `TIMESTAMP`: microseconds in UTC.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of what a function gives.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    Text,
    Binary,
    Tiny,
    Int,
    Long,
    Double,
    Bool,
    Date,
    Time,
    TimeNtz,
    Texts,
    Nothing,
    /// The type of an argument, once it is cast.
    Same(usize),
    /// What the types of the arguments and the constants among them say.
    By(fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>),
}

impl Gives {
    fn data_type(self, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(match self {
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Tiny => DataType::Int8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => timestamp(),
            Self::TimeNtz => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Texts => DataType::new_list(DataType::Utf8, true),
            Self::Nothing => DataType::Null,
            Self::Same(at) => types.get(at).cloned().unwrap_or(DataType::Null),
            Self::By(how) => how(types, constants)?,
        })
    }
}

/// The types that arguments of some types are cast to; the name of the function that is called is for messages.
type Types = fn(&str, &[DataType]) -> Result<Vec<DataType>>;

/// What is wrong with constant arguments, which is then told before any row is read.
pub(crate) type Check = fn(&[Option<&ScalarValue>]) -> Result<()>;

/// A scalar function.
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    kinds: &'static [Kind],
    /// How many of the arguments may be left out.
    optional: usize,
    /// Whether the last argument may be given any number of times, even none.
    many: bool,
    /// Whether a NULL among the arguments makes the result NULL, without asking `run`.
    strict: bool,
    gives: Gives,
    check: Option<Check>,
    /// The types that the arguments are cast to, where `kinds` do not say it.
    types: Option<Types>,
    run: fn(&Call) -> Result<ArrayRef>,
    signature: Signature,
}

/// A function called `name` over arguments of `kinds`.
pub(crate) fn function(
    name: &'static str,
    kinds: &'static [Kind],
    gives: Gives,
    run: fn(&Call) -> Result<ArrayRef>,
) -> Function {
    let signature = match kinds {
        [] => Signature::nullary(Volatility::Immutable),
        _ => Signature::user_defined(Volatility::Immutable),
    };
    Function {
        name,
        aliases: Vec::new(),
        kinds,
        optional: 0,
        many: false,
        strict: true,
        gives,
        check: None,
        types: None,
        run,
        signature,
    }
}

impl Function {
    /// Another name.
    pub(crate) fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// The last `n` arguments may be left out.
    pub(crate) fn optional(mut self, n: usize) -> Self {
        self.optional = n;
        if n == self.kinds.len() {
            let signatures = vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::UserDefined,
            ];
            self.signature = Signature::one_of(signatures, Volatility::Immutable);
        }
        self
    }

    /// The last argument may come any number of times.
    pub(crate) fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// NULL arguments are given to the function.
    pub(crate) fn lenient(mut self) -> Self {
        self.strict = false;
        self
    }

    /// Constant arguments are checked by `check`.
    pub(crate) fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The arguments are cast to what `types` says.
    pub(crate) fn types(mut self, types: Types) -> Self {
        self.types = Some(types);
        self
    }

    /// The function as DataFusion has it.
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(self))
    }

    /// What is wrong with the types of a call, under the function's name where that is not in it already.
    fn named<T>(&self, found: Result<T>) -> Result<T> {
        found.map_err(|error| match &error {
            DataFusionError::Plan(text)
                if !text.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == self.name) =>
            {
                named(self.name, &error)
            }
            _ => error,
        })
    }

    fn kind(&self, at: usize) -> Kind {
        self.kinds.get(at).or(self.kinds.last()).copied().unwrap_or(Kind::Any)
    }

    /// The types that arguments of `types` are cast to.
    fn cast_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let most = self.kinds.len();
        let least = if self.many { most.saturating_sub(1) } else { most - self.optional };
        if types.len() < least || (types.len() > most && !self.many) {
            let wanted = match (least, most) {
                _ if self.many => format!("at least {least} arguments"),
                (1, 1) => "one argument".to_owned(),
                (least, most) if least == most => format!("{most} arguments"),
                (least, most) if least + 1 == most => format!("{least} or {most} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return plan_error(format!("{} takes {wanted}, here it has {}", self.name, types.len()));
        }
        if let Some(cast) = self.types {
            return cast(self.name, types);
        }
        types
            .iter()
            .enumerate()
            .map(|(at, of)| {
                let kind = self.kind(at);
                kind.data_type(of).map_or_else(
                    || {
                        let (name, words) = (types::name(of), kind.words());
                        let help = if types::is_interval(of) { crate::casts::OF_A_DIFFERENCE } else { "" };
                        plan_error(format!("argument {} of {} must be {words}, not {name}{help}", at + 1, self.name))
                    },
                    Ok,
                )
            })
            .collect()
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl_by_name!(Function, name);

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

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.named(self.cast_types(types))?;
        // The function casts by itself, as Spark does.
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.gives.data_type(&self.cast_types(types)?, &vec![None; types.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<arrow::datatypes::FieldRef> {
        if let Some(check) = self.check {
            check(args.scalar_arguments)?;
        }
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let data_type = self.gives.data_type(&self.cast_types(&types)?, args.scalar_arguments)?;
        Ok(Arc::new(arrow::datatypes::Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let types = self.cast_types(&types)?;
        let mut arguments = Vec::with_capacity(types.len());
        for (value, to) in args.args.iter().zip(&types) {
            let (array, one) = match value {
                ColumnarValue::Array(array) => (Arc::clone(array), false),
                ColumnarValue::Scalar(value) => (value.to_array_of_size(1)?, rows != 1),
            };
            let constant = matches!(value, ColumnarValue::Scalar(_));
            arguments.push(Argument { array: kernel::run(&array, to, false)?, one, constant });
        }
        let nulls = if self.strict { nulls(&arguments, rows) } else { None };
        let call = Call { arguments, rows, nulls, gives: args.return_field.data_type().clone() };
        let out = if call.nulls.as_ref().is_some_and(|n| n.null_count() == rows) && rows > 0 {
            arrow::array::new_null_array(&call.gives, rows)
        } else {
            (self.run)(&call)?
        };
        if constant {
            ScalarValue::try_from_array(&out, 0).map(ColumnarValue::Scalar)
        } else {
            Ok(ColumnarValue::Array(out))
        }
    }
}

/// The text of a constant argument, if it is one and not NULL.
pub(crate) fn constant_text<'a>(constants: &[Option<&'a ScalarValue>], at: usize) -> Option<&'a str> {
    constants.get(at).copied().flatten().and_then(|value| value.try_as_str().flatten())
}
