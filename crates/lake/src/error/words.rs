//! Words of messages that depend on what was found.

use parquet::errors::ParquetError;
use sluicebox_core::durable::way_out;

use crate::owner::Owner;

/// What of a pipeline chooses a folder: a source has no LOCATION, and neither has what stands beside a table.
pub(super) fn chosen_by(owner: &Owner) -> &'static str {
    if owner.is_beside() { "'pipeline.name'" } else { "LOCATION" }
}

/// How a folder came to another generation than its checkpoint, and what to do.
pub(super) fn since(found: &Owner, wanted: &Owner) -> &'static str {
    if found.generation < wanted.generation {
        "a full refresh was begun with another text. Run `--full-refresh` once more, which computes all tables again"
    } else {
        "it is a copy from before a full refresh. Put the newest one there, or run `--full-refresh`, which deletes this \
         pipeline's tables first"
    }
}

/// What to do about an error of the file below the Parquet writer.
pub(super) fn parquet_way_out(error: &ParquetError) -> &'static str {
    match error {
        ParquetError::External(inner) => inner.downcast_ref().map_or("", way_out),
        _ => "",
    }
}
