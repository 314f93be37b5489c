//! An opened topic of the embedded log: its transactions, and the marker at the time of opening.
//!
//! The lock of the partition takes the place of Kafka's coordinator: one transaction is made at a time, and a session reads the marks of the
//! earlier ones. A session leaves a mark of its own when it opens the topic. If it later finds another mark than its last one, a later session
//! has opened the topic, and it does nothing.
//!
//! A batch is one transaction, and a transaction is in one partition. So the topic has one partition.

use std::fmt;
use std::sync::Arc;

use sluicebox_core::{Blame, Blamed, Certainty};
use sluicebox_sources::{EmbeddedLog, Mark, Record, SourceError, TopicOptions, Transaction, Transactions};

use super::encode::{Encoder, Events};
use super::marker::{Marker, Todo};
use super::{BATCH_HEADER, KafkaSinkOptions, Opened, forgotten, name_of};
use crate::error::{LakeError, RemoteError, Result};
use crate::outbox::Outbox;
use crate::output::StagedRows;
use crate::owner::Owner;

/// What a mark says of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    /// The epoch of the run that has left it.
    epoch: u64,
    /// The newest batch; none where it is not known.
    marker: Option<Marker>,
}

impl Note {
    fn text(self) -> String {
        let epoch = self.epoch;
        self.marker
            .map_or_else(|| format!("epoch={epoch}"), |marker| format!("epoch={epoch} offset={}", marker.offset()))
    }

    /// What `text` says, if it is a note.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let first = words.next()?;
        let epoch = first.strip_prefix("epoch=")?.parse().ok()?;
        let offset = words.next().and_then(|word| word.strip_prefix("offset=")?.parse().ok());
        Some(Self { epoch, marker: Marker::read(offset, first) })
    }
}

/// A topic that is open.
pub(super) struct LogSession {
    options: Arc<KafkaSinkOptions>,
    transactions: Transactions,
    encoder: Encoder,
    /// The last mark of this session.
    own: Mark,
    note: Note,
    /// What the header of an event says before the batch.
    of: String,
}

impl fmt::Debug for LogSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSession").field("own", &self.own).field("note", &self.note).finish_non_exhaustive()
    }
}

impl LogSession {
    /// Makes the topic if it is not there, reads the marker, and leaves a mark of this run; blocking. Where nothing waits to be published
    /// (`is_first`) and there is no marker, one is set: from then on a marker that is missing has been lost.
    ///
    /// # Errors
    /// When a file cannot be read or written, the topic has several partitions, or a later run has published.
    pub fn open(
        log: &EmbeddedLog,
        options: &Arc<KafkaSinkOptions>,
        encoder: Encoder,
        owner: &Owner,
        epoch: u64,
        is_first: bool,
    ) -> Result<Self> {
        let doing = format!("open {}", options.described());
        let trouble = |error: SourceError| trouble(&doing, error);
        let partitions = match log.topic(&options.topic).map_err(trouble)? {
            Some(found) => found.partitions,
            None => log.create_topic(&options.topic, 1, TopicOptions::default()).map_err(trouble)?.partitions,
        };
        if partitions != 1 {
            return Err(RemoteError::Refused {
                doing: doing.clone(),
                why: format!(
                    "it has {partitions} partitions, and a table is written to a topic of one: a batch is one append; name another \
                     'topic', which is made by itself"
                ),
                certainty: Certainty::NotDone,
                blame: Blame::User,
            }
            .into());
        }
        let mut transactions = log.transactions(&options.topic, 0, &name_of(owner)).map_err(trouble)?;
        let transaction = begin(&mut transactions, &doing)?;
        let found = transaction.newest().and_then(|mark| Note::read(&mark.note));
        if let Some(Note { epoch: theirs, .. }) = found.filter(|note| note.epoch > epoch) {
            return Err(RemoteError::Passed { sink: options.described(), ours: epoch, theirs }.into());
        }
        let first = is_first.then_some(Marker { batch: None, epoch });
        let note = Note { epoch, marker: found.and_then(|note| note.marker).or(first) };
        let own = transaction.commit(&note.text()).map_err(trouble)?;
        let of = format!("{}.{}.", owner.query_id, owner.generation);
        Ok(Self { options: Arc::clone(options), transactions, encoder, own, note, of })
    }
}

impl Opened for LogSession {
    fn newest(&self) -> Option<u64> {
        self.note.marker.and_then(|marker| marker.batch)
    }

    fn publish(&mut self, doing: &str, batch: u64, staged: &StagedRows, outbox: &Outbox) -> Result<()> {
        let id = format!("{}{batch}", self.of);
        let is_ours = Outbox::epoch_of(staged) == Some(self.note.epoch);
        let rows = match Marker::decide(self.note.marker, batch, is_ours, self.options.unknown) {
            Todo::Nothing => return Ok(()),
            Todo::Refuse => {
                let gone = "the mark that tells it is gone, with a topic that was made anew or whose oldest events were deleted";
                return Err(forgotten(&self.options, batch, &id, gone).into());
            }
            Todo::Mark => None,
            // Before the lock is taken: what it is compared with takes its time.
            Todo::Send => Some(outbox.read(staged)?),
        };
        let Self { transactions, encoder, own, note, .. } = self;
        let mut transaction = begin(transactions, doing)?;
        if transaction.newest() != Some(&*own) {
            return Err(RemoteError::Fenced { doing: doing.to_owned(), or: "" }.into());
        }
        for rows in rows.into_iter().flatten() {
            let events = encoder.events(&rows?)?;
            let now_ms = transaction.now_ms();
            let records: Vec<Record> = (0..events.count()).map(|row| record(&events, row, &id, now_ms)).collect();
            transaction.append(&records).map_err(|error| trouble(doing, error))?;
        }
        let marked = Note { epoch: note.epoch, marker: Some(Marker { batch: Some(batch), epoch: note.epoch }) };
        *own = transaction.commit(&marked.text()).map_err(|error| trouble(doing, error))?;
        *note = marked;
        Ok(())
    }
}

/// A transaction, unless another process holds the partition.
fn begin<'t>(transactions: &'t mut Transactions, doing: &str) -> Result<Transaction<'t>> {
    let begun = transactions.begin().map_err(|error| trouble(doing, error))?;
    Ok(begun.ok_or_else(|| RemoteError::away(doing, "another process is in the middle of an append to it"))?)
}

/// The event of a row.
fn record(events: &Events, row: usize, id: &str, now_ms: i64) -> Record {
    let own = (BATCH_HEADER.to_owned(), Some(id.as_bytes().to_vec().into()));
    let headers =
        events.headers(row).map(|(key, value)| (key.to_owned(), value.map(|text| text.as_bytes().to_vec().into())));
    Record {
        timestamp_ms: Some(now_ms),
        key: events.key(row).map(|key| key.to_vec().into()),
        value: Some(events.value(row).to_vec().into()),
        headers: std::iter::once(own).chain(headers).collect(),
    }
}

/// The error of `doing`. A disk that fails is told as that of a table's folder is.
pub(super) fn trouble(doing: &str, error: SourceError) -> LakeError {
    match error {
        SourceError::File(error) => error.into(),
        error => RemoteError::Refused {
            doing: doing.to_owned(),
            why: error.to_string(),
            certainty: Certainty::NotDone,
            blame: error.blame(),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_as_it_was() {
        for batch in [None, Some(None), Some(Some(0)), Some(Some(41))] {
            let note = Note { epoch: 3, marker: batch.map(|batch| Marker { batch, epoch: 3 }) };
            assert_eq!(Note::read(&note.text()), Some(note), "{}", note.text());
        }
        for other in ["", "epoch", "epoch=x", "offset=3"] {
            assert_eq!(Note::read(other), None, "{other}");
        }
    }
}
