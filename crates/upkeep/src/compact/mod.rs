//! Compacts partitions, and retires those whose retention is over.
//!
//! ```text
//! look ─> due? ─> rewrite beside the table ─> nothing new in the folder? ─> compactions/<n> durable
//!    ─> folders exchanged, durable ─> records that this one stands for removed ─> old folder removed, a while later
//! ```
//!
//! There is one record at a time: the existence of `compactions/<n+1>` proves that exchange n was done and is durable. So only the newest
//! can be open at a start. The start first renames the folder beside the table, so that no other process can exchange it, and then looks
//! into the partition folder. If that holds the old files, the start removes the record, and the compaction has not happened. If not, it is
//! done. No row is ever at risk: both folders are complete and durable before the record is.
//!
//! Only the writer of the tables compacts: [`run()`] takes lock and epoch as a run does, and a run compacts between two batches ([`Live`]).
//! Files of the newest commit may be replaced as well: they are published by then, and a start that publishes that commit again skips the
//! folders that the records name ([`Checkpoint::replaced_of_newest`]).
//!
//! [`Checkpoint::replaced_of_newest`]: sluicebox_checkpoint::Checkpoint::replaced_of_newest

mod command;
mod decide;
mod live;
mod settle;
mod work;

pub use command::{Config, Done, Request, Skipped, UNPARTITIONED, run};
pub use decide::{Kept, Policy, Retain, due};
pub use live::{Live, Writer};
pub use settle::settle;
