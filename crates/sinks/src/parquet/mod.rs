//! A folder of Parquet files in hive folders: written, read back, compacted, and shown to readers as one table.
//!
//! [`ParquetTable`] is the [`Sink`](crate::Sink): rows are split by partition value, gathered into chunks of a fixed
//! size and encoded. [`compact`] rewrites partitions, [`read_back`] and [`inspect`] read what was published, [`view`] tells a reader the
//! columns over all files.
//!
//! **May not know** whose folder it is, how files are named, staged and published: the crate's root has that for every format.

pub mod compact;
pub(crate) mod gather;
pub mod inspect;
mod partition;
pub mod read_back;
pub(crate) mod table;
pub mod view;

pub use table::{BATCH_ID, ParquetOptions, ParquetTable, ParquetVersion, stage_beside};
