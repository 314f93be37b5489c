//! Numbers as people read them.

/// `n` with a comma before every three digits: `12,345`.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `n` rows in words: `1 row`, `12,345 rows`.
#[must_use]
pub fn rows(n: u64) -> String {
    format!("{} {}", thousands(n), if n == 1 { "row" } else { "rows" })
}

#[cfg(test)]
mod tests {
    use super::{rows, thousands};

    #[test]
    fn a_comma_stands_before_every_three_digits() {
        let all = [0, 999, 1_000, 12_345, 1_234_567].map(thousands);
        assert_eq!(all, ["0", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!([1, 0, 1_000].map(rows), ["1 row", "0 rows", "1,000 rows"]);
    }
}
