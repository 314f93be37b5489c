//! The vocabulary that all crates share. It holds nothing that belongs to one of them.
//!
//! **Owns** partitions and offset ranges ([`offsets`]), raw events ([`raw`]), the names of a pipeline's outputs ([`output`]), the scope of
//! an id ([`scope`]), the names of options ([`options`]), the description of options, kinds of sources and formats ([`words`]), the hidden columns that carry provenance and event time ([`provenance`]), fates
//! ([`fate`]), a record batch with a selection mask ([`masked`]), the columns of a batch ([`columns`]), whose fault an error is
//! ([`blame`]), the clock ([`clock`]), time accounting ([`station`]), what a run waits for ([`waiting`]), threads that the system may
//! refuse ([`threads`]), similar names ([`nearest`]), numbers for people ([`digits`]), escaping of foreign text ([`mod@shown`]) and its
//! length in a message ([`told`]), caches ([`bounded`]), which options hold a secret ([`secret`]), PEM files ([`pem`]), and the types in
//! which columns are stored ([`stored`]).
//!
//! **May not know** files, Kafka (but the names of its options), Avro, SQL, Parquet or DataFusion.
//!
//! **States, a crash.** The only state is the counters of [`station`]. The crate has no effects, so a crash leaves nothing.

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
pub mod words;

pub use blame::{Blame, Blamed, Certainty, Retry};
pub use clock::{Clock, ManualClock, SystemClock};
pub use fate::{Fate, Fates};
pub use masked::Masked;
pub use offsets::{OffsetRange, PartitionId};
pub use output::OutputId;
pub use scope::Scope;
pub use station::Station;
