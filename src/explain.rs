//! `sluicebox explain`: what the code of an error means. The pages are those of `docs/errors.md`, so that both say the same.

use clap::Args;
use serde::Serialize;
use sluicebox_pipeline::diagnostic::nearest;

use crate::failure::Usage;
use crate::out;

/// The pages.
const PAGES: &str = include_str!("../docs/errors.md");

/// What an error's code means, and how to write what is right
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox explain unknown-column
  sluicebox explain INVALID_MAGIC_BYTE
  sluicebox explain")]
pub struct ExplainArgs {
    /// The code, as in error[unknown-column] or warning[readers-case], or the class of a dead letter; without it, a list of all
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What one code means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Page<'a> {
    /// The code.
    code: &'a str,
    /// What it means, in one line.
    summary: &'a str,
    /// All of it, in Markdown.
    text: &'a str,
}

/// Every page, in the order of the file: a heading of third level, and what stands below it.
fn pages() -> Vec<Page<'static>> {
    let mut pages = Vec::new();
    for part in PAGES.split("\n### ").skip(1) {
        let part = part.split("\n## ").next().unwrap_or(part);
        let Some((code, text)) = part.split_once('\n') else { continue };
        let text = text.trim();
        let summary = text.split(". ").next().unwrap_or(text).lines().next().unwrap_or(text);
        pages.push(Page { code: code.trim().trim_matches('`'), summary: summary.trim_end_matches('.'), text });
    }
    pages
}

/// Explains the code.
pub fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let pages = pages();
    let Some(asked) = &args.code else {
        if args.json {
            return out::pretty(&pages);
        }
        let width = pages.iter().map(|page| page.code.len()).max().unwrap_or(0);
        let list: String = pages.iter().map(|page| format!("{:width$}  {}\n", page.code, page.summary)).collect();
        return Ok(out::print(&list)?);
    };
    // As it was copied: `error[unknown-column]:`.
    let code =
        asked.trim().trim_start_matches("error").trim_start_matches("warning").trim_matches(['[', ']', ':', ' ']);
    let Some(page) = pages.iter().find(|page| page.code.eq_ignore_ascii_case(code)) else {
        let near = nearest(code, pages.iter().map(|page| page.code));
        let near =
            near.map_or_else(|| "; `sluicebox explain` lists all".to_owned(), |n| format!("; did you mean {n}?"));
        return Err(Usage(format!("there is no code `{code}`{near}")).into());
    };
    if args.json {
        return out::pretty(page);
    }
    Ok(out::print(&format!("{}\n\n{}\n", page.code, plain(page.text)))?)
}

/// Markdown as a terminal shows it: what stands between fences is moved in instead.
fn plain(text: &str) -> String {
    let mut fenced = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            lines.push(format!("    {line}").trim_end().to_owned());
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}
