//! The servers of the binary, and the rule that every one of them keeps.
//!
//! **Owns** listeners, connections and their time-outs ([`Server`]), the checks before a request reaches an application ([`Rule`]), and the
//! suite that every server runs ([`conformance`]). The suite is public: a server of another crate calls [`conformance::all`].
//!
//! **May not know** what is served: Kafka, registries, SQL, tables. An application is a router.
//!
//! **States.** A server is open, then it runs, then it stops: it accepts no more connections, gives the open ones [`Rule::grace`] to be
//! answered, and closes the rest.
//!
//! **Invariants** of the design kept here: 6 (one client costs a bounded number of connections, bytes and seconds), 7 (nothing that a
//! client sends ends the server). And one of serving: a server that other machines can reach requires a token.
//!
//! **A crash** leaves nothing: the crate writes no files.

pub mod conformance;
mod guard;
mod patience;
mod places;
mod rule;
mod server;

pub use rule::{Refuse, Rule, Token};
pub use server::{ServeError, Server};
