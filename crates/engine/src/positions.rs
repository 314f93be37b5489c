//! The position where each source resumes, made durable before its first fetch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sluicebox_checkpoint::records::{Commit, Offsets, Position, SourceStart};
use sluicebox_checkpoint::{CheckpointError, envelope};
use sluicebox_core::{PartitionId, Scope};
use sluicebox_durable as durable;
use sluicebox_durable::fault::What;
use sluicebox_evolve::adopt;
use sluicebox_formats::SourcePin;
use sluicebox_sources::Bounds;

use crate::EngineError;
use crate::begin::Begin;
use crate::config::{Config, RowsOf, SourceBinding};

/// Where each partition goes on: from the commit, or from the starting offsets, resolved once and durable before the
/// first fetch; `first` has those that were asked for already. And the same in words, by source.
pub(crate) async fn positions(
    config: &mut Config,
    last: Option<&Commit>,
    plan: Option<&Offsets>,
    mut first: BTreeMap<String, Begin>,
    epoch: u64,
) -> Result<(BTreeMap<PartitionId, i64>, Vec<Begin>), EngineError> {
    let mut positions = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    for binding in &mut config.sources {
        let start = match config.checkpoint.source_start(&binding.name)? {
            // Only a pattern finds no partition: where topics are named now, nothing of them has begun.
            Some(start)
                if start.positions.is_empty() && is_named(binding) && last.is_none_or(|l| !has_read(l, binding)) =>
            {
                let begin = Begin::first(binding.source.as_mut(), &binding.starting).await?;
                let start = begun(&begin);
                config.checkpoint.replace_source_start(&binding.name, &start, epoch)?;
                firsts.insert(binding.name.clone(), begin);
                start
            }
            Some(start) => start,
            // Resolved anew they might be others, and the reader schema beside them too.
            None if plan.is_some_and(|p| p.ranges.iter().any(|r| r.partition.source == binding.name)) => {
                return Err(CheckpointError::Missing { name: format!("sources/{}/start", binding.name) }.into());
            }
            None => {
                let start = if !Scope::of(&binding.name).is_live() {
                    let of = (binding.name.as_str(), matches!(binding.rows, RowsOf::Files(_)));
                    adopt::fill_start(&config.checkpoint, of, binding.source.as_mut(), last).await?
                } else {
                    let begin = match first.remove(&binding.name) {
                        Some(begin) => begin,
                        None => Begin::first(binding.source.as_mut(), &binding.starting).await?,
                    };
                    let start = begun(&begin);
                    firsts.insert(binding.name.clone(), begin);
                    start
                };
                pin_reader(config.checkpoint.source_dir(&binding.name).as_path(), &binding.pin)?;
                config.checkpoint.write_source_start(&binding.name, &start)?;
                start
            }
        };
        positions.extend(start.positions.into_iter().map(|p| (p.partition, p.offset)));
        if let RowsOf::Files(rows) = &binding.rows {
            adopt::warn_of_retired(&config.checkpoint, &rows.tables())?;
            let (rows, ends) = (Arc::clone(rows), adopt::ends_of(&binding.name, last));
            tokio::task::spawn_blocking(move || rows.look(ends)).await??;
        }
    }
    if let Some(commit) = last {
        positions.extend(commit.positions.iter().map(|p| (p.partition.clone(), p.offset)));
    }
    let begins = start_all(config, &positions, firsts).await?;
    Ok((positions, begins))
}

/// Whether a source, none of a backfill, reads a log, and topics that it names.
fn is_named(binding: &SourceBinding) -> bool {
    let is_log = binding.starting.at.is_some() && Scope::of(&binding.name).is_live();
    is_log && binding.starting.pattern.is_none()
}

fn has_read(last: &Commit, binding: &SourceBinding) -> bool {
    last.positions.iter().any(|p| p.partition.source == binding.name)
}

fn begun(begin: &Begin) -> SourceStart {
    let found = begin.positions.iter();
    SourceStart { positions: found.map(|(p, offset)| Position { partition: p.clone(), offset: *offset }).collect() }
}

/// Starts every source at its positions.
async fn start_all(
    config: &mut Config,
    positions: &BTreeMap<PartitionId, i64>,
    mut firsts: BTreeMap<String, Begin>,
) -> Result<Vec<Begin>, EngineError> {
    let mut begins = Vec::with_capacity(config.sources.len());
    for binding in &mut config.sources {
        let own: BTreeMap<PartitionId, i64> =
            positions.iter().filter(|(p, _)| p.source == binding.name).map(|(p, o)| (p.clone(), *o)).collect();
        binding.source.start(&own).await?;
        if !Scope::of(&binding.name).is_live() {
            continue;
        }
        begins.push(match firsts.remove(&binding.name) {
            Some(begin) => begin,
            // Topics may have come since.
            None if binding.starting.pattern.is_some() => {
                Begin::next(binding.source.as_mut(), &binding.starting, own).await?
            }
            None => {
                // The ends are known since it was started.
                let held = binding.source.buffered().await?.into_iter();
                let bounds = held.map(|b| (b.partition, Bounds { earliest: b.position, latest: b.log_end })).collect();
                Begin::at(&binding.name, &binding.starting, false, own, &bounds)
            }
        });
    }
    Ok(begins)
}

/// Pins how values are read beside the starting offsets.
fn pin_reader(dir: &Path, pin: &SourcePin) -> Result<(), EngineError> {
    durable::create_dir_durable(What::Source, dir)?;
    envelope::create(What::Source, &dir.join("reader"), pin)?;
    Ok(())
}
