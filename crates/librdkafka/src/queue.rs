//! The queue of a partition. One poll returns many events.
#![expect(unsafe_code, reason = "rdkafka polls for one event at a time")]

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::base_consumer::{BaseConsumer, PartitionQueue};
use rdkafka::consumer::{Consumer, ConsumerContext};

use crate::batches;
use crate::message::{Polled, polled};
use crate::owned::Owned;

/// The events of one partition, apart from all others.
pub struct Queue<C: ConsumerContext> {
    /// Goes before `split`, which keeps the client alive.
    native: Native,
    split: PartitionQueue<C>,
}

struct Native(Owned<rd::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues lock themselves; any thread may use one, and give it back.
unsafe impl Send for Native {}

impl<C: ConsumerContext> Queue<C> {
    /// Splits a partition's queue from its client's, to be done before the partition is assigned: nothing of it then ever
    /// comes from the client. `nonempty` is called, by threads of librdkafka, when the queue was empty and is no more.
    /// `None` for a topic whose name cannot be one.
    pub fn split(
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        nonempty: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let mut split = client.split_partition_queue(topic, partition)?;
        split.set_nonempty_callback(nonempty);
        let name = CString::new(topic).ok()?;
        // SAFETY: the client lives, by `split`, until the queue is given back; the name is copied.
        let native =
            unsafe { rd::rd_kafka_queue_get_partition(client.client().native_ptr(), name.as_ptr(), partition) };
        let native = Native(Owned::new(native, rd::rd_kafka_queue_destroy)?);
        Some(Self { native, split })
    }

    /// As [`split`](Self::split), but that record batches come as they are, as [`Polled::Batch`]: so they do of this partition as long
    /// as the client lives.
    pub fn split_batches(
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        nonempty: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        batches::take(client, &name, partition).then(|| Self::split(client, topic, partition, nonempty)).flatten()
    }

    /// Hands what the queue has, `most` at most, to `take`, in its order. Returns how many that were: fewer than `most`
    /// means that the queue was found empty. Does not wait.
    pub fn poll(&self, most: usize, mut take: impl FnMut(Polled<'_>)) -> usize {
        let mut found = vec![ptr::null_mut(); most];
        // SAFETY: the queue lives, and there is room for as many pointers as is said.
        let count = unsafe { rd::rd_kafka_consume_batch_queue(self.native.0.ptr(), 0, found.as_mut_ptr(), most) };
        let count = usize::try_from(count).unwrap_or(0);
        for pointer in found.into_iter().take(count) {
            let Some(message) = Owned::new(pointer, rd::rd_kafka_message_destroy) else { continue };
            let Some(pointer) = NonNull::new(message.ptr()) else { continue };
            // SAFETY: the message is this one's until the end of the turn, and `take` cannot keep it.
            take(unsafe { polled(pointer) });
        }
        count
    }

    /// Lets go of all that waits in the queue.
    pub fn clear(&self) {
        while self.split.poll(Duration::ZERO).is_some() {}
    }
}
