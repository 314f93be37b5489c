//! Partitions whose files are put together, and those whose rows are retained no longer.
//!
//! ```text
//! look ─> due? ─> rewrite beside the table ─> nothing new in the folder? ─> compactions/<n> durable
//!    ─> folders exchanged, durable ─> records that this one stands for removed ─> old folder removed, a while later
//! ```
//!
//! One record at a time: that there is `compactions/<n+1>` proves that the exchange of n was done and is durable. So at a
//! start only the newest can be open: the folder beside the table is taken from whoever made it, then the
//! partition folder tells. Holds it the old files, the record is removed, and the compaction has not happened; else it is
//! done. Either way nothing of the rows was ever in danger: both folders are whole and durable before the record is.
//!
//! The writer of the tables alone does it: [`run()`] takes lock and epoch as a run does, and a run does it between two
//! batches ([`Live`]). Files of the newest commit may be replaced as well: its publishing is finished then, and a start that
//! publishes it again leaves out the folders that the records name ([`Checkpoint::replaced_of_newest`]).
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
