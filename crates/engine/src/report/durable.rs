//! The report of a batch, which is committed with it. The same batch gives the same bytes.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::RecordBatch;
use sluicebox_checkpoint::records::{Offsets, SeenSchemas};
use sluicebox_core::PartitionId;
use sluicebox_core::shown::cut_to;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, create_dir_durable};
use sluicebox_quality::{
    BatchReport, InputRange, LostReport, ReportHeader, SchemaReport, TableCounts, place_of, samples_batch,
};
use sluicebox_registry::SchemaKey;
use sluicebox_runtime::graph::TableOutput;
use sluicebox_sources::LostRange;

use super::told::MOST;
use super::{Identity, SourceTally};
use crate::EngineError;

/// A report in its three forms.
#[derive(Debug)]
pub struct BuiltReport {
    /// For people and scripts.
    pub json: Vec<u8>,
    /// For queries.
    pub rows: RecordBatch,
    /// Rows that broke expectations, capped.
    pub samples: Option<RecordBatch>,
}

/// Makes the report of a batch and proves its ledger.
///
/// # Errors
/// When a ledger does not balance: the batch must not be committed.
pub fn build(
    identity: &Identity,
    offsets: &Offsets,
    sources: &[SourceTally],
    tables: &[&TableOutput],
    seen: &SeenSchemas,
) -> Result<BuiltReport, EngineError> {
    let header = ReportHeader {
        query_id: identity.query_id.clone(),
        pipeline: identity.pipeline.clone(),
        sql_hash: identity.sql_hash.clone(),
        batch_id: offsets.batch_id,
        batch_clock: offsets.clock_micros,
    };
    let parts: Vec<PartitionId> = offsets.ranges.iter().map(|r| r.partition.clone()).collect();
    let counts: Vec<TableCounts> = tables.iter().map(|t| counts(t)).collect();
    let sources = sources.iter().map(|s| source(s, seen)).collect();
    let report = BatchReport::new(header, sources, &counts, &parts);
    report.check()?;
    Ok(BuiltReport {
        json: report.to_json()?,
        rows: report.to_rows()?,
        samples: samples_batch(&report, &counts, &parts)?,
    })
}

fn counts(table: &TableOutput) -> TableCounts {
    TableCounts {
        table: table.table.clone(),
        ledger: table.ledger,
        fates: table.fates,
        future: table.future,
        expectations: table.expectations.clone(),
        errors: table.errors.clone(),
        event_time: table.event_time,
        watermark: table.watermark,
    }
}

fn source(report: &SourceTally, seen: &SeenSchemas) -> sluicebox_quality::SourceReport {
    let before: Option<&BTreeSet<String>> = seen.get(&report.source);
    let mut out = sluicebox_quality::SourceReport {
        source: report.source.clone(),
        read: report.read,
        tombstones: report.tombstones,
        dead_letters: report.dead_letters(),
        rows: report.rows,
        schemas: report
            .schemas
            .values()
            .map(|schema| SchemaReport {
                id: match schema.key {
                    SchemaKey::Id(id) => id,
                    SchemaKey::Guid(_) => -1,
                },
                subject: None,
                version: None,
                records: schema.rows + schema.dead_letters,
                first_seen: before.is_none_or(|ids| !ids.contains(&schema.key.to_string())),
            })
            .collect(),
        schema_drift: report
            .schemas
            .values()
            .filter(|schema| !schema.ignored_fields.is_empty())
            .map(|schema| (schema.key.to_string(), schema.ignored_fields.clone()))
            .collect(),
        lost: report.lost.iter().map(lost).collect(),
        dead_letters_by_class: report.by_class.iter().map(|(class, n)| (class.to_string(), *n)).collect(),
        ..Default::default()
    };
    for planned in &report.ranges {
        let range = InputRange {
            start: planned.range.from,
            end: planned.range.to,
            records: report.records.get(&planned.partition).copied().unwrap_or(0),
            gap_offsets: report.gap_offsets.get(&planned.partition).copied().unwrap_or(0),
            lost_offsets: report.lost_offsets(Some(&planned.partition)),
        };
        out.add_range(&planned.partition, range);
    }
    out
}

fn lost(lost: &LostRange) -> LostReport {
    LostReport {
        topic: lost.partition.topic.clone(),
        partition: lost.partition.partition,
        from: lost.range.from,
        to: lost.range.to,
        reason: lost.reason.as_str().to_owned(),
    }
}

/// The error of a batch that FAIL UPDATE stops; its samples are put into `folder`, outside any commit, replacing those
/// of the last try.
///
/// # Errors
/// When the samples cannot be written.
pub fn failed_update(tables: &[TableOutput], batch_id: u64, folder: &Path) -> Result<Option<EngineError>, EngineError> {
    let Some((table, failed)) = tables.iter().find_map(|t| t.failed.as_ref().map(|f| (t, f))) else {
        return Ok(None);
    };
    create_dir_durable(What::Failed, folder)?;
    let path = folder.join(format!("{}.{}.json", table.table, file_name(&failed.expectation)));
    let mut content = String::new();
    for sample in &failed.samples {
        content.push_str(&sample.row);
        content.push('\n');
    }
    durable::replace(What::Failed, &path, content.as_bytes())?;
    Ok(Some(EngineError::FailUpdate {
        table: table.table.clone(),
        expectation: failed.expectation.clone(),
        rows: failed.failed,
        batch_id,
        samples: path.display().to_string(),
    }))
}

/// The error of a batch with a row that cannot be computed, of a table in which that stops the run.
#[must_use]
pub fn failed_row(tables: &[TableOutput], batch_id: u64, parts: &[PartitionId]) -> Option<EngineError> {
    let (table, failed) = tables.iter().find_map(|t| t.failed_row().map(|f| (t, f)))?;
    Some(EngineError::FailRow {
        table: table.table.clone(),
        what: failed.what(),
        rows: failed.rows,
        batch_id,
        message: cut_to(failed.first.error.as_deref().unwrap_or_default(), MOST).into(),
        value: cut_to(&failed.first.row, MOST).into(),
        place: place_of(&failed.first, parts).map(|(part, offset)| format!("{part} at offset {offset}").into()),
    })
}

/// An expectation's name as part of a file's name: what is no letter, digit, `_` or `-` becomes `_`.
fn file_name(expectation: &str) -> String {
    expectation.chars().map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}
