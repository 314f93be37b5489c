//! Whose fault an error is.

use sluicebox_core::blame::{Blame, Blamed, Certainty, Retry};
use sluicebox_core::columns;

use super::LakeError;

impl Blamed for LakeError {
    fn blame(&self) -> Blame {
        match self {
            Self::Remote(error) => error.blame(),
            Self::Arrow(error) => columns::blame_of(error),
            Self::Rows { .. } | Self::NotAbsolute { .. } | Self::ManifestPath { .. } => Blame::Us,
            Self::Column { .. }
            | Self::LongPartitionValue { .. }
            | Self::NotOwner { .. }
            | Self::NotToClear { .. }
            | Self::OtherGeneration { .. }
            | Self::OwnedByLiving { .. }
            | Self::OwnedByLost { .. }
            | Self::OwnedByAnother { .. }
            | Self::FilesButNoCheckpoint { .. }
            | Self::FilesButNoOwner { .. }
            | Self::NewerOwner { .. }
            | Self::Nested { .. } => Blame::User,
            Self::File(_)
            | Self::HeldFolder { .. }
            | Self::Parquet { .. }
            | Self::Unreadable { .. }
            | Self::NotWritable { .. }
            | Self::FolderGone { .. }
            | Self::CannotPublish { .. }
            | Self::ForeignFile { .. }
            | Self::LostFile { .. }
            | Self::DamagedStagedFile { .. }
            | Self::CannotExchange { .. }
            | Self::TornLists { .. }
            | Self::DamagedInput { .. }
            | Self::LinkedPartition { .. }
            | Self::DamagedOwner { .. } => Blame::Outside,
        }
    }
    fn retry(&self) -> Retry {
        match self {
            Self::Remote(error) => error.retry(),
            _ => Retry::No,
        }
    }

    fn certainty(&self) -> Certainty {
        match self {
            Self::Remote(error) => error.certainty(),
            _ => Certainty::Unknown,
        }
    }
}
