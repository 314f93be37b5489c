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

/// The most lines that are drawn.
const LINES: usize = 3;

/// What stands before a reason on a line of its own: as wide as the sign of life with what follows it.
const INDENT: &str = "   ";

/// The lines for a terminal of `columns`.
pub fn lines(view: &View, columns: usize) -> Vec<Line> {
    let width = width_of(columns);
    let mut lines = head(view, width);
    if let Some(status) = &view.status {
        let tables = fitted(status.tables.iter().map(table).collect(), width);
        let notable = fitted(notable(status), width);
        // While something is waited for nothing is counted on: what is wrong is kept longest.
        let tables = tables.filter(|_| lines.len() + usize::from(notable.is_some()) < LINES);
        lines.extend(tables.into_iter().chain(notable));
        lines.truncate(LINES);
    }
    lines
}

/// The run, and below it why it waits where that does not fit beside it.
fn head(view: &View, width: usize) -> Vec<Line> {
    let Some(wait) = view.waiting.first() else { return vec![run(view, width, None)] };
    let more = view.waiting.len() - 1;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let told = format!("waits for {}{more} for {}", wait.what, ago(wait.since));
    let why = reason(wait);
    let beside = run(view, width, Some(format!("{told}: {why}")));
    if wide(&beside) <= width {
        return vec![beside];
    }
    let mut first = run(view, width, Some(told.clone()));
    let over = wide(&first).saturating_sub(width);
    if over > 0 {
        // Brokers of many names or long ones: cut before they cost the lag, which nobody knows then.
        first = run(view, width, Some(shortened(&told, told.width().saturating_sub(over))));
    }
    let mut lines = vec![first];
    let below = wrapped(why, width.saturating_sub(INDENT.len()), LINES - 1);
    lines.extend(below.into_iter().map(|text| vec![(Style::Plain, INDENT.to_owned()), (Style::Red, text)]));
    lines.into_iter().map(|line| if wide(&line) > width { cut(line, width) } else { line }).collect()
}

/// Why it waits, without the name of what is waited for, which librdkafka puts before it (`kafka:9092/bootstrap: `); of several
/// brokers it tells which.
fn reason(wait: &Waiting) -> &str {
    let host = |text: &str| text.rsplit("://").next().and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let named = wait.what.rsplit(' ').next().filter(|all| !all.contains(',')).and_then(host);
    match wait.why.split_once(": ") {
        Some((head, why)) if !head.contains(' ') && host(head) == named => why,
        _ => &wait.why,
    }
}

/// `text` on at most `most` lines of `width` columns, broken between words; what is left over is cut.
fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if lines.len() + 1 == most || rest.width() <= width {
            lines.push(shortened(rest, width));
            break;
        }
        let mut taken = 0;
        // A word that is longer than a line is cut where the line ends.
        let mut at = rest.len();
        let mut space = None;
        for (i, c) in rest.char_indices() {
            taken += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            if c == ' ' {
                space = Some(i);
            }
            if taken > width {
                at = space.unwrap_or(i);
                break;
            }
        }
        if at == 0 {
            break;
        }
        let (line, next) = rest.split_at(at);
        lines.push(line.trim_end().to_owned());
        rest = next.trim_start();
    }
    lines
}

fn wide(line: &Line) -> usize {
    line.iter().map(|(_, text)| text.width()).sum()
}

/// The run on one line. What matters least is left out until the others fit; that it is `waiting`, and for what, is not.
fn run(view: &View, width: usize, waiting: Option<String>) -> Line {
    let frame = FRAMES[view.frame % FRAMES.len()].to_owned();
    let mut parts: Vec<(u8, Style, String)> = Vec::new();
    match waiting {
        Some(waits) => parts.push((0, Style::Red, waits)),
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
        // The lag, which nobody knows while something is waited for, stays with it.
        let last = u8::from(!view.waiting.is_empty());
        let Some(least) = (0..parts.len()).filter(|i| parts[*i].0 > last).max_by_key(|i| parts[*i].0) else { break };
        parts.remove(least);
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
    }

    #[test]
    fn why_it_waits_can_be_read_at_80_columns() {
        let mut view = view(3);
        let wait = |what: &str, why: &str| {
            vec![Waiting { what: what.to_owned(), why: why.to_owned(), since: Duration::from_secs(75) }]
        };
        view.waiting = wait(
            "broker localhost:9092",
            "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused",
        );
        assert_eq!(
            text(&lines(&view, 80)),
            [
                "|  waits for broker localhost:9092 for 1 min  batch 1,204  lag unknown",
                "   Connect to ipv4#127.0.0.1:9092 failed: Connection refused",
                "dead letters 755 (+1)  silver_table_0: 1,003 (+3) late  and 2 more",
            ]
        );
        // On a wide terminal it stands beside, and nothing is left out below.
        let told = text(&lines(&view, 160));
        assert!(told[0].contains("for 1 min: Connect to ipv4#127.0.0.1:9092 failed: Connection refused"), "{told:#?}");
        assert!(told[1].starts_with("silver_table_0"), "{told:#?}");
        // A longer one takes two lines, of several brokers it says of which.
        view.waiting = wait(
            "broker ssl://kafka-1.example.com:9093,ssl://kafka-2.example.com:9093",
            "ssl://kafka-2.example.com:9093/bootstrap: SSL handshake failed: certificate verify failed: verify \
             ssl.ca.location is correctly configured",
        );
        let told = text(&lines(&view, 80));
        assert_eq!(
            told[1..],
            [
                "   ssl://kafka-2.example.com:9093/bootstrap: SSL handshake failed:",
                "   certificate verify failed: verify ssl.ca.location is correctly configured",
            ]
        );
        assert!(told[0].contains("waits for broker ssl://kafka-1") && told[0].ends_with("…  lag unknown"), "{told:#?}");
        for columns in [20, 40, 80, 200] {
            let told = text(&lines(&view, columns));
            assert!(told.len() <= 3, "{told:#?}");
            assert!(told.iter().all(|line| line.width() < columns), "{columns}: {told:#?}");
        }
        view.status = None;
        assert!(text(&lines(&view, 80)).len() <= 3);
    }

    #[test]
    fn a_reason_begins_with_what_is_waited_for_once() {
        let of = |what: &str, why: &str| {
            reason(&Waiting { what: what.into(), why: why.into(), since: Duration::ZERO }).to_owned()
        };
        assert_eq!(of("broker kafka:9092", "kafka:9092/bootstrap: Connection refused"), "Connection refused");
        assert_eq!(of("broker SSL://kafka:9092", "ssl://kafka:9092/1: Disconnected"), "Disconnected");
        assert_eq!(of("schema registry http://r:8081", "http://r:8081: no answer"), "no answer");
        assert_eq!(of("broker kafka:9092", "other:9092/2: Disconnected"), "other:9092/2: Disconnected");
        assert_eq!(of("broker kafka:9092", "all brokers are down"), "all brokers are down");
    }

    #[test]
    fn what_went_wrong_in_this_run_has_a_colour_and_what_did_before_it_is_dim() {
        let styles = |now: u64| {
            let table = TableStatus {
                table: "silver_sales".to_owned(),
                fates: Fates { late: now, ..Fates::default() },
                total: Fates { late: 1_000, ..Fates::default() },
                waits_for: None,
            };
            let status =
                Status { tables: vec![table], dead_letters: now, total_dead_letters: 755, ..Status::default() };
            notable(&status).iter().map(|item| item[0].0).collect::<Vec<_>>()
        };
        assert_eq!(styles(0), [Style::Dim, Style::Dim]);
        assert_eq!(styles(1), [Style::Yellow, Style::Yellow]);
    }

    #[test]
    fn before_the_first_batch_it_says_that_it_lives() {
        let told = text(&lines(&View { running: Duration::from_secs(5), frame: 1, ..View::default() }, 80));
        assert_eq!(told, ["/  starting, 5 s"]);
    }
}
