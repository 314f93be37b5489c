//! What a run shows: a live status on a terminal, JSON lines, or next to nothing.

mod rates;
mod status;
mod words;

use std::io::{ErrorKind, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ValueEnum;
use sluicebox::load::Loaded;
use sluicebox_core::shown::in_json;
use sluicebox_core::{Clock, SystemClock, waiting};
use sluicebox_engine::progress::{Progress, Status};
use sluicebox_engine::{Engine, Observer, Totals};
use sluicebox_evolve::{Decision, Prepared, Stage, Verdict};

use self::rates::Rates;
use self::status::View;
use self::words::{describe, number};
use crate::screen::{self, say};

/// How often the live status is drawn.
const TICK: Duration = Duration::from_millis(500);

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

/// What to show while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A live status on a terminal, else lines at the start and the end, and one when a table gets its first rows
    Auto,
    /// A live status
    Bar,
    /// One line per batch on stdout, with the keys of Spark's StreamingQueryProgress
    Json,
    /// Nothing but warnings and errors
    None,
}

impl Show {
    /// What `mode` means on this terminal.
    pub fn choose(mode: ProgressMode) -> Self {
        match mode {
            ProgressMode::Auto | ProgressMode::Bar if screen::is_terminal() && !screen::is_json() => Self::Live,
            // Nobody could draw over a file, on a terminal that only takes lines, or between objects.
            ProgressMode::Auto | ProgressMode::Bar => Self::Lines,
            ProgressMode::Json => Self::Json,
            ProgressMode::None => Self::Quiet,
        }
    }

    fn talks(self) -> bool {
        matches!(self, Self::Live | Self::Lines)
    }

    /// Before the run: what is read, what is written, and whether it is made up; and what a change of the SQL brings.
    /// `finishes` says that an earlier start has begun a full refresh, which this one finishes.
    pub fn opening(self, loaded: &Loaded, change: &Prepared, finishes: bool) {
        if !self.talks() {
            return;
        }
        say!("pipeline {} ({})", loaded.graph.pipeline.name, loaded.graph.pipeline.file);
        if finishes {
            say!("  first the full refresh that was begun is finished: all tables are computed again");
        }
        if let (Decision::Adopt(..), Some(changes)) = (&change.decision, &change.changes) {
            for change in changes.changes.iter().filter(|c| c.verdict != Verdict::Unchanged) {
                screen::tell(&change.to_string());
            }
        }
        match &change.stage {
            Stage::Live => {}
            Stage::Finish { .. } => say!("  first the batch that was planned is finished"),
            Stage::Fill { tables, from_files, .. } => say!(
                "  fills {} from {} first, up to where the other tables stand",
                tables.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
                if *from_files { "files" } else { "the topics" }
            ),
        }
        for source in &loaded.sources {
            say!("  reads   {}  {}", source.name, source.description);
        }
        for topic in loaded.sample_topics() {
            say!(
                "          the events of {topic} are made up: set KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL to read your own"
            );
        }
    }

    /// When the checkpoint is open: where everything goes, and what became of the reader schemas, `repinned`.
    pub fn opened(self, engine: &Engine, repinned: &[String]) {
        if !self.talks() {
            return;
        }
        for folder in engine.outputs().folders() {
            if let Some(table) = folder.output.table() {
                say!("  writes  {table}  {}", folder.location.display());
            }
        }
        for line in repinned {
            say!("  {line}");
        }
        if let Some(batch) = engine.resumes_at() {
            say!("  goes on at batch {batch}");
        }
        for begin in engine.begins() {
            say!("  {}  {begin}", begin.source);
        }
    }

    /// What is told of each batch. What it cannot tell is in `unwritten`.
    pub fn observer(self, unwritten: &Unwritten) -> Box<dyn Observer> {
        match self {
            Self::Live => Box::new(Live::new()),
            Self::Json => Box::new(JsonLines(unwritten.clone())),
            Self::Lines => Box::new(Lines { seen: Vec::new() }),
            Self::Quiet => Box::new(Quiet),
        }
    }

    /// After the run.
    pub fn closing(self, totals: &Totals, stage: &Stage) {
        if !self.talks() {
            return;
        }
        let lost = match totals.lost_offsets {
            0 => String::new(),
            n => format!(", {} lost", number(n, "offset", "offsets")),
        };
        let batches = number(totals.batches, "batch", "batches");
        let events = number(totals.events, "event", "events");
        // Named where there were some, so that events = rows + tombstones + letters for whoever counts.
        let tombstones = match totals.tombstones {
            0 => String::new(),
            n => format!("{}, ", number(n, "tombstone", "tombstones")),
        };
        let letters = number(totals.dead_letters, "dead letter", "dead letters");
        if let Stage::Fill { tables, .. } = stage {
            let filled = tables.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            say!("filled {filled}: {batches}, {events} read again{lost}");
        } else {
            say!("{batches}, {events} read, {tombstones}{letters}{lost}");
        }
        for (table, fates) in &totals.tables {
            say!("  {table}: {}", describe(fates));
        }
    }
}

/// The first batch whose line was not written to stdout, and why.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<OnceLock<String>>);

impl Unwritten {
    /// Keeps, and tells once, that the line of `batch` was not written.
    fn learn(&self, batch: u64, error: &std::io::Error) {
        let why = format!("the line of batch {batch} could not be written to stdout: {error}");
        if self.0.set(why.clone()).is_ok() {
            say!("{why}; the run goes on");
        }
    }

    /// Ends a run whose tables are whole and whose lines are not.
    ///
    /// # Errors
    /// When a line was not written.
    pub fn refuse(&self) -> anyhow::Result<()> {
        match self.0.get() {
            Some(why) => {
                anyhow::bail!("{why}. No row is missing from the tables, and lines may be missing from stdout")
            }
            None => Ok(()),
        }
    }
}

struct JsonLines(Unwritten);

impl Observer for JsonLines {
    fn batch(&mut self, progress: &Progress, _status: &Status) {
        if let Ok(line) = serde_json::to_string(progress) {
            let mut out = std::io::stdout().lock();
            match writeln!(out, "{}", in_json(&line)).and_then(|()| out.flush()) {
                // A reader that has gone away is no reason to stop writing tables, and wants no more lines.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => self.0.learn(progress.batch_id, &error),
                _ => {}
            }
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
                say!("batch {}: first rows in {}", progress.batch_id, table.table);
            }
        }
    }
}

/// A status that is drawn anew twice a second, by a thread of its own: so it lives while the engine waits.
struct Live {
    shared: Arc<Mutex<Shown>>,
    ends: mpsc::Sender<()>,
    drawing: Option<JoinHandle<()>>,
}

/// What the thread draws.
struct Shown {
    view: View,
    clock: SystemClock,
    rates: Rates,
    /// When the last event was read.
    last_event: Option<Duration>,
}

impl Shown {
    /// Draws it as it is now.
    fn draw(&mut self) {
        let now = self.clock.monotonic();
        self.view.frame += 1;
        self.view.running = now;
        self.view.last_event = self.last_event.map(|at| now.saturating_sub(at));
        self.view.waiting = waiting::now();
        self.view.rates = self.rates.at(now);
        screen::show(status::lines(&self.view, screen::size().0));
    }
}

fn lock(shared: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn new() -> Self {
        let shown =
            Shown { view: View::default(), clock: SystemClock::new(), rates: Rates::default(), last_event: None };
        let shared = Arc::new(Mutex::new(shown));
        let (ends, end) = mpsc::channel::<()>();
        let drawn = Arc::clone(&shared);
        // Without a thread for it the status is drawn after each batch alone.
        let drawing = std::thread::Builder::new().name("status".to_owned()).spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                lock(&drawn).draw();
            }
        });
        Self { shared, ends, drawing: drawing.ok() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The thread may have ended by itself.
        let _ = self.ends.send(());
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
        screen::show(Vec::new());
    }
}

impl Observer for Live {
    fn batch(&mut self, progress: &Progress, status: &Status) {
        let mut shown = lock(&self.shared);
        shown.view.batch = Some(progress.batch_id);
        let now = shown.clock.monotonic();
        let rows = u64::try_from(progress.sink.num_output_rows).unwrap_or(0);
        shown.rates.batch(now, Duration::from_millis(progress.batch_duration), progress.num_input_rows, rows);
        if progress.num_input_rows > 0 {
            shown.last_event = Some(now);
        }
        shown.view.watermark = progress.event_time.get("watermark").map(|at| short_time(at, &progress.timestamp));
        shown.view.status = Some(status.clone());
        shown.draw();
    }

    fn idle(&mut self, status: &Status) {
        lock(&self.shared).view.status = Some(status.clone());
    }
}

/// The time of day of `at`, with its day if that is not the day of `now`: both ISO 8601.
fn short_time(at: &str, now: &str) -> String {
    let day = |text: &str| text.get(..10).map(str::to_owned);
    match (at.get(11..19), day(at) == day(now)) {
        (Some(time), true) => time.to_owned(),
        (Some(time), false) => format!("{} {time}", day(at).unwrap_or_default()),
        (None, _) => at.to_owned(),
    }
}
