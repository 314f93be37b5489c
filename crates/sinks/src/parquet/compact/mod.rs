//! Exchanges whole partition folders for ones with fewer files.
//!
//! ```text
//!  LOCATION/<col>=<value>/                    as readers see it         looked at: `folders`
//!  LOCATION/../.sluicebox-<query>/<e>/<n>/    the same rows, new names  written, synced: `Upkeep::rewrite`
//!      both exchanged at one instant, the folders around them synced    `swap`
//!  LOCATION/../.sluicebox-<query>/<e>/<n>/    the old files             removed a while later
//! ```
//!
//! Readers see the old files or the new ones, and at no instant both or neither: the exchange is one step of the filesystem. The two
//! folders have no file name in common, so a reader that listed before the exchange and opens after it finds no file, and never other rows.
//! The second folder lies **beside** LOCATION: DuckDB, Python and shells enter folders whose names start with `_` or `.` for the glob
//! `LOCATION/**/*.parquet`, and would read the rows twice.
//!
//! The exchange moves everything in a folder, so compaction takes only folders that hold nothing but published files of its pipeline
//! ([`Folder::alien`]).
//!
//! **A crash** before the exchange leaves the new folder beside the table, where no reader sees it. A crash after the exchange leaves the
//! old one there. The engine's record, which is durable before the exchange, says what to do. The next start first renames a folder beside
//! the table to a name that no other process knows ([`take`]). So a writer that was stopped just before its exchange finds nothing to
//! exchange when it wakes up.

mod look;
mod plan;
mod swap;
mod write;

pub use look::{Folder, Part, folders, names_in};
pub use plan::{FileFacts, Piece, files_after, is_small, plan};
pub use swap::{Staging, remove, remove_partition, swap, take, try_exchange};
pub use write::{FileSum, Input};
