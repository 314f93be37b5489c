//! A topic of the embedded log, and the engine in this process, run over it and cancelled where a case says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sluicebox::load::{Checked, Loaded, Spec};
use sluicebox::{Home, RunOptions};
use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::Commit;
use sluicebox_core::{Clock, ManualClock};
use sluicebox_engine::progress::{Progress, Status};
use sluicebox_engine::{Config, Engine, EngineError, Observer, Trigger};
use sluicebox_evolve::{Prepared, Stage};
use sluicebox_pipeline::bind::session_state;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_runtime::segments::DELTAS;
use sluicebox_sinks::testing::RemoteStore;
use sluicebox_sources::{EmbeddedLog, Fsync, Record, TopicOptions};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::PARTITIONS;
use crate::events::{CLOCK, Content, SCHEMA, Step, encode};

const TOPIC: &str = "e";
/// So long that no partition becomes idle but at the end of a run.
const NEVER: i64 = i64::MAX / 4;

/// How a topic is read.
#[derive(Debug, Clone)]
pub struct Cut {
    /// `maxOffsetsPerTrigger`.
    pub max_offsets: Option<u64>,
    /// `batch.bytes`.
    pub batch_bytes: u64,
    /// `memory.limit`: with little, state is folded into segments in each batch.
    pub memory_limit: u64,
    /// After so many deltas state is folded, or written whole: with few, a restart reads what the engine has written so.
    pub state_deltas: usize,
    /// Worker threads; 1 is the thread of the test itself.
    pub threads: usize,
    /// After how often the run has been woken up it is dropped where it stands, and started again.
    pub cancels: Vec<u32>,
}

/// Any way to read.
pub fn cut() -> impl Strategy<Value = Cut> {
    let offsets = prop_oneof![2 => Just(None), 3 => (3u64..60).prop_map(Some)];
    let bytes = prop_oneof![3 => Just(16u64 << 20), 1 => 200u64..3000];
    let cancels = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(1u32..90, 1..3)];
    let limit = prop::sample::select(vec![256u64 << 20, 10 << 10, 1 << 10]);
    let deltas = prop::sample::select(vec![DELTAS, 1, 2, 5]);
    (offsets, bytes, limit, deltas, prop::sample::select(vec![1usize, 4]), cancels).prop_map(
        |(max_offsets, batch_bytes, memory_limit, state_deltas, threads, cancels)| Cut {
            max_offsets,
            batch_bytes,
            memory_limit,
            state_deltas,
            threads,
            cancels,
        },
    )
}

/// A folder with a topic and a registry; removed at the end.
pub struct World {
    dir: TempDir,
    log: EmbeddedLog,
}

impl World {
    pub fn new() -> Self {
        let dir = folder();
        let log = open_log(dir.path());
        log.create_topic(TOPIC, i32::try_from(PARTITIONS).unwrap(), TopicOptions::default()).unwrap();
        let registry = RegistryStore::open(dir.path().join("log/registry")).unwrap();
        assert_eq!(registry.register("e-value", &NewSchema::new(SCHEMA)).unwrap().id, 1);
        Self { dir, log }
    }

    /// Appends a step's events, a partition after the other.
    pub fn append(&self, step: &Step) {
        for (partition, contents) in step.iter().enumerate() {
            let records: Vec<Record> = contents.iter().map(record).collect();
            if !records.is_empty() {
                self.log.append(TOPIC, i32::try_from(partition).unwrap(), &records).unwrap();
            }
        }
        self.log.flush().unwrap();
    }

    /// The working directory of one way to read the topic. Its clock stands at [`CLOCK`].
    pub fn job(&self, way: usize) -> Job {
        let dir = self.dir.path().join(format!("way{way}"));
        Job {
            world: self.dir.path().to_owned(),
            dir,
            clock: Arc::new(ManualClock::at(CLOCK)),
            idle_timeout: NEVER,
            stores: BTreeMap::new(),
        }
    }

    /// The same, of a partition that is idle when it was silent for so long by the job's clock.
    pub fn job_that_waits(&self, way: usize, idle_timeout: i64) -> Job {
        Job { idle_timeout, ..self.job(way) }
    }
}

/// In memory where there is such a place: thousands of files are synced.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if std::env::var_os("TMPDIR").is_none()
        && memory.is_dir()
        && let Ok(dir) = tempfile::Builder::new().prefix("sluicebox-meaning-").tempdir_in(memory)
    {
        return dir;
    }
    builder.tempdir().unwrap()
}

fn open_log(root: &Path) -> EmbeddedLog {
    EmbeddedLog::open_with(root.join("log"), Arc::new(ManualClock::at(CLOCK)), Fsync::OnFlush).unwrap()
}

fn record(content: &Content) -> Record {
    let value = match content {
        Content::Row(row) => Some(encode(row, 1)),
        Content::Tombstone => None,
        Content::Malformed(bytes, _) => Some(bytes.clone()),
    };
    Record { timestamp_ms: Some(CLOCK / 1000), value: value.map(Bytes::from), ..Record::default() }
}

/// A pipeline's working directory.
pub struct Job {
    world: PathBuf,
    dir: PathBuf,
    /// What the batches' clock is read from.
    pub clock: Arc<ManualClock>,
    /// `idleTimeout`, in microseconds.
    idle_timeout: i64,
    /// Stores in the place of the folders of tables, by table.
    pub stores: BTreeMap<String, RemoteStore>,
}

/// How a run is watched and ended.
pub struct Watch<'a> {
    pub trigger: Trigger,
    /// The run is dropped after it was woken up so often.
    pub polls: Option<u32>,
    pub stop: watch::Receiver<bool>,
    pub observer: &'a mut dyn Observer,
}

/// Looks at nothing.
pub struct Nobody;

impl Observer for Nobody {
    fn batch(&mut self, _: &Progress, _: &Status) {}
}

impl Job {
    /// A folder below the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.dir.join("checkpoints/m"))
    }

    /// Reads all there is: cancelled and started again as `cut` says, then to the end.
    pub fn run(&self, sql: &str, cut: &Cut) {
        self.try_run(sql, cut).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// The same of a run that may fail: then it is tried again as often as it would have been cancelled.
    pub fn try_run(&self, sql: &str, cut: &Cut) -> Result<(), EngineError> {
        for polls in &cut.cancels {
            if let Some(Err(error)) = self.attempt_to_end(sql, cut, Some(*polls)) {
                assert!(matches!(error, EngineError::FailUpdate { .. }), "{error}\n{sql}");
            }
        }
        self.attempt_to_end(sql, cut, None).unwrap_or_else(|| panic!("a run that nobody stopped came to its end"))
    }

    /// Reads all there is under a configuration that `change` has changed.
    pub fn try_changed(&self, sql: &str, cut: &Cut, change: impl FnOnce(&mut Config)) -> Result<(), EngineError> {
        std::fs::create_dir_all(&self.dir).unwrap();
        let (_stop, stop) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Box::pin(async {
            let mut config = self.config(sql, cut, Trigger::AvailableNow).await;
            change(&mut config);
            Engine::open(config).await?.run(stop, &mut Nobody).await.map(drop)
        }))
    }

    /// How it ended, if it did.
    fn attempt_to_end(&self, sql: &str, cut: &Cut, polls: Option<u32>) -> Option<Result<(), EngineError>> {
        let (_stop, stop) = watch::channel(false);
        self.attempt(sql, cut, Watch { trigger: Trigger::AvailableNow, polls, stop, observer: &mut Nobody })
    }

    /// How the run ended, if it was not dropped before.
    pub fn attempt(&self, sql: &str, cut: &Cut, watch: Watch<'_>) -> Option<Result<(), EngineError>> {
        self.attempt_changed(sql, cut, watch, |_| {})
    }

    /// The same under a configuration that `change` has changed.
    pub fn attempt_changed(
        &self,
        sql: &str,
        cut: &Cut,
        watch: Watch<'_>,
        change: impl FnOnce(&mut Config),
    ) -> Option<Result<(), EngineError>> {
        std::fs::create_dir_all(&self.dir).unwrap();
        let mut builder = match cut.threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            more => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(more);
                builder
            }
        };
        // Dropped with all that was running on it; what blocks is waited for, as a crash would not.
        let runtime = builder.enable_all().build().unwrap();
        let Watch { trigger, polls, stop, observer } = watch;
        runtime.block_on(async {
            let run = async {
                let mut config = self.config(sql, cut, trigger).await;
                change(&mut config);
                let mut engine = Engine::open(config).await?;
                engine.run(stop, observer).await.map(drop)
            };
            dropped_after(Box::pin(run), polls).await
        })
    }

    /// What the library makes of `sql`, but for what no pipeline may ask for.
    async fn config(&self, sql: &str, cut: &Cut, trigger: Trigger) -> Config {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let idle = ("e.idleTimeout".to_owned(), format!("{} microseconds", self.idle_timeout));
        let most = cut.max_offsets.map(|most| ("e.maxOffsetsPerTrigger".to_owned(), most.to_string()));
        let home = Home::at(&self.dir).with_log(self.world.join("log")).with_variables(BTreeMap::new());
        let spec = Spec {
            checkpoint: Some(self.dir.join("checkpoints/m")),
            set: [idle].into_iter().chain(most).collect(),
            home,
            clock: Arc::clone(&clock),
            ..Spec::of("m.sql", sql)
        };
        let mut checked = Checked::new(&spec, |_| false, None).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        checked.settings.batch_bytes = cut.batch_bytes;
        checked.settings.memory_limit = cut.memory_limit;
        checked.settings.dq_samples = 3;
        let (checkpoint, session) = (self.checkpoint(), session_state(1));
        let change = Prepared::of(&checkpoint, &checked.graph, &self.dir, &session, &clock);
        let change = change.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        let loaded = Loaded::connect(checked, &Stage::Live).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        let options = RunOptions { trigger: Some(trigger), ..RunOptions::default() };
        let mut config = sluicebox::config(&options, loaded, change);
        config.session = session;
        config.state_deltas = cut.state_deltas;
        config.policies = BTreeMap::new();
        for (table, store) in &self.stores {
            config.sinks.insert(table.clone(), store.connect());
        }
        config
    }

    /// The newest commit; none if the topic never had an event.
    pub fn newest(&self) -> Option<Commit> {
        let checkpoint = self.checkpoint();
        checkpoint.commit_ids().unwrap().last().map(|id| checkpoint.commit(*id).unwrap())
    }

    /// Where all clauses of the pipeline stand.
    pub fn watermark(&self, place: &str) -> Option<i64> {
        let newest = self.newest()?;
        let mut all: Vec<Option<i64>> = newest.watermarks.values().map(|state| state.watermark).collect();
        all.dedup();
        assert!(all.len() <= 1, "{place}: clauses over the same rows differ: {:?}", newest.watermarks);
        all.first().copied().flatten()
    }
}

/// What `future` gives, or nothing when it was polled `polls` times before.
async fn dropped_after<F: Future + Unpin>(mut future: F, polls: Option<u32>) -> Option<F::Output> {
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == Some(0) {
            return std::task::Poll::Ready(None);
        }
        left = left.map(|n| n - 1);
        std::pin::Pin::new(&mut future).poll(context).map(Some)
    })
    .await
}
