//! Reads one partition: a cursor that hands out events, and one that looks for the end only.

use std::path::PathBuf;

use super::segment::{self, At, Segment, Tail};
use crate::batch::BatchHeader;
use crate::buffer::Fill;
use crate::error::{Result, SourceError};
use crate::records::Records;
use crate::source::Bounds;

/// Batches read in one run, so that the lock on the columns is given back now and then.
const RUN_BATCHES: usize = 8;

/// How a run of [`Reader::read`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// There is more.
    More,
    /// At the end of what is there.
    End,
    /// The position is before the log's start, which is here.
    Lost(Bounds),
    /// The position is past the log's end, which is here.
    PastEnd(i64),
}

/// Reads a partition from a position on.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    at: Option<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    segment: Segment,
    byte: u64,
    /// The offset after the last batch passed, or the segment's first.
    next: i64,
    /// Length of the file as last seen and synced.
    len: u64,
    /// What is left of the batch at `byte`, if some of it was handed out.
    open: Option<Records>,
    /// Up to this byte no transaction lacks its mark.
    marked: u64,
}

impl Reader {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, at: None }
    }

    /// Begins anew at the next position asked for.
    pub(crate) fn seek(&mut self) {
        self.at = None;
    }

    /// Hands the next batches to `fill`.
    pub(crate) fn read(&mut self, fill: &mut Fill<'_>) -> Result<Run> {
        for _ in 0..RUN_BATCHES {
            if !fill.has_room() {
                return Ok(Run::More);
            }
            let Some(cursor) = &mut self.at else {
                match self.open(fill.next())? {
                    Ok(cursor) => self.at = cursor,
                    Err(elsewhere) => return Ok(elsewhere),
                }
                if self.at.is_none() {
                    return Ok(Run::End);
                }
                continue;
            };
            if !cursor.step(fill)? && !self.advance()? {
                return Ok(Run::End);
            }
        }
        Ok(Run::More)
    }

    /// Finds the batch that holds `offset`, or follows it. No cursor when the partition has no segment yet.
    fn open(&self, offset: i64) -> Result<std::result::Result<Option<Cursor>, Run>> {
        let bases = segment::list(&self.dir)?;
        let Some(earliest) = bases.first().copied() else {
            return Ok(if offset == 0 { Ok(None) } else { Err(Run::PastEnd(0)) });
        };
        if offset < earliest {
            let latest = TailCursor::new(self.dir.clone()).bounds()?.latest;
            return Ok(Err(Run::Lost(Bounds { earliest, latest })));
        }
        let base = bases.iter().rev().find(|b| **b <= offset).copied().unwrap_or(earliest);
        let Some(segment) = Segment::open(&self.dir, base)? else {
            // Deleted since it was listed: the next run finds the new start.
            return Ok(Ok(None));
        };
        let len = segment.len()?;
        segment.sync()?;
        let mut cursor = Cursor { segment, byte: 0, next: base, len, open: None, marked: 0 };
        while let Ok(At::Batch(header)) = cursor.segment.at(cursor.byte, len)? {
            if header.next_offset > offset {
                return Ok(Ok(Some(cursor)));
            }
            cursor.byte += header.size as u64;
            cursor.next = header.next_offset;
        }
        let is_last = bases.last() == Some(&base);
        if is_last && cursor.next < offset {
            return Ok(Err(Run::PastEnd(cursor.next)));
        }
        Ok(Ok(Some(cursor)))
    }

    /// At the end of what is readable: moves to the next segment. False when there is none.
    fn advance(&mut self) -> Result<bool> {
        let Some(cursor) = &mut self.at else { return Ok(false) };
        let successor = if cursor.next > cursor.segment.base { Segment::open(&self.dir, cursor.next)? } else { None };
        match successor {
            Some(segment) => {
                // A segment is complete before its successor is made: what is unreadable in it now stays so.
                if cursor.refresh()? {
                    return Ok(true);
                }
                if cursor.len > cursor.byte {
                    return Err(cursor
                        .segment
                        .damaged(cursor.byte, "no whole batch, though a newer segment follows".into()));
                }
                let len = segment.len()?;
                segment.sync()?;
                *cursor = Cursor { segment, byte: 0, next: cursor.next, len, open: None, marked: 0 };
                Ok(true)
            }
            None => {
                if !cursor.segment.path.exists() {
                    // Retention overtook this reader; the next run finds the log's new start.
                    self.at = None;
                    return Ok(true);
                }
                Ok(false)
            }
        }
    }
}

impl Cursor {
    /// Hands one batch to `fill`, or as much of it as there is room for; false when none is there.
    fn step(&mut self, fill: &mut Fill<'_>) -> Result<bool> {
        if self.open.is_some() {
            self.hand_over(fill);
            return Ok(true);
        }
        let found = match self.segment.at(self.byte, self.len)? {
            Ok(At::End) => {
                if !self.refresh()? {
                    return Ok(false);
                }
                self.segment.at(self.byte, self.len)?
            }
            found => found,
        };
        let Ok(At::Batch(mut header)) = found else {
            self.segment.forget();
            return Ok(false);
        };
        if header.needs_mark() {
            if !self.is_marked()? {
                return Ok(false);
            }
            // A transaction that got no mark may have been cut off meanwhile, and something else may be in its place.
            let Ok(At::Batch(now)) = self.segment.at(self.byte, self.len)? else { return Ok(false) };
            header = now;
        }
        let Some(bytes) = self.segment.intact(self.byte, &header, self.len)? else {
            return self.torn(header.size);
        };
        // Before it there is nothing more.
        fill.prove(header.base_offset);
        match Records::new(header, bytes.to_vec()) {
            Ok(records) => {
                self.open = Some(records);
                self.hand_over(fill);
            }
            Err(reason) => self.pass(&header, fill, Some(&reason)),
        }
        Ok(true)
    }

    /// Whether the transaction of which the next batch is one has its mark: before that none of it is handed out.
    fn is_marked(&mut self) -> Result<bool> {
        if self.byte < self.marked {
            return Ok(true);
        }
        let mut end = self.segment.end_of_transaction(self.byte, self.len)?;
        if end.is_none() && self.refresh()? {
            end = self.segment.end_of_transaction(self.byte, self.len)?;
        }
        match end {
            Some(end) => self.marked = end,
            None => self.segment.forget(),
        }
        Ok(end.is_some())
    }

    /// Hands over what is left of a batch, while there is room.
    fn hand_over(&mut self, fill: &mut Fill<'_>) {
        let Some(mut records) = self.open.take() else { return };
        let header = *records.header();
        while fill.has_room() {
            match records.next() {
                Ok(Some(r)) => fill.push(r.offset, r.timestamp_ms, r.key, r.value, r.headers),
                Ok(None) => return self.pass(&header, fill, None),
                // Its checksum fits: so it was written.
                Err(reason) => return self.pass(&header, fill, Some(&reason)),
            }
        }
        records.rest();
        self.open = Some(records);
    }

    /// Goes on behind a batch, the rest of which cannot be read if there is a reason.
    fn pass(&mut self, header: &BatchHeader, fill: &mut Fill<'_>, unreadable: Option<&str>) {
        match unreadable {
            Some(reason) => fill.unreadable(header.next_offset, reason),
            None => fill.prove(header.next_offset),
        }
        self.byte += header.size as u64;
        self.next = header.next_offset;
    }

    /// A batch whose checksum does not fit: being written, or torn, unless others stand behind it.
    fn torn(&mut self, size: usize) -> Result<bool> {
        self.segment.forget();
        let behind = self.byte + size as u64;
        if let Ok(At::Batch(next)) = self.segment.at(behind, self.len)?
            && self.segment.intact(behind, &next, self.len)?.is_some()
        {
            // Read once more: the batch may have been finished between the two looks.
            self.segment.forget();
            let Ok(At::Batch(header)) = self.segment.at(self.byte, self.len)? else { return Ok(false) };
            if self.segment.intact(self.byte, &header, self.len)?.is_none() {
                let what = "a batch whose checksum does not fit, with others behind it";
                return Err(self.segment.damaged(self.byte, what.into()));
            }
            return Ok(true);
        }
        self.segment.forget();
        Ok(false)
    }

    /// Looks at the file's length anew; true when it is another than before. What is new is synced before it is read: where an
    /// append was cut off, that may be less than there was.
    fn refresh(&mut self) -> Result<bool> {
        self.segment.forget();
        let len = self.segment.len()?;
        let changed = len != self.len;
        if changed {
            self.segment.sync()?;
        }
        self.len = len;
        Ok(changed)
    }
}

/// Follows the end of a partition.
#[derive(Debug)]
pub(crate) struct TailCursor {
    dir: PathBuf,
    at: Option<(Segment, Tail)>,
}

impl TailCursor {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, at: None }
    }

    /// The offset after the last intact batch that counts.
    pub(crate) fn end(&mut self) -> Result<i64> {
        loop {
            let (mut segment, mut tail) = match self.at.take().filter(|(s, _)| s.path.exists()) {
                Some(known) => known,
                None => {
                    let Some(base) = segment::list(&self.dir)?.last().copied() else { return Ok(0) };
                    let Some(segment) = Segment::open(&self.dir, base)? else { continue };
                    (segment, Tail::of_empty(base))
                }
            };
            if segment.len()? != tail.byte {
                tail = segment::walk(&mut segment, tail)?;
            }
            if tail.next_offset > segment.base && segment::path(&self.dir, tail.next_offset).exists() {
                continue;
            }
            let end = tail.next_offset;
            self.at = Some((segment, tail));
            return Ok(end);
        }
    }

    /// The partition's first offset and its end.
    pub(crate) fn bounds(&mut self) -> Result<Bounds> {
        let latest = self.end()?;
        let earliest = segment::list(&self.dir)?.first().copied().unwrap_or(0);
        Ok(Bounds { earliest, latest: latest.max(earliest) })
    }
}

/// The error of a position that is not in the log, if it is one.
pub(crate) fn out_of_range(run: Run, id: &sluicebox_core::PartitionId, next: i64) -> Option<SourceError> {
    match run {
        Run::Lost(held) => Some(SourceError::DataLoss {
            partition: id.clone(),
            lost: sluicebox_core::OffsetRange::new(next, held.earliest),
            earliest: held.earliest,
            latest: held.latest,
        }),
        Run::PastEnd(latest) => Some(SourceError::PastEnd { partition: id.clone(), offset: next, latest }),
        Run::More | Run::End => None,
    }
}
