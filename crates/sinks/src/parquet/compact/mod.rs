//! Partition folders with fewer files, exchanged whole.
//!
//! ```text
//!  LOCATION/<col>=<value>/                    as readers see it         looked at: `folders`
//!  LOCATION/../.sluicebox-<query>/<e>/<n>/    the same rows, new names  written, synced: `Upkeep::rewrite`
//!      both exchanged at one instant, the folders around them synced    `swap`
//!  LOCATION/../.sluicebox-<query>/<e>/<n>/    the old files             removed a while later
//! ```
//!
//! Readers see the old files or the new ones, at no instant both or neither: the exchange is one step of the filesystem. No
//! name of the one is a name of the other, so a reader that listed before it and opens after it finds no file, never other
//! rows. The place of the folder that is not in the table is **beside** LOCATION: DuckDB, Python and shells walk into folders
//! whose names start with `_` or `.` when they are asked for `LOCATION/**/*.parquet`, and would take the rows twice.
//!
//! A folder is exchanged as it is, so only one that holds nothing but published files of its pipeline is ([`Folder::alien`]).
//!
//! **A crash** before the exchange leaves a folder beside the table that no reader of it sees; after it, the old one there.
//! What to do then is told by the engine's record, which is durable before the exchange: a folder beside the table is first
//! taken ([`take`]) under a name that no other process knows, so that a writer that was stopped just before its exchange finds
//! nothing to exchange when it wakes up.

mod look;
mod plan;
mod swap;
mod write;

pub use look::{Folder, Part, folders, names_in};
pub use plan::{FileFacts, Piece, files_after, is_small, plan};
pub use swap::{Staging, remove, remove_partition, swap, take, try_exchange};
pub use write::{FileSum, Input};
