//! Reads the pipeline in force from a checkpoint without touching it, and prepares what a run of another pipeline does first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::SessionState;
use serde::Serialize;
use sluicebox_checkpoint::records::{Commit, Offsets};
use sluicebox_checkpoint::recovery::{Observed, decide};
use sluicebox_checkpoint::shape::{FORMAT, Shape};
use sluicebox_checkpoint::{Checkpoint, CheckpointError, PipelineRecord};
use sluicebox_core::{Clock, PartitionId, Scope};
use sluicebox_durable::checksum;
use sluicebox_pipeline::graph::Graph;
use sluicebox_sinks::owner;

use crate::EvolveError;
use crate::compare::compare;
use crate::files::lacking;
use crate::retired::retired;
use crate::shape::shape_of;
use crate::verdict::{Change, ChangeFacts, ChangeKind, Changes, Subject, Verdict};
use crate::ways::{Adoption, Backfill, Request, resolve};

/// What a run does with its pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is no checkpoint, or it is made anew: the pipeline is its first.
    First,
    /// It goes on with the pipeline of this number.
    Keep(u64),
    /// It adopts the pipeline under this number.
    Adopt(u64, Adoption),
}

/// Which part of the pipeline runs next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// All of it.
    Live,
    /// The batch that was planned, without these tables, which are to be filled first. Then the run ends.
    Finish {
        /// The tables that stay out.
        without: BTreeSet<String>,
    },
    /// These tables are filled, up to where the others stand. Then the run ends.
    Fill {
        /// The tables.
        tables: BTreeSet<String>,
        /// The number of their pipeline.
        number: u64,
        /// Whether from the files of the tables above them, and not from their topics.
        from_files: bool,
    },
}

/// A checkpoint compared with a pipeline, and what a run of it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The pipeline's shape.
    pub shape: Shape,
    /// What it was asked for.
    pub request: Request,
    /// What a run does with it.
    pub decision: Decision,
    /// What runs first.
    pub stage: Stage,
    /// What has changed; none at a first start.
    pub changes: Option<Changes>,
}

/// The newest records of a checkpoint.
struct Seen {
    last: Option<Commit>,
    replay: Option<Offsets>,
    newest: Option<PipelineRecord>,
    /// The pipeline of the newest commit; without one, the newest.
    in_force: Option<PipelineRecord>,
}

impl Seen {
    fn of(checkpoint: &Checkpoint) -> Result<Option<Self>, EvolveError> {
        let observed = steady(checkpoint)?;
        if !observed.metadata {
            return Ok(None);
        }
        let last = observed.commit.map(|id| checkpoint.commit(id)).transpose()?;
        let replays = observed.offsets.filter(|id| observed.commit.is_none_or(|commit| *id > commit));
        let replay = replays.map(|id| checkpoint.offsets(id)).transpose()?;
        let newest = checkpoint.newest_pipeline()?;
        let in_force = match &last {
            Some(commit) if commit.pipeline > 0 => Some(checkpoint.pipeline(commit.pipeline)?),
            Some(_) => None,
            None => newest.clone(),
        };
        for record in newest.iter().chain(&in_force) {
            if record.shape.format != FORMAT {
                return Err(CheckpointError::Damaged {
                    path: checkpoint.root().join("pipelines").join(record.number.to_string()),
                    why: format!("its shape has format {}, this binary knows {FORMAT}", record.shape.format),
                }
                .into());
            }
        }
        Ok(Some(Self { last, replay, newest, in_force }))
    }

    fn committed_number(&self) -> u64 {
        self.last.as_ref().map_or(0, |c| c.pipeline)
    }

    /// The pipelines under which batches may have been committed, oldest first.
    fn committed(&self, checkpoint: &Checkpoint) -> Result<Vec<PipelineRecord>, CheckpointError> {
        let numbers = checkpoint.pipeline_numbers()?.into_iter().filter(|number| *number <= self.committed_number());
        numbers.map(|number| checkpoint.pipeline(number)).collect()
    }

    fn next_batch(&self) -> u64 {
        let next = self.last.as_ref().map_or(0, |c| c.batch_id + 1);
        self.replay.as_ref().map_or(next, |r| r.batch_id)
    }

    /// Tables that an adoption which no commit names has begun to clear.
    fn cleared(&self) -> BTreeSet<String> {
        let open = self.newest.as_ref().filter(|r| r.number > self.committed_number());
        open.map(|r| r.clears.keys().cloned().collect()).unwrap_or_default()
    }

    /// The tables that are being filled under the pipeline of the newest commit. One is filled when the living pipeline
    /// has committed a batch with it.
    fn unfinished(&self) -> BTreeSet<String> {
        self.last.as_ref().map(|last| last.pending.clone()).unwrap_or_default()
    }
}

/// Compares, and decides what a run does.
///
/// # Errors
/// [`EvolveError::Changed`] when something has to be decided first, [`EvolveError::Undescribed`] when the checkpoint does
/// not say what it was made with; or when a record is missing or damaged. Nothing has been touched.
pub fn prepare(checkpoint: &Checkpoint, shape: Shape, text: &str, request: Request) -> Result<Prepared, EvolveError> {
    let (prepared, problems) = looked(checkpoint, shape, text, request)?;
    match prepared.changes {
        Some(changes) if !problems.is_empty() => {
            Err(EvolveError::Changed { changes: Box::new(changes), problems: problems.join("\n") })
        }
        changes => Ok(Prepared { changes, ..prepared }),
    }
}

impl Prepared {
    /// The tables that begin without rows: those that are new, and those that are cleared.
    #[must_use]
    pub fn anew(&self) -> BTreeSet<String> {
        let added = self.changes.iter().flat_map(|c| &c.changes);
        let added =
            added.filter(|c| c.subject == Subject::Table && c.kind == ChangeKind::Added).map(|c| c.name.clone());
        let cleared = match &self.decision {
            Decision::Adopt(_, adoption) => adoption.clears.clone(),
            _ => BTreeSet::new(),
        };
        added.chain(cleared).collect()
    }

    /// As [`prepare`], of a graph, when nothing is asked for; relative locations begin at `working_dir`.
    ///
    /// # Errors
    /// As [`prepare`].
    pub fn of(
        checkpoint: &Checkpoint,
        graph: &Graph,
        working_dir: &Path,
        session: &SessionState,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, EvolveError> {
        let shape = shape_of(graph, working_dir, session, clock)?;
        prepare(checkpoint, shape, &graph.pipeline.resolved, Request::default())
    }
}

/// The newest records. Looked at without the lock: a run that lives may write some between two looks, so what seems to be
/// missing is looked for again.
fn steady(checkpoint: &Checkpoint) -> Result<Observed, EvolveError> {
    let mut observed = checkpoint.observe()?;
    loop {
        let Err(error) = decide(observed) else { return Ok(observed) };
        let again = checkpoint.observe()?;
        if again == observed {
            return Err(error.into());
        }
        observed = again;
    }
}

/// What [`prepare`] finds, for `plan`: what has to be decided is no error.
///
/// # Errors
/// When a record is missing or damaged.
pub fn read_only(
    checkpoint: &Checkpoint,
    shape: Shape,
    text: &str,
    request: Request,
) -> Result<Option<Changes>, EvolveError> {
    Ok(looked(checkpoint, shape, text, request)?.0.changes)
}

fn looked(
    checkpoint: &Checkpoint,
    shape: Shape,
    text: &str,
    request: Request,
) -> Result<(Prepared, Vec<String>), EvolveError> {
    let Some(seen) = Seen::of(checkpoint)? else {
        return Ok((
            Prepared { shape, request, decision: Decision::First, stage: Stage::Live, changes: None },
            Vec::new(),
        ));
    };
    let old = old_shape(checkpoint, &seen, &shape, text)?;
    let anew = shape.tables.keys().any(|table| !old.tables.contains_key(table))
        || request.backfill.values().any(|from| *from == Backfill::Files);
    let facts = ChangeFacts {
        committed: seen.last.is_some(),
        from_batch: seen.next_batch(),
        occupied: occupied(&old, &shape, &seen.cleared())?,
        unfinished: seen.unfinished(),
        unread: unread(checkpoint, &seen, &old)?,
        retired: if anew { retired(checkpoint)? } else { BTreeMap::new() },
        lacking: if anew { lacking(&seen.committed(checkpoint)?, &shape) } else { BTreeMap::new() },
    };
    let same = seen.newest.as_ref().filter(|r| r.text == text && r.shape == shape && request.is_plain());
    let mut changes = compare(&old, &shape, &facts);
    // An adoption that was begun is gone on with: what had to be decided for it has been.
    let (decision, problems) = match same {
        Some(record) => {
            if record.number == seen.committed_number() || seen.last.is_none() {
                changes = compare(&shape, &shape, &facts);
            }
            changes.iter_mut().for_each(decided);
            (Decision::Keep(record.number), Vec::new())
        }
        None => match resolve(&mut changes, (&old, &shape), &request, &facts, &seen.cleared()) {
            Ok(adoption) => (Decision::Adopt(next_number(&seen), adoption), Vec::new()),
            Err(problems) => (Decision::First, problems),
        },
    };
    let stage = stage(checkpoint, &seen, &decision, &shape)?;
    let changes = Changes {
        checkpoint: checkpoint.root().display().to_string(),
        verdict: worst(&changes),
        from_batch: facts.from_batch,
        replays: seen.replay.is_some(),
        compared_with: seen.in_force.as_ref().map_or(0, |r| r.number),
        changes,
    };
    Ok((Prepared { shape, request, decision, stage, changes: Some(changes) }, problems))
}

/// The sources of which no partition was ever found, as of a pattern that nothing matches.
fn unread(checkpoint: &Checkpoint, seen: &Seen, old: &Shape) -> Result<BTreeSet<String>, EvolveError> {
    let mut found = BTreeSet::new();
    for source in old.sources.keys() {
        let started = checkpoint.source_start(source)?.is_some_and(|start| !start.positions.is_empty());
        let committed = seen.last.iter().flat_map(|commit| &commit.positions).any(|p| p.partition.source == *source);
        let planned = seen.replay.iter().flat_map(|plan| &plan.ranges).any(|r| r.partition.source == *source);
        if !started && !committed && !planned {
            found.insert(source.clone());
        }
    }
    Ok(found)
}

/// What had to be decided for a pipeline that is being adopted.
fn decided(change: &mut Change) {
    change.verdict = change.verdict.min(Verdict::Safe);
    for difference in change.differences.iter_mut().filter(|d| d.verdict > Verdict::Safe) {
        difference.verdict = Verdict::Safe;
        difference.effect = "decided when it was adopted".to_owned();
    }
}

fn worst(changes: &[Change]) -> Verdict {
    changes.iter().map(|c| c.verdict).max().unwrap_or(Verdict::Unchanged)
}

fn next_number(seen: &Seen) -> u64 {
    seen.newest.as_ref().map_or(1, |r| r.number + 1)
}

/// The shape of the pipeline in force. A checkpoint that is older than the records has only the checksum of its text: the
/// same text has the same shape, of another nothing can be said.
fn old_shape(checkpoint: &Checkpoint, seen: &Seen, shape: &Shape, text: &str) -> Result<Shape, EvolveError> {
    if let Some(record) = &seen.in_force {
        return Ok(record.shape.clone());
    }
    let plan = match (&seen.last, &seen.replay) {
        (Some(last), _) => Some(checkpoint.offsets(last.batch_id)?),
        (None, replay) => replay.clone(),
    };
    match plan {
        Some(plan) if plan.sql_hash != checksum(text.as_bytes()) => Err(EvolveError::Undescribed {
            checkpoint: checkpoint.root().display().to_string(),
            pinned: plan.sql_hash,
            found: checksum(text.as_bytes()),
        }),
        _ => Ok(shape.clone()),
    }
}

/// The new tables whose folders have files already. Those that are being cleared have none to speak of.
fn occupied(old: &Shape, new: &Shape, cleared: &BTreeSet<String>) -> Result<BTreeSet<String>, EvolveError> {
    let mut found = BTreeSet::new();
    for (name, table) in new.tables.iter().filter(|(name, _)| !old.tables.contains_key(*name)) {
        let Some(folder) = table.folder().filter(|_| !cleared.contains(name)) else { continue };
        if owner::observe(folder)?.example.is_some() {
            found.insert(name.clone());
        }
    }
    Ok(found)
}

fn stage(checkpoint: &Checkpoint, seen: &Seen, decision: &Decision, shape: &Shape) -> Result<Stage, EvolveError> {
    let (number, pending) = match decision {
        Decision::First => return Ok(Stage::Live),
        Decision::Adopt(number, adoption) => (*number, adoption.backfills.clone()),
        Decision::Keep(number) if *number == seen.committed_number() => {
            (*number, seen.last.as_ref().map(|c| c.pending.clone()).unwrap_or_default())
        }
        Decision::Keep(number) => (*number, checkpoint.pipeline(*number)?.backfills),
    };
    if pending.is_empty() && !replays_backfill(seen, None) {
        return Ok(Stage::Live);
    }
    let from_files = match decision {
        Decision::Adopt(_, adoption) => adoption.from_files,
        _ => checkpoint.pipeline(number)?.from_files,
    };
    if replays_backfill(seen, Some(number)) {
        return Ok(Stage::Fill { tables: pending, number, from_files });
    }
    let filled = match &seen.last {
        Some(last) => filled(checkpoint, last, number, shape, &pending)?,
        None => false,
    };
    // A batch of a backfill that is given up fills nothing, and moves nothing of the other tables.
    let given_up = replays_backfill(seen, None);
    // What was planned when all was filled was planned with all tables.
    if seen.replay.is_some() && (given_up || !filled) {
        let without = if given_up { shape.tables.keys().cloned().collect() } else { pending };
        return Ok(Stage::Finish { without });
    }
    Ok(if filled { Stage::Live } else { Stage::Fill { tables: pending, number, from_files } })
}

/// Whether the batch that waits to be replayed is one of a backfill, of pipeline `number` if it is given.
fn replays_backfill(seen: &Seen, number: Option<u64>) -> bool {
    let is = |source: &str| match (Scope::of(source), number) {
        (Scope::Live, _) => false,
        (scope, Some(number)) => scope == Scope::Backfill(number),
        (Scope::Backfill(_), None) => true,
    };
    seen.replay.as_ref().is_some_and(|r| r.ranges.iter().any(|range| is(&range.partition.source)))
}

/// Whether the backfill of `tables` under pipeline `number` has reached where the living pipeline stands, which stands
/// still meanwhile.
fn filled(
    checkpoint: &Checkpoint,
    last: &Commit,
    number: u64,
    shape: &Shape,
    tables: &BTreeSet<String>,
) -> Result<bool, EvolveError> {
    let scope = Scope::Backfill(number);
    let sources: BTreeSet<String> = tables.iter().flat_map(|t| shape.sources_of(t)).collect();
    let mut at: BTreeMap<PartitionId, i64> = BTreeMap::new();
    for source in &sources {
        if let Some(start) = checkpoint.source_start(&scope.id(source))? {
            at.extend(start.positions.into_iter().map(|p| (p.partition, p.offset)));
        }
    }
    at.extend(last.positions.iter().map(|p| (p.partition.clone(), p.offset)));
    Ok(fill_ends(last, scope, &sources).iter().all(|(p, end)| at.get(p).is_some_and(|a| a >= end)))
}

/// Where the backfill of `sources` ends: where the living pipeline stands, in `scope`.
pub(crate) fn fill_ends(last: &Commit, scope: Scope, sources: &BTreeSet<String>) -> BTreeMap<PartitionId, i64> {
    let live = last.positions.iter().filter(|p| sources.contains(&p.partition.source));
    live.map(|p| {
        let source = scope.id(&p.partition.source);
        (PartitionId { source, ..p.partition.clone() }, p.offset)
    })
    .collect()
}
