//! `approx_count_distinct`: HyperLogLog over the values' row format, with 4,096 registers or what a smaller error needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, AggregateUDF};

use super::function::{Given, Parts, aggregate, number};
use crate::error::plan_error;
use crate::nested::keys::keys;
use crate::nested::types::plain;

pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let parts = Parts {
        name: "approx_count_distinct",
        coerce: |types| match types {
            [value] => Ok(vec![plain(value)]),
            [value, _] => Ok(vec![plain(value), DataType::Float64]),
            _ => plan_error("takes a value, and the relative error that is allowed"),
        },
        returns: |_| Ok(DataType::Int64),
        state: |_| vec![DataType::Binary],
        make: |given| Ok(Box::new(Registers::new(given)?)),
        ordered_set: false,
        empty_list: false,
    };
    vec![aggregate(parts, &[])]
}

/// The largest number of leading zeros seen, by the first bits of the hash; those that were never hit are left out.
#[derive(Debug)]
struct Registers {
    bits: u32,
    ranks: BTreeMap<u32, u8>,
}

/// Bits of a register's number, at least and at most.
const BITS: (u32, u32) = (12, 18);

impl Registers {
    fn new(given: &Given<'_>) -> Result<Self> {
        let error = match given.constant(1)? {
            None => 0.05,
            Some(value) => match number(&value) {
                Some(error) if error > 0.0 && error <= 0.39 => error,
                _ => return plan_error(format!("a relative error is a number up to 0.39, this is {value}")),
            },
        };
        let needed = (2.0 * (1.106_f64 / error).log2()).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and 30")]
        let bits = (needed.clamp(2.0, 30.0) as u32).max(BITS.0);
        if bits > BITS.1 {
            return plan_error("a relative error below 0.0022 needs too much memory: write count(DISTINCT ...)");
        }
        Ok(Self { bits, ranks: BTreeMap::new() })
    }

    fn note(&mut self, register: u32, rank: u8) {
        let known = self.ranks.entry(register).or_default();
        *known = rank.max(*known);
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn estimate(&self) -> f64 {
        let registers = f64::from(1_u32 << self.bits);
        let empty = registers - self.ranks.len() as f64;
        let sum: f64 = empty + self.ranks.values().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum::<f64>();
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        if raw <= 2.5 * registers && empty > 0.0 { registers * (registers / empty).ln() } else { raw }
    }
}

/// A hash that is the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The bits of that sum are not well mixed.
    for _ in 0..2 {
        state ^= state >> 32;
        state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    state ^ (state >> 32)
}

impl Accumulator for Registers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values[0].data_type() == &DataType::Null {
            return Ok(());
        }
        let rows = keys(&[&values[0]])?.swap_remove(0);
        for at in (0..values[0].len()).filter(|at| values[0].is_valid(*at)) {
            let hash = hash(rows.row(at).as_ref());
            let register = u32::try_from(hash >> (64 - self.bits)).unwrap_or_default();
            let rank = ((hash << self.bits) | (1 << (self.bits - 1))).leading_zeros() + 1;
            self.note(register, u8::try_from(rank).unwrap_or(u8::MAX));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i32>().iter().flatten() {
            for entry in state.chunks_exact(4) {
                let register = u32::from_be_bytes([0, entry[0], entry[1], entry[2]]);
                self.note(register, entry[3]);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let entry = |(register, rank): (&u32, &u8)| {
            let [_, a, b, c] = register.to_be_bytes();
            [a, b, c, *rank]
        };
        Ok(vec![ScalarValue::Binary(Some(self.ranks.iter().flat_map(entry).collect()))])
    }

    #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.estimate().round() as i64)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.ranks.len() * 16
    }
}
