//! Builders of parsed SQL, for queries that are rewritten.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, With,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// `name(args)`, at `span`: that of what stood there before.
pub(crate) fn call(name: &str, args: impl IntoIterator<Item = Expr>, span: Span) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The arguments of a call that has nothing else: no DISTINCT, FILTER or OVER, and no names of arguments.
pub(crate) fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if function.over.is_some()
        || function.filter.is_some()
        || !list.clauses.is_empty()
        || list.duplicate_treatment.is_some()
    {
        return None;
    }
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

/// The query that is `body`, with the queries `ctes` before it.
pub(crate) fn query_of(body: SetExpr, ctes: Vec<Cte>) -> Query {
    let with = With { with_token: AttachedToken::empty(), recursive: false, cte_tables: ctes };
    Query {
        with: (!with.cte_tables.is_empty()).then_some(with),
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `SELECT items FROM from WHERE selection` with the queries `ctes` before it.
pub(crate) fn select_from(
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
    ctes: &[Cte],
) -> Query {
    let select = Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: items,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        window_before_qualify: false,
        qualify: None,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    };
    query_of(SetExpr::Select(Box::new(select)), ctes.to_vec())
}

/// A FROM of that query, under `alias`.
pub(crate) fn derived(
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
    alias: Ident,
) -> Vec<TableWithJoins> {
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(select_from(items, from, selection, &[])),
        alias: Some(TableAlias { explicit: true, name: alias, columns: Vec::new(), at: None }),
        sample: None,
    };
    vec![TableWithJoins { relation, joins: Vec::new() }]
}
