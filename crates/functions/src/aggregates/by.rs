//! `max_by`, `min_by`, `count_if`, `mode`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::OwnedRow;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::function::{Given, Parts, aggregate, list_value, lists};
use crate::error::plan_error;
use crate::nested::keys::keys;
use crate::nested::types::{exactly, list_of, name, plain};
use crate::types::has_map;

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let max_by = Parts {
        name: "max_by",
        coerce: |types| {
            let [value, by] = exactly(types)?;
            orderable(by)?;
            Ok(vec![plain(value), plain(by)])
        },
        returns: |types| Ok(types[0].clone()),
        state: <[DataType]>::to_vec,
        make: |given| Ok(Box::new(By::new(given, true)?)),
        ordered_set: false,
        empty_list: false,
    };
    let min_by = Parts { name: "min_by", make: |given| Ok(Box::new(By::new(given, false)?)), ..max_by };
    let count_if = Parts {
        name: "count_if",
        coerce: |types| match types {
            [DataType::Boolean | DataType::Null] => Ok(vec![DataType::Boolean]),
            [other] => plan_error(format!("a condition is wanted, this is {}", name(other))),
            _ => plan_error("takes a condition"),
        },
        returns: |_| Ok(DataType::Int64),
        state: |_| vec![DataType::Int64],
        make: |_| Ok(Box::new(CountIf(0))),
        ordered_set: false,
        empty_list: false,
    };
    let mode = Parts {
        name: "mode",
        coerce: |types| {
            let [value] = exactly(types)?;
            orderable(value)?;
            Ok(vec![plain(value)])
        },
        returns: |types| Ok(types[0].clone()),
        state: |types| vec![list_of(&types[0]), list_of(&DataType::Int64)],
        make: |given| Ok(Box::new(Mode { data_type: given.types[0].clone(), counts: HashMap::new(), bytes: 0 })),
        ordered_set: false,
        empty_list: false,
    };
    vec![aggregate(max_by, &[]), aggregate(min_by, &[]), aggregate(count_if, &[]), aggregate(mode, &[])]
}

fn orderable(data_type: &DataType) -> Result<()> {
    if has_map(data_type) { plan_error("maps have no order") } else { Ok(()) }
}

/// The value that stands beside the largest or the smallest other value; of equal ones the last.
#[derive(Debug)]
struct By {
    largest: bool,
    value: ScalarValue,
    by: ScalarValue,
    key: Option<OwnedRow>,
}

impl By {
    fn new(given: &Given<'_>, largest: bool) -> Result<Self> {
        let null = |at: usize| ScalarValue::try_from(&given.types[at]);
        Ok(Self { largest, value: null(0)?, by: null(1)?, key: None })
    }
}

impl Accumulator for By {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [value, by] = values else { return plan_error("takes two values") };
        if by.data_type() == &DataType::Null {
            return Ok(());
        }
        let compared = keys(&[by])?.swap_remove(0);
        let mut best = None;
        for at in (0..by.len()).filter(|at| by.is_valid(*at)) {
            let row = compared.row(at);
            let better = best.is_none_or(|best| {
                let best = compared.row(best);
                if self.largest { row >= best } else { row <= best }
            });
            if better {
                best = Some(at);
            }
        }
        let Some(best) = best else { return Ok(()) };
        let row = compared.row(best).owned();
        let better = self.key.as_ref().is_none_or(|key| if self.largest { row >= *key } else { row <= *key });
        if better {
            self.value = ScalarValue::try_from_array(value, best)?;
            self.by = ScalarValue::try_from_array(by, best)?;
            // A value of a list would hold the batch that it came with.
            self.value.compact();
            self.by.compact();
            self.key = Some(row);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.by.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.by.size() * 2
    }
}

#[derive(Debug)]
struct CountIf(i64);

impl Accumulator for CountIf {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 += i64::try_from(values[0].as_boolean().true_count()).unwrap_or_default();
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0 += states[0].as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.0))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The value that is there most often; of several the smallest.
#[derive(Debug)]
struct Mode {
    data_type: DataType,
    counts: HashMap<OwnedRow, (ScalarValue, i64)>,
    bytes: usize,
}

impl Mode {
    fn take(&mut self, values: &ArrayRef, counts: Option<&Int64Array>) -> Result<()> {
        if values.data_type() == &DataType::Null {
            return Ok(());
        }
        let compared = keys(&[values])?.swap_remove(0);
        for at in (0..values.len()).filter(|at| values.is_valid(*at)) {
            let count = counts.map_or(1, |counts| counts.value(at));
            let row = compared.row(at);
            match self.counts.entry(row.owned()) {
                Entry::Occupied(mut known) => known.get_mut().1 += count,
                Entry::Vacant(new) => {
                    let mut value = ScalarValue::try_from_array(values, at)?;
                    value.compact();
                    self.bytes += value.size() + row.as_ref().len() + 64;
                    new.insert((value, count));
                }
            }
        }
        Ok(())
    }

    /// The values in their order.
    fn sorted(&self) -> Vec<(&OwnedRow, &(ScalarValue, i64))> {
        let mut all: Vec<_> = self.counts.iter().collect();
        all.sort_by(|a, b| a.0.cmp(b.0));
        all
    }
}

impl Accumulator for Mode {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], None)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (values, counts) in lists(&states[0]).zip(lists(&states[1])) {
            self.take(&values, Some(counts.as_primitive::<Int64Type>()))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<ScalarValue>, Vec<i64>) = self.sorted().into_iter().map(|(_, v)| v.clone()).unzip();
        let values = if values.is_empty() {
            arrow::array::new_empty_array(&self.data_type)
        } else {
            ScalarValue::iter_to_array(values)?
        };
        Ok(vec![list_value(values), list_value(Arc::new(Int64Array::from(counts)))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut best: Option<&(ScalarValue, i64)> = None;
        for (_, found) in self.sorted() {
            if best.is_none_or(|best| found.1 > best.1) {
                best = Some(found);
            }
        }
        best.map_or_else(|| ScalarValue::try_from(&self.data_type), |(value, _)| Ok(value.clone()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}
