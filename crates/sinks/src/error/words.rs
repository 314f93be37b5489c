//! Parts of messages that depend on what was found.

use std::path::Path;

use parquet::errors::ParquetError;
use sluicebox_durable::way_out;

use super::LakeError;
use crate::owner::{Home, Owner};

impl LakeError {
    /// The error of the link `path` in the place of a partition's folder.
    #[must_use]
    pub fn linked(path: &Path) -> Self {
        let to = path.read_link().unwrap_or_default();
        let target = path.parent().unwrap_or(path).join(to);
        Self::LinkedPartition { path: path.to_owned(), target }
    }
}

/// What of a pipeline chooses a folder: a source has no LOCATION, and neither has what stands beside a table.
pub(super) fn chosen_by(owner: &Owner) -> &'static str {
    if owner.is_beside() { "'pipeline.name'" } else { "LOCATION" }
}

/// What was seen of the checkpoint that a mark names.
pub(super) fn whose_checkpoint(found: &Owner, home: Home) -> String {
    match home {
        Home::Living => "which is there and is another pipeline of the same name".to_owned(),
        Home::Unclear => {
            "where something is damaged or cannot be read, and which may be another pipeline of the same name: remove \
             that folder if nobody needs it"
                .to_owned()
        }
        Home::Unnamed => {
            "whose path is no UTF-8 and stands in the mark with another character for what is none, and which may be another \
             pipeline of the same name: give that checkpoint a path that is UTF-8 and run its pipeline once; or, if it is lost, \
             remove the table's folder"
                .to_owned()
        }
        Home::Lost => "which is not there".to_owned(),
        Home::Elsewhere => format!("which is not here, but may be on the machine {}", found.host),
    }
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
