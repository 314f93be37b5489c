//! The scope of a query's names: the columns that it reads, and aggregate functions.

use std::collections::BTreeMap;

use datafusion::common::Result;
use datafusion::sql::sqlparser::ast as sql;

use super::plan::Catalog;
use crate::sql::query_of;
use crate::window::names::Scope;

impl Scope for Catalog<'_> {
    fn input(&self, select: &sql::Select, with: &[sql::Cte]) -> Vec<(Option<String>, String)> {
        if select.from.is_empty() {
            return Vec::new();
        }
        // What cannot be planned here cannot be planned as a whole, and is told then.
        self.columns(select, with).unwrap_or_default()
    }

    fn is_aggregate(&self, name: &str) -> bool {
        self.state.aggregate_functions().contains_key(name)
    }
}

impl Catalog<'_> {
    /// The columns of `SELECT *` from what `select` reads.
    fn columns(&self, select: &sql::Select, with: &[sql::Cte]) -> Result<Vec<(Option<String>, String)>> {
        let select = sql::Select {
            projection: vec![sql::SelectItem::Wildcard(sql::WildcardAdditionalOptions::default())],
            distinct: None,
            selection: None,
            group_by: sql::GroupByExpr::Expressions(Vec::new(), Vec::new()),
            having: None,
            qualify: None,
            sort_by: Vec::new(),
            ..select.clone()
        };
        // Of two of one name the inner one is meant.
        let named: BTreeMap<&str, usize> =
            with.iter().enumerate().map(|(at, cte)| (cte.alias.name.value.as_str(), at)).collect();
        let latest = with.iter().enumerate().filter(|(at, cte)| named.get(cte.alias.name.value.as_str()) == Some(at));
        let cte_tables: Vec<sql::Cte> = latest.map(|(_, cte)| cte.clone()).collect();
        let query = query_of(sql::SetExpr::Select(Box::new(select)), cte_tables);
        let plan = self.unanalysed(Box::new(query))?;
        let columns = plan.schema().iter();
        Ok(columns.map(|(q, field)| (q.map(|q| q.table().to_owned()), field.name().clone())).collect())
    }
}
