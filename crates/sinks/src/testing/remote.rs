//! A transactional store in memory that fails on demand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use sluicebox_core::{Blame, Certainty};

use super::Subject;
use crate::error::{RemoteError, Result};
use crate::outbox::Outbox;
use crate::output::Staged;
use crate::owner::Owner;
use crate::publish::Check;
use crate::sink::{Rows, Sink};
use crate::staged::BatchKey;

/// What becomes of the next call to open or to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and says so.
    Done,
    /// It fails before anything is done, and says so.
    NotDone,
    /// It is not done, and nobody can tell.
    Cut,
    /// It is done, and the answer is lost.
    Lost,
    /// The store refuses it, now and always.
    Refused,
}

/// The store: what several runs share.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    name: String,
    checkpoint: PathBuf,
    columns: SchemaRef,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rows: Vec<RecordBatch>,
    /// The newest batch and the epoch that has published it: of the same transaction as its rows.
    newest: Option<(u64, u64)>,
    /// How often it was opened: only who has opened it last may publish.
    session: u64,
    faults: VecDeque<Fault>,
    /// Calls to open and to publish.
    calls: usize,
}

impl RemoteStore {
    /// An empty one of this name, for rows with the columns of `columns`. The rows that wait for it are in the folder
    /// `checkpoint`.
    pub fn new(name: &str, checkpoint: impl Into<PathBuf>, columns: SchemaRef) -> Self {
        Self { name: name.to_owned(), checkpoint: checkpoint.into(), columns, state: Arc::default() }
    }

    /// The next calls fail so, one after the other.
    pub fn fail(&self, faults: &[Fault]) {
        self.state().faults.extend(faults);
    }

    /// The next calls do not fail, whatever they were told.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Calls to open and to publish so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// The newest batch that it holds.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.state().newest.map(|(batch, _)| batch)
    }

    /// All rows, in the order in which they were published.
    #[must_use]
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.state().rows.clone()
    }

    /// The sink of another run.
    #[must_use]
    pub fn connect(&self) -> Arc<RemoteSink> {
        let outbox = Outbox::new(&self.checkpoint, "t");
        Arc::new(RemoteSink { store: self.clone(), outbox, session: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject for RemoteStore {
    fn sink(&self) -> Arc<dyn Sink> {
        self.connect()
    }

    fn seen(&self) -> Vec<i64> {
        let ids = |rows: &RecordBatch| rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        self.rows().iter().flat_map(ids).collect()
    }
}

/// A sink of [`RemoteStore`].
#[derive(Debug)]
pub struct RemoteSink {
    store: RemoteStore,
    outbox: Outbox,
    session: Mutex<Option<u64>>,
}

impl RemoteSink {
    /// The folder in which its rows wait.
    #[must_use]
    pub fn checkpoint(&self) -> &Path {
        &self.store.checkpoint
    }

    fn session(&self) -> MutexGuard<'_, Option<u64>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of the call `doing`: whether it is to be done, and then its answer lost.
    fn fate(&self, state: &mut State, doing: &str) -> Result<bool, RemoteError> {
        state.calls += 1;
        let Some(fault) = state.faults.pop_front() else { return Ok(false) };
        if fault != Fault::Done {
            *self.session() = None;
        }
        match fault {
            Fault::Done => Ok(false),
            Fault::NotDone => Err(RemoteError::away(doing, "the store is away")),
            Fault::Cut => Err(RemoteError::unknown(doing, "the connection was lost")),
            Fault::Lost => Ok(true),
            Fault::Refused => Err(RemoteError::Refused {
                doing: doing.to_owned(),
                why: "the store refuses it".to_owned(),
                certainty: Certainty::NotDone,
                blame: Blame::User,
            }),
        }
    }
}

#[async_trait]
impl Sink for RemoteSink {
    fn identity(&self) -> String {
        format!("the store {}", self.store.name)
    }

    async fn open(&self, _owner: &Owner, epoch: u64) -> Result<()> {
        let doing = format!("open {}", self.identity());
        let mut state = self.store.state();
        let is_lost = self.fate(&mut state, &doing)?;
        if let Some((_, theirs)) = state.newest.filter(|(_, theirs)| *theirs > epoch) {
            return Err(RemoteError::Passed { sink: self.identity(), ours: epoch, theirs }.into());
        }
        state.session += 1;
        if is_lost {
            return Err(RemoteError::unknown(doing, "the answer was lost").into());
        }
        *self.session() = Some(state.session);
        Ok(())
    }

    fn stage(&self, batch: &BatchKey<'_>, rows: Rows<'_>) -> Result<Option<Staged>> {
        let staged = self.outbox.stage(&self.identity(), batch, &self.store.columns, rows)?;
        Ok(staged.map(Staged::Rows))
    }

    async fn publish(&self, batch: &BatchKey<'_>, staged: &Staged, _check: Check) -> Result<()> {
        let staged = staged.rows_for(&self.identity())?;
        let doing = format!("publish batch {} to {}", batch.batch_id, self.identity());
        let mut state = self.store.state();
        if *self.session() != Some(state.session) {
            state.calls += 1;
            return Err(RemoteError::Fenced { doing, or: "" }.into());
        }
        if state.newest.is_none_or(|(newest, _)| newest < batch.batch_id) {
            let is_lost = self.fate(&mut state, &doing)?;
            let rows = self.outbox.read(staged)?.collect::<Result<Vec<_>, _>>()?;
            state.rows.extend(rows);
            state.newest = Some((batch.batch_id, batch.epoch));
            if is_lost {
                return Err(RemoteError::unknown(doing, "the answer was lost").into());
            }
        }
        self.outbox.forget(staged)
    }

    async fn published(&self) -> Result<Option<u64>> {
        Ok(self.store.newest())
    }

    fn sweep(&self, epoch: u64) -> Result<()> {
        self.outbox.sweep(epoch)
    }
}
