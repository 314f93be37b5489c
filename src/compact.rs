//! `sluicebox compact`: fewer files in closed partitions, and no partitions that are too old.

use clap::Args;
use sluicebox::load::{Checked, policies, sinks_of};
use sluicebox_checkpoint::records::Why;
use sluicebox_core::shown::shown;
use sluicebox_engine::EngineError;
use sluicebox_evolve::Request as Change;
use sluicebox_pipeline::values;
use sluicebox_upkeep::compact::{Config, Done, Request, Skipped, UNPARTITIONED, run};

use crate::failure::Usage;
use crate::load::LoadArgs;
use crate::out;
use crate::screen::say;

/// Put the small files of a pipeline's partitions together, and retire partitions that are too old
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox compact sql/gold_revenue.sql --dry-run
  sluicebox compact sql/gold_revenue.sql
  sluicebox compact sql/gold_revenue.sql --table bronze_sales --older-than '1 day'

Each partition's folder is exchanged whole for one with the same rows in fewer files, of about the table's 'target.file.size'.
Readers see the one or the other; one that listed the folder before and opens a file after finds it gone, and reads again.
Partitions whose day ended longer ago than the table's 'retain' are removed.

It takes the pipeline's lock: beside a run, let the run do it by TBLPROPERTIES ('compact.auto' = 'true').")]
pub struct CompactArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Only this table; may be given several times
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Compact only partitions to which nothing was written for so long, as in '1 day'
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// As JSON, for programs: one object a folder
    #[arg(long)]
    json: bool,
}

/// Does it, and prints a line for each folder.
pub async fn compact(args: CompactArgs) -> anyhow::Result<()> {
    let older_than = args.older_than.as_deref().map(duration).transpose()?.unwrap_or(0);
    let checked = Checked::new(&args.load.spec()?, |_| false, args.load.patience(false)?).await?;
    let tables = named(&args.table, &checked)?;
    // Reads and compares only; what a change of the SQL needs is a run's to do.
    let change = if args.dry_run {
        None
    } else {
        let request = Change { command: args.load.command(), ..Change::default() };
        let text = checked.graph.pipeline.resolved.clone();
        let refresh = checked.checkpoint.refresh().map_err(EngineError::from)?;
        match refresh {
            Some(_) => None,
            None => Some(
                sluicebox_evolve::prepare(&checked.checkpoint, checked.shape()?, &text, request)
                    .map_err(EngineError::from)?,
            ),
        }
    };
    let working_dir = checked.home.absolute()?;
    let config = Config {
        sinks: sinks_of(&checked)?,
        policies: policies(&checked.graph),
        graph: checked.graph,
        checkpoint: checked.checkpoint,
        data_dir: working_dir.join("data"),
        working_dir,
        clock: checked.clock,
        change,
    };
    let request = Request { tables, older_than_micros: older_than, dry_run: args.dry_run };
    tokio::task::spawn_blocking(move || all(&config, &request, args.json)).await?
}

fn all(config: &Config, request: &Request, json: bool) -> anyhow::Result<()> {
    let (mut folders, mut printed) = (0, Ok(()));
    run(config, request, |told| {
        match told {
            Ok(done) => {
                folders += 1;
                // Whoever closed the pipe does not keep the rest from being done.
                if printed.is_ok() {
                    let dry_run = request.dry_run;
                    printed = if json { out::json(&object(&done, dry_run)) } else { out::print(&line(&done, dry_run)) };
                }
            }
            Err(Skipped { table, folder: None, why }) => say!("{table} is left alone: {why}"),
            Err(Skipped { table, folder: Some(folder), why }) => say!("{table} {folder} is left alone: {why}"),
        }
    })
    .map_err(EngineError::from)?;
    if folders == 0 {
        say!("nothing to compact, nothing to retire");
    }
    Ok(printed?)
}

fn line(done: &Done, dry_run: bool) -> String {
    let Done { table, folder, why, rows, before: (files, bytes), after } = done;
    let would = if dry_run { "would be " } else { "" };
    let folder = shown(folder);
    let found = format!("{table} {folder}: {}, {rows} rows, {bytes} bytes", counted(*files));
    match (why, after) {
        (Why::Retain, _) => format!("{found}: {would}retired\n"),
        (Why::Compact, (files, Some(bytes))) => format!("{found}: now {}, {bytes} bytes\n", counted(*files)),
        (Why::Compact, (files, None)) => format!("{found}: {would}about {}\n", counted(*files)),
    }
}

fn counted(files: usize) -> String {
    format!("{files} {}", if files == 1 { "file" } else { "files" })
}

/// What became of a folder, for programs.
fn object(done: &Done, dry_run: bool) -> String {
    let Done { table, folder, why, rows, before, after } = done;
    let object = serde_json::json!({
        "table": table, "folder": folder, "why": why, "dryRun": dry_run, "rows": rows,
        "before": {"files": before.0, "bytes": before.1}, "after": {"files": after.0, "bytes": after.1},
    });
    format!("{object}\n")
}

/// The tables of the pipeline that were named.
fn named(names: &[String], checked: &Checked) -> anyhow::Result<std::collections::BTreeSet<String>> {
    for name in names {
        let Some(table) = checked.graph.tables.iter().find(|table| table.name == *name) else {
            let known: Vec<&str> = checked.graph.tables.iter().map(|table| table.name.as_str()).collect();
            return Err(Usage(format!("--table {name}: unknown table `{name}`; tables: {}", known.join(", "))).into());
        };
        if table.partitioned_by.is_empty() {
            return Err(Usage(format!("--table {name}: {UNPARTITIONED}")).into());
        }
    }
    Ok(names.iter().cloned().collect())
}

fn duration(text: &str) -> anyhow::Result<i64> {
    values::duration(text).ok_or_else(|| {
        Usage(format!(
            "--older-than '{text}' is not a duration: write a number and a unit, as in '1 day' or '30 minutes'"
        ))
        .into()
    })
}
