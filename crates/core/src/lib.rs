//! What every station of the road shares, and nothing that belongs to one of them.
//!
//! **Owns** the words that cross crate borders: partitions and offset ranges ([`offsets`]), raw events ([`raw`]), what a
//! pipeline writes ([`output`]), to what an id belongs ([`scope`]), the names of options ([`options`]), the hidden columns that
//! carry provenance and event time ([`provenance`]), fates ([`fate`]), a record batch with a selection mask ([`masked`]), a
//! batch's columns ([`columns`]), whose fault an error is ([`blame`]), the clock ([`clock`]), where time goes ([`station`]),
//! what is waited for ([`waiting`]), work on threads that the system may not have ([`threads`]), names that are alike
//! ([`nearest`]), large numbers ([`digits`]), text of others on its way to people ([`mod@shown`]) and how much of it a message
//! tells ([`told`]), maps that forget ([`bounded`]), which options hold a secret ([`secret`]), whether a file is PEM ([`pem`]),
//! and in which types columns are written ([`stored`]).
//!
//! **May not know** files, Kafka (but the names of its options), Avro, SQL, Parquet or DataFusion.
//!
//! **States, a crash.** It has no state but the accounts of [`station`], and no effect, so a crash leaves nothing.

pub mod blame;
pub mod bounded;
pub mod clock;
pub mod columns;
pub mod digits;
pub mod fate;
pub mod masked;
pub mod nearest;
pub mod offsets;
pub mod options;
pub mod output;
pub mod pem;
pub mod provenance;
pub mod raw;
pub mod scope;
pub mod secret;
pub mod shown;
pub mod station;
pub mod stored;
pub mod threads;
pub mod told;
pub mod waiting;

pub use blame::{Blame, Blamed, Certainty, Retry};
pub use clock::{Clock, ManualClock, SystemClock};
pub use fate::{Fate, Fates};
pub use masked::Masked;
pub use offsets::{OffsetRange, PartitionId};
pub use output::OutputId;
pub use scope::Scope;
pub use station::Station;
