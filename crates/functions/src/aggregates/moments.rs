//! `skewness`, `kurtosis` and `regr_r2`, by central moments that merge as Spark's do.

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
        coerce: |types| exactly::<1>(types).and_then(|[of]| Ok(vec![number_type(of)?])),
        returns: |_| Ok(DataType::Float64),
        state: |_| vec![DataType::Float64; 5],
        make: |_| Ok(Box::new(Moments { which: 3, at: [0.0; 5] })),
        ordered_set: false,
        empty_list: false,
    };
    let kurtosis = Parts { name: "kurtosis", make: |_| Ok(Box::new(Moments { which: 4, at: [0.0; 5] })), ..skewness };
    let regr_r2 = Parts {
        name: "regr_r2",
        coerce: |types| {
            let pair: &[DataType; 2] = exactly(types)?;
            pair.iter().map(number_type).collect()
        },
        make: |_| Ok(Box::new(Pairs([0.0; 6]))),
        state: |_| vec![DataType::Float64; 6],
        ..skewness
    };
    vec![aggregate(skewness, &[]), aggregate(kurtosis, &[]), aggregate(regr_r2, &[])]
}

fn number_type(of: &DataType) -> Result<DataType> {
    match of {
        n if n.is_numeric() || matches!(n, DataType::Null | DataType::Utf8) => Ok(DataType::Float64),
        other => plan_error(format!("a number is wanted, this is {}", name(other))),
    }
}

/// A state of `N` numbers, a column each.
fn written<const N: usize>(state: &[f64; N]) -> Vec<ScalarValue> {
    state.iter().map(|value| ScalarValue::Float64(Some(*value))).collect()
}

/// Gives each row of states that [`written`] wrote to `take`.
fn read<const N: usize>(states: &[ArrayRef], mut take: impl FnMut([f64; N])) {
    let columns: Vec<_> = states.iter().map(|state| state.as_primitive::<Float64Type>()).collect();
    for at in 0..columns[0].len() {
        let mut state = [0.0; N];
        state.iter_mut().zip(&columns).for_each(|(value, column)| *value = column.value(at));
        take(state);
    }
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
        // Into nothing: as it is, however often a state is merged.
        if n1 == 0.0 {
            self.at = other;
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
        read(states, |other| self.merge(other));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(written(&self.at))
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

/// `regr_r2`: count, both means, the sums of the squares of the distances from them, and of their products.
///
/// Spark, unlike DataFusion, gives NULL where the first value is the same in all rows, and 1 where only the second is.
#[derive(Debug)]
struct Pairs([f64; 6]);

impl Pairs {
    fn merge(&mut self, other: [f64; 6]) {
        let [n1, x1, y1, xx1, yy1, xy1] = self.0;
        let [n2, x2, y2, xx2, yy2, xy2] = other;
        if n2 == 0.0 {
            return;
        }
        if n1 == 0.0 {
            self.0 = other;
            return;
        }
        let n = n1 + n2;
        let (dx, dy) = (x2 - x1, y2 - y1);
        let weight = n1 * n2 / n;
        self.0 = [
            n,
            x1 + dx / n * n2,
            y1 + dy / n * n2,
            xx1 + xx2 + dx * dx * weight,
            yy1 + yy2 + dy * dy * weight,
            xy1 + xy2 + dx * dy * weight,
        ];
    }
}

impl Accumulator for Pairs {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (xs, ys) = (values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        for pair in xs.iter().zip(ys.iter()) {
            if let (Some(x), Some(y)) = pair {
                self.merge([1.0, x, y, 0.0, 0.0, 0.0]);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        read(states, |other| self.merge(other));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(written(&self.0))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [_, _, _, xx, yy, xy] = self.0;
        Ok(ScalarValue::Float64(match (xx == 0.0, yy == 0.0) {
            (true, _) => None,
            (false, true) => Some(1.0),
            (false, false) => Some((xy / (xx * yy).sqrt()).powi(2)),
        }))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
