//! The short way to ask, for programs.

use std::path::Path;

use arrow::array::RecordBatch;
use sluicebox_pipeline::ask::{self, StatementKind};
use sluicebox_pipeline::diagnostic::Diagnostics;

use super::{Engine, Tables, Text, compute};
use crate::error::{Error, Result, Usage};

/// The rows of `sql`, one SELECT over the tables below the folder `data`, in memory. DataFusion computes them.
///
/// ```no_run
/// # async fn example() -> sluicebox::Result<()> {
/// let rows = sluicebox::query::rows("data", "SELECT count(*) AS n FROM gold.revenue_5m").await?;
/// assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When it is no such statement, names a table that is not there, or cannot be computed.
pub async fn rows(data: impl AsRef<Path>, sql: &str) -> Result<Vec<RecordBatch>> {
    Box::pin(all(data.as_ref(), sql)).await.map_err(|error| match error.downcast::<Diagnostics>() {
        Ok(wrong) => Error::Wrong(wrong),
        Err(error) => match error.downcast::<Usage>() {
            Ok(usage) => Error::Usage(usage),
            Err(error) => Error::Query(error.into()),
        },
    })
}

async fn all(data: &Path, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let text = Text { file: "query".to_owned(), sql: sql.to_owned() };
    let asked = ask::statements(&text.file, &text.sql)?;
    let [asked] = asked.as_slice() else {
        return Err(Usage("write one SELECT".to_owned()).into());
    };
    if asked.kind != StatementKind::Rows {
        return Err(Usage("this gives no rows: write a SELECT".to_owned()).into());
    }
    let tables = Tables::below(data)?;
    let (rows, computed) = compute(Engine::Datafusion, (&tables, &text, asked), false, Vec::new()).await?;
    computed?;
    Ok(rows)
}
