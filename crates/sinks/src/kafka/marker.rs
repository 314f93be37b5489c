//! The newest batch, as a topic keeps it: in Kafka an offset and the text beside it, in the embedded log a note.

use super::Unknown;

/// The newest batch in the topic, as the consumer group of the sink has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The batch; none before the first.
    pub batch: Option<u64>,
    /// The epoch of the run that has published it, or opened the sink.
    pub epoch: u64,
}

impl Marker {
    /// The offset that says so: 0 before the first batch.
    pub fn offset(self) -> i64 {
        self.batch.map_or(0, |batch| i64::try_from(batch).unwrap_or(i64::MAX - 1) + 1)
    }

    /// The text beside the offset.
    pub fn metadata(self) -> String {
        format!("epoch={}", self.epoch)
    }

    /// What comes before a batch that is to be published.
    pub fn decide(marker: Option<Self>, batch: u64, is_ours: bool, unknown: Unknown) -> Todo {
        match (marker.map(|marker| marker.batch), unknown) {
            (Some(Some(newest)), _) if newest >= batch => Todo::Nothing,
            (Some(_), _) => Todo::Send,
            // Rows that this run has staged came after it had opened the sink: nobody can have published them.
            (None, _) if is_ours => Todo::Send,
            (None, Unknown::Stop) => Todo::Refuse,
            (None, Unknown::Publish) => Todo::Send,
            (None, Unknown::Skip) => Todo::Mark,
        }
    }

    /// What `offset` and `metadata` say; none where there is no such offset. An offset that somebody has set by Kafka's own
    /// tools has no epoch, and counts.
    pub fn read(offset: Option<i64>, metadata: &str) -> Option<Self> {
        let offset = u64::try_from(offset?).ok()?;
        let epoch = metadata.strip_prefix("epoch=").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Some(Self { batch: offset.checked_sub(1), epoch })
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Todo {
    /// It is in the topic.
    Nothing,
    /// Its rows are sent, with its marker.
    Send,
    /// Its marker alone: it is taken for published.
    Mark,
    /// Nobody knows whether it is in the topic: the user is to find out.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_sent_unless_it_is_there_or_may_be() {
        let known = |batch| Some(Marker { batch, epoch: 1 });
        for unknown in [Unknown::Stop, Unknown::Publish, Unknown::Skip] {
            for is_ours in [false, true] {
                let decide = |marker, batch| Marker::decide(marker, batch, is_ours, unknown);
                assert_eq!([decide(known(Some(7)), 7), decide(known(Some(8)), 7)], [Todo::Nothing; 2]);
                assert_eq!([decide(known(Some(6)), 7), decide(known(None), 0)], [Todo::Send; 2]);
            }
            assert_eq!(Marker::decide(None, 7, true, unknown), Todo::Send);
        }
        assert_eq!(Marker::decide(None, 7, false, Unknown::Stop), Todo::Refuse);
        assert_eq!(Marker::decide(None, 7, false, Unknown::Publish), Todo::Send);
        assert_eq!(Marker::decide(None, 7, false, Unknown::Skip), Todo::Mark);
    }

    #[test]
    fn a_marker_is_an_offset_that_comes_back() {
        for batch in [None, Some(0), Some(7), Some(1 << 48)] {
            let marker = Marker { batch, epoch: 3 };
            assert_eq!(Marker::read(Some(marker.offset()), &marker.metadata()), Some(marker));
        }
        assert_eq!(Marker { batch: None, epoch: 1 }.offset(), 0);
        assert_eq!(Marker { batch: Some(0), epoch: 1 }.offset(), 1);
    }

    #[test]
    fn no_offset_is_no_marker_and_one_set_by_hand_is_one() {
        assert_eq!(Marker::read(None, ""), None);
        assert_eq!(Marker::read(Some(-1001), ""), None);
        assert_eq!(Marker::read(Some(8), ""), Some(Marker { batch: Some(7), epoch: 0 }));
        assert_eq!(Marker::read(Some(8), "epoch=x"), Some(Marker { batch: Some(7), epoch: 0 }));
    }
}
