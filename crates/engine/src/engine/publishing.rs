//! Publishes to sinks that keep their own records, and may be unreachable.
//!
//! ```text
//! open ─> published? ─> publish ─> done
//!   ^                      │ a transient error
//!   └── pause, longer each time: the batch waits, so nothing more is planned, and sources fill their buffers and stop
//! ```
//!
//! The commit is durable before all of this, so a run that ends while it waits loses nothing: the next one begins here. The engine never
//! guesses whether a failed call took effect. It opens the sink again, which settles that, and asks for the newest batch that it holds.

use std::time::Duration;

use sluicebox_checkpoint::records::{Commit, StagedOutput};
use sluicebox_checkpoint::recovery::Recovery;
use sluicebox_core::{Blamed, OutputId, Retry, waiting};
use sluicebox_sinks::{BatchKey, Check, LakeError, Owner, Sink, Sinks, Staged};
use tokio::sync::watch;

use super::Engine;
use crate::EngineError;
use crate::shutdown::unless_left;

/// The pause after the first failure; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Rows that are committed and still to be published to a sink with transactions.
#[derive(Debug, Clone)]
pub(super) struct Unpublished {
    batch_id: u64,
    outputs: Vec<StagedOutput>,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Trying again after this pause.
    Again(Duration),
    /// The end of the run.
    Fail,
}

/// How long a sink is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    pause: Duration,
    /// How long the sink may be away; `None` for ever.
    limit: Option<Duration>,
    waited: Duration,
}

impl Patience {
    fn new(limit: Option<Duration>) -> Self {
        Self { pause: FIRST_PAUSE, limit, waited: Duration::ZERO }
    }

    /// What follows an error that says so of another try. Waiting ends with a last try when the limit is reached.
    fn after(&mut self, retry: Retry) -> Next {
        let left = self.limit.map(|limit| limit.saturating_sub(self.waited));
        if retry == Retry::No || left == Some(Duration::ZERO) {
            return Next::Fail;
        }
        let pause = left.map_or(self.pause, |left| self.pause.min(left));
        self.waited += pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Next::Again(pause)
    }
}

/// Publishes `staged`, if there is something, to a sink that is opened first unless it is `open`.
async fn attempt(
    sink: &dyn Sink,
    owner: &Owner,
    batch: &BatchKey<'_>,
    staged: Option<(&Staged, Check)>,
    open: &mut bool,
) -> Result<(), LakeError> {
    if !*open {
        sink.open(owner, batch.epoch).await?;
        *open = true;
        let newest = sink.published().await?;
        tracing::debug!(sink = %sink.identity(), ?newest, "the sink is open");
    }
    let Some((staged, check)) = staged else { return Ok(()) };
    let published = sink.publish(batch, staged, check).await;
    *open = published.is_ok();
    published
}

/// What of the newest commit may not have been published to the sinks of `all`; nothing if a later plan proves that it was.
///
/// # Errors
/// When a table goes elsewhere now: nobody can publish its rows.
pub(super) fn unpublished(
    recovery: Recovery,
    newest: Option<&Commit>,
    all: &Sinks,
) -> Result<Option<Unpublished>, EngineError> {
    let (Recovery::Publish { .. }, Some(commit)) = (recovery, newest) else { return Ok(None) };
    for (output, rows) in commit.rows() {
        let now = output.table().and_then(|table| all.get(table)).map(|sink| sink.identity());
        if now.as_ref() != Some(&rows.sink) {
            return Err(EngineError::Unpublished {
                table: output.in_mark(),
                batch_id: commit.batch_id,
                sink: rows.sink.clone(),
            });
        }
    }
    let outputs = commit.outputs.iter().filter(|output| matches!(output.staged, Staged::Rows(_)));
    let outputs: Vec<StagedOutput> = outputs.cloned().collect();
    Ok((!outputs.is_empty()).then_some(Unpublished { batch_id: commit.batch_id, outputs }))
}

impl Engine {
    /// Opens the sinks that keep their own records, and publishes what the newest commit may have left for them. False when the
    /// run is to stop and one is still away.
    pub(super) async fn open_sinks(&mut self, stop: &watch::Receiver<bool>) -> Result<bool, EngineError> {
        let mut opened = Vec::new();
        if let Some(left) = &self.unpublished {
            let (left, all) = (left.clone(), self.config.sinks.clone());
            if !self.publish_to(&all, left.batch_id, &left.outputs, Check::Content, false, stop).await? {
                return Ok(false);
            }
            opened.extend(left.outputs.into_iter().map(|output| output.id));
            self.unpublished = None;
        }
        let others = self.outputs.transactional().into_iter();
        for (table, sink) in others.filter(|(table, _)| !opened.contains(&OutputId::Table(table.clone()))) {
            if !self.settle(&table, sink.as_ref(), self.next_batch, None, false, stop).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Publishes the rows of `commit` to the sinks that keep their own records. False when the run is to stop and one is away:
    /// then the next start publishes them.
    pub(super) async fn publish_rows(
        &mut self,
        commit: &Commit,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool, EngineError> {
        if commit.rows().next().is_none() {
            return Ok(true);
        }
        let all = self.outputs.tables().clone();
        self.publish_to(&all, commit.batch_id, &commit.outputs, Check::Size, true, stop).await
    }

    async fn publish_to(
        &self,
        sinks: &Sinks,
        batch_id: u64,
        outputs: &[StagedOutput],
        check: Check,
        open: bool,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool, EngineError> {
        for output in outputs.iter().filter(|output| matches!(output.staged, Staged::Rows(_))) {
            let table = output.id.in_mark();
            let sink = sinks.get(&table).ok_or_else(|| EngineError::Bug(format!("table `{table}` has no sink")))?;
            let staged = Some((&output.staged, check));
            if !self.settle(&table, sink.as_ref(), batch_id, staged, open, stop).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a sink, or publishes to it, however long that takes. False when the run is to stop and the sink is away.
    async fn settle(
        &self,
        table: &str,
        sink: &dyn Sink,
        batch_id: u64,
        staged: Option<(&Staged, Check)>,
        mut open: bool,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool, EngineError> {
        let (metadata, epoch) = (&self.metadata, self.lock.epoch.epoch);
        let checkpoint = &self.config.checkpoint;
        let owner = self.outputs.owner_of(table, &metadata.id, metadata.generation, checkpoint.root());
        let batch = BatchKey { batch_id, query_id: &metadata.id, epoch };
        let mut patience = Patience::new(self.config.give_up_after);
        let _over = Over(sink.identity());
        loop {
            let tried = attempt(sink, &owner, &batch, staged, &mut open);
            let Some(tried) = unless_left(stop, tried).await else { return Ok(false) };
            let Err(error) = tried else { return Ok(true) };
            open = false;
            // A run that was passed finds its sink in the hands of the later one.
            checkpoint.refuse_later_epochs(epoch)?;
            let Next::Again(pause) = patience.after(error.retry()) else { return Err(error.into()) };
            tracing::warn!(table, batch = batch_id, certainty = ?error.certainty(), "{error}; trying again in {pause:?}");
            waiting::begin(&sink.identity(), &error.to_string(), Duration::ZERO);
            let mut stopped = stop.clone();
            tokio::select! {
                biased;
                Ok(_) = stopped.wait_for(|stop| *stop) => return Ok(false),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Ends the waiting for a sink, however it ends.
struct Over(String);

impl Drop for Over {
    fn drop(&mut self) {
        waiting::end(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(limit: Option<Duration>, tries: usize) -> Vec<Next> {
        let mut patience = Patience::new(limit);
        (0..tries).map(|_| patience.after(Retry::WithBackoff)).collect()
    }

    #[test]
    fn a_sink_that_is_away_is_asked_less_and_less_often_and_never_given_up() {
        let pauses = pauses(None, 1_000);
        let millis = |next: &Next| match next {
            Next::Again(pause) => pause.as_millis(),
            Next::Fail => 0,
        };
        assert_eq!(pauses.iter().take(5).map(millis).collect::<Vec<_>>(), [100, 200, 400, 800, 1_600]);
        assert!(pauses.iter().skip(9).all(|next| *next == Next::Again(LONGEST_PAUSE)));
    }

    #[test]
    fn a_limit_ends_with_a_last_try() {
        let limit = Duration::from_millis(250);
        let again = |millis| Next::Again(Duration::from_millis(millis));
        assert_eq!(pauses(Some(limit), 4), [again(100), again(150), Next::Fail, Next::Fail]);
        assert_eq!(pauses(Some(Duration::ZERO), 1), [Next::Fail]);
    }

    #[test]
    fn what_waiting_does_not_cure_ends_the_run_at_once() {
        assert_eq!(Patience::new(None).after(Retry::No), Next::Fail);
    }
}
