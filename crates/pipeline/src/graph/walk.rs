//! Walks over the nodes of a query.

use super::{Node, StreamNode};

impl Node {
    /// The streams at the leaves, in the order of the text.
    #[must_use]
    pub fn streams(&self) -> Vec<&StreamNode> {
        match self {
            Self::Stream(stream) => vec![stream],
            other => other.inputs().into_iter().flat_map(Self::streams).collect(),
        }
    }

    /// This node after all those below it, each after its inputs.
    #[must_use]
    pub fn bottom_up(&self) -> Vec<&Self> {
        let mut all: Vec<&Self> = self.inputs().into_iter().flat_map(Self::bottom_up).collect();
        all.push(self);
        all
    }

    /// Calls `f` for this node after all those below it.
    pub fn change_bottom_up(&mut self, f: &mut impl FnMut(&mut Self)) {
        for input in self.inputs_mut() {
            input.change_bottom_up(f);
        }
        f(self);
    }

    /// The id of the operator that stands here, or of the clause that starts here.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Stream(stream) => stream.clause.as_ref().map(|clause| clause.id.as_str()),
            other => other.operator().map(|operator| operator.id),
        }
    }
}
