//! The session in which queries are planned: its functions, types and rules.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast as sql;
use sluicebox_core::provenance::event_time_type;
use sluicebox_functions::math::WholeAsDecimal;
use sluicebox_functions::operators::planner::SparkOperators;
use sluicebox_functions::schema::named;

use super::added::Functions;
use super::durations::IntervalAsDuration;
use crate::equal::OneEquality;

/// The optimiser's rules that a stream cannot have. The first makes two aggregates of one with DISTINCT, so that the state
/// would not be the query's; the other two move field accesses into leaves, which makes names ambiguous where a leaf has
/// the columns of an aggregate (`count(*)` is then both a column and an expression).
const REMOVED: [&str; 3] =
    ["single_distinct_aggregation_to_group_by", "extract_leaf_expressions", "push_down_leaf_projections"];

/// The session for everything that a pipeline plans and runs.
///
/// - The functions of DataFusion, some of them within limits ([`sluicebox_functions::theirs()`]), then those of
///   datafusion-spark under names that are free, then those of [`sluicebox_functions`], `window`, `window_time`, and the
///   functions of [`ClockValue`]: the later shadow the earlier, so that Spark's names mean what they mean in Spark and nothing
///   reads the wall clock.
/// - `TIMESTAMP` is in microseconds and UTC, as in Spark; text is `Utf8`.
/// - Operators, literals and casts are planned as Spark does, see [`sluicebox_functions::operators::planner`].
/// - A time difference compared with an interval is compared as a duration.
/// - 0.0 and -0.0, and every NaN, are one value wherever values are compared ([`crate::equal`]).
/// - `count(DISTINCT x)` stays one aggregate: the optimiser's rule that makes two of it is left out, because an
///   aggregate's state is that of the query, not that of a rewrite.
/// - Rows keep their order: one partition unless `target_partitions` says otherwise, and no repartitioning of inputs.
#[must_use]
pub fn session_state(target_partitions: usize) -> SessionState {
    Functions::default().session_state(target_partitions)
}

/// The same, in which aggregates and sorts hold `memory` bytes together at most, and what a query makes of a batch is bounded by as many
/// ([`Room`](crate::room::Room)). What they would hold more goes to temporary files if it `spills`; else, and where that is of no help, it
/// is an error ([`is_full`](crate::room::is_full)). States of streams may not spill: groups come out of files in another order.
///
/// # Errors
/// When there is no folder for temporary files.
pub fn session_state_within(target_partitions: usize, memory: u64, spills: bool) -> Result<SessionState> {
    Functions::default().session_state_within(target_partitions, memory, spills)
}

pub(super) fn builder_within(
    target_partitions: usize,
    memory: u64,
    spills: bool,
    added: &Functions,
) -> Result<SessionStateBuilder> {
    let files = if spills { DiskManagerMode::OsTmpDirectory } else { DiskManagerMode::Disabled };
    let pool = GreedyMemoryPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(files))
        .build_arc()?;
    Ok(builder(target_partitions, added).with_runtime_env(runtime))
}

pub(super) fn builder(target_partitions: usize, added: &Functions) -> SessionStateBuilder {
    let mut analyzer = Analyzer::new();
    analyzer.add_function_rewrite(Arc::new(IntervalAsDuration));
    analyzer.add_function_rewrite(Arc::new(WholeAsDecimal));
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| !REMOVED.contains(&rule.name()));
    rules.insert(0, Arc::new(OneEquality));
    let mut builder = SessionStateBuilder::new()
        .with_config(session_config(target_partitions))
        .with_scalar_functions(datafusion_spark::all_default_scalar_functions())
        .with_aggregate_functions(datafusion_spark::all_default_aggregate_functions())
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_type_planner(Arc::new(SqlTypes));
    *builder.analyzer() = Some(analyzer);
    // The first planner that knows an operator has it.
    builder.expr_planners().get_or_insert_default().insert(0, Arc::new(SparkOperators));
    let ours = [ClockValue::Now, ClockValue::Date, ClockValue::Time, ClockValue::LocalTimestamp]
        .map(|clock| Arc::new(ScalarUDF::from(ClockFunction::new(clock))));
    let aggregates = builder.aggregate_functions().get_or_insert_default();
    aggregates.extend(sluicebox_functions::aggregate());
    aggregates.extend(added.aggregate.iter().cloned());
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend(sluicebox_functions::theirs());
    functions.extend(sluicebox_functions::scalar());
    functions.extend(ours);
    functions.extend(crate::window::functions());
    functions.extend(added.scalar.iter().cloned());
    // Without DataFusion's, whose time and memory nothing bounds.
    *builder.higher_order_functions() = Some(sluicebox_functions::higher_order());
    let planners = builder.expr_planners().get_or_insert_default();
    planners.splice(0..0, sluicebox_functions::planners());
    builder
}

fn session_config(target_partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(target_partitions.max(1));
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.enable_file_stream_work_stealing = false;
    // A partial aggregate is state: it must never be the rows themselves.
    options.execution.skip_partial_aggregation_probe_ratio_threshold = 1.1;
    options.optimizer.enable_round_robin_repartition = false;
    options.sql_parser.collect_spans = true;
    // As in Spark: NULLs come first in ascending order, last in descending.
    options.sql_parser.default_null_ordering = "nulls_min".to_owned();
    options.sql_parser.map_string_types_to_utf8view = false;
    config
}

/// SQL types that Spark reads otherwise than DataFusion.
#[derive(Debug)]
pub(super) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &sql::DataType) -> Result<Option<FieldRef>> {
        let zone = |tz: &sql::TimezoneInfo| match tz {
            sql::TimezoneInfo::WithoutTimeZone => None,
            _ => Some(Arc::from("UTC")),
        };
        let unit = |precision: &Option<u64>| match precision {
            Some(0) => Some(TimeUnit::Second),
            Some(3) => Some(TimeUnit::Millisecond),
            None | Some(6) => Some(TimeUnit::Microsecond),
            Some(9) => Some(TimeUnit::Nanosecond),
            Some(_) => None,
        };
        let utc = || Some(Arc::from("UTC"));
        let planned = match sql_type {
            sql::DataType::Timestamp(precision, tz) => unit(precision).map(|unit| DataType::Timestamp(unit, zone(tz))),
            sql::DataType::Datetime(precision) => unit(precision).map(|unit| DataType::Timestamp(unit, utc())),
            sql::DataType::TimestampNtz(precision) => unit(precision).map(|unit| DataType::Timestamp(unit, None)),
            sql::DataType::Binary(None) => Some(DataType::Binary),
            sql::DataType::Decimal(sql::ExactNumberInfo::None) | sql::DataType::Dec(sql::ExactNumberInfo::None) => {
                Some(DataType::Decimal128(10, 0))
            }
            sql::DataType::Numeric(sql::ExactNumberInfo::None) => Some(DataType::Decimal128(10, 0)),
            // Names of Spark that no other database has.
            sql::DataType::Custom(name, modifiers) if modifiers.is_empty() => named(&name.to_string()),
            sql::DataType::Map(key, value) => match (self.whole(key)?, self.whole(value)?) {
                (Some(key), Some(value)) => {
                    let pair = vec![Field::new("key", key, false), Field::new("value", value, true)];
                    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
                    Some(DataType::Map(Arc::new(entries), false))
                }
                _ => None,
            },
            _ => None,
        };
        Ok(planned.map(|t| Arc::new(Field::new("", t, true)) as FieldRef))
    }
}

impl SqlTypes {
    /// The type of a map's keys or values, which DataFusion does not plan.
    fn whole(&self, of: &sql::DataType) -> Result<Option<DataType>> {
        use sql::ExactNumberInfo::{None as Default, Precision, PrecisionAndScale};
        let digits = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
        Ok(match of {
            sql::DataType::TinyInt(_) => Some(DataType::Int8),
            sql::DataType::SmallInt(_) => Some(DataType::Int16),
            sql::DataType::Int(_) | sql::DataType::Integer(_) => Some(DataType::Int32),
            sql::DataType::BigInt(_) => Some(DataType::Int64),
            sql::DataType::Float(_) | sql::DataType::Real => Some(DataType::Float32),
            sql::DataType::Double(_) => Some(DataType::Float64),
            sql::DataType::Boolean => Some(DataType::Boolean),
            sql::DataType::Date => Some(DataType::Date32),
            sql::DataType::String(_) | sql::DataType::Varchar(_) | sql::DataType::Text => Some(DataType::Utf8),
            sql::DataType::Decimal(info) | sql::DataType::Numeric(info) | sql::DataType::Dec(info) => {
                Some(match info {
                    Default => DataType::Decimal128(10, 0),
                    Precision(p) => DataType::Decimal128(digits(*p), 0),
                    PrecisionAndScale(p, s) => DataType::Decimal128(digits(*p), i8::try_from(*s).unwrap_or(i8::MAX)),
                })
            }
            sql::DataType::Array(sql::ArrayElemTypeDef::AngleBracket(item)) => {
                self.whole(item)?.map(|item| DataType::new_list(item, true))
            }
            other => self.plan_type_field(other)?.map(|field| field.data_type().clone()),
        })
    }
}

/// The functions whose value is the batch's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClockValue {
    /// `now()`, `current_timestamp`.
    Now,
    /// `current_date`, `today()`, `curdate()`.
    Date,
    /// `current_time`.
    Time,
    /// `localtimestamp`.
    LocalTimestamp,
}

impl ClockValue {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Now => &["now", "current_timestamp"],
            Self::Date => &["current_date", "today", "curdate"],
            Self::Time => &["current_time"],
            Self::LocalTimestamp => &["localtimestamp"],
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Now => event_time_type(),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// The clock function that `function` is, if it is one.
    #[must_use]
    pub(super) fn of(function: &ScalarUDF) -> Option<Self> {
        function.inner().downcast_ref::<ClockFunction>().map(|f| f.clock)
    }
}

/// A function of the clock. It has no value before [`super::bind_clock`] has put one in its place: to ask it is an
/// error, where DataFusion's own would silently read the wall clock and make a replay differ.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ClockFunction {
    clock: ClockValue,
    aliases: Vec<String>,
    signature: Signature,
}

impl ClockFunction {
    fn new(clock: ClockValue) -> Self {
        let aliases = clock.names().iter().skip(1).map(|s| (*s).to_owned()).collect();
        Self { clock, aliases, signature: Signature::nullary(Volatility::Stable) }
    }
}

impl ScalarUDFImpl for ClockFunction {
    fn name(&self) -> &str {
        self.clock.names()[0]
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.clock.data_type())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.clock.data_type(), false)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{}() was run without the clock of a batch", self.name())))
    }
}
