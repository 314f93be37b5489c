//! The cost of requests that anybody may send, and which clients they keep waiting.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Query, State as Held};

use crate::store::compat::Work;
use crate::store::list::{Listing, PORTION};
use crate::store::path::Path as UrlPath;
use crate::store::rest::lookup;
use crate::store::turns::{JUDGES, Served, in_turn};
use crate::testing::quickly;
use crate::testing::texts::{many, record as record_of, reversed, symbols};

use super::*;

fn parsed(text: String) -> AvroSchema {
    AvroSchema::parse(&SchemaText::new(text)).unwrap()
}

/// A record of `count` fields, the last one first if `back`.
fn fields(count: usize, back: bool) -> String {
    record_of(
        "R",
        &many(count, |n| {
            let n = if back { count - 1 - n } else { n };
            format!(r#"{{"name":"f{n}","type":"int","default":0}}"#)
        }),
    )
}

#[test]
fn symbols_and_fields_are_compared_in_time_by_their_number() {
    let same = [(symbols("E", 60_000), reversed("E", 60_000)), (fields(50_000, false), fields(50_000, true))];
    for (new, old) in same {
        let (new, old) = (parsed(new), parsed(old));
        assert!(quickly(|| Level::Full.problems(&new, &old)).is_empty());
    }
    // By the count that is the limit.
    let enums = |n: usize| (symbols("E", n), reversed("E", n));
    let records = |n: usize| (fields(n, false), fields(n, true));
    assert!(used(enums(4_000)) < 5 * used(enums(1_000)));
    assert!(used(records(4_000)) < 5 * used(records(1_000)));
}

/// The work that it takes to find nothing wrong.
fn used((new, old): (String, String)) -> usize {
    let mut work = Work::of(usize::MAX);
    assert!(Level::Backward.problems_within(&parsed(new), &parsed(old), &mut work).is_empty());
    usize::MAX - work.left()
}

/// Of a branch that does not read the value, the pairs of types that were looked at for it must be looked at again elsewhere.
#[test]
fn a_branch_that_does_not_fit_leaves_nothing_behind() {
    let nested = |name: &str, more: &str, inner: &str| {
        format!(r#"{{"type":"record","name":"{name}"{more},"fields":[{{"name":"p","type":{inner}}}]}}"#)
    };
    let inner = |name: &str, more: &str, kind: &str| {
        format!(r#"{{"type":"record","name":"{name}"{more},"fields":[{{"name":"v","type":"{kind}"}}]}}"#)
    };
    let event = |first: &str| record_of("E", &format!(r#"{{"name":"u","type":{first}}},{{"name":"y","type":"P"}}"#));
    let misfit = nested("A", "", &inner("P", "", "int"));
    let fit = nested("B", r#","aliases":["A"]"#, &inner("Q", r#","aliases":["P"]"#, "string"));
    let reader = parsed(event(&format!("[{misfit},{fit}]")));
    let writer = parsed(event(&nested("A", "", &inner("P", "", "string"))));
    let problems = Level::Backward.problems(&reader, &writer);
    let found: Vec<_> = problems.iter().map(|p| (p.kind, p.path.as_str())).collect();
    assert_eq!(found, [("TYPE_MISMATCH", "/fields/1/type/fields/0/type")]);
}

#[test]
fn a_comparison_ends_when_its_work_is_spent() {
    let union = |count: usize, back: bool| {
        let name = |n: usize| if back { count - 1 - n } else { n };
        parsed(format!("[{}]", many(count, |n| format!(r#"{{"type":"fixed","name":"F{}","size":1}}"#, name(n)))))
    };
    assert!(Level::Full.problems(&union(400, false), &union(400, true)).is_empty());
    let (new, old) = (union(2_000, false), union(2_000, true));
    let mut work = Work::of(1_000_000);
    let problems = Level::Backward.problems_within(&new, &old, &mut work);
    assert_eq!(problems.iter().map(|p| p.kind).collect::<Vec<_>>(), ["TOO_COMPLEX"]);
    assert!(work.is_spent());
    // Nothing is looked at any more.
    let (new, old) = (parsed("\"int\"".into()), parsed("\"int\"".into()));
    assert_eq!(Level::Backward.problems_within(&new, &old, &mut work)[0].kind, "TOO_COMPLEX");
}

#[test]
fn what_is_wrong_with_many_fields_and_versions_is_told_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    store.set_level(None, Level::None).unwrap();
    let many_symbols = symbols("K", 3_000);
    for version in 0..12 {
        let of_version = format!(r#"{{"name":"x","type":{many_symbols}}},{{"name":"f{version}","type":"int"}}"#);
        store.register("s", &record(&of_version)).unwrap();
    }
    store.set_level(None, Level::BackwardTransitive).unwrap();
    let other = record(&format!(r#"{{"name":"x","type":{}}}"#, r#"{"type":"enum","name":"K","symbols":["other"]}"#));
    let StoreError::Incompatible { details, .. } = store.register("s", &other).unwrap_err() else { unreachable!() };
    assert!(details[0].contains("[s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2990 more]"), "{}", details[0]);
    assert_eq!(details.iter().filter(|d| d.starts_with("{oldSchemaVersion")).count(), 10);
    assert_eq!(details[1], "{oldSchemaVersion: 12}", "the newest first");
    assert_eq!(details.last().unwrap(), "{more: '2 earlier versions were not compared'}");
    assert!(details.iter().all(|d| d.len() < 1_100));
    // A new schema of many fields that the old ones lack.
    let fields = many(5_000, |n| format!(r#"{{"name":"n{n}","type":"int"}}"#));
    let details = store.incompatibilities("s", &record(&fields), Some(VersionName::Latest)).unwrap();
    assert_eq!(details.len(), 104);
    assert_eq!(details[100], "{more: 'only the first 100 problems are told'}");
}

#[test]
fn who_refers_to_a_version_is_known_without_a_search() {
    let mut state = State::default();
    let register = |state: &mut State, subject: &str, version: i32, id: i32, references: Vec<Reference>| {
        let (subject, schema) = (subject.to_owned(), format!("\"schema{id}\""));
        state.apply(Change::Register { subject, version, id, schema, references });
    };
    for n in 1..=10_000 {
        register(&mut state, "s", n, n, Vec::new());
        register(&mut state, "t", n, 10_000 + n, vec![reference("a", "elsewhere")]);
    }
    let (_, versions) = quickly(|| state.decide_delete_subject("s", false)).unwrap();
    assert_eq!(versions.len(), 10_000);
    let of = |version| vec![Reference { version, ..reference("b", "s") }, Reference { version, ..reference("c", "s") }];
    register(&mut state, "u", 1, 30_001, of(7_000));
    register(&mut state, "v", 1, 30_002, of(7_000));
    assert_eq!(state.referrers("s", 7_000), [30_001, 30_002]);
    assert!(state.referrers("s", 7_001).is_empty());
    let refused = state.decide_delete_subject("s", false).unwrap_err();
    assert!(matches!(refused, StoreError::ReferenceExists { version: 7_000, .. }), "{refused}");
    // Those that were deleted hold nothing back.
    for subject in ["u", "v"] {
        state.apply(Change::DeleteSubject { subject: subject.to_owned(), permanent: false });
    }
    assert!(state.referrers("s", 7_000).is_empty());
    assert!(state.decide_delete_subject("s", false).is_ok());
}

/// With the state locked while a schema is read and judged, one of the others would wait for a third of the time.
#[test]
fn nobody_waits_while_a_schema_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    let small = store.register("small", &record(ID)).unwrap();
    store.register("large", &NewSchema::new(fields(40_000, false))).unwrap();
    let new = NewSchema::new(fields(40_000, true));
    let done = AtomicBool::new(false);
    let (mut longest, began) = (Duration::ZERO, Instant::now());
    let took = std::thread::scope(|scope| {
        let judging = scope.spawn(|| {
            for _ in 0..3 {
                assert_eq!(store.incompatibilities("large", &new, None).unwrap(), Vec::<String>::new());
            }
            done.store(true, Ordering::Relaxed);
            began.elapsed()
        });
        while !done.load(Ordering::Relaxed) {
            let asked = Instant::now();
            assert_eq!(store.schema(SchemaKey::Id(small.id)).unwrap().id, small.id);
            longest = longest.max(asked.elapsed());
        }
        judging.join().unwrap()
    });
    assert!(longest < took / 5, "one waited for {longest:?} of {took:?}");
}

/// A judgement that others' changes have overtaken is made again: of schemas that exclude each other one gets in.
#[test]
fn what_was_judged_is_judged_again_when_another_was_first() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [RegistryStore::open(dir.path()).unwrap(), RegistryStore::open(dir.path()).unwrap()];
    stores[0].set_level(None, Level::Full).unwrap();
    let with = |more: &str| {
        let base = many(2_000, |n| format!(r#"{{"name":"f{n}","type":"int"}}"#));
        record(&format!("{base}{more}"))
    };
    let new: Vec<NewSchema> = [
        r#""int","default":1"#,
        r#""string","default":"a""#,
        r#""boolean","default":true"#,
        r#"["null","bytes"],"default":null"#,
    ]
    .iter()
    .map(|kind| with(&format!(r#",{{"name":"x","type":{kind}}}"#)))
    .collect();
    for round in 0..3 {
        let subject = format!("s{round}");
        stores[0].register(&subject, &with("")).unwrap();
        let barrier = Barrier::new(new.len());
        let registered = std::thread::scope(|scope| {
            let threads: Vec<_> = new
                .iter()
                .enumerate()
                .map(|(n, new)| {
                    let (store, subject, barrier) = (&stores[n % 2], &subject, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        match store.register(subject, new) {
                            Ok(_) => 1_usize,
                            Err(StoreError::Incompatible { .. }) => 0,
                            Err(other) => unreachable!("{other}"),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>()
        });
        assert_eq!(registered, 1, "in round {round}");
        assert_eq!(stores[1].versions(&subject, false).unwrap(), [1, 2]);
    }
}

/// A client that goes away leaves its work running: it goes on counting.
#[tokio::test]
async fn so_many_schemas_are_judged_at_a_time_even_when_their_clients_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(Arc::new(RegistryStore::open(dir.path()).unwrap()));
    let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
    let (mut held, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..JUDGES {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        held.push(hold);
        let started = started.clone();
        let work = move |_: &RegistryStore| {
            started.send(()).unwrap();
            // Ends when the other side is dropped.
            let _ = wait.recv();
            Ok(())
        };
        clients.push(tokio::spawn(in_turn(served.clone(), work)));
    }
    for _ in 0..JUDGES {
        has_started.recv().await.unwrap();
    }
    for client in clients {
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
    }
    assert_eq!(served.judges.available_permits(), 0);
    let next = tokio::spawn(in_turn(served.clone(), |_| Ok(7)));
    assert!(!next.is_finished());
    drop(held);
    assert_eq!(next.await.unwrap().unwrap(), 7);
}

/// Reading what was sent takes a hundred times its memory: not for a subject that is not there, and else for few at a time.
#[tokio::test]
async fn a_lookup_takes_its_turn_unless_there_is_no_such_subject() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(Arc::new(RegistryStore::open(dir.path()).unwrap()));
    served.store.register("s", &record(ID)).unwrap();
    let body = Bytes::from(json!({ "schema": record(ID).schema }).to_string());
    let look = |subject: &str, body: Bytes| {
        lookup(Held(served.clone()), UrlPath(subject.to_owned()), Query(Default::default()), body)
    };
    let turns = Arc::clone(&served.judges).acquire_many_owned(JUDGES.try_into().unwrap()).await.unwrap();
    // What is sent as the schema is not even JSON, and is not looked at.
    let no_schema = Bytes::from(json!({ "schema": "[[0],[0]," }).to_string());
    let unknown = format!("{:?}", look("none", no_schema).await.unwrap_err());
    assert!(unknown.contains("40401"), "{unknown}");
    let no_request = format!("{:?}", look("s", Bytes::from("[[0],[0],")).await.unwrap_err());
    assert!(no_request.contains("42201"), "{no_request}");
    let mut known = tokio::spawn(look("s", body));
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut known).await;
    assert!(waited.is_err(), "it did not wait for its turn");
    drop(turns);
    assert!(known.await.unwrap().is_ok());
}

/// The whole list would be a copy of the registry for each client.
#[test]
fn all_schemas_are_listed_in_portions() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegistryStore::open(dir.path()).unwrap();
    store.set_level(None, Level::None).unwrap();
    let mut expected = BTreeSet::new();
    for n in 0..60 {
        let subject = ["ab", "b", "a"][n % 3];
        let version = store.register(subject, &NewSchema::new(symbols(&format!("E{n}"), 1_000))).unwrap().version;
        expected.insert((subject.to_owned(), version));
    }
    let expected: Vec<(String, i32)> = expected.into_iter().collect();
    let list = |prefix: &str, deleted: bool, offset: usize, limit: usize| {
        let (mut json, mut portions) = (Vec::new(), 0);
        let mut next = Some(Listing { prefix: prefix.to_owned(), deleted, offset, limit, last: None });
        while let Some(listing) = next {
            let (portion, rest) = listing.portion(&store).unwrap();
            assert!(portion.len() < PORTION + 20_000, "{} bytes", portion.len());
            json.extend(portion);
            (next, portions) = (rest, portions + 1);
        }
        let all: Vec<Registered> = serde_json::from_slice::<Vec<Json>>(&json)
            .unwrap()
            .iter()
            .map(|v| {
                let number = i32::try_from(v["version"].as_i64().unwrap()).unwrap();
                let found =
                    store.registered(v["subject"].as_str().unwrap(), VersionName::Number(number), true).unwrap();
                assert_eq!((&v["schema"], &v["id"]), (&json!(found.schema), &json!(found.id)));
                found
            })
            .collect();
        (all.into_iter().map(|found| (found.subject, found.version)).collect::<Vec<_>>(), portions)
    };
    let (all, portions) = list("", false, 0, usize::MAX);
    assert_eq!(all, expected);
    assert!(portions > 3, "{portions}");
    assert_eq!(list("a", false, 0, usize::MAX).0, expected[..40]);
    assert_eq!(list("ab", false, 0, usize::MAX).0, expected[20..40]);
    assert_eq!(list("", false, 15, 30).0, expected[15..45]);
    assert_eq!(list("c", false, 0, usize::MAX), (Vec::new(), 1));
    store.delete_subject("ab", false).unwrap();
    assert_eq!(list("", false, 0, usize::MAX).0, [&expected[..20], &expected[40..]].concat());
    assert_eq!(list("", true, 0, usize::MAX).0, expected);
}
