//! Unknown schema ids that somebody with write access to the topic makes up: the registry gets few requests for them, and the producer's
//! new schema is among those requests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use async_trait::async_trait;
use sluicebox_registry::{Guid, PinnedSchema, Registry, RegistryError, SchemaCache, SchemaKey, SchemaText};
use tempfile::TempDir;

use crate::avro::asking::MOST_UNKNOWN;
use crate::framing::frame;
use crate::testing::{Body, pinned, raw, rows};
use crate::{Decoded, DecoderOptions, ErrorClass, SourceDecoder, avro};

const SCHEMA: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"}]}"#;

/// A registry that has to be asked for each schema, but for those that it was told not to be there.
#[derive(Debug, Default)]
struct Far {
    known: BTreeSet<i32>,
    told_unknown: Mutex<BTreeSet<i32>>,
    asked: Mutex<Vec<i32>>,
}

#[async_trait]
impl Registry for Far {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        if !self.has_answer(SchemaKey::Id(id)) {
            self.asked.lock().unwrap().push(id);
        }
        if self.known.contains(&id) {
            return Ok(Arc::new(SchemaText::new(SCHEMA)));
        }
        self.told_unknown.lock().unwrap().insert(id);
        Err(RegistryError::NotFound { what: format!("schema id {id}"), registry: "far away".to_owned() })
    }

    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        panic!("nobody asks for {guid}")
    }

    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError> {
        panic!("nobody asks for {subject}")
    }

    async fn version(&self, subject: &str, _: i32) -> Result<PinnedSchema, RegistryError> {
        panic!("nobody asks for {subject}")
    }

    fn has_answer(&self, key: SchemaKey) -> bool {
        matches!(key, SchemaKey::Id(id) if self.told_unknown.lock().unwrap().contains(&id))
    }
}

struct Scene {
    registry: Arc<Far>,
    decoder: SourceDecoder,
    _cache: TempDir,
}

impl Scene {
    fn new(known: impl IntoIterator<Item = i32>) -> Self {
        let registry = Arc::new(Far { known: known.into_iter().collect(), ..Far::default() });
        let folder = tempfile::tempdir().unwrap();
        let asked: Arc<dyn Registry> = Arc::<Far>::clone(&registry);
        let cache = SchemaCache::open(folder.path()).unwrap();
        let decoder = avro::decoder(&DecoderOptions::new("events"), pinned(SCHEMA), asked, cache).unwrap();
        Self { registry, decoder, _cache: folder }
    }

    /// A batch of one event for each of `ids`; what becomes of it, and what the registry was asked for.
    fn batch(&self, ids: &[i32]) -> (Decoded, Vec<i32>) {
        let values: Vec<Option<Vec<u8>>> = ids.iter().map(|id| Some(frame(*id, &Body::default().long(1).0))).collect();
        let events = [raw(0, &values)];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let writers = runtime.block_on(self.decoder.prepare(&events)).unwrap();
        let decoded = self.decoder.decode(&writers, &events, &[0]).unwrap();
        (decoded, std::mem::take(&mut *self.registry.asked.lock().unwrap()))
    }
}

fn unknown(decoded: &Decoded) -> u64 {
    assert!(decoded.by_class.keys().all(|class| *class == ErrorClass::UnknownSchemaId), "{:?}", decoded.by_class);
    decoded.by_class.values().sum()
}

/// Ids as somebody makes them up, all different.
fn made_up(count: i32) -> impl Iterator<Item = i32> {
    (0..count).map(|n| 1_000 + n.wrapping_mul(100_003) % 2_000_000_000)
}

#[test]
fn twenty_thousand_ids_are_few_questions_and_a_new_schema_among_them_is_asked_for() {
    // A producer's new schema: its id lies above all that are known, and more of its events are there than of any other.
    let scene = Scene::new([2_000_000_001]);
    let mut ids: Vec<i32> = made_up(20_000).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 20_000);
    for at in [3, 9_000, 19_999] {
        ids.insert(at, 2_000_000_001);
    }
    let (decoded, asked) = scene.batch(&ids);
    assert_eq!((rows(&decoded).len(), unknown(&decoded)), (3, 20_000));
    assert!((MOST_UNKNOWN..MOST_UNKNOWN + 10).contains(&asked.len()), "{} questions", asked.len());
    // What they say: that the registry does not know it, or that it was not asked.
    let messages = decoded.dead_letters.column(9).as_string::<i32>();
    let mut said: BTreeMap<bool, usize> = BTreeMap::new();
    for message in messages.iter().flatten() {
        *said.entry(message.starts_with("its schema was not asked for")).or_default() += 1;
    }
    assert_eq!(said[&false], asked.len() - 1);
    assert_eq!(said[&true], 20_000 - said[&false]);
}

#[test]
fn a_low_id_is_asked_for_before_what_is_made_up() {
    let scene = Scene::new([17]);
    let mut ids: Vec<i32> = made_up(5_000).map(|id| id.wrapping_neg()).collect();
    ids.push(17);
    let (decoded, _) = scene.batch(&ids);
    assert_eq!((rows(&decoded).len(), unknown(&decoded)), (1, 5_000));
}

#[test]
fn schemas_that_are_known_have_no_limit_and_those_that_were_told_of_count_once() {
    let many = i32::try_from(MOST_UNKNOWN).unwrap() + 40;
    let scene = Scene::new(1..=many);
    let known: Vec<i32> = (1..=many).collect();
    let (decoded, asked) = scene.batch(&known);
    assert_eq!((rows(&decoded).len(), asked.len()), (known.len(), known.len()), "each is asked for");
    // As many as there may be, twice each; and one that is known, once.
    let scene = Scene::new([1_999_999_999]);
    let twice: Vec<i32> = made_up(i32::try_from(MOST_UNKNOWN).unwrap()).flat_map(|id| [id, id]).collect();
    let ids = [twice, vec![1_999_999_999]].concat();
    let (first, asked) = scene.batch(&ids);
    assert_eq!((rows(&first).len(), asked.len()), (0, MOST_UNKNOWN), "it comes last");
    // They are not asked for again, and so stand in nobody's way.
    let (second, asked) = scene.batch(&ids);
    assert_eq!((rows(&second).len(), unknown(&second)), (1, 2 * MOST_UNKNOWN as u64));
    assert_eq!(asked, [1_999_999_999]);
}

#[test]
fn what_is_asked_for_depends_on_the_batch_and_not_on_the_order_of_its_events() {
    let mut ids: Vec<i32> = made_up(2_000).chain(made_up(50)).collect();
    let asked_of = |ids: &[i32]| {
        let (_, asked) = Scene::new([]).batch(ids);
        asked.into_iter().collect::<BTreeSet<_>>()
    };
    let asked = asked_of(&ids);
    ids.reverse();
    assert_eq!(asked, asked_of(&ids));
    assert!(made_up(50).all(|id| asked.contains(&id)), "what more events name comes first");
}
