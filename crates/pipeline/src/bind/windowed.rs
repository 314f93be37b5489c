//! Explains windows that are named or placed wrongly.

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::Spanned as _;

use super::place::Places;
use crate::ast::{Query, Span};
use crate::diagnostic::{Diagnostic, nearest};
use crate::window::grouping::grouped_call;
use crate::window::names::{ident, time_of, window_calls};
use crate::window::{END, START, WINDOW};

/// The way on for the windows that other engines call by functions of their own.
pub(super) fn function(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "tumble" | "tumbling" | "hop" | "hopping" | "sliding" | "cumulate" | "time_window" => {
            Some("write GROUP BY window(event_time, INTERVAL '5 minutes'), then a slide if windows overlap")
        }
        "tumble_start" | "tumble_end" | "hop_start" | "hop_end" | "window_start" | "window_end" => {
            Some("write GROUP BY window(event_time, INTERVAL '5 minutes'), and window.start or window.end in SELECT")
        }
        "current_watermark" | "watermark" => Some(
            "a query does not see its watermark: group by window(event_time, INTERVAL '5 minutes'), whose rows come when \
             the watermark has passed the window's end",
        ),
        _ => None,
    }
}

/// An unknown column that is meant to be of the window.
pub(super) fn unknown_column(told: Diagnostic, query: &Query, places: &Places<'_>) -> Diagnostic {
    let written = places.text(told.span).to_lowercase();
    let (first, field) = written.split_once('.').unwrap_or((&written, ""));
    let given = query.window_names.iter().any(|(_, name)| name.value == first);
    let like = first == WINDOW || nearest(first, [WINDOW]).is_some();
    let flat = matches!(written.as_str(), "window_start" | "window_end" | "windowstart" | "windowend");
    let meant = if field.is_empty() { written == WINDOW || flat } else { given || like };
    if !meant {
        return told;
    }
    let sql::SetExpr::Select(select) = query.ast.body.as_ref() else { return told };
    if grouped_call(select, &|_| false).is_none() {
        let message = format!("`{written}` is not known here: this query groups by no window");
        return Diagnostic::new("unknown-column", told.span, message, "of which window?")
            .with_help("add GROUP BY window(event_time, INTERVAL '5 minutes'), or give one a name: SELECT window(...) AS w, w.start");
    }
    let within = |node: Option<&sql::Expr>| {
        node.is_some_and(|node| {
            let span = places.node(node, Span::default());
            span.start <= told.span.start && told.span.end <= span.end
        })
    };
    if within(select.selection.as_ref()) {
        return Diagnostic::new(
            "unknown-column",
            told.span,
            "WHERE is asked before rows are grouped, so it does not know their window",
            "not known yet",
        )
        .with_help("write the condition after HAVING");
    }
    let end = if flat { written.ends_with("end") } else { ["end", "stop", "to", "until"].contains(&field) };
    let name = if given { first } else { WINDOW };
    let message = if field.is_empty() || !(given || first == WINDOW) {
        format!("there is no column `{written}`")
    } else {
        format!("a window has no `{field}`: it has {START} and {END}")
    };
    Diagnostic::new("unknown-column", told.span, message, "no such column")
        .with_help(format!("write {name}.{}", if end { END } else { START }))
}

/// Where the time of a window stands that was found wrong: `known` is the place of its columns, `column` its name if it is one.
pub(super) fn place_of_time(
    query: &sql::Query,
    places: &Places<'_>,
    known: Option<Span>,
    column: Option<&str>,
) -> Option<Span> {
    let named = |time: &sql::Expr| match time {
        sql::Expr::Identifier(name) => column == Some(ident(name).as_str()),
        sql::Expr::CompoundIdentifier(parts) => parts.last().map(ident).as_deref() == column,
        _ => column.is_none(),
    };
    let calls = window_calls(query);
    let mut latest = calls.iter().rev();
    let place = |call: &sql::Expr| first_argument(places, call);
    match known {
        Some(of) => latest.filter_map(place).find(|span| span.start <= of.start && of.end <= span.end).or(known),
        None => latest.find(|call| time_of(call).is_some_and(named)).and_then(place),
    }
}

/// Where the first argument of `call` stands, as it is written: the parser forgets where calls and casts end.
fn first_argument(places: &Places<'_>, call: &sql::Expr) -> Option<Span> {
    let whole = places.parsed(call.span())?;
    let text = places.text(Span { start: whole.start, end: places.length() });
    let open = text.find('(')? + 1;
    let (mut depth, mut quoted) = (0_usize, false);
    let end = text[open..].char_indices().find(|(_, c)| {
        match c {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted && depth > 0 => depth -= 1,
            ',' | ')' if !quoted && depth == 0 => return true,
            _ => {}
        }
        false
    });
    let written = &text[open..open + end?.0];
    let start = whole.start + open + (written.len() - written.trim_start().len());
    Some(Span { start, end: start + written.trim().len() })
}
