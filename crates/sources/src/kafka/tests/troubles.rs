//! Brokers that are down, offsets that are gone, options that are wrong.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use sluicebox_core::Blamed;

use super::super::client::bounds;
use super::super::setup::{configure, refused};
use super::*;
use crate::SourceError;
use crate::conformance::{deleted, events_of, expected, id, numbered, ranges, soon, until};
use crate::error::is_passing;

const EARLIEST: [(&str, &str); 2] = [("subscribe", "t"), ("startingOffsets", "earliest")];

fn bench(partitions: i32) -> KafkaBench {
    let mut bench = KafkaBench::new();
    bench.create("t", partitions);
    bench
}

async fn start_at(source: &mut KafkaSource, position: i64) {
    source.start(&BTreeMap::from([(id("t", 0), position)])).await.unwrap();
}

/// What was logged through `tracing` by the whole process: some of it comes from librdkafka's callbacks on other threads.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// The lines that speak of `brokers`.
    fn about(&self, brokers: &str) -> String {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines().filter(|line| line.contains(brokers)).collect::<Vec<_>>().join("\n")
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logging() -> Logged {
    static LOGGED: LazyLock<Logged> = LazyLock::new(|| {
        let logged = Logged::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        logged
    });
    LOGGED.clone()
}

#[tokio::test]
async fn a_broker_that_is_down_is_waited_for_at_the_start_and_told_once() {
    let mut bench = bench(1);
    bench.append("t", 0, numbered(0..5));
    bench.cluster.broker_down(-1).unwrap();
    let logged = logging();
    let mut source = source(&bench, &EARLIEST);
    let told = logged.clone();
    let cluster = &bench.cluster;
    let asked = async {
        let bounds = source.bounds();
        tokio::pin!(bounds);
        let mut up = false;
        loop {
            tokio::select! {
                answer = &mut bounds => return answer,
                () = tokio::task::yield_now(), if !up => {
                    if told.about(&bench.brokers).contains("waiting for broker") {
                        cluster.broker_up(-1).unwrap();
                        up = true;
                    }
                }
            }
        }
    };
    let held = soon("an answer", asked).await.unwrap();
    assert_eq!(held[&id("t", 0)], Bounds { earliest: 0, latest: 5 });
    let text = logged.about(&bench.brokers);
    assert_eq!(text.matches("waiting for broker").count(), 1, "{text}");
    assert!(text.contains("Connect") && text.contains("answers"), "{text}");
}

#[tokio::test]
async fn a_broker_that_goes_away_while_running_comes_back() {
    let mut bench = bench(1);
    bench.append("t", 0, numbered(0..5));
    let mut source = source(&bench, &EARLIEST);
    start_at(&mut source, 0).await;
    soon("a take", source.take(&ranges(&[("t", 0, 0, 5)]))).await.unwrap();
    bench.cluster.broker_down(-1).unwrap();
    bench.cluster.broker_up(-1).unwrap();
    bench.append("t", 0, numbered(5..9));
    let taken = soon("what came after", source.take(&ranges(&[("t", 0, 5, 9)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(5..9));
}

/// More than the 5 MB of a partition that the mock cluster keeps.
fn overflow(bench: &mut KafkaBench) -> Bounds {
    let large = |r: Record| Record { value: Some(Bytes::from(vec![b'x'; 50_000])), ..r };
    bench.append("t", 0, numbered(0..300).into_iter().map(large).collect());
    let selected = BTreeSet::from([id("t", 0)]);
    let source = source(bench, &EARLIEST);
    let held = bounds(&source.asker.client, &selected).unwrap()[&id("t", 0)];
    assert!(held.earliest > 10 && held.latest == 300, "{held:?}");
    held
}

#[tokio::test]
async fn offsets_that_are_gone_stop_the_run() {
    let mut bench = bench(1);
    let held = overflow(&mut bench);
    let mut source = source(&bench, &EARLIEST);
    start_at(&mut source, 3).await;
    let error = soon("a take", source.take(&ranges(&[("t", 0, 3, 300)]))).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::DataLoss { lost, .. } if (lost.from, lost.to) == (3, held.earliest)),
        "{error}"
    );
    assert!(error.to_string().contains("failOnDataLoss"), "{error}");
}

/// librdkafka can hang while it destroys a client; the end of a run must not.
#[test]
fn a_client_that_does_not_end_is_left() {
    let fetching =
        |ended| Fetching { client: std::sync::Weak::new(), feeds: mpsc::channel().0, ended: Mutex::new(ended) };
    let (alive, ended) = mpsc::channel();
    assert!(!fetching(ended).end(Duration::from_millis(1)));
    drop(alive);
    let (alive, ended) = mpsc::channel();
    drop(alive);
    assert!(fetching(ended).end(Duration::MAX));
}

#[tokio::test]
async fn offsets_that_are_gone_are_reported_when_that_is_allowed() {
    let mut bench = bench(1);
    let held = overflow(&mut bench);
    let mut source = source(&bench, &[("subscribe", "t"), ("failOnDataLoss", "false")]);
    start_at(&mut source, 3).await;
    let taken = soon("a take", source.take(&ranges(&[("t", 0, 3, 300)]))).await.unwrap();
    assert_eq!(taken.lost, [deleted(3, held.earliest)]);
    let offsets: Vec<i64> = events_of(&taken, &id("t", 0)).iter().map(|e| e.offset).collect();
    assert!(offsets.into_iter().eq(held.earliest..300));
    assert!(taken.gap_offsets.is_empty());
}

#[tokio::test]
async fn a_position_past_the_end_is_another_logs() {
    let mut bench = bench(1);
    bench.append("t", 0, numbered(0..5));
    let mut source = source(&bench, &EARLIEST);
    let error = source.start(&BTreeMap::from([(id("t", 0), 50)])).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { offset: 50, latest: 5, .. }), "{error}");
    assert_eq!(error.blame(), sluicebox_core::Blame::User, "it needs a person, as another log at the start does");
    let [source_name, topic, before, now] = ["s", "t", "a", "b"].map(str::to_owned);
    let anew = SourceError::MadeAnew { source_name, topic, before, now };
    assert_eq!(anew.blame(), sluicebox_core::Blame::User);
    // One that is at the end is not past it, and a range that ends behind it is not waited for.
    start_at(&mut source, 5).await;
    let error = soon("a take", source.take(&ranges(&[("t", 0, 5, 51)]))).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { offset: 51, latest: 5, .. }), "{error}");
}

#[tokio::test]
async fn an_end_without_a_record_is_settled() {
    let mut bench = bench(1);
    bench.append("t", 0, numbered(0..5));
    let mut source = source(&bench, &EARLIEST);
    start_at(&mut source, 0).await;
    until(&mut source, &id("t", 0), |b| b.end() == 5).await;
    // As after a compaction that left the log's end without its last records: the end is known, no record reaches it.
    source.buffer.ends().learn(&id("t", 0), 8);
    until(&mut source, &id("t", 0), |b| b.end() == 8).await;
    let taken = soon("a take", source.take(&ranges(&[("t", 0, 0, 8)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(0..5));
    assert_eq!(taken.gap_offsets, BTreeMap::from([(id("t", 0), 3)]));
}

#[tokio::test]
async fn topics_that_come_while_running_are_found_by_their_pattern() {
    let mut bench = bench(1);
    let mut source = source(&bench, &[("subscribePattern", "t.*"), ("startingOffsets", "earliest")]);
    let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
    source.start(&positions).await.unwrap();
    bench.create("t2", 1);
    bench.append("t2", 0, numbered(0..3));
    let found = soon("bounds", source.bounds()).await.unwrap();
    let position = found[&id("t2", 0)].earliest;
    source.start(&BTreeMap::from([(id("t2", 0), position)])).await.unwrap();
    let taken = soon("the new topic", source.take(&ranges(&[("t2", 0, 0, 3)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t2", 0)), expected(0..3));
}

#[tokio::test]
async fn lag_tools_see_what_was_committed() {
    let mut bench = bench(1);
    bench.append("t", 0, numbered(0..5));
    let mut source = source(&bench, &[("subscribe", "t"), ("groupIdPrefix", "acme")]);
    start_at(&mut source, 0).await;
    soon("a take", source.take(&ranges(&[("t", 0, 0, 4)]))).await.unwrap();
    source.committed(&BTreeMap::from([(id("t", 0), 4)])).await.unwrap();
    let lag_tool: Client = setup::create(
        "tool",
        &options(&bench.brokers, &EARLIEST),
        Purpose::Fetch { group_id: "acme-p", partitions: 1, prefetch_bytes: 1 << 20 },
        source.context.clone(),
    )
    .unwrap();
    let seen = || {
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 0);
        let found = lag_tool.committed_offsets(list, Duration::from_secs(10)).unwrap();
        found.find_partition("t", 0).unwrap().offset()
    };
    let wait = async {
        while seen() != Offset::Offset(4) {
            tokio::task::yield_now().await;
        }
    };
    soon("the committed offset", wait).await;
}

#[tokio::test]
async fn the_message_of_waiting_says_what_is_wrong_with_the_connection() {
    let bench = bench(1);
    let logged = logging();
    let mut source = source(&bench, &[("subscribe", "t"), ("kafka.security.protocol", "ssl")]);
    let told = async {
        let bounds = source.bounds();
        tokio::pin!(bounds);
        loop {
            tokio::select! {
                answer = &mut bounds => unreachable!("{answer:?}"),
                () = tokio::task::yield_now() => {
                    if logged.about(&bench.brokers).contains("waiting for broker") {
                        break;
                    }
                }
            }
        }
    };
    soon("the message", told).await;
    // librdkafka tells of the handshake, or that the other side ended the connection: which comes first is not for us to say.
    let said = logged.about(&bench.brokers);
    assert!(said.contains("SSL") || (said.contains("ssl://") && said.contains("Disconnected")), "{said}");
}

#[test]
fn a_refusal_is_final_only_before_the_first_answer() {
    let outage = Outage::new("s", "b:1");
    let context = Context::new("s", &options("b:1", &EARLIEST), outage, PrefetchBuffer::new(1).ends());
    let refuse = || {
        let error = KafkaError::Global(RDKafkaErrorCode::Authentication);
        rdkafka::ClientContext::error(&context, error, "SASL PLAIN: invalid credentials");
    };
    refuse();
    let refusal = context.outage.refusal().unwrap();
    assert!(!is_passing(&refusal));
    assert_eq!(SourceError::kafka("learn the topics", refusal).blame(), sluicebox_core::Blame::User);
    assert_eq!(context.outage.trouble().unwrap(), "SASL PLAIN: invalid credentials");
    context.outage.is_over();
    refuse();
    assert!(context.outage.refusal().is_none());
}

/// It is no broker's fault, and whoever looks at addresses looks in vain.
#[tokio::test]
async fn a_broker_for_whom_there_is_no_thread_ends_the_waiting() {
    let bench = bench(1);
    let mut source = source(&bench, &EARLIEST);
    start_at(&mut source, 0).await;
    let lacks = KafkaError::Global(RDKafkaErrorCode::CriticalSystemResource);
    rdkafka::ClientContext::error(&source.context, lacks, "Unable to create broker thread");
    let error = source.buffered().await.unwrap_err();
    assert!(matches!(error, SourceError::Threads { .. }), "{error}");
    assert!(error.to_string().contains("Unable to create broker thread") && error.to_string().contains("ulimit -u"));
}

#[test]
fn what_librdkafka_quotes_of_a_secret_is_hidden_wherever_it_is_told() {
    let logged = logging();
    let mut given = options("b:1", &[("subscribe", "t"), ("kafka.sasl.oauthbearer.config", "geheim6")]);
    // By reference, under a name that is no secret's.
    given.hide("r3ference");
    let context = Context::new("s", &given, Outage::new("s", "b:1"), PrefetchBuffer::new(1).ends());
    let (said, told) =
        ("Unrecognized config beginning at: heim6 (r3ference)", "Unrecognized config beginning at: *** (***)");
    for code in [RDKafkaErrorCode::Authentication, RDKafkaErrorCode::BrokerTransportFailure] {
        rdkafka::ClientContext::error(&context, KafkaError::Global(code), said);
        assert_eq!(context.outage.trouble().unwrap(), told);
    }
    for (level, facility) in [(RDKafkaLogLevel::Critical, "HIDING-1"), (RDKafkaLogLevel::Warning, "HIDING-2")] {
        rdkafka::ClientContext::log(&context, level, facility, said);
        let line = logged.about(facility);
        assert!(line.contains(told), "{line}");
    }
    let message = refused("s", &given, KafkaError::ClientCreation(said.to_owned())).to_string();
    assert!(message.contains(told), "{message}");
}

#[test]
fn properties_are_checked_and_secrets_not_shown() {
    let refused = |pairs: &[(&str, &str)]| {
        let mut all = vec![("subscribe", "t")];
        all.extend_from_slice(pairs);
        KafkaSource::new("s", options("localhost:1", &all), "p", 1 << 20).err().unwrap().to_string()
    };
    let message = refused(&[("kafka.security.protocol", "carrier-pigeon")]);
    assert!(message.contains("kafka.security.protocol") && message.contains("carrier-pigeon"), "{message}");
    let mut unnamed = options("localhost:1", &[("subscribe", "t")]);
    unnamed.properties.insert("ssl.key.password.x".to_owned(), "hunter2".to_owned());
    let message = KafkaSource::new("s", unnamed, "p", 1 << 20).err().unwrap().to_string();
    assert!(message.contains("(hidden)") && !message.contains("hunter2"), "{message}");
}

#[test]
fn the_configuration_is_ours_then_the_users_then_what_must_be() {
    let given = options(
        "b:1",
        &[
            ("subscribe", "t"),
            ("kafka.isolation.level", "read_committed"),
            ("kafka.fetch.message.max.bytes", "77777"),
            ("kafka.statistics.interval.ms", "0"),
            ("kafka.sasl.username", "u"),
        ],
    );
    let purpose = Purpose::Fetch { group_id: "g", partitions: 4, prefetch_bytes: 16 << 20 };
    let config = configure(&given, purpose);
    for (key, value) in [
        ("bootstrap.servers", "b:1"),
        ("isolation.level", "read_committed"),
        ("fetch.message.max.bytes", "77777"),
        ("queued.max.messages.kbytes", "1024"),
        ("fetch.max.bytes", "8388608"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("statistics.interval.ms", "500"),
        ("auto.offset.reset", "error"),
        ("group.id", "g"),
        ("sasl.username", "u"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    assert_eq!(configure(&given, Purpose::Ask).get("group.id"), None);
    assert_eq!(
        configure(&options("b:1", &[("subscribe", "t")]), purpose).get("isolation.level"),
        Some("read_uncommitted")
    );
    let passing = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
    assert!(is_passing(&passing));
}
