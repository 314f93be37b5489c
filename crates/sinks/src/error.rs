//! The errors of a table's folder, each with its remedy.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use sluicebox_core::columns;
use sluicebox_durable::FileError;
use sluicebox_durable::sealed::Broken;
use thiserror::Error;

use crate::owner::{Home, Owner};

mod blame;
mod remote;
mod words;

pub use remote::RemoteError;

use words::{chosen_by, parquet_way_out, since, whose_checkpoint};

/// What the calls of this crate return.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// A table's folder or file that is not as it has to be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LakeError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A transactional sink, or the rows that wait for it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The Parquet writer failed.
    #[error("cannot write {}: {source}{}", path.display(), parquet_way_out(source))]
    Parquet {
        /// The staged file.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
    /// A published file that cannot be read back.
    #[error("cannot read {} back: {source}; `sluicebox checkpoint verify` says which files are damaged", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: ParquetError,
    },
    /// Rows could not be sorted into partitions.
    #[error("cannot put rows into the files of their partitions: {}", columns::in_words(.0))]
    Arrow(#[from] ArrowError),
    /// Rows that do not have the table's columns.
    #[error("rows for {} do not have the table's columns: {reason}", location.display())]
    Rows {
        /// The table's folder.
        location: PathBuf,
        /// Where they differ.
        reason: String,
    },
    /// A column that the table cannot have.
    #[error("column {column} of {}: {reason}", location.display())]
    Column {
        /// The table's folder.
        location: PathBuf,
        /// The column's name.
        column: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A partition value that makes no folder name.
    #[error(
        "a value of partition column {column} of {} makes a folder name of {bytes} bytes, and {limit} are the most; \
         partition by something shorter",
        location.display()
    )]
    LongPartitionValue {
        /// The table's folder.
        location: PathBuf,
        /// The partition column.
        column: String,
        /// Bytes of the folder's name.
        bytes: usize,
        /// The most bytes that a filesystem takes.
        limit: usize,
    },
    /// A location that does not start at the root.
    #[error("location {} is not absolute", location.display())]
    NotAbsolute {
        /// The location.
        location: PathBuf,
    },
    /// A folder in which nothing can be written.
    #[error("{} is not writable: {source}; make it writable for this user, or choose another LOCATION", location.display())]
    NotWritable {
        /// The table's folder.
        location: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder that was removed while a run writes to it.
    #[error(
        "{} was removed while this run writes to it: bring it back from where it went or from a backup, and run again; the \
         batch in progress is not lost",
        location.display()
    )]
    FolderGone {
        /// The table's folder.
        location: PathBuf,
    },
    /// A folder whose filesystem cannot publish.
    #[error(
        "{} cannot hold a table: a file staged in it cannot be linked to its final name ({source}); LOCATION must be one \
         POSIX filesystem with hard links",
        location.display()
    )]
    CannotPublish {
        /// The table's folder.
        location: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A manifest that names a file outside its folder or under a hidden name.
    #[error("manifest names {path:?}, which is no path of a table file below {}", location.display())]
    ManifestPath {
        /// The table's folder.
        location: PathBuf,
        /// The path in the manifest.
        path: String,
    },
    /// Another file has the name that a committed file is to get.
    #[error(
        "{} is not the file that was committed: {found}, committed {committed}; nothing was replaced. Move the file away if \
         it is foreign and run again; if it was changed, rebuild the table with --full-refresh",
        path.display()
    )]
    ForeignFile {
        /// The final name.
        path: PathBuf,
        /// Size and checksum of the file that is there.
        found: String,
        /// Size and checksum in the manifest.
        committed: String,
    },
    /// A committed file is neither staged nor published.
    #[error(
        "committed file {} is lost: it is neither there nor at {}; restore one of them from a backup, or rebuild the table \
         with --full-refresh",
        path.display(),
        staged.display()
    )]
    LostFile {
        /// The final name.
        path: PathBuf,
        /// The staged name.
        staged: PathBuf,
    },
    /// A committed file was damaged before it was published.
    #[error(
        "staged file {} is damaged: {found}, committed {committed}; restore it from a backup, or rebuild the table with \
         --full-refresh",
        path.display()
    )]
    DamagedStagedFile {
        /// The staged name.
        path: PathBuf,
        /// Size and checksum of the file that is there.
        found: String,
        /// Size and checksum in the manifest.
        committed: String,
    },
    /// A folder that belongs to another query.
    #[error(
        "{} belongs to {found}, and this run is {wanted}; choose another {}, run the pipeline that owns it, or \
         remove the folder if nobody needs it",
        location.display(),
        chosen_by(found)
    )]
    NotOwner {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
        /// Who asked.
        wanted: Box<Owner>,
    },
    /// A folder whose files a refresh would delete, and that belongs to another query.
    #[error(
        "{} belongs to {found}, so nothing in it is deleted; choose another {}, or remove the folder if nobody needs it",
        location.display(),
        chosen_by(found)
    )]
    NotToClear {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
    },
    /// A folder of another query of the same pipeline name, whose checkpoint is there.
    #[error(
        "{} belongs to pipeline {} of the checkpoint {}, {}; choose another {}, or run that one with --checkpoint {}. A full \
         refresh does not delete its rows",
        location.display(),
        found.pipeline,
        found.checkpoint,
        whose_checkpoint(found, *home),
        chosen_by(found),
        found.checkpoint
    )]
    OwnedByLiving {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
        /// What was seen of its checkpoint.
        home: Home,
    },
    /// A folder of another query of the same pipeline name, whose checkpoint is not there.
    #[error(
        "{} belongs to pipeline {} of the checkpoint {}, {}. Point --checkpoint at where it is now, or choose another {}; or, if \
         it is lost, delete its rows and begin anew with `--full-refresh --take-tables`",
        location.display(),
        found.pipeline,
        found.checkpoint,
        whose_checkpoint(found, *home),
        chosen_by(found)
    )]
    OwnedByLost {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
        /// What was seen of its checkpoint.
        home: Home,
    },
    /// A folder that another pipeline owns, met by a run that starts without a checkpoint.
    #[error(
        "{} belongs to {found}, and this run, of pipeline {pipeline}, has no checkpoint; if the pipeline was renamed set \
         'pipeline.name' back to '{}', else choose another {}, or remove the folder if nobody needs it",
        location.display(),
        found.pipeline,
        chosen_by(found)
    )]
    OwnedByAnother {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
        /// The pipeline that was started.
        pipeline: String,
    },
    /// A folder that a living run writes to.
    #[error(
        "another run writes to {} (it holds {}), with another checkpoint of the same query: a copy, or this one's original. \
         Stop that run; two checkpoints cannot share tables",
        location.display(),
        mark.display()
    )]
    HeldFolder {
        /// The table's folder.
        location: PathBuf,
        /// The mark that is locked.
        mark: PathBuf,
    },
    /// A folder with files in it although the run starts without a checkpoint.
    #[error(
        "{} holds files ({} is one) but this run has no checkpoint that knows them; point --checkpoint at the one that \
         wrote them, move the files away, or choose another LOCATION",
        location.display(),
        example.display()
    )]
    FilesButNoCheckpoint {
        /// The table's folder.
        location: PathBuf,
        /// One of the files.
        example: PathBuf,
    },
    /// A folder with files in it but without an owner's mark.
    #[error(
        "{} holds files ({} is one) but no owner's mark; if the mark {} was removed, put a copy of the mark of another folder of \
         this pipeline there (they differ in nothing that counts), else move the files away",
        location.display(),
        example.display(),
        mark.display()
    )]
    FilesButNoOwner {
        /// The table's folder.
        location: PathBuf,
        /// One of the files.
        example: PathBuf,
        /// Where the mark should be.
        mark: PathBuf,
    },
    /// An owner's mark that cannot be read.
    #[error(
        "owner's mark {} is damaged: {reason}; put a copy of the mark of another folder of this pipeline in its place (they \
         differ in nothing that counts), or remove it together with the files of its folder",
        path.display()
    )]
    DamagedOwner {
        /// The mark.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer Sluicebox wrote the owner's mark.
    #[error("owner's mark {} cannot be read: {what}", path.display())]
    NewerOwner {
        /// The mark.
        path: PathBuf,
        /// Its version and the way out.
        what: Broken,
    },
    /// A filesystem that cannot exchange folders.
    #[error(
        "folders of {} cannot be exchanged with those of {}: {source}. Partitions are compacted and retired by one exchange of \
         folders, which Linux has on ext4, xfs and tmpfs, on one mount: put LOCATION on such a filesystem, not as a mount \
         of its own. Nothing was changed",
        location.display(),
        staging.display()
    )]
    CannotExchange {
        /// The table's folder, or one in it.
        location: PathBuf,
        /// The folder beside the table.
        staging: PathBuf,
        /// What the filesystem said.
        source: std::io::Error,
    },
    /// A filesystem on which readers may miss a folder that is exchanged.
    #[error(
        "partitions of {} are not compacted: a reader on this filesystem that lists the folder meanwhile would miss the partition \
         and take its rows for gone, as on btrfs. Put LOCATION on ext4 or xfs. Nothing was changed; what is older than \
         'retain' is removed here too",
        location.display()
    )]
    TornLists {
        /// The table's folder.
        location: PathBuf,
    },
    /// A published file that cannot be compacted, since it is not what it was when it was written.
    #[error(
        "{} cannot be compacted: {why}. The folder stays as it is; `sluicebox checkpoint verify` says what else is damaged, and \
         `--full-refresh=TABLE` of `sluicebox run` computes the table again",
        path.display()
    )]
    DamagedInput {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A link in the place of a partition's folder.
    #[error(
        "{} is a link to {}: partitions must lie in the table's folder, or readers, compaction and a full refresh each see \
         something else. Put the folder itself there (rm {}; mv {} {}), or remove the link if its rows are not wanted, and run \
         again",
        path.display(),
        target.display(),
        path.display(),
        target.display(),
        path.display()
    )]
    LinkedPartition {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        target: PathBuf,
    },
    /// A folder of another generation of this pipeline.
    #[error(
        "{} belongs to generation {} of this pipeline, and its checkpoint is at {}: {}",
        location.display(),
        found.generation,
        wanted.generation,
        since(found, wanted)
    )]
    OtherGeneration {
        /// The table's folder.
        location: PathBuf,
        /// Who the mark names.
        found: Box<Owner>,
        /// Who asked.
        wanted: Box<Owner>,
    },
    /// A table inside another table's folder.
    #[error(
        "{} lies inside {}, which is a table of its own: readers of the outer one would see both; choose another LOCATION",
        inner.display(),
        outer.display()
    )]
    Nested {
        /// The inner table's folder.
        inner: PathBuf,
        /// The outer table's folder.
        outer: PathBuf,
    },
}
