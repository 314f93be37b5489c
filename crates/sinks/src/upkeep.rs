//! Compaction and retention of published rows.

use std::fmt::Debug;
use std::path::Path;

use crate::error::Result;
use crate::parquet::compact::{FileSum, Input, Piece};

/// A table whose published files may be put together, and retired with their partition. Only where the format can.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use arrow::datatypes::{DataType, Field, Schema};
/// use sluicebox_sinks::{ParquetOptions, ParquetTable, Sink, Upkeep};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let columns = ["id", "region"].map(|name| Field::new(name, DataType::Utf8, false));
/// let columns = Arc::new(Schema::new(columns.to_vec()));
/// let by_region = vec!["region".to_owned()];
/// let table = ParquetTable::try_new("/data/orders", columns, by_region, ParquetOptions::default())?;
/// let upkeep: &dyn Upkeep = table.upkeep().ok_or("a folder of files needs upkeep")?;
/// assert_eq!(upkeep.location(), Path::new("/data/orders"));
/// assert_eq!(upkeep.partition_columns(), 1);
/// # Ok(())
/// # }
/// ```
pub trait Upkeep: Send + Sync + Debug {
    /// The table's folder, absolute.
    fn location(&self) -> &Path;

    /// How many columns are in the path. A table without partition columns cannot be compacted: only folders of partitions
    /// are exchanged.
    fn partition_columns(&self) -> usize;

    /// Writes the files that `pieces` say to the folder `staged`, which is there and empty, from the `inputs` in `folder`.
    /// `name` gives the name of the n-th. Rows keep their order. When it returns, contents and names are durable. `None` when
    /// `go_on` said no in between.
    ///
    /// # Errors
    /// When an input cannot be read, other rows come out than went in, or a file cannot be written.
    fn rewrite(
        &self,
        folder: &Path,
        inputs: &[Input],
        pieces: &[Piece],
        staged: &Path,
        name: &dyn Fn(u64) -> String,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<FileSum>>>;
}
