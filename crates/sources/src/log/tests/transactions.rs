//! Transactions: wholly there or not at all, whoever reads, writes and dies.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::conformance::{events_of, expected, id, numbered, ranges, soon};
use crate::{Bounds, Record, Transactions};

fn bench(segment_bytes: u64) -> LogBench {
    let bench = LogBench::new();
    let options = TopicOptions { segment_bytes, ..TopicOptions::default() };
    bench.log.create_topic("t", 1, options).unwrap();
    bench
}

/// What another process has of the log.
fn other(bench: &LogBench) -> EmbeddedLog {
    EmbeddedLog::open(bench.log.root(), Arc::new(ManualClock::at(0))).unwrap()
}

fn end(log: &EmbeddedLog) -> i64 {
    log.bounds("t", 0).unwrap().latest
}

/// One transaction with these records; gives the offset of its mark.
fn transact(transactions: &mut Transactions, records: &[Record], note: &str) -> i64 {
    let mut transaction = transactions.begin().unwrap().unwrap();
    // In two appends, as rows come.
    let (first, rest) = records.split_at(records.len() / 2);
    transaction.append(first).unwrap();
    transaction.append(rest).unwrap();
    transaction.commit(note).unwrap().offset
}

/// The values that a source hands out of the topic, in the order of their offsets.
async fn values(log: &EmbeddedLog) -> Vec<Bytes> {
    let mut source = LogSource::new("s", log.clone(), options(&[("subscribe", "t")]), 1 << 20).unwrap();
    let end = end(log);
    source.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    if end == 0 {
        return Vec::new();
    }
    let taken = soon("a take", source.take(&ranges(&[("t", 0, 0, end)]))).await.unwrap();
    events_of(&taken, &id("t", 0)).into_iter().map(|event| event.record.value.unwrap()).collect()
}

fn wanted(records: &[Record]) -> Vec<Bytes> {
    records.iter().map(|record| record.value.clone().unwrap()).collect()
}

#[tokio::test]
async fn nothing_of_a_transaction_is_there_before_its_mark_and_then_all_of_it() {
    let bench = bench(64 << 20);
    bench.log.append("t", 0, &numbered(0..5)).unwrap();
    let mut source = LogSource::new("s", bench.log.clone(), options(&[("subscribe", "t")]), 1 << 20).unwrap();
    source.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    let writing = other(&bench);
    let mut transactions = writing.transactions("t", 0, "a").unwrap();
    let mut transaction = transactions.begin().unwrap().unwrap();
    // More than one batch has.
    transaction.append(&numbered(5..9_000)).unwrap();
    let taken = soon("a take", source.take(&ranges(&[("t", 0, 0, 5)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(0..5));
    assert_eq!(bench.log.bounds("t", 0).unwrap(), Bounds { earliest: 0, latest: 5 });
    assert_eq!(values(&bench.log).await.len(), 5);
    let mark = transaction.commit("done").unwrap();
    assert_eq!((mark.offset, end(&bench.log)), (9_000, 9_001));
    let taken = soon("a take", source.take(&ranges(&[("t", 0, 5, 9_001)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(5..9_000));
    assert_eq!(taken.gap_offsets.values().sum::<u64>(), 1, "the mark is no event, and no loss");
}

#[tokio::test]
async fn cut_at_any_byte_a_transaction_is_wholly_there_or_gone() {
    let whole = bench(64 << 20);
    let mut transactions = whole.log.transactions("t", 0, "a").unwrap();
    transact(&mut transactions, &numbered(0..6), "first");
    let path = segment::path(&whole.log.partition_dir("t", 0), 0);
    let first = std::fs::metadata(&path).unwrap().len();
    transact(&mut transactions, &numbered(6..12), "second");
    let bytes = std::fs::read(&path).unwrap();
    let cuts = (usize::try_from(first).unwrap()..bytes.len()).step_by(7).chain([bytes.len() - 1, bytes.len()]);
    for (nth, cut) in cuts.enumerate() {
        let bench = bench(64 << 20);
        let path = segment::path(&bench.log.partition_dir("t", 0), 0);
        // With and without the zeros that a filesystem leaves in place of what it had no time for.
        let zeros = vec![0; 100 * (nth % 2)];
        std::fs::write(&path, [&bytes[..cut], &zeros[..]].concat()).unwrap();
        let is_whole = cut == bytes.len();
        assert_eq!(end(&bench.log), if is_whole { 14 } else { 7 }, "cut at {cut}");
        let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
        let found = transactions.begin().unwrap().unwrap().newest().cloned().unwrap();
        assert_eq!(found.note, if is_whole { "second" } else { "first" });
        transact(&mut transactions, &numbered(20..22), "third");
        let records = [numbered(0..if is_whole { 12 } else { 6 }), numbered(20..22)].concat();
        assert_eq!(values(&bench.log).await, wanted(&records), "cut at {cut}");
    }
}

#[tokio::test]
async fn each_name_is_told_what_it_has_done_last_whoever_did_it() {
    // So small that segments end between transactions, and never within one.
    let bench = bench(700);
    let (one, two) = (other(&bench), other(&bench));
    let mut first = one.transactions("t", 0, "a").unwrap();
    let mut second = two.transactions("t", 0, "a").unwrap();
    let mut foreign = two.transactions("t", 0, "b").unwrap();
    let newest = |of: &mut Transactions| of.begin().unwrap().unwrap().newest().cloned();
    assert_eq!((newest(&mut first), newest(&mut second)), (None, None));
    let mut records = Vec::new();
    for n in 0..20 {
        let some = numbered(10 * n..10 * n + 10);
        let by = if n % 3 == 0 { &mut first } else { &mut second };
        let offset = transact(by, &some, &format!("{n}"));
        records.extend(some);
        let plain = numbered(1_000 + n..1_001 + n);
        one.append("t", 0, &plain).unwrap();
        records.extend(plain);
        transact(&mut foreign, &[], "not a's");
        for of in [&mut first, &mut second] {
            let found = newest(of).unwrap();
            assert_eq!((found.offset, found.note), (offset, n.to_string()));
        }
    }
    assert!(segment::list(&bench.log.partition_dir("t", 0)).unwrap().len() > 5);
    let mut fresh = other(&bench).transactions("t", 0, "a").unwrap();
    assert_eq!(newest(&mut fresh).unwrap().note, "19");
    assert_eq!(newest(&mut other(&bench).transactions("t", 0, "c").unwrap()), None);
    assert_eq!(values(&bench.log).await, wanted(&records));
}

#[tokio::test]
async fn one_that_is_given_up_leaves_nothing() {
    let bench = bench(64 << 20);
    let path = segment::path(&bench.log.partition_dir("t", 0), 0);
    let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
    transact(&mut transactions, &numbered(0..3), "kept");
    let before = std::fs::metadata(&path).unwrap().len();
    let mut given_up = transactions.begin().unwrap().unwrap();
    given_up.append(&numbered(3..5_000)).unwrap();
    drop(given_up);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    bench.log.append("t", 0, &numbered(50..51)).unwrap();
    assert_eq!(values(&bench.log).await, wanted(&[numbered(0..3), numbered(50..51)].concat()));
}

#[test]
fn a_flush_after_one_that_was_given_up_syncs_what_was_appended_before() {
    let bench = bench(64 << 20);
    bench.log.append("t", 0, &numbered(0..3)).unwrap();
    let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
    drop(transactions.begin().unwrap());
    bench.log.flush().unwrap();
    bench.log.append("t", 0, &numbered(3..6)).unwrap();
    drop(transactions.begin().unwrap());
    // Who syncs the file looks for it.
    std::fs::remove_dir_all(bench.log.partition_dir("t", 0)).unwrap();
    assert!(bench.log.flush().is_err());
}

#[test]
fn a_transaction_without_its_mark_that_others_follow_is_damage() {
    let bench = bench(64 << 20);
    let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
    let mut transaction = transactions.begin().unwrap().unwrap();
    transaction.append(&numbered(0..3)).unwrap();
    let path = segment::path(&bench.log.partition_dir("t", 0), 0);
    let open = std::fs::read(&path).unwrap();
    drop(transaction);
    bench.log.append("t", 0, &numbered(0..3)).unwrap();
    let mut plain = std::fs::read(&path).unwrap();
    plain[..8].copy_from_slice(&3_i64.to_be_bytes());
    std::fs::write(&path, [open, plain].concat()).unwrap();
    let error = other(&bench).bounds("t", 0).unwrap_err().to_string();
    assert!(error.contains("without its mark"), "{error}");
}

#[test]
fn a_damaged_mark_is_told_and_the_one_before_is_not_taken_for_the_newest() {
    for damage in ["in the mark", "before it"] {
        let bench = bench(700);
        let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
        for n in 0..12 {
            transact(&mut transactions, &numbered(10 * n..10 * n + 10), &format!("{n}"));
        }
        let dir = bench.log.partition_dir("t", 0);
        let bases = segment::list(&dir).unwrap();
        assert!(bases.len() > 2, "{bases:?}");
        // Not in the last segment, whose end may be torn; another name, so that all segments are looked through.
        let path = segment::path(&dir, bases[bases.len() - 2]);
        let mut bytes = std::fs::read(&path).unwrap();
        match damage {
            // Its last byte is in the mark's record.
            "in the mark" => *bytes.last_mut().unwrap() ^= 1,
            // The version of the first batch's format: what stands there is no batch any more.
            _ => bytes[16] ^= 0xff,
        }
        std::fs::write(&path, bytes).unwrap();
        let error = other(&bench).transactions("t", 0, "b").unwrap().begin().unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{damage}: {error}");
    }
}

#[test]
fn a_lock_that_another_holds_is_told() {
    let bench = bench(64 << 20);
    let held = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(bench.log.partition_dir("t", 0).join(LOCK_FILE))
        .unwrap();
    held.lock().unwrap();
    let mut transactions = bench.log.transactions("t", 0, "a").unwrap();
    assert!(transactions.begin().unwrap().is_none());
    drop(held);
    assert!(transactions.begin().unwrap().is_some());
}
