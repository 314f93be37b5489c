//! Why a table has no rows yet.

use std::collections::BTreeMap;

use sluicebox_core::clock::iso;
use sluicebox_operators::watermark::Explanation;

use super::compile::{RunNode, Runner};

/// What a table with a window waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The watermark at which its first window closes; `None` while there is no row in any.
    pub first_close: Option<i64>,
    /// Where the watermark is and what holds it.
    pub watermark: Explanation,
}

impl Wait {
    /// In words. `backlog` is what all partitions have left to read.
    #[must_use]
    pub fn describe(&self, backlog: u64) -> String {
        let Some(close) = self.first_close else { return "no row has reached its windows yet".to_owned() };
        let mut text = format!("first window closes at event time {}", clock_time(close));
        match self.watermark.watermark {
            Some(w) => text.push_str(&format!(", watermark {}", clock_time(w))),
            None => text.push_str(", no watermark yet"),
        }
        if let Some(holder) = &self.watermark.held_by {
            text.push_str(&format!(", held by {}", holder.partition));
            if holder.backlog > 0 {
                text.push_str(&format!(" (backlog {})", holder.backlog));
            } else if backlog == 0 {
                text.push_str(" (no newer events yet)");
            }
        }
        text
    }
}

/// Hours, minutes and seconds of a day, UTC.
fn clock_time(micros: i64) -> String {
    iso(micros).get(11..19).map_or_else(|| iso(micros), str::to_owned)
}

impl Runner {
    /// The tables in topological order.
    #[must_use]
    pub fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|t| t.name.clone()).collect()
    }

    /// What each table with a window waits for.
    #[must_use]
    pub fn waits(&self) -> BTreeMap<String, Wait> {
        let mut waits = BTreeMap::new();
        for table in &self.tables {
            for flow in &table.flows {
                if let Some(wait) = self.wait(&flow.candidates) {
                    waits.insert(table.name.clone(), wait);
                }
            }
        }
        waits
    }

    fn wait(&self, node: &RunNode) -> Option<Wait> {
        match node {
            RunNode::Stream { .. } => None,
            RunNode::Plan(plan) => plan.inputs.iter().find_map(|(_, input)| self.wait(input)),
            RunNode::Late(input) => self.wait(input),
            RunNode::Operator(_, run) => {
                let clause = run.clauses.iter().filter_map(|id| self.clauses.get(id));
                let watermark = clause.map(|c| c.watermark.explain()).min_by_key(|e| e.watermark)?;
                Some(Wait { first_close: run.operator.next_close(), watermark })
            }
        }
    }
}
