//! Record batches that become gigabytes, or nothing, in less memory than that.

use std::io::{Read, Write};
use std::net::TcpStream;

use sluicebox_sources::seal_batch;

use crate::bench::{Bench, zigzag};
use crate::support::{ended, files_below, text, within};

/// The address space that a run may have, in bytes.
const ADDRESSES: u64 = 2_000_000_000;

/// A record batch whose header counts `count` records, which are `body`, packed by zstd.
fn batch(count: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 61];
    bytes[16] = 2;
    bytes[22] = 4;
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    // No producer that counts its batches.
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes.extend(body);
    seal_batch(&mut bytes);
    bytes
}

/// One record with a value of `blocks` times 128 KiB zeros, in four bytes each.
fn bomb(blocks: u32) -> Vec<u8> {
    let value = i64::from(blocks) << 17;
    // Attributes, time, offset, no key; what is behind the value is no headers.
    let start = [&[0_u8, 0, 0, 1][..], &zigzag(value)[..]].concat();
    let record = i64::try_from(start.len()).unwrap() + value + 1;
    let start = [zigzag(record), start].concat();
    let header = |last: bool, kind: u32, size: u32| (u32::from(last) | kind << 1 | size << 3).to_le_bytes();
    // A frame with a window of 128 KiB, of blocks as they are and of blocks that are one byte again and again.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    frame.extend(&header(false, 0, u32::try_from(start.len()).unwrap())[..3]);
    frame.extend(&start);
    for _ in 0..blocks {
        frame.extend(&header(false, 1, 1 << 17)[..3]);
        frame.push(0);
    }
    frame.extend(&header(true, 0, 1)[..3]);
    frame.push(0);
    batch(1, &frame)
}

/// Hands a record batch to the broker by a request of our own: no client writes whatever it is told to.
fn produce(bench: &Bench, batch: &[u8]) {
    let mut request = Vec::new();
    // Produce, version 3, number 7, no client's name, no transaction, as the leader has it, within a second; one topic, `t`.
    for number in [0_i16, 3, 0, 7, -1, -1, 1, 0, 1_000, 0, 1, 1] {
        request.extend(number.to_be_bytes());
    }
    request.push(b't');
    // One partition, the first.
    for number in [1, 0, i32::try_from(batch.len()).unwrap()] {
        request.extend(number.to_be_bytes());
    }
    request.extend(batch);
    let mut stream = TcpStream::connect(bench.cluster.bootstrap_servers()).unwrap();
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    // Behind the number, the counts and names of topics and partitions there is the error.
    assert_eq!(answer[19..21], [0, 0], "the broker takes it");
}

/// Reads what is there, in little address space; gives what was said.
fn reads(bench: &Bench) -> String {
    let run = bench.command(&["run", "p.sql", "--trigger", "available-now"]);
    let mut limited = within(&["prlimit", &format!("--as={ADDRESSES}")], &run);
    let output = ended(&mut limited, "a run below `prlimit` (of util-linux)");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[test]
fn what_unpacks_to_gigabytes_or_not_at_all_costs_itself() {
    let bench = Bench::new();
    bench.pipeline("");
    bench.events(1, 0..3, &[]);
    // Offset 3: a value of half of what one batch may unpack to, in 16 KB. 4: of twice as much. 5 to 8: nothing at all, twice.
    produce(&bench, &bomb(1 << 12));
    produce(&bench, &bomb(1 << 14));
    for _ in 0..2 {
        produce(&bench, &batch(2, b"no zstd"));
    }
    bench.events(1, 3..6, &[]);
    let said = reads(&bench);
    assert_eq!(bench.job.value("SELECT count(*) FROM bronze.t"), 6);
    assert_eq!(bench.job.value("SELECT count(*) FROM dead_letters.events WHERE \"offset\" = 3"), 1);
    assert_eq!(bench.job.value("SELECT count(*) FROM dead_letters.events"), 1);
    assert_eq!(said.matches("cannot be read, and are lost").count(), 1, "told once: {said}");
    assert!(said.contains("offsets 4..5 of t/0"), "{said}");
    let reports = files_below(&bench.job.path().join("data/dq"));
    let unreadable = |path: &std::path::PathBuf| text(&std::fs::read(path).unwrap()).matches("\"unreadable\"").count();
    let json = reports.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert_eq!(json.map(unreadable).sum::<usize>(), 3, "each range is in the report");
    // The next start is not held up by it.
    bench.events(1, 6..8, &[]);
    reads(&bench);
    assert_eq!(bench.job.value("SELECT count(*) FROM bronze.t"), 8);
    bench.job.ok(&["checkpoint", "verify", "checkpoints/p"]);
}
