//! The live status: what of a run fits into two or three lines, however many tables there are.

use std::time::Duration;

use sluicebox_core::Fates;
use sluicebox_core::digits::thousands;
use sluicebox_core::waiting::Waiting;
use sluicebox_engine::progress::{Status, TableStatus};
use unicode_width::UnicodeWidthStr;

use super::words::{ago, counted};
use crate::screen::{Line, Style, width_of};

/// One of the counts of a table.
type Count = fn(&Fates) -> u64;

/// The sign of life.
const FRAMES: [&str; 4] = ["|", "/", "-", "\\"];

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// How often it was drawn.
    pub frame: usize,
    /// The newest batch.
    pub batch: Option<u64>,
    /// Events read and rows written, a second, over the last seconds.
    pub rates: Option<(f64, f64)>,
    /// The watermark, as it is shown.
    pub watermark: Option<String>,
    /// How long ago the last event was read.
    pub last_event: Option<Duration>,
    /// For how long the run goes.
    pub running: Duration,
    /// What the engine says.
    pub status: Option<Status>,
    /// What is waited for now.
    pub waiting: Vec<Waiting>,
}

/// The lines for a terminal of `columns`.
pub fn lines(view: &View, columns: usize) -> Vec<Line> {
    let width = width_of(columns);
    let mut lines = vec![head(view, width)];
    if let Some(status) = &view.status {
        let tables: Vec<Line> = status.tables.iter().map(table).collect();
        lines.extend(fitted(tables, width));
        lines.extend(fitted(notable(status), width));
    }
    lines
}

/// The run. What matters least is left out first.
fn head(view: &View, width: usize) -> Line {
    let frame = FRAMES[view.frame % FRAMES.len()].to_owned();
    let mut parts: Vec<(u8, Style, String)> = Vec::new();
    match view.waiting.first() {
        Some(wait) => {
            let more = view.waiting.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let since = ago(wait.since);
            parts.push((0, Style::Red, format!("waits for {}{more} for {since}: {}", wait.what, wait.why)));
        }
        None if view.status.is_none() => parts.push((0, Style::Plain, format!("starting, {}", ago(view.running)))),
        None => {}
    }
    if let Some(batch) = view.batch {
        parts.push((2, Style::Plain, format!("batch {}", thousands(batch))));
    }
    if let Some((events, rows)) = view.rates {
        parts.push((3, Style::Plain, format!("{}/s in", whole(events))));
        parts.push((6, Style::Plain, format!("{}/s out", whole(rows))));
    }
    if let Some(status) = &view.status {
        let lag = status.backlog.filter(|_| view.waiting.is_empty()).map_or_else(|| "unknown".to_owned(), thousands);
        parts.push((1, Style::Plain, format!("lag {lag}")));
        parts.push(match view.last_event {
            Some(age) => (4, Style::Plain, format!("last event {} ago", ago(age))),
            None => (4, Style::Plain, format!("no event for {}", ago(view.running))),
        });
    }
    if let Some(watermark) = &view.watermark {
        parts.push((5, Style::Plain, format!("watermark {watermark}")));
    }
    let taken = |parts: &[(u8, Style, String)]| 1 + parts.iter().map(|(.., text)| 2 + text.width()).sum::<usize>();
    while taken(&parts) > width && parts.len() > 1 {
        // That something is waited for is cut before it costs the lag, which nobody knows then.
        let last = if view.waiting.is_empty() { 0 } else { 1 };
        let Some(least) = (0..parts.len()).filter(|i| parts[*i].0 > last).max_by_key(|i| parts[*i].0) else { break };
        parts.remove(least);
    }
    if let ([(0, _, wait), rest @ ..], false) = (parts.as_mut_slice(), view.waiting.is_empty()) {
        let beside = 3 + rest.iter().map(|(.., text)| 2 + text.width()).sum::<usize>();
        *wait = shortened(wait, width.saturating_sub(beside));
    }
    let alive = if view.waiting.is_empty() { Style::Green } else { Style::Red };
    let mut line = vec![(alive, frame)];
    line.extend(parts.into_iter().flat_map(|(_, style, text)| [(Style::Plain, "  ".to_owned()), (style, text)]));
    line
}

/// `text` in `width` columns.
fn shortened(text: &str, width: usize) -> String {
    cut(vec![(Style::Plain, text.to_owned())], width + usize::from(text.width() <= width))
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

/// A rate without its fraction.
fn whole(rate: f64) -> String {
    format!("{rate:.0}").parse().map_or_else(|_| format!("{rate:.0}"), thousands)
}

/// Rows of a table: since the beginning, and of them in this run.
fn table(table: &TableStatus) -> Line {
    let style = if table.total.written == 0 { Style::Dim } else { Style::Plain };
    vec![(style, format!("{} {}", table.table, counted(table.total.written, table.fates.written)))]
}

/// What is wrong, or waited for, the worst first.
fn notable(status: &Status) -> Vec<Line> {
    let mut items = Vec::new();
    if status.total_dead_letters > 0 {
        let style = if status.dead_letters > 0 { Style::Yellow } else { Style::Dim };
        let count = counted(status.total_dead_letters, status.dead_letters);
        items.push(vec![(style, format!("dead letters {count}"))]);
    }
    for table in &status.tables {
        let kinds: [(&str, Count); 3] =
            [("quarantined", |f| f.quarantined), ("late", |f| f.late), ("dropped", |f| f.dropped)];
        let told: Vec<String> = kinds
            .iter()
            .filter(|(_, count)| count(&table.total) > 0)
            .map(|(what, count)| format!("{} {what}", counted(count(&table.total), count(&table.fates))))
            .collect();
        if !told.is_empty() {
            let now = kinds.iter().any(|(_, count)| count(&table.fates) > 0);
            let style = if now { Style::Yellow } else { Style::Dim };
            items.push(vec![(style, format!("{}: {}", table.table, told.join(", ")))]);
        }
    }
    items.extend(status.waits.iter().map(|wait| vec![(Style::Yellow, wait.clone())]));
    if !status.ignored_fields.is_empty() {
        items.push(vec![(Style::Yellow, format!("in no table: {}", status.ignored_fields.join(", ")))]);
    }
    for table in &status.tables {
        if let Some(wait) = &table.waits_for {
            items.push(vec![(Style::Plain, format!("{}: {wait}", table.table))]);
        }
    }
    items
}

/// As many `items` as fit into `width` side by side, and how many more there are; none without items.
fn fitted(items: Vec<Line>, width: usize) -> Option<Line> {
    let all = items.len();
    let wide = |line: &Line| line.iter().map(|(_, text)| text.width()).sum::<usize>();
    let mut line = Line::new();
    for (i, item) in items.into_iter().enumerate() {
        let rest = all - i - 1;
        let more = if rest > 0 { format!("  and {rest} more").width() } else { 0 };
        let gap = if i > 0 { 2 } else { 0 };
        // The first one stands there, cut if need be.
        if i > 0 && wide(&line) + gap + wide(&item) + more > width {
            line.push((Style::Dim, format!("  and {} more", rest + 1)));
            break;
        }
        if i == 0 && wide(&item) + more > width {
            line = cut(item, width.saturating_sub(more));
        } else {
            line.extend((gap > 0).then(|| (Style::Plain, "  ".to_owned())));
            line.extend(item);
        }
    }
    (!line.is_empty()).then_some(line)
}

/// `line` in `width` columns.
fn cut(line: Line, width: usize) -> Line {
    let mut left = width.saturating_sub(1);
    let mut out = Line::new();
    for (style, text) in line {
        let mut piece = String::new();
        for c in text.chars() {
            let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            if wide > left {
                out.push((style, piece + "…"));
                return out;
            }
            left -= wide;
            piece.push(c);
        }
        out.push((style, piece));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(tables: usize) -> View {
        let table = |i: usize| TableStatus {
            table: format!("silver_table_{i}"),
            fates: Fates { written: 1_204, late: 3, ..Fates::default() },
            total: Fates { written: 1_000_000 + 1_204, late: 1_003, ..Fates::default() },
            waits_for: None,
        };
        View {
            batch: Some(1_204),
            rates: Some((12_034.4, 11_800.0)),
            watermark: Some("10:03:12".to_owned()),
            last_event: Some(Duration::from_secs(2)),
            status: Some(Status {
                tables: (0..tables).map(table).collect(),
                backlog: Some(0),
                dead_letters: 1,
                total_dead_letters: 755,
                ..Status::default()
            }),
            ..View::default()
        }
    }

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect()
    }

    #[test]
    fn however_many_tables_there_are_three_lines_fit_into_80_columns() {
        for tables in [0, 1, 2, 7, 100] {
            for columns in [20, 40, 80, 200] {
                let lines = text(&lines(&view(tables), columns));
                assert!(lines.len() <= 3, "{lines:#?}");
                for line in &lines {
                    assert!(line.width() < columns, "{columns}: {line}");
                }
            }
        }
        assert_eq!(
            text(&lines(&view(7), 80)),
            [
                "|  batch 1,204  12,034/s in  lag 0  last event 2 s ago  watermark 10:03:12",
                "silver_table_0 1,001,204 (+1,204)  and 6 more",
                "dead letters 755 (+1)  silver_table_0: 1,003 (+3) late  and 6 more",
            ]
        );
    }

    #[test]
    fn a_lag_that_nobody_knows_is_not_zero() {
        let mut view = view(1);
        view.waiting = vec![Waiting {
            what: "broker localhost:9092".into(),
            why: "refused".into(),
            since: Duration::from_secs(75),
        }];
        let told = text(&lines(&view, 120));
        assert!(told[0].contains("waits for broker localhost:9092 for 1 min: refused"), "{told:#?}");
        assert!(told[0].contains("lag unknown"), "{told:#?}");
        assert!(!told[0].contains("lag 0"), "{told:#?}");
        assert_eq!(lines(&view, 120)[0][2].0, Style::Red, "what is wrong has a colour");
        view.waiting[0].why = "Connect to ipv4#127.0.0.1:9092 failed: Connection refused".to_owned();
        let told = text(&lines(&view, 80));
        assert!(
            told[0].contains("waits for broker localhost:9092 for 1 min") && told[0].ends_with("  lag unknown"),
            "{told:#?}"
        );
        assert!(told[0].width() < 80, "{told:#?}");
    }

    #[test]
    fn before_the_first_batch_it_says_that_it_lives() {
        let told = text(&lines(&View { running: Duration::from_secs(5), frame: 1, ..View::default() }, 80));
        assert_eq!(told, ["/  starting, 5 s"]);
    }
}
