//! The topics that generated events go to.

mod embedded;
mod kafka;

pub use embedded::EmbeddedSink;
pub use kafka::{KafkaSink, KafkaTarget};

use std::ops::Range;
use std::time::Duration;

use sluicebox_core::Clock;

use crate::error::Result;
use crate::sales::{EventKind, GeneratedEvent, SalesGenerator};

/// A topic that events can be appended to.
///
/// ```
/// use sluicebox_samples::Result;
/// use sluicebox_samples::sales::{GeneratedEvent, SalesConfig, SalesGenerator};
/// use sluicebox_samples::sink::{EventSink, fill};
///
/// /// A topic in memory: the events of each partition.
/// struct Memory(Vec<Vec<GeneratedEvent>>);
///
/// impl EventSink for Memory {
///     fn partitions(&self) -> i32 {
///         self.0.len() as i32
///     }
///
///     fn append(&mut self, partition: i32, events: &[GeneratedEvent]) -> Result<()> {
///         self.0[partition as usize].extend_from_slice(events);
///         Ok(())
///     }
///
///     fn flush(&mut self) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// let generator = SalesGenerator::new(SalesConfig::new(7, 1_700_000_000_000_000))?;
/// let mut topic = Memory(vec![Vec::new(); 3]);
/// let produced = fill(&generator, &mut topic, 0..100, |_| {})?;
/// assert_eq!(produced.events, 100);
/// assert_eq!(topic.0.iter().map(Vec::len).sum::<usize>(), 100);
/// # Ok::<(), sluicebox_samples::ProduceError>(())
/// ```
pub trait EventSink: Send {
    /// How many partitions the topic has.
    fn partitions(&self) -> i32;

    /// Appends `events`, all of `partition`, in their order. They need not be durable before [`EventSink::flush`].
    ///
    /// # Errors
    /// When the topic does not take them; what was appended before stays.
    fn append(&mut self, partition: i32, events: &[GeneratedEvent]) -> Result<()>;

    /// Returns when everything appended is in the topic.
    ///
    /// # Errors
    /// When some of it is not, and never will be.
    fn flush(&mut self) -> Result<()>;
}

/// How many events were produced, by what they were meant to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Produced {
    /// All of them.
    pub events: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Sound rows, 10.5 to 30 minutes behind.
    pub late: u64,
    /// Copies.
    pub duplicate: u64,
    /// Rows that break an expectation.
    pub invalid: u64,
    /// No rows.
    pub malformed: u64,
}

impl Produced {
    /// Counts one more.
    pub fn count(&mut self, event: &GeneratedEvent) {
        self.events += 1;
        self.bytes += event.value.len() as u64;
        match event.kind {
            EventKind::Good => {}
            EventKind::Late => self.late += 1,
            EventKind::Duplicate(_) => self.duplicate += 1,
            EventKind::Invalid(_) => self.invalid += 1,
            EventKind::Malformed(_) => self.malformed += 1,
        }
    }
}

/// Events of one stretch, by partition.
pub(crate) struct Stretch {
    partitions: Vec<Vec<GeneratedEvent>>,
}

impl Stretch {
    pub(crate) fn new(partitions: i32) -> Self {
        Self { partitions: vec![Vec::new(); usize::try_from(partitions).unwrap_or(0)] }
    }

    /// Replaces what it holds by those events of `range` for which `wanted` says so.
    pub(crate) fn make(
        &mut self,
        generator: &SalesGenerator,
        range: Range<u64>,
        mut wanted: impl FnMut(&GeneratedEvent) -> bool,
    ) {
        self.partitions.iter_mut().for_each(Vec::clear);
        for index in range {
            let event = generator.event(index);
            if wanted(&event)
                && let Some(events) = usize::try_from(event.partition).ok().and_then(|p| self.partitions.get_mut(p))
            {
                events.push(event);
            }
        }
    }

    /// The partitions that have events, with them.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (i32, &[GeneratedEvent])> {
        (0..).zip(self.partitions.iter().map(Vec::as_slice)).filter(|(_, events)| !events.is_empty())
    }
}

/// How many events are made at a time.
pub(crate) const STRETCH: u64 = 4096;

/// Appends the events of `range`, as fast as the sink takes them, and flushes. `progress` is told after each stretch
/// what was produced so far.
///
/// # Errors
/// When the sink fails. What it took before stays in the topic.
pub fn fill(
    generator: &SalesGenerator,
    sink: &mut dyn EventSink,
    range: Range<u64>,
    mut progress: impl FnMut(&Produced),
) -> Result<Produced> {
    let mut produced = Produced::default();
    let mut stretch = Stretch::new(generator.config().partitions);
    let mut from = range.start;
    while from < range.end {
        let to = range.end.min(from.saturating_add(STRETCH));
        append_stretch(generator, sink, &mut stretch, from..to, &mut produced)?;
        progress(&produced);
        from = to;
    }
    sink.flush()?;
    Ok(produced)
}

fn append_stretch(
    generator: &SalesGenerator,
    sink: &mut dyn EventSink,
    stretch: &mut Stretch,
    range: Range<u64>,
    produced: &mut Produced,
) -> Result<()> {
    stretch.make(generator, range, |event| {
        produced.count(event);
        true
    });
    for (partition, events) in stretch.parts() {
        sink.append(partition, events)?;
    }
    Ok(())
}

/// Between two looks at the clock.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// More than this behind the clock, the machine slept: the time is skipped, not made up for.
pub(crate) const SLEPT: Duration = Duration::from_secs(10);

/// The events to produce now, when `next` is the first that was not: those whose time has come. After a gap longer than
/// ten seconds the events of the gap are left out.
pub(crate) fn due(generator: &SalesGenerator, next: u64, now_micros: i64) -> Range<u64> {
    let to = generator.index_at(now_micros).max(next);
    let slept = i64::try_from(SLEPT.as_micros()).unwrap_or(i64::MAX);
    let tick = i64::try_from(TICK.as_micros()).unwrap_or(0);
    let from = if generator.time_micros(next) < now_micros - slept {
        generator.index_at(now_micros - tick).max(next)
    } else {
        next
    };
    from..to
}

/// Appends each event from `first` on when its time comes, until `stop` is ready or `limit` events were produced; then
/// flushes. Events whose time was long ago are left out: it goes on from now.
///
/// # Errors
/// When the sink fails.
pub async fn live(
    generator: &SalesGenerator,
    sink: &mut dyn EventSink,
    clock: &dyn Clock,
    first: u64,
    limit: Option<u64>,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&Produced),
) -> Result<Produced> {
    let mut produced = Produced::default();
    let mut stretch = Stretch::new(generator.config().partitions);
    let mut next = first;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        let mut range = due(generator, next, clock.now_micros());
        if let Some(limit) = limit {
            range.end = range.end.min(range.start + (limit - produced.events));
        }
        next = range.end.max(next);
        while !range.is_empty() {
            let part = range.start..range.end.min(range.start + STRETCH);
            range.start = part.end;
            append_stretch(generator, sink, &mut stretch, part, &mut produced)?;
        }
        progress(&produced);
        if limit.is_some_and(|limit| produced.events >= limit) {
            break;
        }
        tokio::select! {
            () = &mut stop => break,
            _ = ticks.tick() => {}
        }
    }
    sink.flush()?;
    Ok(produced)
}
