//! Expectations, the ledger of fates, and the report of a batch.
//!
//! **Owns** the fate of a row that breaks an expectation ([`Judge`]), the description of a row that could not be computed ([`RowError`],
//! [`Errors`]), the columns that quarantine adds ([`quarantine_schema`]), and the report of a batch ([`BatchReport`]): as JSON for people,
//! as rows for queries, with a limited number of samples ([`samples_batch`]).
//!
//! **May not know** files, folders, Kafka, Avro, checkpoints, or the machine's clock. It takes rows and counts, and returns rows and
//! counts.
//!
//! **States**: a [`Judge`] lives for one table in one batch. It is created with conditions in which the batch's clock is already bound,
//! takes the candidates in their order, and returns its [`Verdict`]. A report is built from all verdicts and counts of a batch. It is
//! checked before it is staged: a ledger that does not balance fails the batch.
//!
//! **Rules of judgement**
//!
//! - A row breaks an expectation when its condition is not true: false, NULL (counted apart), or an error of evaluation such as a division
//!   by zero (counted apart). A row that cannot be evaluated never harms its neighbours.
//! - A row that breaks several meets the strictest action: fail, then quarantine, then drop, then warn.
//! - Every expectation is evaluated on every candidate, whatever the others said, so that its counts do not depend on them.
//!
//! **Invariants** (numbers of the design): 1, each candidate is kept, quarantined or dropped, counted where it happens, and the report proves
//! it; 4, the same batch gives the same bytes: samples are the first rows in order, and the batch's clock is the only time in a report; 7,
//! no row panics.
//!
//! **A crash** leaves nothing: the crate writes nothing to a disk. A replayed batch gives the same report.

mod error;
mod judge;
mod quarantine;
mod reason;
mod render;
mod report;
mod row_error;
mod rows;

pub use error::{QualityError, Result};
pub use judge::{ExpectationResult, FailUpdate, Judge, Judged, SAMPLES, Sample, Verdict};
pub use quarantine::{Quarantine, VIOLATIONS, quarantine_schema};
pub use reason::reason;
pub use render::row_as_json;
pub use report::{
    Balance, BatchReport, ErrorReport, ExpectationReport, FORMAT, Freshness, InputRange, LedgerReport, LostReport,
    Micros, ReportHeader, SampleRef, SchemaReport, SourceReport, Status, TableCounts, TableReport, event_time_bounds,
};
pub use row_error::{ErrorResult, Errors, RowError, place_of};
pub use rows::{metrics_schema, samples_batch, samples_schema};
