//! Record batches as others write them, right and wrong: made here byte by byte.

use sluicebox_core::raw::{CUT_HEADER, CUT_KEY_HEADER};

use crate::batch::{HEADER, RecordView};
use crate::seal_batch;
pub(crate) use crate::testing::pack;

/// A record as it is written, and as it is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

pub(crate) fn varint(n: i64) -> Vec<u8> {
    let mut rest = ((n << 1) ^ (n >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

pub(crate) fn field(bytes: Option<&[u8]>) -> Vec<u8> {
    bytes.map_or(varint(-1), |bytes| [varint(bytes.len() as i64), bytes.to_vec()].concat())
}

impl Written {
    pub(crate) fn of(key: usize, value: usize, headers: usize) -> Self {
        let headers = (0..headers).map(|i| (format!("h{i}"), Some(vec![3; i]))).collect();
        Self { key: Some(vec![1; key]), value: Some(vec![2; value]), headers }
    }

    /// Its bytes without their length, as the record at `delta` behind the batch's first.
    pub(crate) fn bytes(&self, delta: i64) -> Vec<u8> {
        let mut out =
            [vec![0], varint(0), varint(delta), field(self.key.as_deref()), field(self.value.as_deref())].concat();
        out.extend(varint(self.headers.len() as i64));
        for (key, value) in &self.headers {
            out.extend([field(Some(key.as_bytes())), field(value.as_deref())].concat());
        }
        out
    }

    /// What is left of it when it is cut.
    pub(crate) fn cut(&self, head: usize) -> Self {
        let size =
            |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64).to_be_bytes().to_vec();
        let short = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| bytes[..bytes.len().min(head)].to_vec());
        let headers =
            vec![(CUT_HEADER.to_owned(), Some(size(&self.value))), (CUT_KEY_HEADER.to_owned(), Some(size(&self.key)))];
        Self { key: short(&self.key), value: short(&self.value), headers }
    }

    pub(crate) fn read(record: RecordView<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = record.headers.map(|(key, value)| (key.into_owned(), owned(value))).collect();
        Self { key: owned(record.key), value: owned(record.value), headers }
    }
}

/// A batch from offset `base` on, whose header counts `count` records, which are `body`, packed by `how`.
pub(crate) fn batch(base: i64, how: u16, count: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[16] = 2;
    bytes[21..23].copy_from_slice(&how.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
    // No producer that counts its batches.
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(body);
    seal_batch(&mut bytes);
    bytes
}

pub(crate) fn body(records: &[Written]) -> Vec<u8> {
    let one = |(i, record): (usize, &Written)| field(Some(&record.bytes(i as i64)));
    records.iter().enumerate().flat_map(one).collect()
}
