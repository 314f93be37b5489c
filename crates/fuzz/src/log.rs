//! A segment of the embedded log of any bytes.
//!
//! Input: a byte that says what the target repairs (1: the checksum of the first batch, so that the code behind the check is reached; 2: a
//! writer opens the segment too), then the segment.

use std::fs;
use std::sync::Arc;

use sluicebox_core::ManualClock;
use sluicebox_sources::{EmbeddedLog, Fsync, Record, TopicOptions, check_segment, seal_batch};

use crate::input::{array, folder};

pub(crate) fn run(mut input: &[u8]) {
    let [mode] = array(&mut input);
    let mut bytes = input.to_vec();
    if mode & 1 == 1 {
        seal_batch(&mut bytes);
    }
    let checked = check_segment(&bytes);
    if mode & 2 == 2 {
        let dir = folder();
        let log = EmbeddedLog::open_with(dir.path(), Arc::new(ManualClock::at(0)), Fsync::OnFlush).unwrap();
        log.create_topic("t", 1, TopicOptions::default()).unwrap();
        let segment = dir.path().join("t/0/00000000000000000000.log");
        fs::write(&segment, &bytes).unwrap();
        let Ok(before) = log.bounds("t", 0) else { return };
        let Ok(offset) = log.append("t", 0, &[Record::default()]) else { return };
        assert_eq!(offset, before.latest, "the next offset is the end");
        assert_eq!(log.bounds("t", 0).unwrap().latest, offset + 1);
        if let Ok(summary) = checked {
            assert!(summary.bytes <= bytes.len() as u64);
        }
    }
}
