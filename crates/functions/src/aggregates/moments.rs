//! `skewness` and `kurtosis`, by central moments that are merged as Spark merges them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::function::{Parts, aggregate};
use crate::error::plan_error;
use crate::nested::types::{exactly, name};

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let skewness = Parts {
        name: "skewness",
        coerce: |types| match exactly::<1>(types)? {
            [n] if n.is_numeric() || matches!(n, DataType::Null | DataType::Utf8) => Ok(vec![DataType::Float64]),
            [other] => plan_error(format!("a number is wanted, this is {}", name(other))),
        },
        returns: |_| Ok(DataType::Float64),
        state: |_| vec![DataType::Float64; 5],
        make: |_| Ok(Box::new(Moments { which: 3, at: [0.0; 5] })),
        ordered_set: false,
        empty_list: false,
    };
    let kurtosis = Parts { name: "kurtosis", make: |_| Ok(Box::new(Moments { which: 4, at: [0.0; 5] })), ..skewness };
    vec![aggregate(skewness, &[]), aggregate(kurtosis, &[])]
}

/// Count, mean, and the sums of the second, third and fourth power of the distance from the mean.
#[derive(Debug)]
struct Moments {
    which: u8,
    at: [f64; 5],
}

impl Moments {
    fn merge(&mut self, other: [f64; 5]) {
        let [n1, mean1, a2, a3, a4] = self.at;
        let [n2, mean2, b2, b3, b4] = other;
        let n = n1 + n2;
        if n2 == 0.0 {
            return;
        }
        let delta = mean2 - mean1;
        let part = delta / n;
        let m2 = a2 + b2 + delta * part * n1 * n2;
        let m3 = a3 + b3 + part * part * delta * n1 * n2 * (n1 - n2) + 3.0 * part * (n1 * b2 - n2 * a2);
        let m4 = a4
            + b4
            + part * part * part * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + 6.0 * part * part * (n1 * n1 * b2 + n2 * n2 * a2)
            + 4.0 * part * (n1 * b3 - n2 * a3);
        self.at = [n, mean1 + part * n2, m2, m3, m4];
    }
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.merge([1.0, value, 0.0, 0.0, 0.0]);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let columns: Vec<_> = states.iter().map(|s| s.as_primitive::<Float64Type>()).collect();
        for at in 0..columns[0].len() {
            let mut other = [0.0; 5];
            other.iter_mut().zip(&columns).for_each(|(value, column)| *value = column.value(at));
            self.merge(other);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.at.iter().map(|value| ScalarValue::Float64(Some(*value))).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [n, _, m2, m3, m4] = self.at;
        let value = if self.which == 3 { n.sqrt() * m3 / (m2 * m2 * m2).sqrt() } else { n * m4 / (m2 * m2) - 3.0 };
        Ok(ScalarValue::Float64((n > 0.0 && m2 != 0.0).then_some(value)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
