//! What a format is: how the values of a source's events become columns.
//!
//! A format knows values alone. Which columns every row has besides, how a dead letter looks, and what a portion of events may
//! cost is [`SourceDecoder`](crate::SourceDecoder)'s, and the same for all formats.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::Fields;
use async_trait::async_trait;
use sluicebox_core::raw::RawEvents;

use crate::error::FormatError;
use crate::pin::SourcePin;
use crate::run::Run;

/// Decodes the values of one source. Threads share it.
#[async_trait]
pub trait Decoder: Send + Sync + Debug {
    /// The columns of a value.
    fn columns(&self) -> &Fields;

    /// What the checkpoint keeps, so that a row's columns do not change between two starts.
    fn pin(&self) -> SourcePin;

    /// Finds what decoding `events` takes. Only this may ask somebody, and wait.
    ///
    /// # Errors
    /// When what it takes cannot be had.
    async fn prepare(&self, events: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError>;
}

/// Decodes the events that it was prepared for: processor time only.
pub trait Prepared: Send + Sync + Debug {
    /// Decodes the events of `run` in their order, as far as it has room. The same events give the same rows and dead letters,
    /// whatever stands before and behind them.
    ///
    /// # Errors
    /// On a mistake in the caller or in the decoder: no event fails a run.
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError>;
}
