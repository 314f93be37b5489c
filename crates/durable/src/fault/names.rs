//! The names of all effects.

/// What an effect is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The checkpoint's folders.
    Checkpoint,
    /// `lock` of the checkpoint.
    Lock,
    /// `epochs/<n>`.
    Epoch,
    /// `metadata`.
    Metadata,
    /// `pipelines/<n>`.
    Pipeline,
    /// `sources/<name>/`: starting offsets and reader schema.
    Source,
    /// `sources/<name>/schemas/`: writer schemas.
    Schema,
    /// `offsets/<id>`.
    Offsets,
    /// `commits/<id>`.
    Commit,
    /// `state/<operator>/`: folders, deltas and snapshots.
    State,
    /// Segments of state in `state/<operator>/`.
    Segment,
    /// Old records and state files of the checkpoint.
    Purge,
    /// `refresh`, and what a full refresh deletes of the checkpoint.
    Refresh,
    /// A table's folder, made and tried at the start.
    Table,
    /// The mark of a table's owner.
    Owner,
    /// Staged files.
    Stage,
    /// Final names of committed files.
    Publish,
    /// What older epochs left staged.
    Sweep,
    /// What a full refresh deletes of a table.
    Clear,
    /// `compactions/<n>`.
    Compaction,
    /// Compacted files, and the folders that are exchanged for them.
    Swap,
    /// Samples of a batch that FAIL UPDATE stopped.
    Failed,
    /// Segments of the embedded log.
    Log,
    /// Batches of a transaction in a segment of the embedded log, before its mark.
    Transaction,
    /// Topics of the embedded log: descriptions, folders, locks.
    Topic,
    /// Changes of the embedded registry.
    Subject,
    /// Events of a source.
    Events,
    /// A schema registry, embedded or not.
    Registry,
    /// The offsets that a consumer group shows.
    Group,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// A file is opened, and made if it is not there.
    Open,
    /// A file is made.
    Create,
    /// Bytes are written to a file.
    Write,
    /// A file is cut off.
    Truncate,
    /// A file's content is made durable.
    Sync,
    /// A file gets another name.
    Link,
    /// A file gets a name in place of its own.
    Rename,
    /// A folder gets a name in place of its own.
    RenameFolder,
    /// Two folders get each other's name.
    Exchange,
    /// A temporary name is removed.
    Tidy,
    /// A file is removed.
    Remove,
    /// A folder is made.
    Folder,
    /// An empty folder is removed.
    RemoveFolder,
    /// A folder's entries are made durable.
    SyncFolder,
    /// A folder is listed.
    List,
    /// A file is read.
    Read,
    /// Events are fetched.
    Fetch,
    /// A request is made and answered.
    Call,
}

/// When an effect is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before it is done.
    Before,
    /// Of a write: with the first half of the bytes written.
    Half,
    /// After it was done.
    After,
}

impl What {
    /// The name's first part.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Lock => "lock",
            Self::Epoch => "epoch",
            Self::Metadata => "metadata",
            Self::Pipeline => "pipeline",
            Self::Source => "source",
            Self::Schema => "schema",
            Self::Offsets => "offsets",
            Self::Commit => "commit",
            Self::State => "state",
            Self::Segment => "segment",
            Self::Purge => "purge",
            Self::Refresh => "refresh",
            Self::Table => "table",
            Self::Owner => "owner",
            Self::Stage => "stage",
            Self::Publish => "publish",
            Self::Sweep => "sweep",
            Self::Clear => "clear",
            Self::Compaction => "compaction",
            Self::Swap => "swap",
            Self::Failed => "failed",
            Self::Log => "log",
            Self::Transaction => "transaction",
            Self::Topic => "topic",
            Self::Subject => "subject",
            Self::Events => "events",
            Self::Registry => "registry",
            Self::Group => "group",
        }
    }
}

impl Effect {
    /// The name's second part.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::Link => "link",
            Self::Rename => "rename",
            Self::RenameFolder => "rename_folder",
            Self::Exchange => "exchange",
            Self::Tidy => "tidy",
            Self::Remove => "remove",
            Self::Folder => "folder",
            Self::RemoveFolder => "remove_folder",
            Self::SyncFolder => "sync_folder",
            Self::List => "list",
            Self::Read => "read",
            Self::Fetch => "fetch",
            Self::Call => "call",
        }
    }

    /// The phases in which it is reached, in order. What only looks is reached before it alone.
    #[must_use]
    pub const fn phases(self) -> &'static [Phase] {
        match self {
            Self::Write => &[Phase::Before, Phase::Half, Phase::After],
            Self::List | Self::Read => &[Phase::Before],
            _ => &[Phase::Before, Phase::After],
        }
    }
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Half => "half",
            Self::After => "after",
        }
    }
}

/// An effect on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// What it is done to.
    pub what: What,
    /// What is done.
    pub effect: Effect,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.what.as_str(), self.effect.as_str())
    }
}

/// The steps of a file that is made under a temporary name and linked to its own.
macro_rules! created {
    ($($more:ident),*) => {{
        use Effect::*;
        &[Create, Write, Sync, Link, Tidy, SyncFolder $(, $more)*]
    }};
}

/// All points that there are: `tests/crash` fails when a run reaches another, and when none of its runs reaches one of these.
pub const POINTS: &[(What, &[Effect])] = {
    use Effect::*;
    &[
        (What::Checkpoint, &[Folder, SyncFolder, List, Read, Tidy]),
        (What::Lock, &[Open]),
        (What::Epoch, created!(Open, List, Read, Remove)),
        (What::Metadata, created!(Rename, Read)),
        (What::Pipeline, created!(List, Read)),
        (What::Source, created!(Folder, Read, Rename)),
        (What::Schema, created!(Folder, List, Read)),
        (What::Offsets, created!(List, Read)),
        (What::Commit, created!(List, Read)),
        (What::State, created!(Folder, Read)),
        (What::Segment, created!(Read)),
        (What::Purge, &[List, Remove]),
        (What::Refresh, created!(List, Read, Remove, RemoveFolder)),
        (What::Table, &[List, Folder, Create, Link, Tidy, Remove, RemoveFolder, SyncFolder]),
        (What::Owner, created!(Rename, Read, List)),
        (What::Stage, &[Folder, Create, Write, Sync, SyncFolder]),
        (What::Publish, &[Folder, Link, Remove, SyncFolder, Read]),
        (What::Sweep, &[List, Remove, RemoveFolder, Tidy]),
        (What::Clear, &[List, Remove, RemoveFolder, SyncFolder]),
        (What::Compaction, created!(List, Read, Remove)),
        (
            What::Swap,
            &[Folder, Create, Write, Sync, Link, SyncFolder, Exchange, RenameFolder, List, Read, Remove, RemoveFolder],
        ),
        (What::Failed, &[Folder, Create, Write, Sync, Rename, SyncFolder]),
        (What::Log, &[Open, Write, Sync, SyncFolder, Truncate, Remove, List]),
        (What::Transaction, &[Open, Write, Sync]),
        (What::Topic, created!(Folder, Open, Read, List, Rename, Remove, RemoveFolder)),
        (What::Subject, created!(Folder, List, Read)),
        (What::Events, &[Fetch]),
        (What::Registry, &[Call]),
        (What::Group, &[Call]),
    ]
};
