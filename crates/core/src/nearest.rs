//! Finds the names most similar to a misspelt one, for "did you mean".

/// No name is as long as this: comparing takes time by the product of the lengths.
const LONGEST: usize = 200;
/// So many names are compared; a registry or a cluster may have any number of them.
const MOST: usize = 10_000;
/// How much two names have to be alike, from 0 to 1.
const ALIKE: f64 = 0.85;

/// The one of `known` that is most like `name`, if any is like it.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    let scored = known.into_iter().take(MOST).map(|candidate| (likeness(&lower, candidate), candidate));
    let best = scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, candidate)| candidate)
}

/// At most `most` of `known` that are like `name`, or hold it, or are held by it, the likest first.
#[must_use]
pub fn nearest_few<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let lower = name.to_lowercase();
    let score = |candidate: &'a str| {
        let other = candidate.to_lowercase();
        let within = other.len().min(lower.len()) > 2 && (other.contains(&lower) || lower.contains(&other));
        (likeness(&lower, candidate).max(if within { 0.87 } else { 0.0 }), candidate)
    };
    let mut scored: Vec<(f64, &str)> =
        known.into_iter().take(MOST).map(score).filter(|(score, _)| *score >= ALIKE).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

/// From 0 to 1, of a name in lower case and another one.
fn likeness(lower: &str, candidate: &str) -> f64 {
    let other = candidate.to_lowercase();
    if other.len() > LONGEST {
        return 0.0;
    }
    let last = |s: &str| s.rsplit('.').next().unwrap_or(s).to_owned();
    let whole = strsim::jaro_winkler(lower, &other);
    let edits = strsim::damerau_levenshtein(lower, &other);
    let shortest = lower.chars().count().min(other.chars().count());
    // Two edits make any other word of one of four letters.
    let few = edits < shortest && (edits < 2 || edits == 2 && shortest > 4);
    let by_edits = if few { 0.9 } else { 0.0 };
    let same_end = if last(lower) == last(&other) { 0.86 } else { 0.0 };
    whole.max(by_edits).max(same_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_comes_first_and_what_is_not_alike_not_at_all() {
        let topics = ["sales.events.v1", "sales.events.v2", "clicks", "sales.refunds.v1"];
        assert_eq!(nearest("sales.event.v1", topics), Some("sales.events.v1"));
        assert_eq!(nearest_few("sales.event.v1", topics, 2), ["sales.events.v1", "sales.events.v2"]);
        assert_eq!(nearest_few("click", topics, 3), ["clicks"]);
        let subjects = ["orders-shop.OrderPaid", "orders-shop.OrderCreated", "x"];
        assert_eq!(nearest_few("orders", subjects, 5), ["orders-shop.OrderCreated", "orders-shop.OrderPaid"]);
        assert!(nearest_few("payments", topics, 3).is_empty());
        assert!(nearest(&"x".repeat(300), topics).is_none());
        assert!(nearest("foo", ["mio", "fnv", "log"]).is_none(), "a short word is not like any other");
        assert_eq!(nearest("tss", ["ts"]), Some("ts"));
        let behind_many = std::iter::repeat_n("other", 10_000).chain(["clicks"]);
        assert!(nearest("click", behind_many.clone()).is_none() && nearest_few("click", behind_many, 3).is_empty());
    }
}
