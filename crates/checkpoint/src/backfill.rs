//! The names under which a backfill knows sources, operators and clauses: `backfill-<n>.<name>`, `<n>` being the number of the
//! pipeline that was adopted. So it does not meet what the checkpoint knows of the living pipeline.

/// What names begin with in the backfill of pipeline `number`.
#[must_use]
pub fn prefix(number: u64) -> String {
    format!("backfill-{number}.")
}

/// The name without the prefix of a backfill, if it has one.
#[must_use]
pub fn original(name: &str) -> Option<&str> {
    let (number, name) = name.strip_prefix("backfill-")?.split_once('.')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}
