//! Options, settings and command-line values of any text. Input: lines `KEY=VALUE`.

use sluicebox_pipeline::{parse, values};
use sluicebox_sources::KafkaOptions;

const GOLD: &str = include_str!("../../../sql/gold_revenue.sql");

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let pairs: Vec<(String, String)> =
        text.lines().map(|l| l.split_once('=').unwrap_or((l, ""))).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    drop(KafkaOptions::from_options("s", &pairs, &|_| None));
    let sources: Vec<_> = pairs.iter().map(|(k, v)| (format!("sales_events.{k}"), v.clone())).collect();
    for overrides in [&pairs, &sources] {
        if let Err(mistakes) = parse("gold.sql", GOLD, overrides) {
            assert!(!mistakes.render(false).is_empty());
        }
    }
    for (key, value) in &pairs {
        for text in [key, value] {
            let _ = (values::boolean(text), values::size(text), values::duration(text), values::trigger(text));
            drop(values::names(text));
            drop(values::resolve(text, |_| Ok::<_, ()>(String::new())));
        }
    }
}
