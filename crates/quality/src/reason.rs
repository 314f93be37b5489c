//! Rewrites DataFusion's error about an expression for people.

use datafusion::error::DataFusionError;

/// Characters of a message beyond which it is cut.
const MAX_CHARS: usize = 400;

/// What the errors of DataFusion and Arrow begin with, which says where in them something went wrong.
const STACKED: [&str; 9] = [
    "Arrow error: ",
    "External error: ",
    "Execution error: ",
    "Error during planning: ",
    "Internal error: ",
    "Compute error: ",
    "Cast error: ",
    "Parser error: ",
    "Invalid argument error: ",
];

/// The reason in one short line, without the names of the parts that handed it on.
#[must_use]
pub fn reason(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let mut text = text.lines().next().unwrap_or_default().trim();
    while let Some(rest) = STACKED.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;

    use super::*;

    #[test]
    fn it_is_one_line_without_names_of_parts() {
        let said = |error: ArrowError| reason(&DataFusionError::from(error));
        assert_eq!(said(ArrowError::CastError("Cannot cast 'x'".to_owned())), "Cannot cast 'x'");
        assert_eq!(said(ArrowError::ParseError("Error parsing 'x'".to_owned())), "Error parsing 'x'");
        assert_eq!(said(ArrowError::InvalidArgumentError("Must be UTC".to_owned())), "Must be UTC");
        assert_eq!(said(ArrowError::DivideByZero), "Divide by zero error");
        let nested = DataFusionError::from(ArrowError::ComputeError("one\ntwo".to_owned())).context("far above");
        assert_eq!(reason(&nested), "one");
        let long = said(ArrowError::ComputeError("ä".repeat(1_000)));
        assert_eq!(long.chars().count(), MAX_CHARS + 1);
    }
}
