//! pipeline
pub mod ast;
pub mod graph;
