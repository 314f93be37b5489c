//! From verdicts and the user's request to what a run does, or to what the user must decide first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sluicebox_checkpoint::shape::Shape;

use crate::verdict::{Change, ChangeFacts, ChangeKind, Matter, Subject, Verdict, Way};

/// Where the rows come from that a new or refreshed table has missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backfill {
    /// Its topics are read again, from where the pipeline began, or what is left of that.
    Topic,
    /// The files of the tables above it are read back, where they tell the order that their rows had.
    Files,
    /// From nowhere: it begins with the rows to come.
    None,
}

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `--full-refresh=TABLE,...`: rows deleted, state forgotten, computed again.
    pub refresh: BTreeSet<String>,
    /// `--reset-state=TABLE,...`: rows kept, state forgotten.
    pub reset: BTreeSet<String>,
    /// `--backfill=TABLE=topic|files|none`.
    pub backfill: BTreeMap<String, Backfill>,
    /// For each table of the pipeline whether its files can be read back in order, as [`super::readable`] says.
    pub readable: BTreeMap<String, Result<String, String>>,
    /// The command as it was given without these, for the ways on: `sluicebox run sql/x.sql --checkpoint c`.
    pub command: String,
}

impl Request {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.refresh.is_empty() && self.reset.is_empty() && self.backfill.is_empty()
    }
}

/// What a run does when it adopts the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Operators and clauses whose state ends.
    pub forgets: BTreeSet<String>,
    /// Tables to fill first.
    pub backfills: BTreeSet<String>,
    /// Whether they are filled from the files of the tables above them, and not from their topics.
    pub from_files: bool,
    /// Tables to clear.
    pub clears: BTreeSet<String>,
}

/// Puts the ways on to `changes`, and decides: what is to be done, or what stands in the way, a line each. `cleared` are
/// tables whose rows an earlier adoption began to delete, which no commit has named since.
///
/// # Errors
/// What has to be decided, or cannot be done.
pub fn resolve(
    changes: &mut [Change],
    (old, new): (&Shape, &Shape),
    request: &Request,
    facts: &ChangeFacts,
    cleared: &BTreeSet<String>,
) -> Result<Adoption, Vec<String>> {
    let mut problems = unknown(changes, new, request);
    let own: BTreeSet<String> =
        facts.unfinished.union(cleared).filter(|t| new.tables.contains_key(*t)).cloned().collect();
    let refresh: BTreeSet<String> = request.refresh.union(&own).cloned().collect();
    problems.extend(tables_below(old, new, request, &refresh));
    for change in changes.iter_mut() {
        let solved = match change.subject {
            Subject::Source => change.verdict != Verdict::Refused,
            Subject::Table => table_solved(change, request, &refresh),
        };
        change.ways = ways(change, new, request);
        if !solved {
            problems.push(match change.subject {
                Subject::Source => format!("source {} cannot be changed so", change.name),
                Subject::Table => format!("table {} needs a decision", change.name),
            });
        }
    }
    let added = changes.iter().filter(|c| c.subject == Subject::Table && c.kind == ChangeKind::Added);
    let anew: BTreeSet<String> = added.map(|c| c.name.clone()).chain(refresh.iter().cloned()).collect();
    let missed = |table: &&String| new.sources_of(table).iter().any(|source| old.sources.contains_key(source));
    let wanted = |table: &&String| request.backfill.get(*table).copied() != Some(Backfill::None);
    let backfills: BTreeSet<String> = match facts.committed {
        true => anew.iter().filter(missed).filter(wanted).cloned().collect(),
        false => BTreeSet::new(),
    };
    let files = Files { old, new, request, facts, filled: &backfills, anew: &anew };
    let from_files = backfills.iter().any(|t| request.backfill.get(t) == Some(&Backfill::Files));
    if from_files {
        problems.extend(files.problems());
    }
    tell_backfills(changes, &files, facts, from_files, &own);
    if !problems.is_empty() {
        return Err(problems);
    }
    let clears = refresh.iter().filter(|t| facts.committed || cleared.contains(*t)).cloned().collect();
    Ok(Adoption { forgets: forgets(old, new, &refresh, &request.reset), backfills, from_files, clears })
}

/// What is known of filling tables from files.
struct Files<'a> {
    old: &'a Shape,
    new: &'a Shape,
    request: &'a Request,
    facts: &'a ChangeFacts,
    /// The tables that are filled.
    filled: &'a BTreeSet<String>,
    /// Those and the ones that begin without rows.
    anew: &'a BTreeSet<String>,
}

impl Files<'_> {
    /// The tables whose files give the rows of `table`.
    ///
    /// # Errors
    /// Why there are none, or why they cannot be read back.
    fn above(&self, table: &str) -> Result<Vec<&str>, String> {
        let mut above = Vec::new();
        for upstream in self.new.tables.get(table).map(|t| t.reads()).unwrap_or_default() {
            if self.filled.contains(upstream) {
                continue;
            }
            if self.new.sources.contains_key(upstream) {
                return Err(format!("it reads the source {upstream} itself, of which there are no files"));
            }
            if self.anew.contains(upstream) || !self.old.tables.contains_key(upstream) {
                return Err(format!("{upstream}, which it reads, begins without rows"));
            }
            match self.request.readable.get(upstream) {
                Some(Ok(_)) => {
                    if let Some(columns) = self.facts.lacking.get(upstream) {
                        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                        let (what, columns) =
                            (if columns.len() == 1 { "column" } else { "columns" }, columns.join(" and "));
                        return Err(format!(
                            "{upstream} has rows that are older than its {what} {columns}, which cannot be NULL"
                        ));
                    }
                    above.push(upstream);
                }
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(format!("nothing is known of the files of {upstream}")),
            }
        }
        Ok(above)
    }

    /// What stands in the way of filling all from files.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for table in self.filled {
            let asked = self.request.backfill.get(table) == Some(&Backfill::Files);
            match self.above(table) {
                Err(why) if asked => problems.push(format!(
                    "--backfill={table}=files: {why}. Write {table}=topic, or {table}=none to begin it with the rows to come"
                )),
                _ if !asked => problems.push(format!(
                    "--backfill: table {table} is filled in the same batches, and has to be filled from files too, or not at \
                     all: {table}=files or {table}=none; or add the one table first and the other when it is filled"
                )),
                _ => {}
            }
        }
        problems
    }
}

/// Names that are no table, or not one for which the question arises.
fn unknown(changes: &[Change], new: &Shape, request: &Request) -> Vec<String> {
    let mut problems = Vec::new();
    let known: Vec<&str> = new.tables.keys().map(String::as_str).collect();
    let asked = [("--full-refresh", &request.refresh), ("--reset-state", &request.reset)];
    for (flag, names) in asked {
        for name in names.iter().filter(|n| !new.tables.contains_key(*n)) {
            problems.push(format!("{flag}={name}: there is no such table; there are {}", known.join(", ")));
        }
    }
    for name in request.reset.intersection(&request.refresh) {
        problems.push(format!("--reset-state={name}: a full refresh forgets its state already; leave one of them out"));
    }
    for name in request.backfill.keys() {
        let added =
            changes.iter().any(|c| c.subject == Subject::Table && c.kind == ChangeKind::Added && c.name == *name);
        if !added && !request.refresh.contains(name) {
            problems.push(format!(
                "--backfill={name}: it is neither new nor refreshed, so it has missed nothing; --full-refresh={name} \
                 computes it again"
            ));
        }
    }
    problems
}

/// Rows of a table below were made of rows that go: it has to be computed again too.
fn tables_below(old: &Shape, new: &Shape, request: &Request, refresh: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for table in &request.refresh {
        let missing: Vec<String> = new
            .below(table)
            .into_iter()
            .filter(|below| old.tables.contains_key(below) && !refresh.contains(below))
            .collect();
        if !missing.is_empty() {
            problems.push(format!(
                "--full-refresh={table}: the rows of {} were made from its rows, and have to be computed again too: {}",
                missing.join(", "),
                refresh_command(request, new, table)
            ));
        }
    }
    problems
}

fn table_solved(change: &Change, request: &Request, refresh: &BTreeSet<String>) -> bool {
    if change.verdict <= Verdict::Safe || refresh.contains(&change.name) {
        return true;
    }
    only_state(change) && request.reset.contains(&change.name)
}

/// Whether forgetting its state is all that the change needs.
fn only_state(change: &Change) -> bool {
    change.differences.iter().all(|d| d.verdict <= Verdict::Safe || d.matter == Matter::State)
}

fn ways(change: &Change, new: &Shape, request: &Request) -> Vec<Way> {
    if change.verdict <= Verdict::Safe {
        return Vec::new();
    }
    let command = &request.command;
    let mut ways = vec![Way { command: None, what: "put back what it was".to_owned() }];
    if change.subject == Subject::Table {
        let mut tables = vec![change.name.clone()];
        tables.extend(new.below(&change.name));
        let whose =
            if tables.len() == 1 { "its rows".to_owned() } else { format!("the rows of {}", tables.join(", ")) };
        ways.push(Way {
            command: Some(refresh_command(request, new, &change.name)),
            what: format!("deletes {whose} and computes them again from the topic"),
        });
        if only_state(change) {
            ways.push(Way {
                command: Some(format!("{command} --reset-state={}", change.name)),
                what: reset_words(change).to_owned(),
            });
        }
    }
    ways.push(Way {
        command: Some(format!("{command} --full-refresh")),
        what: "deletes the rows of all tables of the pipeline and starts from the beginning".to_owned(),
    });
    ways
}

fn reset_words(change: &Change) -> &'static str {
    let windows = change.differences.iter().any(|d| d.matter == Matter::State && d.what.contains(".aggregate."));
    if windows {
        "keeps its rows and forgets its state: windows that are open lack what was read so far"
    } else {
        "keeps its rows and forgets its state: a copy of a row from before is written once more"
    }
}

fn refresh_command(request: &Request, new: &Shape, table: &str) -> String {
    let mut tables = vec![table.to_owned()];
    tables.extend(new.below(table));
    tables.extend(request.refresh.iter().filter(|t| !tables.contains(t)).cloned().collect::<Vec<_>>());
    format!("{} --full-refresh={}", request.command, tables.join(","))
}

/// Says for each new table where the rows come from that it has missed.
fn tell_backfills(
    changes: &mut [Change],
    files: &Files<'_>,
    facts: &ChangeFacts,
    from_files: bool,
    own: &BTreeSet<String>,
) {
    let request = files.request;
    for change in changes.iter_mut().filter(|c| c.subject == Subject::Table && c.verdict <= Verdict::Safe) {
        let name = change.name.clone();
        if own.contains(&name) && change.kind != ChangeKind::Added {
            change.kind = ChangeKind::Changed;
            change.verdict = Verdict::Safe;
            change.differences.push(crate::verdict::difference(
                Verdict::Safe,
                Matter::Rows,
                "it was not filled to its end",
                "its rows are deleted, and it is filled from the beginning",
            ));
            continue;
        }
        if change.kind != ChangeKind::Added || !facts.committed {
            continue;
        }
        for difference in &mut change.differences {
            difference.effect = if files.filled.contains(&name) {
                let above = files.above(&name).ok().filter(|above| !above.is_empty());
                let lacks = above.iter().flatten().map(|table| lacks(facts, table)).collect::<String>();
                let above = above.map(|above| above.join(" and "));
                if let Some(above) = above.as_ref().filter(|_| !from_files) {
                    change.ways.push(Way {
                        command: Some(format!("{} --backfill={name}=files", request.command)),
                        what: format!(
                            "fills it from the files of {above} instead, whatever the topic still holds{lacks}"
                        ),
                    });
                }
                change.ways.push(Way {
                    command: Some(format!("{} --backfill={name}=none", request.command)),
                    what: format!("begins it with batch {} instead", facts.from_batch),
                });
                let (from, lacks) = match (above, from_files) {
                    (Some(above), true) => (format!("from the files of {above}"), lacks),
                    (None, true) => ("with the rows of the tables above it".to_owned(), String::new()),
                    _ => ("by reading its topics again from the pipeline's start".to_owned(), String::new()),
                };
                let batch = facts.from_batch;
                format!("it is filled first, {from} up to batch {batch}{lacks}; the other tables wait until then")
            } else {
                format!("it begins with batch {}", facts.from_batch)
            };
        }
    }
}

/// What is not in the files of `table` any more, if that is something.
fn lacks(facts: &ChangeFacts, table: &str) -> String {
    facts.retired.get(table).map_or_else(String::new, |gone| format!(", without what {table} has retired: {gone}"))
}

/// Everything whose state means nothing to the new pipeline.
fn forgets(old: &Shape, new: &Shape, refresh: &BTreeSet<String>, reset: &BTreeSet<String>) -> BTreeSet<String> {
    let mut forgets = BTreeSet::new();
    for (name, before) in &old.tables {
        let after = new.tables.get(name).filter(|_| !refresh.contains(name));
        let Some(after) = after else {
            forgets.extend(before.ids().cloned());
            continue;
        };
        let operators = before.operators.keys().filter(|id| reset.contains(name) || !after.operators.contains_key(*id));
        forgets.extend(operators.cloned());
        // A watermark of another column knows nothing of this one.
        let clauses = before.clauses.iter().filter(|(id, was)| {
            after.clauses.get(*id).is_none_or(|is| (&is.column, &is.upstream) != (&was.column, &was.upstream))
        });
        forgets.extend(clauses.map(|(id, _)| id.clone()));
    }
    forgets
}
