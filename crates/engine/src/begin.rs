//! Where sources begin or resume: for the first lines that a user sees, and for `plan`, which asks and changes nothing.

use std::collections::BTreeMap;
use std::fmt;

use sluicebox_core::PartitionId;
use sluicebox_core::digits::thousands;
use sluicebox_sources::{Bounds, Source, StartingOffsets};

use crate::EngineError;

/// Partitions that are named one by one.
const NAMED: usize = 6;

/// What a source's options say of where it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Starting {
    /// `startingOffsets`; `None` for what is not read from a log.
    pub at: Option<StartingOffsets>,
    /// `subscribePattern`, if topics are found by it.
    pub pattern: Option<String>,
}

/// Where a source begins, or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The source.
    pub source: String,
    /// What its options say.
    pub starting: Starting,
    /// Whether its starting offsets are resolved by this very start.
    pub is_first: bool,
    /// The first offset to be read, by partition.
    pub positions: BTreeMap<PartitionId, i64>,
    /// Events that the log holds before them and that are not read; 0 unless this is the first start. Counted by offsets.
    pub older: u64,
    /// Events that the log holds from them on, counted by offsets.
    pub ahead: u64,
}

impl Begin {
    /// Where `source`, which has not started yet, would begin now.
    ///
    /// # Errors
    /// When the log cannot be asked, a topic is not there, or the options name offsets that it does not hold.
    pub async fn first(source: &mut dyn Source, starting: &Starting) -> Result<Self, EngineError> {
        let positions = source.starting_offsets().await?;
        let bounds = source.bounds().await?;
        Ok(Self::at(source.name(), starting, true, positions, &bounds))
    }

    /// Where `source` goes on, at `positions`; partitions that are new begin at offset 0.
    ///
    /// # Errors
    /// When the log cannot be asked, or a topic is not there.
    pub async fn next(
        source: &mut dyn Source,
        starting: &Starting,
        positions: BTreeMap<PartitionId, i64>,
    ) -> Result<Self, EngineError> {
        let bounds = source.bounds().await?;
        Ok(Self::going_on(source.name(), starting, positions, &bounds))
    }

    fn going_on(
        source: &str,
        starting: &Starting,
        mut positions: BTreeMap<PartitionId, i64>,
        bounds: &BTreeMap<PartitionId, Bounds>,
    ) -> Self {
        for id in bounds.keys() {
            positions.entry(id.clone()).or_insert(0);
        }
        Self::at(source, starting, false, positions, bounds)
    }

    /// At `positions`, of partitions that hold `bounds`.
    #[must_use]
    pub fn at(
        source: &str,
        starting: &Starting,
        is_first: bool,
        positions: BTreeMap<PartitionId, i64>,
        bounds: &BTreeMap<PartitionId, Bounds>,
    ) -> Self {
        let held = |(id, at): (&PartitionId, &i64)| bounds.get(id).map(|b| (*b, *at));
        let sum = |of: fn((Bounds, i64)) -> i64| -> u64 {
            positions.iter().filter_map(held).map(|one| u64::try_from(of(one)).unwrap_or(0)).sum()
        };
        let (older, ahead) = (sum(|(b, at)| at - b.earliest), sum(|(b, at)| b.latest - at));
        Self {
            source: source.to_owned(),
            starting: starting.clone(),
            is_first,
            older: if is_first { older } else { 0 },
            ahead,
            positions,
        }
    }

    /// Whether no topic matches the pattern yet.
    #[must_use]
    pub fn finds_no_topic(&self) -> bool {
        self.positions.is_empty() && self.starting.pattern.is_some()
    }

    fn places(&self) -> String {
        let mut named: Vec<String> =
            self.positions.iter().take(NAMED).map(|(id, at)| format!("{} {at}", place(id))).collect();
        let more = self.positions.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("and {more} partitions more"));
        }
        named.join(", ")
    }
}

/// That no topic matches `pattern`.
#[must_use]
pub fn no_topic(pattern: &str) -> String {
    format!(
        "no topic matches '{pattern}', which must match the whole name; a run keeps looking for one, unless its trigger is available-now"
    )
}

/// `topic/partition`, without the source.
fn place(id: &PartitionId) -> String {
    format!("{}/{}", id.topic, id.partition)
}

/// `1 event`, `1,204 events`.
fn events(n: u64) -> String {
    format!("{} event{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// `starts at the end of the topic (startingOffsets is latest): 5 events before it are not read`, and so on; the source is
/// not named.
impl fmt::Display for Begin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pattern) = self.starting.pattern.as_ref().filter(|_| self.positions.is_empty()) {
            return f.write_str(&no_topic(pattern));
        }
        let (older, ahead) = (events(self.older), events(self.ahead));
        let are = if self.older == 1 { "is" } else { "are" };
        match (self.is_first, &self.starting.at) {
            (true, Some(StartingOffsets::Latest)) => write!(
                f,
                "starts at the end of the topic (startingOffsets is latest): {older} before it {are} not read"
            ),
            (true, Some(StartingOffsets::PerPartition(_))) if self.older > 0 => write!(
                f,
                "starts where startingOffsets says ({}): {older} before that {are} not read, {ahead} from there on",
                self.places()
            ),
            (true, _) if self.ahead == 0 => f.write_str("starts at the beginning; nothing is there yet"),
            (true, _) => write!(f, "starts at the beginning: {ahead}"),
            (false, _) if self.ahead == 0 => write!(f, "goes on from {}: nothing new yet", self.places()),
            (false, _) => write!(f, "goes on from {}: {ahead} since", self.places()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(is_first: bool, at: StartingOffsets, partitions: &[(i64, i64, i64)]) -> Begin {
        let id = |p: usize| PartitionId::new("s", "t", i32::try_from(p).unwrap_or(0));
        let positions = partitions.iter().enumerate().map(|(p, (_, at, _))| (id(p), *at)).collect();
        let bounds = partitions.iter().enumerate();
        let bounds =
            bounds.map(|(p, (earliest, _, latest))| (id(p), Bounds { earliest: *earliest, latest: *latest })).collect();
        Begin::at("s", &Starting { at: Some(at), pattern: None }, is_first, positions, &bounds)
    }

    #[test]
    fn the_words_say_what_is_not_read() {
        let said = |is_first, at: StartingOffsets, partitions: &[_]| begin(is_first, at, partitions).to_string();
        assert_eq!(
            said(true, StartingOffsets::Latest, &[(0, 3, 3), (1, 3, 3)]),
            "starts at the end of the topic (startingOffsets is latest): 5 events before it are not read"
        );
        assert_eq!(
            said(true, StartingOffsets::Latest, &[(2, 3, 4)]),
            "starts at the end of the topic (startingOffsets is latest): 1 event before it is not read"
        );
        assert_eq!(said(true, StartingOffsets::Earliest, &[(0, 0, 1204)]), "starts at the beginning: 1,204 events");
        assert_eq!(
            said(true, StartingOffsets::Earliest, &[(7, 7, 7)]),
            "starts at the beginning; nothing is there yet"
        );
        let given = StartingOffsets::PerPartition(BTreeMap::new());
        assert_eq!(
            said(true, given, &[(0, 2, 3), (0, 0, 1)]),
            "starts where startingOffsets says (t/0 2, t/1 0): 2 events before that are not read, 2 events from there on"
        );
        // Later, the option says nothing any more.
        assert_eq!(said(false, StartingOffsets::Latest, &[(0, 3, 4)]), "goes on from t/0 3: 1 event since");
        let many = vec![(0, 1, 1); 9];
        let said = said(false, StartingOffsets::Latest, &many);
        assert!(said.ends_with("t/5 1, and 3 partitions more: nothing new yet"), "{said}");
    }

    #[test]
    fn events_of_partitions_that_are_new_are_told_at_a_later_start() {
        let (old, new) = (PartitionId::new("s", "a", 0), PartitionId::new("s", "b", 0));
        let bounds = BTreeMap::from([
            (old.clone(), Bounds { earliest: 0, latest: 3 }),
            (new, Bounds { earliest: 0, latest: 4 }),
        ]);
        let starting = Starting { at: Some(StartingOffsets::Latest), pattern: Some("a|b".to_owned()) };
        let begin = Begin::going_on("s", &starting, BTreeMap::from([(old, 3)]), &bounds);
        assert_eq!(begin.to_string(), "goes on from a/0 3, b/0 0: 4 events since");
    }

    #[test]
    fn a_pattern_without_a_topic_is_told() {
        let starting = Starting { at: Some(StartingOffsets::Earliest), pattern: Some("no-.*".to_owned()) };
        let begin = Begin::at("s", &starting, true, BTreeMap::new(), &BTreeMap::new());
        assert!(begin.finds_no_topic() && begin.to_string().contains("no topic matches 'no-.*'"), "{begin}");
    }
}
