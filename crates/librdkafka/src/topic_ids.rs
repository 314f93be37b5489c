//! A safe wrapper of `rd_kafka_DescribeTopics`.
#![expect(unsafe_code, reason = "rdkafka has no call for topic ids")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::owned::Owned;

/// The ids of `topics`, in the form in which Kafka's tools print them. Topics that are not there, or whose broker tells no
/// ids (Kafka before 2.8), are left out. Asks the broker numbered `broker` once (librdkafka would else wait for the
/// controller, of which there may be none), and blocks while it does.
///
/// # Errors
/// When the broker did not answer within `timeout`, or refused.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, String>> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let names = topics.iter().map(|t| CString::new(*t).map_err(KafkaError::Nul)).collect::<KafkaResult<Vec<_>>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    // SAFETY: the array holds as many NUL-terminated texts as is said; they are copied.
    let collection = unsafe { rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = owned(collection, rd::rd_kafka_TopicCollection_destroy)?;
    let options = options(client, broker, timeout)?;
    // SAFETY: the client lives as long as `client` is borrowed, and the queue is gone before that.
    let queue = unsafe { rd::rd_kafka_queue_new(client.native_ptr()) };
    let queue = owned(queue, rd::rd_kafka_queue_destroy)?;
    // SAFETY: all four live until the call returns, and it keeps none of them but the queue, which counts its users.
    unsafe { rd::rd_kafka_DescribeTopics(client.native_ptr(), collection.ptr(), options.ptr(), queue.ptr()) };
    // SAFETY: the queue lives.
    let event = unsafe { rd::rd_kafka_queue_poll(queue.ptr(), timeout) };
    if event.is_null() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
    }
    answer(&owned(event, rd::rd_kafka_event_destroy)?)
}

fn options<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    timeout: i32,
) -> KafkaResult<Owned<rd::rd_kafka_AdminOptions_t>> {
    let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client lives as long as `client` is borrowed.
    let options = unsafe { rd::rd_kafka_AdminOptions_new(client.native_ptr(), operation) };
    let options = owned(options, rd::rd_kafka_AdminOptions_destroy)?;
    let mut why: [c_char; 128] = [0; 128];
    // SAFETY: the options live, and the buffer for the reason is as long as is said.
    let set =
        unsafe { rd::rd_kafka_AdminOptions_set_request_timeout(options.ptr(), timeout, why.as_mut_ptr(), why.len()) };
    checked(set)?;
    // SAFETY: as above.
    let set = unsafe { rd::rd_kafka_AdminOptions_set_broker(options.ptr(), broker, why.as_mut_ptr(), why.len()) };
    checked(set)?;
    Ok(options)
}

fn owned<T>(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> KafkaResult<Owned<T>> {
    Owned::new(pointer, give_back).ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail))
}

fn checked(code: rd::rd_kafka_resp_err_t) -> KafkaResult<()> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::MetadataFetch(code)),
    }
}

fn answer(event: &Owned<rd::rd_kafka_event_t>) -> KafkaResult<BTreeMap<String, String>> {
    // SAFETY: the event lives.
    checked(unsafe { rd::rd_kafka_event_error(event.ptr()) })?;
    // SAFETY: the event lives; for an event of another kind the answer is null.
    let result = unsafe { rd::rd_kafka_event_DescribeTopics_result(event.ptr()) };
    if result.is_null() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail));
    }
    let mut count = 0;
    // SAFETY: the result lives as long as its event.
    let topics = unsafe { rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if topics.is_null() {
        return Ok(BTreeMap::new());
    }
    // SAFETY: librdkafka says that there are `count` pointers, which live as long as the event.
    let topics = unsafe { std::slice::from_raw_parts(topics, count) };
    Ok(topics.iter().filter_map(|topic| id_of(*topic)).collect())
}

/// The name and id of one topic, if there is such a topic and it has an id.
fn id_of(topic: *const rd::rd_kafka_TopicDescription_t) -> Option<(String, String)> {
    // SAFETY: the description lives as long as its event, as does what is read of it here.
    let error = unsafe { rd::rd_kafka_TopicDescription_error(topic) };
    // SAFETY: as above; of no error the code is "no error".
    checked(unsafe { rd::rd_kafka_error_code(error) }).ok()?;
    // SAFETY: as above.
    let id = NonNull::new(unsafe { rd::rd_kafka_TopicDescription_topic_id(topic) }.cast_mut())?;
    // SAFETY: as above, and it is not null.
    let high = unsafe { rd::rd_kafka_Uuid_most_significant_bits(id.as_ptr()) };
    // SAFETY: as above.
    let low = unsafe { rd::rd_kafka_Uuid_least_significant_bits(id.as_ptr()) };
    if (high, low) == (0, 0) {
        return None;
    }
    // SAFETY: as above.
    let name = NonNull::new(unsafe { rd::rd_kafka_TopicDescription_name(topic) }.cast_mut())?;
    // SAFETY: it is not null, NUL-terminated, and copied before the event goes.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().ok()?.to_owned();
    Some((name, text(high, low)))
}

/// An id as Kafka's tools print it: its 16 bytes in the URL-safe base64 without padding.
fn text(high: i64, low: i64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
    // 22 letters of 6 bits hold the 128 bits and four zeros behind them.
    (0..22)
        .map(|i| {
            let six = if i < 21 { bits >> (122 - 6 * i) } else { bits << 4 };
            char::from(LETTERS[(six & 63) as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        // Kafka's own `Uuid.METADATA_TOPIC_ID` and what java.util.Base64 gives.
        assert_eq!(text(0, 1), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(text(-1, -1), "_____________________w");
        assert_eq!(text(0x0011_2233_4455_6677, 0x8899_AABB_CCDD_EEFF_u64.cast_signed()), "ABEiM0RVZneImaq7zN3u_w");
    }
}
