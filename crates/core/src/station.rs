//! Time accounting: how often each station of the road was at work, how long it took, and how much processor time it used.
//!
//! The counters belong to the whole process and only grow. The difference of two [`spent`] is what a batch or a run took. Nested work (an
//! fsync while a file is staged) counts for the inner station alone, so that the stations of one thread never add up to more than its time.
//! Timings are for people: nothing durable may hold them.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use cpu_time::ThreadTime;

use crate::clock::{Clock, SystemClock};

/// A station of the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Station {
    /// Taking events from the log into the buffer; librdkafka's own threads are not in it.
    Fetch,
    /// From raw events to rows and dead letters.
    Decode,
    /// Making physical plans and expressions.
    Plan,
    /// Running stateless plans.
    Query,
    /// Judging lateness, and taking late rows out.
    Watermark,
    /// Judging expectations.
    Judge,
    /// Operators of one kind.
    Operator {
        /// Where the kind stands among all of them, below [`KINDS`]; those behind share the last place.
        place: usize,
        /// What the kind is called in the progress.
        name: &'static str,
    },
    /// Encoding rows as Parquet and writing the files.
    Encode,
    /// Writing the state of operators.
    State,
    /// Making the report of a batch.
    Report,
    /// Writing the plan and the commit of a batch.
    Commit,
    /// Giving staged files their final names.
    Publish,
    /// Waiting for the disk to take a file or folder: an fsync each.
    Sync,
}

/// How many kinds of operators are counted apart.
pub const KINDS: usize = 8;

/// How many stations are counted.
const STATIONS: usize = Station::BEFORE.len() + KINDS + Station::BEHIND.len();

impl Station {
    /// Those before the operators, in the order of the road.
    const BEFORE: [Self; 6] = [Self::Fetch, Self::Decode, Self::Plan, Self::Query, Self::Watermark, Self::Judge];

    /// Those behind them.
    const BEHIND: [Self; 6] = [Self::Encode, Self::State, Self::Report, Self::Commit, Self::Publish, Self::Sync];

    /// Its place in the order of the road.
    fn place(self) -> usize {
        let behind = |nth: usize| Self::BEFORE.len() + KINDS + nth;
        match self {
            Self::Fetch => 0,
            Self::Decode => 1,
            Self::Plan => 2,
            Self::Query => 3,
            Self::Watermark => 4,
            Self::Judge => 5,
            Self::Operator { place, .. } => Self::BEFORE.len() + place.min(KINDS - 1),
            Self::Encode => behind(0),
            Self::State => behind(1),
            Self::Report => behind(2),
            Self::Commit => behind(3),
            Self::Publish => behind(4),
            Self::Sync => behind(5),
        }
    }

    /// Its name in the progress.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Plan => "plan",
            Self::Query => "query",
            Self::Watermark => "watermark",
            Self::Judge => "judge",
            Self::Operator { name, .. } => name,
            Self::Encode => "encode",
            Self::State => "state",
            Self::Report => "report",
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Sync => "sync",
        }
    }
}

/// What a station took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// How often it was at work.
    pub times: u64,
    /// How long, over all threads, waiting included.
    pub wall: Duration,
    /// How long a processor worked for it.
    pub cpu: Duration,
}

/// What each station took, in the order of the road.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllSpent([Spent; STATIONS]);

impl AllSpent {
    /// The stations with what each took; of the kinds of operators those that have been at work.
    pub fn iter(&self) -> impl Iterator<Item = (Station, Spent)> {
        let operators = NAMES.iter().enumerate();
        let operators =
            operators.filter_map(|(place, name)| Some(Station::Operator { place, name: name.get().copied()? }));
        let all = Station::BEFORE.into_iter().chain(operators).chain(Station::BEHIND);
        all.filter_map(move |station| Some((station, *self.0.get(station.place())?)))
    }

    /// What `station` took.
    #[must_use]
    pub fn of(&self, station: Station) -> Spent {
        self.0.get(station.place()).copied().unwrap_or_default()
    }

    /// What was spent between `earlier` and this.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for (mine, theirs) in difference.0.iter_mut().zip(earlier.0) {
            mine.times = mine.times.saturating_sub(theirs.times);
            mine.wall = mine.wall.saturating_sub(theirs.wall);
            mine.cpu = mine.cpu.saturating_sub(theirs.cpu);
        }
        difference
    }
}

#[derive(Debug)]
struct Counters {
    times: AtomicU64,
    wall_nanos: AtomicU64,
    cpu_nanos: AtomicU64,
}

static COUNTERS: [Counters; STATIONS] =
    [const { Counters { times: AtomicU64::new(0), wall_nanos: AtomicU64::new(0), cpu_nanos: AtomicU64::new(0) } };
        STATIONS];
/// The names of the kinds of operators that have been at work.
static NAMES: [OnceLock<&'static str>; KINDS] = [const { OnceLock::new() }; KINDS];
static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

fn counters(station: Station) -> Option<&'static Counters> {
    COUNTERS.get(station.place())
}

/// What one thread is at, and since when.
struct Thread {
    at: Option<Station>,
    since: Duration,
    cpu: Duration,
}

thread_local! {
    static THREAD: RefCell<Thread> =
        const { RefCell::new(Thread { at: None, since: Duration::ZERO, cpu: Duration::ZERO }) };
}

impl Thread {
    /// Counts the time since the last change for what it was at, and goes on at `to`.
    fn change(&mut self, to: Option<Station>) -> Option<Station> {
        // The kernel's own files about a thread are brought up to date only at its ticks.
        let (now, cpu) = (CLOCK.monotonic(), ThreadTime::now().as_duration());
        if let Some(counters) = self.at.and_then(counters) {
            let add = |to: &AtomicU64, from: Duration, until: Duration| {
                let nanos = u64::try_from(until.saturating_sub(from).as_nanos()).unwrap_or(0);
                to.fetch_add(nanos, Ordering::Relaxed);
            };
            add(&counters.wall_nanos, self.since, now);
            add(&counters.cpu_nanos, self.cpu, cpu);
        }
        (self.since, self.cpu) = (now, cpu);
        std::mem::replace(&mut self.at, to)
    }
}

fn change(to: Option<Station>) -> Option<Station> {
    // A thread that is ending, and has let go of its locals, is not counted any more.
    THREAD.try_with(|thread| thread.borrow_mut().change(to)).unwrap_or(None)
}

/// Until it is dropped, the time of this thread counts for a station.
#[derive(Debug)]
pub struct AtWork {
    before: Option<Station>,
    // Of one thread.
    _here: PhantomData<*const ()>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        change(self.before);
    }
}

/// From here on the time of this thread counts for `station`, until the result is dropped.
#[must_use]
pub fn begin(station: Station) -> AtWork {
    count(station);
    resume(station)
}

fn count(station: Station) {
    if let Station::Operator { place, name } = station
        && let Some(known) = NAMES.get(place.min(KINDS - 1))
    {
        known.get_or_init(|| name);
    }
    if let Some(counters) = counters(station) {
        counters.times.fetch_add(1, Ordering::Relaxed);
    }
}

fn resume(station: Station) -> AtWork {
    AtWork { before: change(Some(station)), _here: PhantomData }
}

/// Does `work`, and counts it for `station`.
pub fn spend<T>(station: Station, work: impl FnOnce() -> T) -> T {
    let _at_work = begin(station);
    work()
}

/// `work`, of which each step counts for `station`; what it waits for does not.
pub fn timed<F: Future>(station: Station, work: F) -> impl Future<Output = F::Output> {
    count(station);
    let mut work = Box::pin(work);
    poll_fn(move |context| {
        let _at_work = resume(station);
        work.as_mut().poll(context)
    })
}

/// What each station took since the process began.
#[must_use]
pub fn spent() -> AllSpent {
    let mut all = AllSpent::default();
    for (spent, counters) in all.0.iter_mut().zip(&COUNTERS) {
        let nanos = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        *spent = Spent {
            times: counters.times.load(Ordering::Relaxed),
            wall: nanos(&counters.wall_nanos),
            cpu: nanos(&counters.cpu_nanos),
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_station_has_its_place() {
        let operators = (0..KINDS).map(|place| Station::Operator { place, name: "operator" });
        let all: Vec<Station> = Station::BEFORE.into_iter().chain(operators).chain(Station::BEHIND).collect();
        assert_eq!(all.len(), STATIONS);
        for (at, station) in all.into_iter().enumerate() {
            assert_eq!(station.place(), at);
        }
    }

    #[test]
    fn kinds_of_operators_are_told_by_name_once_they_worked() {
        // No other test of this crate is at these two places.
        let (one, other) =
            (Station::Operator { place: 3, name: "one" }, Station::Operator { place: KINDS + 5, name: "other" });
        spend(other, || spend(one, || ()));
        let spent = spent();
        let operators: Vec<Station> = spent.iter().map(|(station, _)| station).filter(|s| s.place() > 8).collect();
        assert_eq!(operators[..2], [one, Station::Operator { place: KINDS - 1, name: "other" }]);
        assert_eq!((spent.of(one).times, spent.of(other).times), (1, 1));
    }

    #[test]
    fn work_inside_other_work_counts_once() {
        // No other test of this crate is at these two stations.
        let (outer, inner) = (Station::Query, Station::Judge);
        let (before, began) = (spent(), CLOCK.monotonic());
        spend(outer, || {
            for _ in 0..3 {
                spend(inner, || std::thread::sleep(Duration::from_millis(2)));
            }
        });
        let (took, ended) = (spent().since(&before), CLOCK.monotonic());
        assert_eq!((took.of(outer).times, took.of(inner).times), (1, 3));
        assert!(took.of(inner).wall >= Duration::from_millis(6), "{took:?}");
        assert!(took.of(outer).wall + took.of(inner).wall <= ended - began, "{took:?}");
        assert!(THREAD.with(|thread| thread.borrow().at.is_none()));
    }

    #[test]
    fn a_future_counts_once_and_only_while_it_is_polled() {
        let station = Station::Report;
        let before = spent();
        let mut polls = 0;
        let mut work = Box::pin(timed(
            station,
            poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                assert_eq!(THREAD.with(|thread| thread.borrow().at), Some(station));
                if polls < 3 { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
            }),
        ));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while work.as_mut().poll(&mut context).is_pending() {
            assert!(THREAD.with(|thread| thread.borrow().at.is_none()));
        }
        assert_eq!(spent().since(&before).of(station).times, 1);
    }
}
