//! The suite that every operator must pass: an operator that was restored gives the same output as one that never stopped, whichever
//! snapshot, deltas and segments it was restored from. Public with the feature `testing`, so that an operator of another crate can run it
//! too: see [`conforms`], and [`conforms_on_disk`] for an operator with segments.

use std::io::{self, Cursor};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::operator::Operator;
use crate::segment::{Segment, SegmentContent, SegmentFile, Work};

/// One batch of a scenario.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows that are not late.
    pub rows: Vec<RecordBatch>,
    /// The watermark at the end of the batch. Once it is known it stays known.
    pub watermark: Option<i64>,
}

/// What one batch did.
#[derive(Debug, Clone, PartialEq)]
struct Did {
    processed: Vec<RecordBatch>,
    counts: [u64; 3],
    closed: Vec<RecordBatch>,
    delta: Option<RecordBatch>,
    snapshot: Vec<RecordBatch>,
    rows: u64,
    next_close: Option<i64>,
}

/// Runs `scenario` through one operator of `make` that never stops, and through others that are restored after each batch from every mix
/// of snapshot and deltas. Returns the output of the first one: for each batch the rows of `process`, then those of `close`.
///
/// # Panics
/// When the output of an operator that was restored differs, or when an operator breaks another promise of [`Operator`] or
/// [`State`](crate::State).
pub async fn conforms<O: Operator>(make: impl Fn() -> O, scenario: &[Batch]) -> Vec<RecordBatch> {
    let mut live = make();
    assert_eq!(live.fingerprint(), make().fingerprint(), "a fingerprint depends on the query alone");
    let mut story = Vec::new();
    for batch in scenario {
        let did = step(&mut live, batch).await;
        check_state(&mut live, batch, &did).await;
        story.push(did);
    }
    for restored_after in 0..scenario.len() {
        // From deltas alone, from the newest snapshot, and from one in the middle with the deltas after it.
        for snapshot_after in [None, Some(restored_after), Some(restored_after / 2)] {
            let mut other = make();
            let from = saved(&story[..=restored_after], snapshot_after);
            let restored = other.restore(from, scenario[restored_after].watermark);
            assert!(restored.is_ok(), "{restored:?}");
            assert_eq!(other.rows() == 0, story[restored_after].rows == 0, "the same is there or nothing");
            for (after, batch) in scenario.iter().enumerate().skip(restored_after + 1) {
                let did = step(&mut other, batch).await;
                assert_eq!(did, story[after], "batch {after}, restored after {restored_after} from {snapshot_after:?}");
            }
        }
    }
    story.into_iter().flat_map(|did| did.processed.into_iter().chain(did.closed)).collect()
}

/// Runs `scenario` through an operator of `make` whose state is folded, merged and evicted, and through others that are restored after
/// each batch from the segments and deltas that a commit would name. `chores` has a byte for each batch and is repeated. Its bits, from
/// the lowest: adopt the work under way; fold; merge; adopt both at once; evict; adopt the fold alone.
///
/// # Panics
/// When the output differs from that of an operator whose state is all in memory, or when `chores` is empty.
pub async fn conforms_on_disk<O: Operator>(make: impl Fn() -> O, scenario: &[Batch], chores: &[u8]) {
    let (mut plain, mut expected) = (make(), Vec::new());
    for batch in scenario {
        expected.push(step(&mut plain, batch).await.shown());
    }
    let (mut live, mut disk, mut commits) = (make(), Disk::default(), Vec::new());
    for (at, batch) in scenario.iter().enumerate() {
        let did = step(&mut live, batch).await;
        disk.deltas.extend(did.delta.clone());
        disk.settle(&mut live, chores[at % chores.len()]);
        assert_eq!(did.shown(), expected[at], "batch {at}, never restored");
        commits.push((disk.segments.clone(), disk.deltas.clone()));
    }
    for (restored_after, (segments, deltas)) in commits.into_iter().enumerate() {
        let mut other = make();
        let from = deltas.iter().map(through_a_file).collect();
        let restored = other.restore(from, scenario[restored_after].watermark);
        let restored = restored.and_then(|()| other.attach(segments.clone()));
        assert!(restored.is_ok(), "{restored:?}");
        let mut disk = Disk { segments, deltas, ..Disk::default() };
        for (at, batch) in scenario.iter().enumerate().skip(restored_after + 1) {
            let did = step(&mut other, batch).await;
            disk.deltas.extend(did.delta.clone());
            disk.settle(&mut other, chores[at % chores.len()]);
            assert_eq!(did.shown(), expected[at], "batch {at}, restored after {restored_after}");
        }
    }
}

impl Did {
    /// What others see of it: not how the state is held.
    fn shown(self) -> Self {
        Self { delta: None, snapshot: Vec::new(), rows: 0, ..self }
    }
}

/// What the engine does with segments: what the newest commit names, and the work that is under way.
#[derive(Default)]
struct Disk {
    segments: Vec<Segment>,
    deltas: Vec<RecordBatch>,
    fold: Option<(Work, usize)>,
    merge: Option<Work>,
    named: usize,
}

impl Disk {
    /// Does the chores after a batch: see [`conforms_on_disk`]. While bit 5 adopts a fold, a merge that began earlier may still be under
    /// way.
    fn settle(&mut self, operator: &mut impl Operator, chores: u8) {
        let chore = |bit: u8| chores & (1 << bit) != 0;
        self.release(operator);
        if chore(0) {
            self.adopt(operator);
        }
        if chore(1) && self.fold.is_none() && (operator.has_segments() || operator.foldable_bytes() > 0) {
            match operator.fold().unwrap_or_else(|e| unreachable!("fold: {e}")) {
                Some(work) => self.fold = Some((work, self.deltas.len())),
                None => self.deltas.clear(),
            }
        }
        if chore(2) && self.merge.is_none() {
            self.merge = operator.merge().unwrap_or_else(|e| unreachable!("merge: {e}"));
        }
        if chore(3) || self.fold.as_ref().map(|(work, _)| work).into_iter().chain(&self.merge).any(|work| work.wait) {
            self.adopt(operator);
        }
        if chore(5) {
            self.adopt_fold(operator);
        }
        if chore(4) {
            operator.evict();
        }
        self.release(operator);
    }

    fn release(&mut self, operator: &mut impl Operator) {
        let gone = operator.release();
        self.segments.retain(|segment| !gone.iter().any(|name| name == segment.file.name()));
    }

    fn adopt_fold(&mut self, operator: &mut impl Operator) {
        if let Some((work, deltas)) = self.fold.take() {
            let segment = self.write(work.content);
            self.deltas.drain(..deltas);
            self.segments.extend(segment.clone());
            operator.adopt(segment, &[]).unwrap_or_else(|e| unreachable!("adopt: {e}"));
        }
    }

    fn adopt(&mut self, operator: &mut impl Operator) {
        self.adopt_fold(operator);
        if let Some(work) = self.merge.take() {
            let segment = self.write(work.content);
            let is_old = |segment: &Segment| work.replaces.iter().any(|name| name == segment.file.name());
            let at = self.segments.iter().position(is_old).unwrap_or(0);
            self.segments.retain(|segment| !is_old(segment));
            self.segments.splice(at..at, segment.clone());
            operator.adopt(segment, &work.replaces).unwrap_or_else(|e| unreachable!("adopt: {e}"));
        }
    }

    fn write(&mut self, content: Box<dyn SegmentContent>) -> Option<Segment> {
        self.named += 1;
        // A restored operator names others: as the epoch does it.
        stored(&format!("{}-{:p}", self.named, &raw const *self), content)
    }
}

/// A file that is in memory.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    pub name: String,
    pub content: Vec<u8>,
}

impl SegmentFile for MemoryFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.content.get(from..from.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The segment that comes of `content`.
pub(crate) fn stored(name: &str, content: Box<dyn SegmentContent>) -> Option<Segment> {
    let mut data = Vec::new();
    let written = content.write(&mut data).unwrap_or_else(|e| unreachable!("write: {e}"));
    let data_bytes = data.len() as u64;
    let file = Arc::new(MemoryFile { name: name.to_owned(), content: data });
    let segment = Segment { file, data_bytes, tail: Buffer::from_vec(written.tail), rows: written.rows };
    (written.rows > 0).then_some(segment)
}

async fn step<O: Operator>(operator: &mut O, batch: &Batch) -> Did {
    let processed = operator.process(&batch.rows).await;
    let processed = processed.unwrap_or_else(|e| unreachable!("process: {e}"));
    let rows_in: usize = batch.rows.iter().map(RecordBatch::num_rows).sum();
    let kept: usize = processed.rows.iter().map(RecordBatch::num_rows).sum();
    let counts = [processed.absorbed, processed.duplicate, processed.filtered_null_event_time];
    let counted = counts.iter().sum::<u64>() + processed.filtered_without_window;
    assert_eq!(kept as u64 + counted, rows_in as u64, "every row has one fate");
    let closed = match batch.watermark {
        Some(watermark) => operator.close(watermark).await.unwrap_or_else(|e| unreachable!("close: {e}")),
        None => Vec::new(),
    };
    let delta = operator.delta().unwrap_or_else(|e| unreachable!("delta: {e}"));
    let snapshot = operator.snapshot().unwrap_or_else(|e| unreachable!("snapshot: {e}"));
    let (rows, next_close) = (operator.rows(), operator.next_close());
    Did { processed: processed.rows, counts, closed, delta, snapshot, rows, next_close }
}

async fn check_state<O: Operator>(operator: &mut O, batch: &Batch, did: &Did) {
    let schema = operator.state_schema();
    assert!(did.snapshot.iter().chain(&did.delta).all(|b| b.schema() == schema), "state has the state's schema");
    assert_eq!(did.snapshot.iter().map(RecordBatch::num_rows).sum::<usize>() as u64, did.rows);
    assert!(did.rows == 0 || operator.memory_bytes() > 0, "rows take memory");
    assert!(operator.delta().is_ok_and(|delta| delta.is_none()), "a delta is given once");
    if let Some(watermark) = batch.watermark {
        assert!(did.next_close.is_none_or(|next| next > watermark), "what can be closed has been");
        let again = operator.close(watermark).await;
        assert!(again.is_ok_and(|rows| rows.is_empty()), "what is closed stays closed");
    }
}

/// What a checkpoint holds after the last of `story`: a snapshot taken after a batch, and the deltas since.
fn saved(story: &[Did], snapshot_after: Option<usize>) -> Vec<RecordBatch> {
    let snapshot = snapshot_after.map(|after| story[after].snapshot.clone()).unwrap_or_default();
    let since = snapshot_after.map_or(0, |after| after + 1);
    let deltas = story[since..].iter().filter_map(|did| did.delta.clone());
    snapshot.into_iter().chain(deltas).map(|batch| through_a_file(&batch)).collect()
}

/// The batch as a file gives it back.
pub(crate) fn through_a_file(batch: &RecordBatch) -> RecordBatch {
    let write = || -> Result<Vec<u8>, arrow::error::ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
        writer.write(batch)?;
        writer.into_inner()
    };
    let bytes = write().unwrap_or_else(|e| unreachable!("write: {e}"));
    let reader = StreamReader::try_new(Cursor::new(bytes), None).unwrap_or_else(|e| unreachable!("read: {e}"));
    let batches: Vec<RecordBatch> = reader.filter_map(Result::ok).collect();
    assert_eq!(batches.len(), 1);
    batches.into_iter().next().unwrap_or_else(|| RecordBatch::new_empty(batch.schema()))
}
