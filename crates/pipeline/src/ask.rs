//! The statements of `sluicebox query`. They are classified and checked before any engine sees them, and their mistakes are shown like
//! those of a pipeline.
//!
//! A query reads. A statement that would write, or change a setting, is refused by its words ([`statements`]), by its parsed form
//! ([`Asked::parse`]), and once more by its plan ([`reads_only`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, SetExpr, Spanned, Statement, TableFactor, Visitor};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::Span;
use crate::bind;
use crate::diagnostic::{Diagnostic, Diagnostics, byte_span, nearest};
use crate::parse::lex::{Tok, span_of, tokenize};
use crate::parse::query::parse_all;
use crate::parse::size::too_long;
use crate::visit;

#[cfg(test)]
mod tests;

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// Rows: SELECT, WITH, VALUES, or FROM where the engine knows it.
    Rows,
    /// How rows would be computed: EXPLAIN.
    Explain,
    /// The tables there are: SHOW TABLES.
    ShowTables,
    /// The columns of a table, by the parts of its name: DESCRIBE.
    Describe(TableName),
}

/// A table as it is named in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The parts of the name, without quotes; in lower case where they stand without.
    pub parts: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it asks for.
    pub kind: StatementKind,
    /// Where it stands, without the semicolon.
    pub span: Span,
    tokens: Vec<Tok>,
}

/// The statements of `text`, which stands in `file`, apart.
///
/// # Errors
/// When a quote or comment is not closed, a statement is none that reads, or too long for any engine, or there is none.
pub fn statements(file: &str, text: &str) -> Result<Vec<Asked>, Diagnostics> {
    let wrong = |found: Vec<Diagnostic>| Diagnostics::new(file, text, found);
    let (tokens, mistake) = tokenize(text);
    if let Some(mistake) = mistake {
        return Err(wrong(vec![mistake]));
    }
    let parts = tokens.split(|t| t.is_token(&Token::SemiColon)).filter(|part| !part.is_empty());
    let (mut asked, mut mistakes) = (Vec::new(), Vec::new());
    for part in parts {
        let long = too_long(part).map_or(Ok(()), |long| Err(Box::new(long)));
        match long.and_then(|()| kind(text, part)) {
            Ok(kind) => asked.push(Asked { kind, span: span_of(part), tokens: part.to_vec() }),
            Err(mistake) => mistakes.push(*mistake),
        }
    }
    if mistakes.is_empty() && asked.is_empty() {
        let help = "write SELECT ... FROM <layer>.<table>, or SHOW TABLES";
        mistakes.push(Diagnostic::new("missing-query", Span::default(), "there is no query", "").with_help(help));
    }
    if mistakes.is_empty() { Ok(asked) } else { Err(wrong(mistakes)) }
}

/// Whether `text` ends with a semicolon, outside quotes and comments, or is empty: so that a prompt knows that it is whole.
#[must_use]
pub fn is_whole(text: &str) -> bool {
    let (tokens, mistake) = tokenize(text);
    mistake.is_none() && tokens.last().is_none_or(|t| t.is_token(&Token::SemiColon))
}

fn kind(text: &str, tokens: &[Tok]) -> Result<StatementKind, Box<Diagnostic>> {
    let Some(first) = tokens.first() else { return Ok(StatementKind::Rows) };
    let second = tokens.get(1);
    let is = |tok: &Tok, words: &[&str]| words.iter().any(|w| tok.is(w));
    if is(first, &["SELECT", "WITH", "VALUES", "FROM"]) || first.is_token(&Token::LParen) {
        return Ok(StatementKind::Rows);
    }
    if first.is("EXPLAIN") {
        let rest = tokens.iter().skip(1).find(|t| !is(t, &["ANALYZE", "VERBOSE"]));
        return match rest {
            Some(t) if is(t, &["SELECT", "WITH", "VALUES", "FROM"]) || t.is_token(&Token::LParen) => {
                Ok(StatementKind::Explain)
            }
            Some(t) => Err(refused(text, t)),
            None => Err(refused(text, first)),
        };
    }
    if first.is("SHOW") && second.is_some_and(|t| t.is("TABLES")) && tokens.len() == 2 {
        return Ok(StatementKind::ShowTables);
    }
    if is(first, &["DESCRIBE", "DESC"]) {
        let rest = tokens.get(1..).unwrap_or_default();
        let rest = if rest.first().is_some_and(|t| t.is("TABLE")) && rest.len() > 1 { &rest[1..] } else { rest };
        if let Some(name) = table_name(rest) {
            return Ok(StatementKind::Describe(name));
        }
        return Err(misspoken(
            rest.first().unwrap_or(first),
            "DESCRIBE is followed by the name of a table, and by nothing else",
            "write DESCRIBE <layer>.<table>; a name that is no word stands in double quotes: bronze.\"1\"",
        ));
    }
    if first.is("SHOW") {
        return Err(misspoken(
            second.unwrap_or(first),
            "SHOW shows tables alone",
            "write SHOW TABLES, or DESCRIBE <layer>.<table> for the columns of one",
        ));
    }
    Err(refused(text, first))
}

fn misspoken(at: &Tok, message: &str, help: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("missing-query", at.span, message, "not here").with_help(help))
}

/// The name that all of `tokens` are.
fn table_name(tokens: &[Tok]) -> Option<TableName> {
    let mut parts = Vec::new();
    for (i, tok) in tokens.iter().enumerate() {
        match &tok.token.token {
            Token::Word(word) if i % 2 == 0 => parts.push(match word.quote_style {
                None => word.value.to_lowercase(),
                Some(_) => word.value.clone(),
            }),
            Token::Period if i % 2 == 1 => {}
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then(|| TableName { parts, span: span_of(tokens) })
}

/// Statements that change something.
const WRITES: [&str; 25] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "COPY",
    "CREATE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "REPLACE",
    "ATTACH",
    "DETACH",
    "INSTALL",
    "LOAD",
    "EXPORT",
    "IMPORT",
    "VACUUM",
    "ANALYZE",
    "CALL",
    "USE",
    "GRANT",
    "REVOKE",
    "UNLOAD",
    "REFRESH",
    "CHECKPOINT",
];

/// Statements that change the session.
const SETTINGS: [&str; 13] = [
    "SET",
    "RESET",
    "PRAGMA",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "DECLARE",
    "FETCH",
    "LOCK",
];

fn refused(text: &str, tok: &Tok) -> Box<Diagnostic> {
    let written = text.get(tok.span.start..tok.span.end).unwrap_or_default();
    let word = tok.word().unwrap_or_default();
    if WRITES.contains(&word.as_str()) {
        return writes(tok.span, &word);
    }
    if SETTINGS.contains(&word.as_str()) {
        let message = format!("`query` has no settings or transactions: {word} is refused");
        return Box::new(
            Diagnostic::new("read-only", tok.span, message, "not a query")
                .with_help("leave it out; each query stands alone"),
        );
    }
    let like = nearest(&word, ["SELECT", "WITH", "SHOW TABLES", "DESCRIBE", "EXPLAIN"]);
    let help = match like {
        Some(like) => format!("did you mean {like}?"),
        None => "write SELECT ..., SHOW TABLES, DESCRIBE <layer>.<table> or EXPLAIN SELECT ...".to_owned(),
    };
    let message = format!("a query should stand here, not `{written}`");
    Box::new(Diagnostic::new("missing-query", tok.span, message, "expected SELECT").with_help(help))
}

/// A statement that would change something.
fn writes(span: Span, word: &str) -> Box<Diagnostic> {
    let message = format!("`query` only reads: {word} is refused");
    Box::new(
        Diagnostic::new("read-only", span, message, "would change something")
            .with_note("tables are written by `sluicebox run` alone, so that each row is there exactly once")
            .with_help("to keep a result, print it: --format csv or json, and > file"),
    )
}

impl Asked {
    /// The statement, parsed.
    ///
    /// # Errors
    /// When it cannot be read, or a part of it writes.
    pub fn parse(&self, file: &str, text: &str) -> Result<Statement, Diagnostics> {
        let wrong = |found: Diagnostic| Diagnostics::new(file, text, vec![found]);
        let tokens = self.tokens.iter().map(|t| t.token.clone()).collect();
        let parsed = parse_all(text, tokens, &self.tokens, |parser| parser.parse_statement());
        let statement = parsed.map_err(|mistake| wrong(*mistake))?;
        match visit::read(&statement, &mut Writes) {
            ControlFlow::Continue(()) => Ok(statement),
            ControlFlow::Break((word, span)) => {
                let span = byte_span(text, span).unwrap_or(self.span);
                Err(wrong(*writes(span, word)))
            }
        }
    }
}

impl Asked {
    /// Where the name stands that `message` has in backticks, if it stands in one place.
    fn place_of_quoted(&self, message: &str) -> Option<Span> {
        let name = message.split('`').nth(1)?;
        let is_name = |t: &&Tok| matches!(&t.token.token, Token::Word(w) if w.value.eq_ignore_ascii_case(name));
        let mut places = self.tokens.iter().filter(is_name).map(|t| t.span);
        places.next().filter(|_| places.next().is_none())
    }
}

/// Finds a part of a query that writes: `WITH x AS (...) INSERT ...`, `SELECT ... INTO t`.
struct Writes;

impl Visitor for Writes {
    type Break = (&'static str, datafusion::sql::sqlparser::tokenizer::Span);

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::SetOperation { left, right, .. } => bodies.extend([left.as_ref(), right.as_ref()]),
                SetExpr::Insert(_) => return ControlFlow::Break(("INSERT", body.span())),
                SetExpr::Update(_) => return ControlFlow::Break(("UPDATE", body.span())),
                SetExpr::Delete(_) => return ControlFlow::Break(("DELETE", body.span())),
                SetExpr::Merge(_) => return ControlFlow::Break(("MERGE", body.span())),
                SetExpr::Select(select) => {
                    if let Some(into) = &select.into {
                        return ControlFlow::Break(("SELECT INTO", into.name.span()));
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// The tables that `statement` reads, without the names that WITH gives.
#[must_use]
pub fn tables(text: &str, statement: &Statement) -> Vec<TableName> {
    let mut found = Tables { text, names: Vec::new(), given: BTreeSet::new() };
    let _ = visit::read(statement, &mut found);
    let Tables { names, given, .. } = found;
    names.into_iter().filter(|t| !matches!(t.parts.as_slice(), [one] if given.contains(one))).collect()
}

struct Tables<'t> {
    text: &'t str,
    names: Vec<TableName>,
    given: BTreeSet<String>,
}

impl Visitor for Tables<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let given = query.with.iter().flat_map(|with| &with.cte_tables);
        self.given.extend(given.map(|cte| plain(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.names.extend(named(self.text, name));
        }
        ControlFlow::Continue(())
    }
}

fn plain(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

fn named(text: &str, name: &ObjectName) -> Option<TableName> {
    let parts = name.0.iter().map(|part| part.as_ident().map(plain)).collect::<Option<_>>()?;
    Some(TableName { parts, span: byte_span(text, name.span()).unwrap_or_default() })
}

/// A table that is not there; `known` are those that are, as they must be written.
#[must_use]
pub fn unknown_table<'k>(name: &TableName, known: impl Iterator<Item = &'k str> + Clone) -> Diagnostic {
    let written = name.parts.join(".");
    let message = format!("there is no table `{written}`");
    let help = match nearest(&written, known.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let mut names: Vec<&str> = known.clone().take(12).collect();
            if known.count() > names.len() {
                names.push("...; SHOW TABLES lists all");
            }
            format!("the tables are {}", names.join(", "))
        }
    };
    let diagnostic = Diagnostic::new("unknown-table", name.span, message, "no such table").with_help(help);
    if name.parts.len() == 1 {
        return diagnostic.with_note("a table is named with its layer, as in gold.revenue_5m");
    }
    diagnostic
}

/// Whether `plan` only reads.
#[must_use]
pub fn reads_only(plan: &LogicalPlan) -> bool {
    let mut reads = true;
    let walked = plan.apply_with_subqueries(|node| {
        reads &= !matches!(
            node,
            LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_)
        );
        Ok(TreeNodeRecursion::Continue)
    });
    reads && walked.is_ok()
}

/// What DataFusion says against the statement `asked` of `text`, drawn. `functions` are those that it knows.
#[must_use]
pub fn mistake(file: &str, text: &str, asked: &Asked, error: &DataFusionError, functions: &[String]) -> Diagnostics {
    let mut found = bind::query_mistake(text, asked.span, error, functions);
    if found.span == asked.span
        && let Some(span) = asked.place_of_quoted(&found.message)
    {
        found.span = span;
    }
    Diagnostics::new(file, text, vec![found])
}

/// A type as `plan` prints it.
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    bind::type_name(data_type)
}

/// Dates and timestamps as text of ISO 8601, also those of years that Arrow has no calendar for; `None` for other values, and for
/// those that do not fit into microseconds.
#[must_use]
pub fn time_text(values: &ArrayRef) -> Option<StringArray> {
    let zoned = match values.data_type() {
        DataType::Date32 => None,
        DataType::Timestamp(_, zone) => Some(zone.is_some()),
        _ => return None,
    };
    let shown = sluicebox_functions::casts::show::text(values).ok()?;
    let shown = shown.as_string_opt::<i32>()?;
    let iso = |text: &str| match (zoned, text.split_once(' ')) {
        (Some(zoned), Some((day, clock))) => {
            let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
            // As many digits as Arrow writes.
            let fraction = match fraction.len() {
                0 => String::new(),
                1..=3 => format!(".{fraction:0<3}"),
                _ => format!(".{fraction:0<6}"),
            };
            format!("{day}T{seconds}{fraction}{}", if zoned { "Z" } else { "" })
        }
        _ => text.to_owned(),
    };
    Some(shown.iter().map(|text| text.map(iso)).collect())
}

/// A name as it must be written: in double quotes where SQL would read another name without them.
#[must_use]
pub fn quoted(name: &str) -> String {
    bind::quoted_name(name)
}
