//! From a pipeline's file to what can be run or planned.
//!
//! Parsed, then checked against the schemas of its sources, all without touching anything; only then are samples filled
//! and sources connected. So a mistake is told before anything has been read or written.

mod connect;
mod exposed;
mod format;
mod look;
mod places;
mod reader;
mod sample;
mod sinks;
mod spec;
mod target;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SessionState;
use sluicebox_checkpoint::shape::Shape;
use sluicebox_checkpoint::{Checkpoint, column_order};
use sluicebox_core::{Clock, Scope};
use sluicebox_engine::{EngineError, SourceBinding, Trigger, prove};
use sluicebox_evolve::{FileRows, Stage};
use sluicebox_formats::LeftOut;
use sluicebox_pipeline::ast::SourceDef;
use sluicebox_pipeline::diagnostic::{Diagnostic, Diagnostics};
use sluicebox_pipeline::graph::{Graph, Table};
use sluicebox_pipeline::settings::{Properties, Settings};
use sluicebox_pipeline::{bind, values};
use sluicebox_runtime::outputs::{CHECKPOINT, PROJECT, refuse_no_text};
use sluicebox_sinks::{LakeError, Sinks};
use sluicebox_sources::SourceError;
use sluicebox_upkeep::compact::{Policy, Retain};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use look::Check;
pub use sample::register_sales;
pub use sinks::sinks_of;
pub use spec::{Spec, trigger_of};
pub use text::read_text;

use connect::{Connecting, Connection};
use format::Columns;
use places::Places;
use sample::Sample;

use crate::connectors::{Connectors, Home};
use crate::error::{Error, Result};

/// A pipeline that has been checked; nothing has been touched.
pub struct Checked {
    /// The checked pipeline.
    pub graph: Graph,
    /// Its settings.
    pub settings: Settings,
    /// Where it resumes from.
    pub checkpoint: Checkpoint,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it runs.
    pub home: Home,
    connectors: Arc<Connectors>,
    connections: Vec<Connection>,
}

impl Checked {
    /// Reads, parses and checks the pipeline, and looks whether what is to be its checkpoint is none.
    ///
    /// Sources for which `repin` says so get the registry's reader schema, whatever the checkpoint has pinned. What does not
    /// answer is waited for as long as `wait` says.
    pub async fn new(spec: &Spec, repin: impl Fn(&str) -> bool, wait: Option<Duration>) -> Result<Self> {
        let pipeline = spec.parsed()?;
        let settings = Settings::of(&pipeline);
        let dir = spec.dir_of(&pipeline, &settings);
        let working_dir = spec.home.absolute()?;
        let checkpoint = Checkpoint::new(std::path::absolute(working_dir.join(dir))?).within(&working_dir);
        // Before anything is compared with what such a path was written as.
        refuse_no_text(&[(PROJECT, working_dir.as_path()), (CHECKPOINT, checkpoint.root())])
            .map_err(EngineError::from)?;
        checkpoint.refuse_no_checkpoint().map_err(EngineError::from)?;
        let clock = Arc::clone(&spec.clock);
        let (connectors, home) = (&spec.connectors, &spec.home);
        let with = Connecting { connectors, home, clock: &clock, wait };
        let mut connections = Vec::new();
        let mut schemas = BTreeMap::new();
        let mut warnings = Vec::new();
        for source in &pipeline.sources {
            let mut connection = Connection::of(&pipeline, source, &with)?;
            connection.repin = repin(&connection.name);
            // For the way out that a message names: a start that cannot be read is told where it is acted on.
            connection.places.begun = checkpoint.source_start(&connection.name).is_ok_and(|start| start.is_some());
            warnings.extend(connection.warnings(source));
            let Columns { schema, left_out } = connection.columns(&checkpoint, &clock).await?;
            warnings.extend(left_out.into_iter().map(|l| no_column(source, &l)));
            schemas.insert(connection.name.clone(), schema);
            connections.push(connection);
        }
        warnings.extend(exposed::of_tables(&pipeline, home));
        let mut graph = bind::bind_with(pipeline, &schemas, connectors.functions())?;
        graph.warnings.splice(..0, warnings);
        graph.keep_order(&column_order(&checkpoint).map_err(EngineError::from)?);
        // What is accepted here does not fail for its form at the first batch.
        prove(&graph, &connectors.functions().session_state(1)).await?;
        let (connectors, home) = (Arc::clone(connectors), home.clone());
        Ok(Self { graph, settings, checkpoint, clock, home, connectors, connections })
    }
}

/// A field of a source's schema that costs itself alone.
fn no_column(source: &SourceDef, left_out: &LeftOut) -> Diagnostic {
    let name = &source.name.value;
    let message = format!("the field `{}` of `{name}` is left out: {}", left_out.field, left_out.reason);
    Diagnostic::warning("column-left-out", source.name.span, message, "has no such column").with_help(
        "nothing else is lost; a reader schema without the field, by 'value.schema.version', ends this warning",
    )
}

impl Checked {
    /// `error` at the LOCATION in which it happened, if it is about a folder that is named there.
    pub fn at_location(&self, error: EngineError) -> Error {
        let path = match &error {
            EngineError::File(file) | EngineError::Lake(LakeError::File(file)) => file.path.clone(),
            EngineError::Lake(LakeError::NotWritable { location, .. }) => location.clone(),
            _ => return error.into(),
        };
        let (Ok(here), pipeline) = (self.home.absolute(), &self.graph.pipeline) else { return error.into() };
        let within = |location: &str| {
            let location = here.join(location);
            // Whether a folder can be made there is tried beside it, under a hidden name.
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let beside = path.parent().is_some_and(|parent| hidden && location.starts_with(parent));
            path.starts_with(&location) || location.starts_with(&path) || beside
        };
        let Some(place) = pipeline.tables.iter().filter_map(|t| t.location.as_ref()).find(|l| within(&l.value)) else {
            return error.into();
        };
        let found = Diagnostic::new(error.code(), place.span, error.to_string(), "this folder");
        Error::Placed(Diagnostics::new(pipeline.file.clone(), Arc::clone(&pipeline.text), vec![found]))
    }

    /// Where the options of its sources stand.
    pub fn options(&self) -> Options {
        Options(self.connections.iter().map(|c| (c.name.clone(), c.places.clone())).collect())
    }

    /// What of the pipeline matters to its checkpoint.
    pub fn shape(&self) -> Result<Shape> {
        let session = self.connectors.functions().session_state(1);
        let shape = sluicebox_evolve::shape_of(&self.graph, &self.home.absolute()?, &session, &self.clock);
        Ok(shape.map_err(EngineError::from)?)
    }

    /// Leaves what runs in `stage`.
    fn staged(&mut self, stage: &Stage, working_dir: &Path) {
        match stage {
            Stage::Live => {}
            Stage::Finish { without } => self.graph = sluicebox_evolve::without(&self.graph, without),
            Stage::Fill { tables, number, from_files } => {
                let all = self.graph.clone();
                let part = if *from_files { sluicebox_evolve::part_from_files } else { sluicebox_evolve::part };
                self.graph = part(&all, tables, *number);
                let scope = Scope::Backfill(*number);
                for connection in &mut self.connections {
                    connection.alias = Some(scope.id(&connection.name));
                }
                let read: Vec<&String> = self.graph.pipeline.sources.iter().map(|s| &s.name.value).collect();
                self.connections.retain(|c| c.alias.as_ref().is_some_and(|alias| read.contains(&alias)));
                for connection in self.connections.iter_mut().filter(|_| *from_files) {
                    let name = connection.alias.clone().unwrap_or_default();
                    connection.files = Some(Arc::new(FileRows::new(&name, &self.graph, &all, working_dir)));
                }
            }
        }
    }
}

/// Where the options of sources stand in the pipeline's text, by source.
#[derive(Debug)]
pub struct Options(BTreeMap<String, Places>);

impl Options {
    /// `error` of a run at the option of the source that it is about, if it is about one.
    pub fn place(&self, error: EngineError) -> Error {
        let source = match &error {
            EngineError::Source(
                SourceError::Option { source_name, .. } | SourceError::UnknownTopic { source_name, .. },
            ) => source_name,
            _ => return error.into(),
        };
        // What fills a table reads its source under another name.
        let source = Scope::name_of(source);
        match self.0.get(source) {
            Some(places) => places.of_engine(error),
            None => error.into(),
        }
    }
}

/// A pipeline with everything that running it takes.
pub struct Loaded {
    /// The checked pipeline.
    pub graph: Graph,
    /// The session that plans it.
    pub session: SessionState,
    /// Its sources, in the order of the text.
    pub sources: Vec<SourceBinding>,
    /// Where the rows of its tables go: of all that the text has, also where a stage runs a part of it.
    pub sinks: Sinks,
    /// Its settings.
    pub settings: Settings,
    /// `SET 'trigger'`, if it is there.
    pub trigger: Option<Trigger>,
    /// Where it resumes from.
    pub checkpoint: Checkpoint,
    /// Where relative locations begin.
    pub working_dir: PathBuf,
    /// The folder of everything beside the tables.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    samples: Vec<Sample>,
}

impl Loaded {
    /// Everything for a run of `stage`: samples filled, sources connected.
    pub async fn connect(mut checked: Checked, stage: &Stage) -> Result<Self> {
        let working_dir = checked.home.absolute()?;
        let sinks = sinks_of(&checked)?;
        checked.staged(stage, &working_dir);
        let Checked { graph, settings, checkpoint, clock, connectors, connections, .. } = checked;
        let mut samples = Vec::new();
        let mut sources = Vec::new();
        for connection in connections {
            let name = &graph.pipeline.name;
            if let Some(rows) = connection.files.clone() {
                sources.push(connection.bind_files(rows, &checkpoint)?);
                continue;
            }
            samples.extend(Sample::fill(&connection, &clock).await?);
            sources.push(connection.bind(name, settings.batch_bytes, &checkpoint, &clock).await?);
        }
        let trigger = trigger_of(&graph.pipeline);
        Ok(Self {
            graph,
            session: connectors
                .functions()
                .session_state_within(1, settings.query_memory, false)
                .map_err(EngineError::from)?,
            sources,
            sinks,
            settings,
            trigger,
            checkpoint,
            data_dir: working_dir.join("data"),
            working_dir,
            clock,
            samples,
        })
    }

    /// The topics whose events are made up.
    pub fn sample_topics(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().filter(|s| s.made_up).map(|s| s.topic.as_str())
    }

    /// Goes on filling the sample topics, live, until `stop` turns true.
    pub fn start_sample(&mut self, stop: &watch::Receiver<bool>) -> Option<JoinHandle<()>> {
        sample::feed(std::mem::take(&mut self.samples), stop)
    }
}

/// What each table of `graph` wants of its partitions.
pub fn policies(graph: &Graph) -> BTreeMap<String, Policy> {
    let policy = |table: &Table| {
        let properties = Properties::from_pairs(|name| table.properties.get(name).map(String::as_str));
        let retain = properties.retain.and_then(|micros| {
            let column = bind::age_column(&table.partitioned_by, &table.schema)?;
            Some(Retain { column, micros })
        });
        Policy {
            target_bytes: properties.target_file_size,
            auto: properties.compact_auto,
            after_micros: properties.compact_after,
            retain,
        }
    };
    graph.tables.iter().map(|table| (table.name.clone(), policy(table))).collect()
}

/// A trigger as the engine takes it.
pub fn engine_trigger(trigger: values::Trigger) -> Trigger {
    match trigger {
        values::Trigger::AvailableNow => Trigger::AvailableNow,
        values::Trigger::Every(micros) => Trigger::Interval(Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
    }
}
