//! SQL over every table below a folder, read as any other reader would, from the files of the folders. By DuckDB when built with
//! the feature `duckdb`, else by DataFusion.
//!
//! It only reads: what would write is refused before an engine sees it ([`sluicebox_pipeline::ask`]).

mod datafusion;
#[cfg(feature = "duckdb")]
mod duckdb;
mod short;
mod tables;
mod text;

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use sluicebox_pipeline::ask::Asked;

#[cfg(feature = "duckdb")]
use crate::error::NoThread;

pub use short::rows;
pub use tables::{Tables, columns, look};
pub use text::{Gone, Text};

/// Bytes that an engine holds of a query at most, but for what it puts into temporary files.
const MEMORY: u64 = 512 << 20;

/// Bytes of stack that DuckDB has to plan a query: it walks trees by recursion, as deep as its own limits let them be. A thread of tokio's
/// has 2 MiB, which a few hundred names of WITH overflow. Only what is used becomes memory.
#[cfg(feature = "duckdb")]
const STACK: usize = 64 << 20;

/// What computes the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// DuckDB.
    #[cfg(feature = "duckdb")]
    Duckdb,
    /// DataFusion, with the functions that a pipeline has.
    Datafusion,
}

impl Engine {
    /// Whether it can write rows as lines of JSON itself: see [`compute`].
    #[must_use]
    pub fn writes_json(self) -> bool {
        match self {
            #[cfg(feature = "duckdb")]
            Self::Duckdb => true,
            Self::Datafusion => false,
        }
    }
}

/// Takes the rows of a query as they come.
pub trait Rows: Send {
    /// Takes the next rows; breaks off when no more are wanted.
    ///
    /// # Errors
    /// When they cannot be taken: the query ends.
    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<ControlFlow<()>>;

    /// The most rows that are of any use, if not all are.
    fn most_rows(&self) -> Option<usize> {
        None
    }
}

/// All rows, in memory.
impl Rows for Vec<RecordBatch> {
    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<ControlFlow<()>> {
        self.push(batch.clone());
        Ok(ControlFlow::Continue(()))
    }
}

/// Gives the rows of the statement `asked` of `text` to `rows`, at least one batch, which may be empty. Gives `rows` back, and whether the
/// query came to its end. DuckDB has every column as text; with `json`, which it alone can do, one column with an object a row.
///
/// # Errors
/// When the query cannot be begun.
pub async fn compute<R: Rows + 'static>(
    engine: Engine,
    (tables, text, asked): (&Tables, &Text, &Asked),
    json: bool,
    mut rows: R,
) -> anyhow::Result<(R, anyhow::Result<()>)> {
    match engine {
        #[cfg(feature = "duckdb")]
        Engine::Duckdb => {
            let (tables, text, asked) = (tables.clone(), text.clone(), asked.clone());
            // Stops DuckDB when this is given up, as Ctrl-C at the prompt does.
            let running = duckdb::Running::default();
            let connected = running.connected();
            let run = move || {
                let computed = duckdb::run(&tables, &text, &asked, json, &mut rows, &connected);
                (rows, computed)
            };
            let on_its_own = move || {
                let thread = std::thread::Builder::new().name("duckdb".to_owned()).stack_size(STACK).spawn(run)?;
                let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                std::io::Result::Ok(done)
            };
            Ok(tokio::task::spawn_blocking(on_its_own).await?.map_err(|error| NoThread("DuckDB", error))?)
        }
        Engine::Datafusion => {
            let _ = json;
            let computed = Box::pin(datafusion::run(tables, text, asked, &mut rows)).await;
            Ok((rows, computed))
        }
    }
}
