//! A fixed list of cases whose expected tables are queries written by hand for DuckDB, over what the model calls bronze:
//! lateness by window functions, deduplication by a recursive walk, windows by generated series. Neither the engine's
//! rewriting nor the model of this test has a part in them.

use duckdb::Connection;

use crate::events::{Content, REGIONS, Row, START, Step};
use crate::harness::{Cut, Job, World};
use crate::oracle::same;

const MINUTE: i64 = 60_000_000;

/// A case: the pipeline below bronze, and for each table the query that says what it must hold.
struct Case {
    name: &'static str,
    sql: &'static str,
    tables: &'static [(&'static str, &'static str)],
}

/// Lateness by the running maximum of the partition; three minutes of delay. `rows` is bronze less the late rows.
const IN_TIME: &str = "
    seen AS (SELECT *, max(event_time) OVER (PARTITION BY _partition ORDER BY _offset
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM bronze),
    rows AS (SELECT * FROM seen WHERE event_time IS NULL OR before IS NULL OR event_time > before - 180000000),
    marks AS (SELECT max(event_time) - 180000000 AS w FROM bronze)";

const CASES: &[Case] = &[
    Case {
        name: "late rows, and the first of each key within the delay",
        sql: "CREATE STREAMING TABLE silver_e AS SELECT DISTINCT ON (key) seq, key, event_time, _partition, _offset
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes';",
        tables: &[
            ("late/m/silver_e", "SELECT seq, _partition, _offset FROM seen EXCEPT ALL SELECT seq, _partition, _offset FROM rows"),
            (
                "silver/e",
                // Numbered rows of each key, walked in order with the time of the row that was kept last.
                "SELECT seq, _partition, _offset FROM (
                   WITH RECURSIVE n AS (
                     SELECT *, row_number() OVER (PARTITION BY key ORDER BY _partition, _offset) AS i FROM rows
                     WHERE event_time IS NOT NULL),
                   walk AS (
                     SELECT *, event_time AS kept, true AS is_first FROM n WHERE i = 1
                     UNION ALL
                     SELECT n.*, CASE WHEN n.event_time > walk.kept + 180000000 THEN n.event_time ELSE walk.kept END,
                            n.event_time > walk.kept + 180000000
                     FROM n JOIN walk ON n.key IS NOT DISTINCT FROM walk.key AND n.i = walk.i + 1)
                   SELECT * FROM walk WHERE is_first)",
            ),
        ],
    },
    Case {
        name: "hopping windows with several aggregates",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT window.start AS wstart, region, count(*) AS n, count(DISTINCT key) AS keys, sum(cents) AS cents,
                     min(qty) AS least, max(amount) AS most, first_value(seq ORDER BY event_time, seq) AS first_seq
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes' WHERE amount >= 0
              GROUP BY window(event_time, INTERVAL '6 minutes', INTERVAL '2 minutes'), region;",
        tables: &[(
            "gold/e",
            "SELECT wstart, region, count(*), count(DISTINCT key), sum(cents), min(qty), max(amount),
                    arg_min(seq, (event_time, seq))
             FROM (SELECT *, unnest(generate_series(event_time - event_time % 120000000 - 240000000,
                                                    event_time - event_time % 120000000, 120000000)) AS wstart
                   FROM rows WHERE amount >= 0 AND event_time IS NOT NULL)
             WHERE wstart + 360000000 <= (SELECT w FROM marks) GROUP BY wstart, region",
        )],
    },
    Case {
        name: "windows over windows",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT w.start AS wstart, max(n) AS busiest, sum(n) AS n FROM (
                SELECT window, region, count(*) AS n FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
                GROUP BY window(event_time, INTERVAL '2 minutes'), region)
              GROUP BY window(window, INTERVAL '10 minutes') AS w;",
        tables: &[(
            "gold/e",
            "SELECT w - w % 600000000 AS wstart, max(n), sum(n) FROM (
               SELECT event_time - event_time % 120000000 AS w, region, count(*) AS n FROM rows
               WHERE event_time IS NOT NULL GROUP BY w, region)
             GROUP BY wstart HAVING wstart + 600000000 <= (SELECT w FROM marks)",
        )],
    },
    Case {
        name: "sessions of a key, NULL among them",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT session_window.start AS wstart, session_window.end AS wend, key, count(*) AS n, sum(cents) AS cents
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
              GROUP BY session_window(event_time, INTERVAL '3 minutes'), key HAVING count(*) > 1;",
        tables: &[(
            "gold/e",
            "SELECT min(event_time) AS wstart, max(event_time) + 180000000 AS wend, count(*), sum(cents) FROM (
               SELECT *, sum(CASE WHEN event_time <= prior + 180000000 THEN 0 ELSE 1 END)
                           OVER (PARTITION BY key ORDER BY event_time, _partition, _offset ROWS UNBOUNDED PRECEDING) AS grp
               FROM (SELECT *, lag(event_time) OVER (PARTITION BY key ORDER BY event_time, _partition, _offset) AS prior
                     FROM rows WHERE event_time IS NOT NULL))
             GROUP BY key, grp HAVING max(event_time) + 180000000 <= (SELECT w FROM marks) AND count(*) > 1",
        )],
    },
    Case {
        name: "sessions without a key whose gap each row says",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT s.start AS wstart, s.end AS wend, count(*) AS n, sum(cents) AS cents
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
              GROUP BY session_window(event_time, CASE WHEN qty > 5 THEN '20 seconds' WHEN qty > 0 THEN '5 seconds' WHEN qty = 0 THEN '-1 minute' END) AS s;",
        tables: &[(
            "gold/e",
            "SELECT min(event_time) AS wstart, max(ends) AS wend, count(*), sum(cents) FROM (
               SELECT *, sum(CASE WHEN event_time <= prior THEN 0 ELSE 1 END)
                           OVER (ORDER BY event_time, _partition, _offset ROWS UNBOUNDED PRECEDING) AS grp
               FROM (SELECT *, max(ends) OVER (ORDER BY event_time, _partition, _offset
                                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS prior
                     FROM (SELECT *, event_time + CASE WHEN qty > 5 THEN 20000000 ELSE 5000000 END AS ends
                           FROM rows WHERE event_time IS NOT NULL AND qty > 0)))
             GROUP BY grp HAVING max(ends) <= (SELECT w FROM marks)",
        )],
    },
    Case {
        name: "cumulated windows by the table function",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT window_start AS wstart, window_end AS wend, count(*) AS n, sum(cents) AS cents
              FROM TABLE(CUMULATE(STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes', DESCRIPTOR(event_time),
                                  INTERVAL '2' MINUTES, INTERVAL '10' MINUTES))
              GROUP BY window_start, window_end;",
        tables: &[(
            "gold/e",
            "SELECT wstart, wend, count(*), sum(cents) FROM (
               SELECT *, event_time - event_time % 600000000 AS wstart,
                      wstart + unnest([120000000, 240000000, 360000000, 480000000, 600000000]) AS wend
               FROM rows WHERE event_time IS NOT NULL)
             WHERE event_time < wend AND wend <= (SELECT w FROM marks) GROUP BY wstart, wend",
        )],
    },
    Case {
        name: "the two largest regions of a window",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT wstart, wend, n, cents FROM (
                SELECT *, row_number() OVER (PARTITION BY wend ORDER BY n DESC, region) AS place FROM (
                  SELECT window.start AS wstart, window.end AS wend, region, count(*) AS n, sum(cents) AS cents
                  FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
                  GROUP BY window(event_time, INTERVAL '5 minutes'), region))
              WHERE place <= 2;",
        tables: &[(
            "gold/e",
            "SELECT w AS wstart, w + 300000000 AS wend, n, cents
             FROM (SELECT w, region, count(*) AS n, sum(cents) AS cents
                   FROM (SELECT *, event_time - event_time % 300000000 AS w FROM rows WHERE event_time IS NOT NULL)
                   GROUP BY w, region)
             WHERE w + 300000000 <= (SELECT w FROM marks)
             QUALIFY row_number() OVER (PARTITION BY w ORDER BY n DESC, region) <= 2",
        )],
    },
    Case {
        name: "window functions of several orders",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT wstart, wend, CAST(place AS BIGINT) * 1000000 + coalesce(before, 0) * 1000 + among AS n, cents FROM (
                SELECT *, rank() OVER (PARTITION BY wend ORDER BY n DESC) AS place,
                       lag(n) OVER (PARTITION BY wend ORDER BY n DESC) AS before, count(*) OVER (PARTITION BY wend) AS among
                FROM (
                  SELECT window.start AS wstart, window.end AS wend, region, count(*) AS n, sum(cents) AS cents
                  FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
                  GROUP BY window(event_time, INTERVAL '5 minutes'), region));",
        tables: &[(
            "gold/e",
            "SELECT w AS wstart, w + 300000000 AS wend,
                    rank() OVER (PARTITION BY w ORDER BY n DESC) * 1000000
                    + coalesce(lag(n) OVER (PARTITION BY w ORDER BY n DESC, region), 0) * 1000
                    + count(*) OVER (PARTITION BY w) AS n, cents
             FROM (SELECT w, region, count(*) AS n, sum(cents) AS cents
                   FROM (SELECT *, event_time - event_time % 300000000 AS w FROM rows WHERE event_time IS NOT NULL)
                   GROUP BY w, region)
             WHERE w + 300000000 <= (SELECT w FROM marks)",
        )],
    },
    Case {
        name: "groups of regions and of all",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT window.start AS wstart, window.end AS wend, count(*) * 10 + grouping(region) AS n, sum(cents) AS cents
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
              GROUP BY window(event_time, INTERVAL '5 minutes'), ROLLUP (region);",
        tables: &[(
            "gold/e",
            "SELECT w AS wstart, w + 300000000 AS wend, count(*) * 10 + grouping(region), sum(cents)
             FROM (SELECT *, event_time - event_time % 300000000 AS w FROM rows WHERE event_time IS NOT NULL)
             WHERE w + 300000000 <= (SELECT w FROM marks) GROUP BY GROUPING SETS ((w, region), (w))",
        )],
    },
    Case {
        name: "hours of a zone that is half an hour off",
        sql: "CREATE STREAMING TABLE gold_e AS
              SELECT window.start AS wstart, window.end AS wend, count(*) AS n, sum(cents) AS cents
              FROM STREAM bronze_e WATERMARK event_time DELAY OF INTERVAL '3 minutes'
              GROUP BY window(event_time, INTERVAL '1 hour', tz => 'Asia/Kolkata');",
        tables: &[(
            "gold/e",
            "SELECT event_time - (event_time + 19800000000) % 3600000000 AS wstart, wstart + 3600000000 AS wend, count(*),
                    sum(cents)
             FROM rows WHERE event_time IS NOT NULL GROUP BY wstart HAVING wstart + 3600000000 <= (SELECT w FROM marks)",
        )],
    },
    Case {
        name: "one row of each key for ever, among those in their domain",
        sql: "CREATE STREAMING TABLE silver_e (CONSTRAINT known EXPECT (region IN ('A', 'B', 'C')) ON VIOLATION QUARANTINE,
                CONSTRAINT sold EXPECT (amount >= 0) ON VIOLATION DROP ROW) AS
              SELECT DISTINCT ON (key) seq, key, region, amount, _partition, _offset FROM STREAM bronze_e WHERE qty IS NOT NULL;",
        tables: &[
            (
                "silver/e",
                "SELECT seq, _partition, _offset FROM bronze WHERE qty IS NOT NULL AND region <> '?' AND amount >= 0
                 QUALIFY row_number() OVER (PARTITION BY key ORDER BY _partition, _offset) = 1",
            ),
            ("quarantine/m/silver_e", "SELECT seq, _partition, _offset FROM bronze WHERE qty IS NOT NULL AND region = '?'"),
        ],
    },
];

#[test]
fn every_table_is_what_a_query_by_hand_gives_in_duckdb() {
    for (at, case) in CASES.iter().enumerate() {
        for seed in 0..3 {
            let steps = steps(seed + 10 * u64::try_from(at).unwrap());
            let world = World::new();
            world.append(&steps);
            let cut = Cut {
                max_offsets: Some(37 + 40 * seed),
                batch_bytes: 1 << 20,
                memory_limit: 1 << 10,
                state_deltas: 2,
                threads: 1,
                cancels: vec![30],
            };
            let job = world.job(0);
            job.run(&sql(case), &cut);
            let db = database(&steps);
            for (folder, query) in case.tables {
                let expected = answer(&db, &format!("WITH {IN_TIME} {query}"));
                assert!(!expected.is_empty(), "{}: nothing to compare in {folder}", case.name);
                same(&format!("{}, seed {seed}", case.name), folder, &expected, &found(&db, &job, folder, query));
            }
        }
    }
}

fn sql(case: &Case) -> String {
    format!(
        "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'startingOffsets' = 'earliest');
         CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e; {}",
        case.sql
    )
}

/// Some hundred rows by a generator of its own: each key in one partition, time moving on with disorder, now and then far
/// behind. Every partition ends with the same late time, so that all windows but the last ones close.
fn steps(seed: u64) -> Step {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut below = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        i64::try_from(state % n).unwrap()
    };
    let mut step: Step = vec![Vec::new(); crate::PARTITIONS];
    for seq in 0..400 {
        let partition = usize::try_from(below(3)).unwrap();
        let behind = if below(12) == 0 { below(30) } else { below(4) };
        let time = START + seq * MINUTE / 8 - behind * MINUTE / 2;
        let row = Row {
            seq,
            key: (partition > 0 || below(6) > 0).then(|| format!("{partition}-{}", below(9))),
            time: (below(20) > 0).then_some(time),
            region: REGIONS[usize::try_from(below(4)).unwrap()],
            amount: (below(9) > 0).then(|| f64::from(i32::try_from(below(200)).unwrap() - 40) / 4.0),
            qty: (below(7) > 0).then(|| i32::try_from(below(9)).unwrap()),
            cents: below(5000) - 300,
            ..Row::default()
        };
        step[partition].push(if below(40) == 0 { Content::Tombstone } else { Content::Row(row) });
    }
    step
}

/// A database with bronze as it must be; times are microseconds.
fn database(step: &Step) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(
        "SET threads = 1; SET TimeZone = 'UTC'; CREATE TABLE bronze (seq BIGINT, key VARCHAR, event_time BIGINT,
         region VARCHAR, amount DOUBLE, qty INT, cents DECIMAL(10, 2), _partition INT, _offset BIGINT)",
    )
    .unwrap();
    let mut insert =
        db.prepare("INSERT INTO bronze VALUES (?, ?, ?, ?, ?, ?, CAST(? AS DECIMAL(12, 2)) / 100, ?, ?)").unwrap();
    for (partition, contents) in step.iter().enumerate() {
        for (offset, content) in contents.iter().enumerate() {
            let Content::Row(row) = content else { continue };
            let place = (i64::try_from(partition).unwrap(), i64::try_from(offset).unwrap());
            insert
                .execute(duckdb::params![
                    row.seq, row.key, row.time, row.region, row.amount, row.qty, row.cents, place.0, place.1
                ])
                .unwrap();
        }
    }
    drop(insert);
    db
}

/// What the table's files hold, by DuckDB too, in the columns of the query that says what they must.
fn found(db: &Connection, job: &Job, folder: &str, query: &str) -> Vec<String> {
    let glob = job.path(&format!("data/{folder}/**/*.parquet"));
    let columns = match (folder, query.contains("busiest") || query.contains("max(n)")) {
        ("gold/e", _) if query.contains("AS wend") => "epoch_us(wstart), epoch_us(wend), n, cents",
        ("gold/e", true) => "epoch_us(wstart), busiest, n",
        ("gold/e", false) => "epoch_us(wstart), region, n, keys, cents, least, most, first_seq",
        _ => "seq, _partition, _offset",
    };
    answer(db, &format!("SELECT {columns} FROM read_parquet('{}')", glob.display()))
}

/// The rows of a query as text, sorted.
fn answer(db: &Connection, sql: &str) -> Vec<String> {
    let sql = format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql})");
    let mut statement = db.prepare(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let mut rows = statement.query([]).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let columns = rows.as_ref().unwrap().column_count();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let values = (0..columns).map(|i| row.get::<_, Option<String>>(i).unwrap().unwrap_or("NULL".to_owned()));
        lines.push(values.collect::<Vec<_>>().join(" | "));
    }
    lines.sort();
    lines
}
