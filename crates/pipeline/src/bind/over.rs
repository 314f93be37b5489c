//! Window functions (OVER) above an aggregation: ranks and the like among the rows of one window.
//!
//! All rows of a window come out in the batch in which the watermark reaches its end. So a function that looks only at rows of equal ends
//! sees all of them at once, and needs no state. What it says of rows that its ORDER BY has for equal would depend on what else comes in
//! the batch; the other columns of the rows say which comes first.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::utils::generate_sort_key;
use datafusion::logical_expr::{
    Expr, LogicalPlan, Projection, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};

use super::lower::{Lowered, Lowering, Rows, unaliased};
use crate::diagnostic::Diagnostic;
use crate::window::{END, START, WINDOW_TIME};

/// Functions that say the same of rows that their ORDER BY has for equal.
const OF_PEERS: [&str; 4] = ["rank", "dense_rank", "percent_rank", "cume_dist"];

/// The columns of PARTITION BY, then those of ORDER BY.
type SortKey = Vec<(Sort, bool)>;

impl Lowering<'_, '_> {
    /// `... OVER (PARTITION BY window_end ORDER BY ...)`.
    pub(super) fn over(&mut self, window: &Window) -> Lowered<Rows> {
        let rows = self.lower(&window.input)?;
        let whole = |expr: &Expr| match unaliased(expr) {
            Expr::WindowFunction(function) => function.params.partition_by.iter().any(|key| tells_end(&rows, key)),
            _ => false,
        };
        if rows.facts.hidden.provenance || !window.window_expr.iter().all(whole) {
            let at = self.places.columns(&window.window_expr).unwrap_or(self.span);
            return Err(Box::new(
                Diagnostic::new(
                    "not-supported",
                    at,
                    "window functions (OVER) need all rows that they look at, and a stream never ends",
                    "not within a window",
                )
                .with_help(
                    "put them above an aggregation, and the end of its window among their keys: SELECT *, rank() OVER (PARTITION BY \
                     window_end ORDER BY n DESC) AS place FROM (SELECT window.end AS window_end, ... GROUP BY window(...), ...)",
                ),
            ));
        }
        let ties: Vec<Sort> = rows.visible_columns().filter_map(|column| tie(&rows, column)).collect();
        let (visible, below) = (rows.visible(), rows.plan.schema().fields().len());
        let own = window.schema.iter().skip(visible);
        let named = window.window_expr.iter().zip(own).map(|(expr, (qualifier, field))| {
            decided(unaliased(expr).clone(), &ties).alias_qualified(qualifier.cloned(), field.name())
        });
        let (plan, at) = by_order(rows.plan, named.collect()).map_err(|e| self.failed(&e))?;
        let order = (0..visible).chain(at).chain(visible..below);
        let exprs = order.map(|at| Expr::Column(Column::from(plan.schema().qualified_field(at)))).collect();
        let plan = Projection::try_new(exprs, Arc::new(plan)).map_err(|e| self.failed(&e))?;
        let plan = LogicalPlan::Projection(plan);
        Ok(Rows { plan, inputs: rows.inputs, bare: false, row_by_row: false, facts: rows.facts })
    }
}

/// `functions` computed over `plan`, and the position of each among the columns. All functions of one node must have the same PARTITION BY
/// and ORDER BY. DataFusion has seen to that before ties were decided, which not all functions need.
fn by_order(plan: LogicalPlan, functions: Vec<Expr>) -> Result<(LogicalPlan, Vec<usize>), DataFusionError> {
    let mut positions = vec![0; functions.len()];
    let mut nodes: Vec<(SortKey, Vec<(usize, Expr)>)> = Vec::new();
    for (at, function) in functions.into_iter().enumerate() {
        let key = match unaliased(&function) {
            Expr::WindowFunction(call) => generate_sort_key(&call.params.partition_by, &call.params.order_by)?,
            _ => Vec::new(),
        };
        match nodes.iter_mut().find(|(of, _)| *of == key) {
            Some((_, together)) => together.push((at, function)),
            None => nodes.push((key, vec![(at, function)])),
        }
    }
    let mut plan = plan;
    for (_, together) in nodes {
        let first = plan.schema().fields().len();
        for (position, (at, _)) in (first..).zip(&together) {
            positions[*at] = position;
        }
        let together = together.into_iter().map(|(_, function)| function).collect();
        plan = LogicalPlan::Window(Window::try_new(together, Arc::new(plan))?);
    }
    Ok((plan, positions))
}

/// Whether rows in which `key` is equal are of windows that end together, so that they come in one batch.
pub(super) fn tells_end(rows: &Rows, key: &Expr) -> bool {
    if let Some(at) = rows.column(key) {
        return rows.facts.ends.contains(&at);
    }
    match unaliased(key) {
        Expr::ScalarFunction(call) if call.func.name() == WINDOW_TIME => {
            call.args.first().is_some_and(|window| tells_end(rows, window))
        }
        expr => is_end(rows, expr),
    }
}

/// Whether `expr` is the end of a window in one of `rows`' columns, or the start of one that tells it.
fn is_end(rows: &Rows, expr: &Expr) -> bool {
    let Expr::ScalarFunction(call) = unaliased(expr) else { return false };
    let [of, Expr::Literal(ScalarValue::Utf8(Some(field)), _)] = call.args.as_slice() else { return false };
    let tells = field == END || (field == START && rows.facts.starts_tell);
    call.func.name() == "get_field" && tells && rows.column(of).is_some_and(|at| rows.facts.ends.contains(&at))
}

/// The order by `column`, if it has one.
fn tie(rows: &Rows, column: Expr) -> Option<Sort> {
    let at = rows.column(&column)?;
    let data_type: &DataType = rows.plan.schema().field(at).data_type();
    let ordered = !data_type.is_nested() && RowConverter::supports_fields(&[SortField::new(data_type.clone())]);
    ordered.then(|| Sort::new(column, true, true))
}

/// The function, rows that its ORDER BY has for equal in the order of `ties`, where that matters.
fn decided(expr: Expr, ties: &[Sort]) -> Expr {
    match expr {
        Expr::WindowFunction(mut function) if matters(&function) => {
            let order = &mut function.params.order_by;
            let new = ties.iter().filter(|tie| order.iter().all(|by| by.expr != tie.expr));
            let new: Vec<Sort> = new.cloned().collect();
            order.extend(new);
            Expr::WindowFunction(function)
        }
        other => other,
    }
}

/// Whether what the function says depends on the order of rows that its ORDER BY has for equal.
fn matters(function: &WindowFunction) -> bool {
    let frame = &function.params.window_frame;
    match &function.fun {
        WindowFunctionDefinition::WindowUDF(ranks) => !OF_PEERS.contains(&ranks.name()) && no_distances(frame),
        WindowFunctionDefinition::AggregateUDF(_) => frame.units == WindowFrameUnits::Rows,
    }
}

/// Whether the frame says no distances between values, which are of one column of ORDER BY.
fn no_distances(frame: &WindowFrame) -> bool {
    let free = |bound: &WindowFrameBound| *bound == WindowFrameBound::CurrentRow || bound.is_unbounded();
    frame.units == WindowFrameUnits::Rows || free(&frame.start_bound) && free(&frame.end_bound)
}
