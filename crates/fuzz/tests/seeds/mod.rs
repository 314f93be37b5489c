//! Right inputs of every kind, which a search begins with.

mod answers;
mod packed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluicebox_core::ManualClock;
use sluicebox_sources::testing::pack;
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};

type Seeds = Vec<(String, Vec<u8>)>;

const RECORD: &str = r#"{"type":"record","name":"E","namespace":"a.b","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"by","type":{"type":"map","values":"double"}},{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},{"name":"k","type":{"type":"enum","name":"K","symbols":["A","B"]}},{"name":"f","type":{"type":"fixed","name":"F","size":3}}]}"#;
const NESTED: &str = r#"{"type":"record","name":"E","fields":[{"name":"u","type":["int","string",{"type":"record","name":"P","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"n","type":"null"}]}]},{"name":"z","type":{"type":"array","items":"null"}}]}"#;
const EVOLVED: &str = r#"{"type":"record","name":"E","fields":[{"name":"name","type":"string","default":"none"},{"name":"ident","aliases":["id"],"type":"double"},{"name":"k","type":{"type":"enum","name":"K","symbols":["A"],"default":"A"}},{"name":"more","type":{"type":"map","values":"int"},"default":{"a":1}}]}"#;
const RECURSIVE: &str =
    r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"},{"name":"next","type":["null","E"]}]}"#;
const LONG: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"}]}"#;

/// The seeds of a target, by name.
pub fn of(target: &str) -> Seeds {
    match target {
        "avro" => avro(),
        "schema" => {
            let all = [
                ("record", RECORD),
                ("nested", NESTED),
                ("evolved", EVOLVED),
                ("recursive", RECURSIVE),
                ("long", "\"long\""),
            ];
            all.map(|(name, text)| (name.to_owned(), format!("{text}\n{EVOLVED}").into_bytes())).into()
        }
        "json" => json(),
        "log" => log(),
        "packed" => packed::seeds(),
        "checkpoint" => checkpoint(),
        "state" => state(),
        "sql" => sql(),
        "options" => options(),
        "answers" => answers::seeds(),
        _ => registry(),
    }
}

fn avro() -> Seeds {
    // id 1, name "ab", one tag "x", an entry "k" 1.0, 1.00, symbol A, three bytes.
    let body = [2, 2, 4, b'a', b'b', 2, 2, b'x', 0, 2, 2, b'k', 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 2, 100, 0, 1, 2, 3];
    let nested = [4, 200, 1, 8, 0];
    let seed = |reader: &str, writer: &str, bodies: &[&[u8]]| {
        let mut out = format!("{reader}\n{writer}\n").into_bytes();
        for body in bodies {
            out.push(u8::try_from(body.len()).unwrap());
            out.extend_from_slice(body);
        }
        out
    };
    vec![
        ("record".into(), seed(RECORD, RECORD, &[&body, &body[..9]])),
        ("nested".into(), seed(NESTED, NESTED, &[&nested, &[0, 2, 0], &[2, 2, b'x', 0]])),
        ("evolved".into(), seed(EVOLVED, RECORD, &[&body])),
        ("recursive".into(), seed(LONG, RECURSIVE, &[&[2, 0], &[2, 2, 4, 2, 6, 0]])),
        // Counts and lengths that lie.
        (
            "lies".into(),
            seed(
                NESTED,
                NESTED,
                &[&[0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], &[2, 0xfe, 0xff, 0xff, 0xff, 0x0f]],
            ),
        ),
    ]
}

/// How events are read, and events.
fn json() -> Seeds {
    let seed = |how: u8, events: &[&str]| {
        let mut out = vec![how];
        for event in events {
            out.push(u8::try_from(event.len()).unwrap());
            out.extend_from_slice(event.as_bytes());
        }
        out
    };
    vec![
        (
            "good".into(),
            seed(
                0,
                &[
                    r#"{"id":1,"flag":true,"tiny":-5,"real":1.5,"price":12.50,"name":"a\u00e4\n","bytes":"AQL/"}"#,
                    r#"{ "day":"2026-11-30", "id":2,"at":"2026-11-30T18:33:00.5+01:00","local":"2026-11-30 18:33" }"#,
                    r#"{"id":3,"tags":["a",null],"map":{"k":1},"parts":[{"y":1},{"y":2,"x":[1, 2]}]}"#,
                ],
            ),
        ),
        (
            "rescued".into(),
            seed(
                1,
                &[
                    r#"{"id":1,"other":{"a":[1,{"b":null}]},"parts":[{"y":1,"z":"\"q\""}]}"#,
                    r#"{"z":0,"id":2,"map":{}}"#,
                ],
            ),
        ),
        (
            "letters".into(),
            seed(
                2,
                &[
                    r#"{"id":1,"other":2}"#,
                    r#"{"id":1}{"id":2}"#,
                    r#"[1]"#,
                    r#"{"id":1,"id":2}"#,
                    r#"{"id":null}"#,
                    r#"{"id":1,"name":"\ud83d"}"#,
                    r#"{"id":1,"tags":[[[[[[[[[1]]]]]]]]]}"#,
                    r#"{"id":99999999999999999999}"#,
                    r#"{"id":1,"#,
                ],
            ),
        ),
        (
            "epochs".into(),
            seed(
                7,
                &[
                    r#"{"id":1,"at":1700000000123,"local":-1}"#,
                    r#"{"id":2,"at":1.7e12}"#,
                    r#"{"id":3,"at":"2026-11-30"}"#,
                ],
            ),
        ),
    ]
}

fn log() -> Seeds {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), Arc::new(ManualClock::at(0))).unwrap();
    log.create_topic("t", 1, TopicOptions::default()).unwrap();
    let record = |key: &'static str| Record {
        timestamp_ms: Some(1_000),
        key: Some(key.as_bytes().into()),
        value: Some((&b"value"[..]).into()),
        headers: vec![("h".into(), Some((&b"1"[..]).into())), ("n".into(), None)],
    };
    log.append("t", 0, &[record("a"), record("b")]).unwrap();
    let one = fs::read(dir.path().join("t/0/00000000000000000000.log")).unwrap();
    log.append("t", 0, &[Record::default()]).unwrap();
    let two = fs::read(dir.path().join("t/0/00000000000000000000.log")).unwrap();
    let moded = |mode: u8, bytes: &[u8]| [&[mode], bytes].concat();
    let mut seeds: Seeds = vec![
        ("one".into(), moded(0, &one)),
        ("sealed".into(), moded(1, &one)),
        ("two".into(), moded(2, &two)),
        ("torn".into(), moded(2, &two[..two.len() - 5])),
        ("both".into(), moded(3, &one)),
    ];
    // The same records, packed: the attributes say how.
    for (how, name) in packed::HOWS {
        let mut batch = [&one[..61], &pack(u16::from(how), &one[61..])[..]].concat();
        batch[22] = how;
        seeds.push((name.into(), moded(1, &batch)));
    }
    seeds
}

fn checkpoint() -> Seeds {
    let bodies: [(u8, &str, &str); 16] = [
        (
            0,
            "metadata",
            r#"{"id":"q","generation":1,"pipeline":"p","created_micros":1,"plan_partitions":1,"logs":{"s":{"log":"l","topics":{"t":"i","n":null}}}}"#,
        ),
        (1, "epoch", r#"{"epoch":2,"run_id":"r","pid":1,"host":"h","started_micros":3}"#),
        (2, "start", r#"{"positions":[{"source":"s","topic":"t","partition":0,"offset":5}]}"#),
        (3, "refresh", r#"{"id":"q","generation":2,"locations":["../../data/t","/x"]}"#),
        (
            4,
            "reader",
            r#"{"subject":"s-value","version":1,"id":7,"schema":"\"long\"","references":[{"name":"a.B","subject":"b","version":1,"schema":"{}"}]}"#,
        ),
        (
            5,
            "metadata-in-place",
            r#"{"id":"q","generation":1,"pipeline":"p","created_micros":9223372036854775807,"plan_partitions":1,"logs":{}}"#,
        ),
        (
            6,
            "offsets",
            r#"{"batch_id":0,"epoch":1,"clock_micros":0,"finishing":false,"watermarks":{"c.0":null},"ranges":[{"source":"s","topic":"t","partition":0,"from":0,"to":5,"log_end":9}],"run_end":[{"source":"s","topic":"t","partition":0,"offset":9}],"sql_hash":"x"}"#,
        ),
        (
            7,
            "commit",
            r#"{"batch_id":0,"epoch":1,"files":[{"output":"table t","location":"../../data/t","files":[{"staged":"_staging/1/a.staged","target":"d=1/a.parquet","rows":1,"bytes":2,"checksum":"c"}]}],"positions":[{"source":"s","topic":"t","partition":0,"offset":5}],"watermarks":{"c.0":{"watermark":1,"partitions":[{"partition":{"source":"s","topic":"t","partition":0},"max_event_time":1,"last_brought":2,"idle":false}]}},"schemas":{"s":["id 1"]},"state":{"o":{"fingerprint":"f","snapshot":null,"deltas":[{"path":"state/o/x","bytes":1,"checksum":"c"}]}}}"#,
        ),
        (8, "owner", r#"{"query_id":"q","generation":1,"pipeline":"p","table":"t","checkpoint":"c"}"#),
        (9, "schema", r#"{"schema":"\"int\"","references":[]}"#),
        (10, "change", r#"{"change":"register","subject":"s","version":1,"id":1,"schema":"\"int\"","references":[]}"#),
        (
            12,
            "compaction",
            r#"{"number":1,"epoch":1,"after":0,"pipeline":1,"at_micros":0,"why":"compact","output":"table t","location":"../../data/t","folder":"d=1","staging":"../../data/.sluicebox-q","inputs":["a 1 2 c"],"outputs":["b 1 2 c"],"batches":"0:1","replaces":[]}"#,
        ),
        (
            0x4f,
            "compaction-alone",
            r#"{"number":1,"epoch":1,"after":0,"pipeline":1,"at_micros":0,"why":"retain","output":"table t","location":"x","folder":"d=1","staging":"y","inputs":["a 1 2 c"],"outputs":[],"batches":"0:1 7:9","replaces":[3]}"#,
        ),
        (
            0x48,
            "owner-beside",
            r#"{"query_id":"q","generation":1,"pipeline":"p","table":"t","checkpoint":"c","host":"h"}"#,
        ),
        (
            11,
            "commit-alone",
            r#"{"batch_id":0,"epoch":1,"files":[],"positions":[],"watermarks":{},"schemas":{},"state":{"o":{"fingerprint":"f","snapshot":null,"deltas":[],"segments":[{"path":"state/o/x","bytes":9,"checksum":"c","rows":1,"tail_bytes":2,"tail_checksum":"d"}]}},"pipeline":2,"pending":["t"],"totals":{"since":0,"events":1,"dead_letters":0,"tables":{}}}"#,
        ),
        (14, "refresh-in-place", r#"{"id":"q","generation":2,"locations":["../../data/t","/x"],"taken":["r"]}"#),
    ];
    let mut seeds: Seeds = bodies
        .iter()
        .map(|(what, name, body)| ((*name).to_owned(), [&[0x80 | what], body.as_bytes()].concat()))
        .collect();
    seeds.push(("raw".into(), b"\x00v1 92a5364a4d595a99\n{\n  \"n\": 7\n}\n".to_vec()));
    seeds.push(("newer".into(), b"\x07v2 92a5364a4d595a99\n{}\n".to_vec()));
    for (name, body) in [
        ("set-level", r#"{"change":"set_level","subject":null,"level":"FULL"}"#),
        ("delete", r#"{"change":"delete_version","subject":"s","version":2147483647,"permanent":true}"#),
    ] {
        seeds.push((name.into(), [&[0x80 | 10], body.as_bytes()].concat()));
    }
    seeds
}

/// State files as a run writes them.
fn state() -> Seeds {
    use arrow::array::{ArrayRef, Decimal128Array, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
    use sluicebox_checkpoint::{Checkpoint, StateKind};
    let dir = tempfile::tempdir().unwrap();
    let keys = FixedSizeBinaryArray::try_from_iter([[1_u8; 16], [2; 16]].into_iter()).unwrap();
    let ints = |values: [i64; 2]| Arc::new(Int64Array::from_iter_values(values)) as ArrayRef;
    let dedup = RecordBatch::try_from_iter([("key", Arc::new(keys) as ArrayRef), ("event_time", ints([5, i64::MAX]))]);
    let text = |values: [&str; 2]| Arc::new(StringArray::from_iter_values(values)) as ArrayRef;
    let sums = Decimal128Array::from(vec![Some(100), None]).with_precision_and_scale(22, 2).unwrap();
    let window = RecordBatch::try_from_iter_with_nullable([
        ("g0", ints([0, 300_000_000]), true),
        ("g1", text(["NA", "EMEA"]), true),
        ("g2", text(["free", "pro"]), true),
        ("a0_s0", Arc::new(sums) as ArrayRef, true),
        ("a1_s0", ints([1, 2]), true),
    ]);
    [(0, "dedup", dedup.unwrap()), (1, "window", window.unwrap())]
        .map(|(what, name, batch)| {
            let file = Checkpoint::new(dir.path()).write_state("o", what, 1, StateKind::Delta, &[batch]).unwrap();
            let content = fs::read(dir.path().join(file.path)).unwrap();
            (name.to_owned(), [&[u8::try_from(what).unwrap()], &content[..]].concat())
        })
        .into()
}

fn sql() -> Seeds {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths: Vec<PathBuf> = vec![root.join("sql/gold_revenue.sql")];
    let wrong = fs::read_dir(root.join("crates/pipeline/tests/wrong")).unwrap().map(|e| e.unwrap().path());
    paths.extend(wrong.filter(|p| p.extension().is_some_and(|e| e == "sql")));
    let named = |path: PathBuf| {
        let text = fs::read(&path).unwrap();
        (text.len() <= 1500 || path.ends_with("gold_revenue.sql"))
            .then(|| (path.file_name().unwrap().to_string_lossy().into_owned(), text))
    };
    let mut seeds: Seeds = paths.into_iter().filter_map(named).collect();
    let source = "CREATE TABLE s USING kafka OPTIONS ('subscribe'='s','value.format'='avro');\n";
    for (name, rest) in [
        (
            "hops",
            "CREATE STREAMING TABLE g AS SELECT window.start AS w, region, count(*) AS n, avg(quantity) AS q FROM STREAM s WATERMARK event_time DELAY OF INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '10 minutes', INTERVAL '5 minutes'), region;",
        ),
        (
            "flows",
            "CREATE STREAMING TABLE a AS SELECT * FROM STREAM s; CREATE FLOW f AS INSERT INTO a SELECT * FROM STREAM s WHERE amount > 1 AND _headers[1]['key'] = 'x';",
        ),
        (
            "view",
            "CREATE TEMPORARY VIEW v AS SELECT *, CAST(event_time AS DATE) AS d FROM STREAM s; CREATE STREAMING TABLE a (CONSTRAINT c EXPECT (now() - event_time < INTERVAL '5 minutes') ON VIOLATION FAIL UPDATE) PARTITIONED BY (d) AS SELECT DISTINCT ON (event_id) * FROM STREAM v;",
        ),
        ("union", "CREATE STREAMING TABLE a AS SELECT region FROM STREAM s UNION ALL SELECT product FROM STREAM s;"),
    ] {
        seeds.push((name.into(), format!("{source}{rest}").into_bytes()));
    }
    seeds
}

fn options() -> Seeds {
    let lines = [
        ("batch", "batch.bytes=16 MiB\ntrigger=1 second\ndq.samples=3\npipeline.name=x\n"),
        ("offsets", "subscribe=a,b\nstartingOffsets={\"a\":{\"0\":23,\"1\":-2}}\nmaxOffsetsPerTrigger=10\n"),
        ("assign", "assign={\"a\":[0,1,2]}\nfailOnDataLoss=false\nincludeHeaders=true\n"),
        ("pattern", "subscribePattern=a.*b|[c-d]+\nidleTimeout=10 seconds\nmaxFuture=1 hour\n"),
        (
            "kafka",
            "kafka.bootstrap.servers=x:1\nkafka.group.id=g\nkafka.sasl.password=${env:P}\nkafka.ssl.ca.location=/x\n",
        ),
        (
            "secret",
            "schema.registry.url=http://u:p@h:1/\nschema.registry.basic.auth.user.info=u:${file:/dev/null}${env:X}\n",
        ),
    ];
    lines.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into()
}

fn registry() -> Seeds {
    let body = |schema: &str| serde_json::json!({ "schema": schema }).to_string();
    let session = |requests: &[(&str, String)]| {
        let requests: Vec<String> = requests.iter().map(|(head, body)| format!("{head}\n{body}")).collect();
        requests.join("\0").into_bytes()
    };
    let none = String::new;
    vec![
        (
            "evolve".into(),
            session(&[
                ("POST /subjects/s/versions", body(RECORD)),
                ("POST /subjects/s/versions", body(EVOLVED)),
                ("POST /compatibility/subjects/s/versions/latest?verbose=true", body(NESTED)),
                ("GET /subjects/s/versions/latest", none()),
                ("GET /schemas/ids/1", none()),
            ]),
        ),
        (
            "delete".into(),
            session(&[
                ("POST /subjects/s/versions", body("int")),
                ("POST /subjects/s", body("\"int\"")),
                ("DELETE /subjects/s/versions/1", none()),
                ("DELETE /subjects/s?permanent=true", none()),
                ("GET /subjects?deleted=true", none()),
                ("GET /schemas/guids/89791762-2336-4186-9674-299b90a802e2", none()),
            ]),
        ),
        (
            "config".into(),
            session(&[
                ("PUT /config", "{\"compatibility\":\"FULL_TRANSITIVE\"}".into()),
                ("PUT /config/s", "{\"compatibility\":\"NONE\"}".into()),
                ("GET /config/s?defaultToGlobal=true", none()),
                ("DELETE /config/s", none()),
                ("GET /mode", none()),
                ("GET /schemas?subjectPrefix=s", none()),
            ]),
        ),
        (
            "references".into(),
            session(&[
                ("POST /subjects/r/versions", body(r#"{"type":"enum","name":"x.K","symbols":["A"]}"#)),
                ("POST /subjects/s/versions", r#"{"schema":"{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"k\",\"type\":\"x.K\"}]}","references":[{"name":"x.K","subject":"r","version":1}]}"#.into()),
                ("GET /subjects/r/versions/1/referencedby", none()),
                ("DELETE /subjects/r", none()),
            ]),
        ),
    ]
}
