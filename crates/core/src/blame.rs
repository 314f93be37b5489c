//! Whose fault an error is, and whether trying again can help.
//!
//! The supervisor decides by these two values, never by an error's text.

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The pipeline, an option or the command line is wrong: exit code 2, with the fix in the message.
    User,
    /// A broker, a registry, a disk or another process: exit code 1.
    Outside,
    /// A promise of Sluicebox itself does not hold: exit code 1, with a request to report it.
    Us,
}

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call will fail again.
    No,
    /// Try again after a pause that grows.
    WithBackoff,
}

/// Whether what failed may have happened all the same. A remote call can fail after the other side has acted on it: then the
/// answer was lost, not the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// The other side did nothing, and will do nothing.
    NotDone,
    /// The other side may have done it. Ask what it holds before trying again.
    Unknown,
}

/// An error that says whose fault it is. Every crate's error enum implements it.
///
/// ```
/// use sluicebox_core::{Blame, Blamed, Certainty, Retry};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the broker did not answer")]
/// struct NoAnswer;
///
/// impl Blamed for NoAnswer {
///     fn blame(&self) -> Blame {
///         Blame::Outside
///     }
///
///     fn retry(&self) -> Retry {
///         Retry::WithBackoff
///     }
/// }
///
/// // The broker may have done what it was asked for.
/// assert_eq!(NoAnswer.certainty(), Certainty::Unknown);
/// ```
pub trait Blamed: std::error::Error {
    /// Whose fault this is.
    fn blame(&self) -> Blame;

    /// Whether a retry can help. Most errors are final.
    fn retry(&self) -> Retry {
        Retry::No
    }

    /// Whether what failed may have happened. An error that does not know says so.
    fn certainty(&self) -> Certainty {
        Certainty::Unknown
    }
}
