//! Starts the run, kills it at a chosen moment, starts it again.
//!
//! There are five kinds of moments: after a random time; in the first moments, during start and recovery; right after a commit, while files
//! are published; right after the record of an exchange, during the exchange; and twice in quick succession. Now and then the killer asks
//! the run to stop instead, and checks that it stops cleanly.

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::Rng;
use rand::rngs::SmallRng;
use sluicebox_core::{Clock, SystemClock};

use crate::job::Job;

/// How long the next commit is waited for. When all was read there is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for an exchange.
const PATIENCE_TO_EXCHANGE: Duration = Duration::from_secs(8);

/// How runs ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// By SIGKILL.
    pub kills: u32,
    /// Of those, in the first moments.
    pub while_starting: u32,
    /// Of those, just after a commit.
    pub after_commit: u32,
    /// Of those, while a folder was exchanged, or just before or after.
    pub while_exchanging: u32,
    /// By SIGTERM, with code 0.
    pub stops: u32,
}

/// When and how a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// Killed after so long.
    After(Duration),
    /// Killed so long after it was started, while it recovers.
    Starting(Duration),
    /// Killed so long after the next commit, or after the second duration if there is none.
    Committed(Duration, Duration),
    /// Killed so long after it was noted that a folder is to be exchanged.
    Exchanging(Duration),
    /// Asked to stop after so long.
    Stop(Duration),
}

/// Ends runs of `job`.
pub struct Killer<'j> {
    job: &'j Job<'j>,
    random: SmallRng,
    clock: SystemClock,
    /// The mean life of a run, in seconds.
    life: f64,
    /// How long the last run that was watched took from its start to its first commit, in seconds: a run that is killed
    /// before it has done nothing yet.
    start: Option<f64>,
    again_at_once: bool,
    /// How many batches there were at each kill.
    hit_at: BTreeSet<u64>,
    /// How they ended.
    pub ends: Ends,
}

impl<'j> Killer<'j> {
    /// A killer of runs that live for `life` on average.
    pub fn new(job: &'j Job<'j>, random: SmallRng, life: Duration) -> Self {
        let clock = SystemClock::new();
        let (life, start, hit_at) = (life.as_secs_f64(), None, BTreeSet::new());
        Self { job, random, clock, life, start, again_at_once: false, hit_at, ends: Ends::default() }
    }

    /// Fails when the kills hit too few different batches to tell anything.
    pub fn must_have_hit_many(&self) -> Result<()> {
        let (kills, moments) = (self.ends.kills, self.hit_at.len());
        if moments * 4 < usize::try_from(kills)? {
            bail!(
                "{kills} kills hit only {moments} different numbers of batches, which tells too little: give more --events"
            )
        }
        Ok(())
    }

    /// Fails when compaction was hardly tried.
    pub fn must_have_exchanged(&self) -> Result<()> {
        let (exchanges, at) = (self.job.exchanges(), self.ends.while_exchanging);
        if self.job.compacts && (exchanges < 4 || at == 0) {
            bail!(
                "{exchanges} folders were exchanged and {at} kills came then, which tells too little: give more --minutes"
            )
        }
        Ok(())
    }

    fn moment(&mut self) -> Moment {
        let Some(start) = self.start else { return Moment::Committed(Duration::ZERO, PATIENCE) };
        let seconds =
            |random: &mut SmallRng, from: f64, to: f64| Duration::from_secs_f64(random.random_range(from..to));
        let random = &mut self.random;
        if std::mem::take(&mut self.again_at_once) {
            return Moment::Starting(seconds(random, 0.01, 0.6 * start + 0.02));
        }
        let work = 2.0 * (self.life - start).max(0.3);
        match random.random_range(0..20) {
            0..=2 => Moment::Starting(seconds(random, 0.0, start + 0.01)),
            // At least one of a short soak.
            _ if self.job.compacts && self.ends.while_exchanging == 0 && self.ends.kills % 2 == 1 => {
                Moment::Exchanging(seconds(random, 0.0, 0.01))
            }
            3..=7 if self.job.compacts => Moment::Exchanging(seconds(random, 0.0, 0.01)),
            3..=9 => Moment::Committed(seconds(random, 0.0, 0.03), PATIENCE),
            10 => Moment::Stop(seconds(random, 0.3 * start, start + work)),
            _ => Moment::After(seconds(random, 0.8 * start, start + work)),
        }
    }

    /// One run, from its start to its end.
    pub fn one_run(&mut self) -> Result<()> {
        let moment = self.moment();
        let mut run = self.job.start(false)?;
        match moment {
            Moment::After(life) => self.live(&mut run, life)?,
            Moment::Starting(life) => {
                self.live(&mut run, life)?;
                self.ends.while_starting += 1;
            }
            Moment::Committed(after, at_most) => {
                if self.until_commit(&mut run, at_most)? {
                    self.ends.after_commit += 1;
                }
                sleep(after);
            }
            Moment::Exchanging(after) => {
                if self.until_exchange(&mut run)? {
                    self.ends.while_exchanging += 1;
                }
                sleep(after);
            }
            Moment::Stop(life) => {
                self.live(&mut run, life)?;
                return self.stop(run);
            }
        }
        run.kill()?;
        run.wait()?;
        self.ends.kills += 1;
        self.hit_at.insert(self.job.batches());
        self.again_at_once = self.random.random_range(0..6) == 0;
        Ok(())
    }

    /// Lets the run live; one that ends by itself is wrong.
    fn live(&self, run: &mut Child, life: Duration) -> Result<()> {
        let started = self.clock.monotonic();
        loop {
            self.must_live(run)?;
            let left = life.saturating_sub(self.clock.monotonic().saturating_sub(started));
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Whether a batch was committed before `at_most` was over.
    fn until_commit(&mut self, run: &mut Child, at_most: Duration) -> Result<bool> {
        let (started, before) = (self.clock.monotonic(), self.job.batches());
        let mut first = None;
        loop {
            self.must_live(run)?;
            let elapsed = self.clock.monotonic().saturating_sub(started);
            let more = self.job.batches() - before;
            if more > 0 && first.is_none() {
                first = Some(elapsed);
                self.start = Some(elapsed.as_secs_f64());
            }
            // Not the first one: by then it has recovered, and works as usual.
            if more >= 2 {
                return Ok(true);
            }
            if elapsed >= at_most {
                return Ok(false);
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Whether another exchange was noted before patience was over.
    fn until_exchange(&self, run: &mut Child) -> Result<bool> {
        let (started, before) = (self.clock.monotonic(), self.job.exchanges());
        while self.job.exchanges() <= before {
            self.must_live(run)?;
            if self.clock.monotonic().saturating_sub(started) >= PATIENCE_TO_EXCHANGE {
                return Ok(false);
            }
            sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    fn must_live(&self, run: &mut Child) -> Result<()> {
        match run.try_wait()? {
            None => Ok(()),
            Some(status) => {
                self.job.must_be_well(status)?;
                bail!("a run that follows its topic ended by itself; its log is {}", self.job.log().display())
            }
        }
    }

    /// Asks the run to stop. One that was started a moment ago may not listen yet, and ends by the signal.
    fn stop(&mut self, mut run: Child) -> Result<()> {
        signal(&run, "TERM")?;
        let started = self.clock.monotonic();
        loop {
            if let Some(status) = run.try_wait()? {
                if status.code().is_some() {
                    self.job.must_be_well(status)?;
                    self.ends.stops += 1;
                }
                return Ok(());
            }
            if self.clock.monotonic().saturating_sub(started) > Duration::from_secs(60) {
                run.kill()?;
                run.wait()?;
                bail!("a run did not stop within a minute of SIGTERM; its log is {}", self.job.log().display());
            }
            sleep(Duration::from_millis(20));
        }
    }
}

fn signal(run: &Child, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(run.id().to_string()).status()?;
    if !status.success() {
        bail!("kill -{name} {} ended with {status}", run.id());
    }
    Ok(())
}
