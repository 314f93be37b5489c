//! The suite that every operator must pass: whatever it is restored from, and whenever, it goes on as if nothing had
//! happened.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::operator::Operator;

/// One batch of a scenario: the rows that are not late, and W at its end: once known it stays known.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub rows: Vec<RecordBatch>,
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

/// Runs `scenario` through an operator that lives through all of it, and through others that are restored after each
/// batch from every mix of snapshot and deltas; fails at the first difference. Gives what the first one put out: the rows
/// of `process`, then those of `close`, of all batches.
pub(crate) async fn conforms<O: Operator>(make: impl Fn() -> O, scenario: &[Batch]) -> Vec<RecordBatch> {
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

async fn step<O: Operator>(operator: &mut O, batch: &Batch) -> Did {
    let processed = operator.process(&batch.rows).await;
    let processed = processed.unwrap_or_else(|e| unreachable!("process: {e}"));
    let rows_in: usize = batch.rows.iter().map(RecordBatch::num_rows).sum();
    let kept: usize = processed.rows.iter().map(RecordBatch::num_rows).sum();
    let counts = [processed.absorbed, processed.duplicate, processed.filtered_null_event_time];
    assert_eq!(kept as u64 + counts.iter().sum::<u64>(), rows_in as u64, "every row has one fate");
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
fn through_a_file(batch: &RecordBatch) -> RecordBatch {
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
