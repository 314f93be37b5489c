//! What other crates ask of any operator: its kind, and the difference between two of them.

use datafusion::logical_expr::Expr;

use super::{KINDS, Window};

/// A kind of operator. All that is said of operators by kind stands here, so that nobody else lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorKind {
    /// Its name in plans and in the records of pipelines: a format.
    pub name: &'static str,
    /// The word in the ids of its operators, `<table or flow>.<word>.<n>`, and its station: a format.
    pub word: &'static str,
    /// Its name in the progress: a format.
    pub in_progress: &'static str,
    /// What the steps of a query begin with that are its own.
    pub steps: &'static [&'static str],
    /// Whether each row that it gives is one that it took, with its place in the source. Such an operator runs behind the
    /// expectations when it is the last step of a flow.
    pub keeps_rows: bool,
    /// Whether it may give up a segment in the batch that was to name it, because the watermark has passed all of it.
    pub gives_up_at_once: bool,
    /// Whether what it holds stays right under another delay of its watermark.
    pub bears_other_delay: bool,
    /// What it means that one is gone from a query that goes on.
    pub gone: Gone,
    /// What a new one in a query that goes on lacks.
    pub lacks: &'static str,
}

/// What it means that an operator is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Rows come that did not come before: which ones, and what is forgotten.
    Harmless(&'static str, &'static str),
    /// Rows would be lost.
    Loses(&'static str),
}

impl OperatorKind {
    /// The kind that plans and records call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }

    /// The kind of the operator `id`; `None` if no operator has an id of this form.
    #[must_use]
    pub fn of_id(id: &str) -> Option<&'static Self> {
        let mut parts = id.rsplitn(3, '.');
        let (number, word, flow) = (parts.next()?, parts.next()?, parts.next());
        flow.filter(|_| number.parse::<u64>().is_ok())?;
        KINDS.into_iter().find(|kind| kind.word == word)
    }

    /// Its place among the kinds.
    #[must_use]
    pub fn place(&self) -> usize {
        KINDS.iter().position(|kind| kind.name == self.name).unwrap_or_default()
    }
}

/// An operator of a query.
#[derive(Debug, Clone)]
pub struct OperatorSpec<'n> {
    /// Names its state.
    pub id: &'n str,
    /// What it is.
    pub kind: &'static OperatorKind,
    /// The clauses whose watermark closes or forgets what it holds.
    pub clauses: &'n [String],
    /// By what it tells rows apart, over the columns of its input.
    pub keys: Vec<Expr>,
    /// What it computes of the rows of a key, as checkpoints know it.
    pub computes: &'n [Expr],
    /// Its windows.
    pub window: Option<Window>,
    /// Where the session ends that a row is alone, if that differs from row to row in more than its time.
    pub session_end: Option<&'n Expr>,
    /// For how long after a row's event time its key is remembered, microseconds; `None` for ever, and for windows.
    pub remembers_micros: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_kind() {
        for kind in KINDS {
            assert_eq!(OperatorKind::of_id(&format!("a.b.{}.12", kind.word)), Some(kind));
            assert_eq!(OperatorKind::of_id(&format!("{}.12", kind.word)), None);
            assert_eq!(OperatorKind::of_id(&format!("a.{}.x", kind.word)), None);
            assert_eq!(OperatorKind::named(kind.name), Some(kind));
        }
        assert_eq!(OperatorKind::of_id("a.b.1"), None);
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        for (at, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind.place(), at);
            let others = KINDS.into_iter().filter(|other| other.place() != at);
            for other in others {
                assert!(other.name != kind.name && other.word != kind.word && other.in_progress != kind.in_progress);
            }
        }
    }
}
