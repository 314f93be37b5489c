//! `INTERVAL` in the forms that Spark reads and DataFusion does not.

use datafusion::sql::sqlparser::ast::{DateTimeField, Expr, Interval, Value, ValueWithSpan};

/// Writes a number as text, and `'1 02:03' DAY TO MINUTE` as `'1 days 02 hours 03 minutes'`.
pub(super) fn plain(interval: &mut Interval) {
    if let Expr::Value(ValueWithSpan { value, .. }) = interval.value.as_mut()
        && let Value::Number(digits, _) = value
    {
        *value = Value::SingleQuotedString(std::mem::take(digits));
    }
    let (Some(first), Some(last)) = (&interval.leading_field, &interval.last_field) else { return };
    if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = interval.value.as_mut()
        && let Some(spelt) = spelt(text, first, last)
    {
        *text = spelt;
        interval.leading_field = None;
        interval.last_field = None;
    }
}

/// `text` with the names of its units, if it has one value for each from `first` to `last`.
fn spelt(text: &str, first: &DateTimeField, last: &DateTimeField) -> Option<String> {
    const UNITS: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
    let place = |field: &DateTimeField| {
        let name = field.to_string().to_lowercase();
        UNITS.iter().position(|unit| name.trim_end_matches('s') == *unit)
    };
    let units = UNITS.get(place(first)?..=place(last)?)?;
    let (sign, body) = match text.trim().strip_prefix('-') {
        Some(body) => ("-", body),
        None => ("", text.trim().trim_start_matches('+')),
    };
    let values: Vec<&str> = body.split(['-', ' ', ':']).collect();
    let number = |value: &&str| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if values.len() != units.len() || !values.iter().all(number) {
        return None;
    }
    let parts: Vec<String> = values.iter().zip(units).map(|(value, unit)| format!("{sign}{value} {unit}s")).collect();
    Some(parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_spelt() {
        let spelt = |text, first, last| spelt(text, &first, &last);
        assert_eq!(spelt("1-2", DateTimeField::Year, DateTimeField::Month).as_deref(), Some("1 years 2 months"));
        let negative = spelt("-1 02:03:04.5", DateTimeField::Day, DateTimeField::Second);
        assert_eq!(negative.as_deref(), Some("-1 days -02 hours -03 minutes -04.5 seconds"));
        assert_eq!(spelt("1:2", DateTimeField::Day, DateTimeField::Second), None);
        assert_eq!(spelt("1", DateTimeField::Second, DateTimeField::Day), None);
    }
}
