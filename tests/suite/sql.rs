//! The corpus: every file of `tests/suite/sql/` holds cases, apart by blank lines, whose answers,
//! plans and errors are golden. `INSTA_UPDATE=always cargo test --release --test suite sql` accepts
//! what has changed.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::HOUR_US;
use hourglass::query::{Params, QueryEngine, QueryOptions};
use hourglass::storage::Engine;

use crate::support::{ManualClock, block_on, open, query_engine};

/// Rows of an answer that are kept.
const MAX_ROWS: usize = 20;

/// 2024-02-28T20:00:00Z.
const START: i64 = 474_764;

/// A store with every kind of hour: 20:00 to 03:00 in one file each; 23:00 in two files, for events
/// came late; 02:00 in a file and in memory; 04:00 and 05:00 in memory alone. Users are ana, ben
/// and the like; nothing is random.
async fn fixture(dir: &Path) -> (Engine, String) {
    let engine = open(dir, ManualClock::at((START + 9) * HOUR_US + HOUR_US / 2));
    let users = ["ana", "ben", "cleo", "dora", "emil", "finn", "gus"];
    let events = |hours: &[i64], from: usize, count: usize| {
        let mut batch = EventBatch::new();
        for &hour in hours {
            for i in from..from + count {
                let kind = EventKind::CONTRACT[usize::from((i + hour as usize).is_multiple_of(3))];
                let us = (START + hour) * HOUR_US + i as i64 * 240_000_000;
                batch.push(us, users[(i * (hour as usize + 1)) % users.len()], kind);
            }
        }
        batch
    };
    engine.append(events(&[0, 1, 2, 3, 4, 5, 6, 7], 0, 10)).await.unwrap();
    engine.flush().await.unwrap();
    engine.append(events(&[3], 10, 3)).await.unwrap();
    engine.flush().await.unwrap();
    engine.append(events(&[6], 10, 4)).await.unwrap();
    engine.append(events(&[8, 9], 0, 5)).await.unwrap();
    engine.build_sets(|_| ()).await;
    let node = std::fs::read_to_string(dir.join("hourglass.json")).unwrap();
    let node: serde_json::Value = serde_json::from_str(&node).unwrap();
    (engine, node["node"].as_str().unwrap()[..8].to_string())
}

async fn answer(query: &Arc<QueryEngine>, engine: &Engine, case: &str) -> String {
    let mut session = query.new_session();
    let answer = match query.run_text(&mut session, &engine.snapshot(), case, Params::None).await {
        Err(error) => return failure(&error),
        Ok(answer) => answer,
    };
    let (schema, recorder) = (answer.schema.clone(), answer.recorder.clone());
    let mut batches = match answer.collect().await {
        Err(error) => return failure(&error),
        Ok(batches) => batches,
    };
    if batches.is_empty() {
        batches.push(arrow::array::RecordBatch::new_empty(schema.clone()));
    }
    let is_plan = schema.fields().first().is_some_and(|field| field.name() == "plan_type");
    let mut text = if is_plan {
        plan(&batches)
    } else {
        let options = arrow::util::display::FormatOptions::default().with_null("NULL");
        let table = arrow::util::pretty::pretty_format_batches_with_options(&batches, &options);
        let table = table.map_or_else(|error| failure(&error.into()), |table| table.to_string());
        tidy(&table, case.to_ascii_uppercase().contains("ORDER BY"))
    };
    let figures = recorder.stats();
    if figures.partitions > 0 {
        let rollup = if figures.rollup { ", by rollup" } else { "" };
        let (read, all) = (figures.partitions_read, figures.partitions);
        write!(text, "\n{read} of {all} partitions, {} files{rollup}", figures.files_chosen)
            .unwrap();
    }
    text
}

/// A table of at most [`MAX_ROWS`] rows, sorted where the statement leaves their order open.
fn tidy(table: &str, is_ordered: bool) -> String {
    let mut lines: Vec<&str> = table.lines().collect();
    if lines.len() < 5 {
        return table.to_string();
    }
    let rows = lines.len() - 4;
    if !is_ordered {
        lines[3..3 + rows].sort_unstable();
    }
    if rows > MAX_ROWS {
        format!("{}\n{} rows more", lines[..3 + MAX_ROWS].join("\n"), rows - MAX_ROWS)
    } else {
        lines.join("\n")
    }
}

/// The physical plan without the table around it.
fn plan(batches: &[arrow::array::RecordBatch]) -> String {
    use arrow::array::AsArray;
    let column = |i: usize| {
        batches.iter().flat_map(move |batch| batch.column(i).as_string::<i32>().iter().flatten())
    };
    let plans = column(0).zip(column(1)).filter(|(kind, _)| *kind == "physical_plan");
    plans.map(|(_, plan)| plan.trim_end()).collect()
}

fn failure(error: &hourglass::error::Error) -> String {
    match error.position() {
        Some((line, column)) => format!("error at {line}:{column}: {error}"),
        None => format!("error: {error}"),
    }
}

fn cases(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n\n").map(|case| case.trim().to_string()).filter(|case| !case.is_empty()).collect()
}

#[test]
fn the_corpus_answers_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/sql");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let query = Arc::new(query_engine(true));
    let count = block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (engine, node) = fixture(dir.path()).await;
        let mut count = 0;
        for file in files {
            let mut golden = String::new();
            for case in cases(&file) {
                let answer = answer(&query, &engine, &case).await.replace(&node, "NODE");
                writeln!(golden, "{case}\n\n{answer}\n\n{}\n", "-".repeat(80)).unwrap();
                count += 1;
            }
            insta::assert_snapshot!(
                format!("sql_{}", file.file_stem().unwrap().to_str().unwrap()),
                golden
            );
        }
        count
    });
    assert!(count >= 200, "the corpus has {count} cases");
}

#[test]
fn a_statement_sees_one_state_whatever_happens_meanwhile() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at(HOUR_US));
        let query = Arc::new(query_engine(true));
        let mut batch = EventBatch::new();
        (0..200_000).for_each(|i| batch.push(i, "ana", EventKind::CLICK));
        engine.append(batch.clone()).await.unwrap();
        for flushed_before in [false, true] {
            let snapshot = engine.snapshot();
            let expected = snapshot.rollup(hourglass::hour::Hour(0)).count(EventKind::CLICK);
            let sql = "SELECT a.timestamp FROM events a";
            let mut session = query.new_session();
            let mut answer =
                query.run_text(&mut session, &snapshot, sql, Params::None).await.unwrap();
            let mut rows = answer.next().await.unwrap().unwrap().num_rows() as u64;
            // The answer is held up by who reads it; the store goes on.
            engine.append(batch.clone()).await.unwrap();
            engine.flush().await.unwrap();
            while let Some(batch) = answer.next().await {
                rows += batch.unwrap().num_rows() as u64;
            }
            assert_eq!(rows, expected, "flushed before: {flushed_before}");
            let twice = "SELECT count(*) FROM events a JOIN (SELECT count(*) AS n FROM events) b ON b.n > 0";
            let answer =
                query.run_text(&mut session, &snapshot, twice, Params::None).await.unwrap();
            let counted = answer.collect().await.unwrap();
            let text = arrow::util::pretty::pretty_format_batches(&counted).unwrap().to_string();
            assert!(text.contains(&format!(" {expected} ")), "{text}");
        }
    });
}

/// Batches of one hour share its users, each 36 bytes: counted with every batch they would be a
/// hundred megabytes.
#[test]
fn windows_over_many_users_fit_in_the_memory_that_their_rows_take() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), ManualClock::at(HOUR_US / 2));
        let mut batch = EventBatch::new();
        (0..100_000).for_each(|i| batch.push(i, &format!("{i:036}"), EventKind::CLICK));
        engine.append(batch).await.unwrap();
        let options = QueryOptions { memory_bytes: 48 << 20, ..QueryOptions::default() };
        let query = Arc::new(QueryEngine::new(&options).unwrap());
        for window in [
            "count(*) OVER ()",
            "row_number() OVER (PARTITION BY user_id ORDER BY timestamp)",
            "lag(timestamp, 3) OVER (ORDER BY timestamp)",
            "sum(1) OVER (ORDER BY timestamp ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)",
        ] {
            let case = format!(
                "SELECT count(*) AS n FROM (SELECT user_id, {window} AS w FROM events) WHERE length(user_id) = 36"
            );
            let answer = answer(&query, &engine, &case).await;
            assert!(answer.contains("100000"), "{window}: {answer}");
        }
    });
}
