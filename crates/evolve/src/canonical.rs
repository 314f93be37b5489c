//! Plans and expressions as canonical text: two bindings of the same SQL give the same text, whatever else the file holds.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use sluicebox_pipeline::graph::{Node, PlanNode};

/// What the binder calls the streams of a pipeline, numbered over the whole file: another table moves the numbers.
const STREAM: &str = "__sb_stream_";

/// The stateless plans of a flow, each after those below it, with what they read.
pub(super) fn plans(node: &Node) -> Vec<String> {
    node.bottom_up()
        .into_iter()
        .filter_map(|node| match node {
            Node::Plan(plan) => Some(plan_text(plan)),
            _ => None,
        })
        .collect()
}

fn plan_text(node: &PlanNode) -> String {
    let inputs: Vec<&str> = node
        .inputs
        .iter()
        .map(|(_, input)| match input {
            Node::Stream(stream) => stream.upstream.as_str(),
            _ => "the step below",
        })
        .collect();
    format!("{}\nreads {}", renumbered(&node.plan.display_indent().to_string()), inputs.join(", "))
}

/// `text` with the streams numbered in the order in which they appear.
fn renumbered(text: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(STREAM) {
        let (before, after) = rest.split_at(at);
        let digits = after[STREAM.len()..].bytes().take_while(u8::is_ascii_digit).count();
        let (name, tail) = after.split_at(STREAM.len() + digits);
        let number = seen.iter().position(|s| *s == name).unwrap_or_else(|| {
            seen.push(name);
            seen.len() - 1
        });
        out.push_str(before);
        out.push_str(&format!("stream#{number}"));
        rest = tail;
    }
    out + rest
}

/// What `expr` over the rows of `node` means in columns of what the flow reads: projections between are put in.
pub(super) fn meaning(node: &Node, expr: &Expr) -> String {
    match node {
        Node::Plan(plan) => expand(&plan.plan, expr),
        Node::Late(input) => meaning(input, expr),
        _ => plain(expr),
    }
}

/// As [`meaning`], of a column.
pub(super) fn column_meaning(node: &Node, name: &str) -> String {
    meaning(node, &Expr::Column(Column::new_unqualified(name)))
}

fn plain(expr: &Expr) -> String {
    replaced(expr, |column| column.name.clone())
}

fn replaced(expr: &Expr, what: impl Fn(&Column) -> String) -> String {
    let text = expr.clone().transform_down(|e| match &e {
        Expr::Column(column) => {
            let column = Expr::Column(Column::new_unqualified(what(column)));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        }
        Expr::Alias(alias) => Ok(Transformed::yes(alias.expr.as_ref().clone())),
        _ => Ok(Transformed::no(e)),
    });
    // count(*) counts ones.
    text.map_or_else(|_| expr.to_string(), |t| t.data.to_string()).replace("count(Int64(1))", "count(*)")
}

fn expand(plan: &LogicalPlan, expr: &Expr) -> String {
    replaced(expr, |column| of_column(plan, column))
}

fn of_column(plan: &LogicalPlan, column: &Column) -> String {
    let position = || plan.schema().maybe_index_of_column(column);
    let below = |input: &LogicalPlan, at: usize| {
        let (qualifier, field) = input.schema().qualified_field(at);
        of_column(input, &Column::new(qualifier.cloned(), field.name()))
    };
    match plan {
        LogicalPlan::Projection(projection) => match position().and_then(|at| projection.expr.get(at)) {
            Some(expr) => expand(&projection.input, unaliased(expr)),
            None => column.name.clone(),
        },
        LogicalPlan::SubqueryAlias(alias) => {
            position().map_or_else(|| column.name.clone(), |at| below(&alias.input, at))
        }
        LogicalPlan::Filter(filter) => of_column(&filter.input, column),
        LogicalPlan::Union(union) => position().map_or_else(
            || column.name.clone(),
            |at| {
                let mut sides: Vec<String> = union.inputs.iter().map(|input| below(input, at)).collect();
                sides.dedup();
                sides.join(" or ")
            },
        ),
        _ => column.name.clone(),
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_numbered_as_they_appear() {
        let text = "a: __sb_stream_12 join __sb_stream_3, __sb_stream_12.x";
        assert_eq!(renumbered(text), "a: stream#0 join stream#1, stream#0.x");
        assert_eq!(renumbered("nothing"), "nothing");
    }
}
