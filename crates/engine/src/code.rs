//! The codes of errors: short names of kinds, the same in every release, which `sluicebox explain` explains.

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::{Blame, Blamed};
use sluicebox_evolve::{EvolveError, Verdict};
use sluicebox_quality::QualityError;
use sluicebox_runtime::RuntimeError;
use sluicebox_runtime::outputs::ApartError;
use sluicebox_sinks::{LakeError, RemoteError};
use sluicebox_sources::SourceError;
use sluicebox_upkeep::UpkeepError;

use crate::EngineError;

impl EngineError {
    /// The short name of the kind of error, in kebab-case: what `sluicebox explain` takes. Docs: `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(e) => checkpoint(e),
            Self::Source(e) => source(e),
            Self::Format(e) => e.code().unwrap_or_else(|| by_blame(e.blame())),
            Self::Lake(e) => lake(e),
            Self::Quality(e) => quality(e),
            Self::Runtime(e) => runtime(e),
            Self::Evolve(e) => evolve(e),
            Self::Upkeep(e) => upkeep(e),
            Self::DataFusion(_) => "query-failed",
            Self::File(_) => "file",
            Self::FailUpdate { .. } => "fail-update",
            Self::FailRow { .. } => "fail-row",
            Self::TooManyLetters { .. } => "too-many-letters",
            Self::Stalled { .. } => "no-answer",
            Self::OtherLog { .. } => "other-log",
            Self::OtherPartitions { .. } => "newer-version",
            Self::Unpublished { .. } => "run-first",
            Self::RepinBeforeReplay { .. } => "repin-before-replay",
            other => by_blame(other.blame()),
        }
    }
}

/// The code of what has none of its own.
fn by_blame(blame: Blame) -> &'static str {
    match blame {
        Blame::User => "does-not-fit",
        Blame::Outside => "outside",
        Blame::Us => "bug",
    }
}

fn checkpoint(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::File(_) => "file",
        CheckpointError::Damaged { .. } | CheckpointError::Missing { .. } | CheckpointError::State { .. } => {
            "damaged-checkpoint"
        }
        CheckpointError::NoCheckpoint { .. } => "no-checkpoint",
        CheckpointError::Newer { .. } => "newer-version",
        CheckpointError::Held { .. } => "checkpoint-held",
        CheckpointError::TakenOver { .. } => "taken-over",
        CheckpointError::Intruder { .. } => "intruder",
        CheckpointError::OtherPipeline { .. } => "other-pipeline",
        CheckpointError::Operator(e) if e.is_out_of_memory() => "out-of-memory",
        other => by_blame(other.blame()),
    }
}

fn runtime(error: &RuntimeError) -> &'static str {
    match error {
        RuntimeError::Checkpoint(e) => checkpoint(e),
        RuntimeError::Lake(e) => lake(e),
        RuntimeError::Quality(e) => quality(e),
        RuntimeError::OutOfMemory { .. } => "out-of-memory",
        RuntimeError::Operator(e) if e.is_out_of_memory() => "out-of-memory",
        RuntimeError::Query { .. } | RuntimeError::DataFusion(_) => "query-failed",
        RuntimeError::OtherState { .. } => "other-state",
        RuntimeError::Apart(ApartError::NoText { .. }) => "path-encoding",
        RuntimeError::Apart(_) => "shared-folder",
        other => by_blame(other.blame()),
    }
}

fn evolve(error: &EvolveError) -> &'static str {
    match error {
        EvolveError::Checkpoint(e) => checkpoint(e),
        EvolveError::Source(e) => source(e),
        EvolveError::Lake(e) => lake(e),
        EvolveError::Runtime(e) => runtime(e),
        EvolveError::File(_) => "file",
        EvolveError::Operator(e) if e.is_out_of_memory() => "out-of-memory",
        EvolveError::NewerFiles { .. } => "newer-files",
        EvolveError::LostFolder { .. } => "lost-folder",
        EvolveError::Changed { changes, .. } if changes.verdict <= Verdict::Safe => "cannot-refresh",
        EvolveError::Changed { .. } => "sql-changed",
        EvolveError::Undescribed { .. } => "sql-unknown",
        EvolveError::Moved | EvolveError::RefreshBesideRun { .. } => "beside-a-run",
        EvolveError::NoPlace { .. } | EvolveError::BeyondEnd { .. } | EvolveError::TwoRows { .. } => "fill-from-files",
        other => by_blame(other.blame()),
    }
}

fn upkeep(error: &UpkeepError) -> &'static str {
    match error {
        UpkeepError::Checkpoint(e) => checkpoint(e),
        UpkeepError::Lake(e) => lake(e),
        UpkeepError::Runtime(e) => runtime(e),
        UpkeepError::Evolve(e) => evolve(e),
        UpkeepError::File(_) => "file",
        UpkeepError::RunFirst(_) => "run-first",
        UpkeepError::Task(_) => by_blame(error.blame()),
    }
}

fn quality(error: &QualityError) -> &'static str {
    match error {
        QualityError::Condition { .. } => "query-failed",
        other => by_blame(other.blame()),
    }
}

fn source(error: &SourceError) -> &'static str {
    match error {
        SourceError::Option { .. } => "source-option",
        SourceError::UnknownTopic { .. } => "unknown-topic",
        SourceError::DataLoss { .. } => "data-loss",
        SourceError::PastEnd { .. } => "past-end",
        SourceError::Gone { .. } => "topic-gone",
        SourceError::MadeAnew { .. } => "topic-made-anew",
        SourceError::Unreachable { .. } => "no-answer",
        SourceError::Kafka { .. } => "kafka",
        SourceError::File(_) => "file",
        SourceError::Damaged { .. } => "damaged-log",
        SourceError::Newer { .. } => "newer-version",
        SourceError::Topic { .. } => "embedded-topic",
        SourceError::Threads { .. } => "threads",
        other => by_blame(other.blame()),
    }
}

fn remote(error: &RemoteError) -> &'static str {
    match error {
        RemoteError::Away { .. } => "no-answer",
        RemoteError::Threads { .. } => "threads",
        RemoteError::Passed { .. } | RemoteError::Fenced { .. } => "taken-over",
        RemoteError::Lost { .. } | RemoteError::Damaged { .. } => "damaged-checkpoint",
        other => by_blame(other.blame()),
    }
}

fn lake(error: &LakeError) -> &'static str {
    match error {
        LakeError::File(_)
        | LakeError::Parquet { .. }
        | LakeError::NotWritable { .. }
        | LakeError::CannotPublish { .. } => "file",
        LakeError::Unreadable { .. } | LakeError::DamagedStagedFile { .. } | LakeError::DamagedInput { .. } => {
            "damaged-file"
        }
        LakeError::ForeignFile { .. } => "foreign-file",
        LakeError::Remote(error) => remote(error),
        LakeError::LostFile { .. } | LakeError::FolderGone { .. } => "lost-folder",
        LakeError::LongPartitionValue { .. } => "partition-values",
        LakeError::LinkedPartition { .. } => "linked-folder",
        LakeError::NotOwner { .. }
        | LakeError::OtherGeneration { .. }
        | LakeError::NotToClear { .. }
        | LakeError::OwnedByAnother { .. }
        | LakeError::OwnedByLiving { .. }
        | LakeError::OwnedByLost { .. } => "folder-owned",
        LakeError::FilesButNoCheckpoint { .. } | LakeError::FilesButNoOwner { .. } | LakeError::DamagedOwner { .. } => {
            "folder-not-empty"
        }
        LakeError::HeldFolder { .. } => "checkpoint-held",
        LakeError::NewerOwner { .. } => "newer-version",
        LakeError::CannotExchange { .. } | LakeError::TornLists { .. } => "cannot-compact",
        LakeError::Nested { .. } => "shared-folder",
        other => by_blame(other.blame()),
    }
}
