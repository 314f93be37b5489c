//! The columns that a watermark reads: event times of any type, and provenance.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, PrimitiveArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use sluicebox_core::PartitionId;
use sluicebox_core::provenance;

use crate::error::{Error, Result};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// `column` as `Timestamp(us, UTC)`. Nanoseconds are rounded towards the past, a date is its midnight, a timestamp
/// without time zone is taken for UTC; what microseconds cannot hold is the first or last instant that they can: it is no
/// less far away than it was, and no NULL.
///
/// # Errors
/// [`Error::EventTimeType`] when the column holds no instants.
pub fn to_event_time(column: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let micros = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().clone(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            column.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(column.as_primitive::<TimestampMillisecondType>(), 1_000)
        }
        DataType::Timestamp(TimeUnit::Second, _) => scaled(column.as_primitive::<TimestampSecondType>(), SECOND),
        DataType::Date32 => scaled(column.as_primitive::<Date32Type>(), DAY),
        DataType::Date64 => scaled(column.as_primitive::<Date64Type>(), 1_000),
        other => return Err(Error::EventTimeType { data_type: other.clone() }),
    };
    Ok(micros.with_timezone("UTC"))
}

fn scaled<T>(column: &PrimitiveArray<T>, factor: i64) -> TimestampMicrosecondArray
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    column.unary(|value| value.into().saturating_mul(factor))
}

/// The provenance of rows.
pub(super) struct Provenance<'a> {
    part: &'a Int32Array,
    offset: &'a Int64Array,
}

impl<'a> Provenance<'a> {
    /// The hidden columns of `rows`, which reached the clause `clause`.
    pub fn of(rows: &'a RecordBatch, clause: &str) -> Result<Self> {
        let missing = |name: &str| Error::Input {
            operator: clause.to_owned(),
            detail: format!("rows without {name} have no order in which a watermark could judge them"),
        };
        let part = rows.column_by_name(provenance::PART).and_then(|c| c.as_primitive_opt());
        let offset = rows.column_by_name(provenance::OFFSET).and_then(|c| c.as_primitive_opt());
        Ok(Self {
            part: part.ok_or_else(|| missing(provenance::PART))?,
            offset: offset.ok_or_else(|| missing(provenance::OFFSET))?,
        })
    }

    /// The stretches of rows of one partition: its index, and the rows.
    pub fn runs(&self) -> impl Iterator<Item = (i32, Range<usize>)> + use<'a> {
        let part: &'a [i32] = self.part.values();
        let mut from = 0;
        std::iter::from_fn(move || {
            let &index = part.get(from)?;
            let start = from;
            from += part[from..].iter().position(|&p| p != index).unwrap_or(part.len() - from);
            Some((index, start..from))
        })
    }

    /// The partition at `index`.
    pub fn partition<'p>(&self, index: i32, parts: &'p [PartitionId], clause: &str) -> Result<&'p PartitionId> {
        usize::try_from(index).ok().and_then(|i| parts.get(i)).ok_or_else(|| Error::Input {
            operator: clause.to_owned(),
            detail: format!("{} is {index}, but the batch has {} partitions", provenance::PART, parts.len()),
        })
    }

    /// The last offset of rows of one partition, of which `before` is the last one before them in the batch. Offsets never
    /// fall within a partition. They may repeat: one event may have become several rows.
    pub fn last_in_order(
        &self,
        partition: &PartitionId,
        range: Range<usize>,
        before: Option<i64>,
    ) -> Result<Option<i64>> {
        let offsets = &self.offset.values()[range];
        let fell = |before: i64, after: i64| Error::OutOfOrder { partition: partition.clone(), before, after };
        if let (Some(before), Some(&first)) = (before, offsets.first())
            && first < before
        {
            return Err(fell(before, first));
        }
        if let Some(fall) = offsets.windows(2).find(|pair| pair[1] < pair[0]) {
            return Err(fell(fall[0], fall[1]));
        }
        Ok(offsets.last().copied().or(before))
    }
}
