//! `percentile_approx`: the summary of Greenwald and Khanna, as Spark keeps it. The result is one of the values. Its rank is wrong by at
//! most the number of values over the accuracy.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::exact::shares;
use super::function::{Given, Parts, aggregate, list_value, lists};
use crate::error::plan_error;
use crate::nested::types::{as_type, element_of, list_of, name, plain};

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let parts = Parts {
        name: "percentile_approx",
        coerce: |types| {
            if !(2..=3).contains(&types.len()) {
                return plan_error("takes a value, a share between 0 and 1, and an accuracy");
            }
            let share = if element_of(&types[1]).is_some() { list_of(&DataType::Float64) } else { DataType::Float64 };
            let value = match plain(&types[0]) {
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone),
                DataType::Utf8 => DataType::Float64,
                t if t.is_numeric() || matches!(t, DataType::Date32) => t,
                other => return plan_error(format!("a number or a time is wanted, this is {}", name(&other))),
            };
            Ok([vec![value, share], vec![DataType::Int64; types.len() - 2]].concat())
        },
        returns: |types| Ok(if element_of(&types[1]).is_some() { list_of(&types[0]) } else { types[0].clone() }),
        state: |_| {
            let whole = list_of(&DataType::Int64);
            vec![list_of(&DataType::Decimal128(38, 0)), whole.clone(), whole, DataType::Int64]
        },
        make: |given| Ok(Box::new(Percentile::new(given)?)),
        ordered_set: false,
        empty_list: false,
    };
    vec![aggregate(parts, &["approx_percentile"])]
}

/// A value, how many values it stands for beside the one before, and how far its rank may be off.
#[derive(Debug, Clone, Copy)]
struct Sample {
    value: i128,
    covers: i64,
    off: i64,
}

/// The summary.
#[derive(Debug)]
struct Summary {
    accuracy: i64,
    samples: Vec<Sample>,
    /// Values that have not been put in yet.
    fresh: Vec<i128>,
    count: i64,
}

/// So many values are put in at once.
const FRESH: usize = 10_000;
/// A summary of more samples is made smaller.
const MAX_SAMPLES: usize = 20_000;

impl Summary {
    /// Twice the error that is allowed.
    fn slack(&self, count: i64) -> i64 {
        2 * count / self.accuracy
    }

    fn push(&mut self, value: i128) {
        self.fresh.push(value);
        if self.fresh.len() >= FRESH {
            self.settle();
        }
    }

    /// Puts in what is fresh.
    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable();
        let before = std::mem::take(&mut self.samples);
        let mut after = Vec::with_capacity(before.len() + fresh.len());
        let mut old = before.into_iter().peekable();
        let last = fresh.len() - 1;
        for (at, value) in fresh.into_iter().enumerate() {
            while let Some(sample) = old.next_if(|s| s.value <= value) {
                after.push(sample);
            }
            self.count += 1;
            let edge = after.is_empty() || (old.peek().is_none() && at == last);
            after.push(Sample { value, covers: 1, off: if edge { 0 } else { self.slack(self.count) } });
        }
        after.extend(old);
        self.samples = after;
        if self.samples.len() > MAX_SAMPLES {
            self.compress();
        }
    }

    fn compress(&mut self) {
        let room = self.slack(self.count);
        let Some(mut head) = self.samples.last().copied() else { return };
        let mut kept = Vec::new();
        for sample in self.samples[1..self.samples.len() - 1].iter().rev() {
            if sample.covers + head.covers + head.off < room {
                head.covers += sample.covers;
            } else {
                kept.push(head);
                head = *sample;
            }
        }
        kept.push(head);
        if self.samples.len() > 1 {
            // The smallest value stays.
            kept.push(self.samples[0]);
        }
        kept.reverse();
        self.samples = kept;
    }

    /// Takes in another summary, whose samples are in order.
    fn merge(&mut self, other: &[Sample], count: i64) {
        self.settle();
        if count == 0 {
            return;
        }
        let (more_of_mine, more_of_other) = (self.slack(count), self.slack(self.count));
        let mine = std::mem::take(&mut self.samples);
        let (mut a, mut b) = (0, 0);
        let mut all = Vec::with_capacity(mine.len() + other.len());
        while a < mine.len() || b < other.len() {
            let first = b >= other.len() || (a < mine.len() && mine[a].value <= other[b].value);
            let (mut sample, more) = if first {
                a += 1;
                (mine[a - 1], if b > 0 && b < other.len() { more_of_mine } else { 0 })
            } else {
                b += 1;
                (other[b - 1], if a > 0 && a < mine.len() { more_of_other } else { 0 })
            };
            sample.off += more;
            all.push(sample);
        }
        self.samples = all;
        self.count += count;
        if self.samples.len() > MAX_SAMPLES {
            self.compress();
        }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "ranks are counts of rows")]
    fn at(&self, share: f64) -> Option<i128> {
        let error = 1.0 / self.accuracy as f64;
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        if share <= error {
            return Some(first.value);
        }
        if share >= 1.0 - error {
            return Some(last.value);
        }
        let rank = (share * self.count as f64).ceil() as i64;
        let allowed = self.samples.iter().map(|s| s.off + s.covers).max().unwrap_or(0) as f64 / 2.0;
        let mut lowest = 0;
        let found = self.samples.iter().find(|sample| {
            lowest += sample.covers;
            (lowest + sample.off) as f64 - allowed <= rank as f64 && rank as f64 <= lowest as f64 + allowed
        });
        Some(found.unwrap_or(last).value)
    }
}

#[derive(Debug)]
struct Percentile {
    data_type: DataType,
    summary: Summary,
    shares: Vec<f64>,
    list: bool,
}

impl Percentile {
    fn new(given: &Given<'_>) -> Result<Self> {
        let (shares, list) = shares(given, 1)?;
        let accuracy = match given.constant(2)? {
            None => 10_000,
            Some(ScalarValue::Int64(Some(accuracy))) if (1..=i64::from(i32::MAX)).contains(&accuracy) => accuracy,
            Some(other) => return plan_error(format!("an accuracy is a whole number above 0, this is {other}")),
        };
        let summary = Summary { accuracy, samples: Vec::new(), fresh: Vec::new(), count: 0 };
        Ok(Self { data_type: given.types[0].clone(), summary, shares, list })
    }
}

/// A float's bits so that they sort as the floats, NaN last.
fn of_float(value: f64) -> i128 {
    let value = if value.is_nan() { f64::NAN } else { value };
    let bits = value.to_bits().cast_signed();
    i128::from(if bits < 0 { bits ^ i64::MAX } else { bits })
}

fn to_float(value: i128) -> f64 {
    let bits = i64::try_from(value).unwrap_or_default();
    f64::from_bits(if bits < 0 { bits ^ i64::MAX } else { bits }.cast_unsigned())
}

fn ordered(values: &ArrayRef) -> Result<Vec<i128>> {
    Ok(match values.data_type() {
        DataType::Float32 => {
            values.as_primitive::<Float32Type>().iter().flatten().map(|v| of_float(f64::from(v))).collect()
        }
        DataType::Float64 => values.as_primitive::<Float64Type>().iter().flatten().map(of_float).collect(),
        DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().iter().flatten().collect(),
        DataType::Date32 => values.as_primitive::<Date32Type>().iter().flatten().map(i128::from).collect(),
        DataType::Timestamp(..) => {
            values.as_primitive::<TimestampMicrosecondType>().iter().flatten().map(i128::from).collect()
        }
        _ => {
            let whole = as_type(values, &DataType::Int64)?;
            whole.as_primitive::<Int64Type>().iter().flatten().map(i128::from).collect()
        }
    })
}

fn scalar(value: i128, data_type: &DataType) -> Result<ScalarValue> {
    let whole = || i64::try_from(value).ok();
    Ok(match data_type {
        #[expect(clippy::cast_possible_truncation, reason = "it came from a float")]
        DataType::Float32 => ScalarValue::Float32(Some(to_float(value) as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(to_float(value))),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(value), *p, *s),
        DataType::Date32 => ScalarValue::Date32(i32::try_from(value).ok()),
        DataType::Timestamp(_, zone) => ScalarValue::TimestampMicrosecond(whole(), zone.clone()),
        other => ScalarValue::Int64(whole()).cast_to(other)?,
    })
}

impl Accumulator for Percentile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        ordered(&values[0])?.into_iter().for_each(|value| self.summary.push(value));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[3].as_primitive::<Int64Type>().iter().flatten();
        let parts = lists(&states[0]).zip(lists(&states[1])).zip(lists(&states[2])).zip(counts);
        for (((values, covers), off), count) in parts {
            let values = values.as_primitive::<Decimal128Type>().values().iter();
            let covers = covers.as_primitive::<Int64Type>().values().to_vec();
            let off = off.as_primitive::<Int64Type>().values().to_vec();
            let samples = values.zip(covers).zip(off);
            let samples = samples.map(|((value, covers), off)| Sample { value: *value, covers, off });
            self.summary.merge(&samples.collect::<Vec<_>>(), count);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.summary.settle();
        let samples = &self.summary.samples;
        let values = Decimal128Array::from_iter_values(samples.iter().map(|s| s.value));
        let whole = |of: fn(&Sample) -> i64| list_value(Arc::new(Int64Array::from_iter_values(samples.iter().map(of))));
        Ok(vec![
            list_value(Arc::new(values.with_precision_and_scale(38, 0)?)),
            whole(|s| s.covers),
            whole(|s| s.off),
            ScalarValue::Int64(Some(self.summary.count)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.summary.settle();
        let found = self.shares.iter().map(|share| self.summary.at(*share)).collect::<Option<Vec<_>>>();
        let Some(found) = found else {
            let data_type = if self.list { list_of(&self.data_type) } else { self.data_type.clone() };
            return ScalarValue::try_from(&data_type);
        };
        let values = found.into_iter().map(|value| scalar(value, &self.data_type)).collect::<Result<Vec<_>>>()?;
        match values.as_slice() {
            [one] if !self.list => Ok(one.clone()),
            _ => Ok(list_value(ScalarValue::iter_to_array(values)?)),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.summary.samples.capacity() * size_of::<Sample>() + self.summary.fresh.capacity() * 16
    }
}
