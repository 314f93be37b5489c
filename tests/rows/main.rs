//! What becomes of single rows: copies above UNION ALL and unnest, rows that a query cannot compute, rows that grow,
//! late rows. By the binary, over the embedded log; every run is verified, so every ledger is proved against the files.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod copies;
mod late;
mod poison;
mod swollen;
mod topic;
