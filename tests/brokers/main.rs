//! The whole binary against a Kafka cluster and a registry that misbehave: nothing is lost in silence, nothing is doubled,
//! and nothing becomes a dead letter that a retry would have decoded.
//!
//! The cluster is librdkafka's mock, the registry a few lines of `registry.rs`. Real ones are in `tests/real/`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod registry;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use registry::{Registry, Trouble};
use support::{Workspace, text};

const PIPELINE: &str = "
CREATE TABLE events USING kafka OPTIONS ('subscribe' = 't', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE bronze_t AS SELECT n, _partition, _offset FROM STREAM events;
CREATE STREAMING TABLE silver_t AS SELECT DISTINCT ON (n) n, _partition, _offset FROM STREAM bronze_t;
";
/// The ids of schemas that are all the same to the reader.
const IDS: [i32; 3] = [1, 2, 3];
/// An id that no registry knows.
const UNKNOWN: i32 = 9;

/// A cluster with the topic `t`, a registry, and a folder to run in.
struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
    registry: Registry,
    job: Workspace,
    /// What has been produced and can be decoded: `n` to partition and offset.
    events: BTreeMap<i64, (i32, i64)>,
    ends: [i64; 2],
}

impl Bench {
    fn new() -> Self {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let producer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        let job = Workspace::new();
        job.write("p.sql", PIPELINE);
        Self { cluster, producer, registry: Registry::start(), job, events: BTreeMap::new(), ends: [0; 2] }
    }

    /// Appends an event with the schema `id`, and `padding` bytes that make it a dead letter.
    fn send(&mut self, n: i64, id: i32, padding: usize) {
        let partition = usize::from(n % 3 == 0);
        let mut value = vec![0];
        value.extend(id.to_be_bytes());
        // Zigzag, seven bits a byte.
        let mut rest = ((n << 1) ^ (n >> 63)).cast_unsigned();
        while rest >= 0x80 {
            value.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        value.push(rest as u8);
        value.resize(value.len() + padding, 0);
        let number = i32::try_from(partition).unwrap();
        let record = BaseRecord::<[u8], [u8]>::to("t").partition(number).payload(&value);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        if id != UNKNOWN && padding == 0 {
            self.events.insert(n, (number, self.ends[partition]));
        }
        self.ends[partition] += 1;
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }

    fn produce(&mut self, range: std::ops::Range<i64>) {
        for n in range {
            self.send(n, IDS[usize::try_from(n).unwrap() / 7 % IDS.len()], 0);
        }
        self.flush();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut args = vec!["run", "p.sql", "--checkpoint", "cp"];
        args.extend(more);
        let mut command = self.job.command(&args);
        command.env("KAFKA_BOOTSTRAP_SERVERS", self.cluster.bootstrap_servers());
        command.env("SCHEMA_REGISTRY_URL", &self.registry.url);
        command
    }

    /// Reads what is there; gives the exit code and what was said on both channels.
    fn run(&self, more: &[&str]) -> (i32, String, String) {
        let output = self.command(&[&["--trigger", "available-now"], more].concat()).output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Starts a run; what it says is in the file `said`.
    fn start(&self, more: &[&str]) -> Child {
        let said = std::fs::File::create(self.job.path().join("said")).unwrap();
        self.command(more).stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.job.path().join("said")).unwrap()
    }

    fn checkpoint(&self, file: &str) -> bool {
        self.job.path().join("cp").join(file).exists()
    }

    /// Fails unless both tables hold every event once, where it came from.
    fn check_rows(&self, wanted: &BTreeMap<i64, (i32, i64)>) {
        let mut wanted: Vec<String> = wanted.iter().map(|(n, (p, o))| format!("{n},{p},{o}")).collect();
        wanted.sort();
        for table in ["bronze.t", "silver.t"] {
            let rows = self.job.rows(&format!("SELECT n, _partition, _offset FROM {table}"));
            let missing = wanted.iter().find(|row| rows.binary_search(row).is_err());
            let extra = rows.iter().find(|row| wanted.binary_search(row).is_err());
            assert!(
                rows == wanted,
                "{table}: {} of {}; missing {missing:?}, extra {extra:?}",
                rows.len(),
                wanted.len()
            );
        }
        self.job.ok(&["checkpoint", "verify", "cp"]);
    }
}

/// Waits for `check`, while the run lives.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn wait(what: &str, run: &mut Child, bench: &Bench, check: impl Fn() -> bool) {
    let born = std::time::Instant::now();
    while !check() {
        if let Some(status) = run.try_wait().unwrap() {
            panic!("the run ended ({status}) while {what} was awaited:\n{}", bench.said());
        }
        if born.elapsed() > Duration::from_secs(60) {
            run.kill().unwrap();
            panic!("{what} did not happen:\n{}", bench.said());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ctrl-C, once; the run must end by itself, and well.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn interrupt(mut run: Child, bench: &Bench) {
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    let born = std::time::Instant::now();
    loop {
        if let Some(status) = run.try_wait().unwrap() {
            assert!(status.success(), "{status}:\n{}", bench.said());
            return;
        }
        if born.elapsed() > Duration::from_secs(60) {
            run.kill().unwrap();
            panic!("one Ctrl-C did not end the run:\n{}", bench.said());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SLUICEBOX_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SLUICEBOX_TEST_SEED={seed}");
    seed
}

fn report(job: &Path, batch: u64) -> serde_json::Value {
    let path = job.join(format!("data/dq/p/metrics/batch_id={batch}/report.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn one_ctrl_c_ends_a_batch_that_waits_and_the_next_start_runs_it() {
    let mut bench = Bench::new();
    bench.produce(0..100);
    // The registry keeps it waiting for schemas: so it is not known yet how much of it is a batch.
    bench.registry.make([Trouble::OfSchemas(503); 1_000]);
    let mut run = bench.start(&[]);
    wait("a question", &mut run, &bench, || bench.said().contains("waiting for the schema registry"));
    let asked = bench.registry.questions();
    wait("another question", &mut run, &bench, || bench.registry.questions() > asked);
    interrupt(run, &bench);
    assert!(
        bench.said().contains("batch 0 waits") && bench.said().contains("before it is planned"),
        "{}",
        bench.said()
    );
    assert!(!bench.checkpoint("offsets/0"));
    bench.registry.troubles.lock().unwrap().clear();
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    bench.check_rows(&bench.events);
}

#[cfg(feature = "faults")]
#[test]
fn one_ctrl_c_ends_a_planned_batch_that_waits_and_the_next_start_runs_it_as_planned() {
    let mut bench = Bench::new();
    bench.produce(0..100);
    let mut killed = bench.command(&["--trigger", "available-now"]);
    let killed = killed.env("SLUICEBOX_CRASH_AT", "commit.link:before:1").output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", support::told(&killed));
    assert!(bench.checkpoint("offsets/0") && !bench.checkpoint("commits/0"));
    let plan = || std::fs::read(bench.job.path().join("cp/offsets/0")).unwrap();
    let planned = plan();
    // The broker gives no events, though it answers all else.
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    bench.cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 10_000]);
    let mut run = bench.start(&[]);
    wait("the checkpoint", &mut run, &bench, || bench.said().contains("goes on from"));
    interrupt(run, &bench);
    assert!(bench.said().contains("batch 0 waits"), "{}", bench.said());
    assert!(!bench.checkpoint("commits/0") && !bench.checkpoint("offsets/1"));
    assert_eq!(plan(), planned);
    bench.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    bench.check_rows(&bench.events);
}

#[test]
fn a_registry_in_trouble_makes_no_dead_letters() {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut bench = Bench::new();
    let kinds = [Trouble::Status(500), Trouble::Status(502), Trouble::Status(503), Trouble::Reset, Trouble::Torn];
    bench.registry.make((0..6).map(|_| *kinds.choose(&mut random).unwrap()).chain([Trouble::TooMany]));
    for n in 0..300 {
        // New ids in the middle of batches, and some that are nobody's.
        let id = if n % 50 == 49 { UNKNOWN } else { IDS[usize::try_from(n).unwrap() / 7 % IDS.len()] };
        bench.send(n, id, usize::from(n % 60 == 30));
    }
    bench.flush();
    let (code, _, said) = bench.run(&["--set", "events.maxOffsetsPerTrigger=80"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("waiting for the schema registry"), "{said}");
    bench.check_rows(&bench.events);
    let letters = "SELECT error_class, count(*) FROM dead_letters.events GROUP BY 1";
    assert_eq!(bench.job.rows(letters), ["TRAILING_BYTES,5", "UNKNOWN_SCHEMA_ID,6"]);
    // The next run, with a registry that is gone for good: all schemas are known.
    bench.produce(300..400);
    bench.registry.make([Trouble::Reset; 10_000]);
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    bench.check_rows(&bench.events);
}

#[test]
fn an_answer_that_is_no_schema_stops_the_run_and_costs_nothing() {
    let mut bench = Bench::new();
    bench.produce(0..50);
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    // A login page in the registry's place, met by an id that was never seen.
    bench.send(50, UNKNOWN, 0);
    bench.produce(51..60);
    bench.registry.make([Trouble::Status(200)]);
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("schema id 9") && said.contains(&bench.registry.url), "{said}");
    // The other partition may have had a batch of its own before.
    assert!((50..59).contains(&bench.job.value("SELECT count(*) FROM bronze.t")));
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    bench.check_rows(&bench.events);
}

#[test]
fn what_the_topic_has_lost_stops_the_run_or_is_told() {
    let mut bench = Bench::new();
    bench.produce(0..60);
    assert_eq!(bench.run(&[]).0, 0);
    // More than the 5 MB of a partition that the mock cluster keeps; these are dead letters, and so small in the tables.
    bench.produce(60..90);
    let from = bench.ends;
    for n in (300..600).step_by(3) {
        bench.send(n, IDS[0], 100_000);
    }
    bench.flush();
    bench.produce(600..660);
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("t/1 are gone") && said.contains("failOnDataLoss"), "{said}");
    // The other partition may have had a batch before this one was found to lack something.
    let beyond = "SELECT count(*) FROM bronze.t WHERE _partition = 1 AND _offset >= 20";
    assert_eq!(bench.job.value(beyond), 0);
    let (code, progress, said) = bench.run(&["--set", "events.failOnDataLoss=false", "--progress", "json"]);
    assert_eq!(code, 0, "{said}");
    let report = (1..).map(|batch| report(bench.job.path(), batch)).find(|r| r["status"] == "warn").unwrap();
    let lost = report["sources"][0]["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{lost:?}");
    let (first, last) = (lost[0]["from"].as_i64().unwrap(), lost[0]["to"].as_i64().unwrap());
    assert_eq!((lost[0]["topic"].as_str(), lost[0]["partition"].as_i64()), (Some("t"), Some(1)));
    assert_eq!((lost[0]["reason"].as_str(), first), (Some("deleted"), 20));
    assert!(last > from[1], "{report}");
    assert!(progress.contains(&format!(r#""lostRanges":"t/1 {first}..{last} deleted""#)), "{progress}");
    // Every event is a row, but for those that were lost; those of the other partition are all there.
    let wanted = bench.events.iter().filter(|(_, (p, o))| *p == 0 || *o < first || *o >= last);
    bench.check_rows(&wanted.map(|(n, at)| (*n, *at)).collect());
}

#[test]
fn a_cluster_in_trouble_costs_time_and_nothing_else() {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut bench = Bench::new();
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    let mut run = bench.start(&["--trigger", "0 seconds"]);
    for round in 0..8 {
        // The mock's own switch for a broker that is down cannot be used beside processes that are started: a child that
        // has not begun yet holds the port. Connections that break at every request come near to it.
        match random.random_range(0..3) {
            0 => {
                let broken = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 5];
                bench.cluster.request_errors(RDKafkaApiKey::Fetch, &broken);
                bench.cluster.request_errors(RDKafkaApiKey::Metadata, &broken);
            }
            1 => {
                bench.cluster.partition_leader("t", random.random_range(0..2), Some(random.random_range(1..3))).unwrap()
            }
            _ => bench.cluster.broker_round_trip_time(-1, Duration::from_millis(50)).unwrap(),
        }
        for api in [RDKafkaApiKey::Fetch, RDKafkaApiKey::ListOffsets] {
            let some: Vec<_> = (0..random.random_range(0..4)).map(|_| *errors.choose(&mut random).unwrap()).collect();
            bench.cluster.request_errors(api, &some);
        }
        bench.produce(round * 40..round * 40 + 40);
        if round == 4 {
            // Killed in the middle of it.
            run.kill().unwrap();
            run.wait().unwrap();
            run = bench.start(&["--trigger", "0 seconds"]);
        }
    }
    let rows = i64::try_from(bench.events.len()).unwrap();
    wait("all rows", &mut run, &bench, || {
        bench.job.rows_exist("silver.t") && bench.job.value("SELECT count(*) FROM silver.t") == rows
    });
    interrupt(run, &bench);
    bench.check_rows(&bench.events);
}

/// As a user of whom there is nobody else, which only root can become.
#[test]
fn a_run_with_few_threads_for_its_brokers_says_so_and_never_hangs() {
    let mut bench = Bench::new();
    bench.produce(0..20);
    let user = 57_000 + std::process::id() % 4_000;
    let mut stopped = 0;
    let limits = [3, 5, 6, 7, 8, 9, 10, 12, 14, 16, 400];
    for limit in limits {
        let (reuid, regid, nproc) = (format!("--reuid={user}"), format!("--regid={user}"), format!("--nproc={limit}"));
        let rights = "+dac_override,+dac_read_search,+fowner,+chown";
        let (inherited, ambient) = (format!("--inh-caps={rights}"), format!("--ambient-caps={rights}"));
        let around: [&str; 8] = ["setpriv", &reuid, &regid, "--clear-groups", &inherited, &ambient, "prlimit", &nproc];
        let run = bench.command(&["--trigger", "available-now", "--wait", "20s"]);
        let output = support::ended(&mut support::within(&around, &run), &format!("{limit} threads"));
        let said = support::told(&output);
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                assert!(said.contains("no thread can be started"), "{limit} threads: not what is lacking: {said}");
                stopped += 1;
            }
            other => panic!(
                "{limit} threads: it ended with {other:?} (this test needs root, `setpriv` and `prlimit`): {said}"
            ),
        }
    }
    assert!(
        (3..limits.len()).contains(&stopped),
        "{stopped} stopped: the limit was not tried, or a run needs many threads"
    );
    let (code, _, said) = bench.run(&[]);
    assert_eq!(code, 0, "{said}");
    bench.check_rows(&bench.events);
}
