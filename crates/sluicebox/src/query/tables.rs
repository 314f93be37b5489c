//! The tables that a query may name, and what is known of each: looked at when it is named, so that a folder that cannot be
//! read keeps nobody from the others.

use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::datatypes::Field;
use sluicebox_pipeline::ask::{self, TableName};
use sluicebox_pipeline::diagnostic::Diagnostic;
use sluicebox_sinks::parquet::view::{View, view_of};
use sluicebox_sinks::{BESIDE_LAYERS, TableFolder, list_tables, list_without_rows};

/// The tables below a folder.
#[derive(Debug, Clone)]
pub struct Tables {
    all: Vec<TableFolder>,
    /// The folder that they lie below.
    root: PathBuf,
}

impl Tables {
    /// Those below `data`.
    pub fn below(data: &Path) -> anyhow::Result<Self> {
        Ok(Self { all: list_tables(data)?, root: data.to_path_buf() })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Each as `<layer>.<table>`.
    pub fn names(&self) -> Vec<String> {
        self.all.iter().map(|t| format!("{}.{}", t.layer, t.table)).collect()
    }

    /// Each as it is written in SQL: a name that is no word of SQL in double quotes.
    pub fn written(&self) -> Vec<String> {
        self.all.iter().map(|t| format!("{}.{}", ask::quoted(&t.layer), ask::quoted(&t.table))).collect()
    }

    /// The layers, each once.
    pub fn layers(&self) -> Vec<&str> {
        let mut layers: Vec<&str> = self.all.iter().map(|t| t.layer.as_str()).collect();
        layers.dedup();
        layers
    }

    /// The table, its name in any case; names that are the same but for that are told apart by it.
    pub fn get(&self, layer: &str, table: &str) -> Option<&TableFolder> {
        let exact = self.all.iter().find(|t| t.layer == layer && t.table == table);
        exact.or_else(|| {
            self.all.iter().find(|t| t.layer.eq_ignore_ascii_case(layer) && t.table.eq_ignore_ascii_case(table))
        })
    }

    /// The table that is named in a statement, or what to say when there is none.
    pub fn find(&self, name: &TableName) -> Result<&TableFolder, Box<Diagnostic>> {
        let found = match name.parts.as_slice() {
            [layer, table] => self.get(layer, table),
            _ => None,
        };
        if let Some(found) = found {
            return self.alone(found, name);
        }
        if let [layer, table] = name.parts.as_slice()
            && self.is_without_rows(layer, table)
        {
            let message = format!("table `{layer}.{table}` has no rows yet");
            return Err(Box::new(
                Diagnostic::new("unknown-table", name.span, message, "nothing was written to it")
                    .with_help("ask again when its first file is there; `sluicebox plan` tells its columns"),
            ));
        }
        let unknown = ask::unknown_table(name, self.written().iter().map(String::as_str));
        let beside = name.parts.first().filter(|layer| BESIDE_LAYERS.contains(&layer.to_lowercase().as_str()));
        Err(Box::new(match beside {
            Some(layer) => unknown.with_note(format!("a table of {layer} is there from its first row on")),
            None => unknown,
        }))
    }

    /// `found`, if no other folder has its name: those beside the tables are called after pipelines and sources, which may meet.
    fn alone<'t>(&'t self, found: &'t TableFolder, name: &TableName) -> Result<&'t TableFolder, Box<Diagnostic>> {
        let same = |t: &&TableFolder| t.layer == found.layer && t.table == found.table;
        let paths: Vec<String> = self.all.iter().filter(same).map(|t| t.path.display().to_string()).collect();
        if paths.len() < 2 {
            return Ok(found);
        }
        let message =
            format!("{} folders are called `{}.{}`: {}", paths.len(), found.layer, found.table, paths.join(" and "));
        Err(Box::new(Diagnostic::new("ambiguous-table", name.span, message, "which of them").with_help(
            "give one of the pipelines or sources another name; until then, read the folder with another reader",
        )))
    }
}

impl Tables {
    /// Whether there is such a table, and nothing was written to it yet. Looked for only when a query names what has no files: it
    /// means another walk over all folders.
    fn is_without_rows(&self, layer: &str, table: &str) -> bool {
        let empty = list_without_rows(&self.root).unwrap_or_default();
        empty.iter().any(|(l, t)| l.eq_ignore_ascii_case(layer) && t.eq_ignore_ascii_case(table))
    }
}

/// What the files of `table` are as one table.
pub fn look(table: &TableFolder) -> anyhow::Result<View> {
    // Between a look at the folder and one at a file, the file may have been exchanged for another by a compaction.
    let mut tries = 0;
    loop {
        tries += 1;
        match view_of(&table.paths().collect::<Vec<_>>(), table.is_beside()) {
            Err(error) if tries < 3 && !is_gone(&error) => {
                return Err(error).with_context(|| unreadable(table));
            }
            Err(error) if tries == 3 => return Err(error).with_context(|| unreadable(table)),
            Err(_) => {}
            Ok(view) => return Ok(view),
        }
    }
}

fn unreadable(table: &TableFolder) -> String {
    format!("table {}.{} cannot be read", table.layer, table.table)
}

/// Whether a file that was there is no more.
pub fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The columns of a table: name, type, and whether it stands in the path of its files.
pub fn columns(view: &View) -> Vec<(String, String, bool)> {
    let column = |field: &Field, path| (field.name().clone(), ask::type_name(field.data_type()), path);
    let files = view.columns.iter().map(|f| column(f, false));
    files.chain(view.partitions.iter().map(|f| column(f, true))).collect()
}

#[cfg(test)]
mod tests {
    use sluicebox_pipeline::ast::Span;

    use super::*;

    #[test]
    fn a_name_of_two_folders_is_refused_with_both_and_an_odd_one_is_quoted() {
        let folder = |table: &str, path: &str| TableFolder {
            layer: "dead_letters".to_owned(),
            table: table.to_owned(),
            path: path.into(),
            older: None,
        };
        let all = vec![folder("a_s", "data/a/s"), folder("a_s", "data/a/a_s"), folder("b_s", "data/b/s")];
        let tables = Tables { all, root: PathBuf::new() };
        let odd = Tables { all: vec![folder("x*y", "data/z")], root: PathBuf::new() };
        assert_eq!(odd.written(), ["dead_letters.\"x*y\""]);
        assert_eq!(tables.written()[2], "dead_letters.b_s");
        let find = |table: &str| {
            let parts = vec!["dead_letters".to_owned(), table.to_owned()];
            let found = tables.find(&TableName { parts, span: Span { start: 0, end: 1 } });
            found.map(|t| t.path.clone()).map_err(|d| (d.code, d.message.clone()))
        };
        assert_eq!(find("b_s"), Ok("data/b/s".into()));
        let message = "2 folders are called `dead_letters.a_s`: data/a/s and data/a/a_s".to_owned();
        assert_eq!(find("a_s"), Err(("ambiguous-table", message)));
    }
}
