//! Parquet files in hive folders: written, read back, compacted, and shown to readers as one table.
//!
//! [`ParquetTable`] is the [`Sink`](crate::Sink): it splits rows by partition value, gathers them into chunks of a fixed size and encodes
//! them. [`compact`] rewrites partitions, [`read_back`] and [`inspect`] read published files, [`view`] gives a reader the columns over all
//! files.
//!
//! **May not know** the owner of a folder, or how files are named, staged and published: the crate's root does that for every format.

pub mod compact;
pub(crate) mod gather;
pub mod inspect;
mod partition;
pub mod read_back;
pub(crate) mod table;
pub mod view;

pub use table::{BATCH_ID, ParquetOptions, ParquetTable, ParquetVersion, stage_beside};
