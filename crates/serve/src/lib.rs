//! Servers that the binary opens: the rule that each of them keeps.
//!
//! **Owns** listeners, connections and their time-outs ([`Server`]), what a request must have before an application sees it
//! ([`Rule`]), and the suite that each server runs ([`conformance`]).
//!
//! **May not know** what is served: Kafka, registries, SQL, tables. An application is a router.
//!
//! **States.** A server is open, then it runs, then it stops: it takes no more connections, gives those that it has
//! [`Rule::grace`] to be answered, and closes the rest.
//!
//! **Invariants** of the design kept here: 6 (what one client may cost is limited: connections, bytes, time), 7 (nothing that
//! a client sends ends the server). And of serving: who can be reached from other machines asks for a token.
//!
//! **A crash** leaves nothing: there are no files here.

pub mod conformance;
mod guard;
mod patience;
mod places;
mod rule;
mod server;

pub use rule::{Refuse, Rule, Token};
pub use server::{ServeError, Server};
