//! `percentile`, `median`, `percentile_cont`, `percentile_disc`: exact, over the distinct values and their counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::function::{Given, Parts, aggregate, list_value, lists};
use crate::error::{plan_error, row_error};
use crate::nested::types::{element_of, list_of, name};

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let percentile = Parts {
        name: "percentile",
        coerce: |types| match types {
            [_, _] | [_, _, _] => numbers(types),
            _ => plan_error("takes a number, a share between 0 and 1, and how often each number counts"),
        },
        returns: |types| Ok(shape(types.get(1))),
        state: |_| vec![list_of(&DataType::Float64), list_of(&DataType::Int64)],
        make: |given| Ok(Box::new(Counted::new(given, Some(1), Rule::Between)?)),
        ordered_set: false,
        empty_list: false,
    };
    let median = Parts {
        name: "median",
        coerce: |types| if types.len() == 1 { numbers(types) } else { plan_error("takes a number") },
        returns: |_| Ok(DataType::Float64),
        make: |given| Ok(Box::new(Counted::new(given, None, Rule::Between)?)),
        ..percentile
    };
    let cont = Parts { name: "percentile_cont", ordered_set: true, ..percentile };
    let disc = Parts {
        name: "percentile_disc",
        ordered_set: true,
        make: |given| Ok(Box::new(Counted::new(given, Some(1), Rule::Lower)?)),
        ..percentile
    };
    vec![aggregate(percentile, &[]), aggregate(median, &[]), aggregate(cont, &[]), aggregate(disc, &[])]
}

fn shape(share: Option<&DataType>) -> DataType {
    match share {
        Some(list) if element_of(list).is_some() => list_of(&DataType::Float64),
        _ => DataType::Float64,
    }
}

fn numbers(types: &[DataType]) -> Result<Vec<DataType>> {
    let mut wanted = Vec::with_capacity(types.len());
    for (at, data_type) in types.iter().enumerate() {
        wanted.push(match (at, data_type) {
            (2, _) => DataType::Int64,
            (1, list) if element_of(list).is_some() => list_of(&DataType::Float64),
            (_, n) if n.is_numeric() || matches!(n, DataType::Null | DataType::Utf8) => DataType::Float64,
            (_, other) => return plan_error(format!("a number is wanted, this is {}", name(other))),
        });
    }
    Ok(wanted)
}

/// What stands between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// Their weighted mean.
    Between,
    /// The one that a share of the values is not above.
    Lower,
}

/// A number that has an order: NaN is the largest, and -0.0 comes before 0.0.
#[derive(Debug, Clone, Copy)]
struct Ordered(f64);

impl Ordered {
    fn of(value: f64) -> Self {
        Self(if value.is_nan() { f64::NAN } else { value })
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug)]
struct Counted {
    counts: BTreeMap<Ordered, i64>,
    shares: Vec<f64>,
    list: bool,
    descending: bool,
    rule: Rule,
    /// Whether each value comes with how often it counts.
    weighted: bool,
}

impl Counted {
    fn new(given: &Given<'_>, share: Option<usize>, rule: Rule) -> Result<Self> {
        let (shares, list) = match share {
            None => (vec![0.5], false),
            Some(at) => shares(given, at)?,
        };
        let weighted = share.is_some() && given.types.len() == 3;
        Ok(Self { counts: BTreeMap::new(), shares, list, descending: given.descending, rule, weighted })
    }

    /// Notes that `value` is there `count` times more. More than can be counted is as many as can.
    fn note(&mut self, value: f64, count: i64) {
        let known = self.counts.entry(Ordered::of(value)).or_default();
        *known = known.saturating_add(count);
    }

    /// The value at `position` of all values in their order, the last one behind them.
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn value_at(&self, position: f64) -> Option<f64> {
        let mut seen = 0_i128;
        let mut reaches = |(value, count): (&Ordered, &i64)| {
            seen += i128::from(*count);
            (position < seen as f64).then_some(value.0)
        };
        let (found, last) = if self.descending {
            (self.counts.iter().rev().find_map(&mut reaches), self.counts.first_key_value())
        } else {
            (self.counts.iter().find_map(&mut reaches), self.counts.last_key_value())
        };
        found.or(last.map(|(value, _)| value.0))
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn at(&self, share: f64) -> Option<f64> {
        let total: i128 = self.counts.values().copied().map(i128::from).sum();
        if total == 0 {
            return None;
        }
        if self.rule == Rule::Lower {
            return self.value_at((share * total as f64).ceil().max(1.0) - 1.0);
        }
        let position = (total - 1) as f64 * share;
        let (lower, higher) = (position.floor(), position.ceil());
        let (below, above) = (self.value_at(lower)?, self.value_at(higher)?);
        if lower == higher || below == above {
            return Some(below);
        }
        Some((higher - position) * below + (position - lower) * above)
    }
}

/// The shares that are asked for, and whether it is a list of them.
pub(super) fn shares(given: &Given<'_>, at: usize) -> Result<(Vec<f64>, bool)> {
    let constant = given.constant(at)?;
    let (shares, list): (Vec<Option<f64>>, bool) = match &constant {
        Some(ScalarValue::List(list)) if !list.is_empty() && list.is_valid(0) => {
            (list.value(0).as_primitive::<Float64Type>().iter().collect(), true)
        }
        Some(value) => (vec![super::function::number(value)], false),
        None => (Vec::new(), false),
    };
    let good = shares.into_iter().map(|s| s.filter(|s| (0.0..=1.0).contains(s))).collect::<Option<Vec<_>>>();
    match good {
        Some(shares) if !shares.is_empty() => Ok((shares, list)),
        _ => plan_error("a share is a number between 0 and 1"),
    }
}

impl Accumulator for Counted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let numbers = values[0].as_primitive::<Float64Type>();
        // Behind the arguments may stand the values of ORDER BY.
        let counts = values.get(2).filter(|_| self.weighted).map(|counts| counts.as_primitive::<Int64Type>());
        for (at, value) in numbers.iter().enumerate() {
            let count = match counts {
                None => 1,
                Some(counts) if counts.is_null(at) => continue,
                Some(counts) => counts.value(at),
            };
            let Some(value) = value else { continue };
            match count {
                ..0 => return row_error(format!("percentile counts a value {count} times")),
                0 => {}
                _ => self.note(value, count),
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (values, counts) in lists(&states[0]).zip(lists(&states[1])) {
            let pairs = values.as_primitive::<Float64Type>().values().iter();
            for (value, count) in pairs.zip(counts.as_primitive::<Int64Type>().values()) {
                self.note(*value, *count);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from_iter_values(self.counts.keys().map(|v| v.0));
        let counts = Int64Array::from_iter_values(self.counts.values().copied());
        Ok(vec![list_value(Arc::new(values)), list_value(Arc::new(counts))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.list {
            return Ok(ScalarValue::Float64(self.shares.first().and_then(|share| self.at(*share))));
        }
        let all = self.shares.iter().map(|share| self.at(*share)).collect::<Option<Vec<f64>>>();
        match all {
            Some(values) => Ok(list_value(Arc::new(Float64Array::from(values)))),
            None => ScalarValue::try_from(&list_of(&DataType::Float64)),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.len() * 48
    }
}
