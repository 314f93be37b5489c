//! The names of Spark's functions.

/// As `SHOW SYSTEM FUNCTIONS` of Spark 4.1 lists them, one a line.
const NAMES: &str = include_str!("spark.txt");

/// The names of all functions of Spark, in lower case, but for signs such as `+`.
pub fn of_spark() -> impl Iterator<Item = &'static str> {
    NAMES.lines().filter(|name| name.starts_with(|c: char| c.is_alphabetic()))
}
