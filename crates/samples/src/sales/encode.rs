//! Encodes a sale in Avro's binary form, by hand: ten fields need no library, and the generator of a bench must be faster than the code
//! under test. A test reads every event back through apache-avro.

use crate::avro::{bytes, long};

/// The fields of a sale, in the schema's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sale<'a> {
    /// The 36 characters of a UUID; `None` is null.
    pub(super) event_id: Option<&'a [u8]>,
    pub(super) account_id: &'a [u8],
    /// Microseconds since 1970.
    pub(super) event_time: i64,
    /// Microseconds since 1970.
    pub(super) ingest_time: i64,
    pub(super) region: &'a str,
    pub(super) plan_tier: &'a str,
    pub(super) product: &'a str,
    pub(super) quantity: i32,
    pub(super) currency: &'a str,
    /// Hundredths.
    pub(super) amount: i64,
}

/// What stands before the body in Confluent's framing: a zero and the schema's id.
pub(super) const HEADER_LEN: usize = 5;

/// Appends the sale to `out`, as a writer of [`super::SALES_SCHEMAS`]`[version]` does, framed with the id that the schema has
/// at the registry; returns where the product's text starts in it.
pub(super) fn encode(sale: &Sale<'_>, (version, schema_id): (usize, u32), out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.extend_from_slice(&schema_id.to_be_bytes());
    match sale.event_id {
        None => out.push(0),
        Some(id) => {
            out.push(2);
            bytes(id, out);
        }
    }
    bytes(sale.account_id, out);
    long(sale.event_time, out);
    long(sale.ingest_time, out);
    bytes(sale.region.as_bytes(), out);
    bytes(sale.plan_tier.as_bytes(), out);
    let product = out.len() + 1;
    bytes(sale.product.as_bytes(), out);
    if version > 0 {
        channel(sale.quantity, out);
    }
    long(i64::from(sale.quantity), out);
    bytes(sale.currency.as_bytes(), out);
    let amount = sale.amount.to_be_bytes();
    bytes(&amount[sign_bytes(sale.amount)..], out);
    if version > 1 {
        campaigns(sale.quantity, out);
    }
    product
}

/// A third of the sales came by no channel.
fn channel(quantity: i32, out: &mut Vec<u8>) {
    match quantity % 3 {
        0 => out.push(0),
        1 => {
            out.push(2);
            bytes(b"web", out);
        }
        _ => {
            out.push(2);
            bytes(b"partner", out);
        }
    }
}

/// None, one or two, as one block.
fn campaigns(quantity: i32, out: &mut Vec<u8>) {
    let count = i64::from(quantity % 3);
    if count > 0 {
        long(count, out);
        for _ in 0..count {
            bytes(b"spring", out);
        }
    }
    out.push(0);
}

/// How many leading bytes of the big-endian form only repeat the sign.
fn sign_bytes(value: i64) -> usize {
    let bits = if value < 0 { value.leading_ones() } else { value.leading_zeros() };
    // One bit of the sign has to stay.
    usize::try_from((bits - 1) / 8).unwrap_or(0).min(7)
}
