//! Errors that operators, casts and functions of [`sluicebox_functions`] report for a call. They are already in SQL's words, often with the
//! remedy behind a semicolon. This module adds the code.
//!
//! DataFusion passes on nothing but the text of such an error, so the code is found by its wording. An error whose wording is in none of
//! these lists has the code `query`: the snapshot of `crates/engine/tests/wrong_queries.rs` shows it.

use super::said::{Said, words};

/// Wordings of one code, and the way on where the text has none.
struct Kind {
    code: &'static str,
    wordings: &'static [&'static str],
    help: &'static str,
}

/// Types that an operator does not take.
const MISMATCH: Kind = Kind {
    code: "type-mismatch",
    wordings: &[
        " cannot be cast to ",
        " cannot compare ",
        " does not compare ",
        " does not take ",
        " does not join ",
        " takes numbers, not ",
        " takes whole numbers, not ",
        " takes whole numbers and DECIMALs, not ",
        " takes a number, not ",
        " takes a whole number, not ",
        " takes conditions, not ",
        ", not a condition",
        " nothing in common: ",
        " has no items",
        " has no key of type ",
    ],
    help: "CAST it to a type that goes here",
};

/// A constant that the type has no value for.
const NO_VALUE: Kind = Kind {
    code: "bad-constant",
    wordings: &[" does not fit in ", " overflows ", " is out of the range of ", " has more than 38 digits"],
    help: "write another constant: one of the type that is wanted",
};

/// The way on where an argument has a type that a function does not take.
const CAST_ARGUMENT: &str = "CAST the argument to a type that it takes, or take another function";

/// What functions say, in the order in which it is asked.
const FUNCTIONS: [Kind; 7] = [
    Kind {
        code: "type-mismatch",
        wordings: &[" has no fields", " is asked for by its "],
        help: "only a STRUCT or MAP has fields: write x.name or x['name']; an ARRAY element is x[0]",
    },
    Kind {
        code: "type-mismatch",
        wordings: &["an array are of one type", " no type in common", " are never equal", " has no hash", " holds no "],
        help: "CAST one to the type of the other",
    },
    Kind {
        code: "bad-constant",
        wordings: &[
            " regular expression",
            "the pattern '",
            "there is no encoding ",
            "there is no time zone ",
            "there is no field ",
            "there is no mode ",
            "the schema `",
            "the option `",
            " accuracy is ",
            " share is ",
            " relative error is ",
            " counts from 1",
            "format_string does not know ",
            "format_number knows ",
            " has no digits behind a point",
            " in the middle of a conversion",
            " asks for too many characters",
            "are counted from 1",
        ],
        help: "write another constant",
    },
    Kind { code: "syntax", wordings: &[" columns ("], help: "write AS and a name for each column" },
    Kind { code: "too-long", wordings: &[" is longer than "], help: "compute it in a subquery" },
    Kind { code: "unknown-function", wordings: &[" gives no rows"], help: "write explode(...) or a relative of it" },
    Kind {
        code: "argument-types",
        wordings: &[
            " is wanted, this is ",
            " have no order",
            " takes a",
            " takes t",
            " takes whole ",
            " takes numbers",
            "takes arrays",
            " converts a ",
            " is an INTERVAL, not ",
            "there is no sequence of ",
            "rows are wanted",
            " is no map",
            " is a constant",
            " keys are ",
        ],
        help: CAST_ARGUMENT,
    },
];

impl Kind {
    /// `message` with `help`, or the way on of this kind, if it has one of the wordings.
    fn said(&self, message: &str, help: Option<&str>) -> Option<Said> {
        let known = self.wordings.iter().any(|wording| message.contains(wording));
        known.then(|| Said::new(self.code, message).help(help.unwrap_or(self.help)))
    }
}

fn message_and_help(raw: &str) -> (&str, Option<&str>) {
    raw.split_once("; ").map_or((raw, None), |(message, help)| (message, Some(help)))
}

/// The words for what the planner of operators and casts says.
pub(super) fn operators(raw: &str) -> Option<Said> {
    if raw.ends_with(": division by zero") {
        let said = Said::new("bad-constant", "it divides by zero");
        return Some(said.help("write NULLIF(x, 0) where the divisor may be zero"));
    }
    let (message, help) = message_and_help(raw);
    if message.starts_with("there is no field ") && message.contains("` in ") {
        return Some(Said::new("unknown-column", message).help(help.unwrap_or("`sluicebox plan` lists the columns")));
    }
    if message.starts_with('\'') && message.contains("' is no ") {
        return Some(Said::new(NO_VALUE.code, message).help(help.unwrap_or(NO_VALUE.help)));
    }
    NO_VALUE.said(message, help).or_else(|| {
        let by_text = message.split_once(" cannot be cast to ").map(|(from, to)| match from {
            "a BINARY" => format!("if its bytes are text: CAST(CAST(x AS STRING) AS {to})"),
            _ => "there is no such cast: take a part of the value, or compute what is meant".to_owned(),
        });
        let of_datafusion = message.contains(" No function matches ");
        if of_datafusion { None } else { MISMATCH.said(message, help.or(by_text.as_deref())) }
    })
}

/// The words for what functions say, of which DataFusion says nothing.
pub(super) fn functions(raw: &str) -> Option<Said> {
    let said = words(raw);
    if let Some(message) = count(&said) {
        return Some(Said::new("argument-count", message).help("remove or add arguments"));
    }
    let (message, help) = message_and_help(&said);
    // DataFusion says of values, too, what they must be.
    if message.contains("argument ") && message.contains(" must be ") {
        return Some(Said::new("argument-types", message).help(help.unwrap_or(CAST_ARGUMENT)));
    }
    FUNCTIONS.iter().find_map(|kind| kind.said(message, help))
}

/// `said` as a sentence, if it is about how many arguments there are.
fn count(said: &str) -> Option<String> {
    let said = said.replacen(": takes ", " takes ", 1);
    let (_, takes) = said.split_once("takes ")?;
    let given = takes.rsplit_once(", not ").map(|(_, given)| given.trim_end_matches(" arguments"));
    let is_count = takes.contains(" here it has ")
        || given.is_some_and(|given| given.parse::<usize>().is_ok())
        || takes.ends_with(" argument")
        || takes.ends_with(" arguments");
    is_count.then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_say_what_kind_of_mistake_it_is() {
        for (raw, code) in [
            ("collect_list: takes 1 argument, not 0", "argument-count"),
            ("from_json: takes a text, a schema and options, not 4 arguments", "argument-count"),
            ("bit_count takes one argument", "argument-count"),
            ("elt takes at least 2 arguments", "argument-count"),
            ("coalesce takes at least 1 argument, here it has 0", "argument-count"),
            ("timestampadd takes a unit, a number and a time, here it has 2 arguments", "argument-count"),
            ("array_contains: an array is wanted, this is string", "argument-types"),
            ("argument 2 of left must be a whole number, not TEXT", "argument-types"),
            ("max: maps have no order", "argument-types"),
            ("hex takes a whole number, text or binary, not ARRAY", "argument-types"),
            ("array_append: an array of string holds no timestamp", "type-mismatch"),
            ("map: int and array<string> have no type in common", "type-mismatch"),
            ("an ARRAY<STRING> has no fields", "type-mismatch"),
            ("a field of a STRUCT is asked for by its name: s.name", "type-mismatch"),
            ("'(a' is not a valid or supported regular expression: unclosed group", "bad-constant"),
            ("the pattern '%Q' has `Q`, which can be written but not read", "bad-constant"),
            ("there is no encoding 'utf-9'; there are US-ASCII, ISO-8859-1", "bad-constant"),
            ("format_string does not know %h; it knows %d", "bad-constant"),
            ("format_number knows patterns of `#`, not '0E0'; write '#,##0.00'", "bad-constant"),
            ("'%' ends in the middle of a conversion such as %d", "bad-constant"),
            ("there is no field EPOCH; write unix_seconds(time)", "bad-constant"),
        ] {
            assert_eq!(functions(raw).map(|said| said.code), Some(code), "{raw}");
        }
        assert_eq!(functions("this query cannot be planned"), None);
        let said = functions("collect_list: takes 1 argument, not 0").map(|said| said.message);
        assert_eq!(said.as_deref(), Some("collect_list takes 1 argument, not 0"));
    }
}
