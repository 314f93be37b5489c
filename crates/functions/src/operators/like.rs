//! LIKE and ILIKE with an ESCAPE character.

use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::text;

/// `expr [NOT] LIKE pattern [ESCAPE c]`: text is compared, and the escape is the one that the engine knows, `\`.
///
/// # Errors
/// If the pattern escapes what needs none, or ends in its escape; if an escape is given for a pattern that is no constant.
pub fn like(like: Like, schema: &DFSchema) -> Result<Expr> {
    let expr = text::of(*like.expr, schema)?;
    let of = like.pattern.get_type(schema)?;
    let pattern = match (*like.pattern, like.escape_char) {
        (Expr::Literal(ScalarValue::Utf8(Some(pattern)), metadata), escape) => {
            Expr::Literal(ScalarValue::Utf8(Some(standard(&pattern, escape.unwrap_or('\\'))?)), metadata)
        }
        (pattern, Some(_)) if of != arrow::datatypes::DataType::Null => {
            return plan_err!("ESCAPE takes a pattern that is a constant, not {pattern}; write the pattern with \\");
        }
        (pattern, _) => text::of(pattern, schema)?,
    };
    Ok(Expr::Like(Like::new(like.negated, Box::new(expr), Box::new(pattern), None, like.case_insensitive)))
}

/// `pattern` with `\` for its escape.
fn standard(pattern: &str, escape: char) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c != escape {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
            continue;
        }
        match rest.next() {
            Some(next) if next == escape || matches!(next, '%' | '_') => {
                if matches!(next, '%' | '_' | '\\') {
                    out.push('\\');
                }
                out.push(next);
            }
            Some(next) => {
                return plan_err!(
                    "the pattern '{pattern}' has the escape {escape} before {next}, which needs none; only %, _ and the \
                     escape itself are escaped"
                );
            }
            None => return plan_err!("the pattern '{pattern}' ends in its escape {escape}; write it twice"),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::standard;

    #[test]
    fn an_escape_becomes_a_backslash() {
        let ok = |pattern, escape| standard(pattern, escape).ok();
        assert_eq!(ok("a!%b!!", '!').as_deref(), Some("a\\%b!"));
        assert_eq!(ok("a\\b", '!').as_deref(), Some("a\\\\b"));
        assert_eq!(ok("a\\%b\\\\", '\\').as_deref(), Some("a\\%b\\\\"));
        assert_eq!(ok("a!b", '!'), None);
        assert_eq!(ok("a!", '!'), None);
    }
}
