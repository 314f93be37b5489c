#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use proptest::prelude::*;

use super::*;

const BIRTH: i64 = 1_750_000_000_000_000;

fn generator(seed: u64) -> SalesGenerator {
    SalesGenerator::new(SalesConfig { schema_id: 7, ..SalesConfig::new(seed, BIRTH) }).unwrap()
}

/// The fields of a sound event, or `None` when apache-avro cannot read it whole.
fn read(schema: &Schema, value: &[u8]) -> Option<Vec<(String, Value)>> {
    let mut body = value.strip_prefix(&[0, 0, 0, 0, 7])?;
    match GenericDatumReader::builder(schema).build().unwrap().read_value(&mut body) {
        Ok(Value::Record(fields)) if body.is_empty() => Some(fields),
        _ => None,
    }
}

fn text(fields: &[(String, Value)], name: &str) -> Option<String> {
    match &fields.iter().find(|(n, _)| n == name).unwrap().1 {
        Value::String(s) => Some(s.clone()),
        Value::Union(_, inner) => match inner.as_ref() {
            Value::String(s) => Some(s.clone()),
            _ => None,
        },
        other => panic!("{name} is {other:?}"),
    }
}

fn micros(fields: &[(String, Value)], name: &str) -> i64 {
    match &fields.iter().find(|(n, _)| n == name).unwrap().1 {
        Value::TimestampMicros(t) => *t,
        other => panic!("{name} is {other:?}"),
    }
}

fn amount(fields: &[(String, Value)]) -> i64 {
    match &fields.iter().find(|(n, _)| n == "amount").unwrap().1 {
        Value::Decimal(d) => {
            let bytes: Vec<u8> = d.clone().try_into().unwrap();
            let start = if bytes[0] & 0x80 != 0 { -1_i64 } else { 0 };
            bytes.iter().fold(start, |n, b| (n << 8) | i64::from(*b))
        }
        other => panic!("amount is {other:?}"),
    }
}

#[test]
fn apache_avro_reads_the_events_of_each_writer_by_its_schema() {
    let config = SalesConfig { schema_id: 7, further_schema_ids: vec![8, 9], ..SalesConfig::new(1, BIRTH) };
    let generator = SalesGenerator::new(config).unwrap();
    let plain = self::generator(1);
    let schemas = SALES_SCHEMAS.map(|schema| Schema::parse_str(schema).unwrap());
    let mut seen = [0; 3];
    for index in 0..20_000 {
        let event = generator.event(index);
        let origin = if let EventKind::Duplicate(origin) = event.kind { origin } else { index };
        let version = usize::try_from(origin % 3).unwrap();
        let mut value = event.value.clone();
        if !matches!(event.kind, EventKind::Malformed(_)) {
            assert_eq!(value[..5], [0, 0, 0, 0, 7 + u8::try_from(version).unwrap()]);
            value[4] = 7;
            seen[version] += 1;
        } else if value.starts_with(&[0, 0, 0, 0]) {
            value[4] = 7;
        }
        let fields = read(&schemas[version], &value);
        assert_eq!(fields.is_none(), matches!(event.kind, EventKind::Malformed(_)), "event {index}: {:?}", event.kind);
        let Some(fields) = fields else { continue };
        let expected = read(&schemas[0], &plain.event(index).value).unwrap();
        let common: Vec<_> = fields.iter().filter(|(n, _)| n != "channel" && n != "campaigns").cloned().collect();
        assert_eq!(common, expected, "event {index}");
        assert_eq!(fields.len(), expected.len() + version);
    }
    assert!(seen.iter().all(|events| *events > 6_000), "{seen:?}");
    let too_many = SalesConfig { further_schema_ids: vec![8, 9, 10], ..SalesConfig::new(1, BIRTH) };
    assert!(SalesGenerator::new(too_many).is_err());
}

#[test]
fn apache_avro_reads_every_event_but_the_malformed_ones() {
    let schema = Schema::parse_str(SALES_SCHEMA).unwrap();
    let generator = generator(1);
    for index in 0..20_000 {
        let event = generator.event(index);
        let fields = read(&schema, &event.value);
        if matches!(event.kind, EventKind::Malformed(_)) {
            assert!(fields.is_none(), "event {index} is {:?} and was read", event.kind);
            continue;
        }
        let fields = fields.unwrap();
        let produced = generator.time_micros(index);
        let behind = produced - micros(&fields, "event_time");
        assert_eq!(text(&fields, "account_id").unwrap().as_bytes(), event.key);
        assert_eq!(text(&fields, "event_id").is_none(), event.kind == EventKind::Invalid(Invalid::NullId));
        assert_eq!(amount(&fields) < 0, event.kind == EventKind::Invalid(Invalid::NegativeAmount));
        let known = REGIONS.contains(&text(&fields, "region").unwrap().as_str());
        assert_eq!(!known, event.kind == EventKind::Invalid(Invalid::Region));
        let known = TIERS.contains(&text(&fields, "plan_tier").unwrap().as_str());
        assert_eq!(!known, event.kind == EventKind::Invalid(Invalid::Tier));
        let known = CURRENCIES.contains(&text(&fields, "currency").unwrap().as_str());
        assert_eq!(!known, event.kind == EventKind::Invalid(Invalid::Currency));
        match event.kind {
            EventKind::Late => assert!((630_000_000..=1_800_000_000).contains(&behind), "{behind}"),
            EventKind::Duplicate(origin) => {
                assert!(origin < index);
                let first = generator.event(origin);
                assert_eq!(first.kind, EventKind::Good);
                assert_eq!((first.value, first.partition), (event.value, event.partition));
                assert!(behind <= 130_000_000, "{behind}");
            }
            _ => assert!((0..=3_000_000).contains(&behind), "{behind}"),
        }
    }
}

#[test]
fn shares_are_kept_and_an_event_has_about_100_bytes() {
    let generator = generator(2);
    let (mut counts, mut bytes, mut partitions) = ([0_u32; 5], 0, [0_u32; 3]);
    let total = 100_000_u32;
    for index in 0..u64::from(total) {
        let event = generator.event(index);
        bytes += event.value.len();
        partitions[usize::try_from(event.partition).unwrap()] += 1;
        counts[match event.kind {
            EventKind::Good => 0,
            EventKind::Late => 1,
            EventKind::Duplicate(_) => 2,
            EventKind::Invalid(_) => 3,
            EventKind::Malformed(_) => 4,
        }] += 1;
    }
    for (what, part) in [(1, 0.01), (2, 0.01), (3, 0.01), (4, 0.005)] {
        let share = f64::from(counts[what]) / f64::from(total);
        assert!((share - part).abs() < 0.002, "{counts:?}");
    }
    assert!((90..=115).contains(&(bytes / 100_000)), "{}", bytes / 100_000);
    assert!(partitions.iter().all(|n| *n > total / 5), "{partitions:?}");
}

#[test]
fn ids_are_unique_and_differ_between_births() {
    let generator = SalesGenerator::new(SalesConfig { shares: Shares::none(), ..SalesConfig::new(3, BIRTH) }).unwrap();
    let other = SalesGenerator::new(SalesConfig { shares: Shares::none(), ..SalesConfig::new(3, BIRTH + 1) }).unwrap();
    let mut seen = std::collections::HashSet::new();
    for index in 0..10_000 {
        for generator in [&generator, &other] {
            assert!(seen.insert(generator.event(index).value[6..43].to_vec()));
        }
    }
}

#[test]
fn no_share_may_be_out_of_range() {
    let mut config = SalesConfig::new(1, BIRTH);
    config.shares.late = 0.6;
    config.shares.duplicate = 0.6;
    assert!(SalesGenerator::new(config.clone()).is_err());
    config.shares.duplicate = -0.1;
    assert!(SalesGenerator::new(config).is_err());
}

/// The same numbers for ever: a log that was begun by one version is continued by the next.
#[test]
fn event_zero_is_pinned() {
    let event = generator(42).event(0);
    let digest = fnv(&event.value);
    assert_eq!((event.kind, digest), (EventKind::Good, PINNED), "key {:?}", String::from_utf8_lossy(&event.key));
}

const PINNED: u64 = 14_556_414_259_947_169_751;

/// FNV-1a: enough to notice a change.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

proptest! {
    #[test]
    fn times_and_indexes_are_each_others_inverse(
        seed: u64, backlog in 0_u64..500_000, rate in 0.01_f64..2e6, index in 0_u64..2_000_000,
    ) {
        let config = SalesConfig { backlog, rate, ..SalesConfig::new(seed, BIRTH) };
        let generator = SalesGenerator::new(config).unwrap();
        let time = generator.time_micros(index);
        prop_assert!(generator.time_micros(index + 1) >= time);
        let first = generator.index_at(time);
        prop_assert!(first <= index && generator.time_micros(first) == time);
        prop_assert!(generator.time_micros(generator.index_at(time + 1)) > time);
    }

    #[test]
    fn an_event_in_a_log_tells_its_index(
        seed: u64, backlog in 0_u64..500_000, rate in 0.01_f64..5e5, index in 0_u64..2_000_000,
    ) {
        let config = SalesConfig { backlog, rate, ..SalesConfig::new(seed, BIRTH) };
        let generator = SalesGenerator::new(config).unwrap();
        let event = generator.event(index);
        prop_assert_eq!(generator.find(event.timestamp_ms, &event.key, &event.value), Some(index));
        prop_assert_eq!(generator.find(event.timestamp_ms, &event.key, b"other"), None);
    }

    #[test]
    fn an_event_depends_on_nothing_else(seed: u64, index in 0_u64..1_000_000) {
        let generator = generator(seed);
        let mut used = generator.event(index / 2);
        generator.event_into(index, &mut used);
        prop_assert_eq!(used, generator.event(index));
        prop_assert_eq!(generator.event(index).kind, generator.kind(index));
    }
}
