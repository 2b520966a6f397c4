//! Asking: a statement with sets and by a scan, compared, then timed.

use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;

use super::questions::{Question, Scans};
use super::store::Store;
use crate::bench::harness::{Answered, ask, check};
use crate::bench::report::{Cell, Report, Section, Sign, digits};
use crate::bench::stats::Samples;
use crate::error::{Error, Result};

/// Time for repeating a scan.
const SCAN_TIME: Duration = Duration::from_secs(10);

/// Asks a question in both ways, compares, and adds a row of times.
pub fn answer(
    store: &Store,
    question: &Question,
    rounds: usize,
    table: &mut Section,
    report: &mut Report,
) -> Result<()> {
    let snapshot = store.snapshot();
    let name = &question.name;
    let with_sets = || ask(&store.query, &snapshot, &question.sql, true);
    let first = with_sets()?;
    check(&format!("{name}, whether sets answer"), &first.stats.rollup, &true)?;
    if let Some(expected) = &question.expected {
        check(name, &last_column(&first.batches), expected)?;
    }
    let mut scans = Samples::default();
    if question.scans != Scans::Never {
        let scan = || {
            let sql = question.by_scan.as_ref().unwrap_or(&question.sql);
            ask(&store.query, &snapshot, sql, false)
        };
        let begun = Instant::now();
        let scanned = scan()?;
        check(name, &text(&first)?, &text(&scanned)?)?;
        scans.push(scanned.ms);
        let most = if question.scans == Scans::Again { rounds.min(3) } else { 1 };
        while scans.len() < most && begun.elapsed() < SCAN_TIME {
            scans.push(scan()?.ms);
        }
    }
    let mut times = Samples::default();
    for _ in 0..rounds {
        times.push(with_sets()?.ms);
    }
    row(name, question.floor_ms, &times, first.stats.files_read, &scans, table);
    if let Some(floor_ms) = question.floor_ms {
        report.goal(name, times.median(), Sign::AtMost, floor_ms, " ms");
    }
    Ok(())
}

/// Adds a row of times.
pub fn row(
    name: &str,
    floor_ms: Option<f64>,
    times: &Samples,
    files: u64,
    scans: &Samples,
    table: &mut Section,
) {
    let ms = |ms: f64| Cell::number(ms, format!("{} ms", digits(ms)));
    let (scan, ratio) = match scans.len() {
        0 => Default::default(),
        _ => {
            let ratio = scans.median() / times.median();
            (Cell::ms(scans), Cell::number(ratio, format!("{} times", digits(ratio))))
        }
    };
    table.row([
        name.into(),
        Cell::ms(times),
        ms(times.quantile(0.0)),
        floor_ms.map_or(Cell::default(), ms),
        Cell::count(files),
        scan,
        ratio,
    ]);
}

/// Returns the last column of an answer.
pub fn last_column(batches: &[RecordBatch]) -> Vec<i64> {
    let values = |batch: &RecordBatch| {
        let column = batch.columns().last().expect("an answer has columns");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    batches.iter().flat_map(values).collect()
}

fn text(answered: &Answered) -> Result<String> {
    let shown = pretty_format_batches(&answered.batches);
    Ok(shown
        .map_err(|fault| Error::Invalid(format!("an answer cannot be shown: {fault}")))?
        .to_string())
}
