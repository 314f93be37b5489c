//! Record batches as the broker sent them: the Rust side of `batches.c`, which replaces a function of librdkafka.
#![expect(unsafe_code, reason = "librdkafka hands out the records of batches alone")]

use std::ffi::{CStr, c_char, c_int};

use rdkafka::bindings as rd;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{Consumer, ConsumerContext};

unsafe extern "C" {
    safe static SLUICEBOX_BATCH: c_char;
    fn sluicebox_take_batches(client: *mut rd::rd_kafka_t, topic: *const c_char, partition: i32) -> c_int;
}

/// Asks for the batches of a partition as they come. False for a topic whose name cannot be one.
pub(crate) fn take<C: ConsumerContext>(client: &BaseConsumer<C>, topic: &CStr, partition: i32) -> bool {
    // SAFETY: the client lives as long as it is borrowed, and the name is read during the call alone.
    unsafe { sluicebox_take_batches(client.client().native_ptr(), topic.as_ptr(), partition) != 0 }
}

/// Whether a message is a batch.
pub(crate) fn is_batch(message: &rd::rd_kafka_message_t) -> bool {
    std::ptr::eq(message.key.cast_const().cast(), &raw const SLUICEBOX_BATCH)
}
