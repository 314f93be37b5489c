//! What a run shows: a live status on a terminal, JSON lines, or next to nothing.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sluicebox_core::Fates;
use sluicebox_engine::change::{Decision, Prepared, Stage, Verdict};
use sluicebox_engine::progress::{Progress, Status, TableStatus};
use sluicebox_engine::{Engine, Observer, Totals};

use crate::load::Loaded;
use crate::run::ProgressMode;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Lines that are drawn anew.
    Live,
    /// One JSON line a batch.
    Json,
    /// A line at the start, one when a table gets its first rows, one at the end.
    Lines,
    /// Nothing.
    Quiet,
}

impl Show {
    /// What `mode` means on this terminal.
    pub fn choose(mode: ProgressMode) -> Self {
        match mode {
            ProgressMode::Auto if std::io::stderr().is_terminal() => Self::Live,
            ProgressMode::Auto => Self::Lines,
            ProgressMode::Bar => Self::Live,
            ProgressMode::Json => Self::Json,
            ProgressMode::None => Self::Quiet,
        }
    }

    fn talks(self) -> bool {
        matches!(self, Self::Live | Self::Lines)
    }

    /// Before the run: what is read, what is written, and whether it is made up; and what a change of the SQL brings.
    pub fn opening(self, loaded: &Loaded, change: &Prepared) {
        if !self.talks() {
            return;
        }
        eprintln!("pipeline {} ({})", loaded.graph.pipeline.name, loaded.graph.pipeline.file);
        if let (Decision::Adopt(..), Some(changes)) = (&change.decision, &change.changes) {
            for change in changes.changes.iter().filter(|c| c.verdict != Verdict::Unchanged) {
                eprint!("{change}");
            }
        }
        match &change.stage {
            Stage::Live => {}
            Stage::Finish { .. } => eprintln!("  first the batch that was planned is finished"),
            Stage::Fill { tables, from_files, .. } => eprintln!(
                "  fills {} from {} first, up to where the other tables stand",
                tables.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
                if *from_files { "files" } else { "the topics" }
            ),
        }
        for source in &loaded.sources {
            eprintln!("  reads   {}  {}", source.name, source.description);
        }
        for topic in loaded.sample_topics() {
            eprintln!(
                "          the events of {topic} are made up: set KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL to read your own"
            );
        }
    }

    /// When the checkpoint is open: where everything goes.
    pub fn opened(self, engine: &Engine) {
        if !self.talks() {
            return;
        }
        for folder in engine.outputs().folders() {
            if let Some(table) = folder.output.strip_prefix("table ") {
                eprintln!("  writes  {table}  {}", folder.location.display());
            }
        }
        match engine.resumes_at() {
            Some(batch) => eprintln!("  goes on at batch {batch}"),
            None => eprintln!("  starts at the beginning"),
        }
    }

    /// What is told of each batch.
    pub fn observer(self) -> Box<dyn Observer> {
        match self {
            Self::Live => Box::new(Live::new()),
            Self::Json => Box::new(JsonLines),
            Self::Lines => Box::new(Lines { seen: Vec::new() }),
            Self::Quiet => Box::new(Quiet),
        }
    }

    /// After the run.
    pub fn closing(self, totals: &Totals) {
        if !self.talks() {
            return;
        }
        let lost =
            if totals.lost_offsets > 0 { format!(", {} offsets lost", totals.lost_offsets) } else { String::new() };
        let (batches, events, dead_letters) = (totals.batches, totals.events, totals.dead_letters);
        eprintln!("{batches} batches, {events} events read, {dead_letters} dead letters{lost}");
        for (table, fates) in &totals.tables {
            eprintln!("  {table}: {}", describe(fates));
        }
    }
}

/// `1,204 written, 3 duplicate, ...`, what is zero left out.
fn describe(fates: &Fates) -> String {
    let parts = [
        (fates.written, "written"),
        (fates.duplicate, "duplicate"),
        (fates.late, "late"),
        (fates.quarantined, "quarantined"),
        (fates.dropped, "dropped"),
        (fates.filtered, "filtered"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .enumerate()
        .filter(|(i, (count, _))| *i == 0 || *count > 0)
        .map(|(_, (count, what))| format!("{} {what}", thousands(*count)))
        .collect();
    parts.join(", ")
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

struct JsonLines;

impl Observer for JsonLines {
    fn batch(&mut self, progress: &Progress, _status: &Status) {
        if let Ok(line) = serde_json::to_string(progress) {
            let mut out = std::io::stdout().lock();
            // A reader that has gone away is no reason to stop writing tables.
            let _ = writeln!(out, "{line}");
            let _ = out.flush();
        }
    }
}

struct Quiet;

impl Observer for Quiet {
    fn batch(&mut self, _progress: &Progress, _status: &Status) {}
}

/// One line when a table gets its first rows.
struct Lines {
    seen: Vec<String>,
}

impl Observer for Lines {
    fn batch(&mut self, progress: &Progress, status: &Status) {
        for table in &status.tables {
            if table.fates.written > 0 && !self.seen.contains(&table.table) {
                self.seen.push(table.table.clone());
                eprintln!("batch {}: first rows in {}", progress.batch_id, table.table);
            }
        }
    }
}

/// A status that is drawn anew: a line for the run, one for each table.
struct Live {
    bars: MultiProgress,
    head: ProgressBar,
    tables: Vec<ProgressBar>,
}

impl Live {
    fn new() -> Self {
        let bars = MultiProgress::new();
        let head = bars.add(line());
        head.enable_steady_tick(Duration::from_millis(500));
        Self { bars, head, tables: Vec::new() }
    }

    fn show_tables(&mut self, tables: &[TableStatus]) {
        while self.tables.len() < tables.len() {
            self.tables.push(self.bars.add(line()));
        }
        let width = tables.iter().map(|t| t.table.len()).max().unwrap_or(0);
        for (bar, table) in self.tables.iter().zip(tables) {
            let text = match &table.waits_for {
                Some(wait) => format!("{:<width$}  {wait}", table.table),
                None => format!("{:<width$}  {}", table.table, describe(&table.fates)),
            };
            bar.set_message(text);
            bar.tick();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for bar in self.tables.iter().chain([&self.head]) {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Live {
    fn batch(&mut self, progress: &Progress, status: &Status) {
        let rate = progress.processed_rows_per_second.unwrap_or(0.0);
        let watermark = progress.event_time.get("watermark").map_or("none", String::as_str);
        self.head.set_message(format!(
            "batch {}  {} events in {} ms ({rate:.0}/s)  lag {}  watermark {watermark}  dead letters {}",
            progress.batch_id,
            thousands(progress.num_input_rows),
            progress.batch_duration,
            thousands(status.backlog),
            thousands(status.dead_letters),
        ));
        self.show_tables(&status.tables);
    }

    fn idle(&mut self, status: &Status) {
        self.show_tables(&status.tables);
    }
}

fn line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}
