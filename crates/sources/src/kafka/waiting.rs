//! Record batches that librdkafka delivered and the buffer has not taken yet. They are unpacked here, as there is room.

use std::collections::VecDeque;

use rdkafka::error::KafkaError;
use sluicebox_librdkafka::{Message, Polled, Queue};

use super::client::Context;
use crate::batch::BatchHeader;
use crate::buffer::Fill;
use crate::records::Records;

/// Batches asked for at once, at most.
const MOST: usize = 1024;
/// What a batch is taken to count for before one has come.
const TYPICAL: u64 = 4096;

/// What waits, in its order.
pub(super) struct Waiting {
    things: VecDeque<Thing>,
    /// What is left of a batch that was begun; it comes first.
    open: Option<Records>,
    /// What one of the last batches counted for.
    typical: u64,
}

enum Thing {
    /// A batch as it came.
    Batch {
        offset: i64,
        bytes: Vec<u8>,
    },
    /// An event older than batches.
    Event(Box<Event>),
    End {
        offset: i64,
    },
    Failed {
        error: KafkaError,
        offset: i64,
    },
}

struct Event {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What was handed over.
#[derive(Default)]
pub(super) struct Run {
    pub(super) events: u64,
    /// Whether nothing is left, here or in librdkafka.
    pub(super) empty: bool,
    /// Whether the last thing was the partition's end.
    pub(super) at_end: bool,
    /// What is wrong, and where.
    pub(super) errors: Vec<(KafkaError, i64)>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { things: VecDeque::new(), open: None, typical: TYPICAL }
    }
}

impl Waiting {
    /// Hands over what waits and what `queue` has, while there is room, until that are `most` events or some more. `floor` is an end
    /// that is known to be behind every end that is reported.
    pub(super) fn take(&mut self, queue: &Queue<Context>, fill: &mut Fill<'_>, most: u64, floor: i64) -> Run {
        let mut run = Run::default();
        loop {
            let (things, room) = (self.things.len() as u64, fill.room());
            self.hand_over(fill, most, floor, &mut run);
            let added = room - fill.room();
            if added > 0 && things > 0 {
                self.typical = (added / things).max(1);
            }
            if run.empty || !self.is_empty() || run.events >= most || !fill.has_room() {
                break;
            }
            // What is taken is kept, so no more than there should be room for.
            let fitting = fill.room().div_ceil(self.typical);
            let asked = usize::try_from(fitting).unwrap_or(MOST).min(MOST);
            run.empty = queue.poll(asked, |found| self.push(found)) < asked;
        }
        run.empty &= self.is_empty();
        run
    }

    /// Takes over what librdkafka lends.
    pub(super) fn push(&mut self, found: Polled<'_>) {
        self.things.push_back(match found {
            Polled::Batch { offset, bytes } => Thing::Batch { offset, bytes: bytes.to_vec() },
            Polled::Message(message) => Thing::Event(Box::new(Event::of(message))),
            Polled::End { offset } => Thing::End { offset },
            Polled::Failed { error, offset } => Thing::Failed { error, offset },
        });
    }

    fn is_empty(&self) -> bool {
        self.things.is_empty() && self.open.is_none()
    }

    /// Whether some events of a batch were handed over, and others not.
    pub(super) fn is_amid(&self) -> bool {
        self.open.is_some()
    }

    /// Hands over what there is room for, until `run` has `most` events.
    fn hand_over(&mut self, fill: &mut Fill<'_>, most: u64, floor: i64, run: &mut Run) {
        while run.events < most {
            if let Some(records) = &mut self.open {
                if !fill.has_room() {
                    records.rest();
                    return;
                }
                if !next(records, fill, run) {
                    self.open = None;
                }
                continue;
            }
            match self.things.pop_front() {
                None => return,
                Some(Thing::Batch { offset, bytes }) => self.open = begin(offset, bytes, fill),
                Some(Thing::Event(event)) => event.push(fill, run),
                Some(Thing::End { offset }) => {
                    fill.prove(offset.max(floor));
                    run.at_end = true;
                }
                Some(Thing::Failed { error, offset }) => run.errors.push((error, offset)),
            }
        }
    }
}

/// The records of a batch, if they can be read.
fn begin(offset: i64, bytes: Vec<u8>, fill: &mut Fill<'_>) -> Option<Records> {
    let header = match BatchHeader::read(&bytes) {
        Ok(Some(header)) if header.size == bytes.len() => header,
        Ok(_) => return unreadable(fill, offset + 1, "a record batch of another length than it says"),
        Err(reason) => return unreadable(fill, offset + 1, &reason),
    };
    // Before it there is nothing more.
    fill.prove(header.base_offset);
    match Records::new(header, bytes) {
        Ok(records) => Some(records),
        Err(reason) => unreadable(fill, header.next_offset, &reason),
    }
}

fn unreadable(fill: &mut Fill<'_>, to: i64, reason: &str) -> Option<Records> {
    fill.unreadable(to, reason);
    None
}

/// Hands over one record; false if there was none more.
fn next(records: &mut Records, fill: &mut Fill<'_>, run: &mut Run) -> bool {
    let end = records.header().next_offset;
    match records.next() {
        Ok(Some(r)) => {
            fill.push(r.offset, r.timestamp_ms, r.key, r.value, r.headers);
            run.events += 1;
            run.at_end = false;
            return true;
        }
        Ok(None) => fill.prove(end),
        Err(reason) => fill.unreadable(end, &reason),
    }
    false
}

impl Event {
    fn of(message: Message<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = message.headers().into_iter().map(|(key, value)| (key.into_owned(), owned(value))).collect();
        Self {
            offset: message.offset(),
            timestamp_ms: message.timestamp_ms(),
            key: owned(message.key()),
            value: owned(message.value()),
            headers,
        }
    }

    fn push(&self, fill: &mut Fill<'_>, run: &mut Run) {
        let headers = self.headers.iter().map(|(key, value)| (key, value.as_deref()));
        fill.push(self.offset, self.timestamp_ms, self.key.as_deref(), self.value.as_deref(), headers);
        run.events += 1;
        run.at_end = false;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;

    use sluicebox_core::{OffsetRange, PartitionId};

    use super::*;
    use crate::buffer::{Feed, PrefetchBuffer};
    use crate::records::made::{self, Written};
    use crate::source::{Bounds, LossReason};

    fn id() -> PartitionId {
        PartitionId::new("s", "t", 0)
    }

    /// A buffer that takes an event when it holds none.
    fn small_buffer() -> (PrefetchBuffer, Feed) {
        let mut buffer = PrefetchBuffer::new(0);
        buffer.learn(&BTreeMap::from([(id(), Bounds { earliest: 0, latest: 9 })]));
        let feed = buffer.begin(&BTreeMap::from([(id(), 0)]), true).unwrap().remove(0);
        (buffer, feed)
    }

    fn hand_over(waiting: &mut Waiting, feed: &Feed) -> Run {
        let mut run = Run::default();
        feed.fill(0, |fill| waiting.hand_over(fill, 100, 0, &mut run)).unwrap();
        run
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_waits_in_its_order() {
        let (buffer, feed) = small_buffer();
        let mut waiting = Waiting::default();
        let body = made::body(&vec![Written::of(1, 100, 0); 3]);
        waiting.push(Polled::Batch { offset: 0, bytes: &made::batch(0, 1, 3, &made::pack(1, &body)) });
        waiting.push(Polled::End { offset: 7 });
        for taken in 0..3 {
            let run = hand_over(&mut waiting, &feed);
            assert_eq!((run.events, run.at_end, feed.want().next), (1, false, taken + 1));
            assert!(waiting.is_amid() && hand_over(&mut waiting, &feed).events == 0);
            let range = BTreeMap::from([(id(), OffsetRange::new(taken, taken + 1))]);
            assert_eq!(buffer.take(&range).await.unwrap().events.len(), 1);
        }
        let run = hand_over(&mut waiting, &feed);
        assert_eq!((run.events, run.at_end, feed.want().next), (0, true, 7));
        assert!(waiting.is_empty());
    }

    #[tokio::test]
    async fn a_batch_of_another_length_than_it_says_is_lost() {
        let (buffer, feed) = small_buffer();
        let mut waiting = Waiting::default();
        let batch = made::batch(0, 0, 1, &made::body(&[Written::of(1, 1, 0)]));
        waiting.push(Polled::Batch { offset: 0, bytes: &batch[..batch.len() - 1] });
        assert_eq!(hand_over(&mut waiting, &feed).events, 0);
        let range = OffsetRange::new(0, 1);
        let taken = buffer.take(&BTreeMap::from([(id(), range)])).await.unwrap();
        assert_eq!(
            taken.lost.iter().map(|lost| (lost.range, lost.reason)).collect::<Vec<_>>(),
            [(range, LossReason::Unreadable)]
        );
    }
}
