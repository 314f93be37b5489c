//! A pipeline in a program: the short way to plan and run one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sluicebox_engine::{Observer, Totals, Trigger};
use sluicebox_evolve::Request;
use tokio::sync::watch;

use crate::connectors::{Connectors, Home};
use crate::error::{Result, Usage};
use crate::load::{Checked, Spec};
use crate::plan::Plan;
use crate::run::{RunOptions, Watch, run};

/// How long what does not answer is waited for, unless it is said.
const WAIT: Duration = Duration::from_secs(30);

/// A pipeline in a program.
///
/// Runs of it, its plans and the command line share the checkpoint and the tables in its folder; one run at a time has the lock.
///
/// ```no_run
/// use sluicebox::{Job, Progress, Status};
///
/// # async fn example() -> sluicebox::Result<()> {
/// let sql = "CREATE TABLE clicks (page STRING, at TIMESTAMP) USING kafka
///                OPTIONS ('subscribe' = 'clicks.v1', 'value.format' = 'json');
///            CREATE STREAMING TABLE bronze_clicks AS SELECT page, at FROM STREAM clicks;";
/// let job = Job::of("clicks.sql", sql).within("/srv/clicks").set("batch.bytes", "64 MiB");
/// println!("{}", job.plan().await?);
/// // All that is there now, then it ends.
/// let mut told = |batch: &Progress, _: &Status| println!("batch {}: {} events", batch.batch_id, batch.num_input_rows);
/// let totals = job.run_available(&mut told).await?;
/// println!("{} events", totals.events);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Job {
    spec: Spec,
    wait: Option<Duration>,
    options: RunOptions,
}

impl Job {
    /// The pipeline of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from(Spec::read(path.as_ref())?))
    }

    /// The pipeline `sql`, which messages call `file`; its checkpoint is called after it.
    pub fn of(file: impl Into<String>, sql: impl Into<String>) -> Self {
        Self::from(Spec::of(file, sql))
    }

    /// The same in the folder `dir`: its tables are below `dir/data`. Without it the working directory is that folder.
    #[must_use]
    pub fn within(self, dir: impl Into<PathBuf>) -> Self {
        self.at_home(Home::at(dir))
    }

    /// The same at `home`, which says its folder and its variables.
    #[must_use]
    pub fn at_home(mut self, home: Home) -> Self {
        self.spec.home = home;
        self
    }

    /// The same, resumed from the checkpoint in the folder `dir`, which is `checkpoints/<pipeline>` without it.
    #[must_use]
    pub fn resumed_from(mut self, dir: impl Into<PathBuf>) -> Self {
        self.spec.checkpoint = Some(dir.into());
        self
    }

    /// The same with a setting, an option of a source as `<source>.<option>`, or a property of a table as `<table>.<property>`, in the place of
    /// that of the text.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.set.push((key.into(), value.into()));
        self
    }

    /// The same with sources, formats, tables and functions of the program's own.
    #[must_use]
    pub fn with(mut self, connectors: Connectors) -> Self {
        self.spec.connectors = Arc::new(connectors);
        self
    }

    /// How long brokers and a registry that do not answer are waited for, half a minute without it; `None` for ever.
    #[must_use]
    pub fn patient_for(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait;
        self
    }

    /// What is asked of its runs beside: a full refresh, tables to fill. Their trigger and patience are those of the job.
    #[must_use]
    pub fn asked(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// What the pipeline is, what has changed since its checkpoint, and whether a run could begin. Nothing is changed.
    ///
    /// # Errors
    /// When the pipeline is wrong; each mistake with its place.
    pub async fn plan(&self) -> Result<Plan> {
        let checked = Box::pin(Checked::new(&self.spec, |_| false, self.wait)).await?;
        Plan::of(&checked, &self.command(), false).await
    }

    /// Reads all that is there now, in batches; `observer` is told of each. A window that waits for later events stays open.
    ///
    /// # Errors
    /// When the pipeline is wrong or may not go on with its checkpoint, and what ends its run.
    pub async fn run_available(&self, observer: &mut dyn Observer) -> Result<Totals> {
        let (_never, stop) = watch::channel(false);
        let totals = self.begin(Some(Trigger::AvailableNow), &stop, observer).await?;
        totals.ok_or_else(|| Usage("the run was stopped".to_owned()).into())
    }

    /// Runs until `stop` turns true; `None` when it did before the first batch could begin. The batch in progress is finished first.
    ///
    /// # Errors
    /// As [`Self::run_available`].
    pub async fn run_until(&self, stop: &watch::Receiver<bool>, observer: &mut dyn Observer) -> Result<Option<Totals>> {
        self.begin(self.options.trigger, stop, observer).await
    }

    async fn begin(
        &self,
        trigger: Option<Trigger>,
        stop: &watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Totals>> {
        let mut options = self.options.clone();
        let request = Request { command: self.command(), ..options.request };
        (options.trigger, options.wait, options.request) = (trigger, self.wait, request);
        Box::pin(run(&self.spec, options, stop, &mut Listening(observer))).await
    }

    /// How messages call a run of it.
    fn command(&self) -> String {
        format!("sluicebox run {}", self.spec.file)
    }
}

impl From<Spec> for Job {
    fn from(spec: Spec) -> Self {
        Self { spec, wait: Some(WAIT), options: RunOptions::default() }
    }
}

/// Tells of batches, and of nothing else.
struct Listening<'o>(&'o mut dyn Observer);

impl Watch for Listening<'_> {
    fn observer(&mut self) -> &mut dyn Observer {
        self.0
    }
}
