//! Schema resolution of primitive types.

use sluicebox_registry::schema::{Kind, Logical, Node, Unit};

use crate::avro::number;
use crate::avro::program::{Op, Scale};
use crate::limits::FURTHEST_MICROS;

/// How a value of `writer` is read as `reader`, both types without parts; `None` if it cannot be.
pub(super) fn leaf(writer: &Node, reader: &Node) -> Option<Op> {
    Some(match (&writer.kind, &reader.kind) {
        (Kind::Int | Kind::Long, Kind::Int | Kind::Long) => return integer(writer, reader),
        (Kind::Int, Kind::Float) => Op::IntToFloat,
        (Kind::Int, Kind::Double) => Op::IntToDouble,
        (Kind::Long, Kind::Float) => Op::LongToFloat,
        (Kind::Long, Kind::Double) => Op::LongToDouble,
        (Kind::Float, Kind::Float) => Op::Float,
        (Kind::Float, Kind::Double) => Op::FloatToDouble,
        (Kind::Double, Kind::Double) => Op::Double,
        (Kind::String, Kind::String) => Op::String,
        (Kind::String, Kind::Bytes) | (Kind::Bytes, Kind::String) => {
            let decimal = |node: &Node| matches!(node.logical, Some(Logical::Decimal { .. }));
            if decimal(writer) || decimal(reader) {
                return None;
            }
            Op::String
        }
        (Kind::Bytes | Kind::Fixed { .. }, Kind::Bytes | Kind::Fixed { .. }) => return binary(writer, reader),
        _ => return None,
    })
}

fn integer(writer: &Node, reader: &Node) -> Option<Op> {
    let int = matches!(writer.kind, Kind::Int);
    let raw = match (&writer.kind, &reader.kind) {
        (Kind::Int, Kind::Int) => Op::Int,
        (Kind::Int, Kind::Long) => Op::IntToLong,
        (Kind::Long, Kind::Long) => Op::Long,
        _ => return None,
    };
    let (from, to) = match (writer.logical, reader.logical) {
        // A plain number is what the other side says it is.
        (None, _) | (_, None) => return Some(within(raw, int, reader.logical)),
        (Some(w), Some(r)) if w == r => return Some(within(raw, int, reader.logical)),
        (Some(Logical::Time(from)), Some(Logical::Time(to))) => (from, to),
        (Some(Logical::Timestamp { unit: from, .. }), Some(Logical::Timestamp { unit: to, .. })) => (from, to),
        _ => return None,
    };
    let power = |unit: Unit| match unit {
        Unit::Millis => 1,
        Unit::Micros => 1_000,
        Unit::Nanos => 1_000_000,
    };
    let range = reader.logical.and_then(range).unwrap_or((i64::MIN, i64::MAX));
    Some(match from.cmp(&to) {
        std::cmp::Ordering::Equal => within(raw, int, reader.logical),
        std::cmp::Ordering::Less => Op::Rescale { int, scale: Scale::Multiply(power(to) / power(from)), range },
        std::cmp::Ordering::Greater => Op::Rescale { int, scale: Scale::Divide(power(from) / power(to)), range },
    })
}

/// `raw`, held to the dates and times of a column of type `logical`.
fn within(raw: Op, int: bool, logical: Option<Logical>) -> Op {
    match logical.and_then(range) {
        Some((least, most)) => Op::Within { int, least, most },
        None => raw,
    }
}

/// The values that a date or time may have: times of a day lie in it, dates and timestamps within 253,000 years of 1970,
/// which calendars can still show. In nanoseconds 64 bits end before that.
fn range(logical: Logical) -> Option<(i64, i64)> {
    const DAY_MILLIS: i64 = 86_400_000;
    let around = |furthest: i64| Some((-furthest, furthest));
    match logical {
        Logical::Date => around(FURTHEST_MICROS / 1000 / DAY_MILLIS),
        Logical::Timestamp { unit: Unit::Millis, .. } => around(FURTHEST_MICROS / 1000),
        Logical::Timestamp { unit: Unit::Micros, .. } => around(FURTHEST_MICROS),
        Logical::Time(Unit::Millis) => Some((0, DAY_MILLIS - 1)),
        Logical::Time(_) => Some((0, DAY_MILLIS * 1000 - 1)),
        _ => None,
    }
}

fn binary(writer: &Node, reader: &Node) -> Option<Op> {
    let size = match writer.kind {
        Kind::Fixed { size, .. } => Some(size),
        _ => None,
    };
    match (writer.logical, reader.logical) {
        // Two decimals match by what they mean, whichever bytes carry them.
        (Some(Logical::Decimal { scale: from, .. }), Some(Logical::Decimal { precision, scale })) => {
            return decimal(size, from, (precision, scale));
        }
        (None, Some(Logical::Decimal { precision, scale })) if same_bytes(writer, reader) => {
            return decimal(size, scale, (precision, scale));
        }
        (Some(Logical::Duration), Some(Logical::Uuid)) | (Some(Logical::Uuid), Some(Logical::Duration)) => return None,
        _ if !same_bytes(writer, reader) => return None,
        _ => {}
    }
    Some(match (reader.logical, size) {
        (Some(Logical::Uuid), _) => Op::Uuid,
        (Some(Logical::Duration), _) => Op::Duration,
        (_, Some(size)) => Op::Fixed(size),
        (_, None) => Op::Bytes,
    })
}

/// Bytes and bytes, or fixed of one name and size.
fn same_bytes(writer: &Node, reader: &Node) -> bool {
    match (&writer.kind, &reader.kind) {
        (Kind::Bytes, Kind::Bytes) => true,
        (Kind::Fixed { name: wn, size: ws }, Kind::Fixed { name: rn, size: rs }) => ws == rs && rn.reads(wn),
        _ => false,
    }
}

fn decimal(size: Option<usize>, from_scale: u32, to: (u32, u32)) -> Option<Op> {
    if to.0 <= u32::from(arrow::datatypes::DECIMAL128_MAX_PRECISION) {
        number::decimal(size, from_scale, to).map(|d| Op::Decimal128(Box::new(d)))
    } else {
        number::decimal(size, from_scale, to).map(|d| Op::Decimal256(Box::new(d)))
    }
}
