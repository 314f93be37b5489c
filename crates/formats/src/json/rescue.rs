//! `_rescued`: the undeclared fields of an event, as the text of a JSON object.
//!
//! A field within a declared `STRUCT` is named by its path: `address.zip`, or `items[0].price`.

use super::reader::Reader;
use super::text::{compact, escape};
use crate::fault::Step;
use crate::limits::WORTH;

/// What is kept of one event.
#[derive(Debug, Default)]
pub(super) struct Rescued {
    /// The text so far, but for its end.
    text: Vec<u8>,
    /// Where in the event it is, escaped.
    path: Vec<u8>,
}

impl Rescued {
    /// Goes into the field, or the value of the map, called `name`; gives what [`Self::leave`] takes.
    pub(super) fn enter(&mut self, name: &[u8]) -> usize {
        let before = self.path.len();
        if before > 0 {
            self.path.push(b'.');
        }
        escape(name, &mut self.path);
        before
    }

    /// Goes into an item of a list.
    pub(super) fn enter_item(&mut self, index: usize) -> usize {
        let before = self.path.len();
        self.path.extend_from_slice(format!("[{index}]").as_bytes());
        before
    }

    /// Goes back out.
    pub(super) fn leave(&mut self, before: usize) {
        self.path.truncate(before);
    }

    /// Keeps the field called `name`, whose value is `json`. Its path is charged for: a long one may stand before many fields.
    pub(super) fn add(&mut self, name: &[u8], json: &[u8], reader: &mut Reader<'_>) -> Step {
        reader.charge(1 + self.path.len() / WORTH)?;
        self.text.extend_from_slice(if self.text.is_empty() { b"{\"" } else { b",\"" });
        let before = self.path.len();
        self.enter(name);
        self.text.extend_from_slice(&self.path);
        self.leave(before);
        self.text.extend_from_slice(b"\":");
        compact(json, &mut self.text);
        Ok(())
    }

    /// The text, if a field was kept.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(b'}');
        Some(self.text)
    }
}
