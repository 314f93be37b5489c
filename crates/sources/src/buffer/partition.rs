//! The buffer of one partition: its events, how far it was seen, and what to report of it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use sluicebox_core::raw::RawEvents;
use sluicebox_core::{OffsetRange, PartitionId};

use super::hearing::Hearing;
use super::{Shared, plan};
use crate::chunk::{OpenChunk, Sealed};
use crate::error::{Result, SourceError};
use crate::source::{Buffered, Chunk, LossReason, LostRange, Taken};

/// What is known of one partition.
pub(super) struct Partition {
    /// Counts seeks.
    pub(super) generation: u64,
    /// The first offset not taken.
    pub(super) position: i64,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) open: OpenChunk,
    /// Every offset below this one was seen: its event is here or was taken, or it holds none.
    pub(super) proven: i64,
    pub(super) log_end: i64,
    /// When the log confirmed that.
    pub(super) hearing: Hearing,
    /// Offsets below this one are waited for, whatever the budget.
    pub(super) demand: i64,
    pub(super) lost: Vec<plan::Loss>,
    pub(super) bytes: u64,
    pub(super) failed: Option<SourceError>,
    /// Whether the topic is gone, so that nothing can be fetched any more: what is asked for is lost.
    pub(super) gone: bool,
    /// Whether it was told that something of it cannot be read.
    pub(super) told: bool,
}

/// Access to a partition's columns for a run of events.
pub(crate) struct Fill<'a> {
    pub(super) partition: &'a mut Partition,
    pub(super) id: &'a PartitionId,
    pub(super) added: u64,
    pub(super) room: u64,
}

impl Partition {
    pub(super) fn at(position: i64) -> Self {
        Self {
            generation: 0,
            position,
            sealed: VecDeque::new(),
            open: OpenChunk::new(),
            proven: position,
            log_end: position,
            hearing: Hearing::default(),
            demand: i64::MIN,
            lost: Vec::new(),
            bytes: 0,
            failed: None,
            gone: false,
            told: false,
        }
    }

    /// Forgets what is buffered and begins again at `position`.
    pub(super) fn seek(&mut self, shared: &Shared, position: i64) {
        shared.total.fetch_sub(self.bytes, Ordering::Relaxed);
        let (generation, log_end, hearing) = (self.generation + 1, self.log_end, self.hearing);
        let (gone, told) = (self.gone, self.told);
        *self = Self { generation, log_end, hearing, gone, told, ..Self::at(position) };
    }

    /// Notes that the offsets up to `to` are gone.
    pub(super) fn lose(&mut self, to: i64, reason: LossReason) {
        if self.proven < to {
            self.lost.push((OffsetRange::new(self.proven, to), reason));
            self.proven = to;
        }
    }

    /// Hands over the error of a failed partition; it is fetched anew after that.
    pub(super) fn check(&mut self, shared: &Shared) -> Result<()> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) => {
                self.seek(shared, self.position);
                shared.wake();
                Err(error)
            }
        }
    }

    pub(super) fn buffered(&self, id: PartitionId) -> Buffered {
        let mut chunks: Vec<Chunk> = self.sealed.iter().map(|s| Chunk { to: s.next, bytes: s.bytes }).collect();
        if !self.open.is_empty() {
            chunks.push(Chunk { to: self.open.next(), bytes: self.open.bytes() });
        }
        plan::extend_to_proven(self.position, self.proven, &mut chunks);
        Buffered { partition: id, position: self.position, chunks, log_end: self.log_end.max(self.proven) }
    }

    fn seal(&mut self, source: &str) -> Result<()> {
        let sealed = self.open.seal().map_err(|e| SourceError::Internal {
            source_name: source.to_owned(),
            what: format!("cannot build columns: {e}"),
        })?;
        self.sealed.push_back(sealed);
        Ok(())
    }

    pub(super) fn take(
        &mut self,
        shared: &Shared,
        id: PartitionId,
        range: OffsetRange,
        taken: &mut Taken,
    ) -> Result<()> {
        if !self.open.is_empty() && self.sealed.back().is_none_or(|s| s.next < range.to) {
            self.seal(&id.source)?;
        }
        let mut events = 0;
        while let Some(chunk) = self.sealed.pop_front() {
            let (head, tail) = chunk.cut(range.to);
            if let Some(head) = head {
                events += head.events.num_rows() as u64;
                self.bytes -= head.bytes;
                shared.total.fetch_sub(head.bytes, Ordering::Relaxed);
                taken.events.push(RawEvents { partition: id.clone(), events: head.events, large: head.large });
            }
            if let Some(tail) = tail {
                self.sealed.push_front(tail);
                break;
            }
        }
        let lost = plan::lost_in(range, &self.lost);
        self.lost.retain(|(l, _)| l.to > range.to);
        let gap = plan::gap_offsets(range, events, &lost);
        taken.lost.extend(lost.into_iter().map(|(range, reason)| LostRange { partition: id.clone(), range, reason }));
        if gap > 0 {
            taken.gap_offsets.insert(id, gap);
        }
        self.position = range.to;
        self.demand = i64::MIN;
        Ok(())
    }
}

impl Fill<'_> {
    /// Whether the run may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// The bytes that the run may still add.
    pub(crate) fn room(&self) -> u64 {
        self.room.saturating_sub(self.added)
    }

    /// The next offset needed.
    pub(crate) fn next(&self) -> i64 {
        self.partition.proven
    }

    /// Adds an event, or what is taken of one that is too large. One that is here already (a log hands out whole batches) is
    /// passed over.
    pub(crate) fn push<'h, K: AsRef<str>>(
        &mut self,
        offset: i64,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (K, Option<&'h [u8]>)> + Clone,
    ) {
        if offset < self.partition.proven {
            return;
        }
        self.added += self.partition.open.push(offset, timestamp_ms, key, value, headers);
        self.partition.proven = offset + 1;
        if self.partition.open.is_full()
            && let Err(error) = self.partition.seal(&self.id.source)
        {
            self.partition.failed = Some(error);
        }
    }

    /// Notes that every offset below `offset` was seen.
    pub(crate) fn prove(&mut self, offset: i64) {
        self.partition.proven = self.partition.proven.max(offset);
    }

    /// Notes that the offsets up to `to` are there and cannot be read, for `reason`. A partition is told of once: each range is in the
    /// reports, and whoever makes one such batch makes many.
    pub(crate) fn unreadable(&mut self, to: i64, reason: &str) {
        let (id, from) = (self.id, self.partition.proven);
        if from >= to {
            return;
        }
        if std::mem::replace(&mut self.partition.told, true) {
            tracing::debug!("offsets {from}..{to} of {id} cannot be read: {reason}");
        } else {
            tracing::warn!(
                "source {}: offsets {from}..{to} of {id} are a record batch, or the rest of one, that cannot be read, and are lost: \
                 {reason}. The reports' `lost` names them, and others of this partition that follow. To have the events, let their \
                 producer send them again, in smaller batches or uncompressed",
                id.source
            );
        }
        self.lose(to, LossReason::Unreadable);
    }

    /// Notes that the offsets up to `to` are gone from the log.
    pub(crate) fn lose(&mut self, to: i64, reason: LossReason) {
        self.partition.lose(to, reason);
    }
}
