//! Messages on standard error: the cost of a statement, and errors.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::client::Fault;
use crate::query::QueryStats;
use crate::text::{bytes, span, thousands, visible};

/// Maximum number of characters shown of the line with the error.
const EXCERPT: usize = 100;

/// Formats the cost of a statement as one line; `elapsed` is used if the statistics are unknown.
pub fn receipt(rows: u64, stats: Option<&QueryStats>, elapsed: Duration) -> String {
    let mut text = format!("{} {} · ", thousands(rows), if rows == 1 { "row" } else { "rows" });
    let Some(stats) = stats else { return text + &span(elapsed) };
    if stats.partitions > 0 {
        let (read, all) = (thousands(stats.partitions_read), thousands(stats.partitions));
        let how = if stats.rollup { " by rollup" } else { "" };
        let _ = write!(text, "{read} of {all} partitions{how}, ");
    }
    if stats.files_read > 0 {
        let files = if stats.files_read == 1 { "file" } else { "files" };
        let _ =
            write!(text, "{} {files}, {}, ", thousands(stats.files_read), bytes(stats.bytes_read));
    }
    let time = Duration::try_from_secs_f64((stats.planning_ms + stats.running_ms) / 1e3)
        .unwrap_or(elapsed);
    text + &span(time)
}

/// Makes a text dim, if colour is enabled.
pub fn dim(text: &str, colour: bool) -> String {
    if colour { format!("\x1b[2m{text}\x1b[0m") } else { text.to_string() }
}

/// Origin of a statement or command: its text, and where the text is from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub file: Option<&'a Path>,
    /// Line at which the text begins, counted from 1.
    pub line: u64,
    pub text: &'a str,
}

/// Formats an error, with the line of the statement and a caret below the position, if known.
pub fn explain(fault: &Fault, origin: Origin, colour: bool) -> String {
    let (red, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{red}error:{plain} {}\n", visible(&fault.error.to_string()));
    let at =
        fault.position.map(|(line, column)| (origin.line + line.saturating_sub(1), line, column));
    if let Some(file) = origin.file {
        let place =
            at.map_or(origin.line.to_string(), |(line, _, column)| format!("{line}:{column}"));
        let _ = writeln!(text, "  --> {}:{place}", visible(&file.display().to_string()));
    }
    let source = |line: u64| origin.text.lines().nth(line.checked_sub(1)? as usize);
    if let Some((number, line, column)) = at
        && let Some(source) = source(line)
    {
        let column = (column.saturating_sub(1) as usize).min(source.chars().count());
        let from = column.saturating_sub(EXCERPT / 2);
        let excerpt: String = source.chars().skip(from).take(EXCERPT).collect();
        let shown = visible(&excerpt).replace('\t', " ");
        // Escaped characters before the position shift the caret.
        let before: String = excerpt.chars().take(column - from).collect();
        let column = visible(&before).chars().count();
        let gutter = format!("{number:>3} | ");
        let indent = " ".repeat(gutter.len() + column);
        let _ = writeln!(text, "{}\n{indent}{red}^{plain}", dim(&gutter, colour) + &shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::error::Error;

    #[test]
    fn a_receipt_tells_what_was_read_and_how_long_it_took() {
        let stats = QueryStats {
            partitions: 3_649,
            partitions_read: 3,
            files_read: 2,
            bytes_read: 41_234,
            planning_ms: 1.1,
            running_ms: 1.0,
            ..QueryStats::default()
        };
        let all = receipt(24, Some(&stats), Duration::ZERO);
        assert_eq!(all, "24 rows · 3 of 3,649 partitions, 2 files, 41 KB, 2.1 ms");
        let rollup = QueryStats { rollup: true, files_read: 0, ..stats };
        assert_eq!(
            receipt(1, Some(&rollup), Duration::ZERO),
            "1 row · 3 of 3,649 partitions by rollup, 2.1 ms"
        );
        assert_eq!(receipt(0, Some(&QueryStats::default()), Duration::ZERO), "0 rows · 0.0 ms");
        assert_eq!(receipt(5, None, Duration::from_millis(7)), "5 rows · 7.0 ms");
    }

    #[test]
    fn a_fault_points_at_its_place() {
        let text = "SELECT clicks,\n  klicks FROM hours";
        let fault = Fault {
            error: Error::Invalid("No field named klicks.".into()),
            position: Some((2, 3)),
        };
        let origin = Origin { file: Some(Path::new("a.sql")), line: 7, text };
        assert_snapshot!(explain(&fault, origin, false), @r"
        error: No field named klicks.
          --> a.sql:8:3
          8 |   klicks FROM hours
                ^
        ");
        let long = format!("{}x{}", " ".repeat(200), "y".repeat(200));
        let fault = Fault { position: Some((1, 201)), ..fault };
        let text = explain(&fault, Origin { file: None, line: 1, text: &long }, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].find('x'), lines[2].find('^'), "{text}");
    }
}
