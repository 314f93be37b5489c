//! `sluicebox produce`: made-up events, to Kafka and its registry or to the embedded log.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sluicebox::Home;
use sluicebox::connectors::LOG_DIR;
use sluicebox::load::register_sales;
use sluicebox_core::{Blamed, Clock, Retry, SystemClock};
use sluicebox_samples::register;
use sluicebox_samples::sales::{SALES_SCHEMAS, SalesConfig, SalesGenerator, Shares};
use sluicebox_samples::sink::{EmbeddedSink, EventSink, KafkaSink, KafkaTarget, Produced, fill, live};

use crate::failure::Usage;
use crate::load::wait;
use crate::out;
use crate::screen::say;

/// Write made-up events to a topic
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox produce sales --events 1000000
  sluicebox produce sales --rate 2000 --late 0.02 --malformed 0
  KAFKA_BOOTSTRAP_SERVERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 sluicebox produce sales

With KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL set the events go to Kafka, else to the embedded log below
data/.log. Event i is a pure function of the seed, i and the moment of the call.")]
pub struct ProduceArgs {
    /// What to make up
    #[arg(value_enum)]
    what: What,
    /// The topic; made when it is not there
    #[arg(long, default_value = "sales.events.v1")]
    topic: String,
    /// The partitions that a new topic gets
    #[arg(long, default_value_t = 3)]
    partitions: i32,
    /// So many events, spread over the last two hours, at once; without it, live at --rate until Ctrl-C
    #[arg(long)]
    events: Option<u64>,
    /// Events a second when live; with --events also, so many at that rate
    #[arg(long)]
    rate: Option<f64>,
    /// Two runs of one seed and one moment make the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many writers take turns, an event each, every one with a schema of its own that has more fields than the last
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    writer_schemas: u8,
    /// Share of events 10.5 to 30 minutes behind
    #[arg(long, value_name = "R", default_value_t = 0.01)]
    late: f64,
    /// Share of copies of an earlier event
    #[arg(long, value_name = "R", default_value_t = 0.01)]
    duplicate: f64,
    /// Share of events that break an expectation
    #[arg(long, value_name = "R", default_value_t = 0.01)]
    invalid: f64,
    /// Share of events that are no rows
    #[arg(long, value_name = "R", default_value_t = 0.005)]
    malformed: f64,
    /// How long brokers and a registry that do not answer are waited for
    #[arg(long, value_name = "DURATION", default_value = "30 seconds")]
    wait: String,
    /// As JSON, for programs: how many events of each kind, on stdout
    #[arg(long)]
    json: bool,
}

/// What can be made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Sales of subscriptions, as sql/gold_revenue.sql reads them
    Sales,
}

/// For so long nobody wonders what it waits for.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a registry that does not answer is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Produces the events.
pub async fn produce(args: ProduceArgs) -> anyhow::Result<()> {
    let What::Sales = args.what;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let connecting = target(&args, &clock);
    tokio::pin!(connecting);
    let connected = tokio::select! {
        connected = &mut connecting => connected,
        () = tokio::time::sleep(SILENCE) => {
            say!("waiting for the brokers and the registry to answer, for {} at most", args.wait);
            connecting.await
        }
    };
    let (mut sink, schema_ids, place) = connected?;
    let mut config = SalesConfig::new(args.seed, clock.now_micros());
    if let [first, further @ ..] = schema_ids.as_slice() {
        (config.schema_id, config.further_schema_ids) = (*first, further.to_vec());
    }
    config.partitions = sink.partitions();
    config.shares =
        Shares { late: args.late, duplicate: args.duplicate, invalid: args.invalid, malformed: args.malformed };
    config.rate = args.rate.unwrap_or(config.rate);
    let is_live = args.rate.is_some() || args.events.is_none();
    config.backlog = if is_live { 0 } else { args.events.unwrap_or(0) };
    config.check().map_err(|e| Usage(e.to_string()))?;
    let generator = SalesGenerator::new(config)?;
    let produced = if is_live {
        say!("producing to {place}; Ctrl-C stops");
        let stop = crate::run::stop_signal();
        live(&generator, sink.as_mut(), clock.as_ref(), 0, args.events, stop, |_| {}).await?
    } else {
        let events = args.events.unwrap_or(0);
        tokio::task::spawn_blocking(move || fill(&generator, sink.as_mut(), 0..events, |_| {})).await??
    };
    if args.json {
        return Ok(out::json(&object(&produced))?);
    }
    say!("{} to {place}", describe(&produced));
    Ok(())
}

async fn target(args: &ProduceArgs, clock: &Arc<dyn Clock>) -> anyhow::Result<(Box<dyn EventSink>, Vec<u32>, String)> {
    let schemas = SALES_SCHEMAS.into_iter().take(usize::from(args.writer_schemas));
    let mut ids = Vec::new();
    let env = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
    let Some(brokers) = env("KAFKA_BOOTSTRAP_SERVERS") else {
        for schema in schemas {
            ids.push(register_sales(&Home::here(), &args.topic, schema).await?);
        }
        let sink = EmbeddedSink::open(Home::here().open_log(clock)?, &args.topic, args.partitions)?;
        return Ok((Box::new(sink), ids, format!("{} in {LOG_DIR}", args.topic)));
    };
    let registry = env("SCHEMA_REGISTRY_URL").ok_or_else(|| {
        Usage(
            "KAFKA_BOOTSTRAP_SERVERS is set and SCHEMA_REGISTRY_URL is not: the events' schema needs a registry"
                .to_owned(),
        )
    })?;
    let wait = wait(&args.wait)?;
    let began = clock.monotonic();
    for schema in schemas {
        ids.push(loop {
            match register(&registry, &args.topic, schema).await {
                Err(error) if error.retry() == Retry::WithBackoff && clock.monotonic().saturating_sub(began) < wait => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => break answer?,
            }
        });
    }
    let target = KafkaTarget {
        brokers: brokers.clone(),
        topic: args.topic.clone(),
        partitions: args.partitions,
        wait: Some(wait.saturating_sub(clock.monotonic().saturating_sub(began)).max(PAUSE)),
        ..Default::default()
    };
    Ok((Box::new(KafkaSink::connect(&target).await?), ids, format!("{} at {brokers}", args.topic)))
}

/// The counts, for programs.
fn object(produced: &Produced) -> String {
    let Produced { events, late, duplicate, invalid, malformed, .. } = produced;
    let object = serde_json::json!({
        "events": events, "late": late, "duplicate": duplicate, "invalid": invalid, "malformed": malformed,
    });
    format!("{object}\n")
}

fn describe(produced: &Produced) -> String {
    format!(
        "{} events ({} good, {} late, {} duplicate, {} invalid, {} malformed)",
        produced.events,
        produced.events - produced.late - produced.duplicate - produced.invalid - produced.malformed,
        produced.late,
        produced.duplicate,
        produced.invalid,
        produced.malformed
    )
}
