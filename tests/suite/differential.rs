//! Random data, random questions, joins and unions among them: with default settings, with rollups
//! and without, on one thread and on several, and by plain DataFusion over a table of the same
//! rows, the answers are the same. `HOURGLASS_TEST_QUERIES=n` asks n questions,
//! `HOURGLASS_TEST_SEED=n` begins at a seed.

mod visitors;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int32Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use hourglass::event::{Declaration, EventBatch, EventKind, EventSchema};
use hourglass::hour::{HOUR_US, Hour};
use hourglass::query::{Params, QueryEngine};
use hourglass::rows::{RowFormat, RowWriter};
use hourglass::storage::vfs::Disk;
use hourglass::storage::{Engine, EngineOptions, Snapshot};

use crate::support::{ManualClock, block_on, number_from, query_engine, random, small_options};

/// Questions asked of each store.
const QUESTIONS_EACH: u64 = 50;

/// The first hour with events: 2024-02-28T22:00:00Z, so that days, a month and a leap day end among
/// the hours.
const FIRST_HOUR: i64 = 474_766;
const HOURS: u64 = 52;

/// Rows of hours in files, in several files, in memory and in both, and the same rows as plain
/// batches.
async fn store(dir: &std::path::Path, seed: &mut u64) -> (Arc<Snapshot>, SessionContext) {
    let clock = ManualClock::at((FIRST_HOUR + HOURS as i64) * HOUR_US);
    let schema = EventSchema::new(&["signup".into()], &["page".into()]).unwrap();
    let options = EngineOptions { declared: Declaration::of(&schema), ..small_options() };
    let engine = Engine::open_with(dir, options, Arc::new(Disk), clock).unwrap();
    let kinds: Vec<EventKind> = schema.kinds().collect();
    let mut all = EventBatch::new();
    let batches = 1 + random(seed, 6);
    for i in 0..batches {
        let mut batch = EventBatch::new();
        for _ in 0..random(seed, 120) {
            let hour = FIRST_HOUR + (random(seed, HOURS) * random(seed, 2)) as i64;
            // Often on the edges of hours and with repeats.
            let offset = match random(seed, 4) {
                0 => 0,
                1 => HOUR_US - 1,
                _ => random(seed, 5) as i64 * 600_000_000 + random(seed, 3) as i64,
            };
            let kind = kinds[random(seed, 3) as usize];
            batch.push(hour * HOUR_US + offset, &format!("user{}", random(seed, 12)), kind);
            if i > 0 && random(seed, 3) > 0 {
                let page = match random(seed, 6) {
                    0 => String::new(),
                    1 => format!("p1, whose name is long, {}", random(seed, 2)),
                    page => format!("p{}", page - 2),
                };
                batch.set_value(0, &page);
            }
        }
        all.extend(&batch);
        engine.append(batch).await.unwrap();
        if i + 1 < batches || random(seed, 2) == 0 {
            engine.flush().await.unwrap();
        }
    }
    (engine.snapshot(), plain(&schema, &all))
}

/// A DataFusion session of its own, with the rows as one table in memory.
fn plain(schema: &EventSchema, events: &EventBatch) -> SessionContext {
    let us = || events.timestamps_us().iter().copied();
    let hours = || us().map(Hour::of_us);
    let columns: Vec<(&str, DataType, ArrayRef)> = vec![
        (
            "timestamp",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Arc::new(TimestampMicrosecondArray::from_iter_values(us()).with_timezone("UTC")),
        ),
        (
            "user_id",
            DataType::Utf8View,
            Arc::new(StringViewArray::from_iter_values(
                events.iter().map(|event| event.user.to_string()),
            )),
        ),
        (
            "event",
            DataType::Utf8View,
            Arc::new(StringViewArray::from_iter_values(
                events.iter().map(|event| schema.name(event.kind)),
            )),
        ),
        (
            "page",
            DataType::Utf8View,
            Arc::new(StringViewArray::from_iter(events.iter().map(|event| event.values.get(0)))),
        ),
        (
            "date",
            DataType::Date32,
            Arc::new(Date32Array::from_iter_values(
                hours().map(|hour| hour.0.div_euclid(24) as i32),
            )),
        ),
        (
            "hour",
            DataType::Int32,
            Arc::new(Int32Array::from_iter_values(hours().map(Hour::of_day))),
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, of, _)| Field::new(*name, of.clone(), *name == "page"))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(
        schema.clone(),
        columns.into_iter().map(|(.., column)| column).collect(),
    )
    .unwrap();
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().execution.time_zone = Some("UTC".into());
    let context = SessionContext::new_with_config(config);
    context
        .register_table("events", Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()))
        .unwrap();
    context
}

fn pick<'a>(seed: &mut u64, of: &[&'a str]) -> &'a str {
    of[random(seed, of.len() as u64) as usize]
}

/// An instant near the data, as a literal.
fn instant(seed: &mut u64) -> String {
    let hour = FIRST_HOUR - 1 + random(seed, HOURS + 2) as i64;
    let us = hour * HOUR_US
        + match random(seed, 3) {
            0 => random(seed, 3_600) as i64 * 1_000_000,
            _ => 0,
        };
    let text = chrono::DateTime::from_timestamp_micros(us).unwrap().format("%Y-%m-%dT%H:%M:%SZ");
    match random(seed, 3) {
        0 => format!("TIMESTAMP '{text}'"),
        1 => format!("'{text}'"),
        _ => format!("CAST('{text}' AS TIMESTAMP)"),
    }
}

fn predicate(seed: &mut u64, depth: u64) -> String {
    match random(seed, if depth == 0 { 12 } else { 14 }) {
        0 | 1 => format!(
            "timestamp {} {}",
            pick(seed, &[">=", ">", "<", "<=", "=", "<>"]),
            instant(seed)
        ),
        2 => {
            let (a, b) = (instant(seed), instant(seed));
            format!("timestamp >= {a} AND timestamp < {b}")
        }
        3 => format!("timestamp BETWEEN {} AND {}", instant(seed), instant(seed)),
        4 => {
            let unit = pick(seed, &["hour", "day", "month", "week"]);
            format!(
                "date_trunc('{unit}', timestamp) {} {}",
                pick(seed, &["=", ">=", "<"]),
                instant(seed)
            )
        }
        5 => {
            format!(
                "date {} '2024-{}'",
                pick(seed, &["=", ">=", "<", "<>"]),
                pick(seed, &["02-28", "02-29", "03-01"])
            )
        }
        6 => format!("hour {} {}", pick(seed, &["=", "<", ">=", "<>"]), random(seed, 25)),
        7 => format!("hour IN ({}, {}, 23)", random(seed, 24), random(seed, 24)),
        8 => format!("event = '{}'", pick(seed, &["click", "impression", "signup", "other"])),
        9 => format!(
            "date_part('hour', timestamp) {} {}",
            pick(seed, &["=", "<", ">="]),
            random(seed, 24)
        ),
        10 => format!("user_id {} 'user{}'", pick(seed, &["=", "<>", "<"]), random(seed, 12)),
        11 => match random(seed, 5) {
            0 => format!("page IS {}", pick(seed, &["NULL", "NOT NULL"])),
            1 => format!(
                "page {} '{}'",
                pick(seed, &["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]),
                pick(seed, &["p_%", "p%2", "%,%n%", "P%", "_1", "%NAME%0", ""])
            ),
            2 => format!(
                "{} {} '{}'",
                pick(seed, &["page", "user_id", "upper(page)"]),
                pick(seed, &["~", "!~", "~*", "!~*"]),
                pick(seed, &["^p[12]", "1.*0$", "USER1", "^$", "^P1"])
            ),
            _ => format!("page {} 'p{}'", pick(seed, &["=", "<>", "<"]), random(seed, 5)),
        },
        12 => format!("(({}) OR ({}))", predicate(seed, depth - 1), predicate(seed, depth - 1)),
        _ => format!("NOT ({})", predicate(seed, depth - 1)),
    }
}

const GROUPS: [&str; 18] = [
    "page LIKE 'p_%2'",
    "regexp_replace(page, '[0-9]', '')",
    "page",
    "date_trunc('day', to_local_time(timestamp AT TIME ZONE 'Asia/Kolkata'))",
    "date_trunc('hour', timestamp)",
    "date_trunc('hour', timestamp)",
    "date_trunc('day', timestamp)",
    "date_trunc('month', timestamp)",
    "date_trunc('minute', timestamp)",
    "date_bin(INTERVAL '1 hour', timestamp)",
    "date_bin(INTERVAL '6 hours', timestamp)",
    "date_bin(INTERVAL '90 minutes', timestamp)",
    "date",
    "hour",
    "event",
    "date_part('dow', timestamp)",
    "CAST(timestamp AS DATE)",
    "user_id",
];

const AGGREGATES: [&str; 46] = [
    "max(page = 'p1')",
    "min(timestamp - TIMESTAMP '2024-02-28') FILTER (WHERE hour = 22)",
    "count(DISTINCT user_id) FILTER (WHERE page LIKE 'p%2')",
    "count(*) FILTER (WHERE page ~ '^p[1-2]$' OR NULL)",
    "sum(hour) FILTER (WHERE page = 'p1' AND hour = 22)",
    "min(user_id)",
    "max(user_id) FILTER (WHERE event = 'click')",
    "bool_and(page <> 'p1')",
    "avg(hour)",
    "median(hour)",
    "count(DISTINCT page) FILTER (WHERE event = 'click')",
    "count(DISTINCT user_id) FILTER (WHERE page = 'p1')",
    "count(DISTINCT CASE WHEN page <> 'p1' THEN user_id END)",
    "count(DISTINCT CASE event WHEN 'click' THEN page ELSE NULL END) FILTER (WHERE hour > 2)",
    "sum(CASE WHEN page = 'p1' THEN 1 ELSE 0 END) FILTER (WHERE hour > 3)",
    "sum(CASE page WHEN 'p2' THEN 1.0 ELSE 0 END)",
    "avg(CASE WHEN event = 'click' THEN 1 ELSE 0 END)",
    "avg(hour) FILTER (WHERE event = 'click')",
    "max(CASE WHEN event = 'click' THEN page END)",
    "bool_or(event = 'click')",
    "count(page)",
    "count(DISTINCT page)",
    "max(page)",
    "count(*) FILTER (WHERE event = 'signup')",
    "count(*) FILTER (WHERE page IS NOT NULL)",
    "count(page) FILTER (WHERE event = 'signup')",
    "count(user_id) FILTER (WHERE page = 'p1')",
    "count(*)",
    "count(user_id)",
    "count(DISTINCT user_id)",
    "count(DISTINCT user_id)",
    "count(*) FILTER (WHERE event = 'click')",
    "count(*) FILTER (WHERE event = 'impression')",
    "count(*) FILTER (WHERE hour < 12)",
    "count(DISTINCT user_id) FILTER (WHERE event = 'click')",
    "count(DISTINCT user_id) FILTER (WHERE hour >= 6)",
    "sum(CASE WHEN event = 'click' THEN 1 ELSE 0 END)",
    "count(CASE WHEN event = 'impression' THEN 1 END)",
    "sum(CASE WHEN event = 'click' THEN 2 WHEN hour = 3 THEN 5 END)",
    "min(timestamp)",
    "max(timestamp)",
    "min(event)",
    "max(date)",
    "count(DISTINCT event)",
    "sum(hour)",
    "count(1) * 2",
];

fn question(seed: &mut u64) -> String {
    let groups: Vec<&str> = (0..random(seed, 3)).map(|_| pick(seed, &GROUPS)).collect();
    let mut aggregates: Vec<&str> = (0..random(seed, 5)).map(|_| pick(seed, &AGGREGATES)).collect();
    if groups.is_empty() && aggregates.is_empty() {
        aggregates.push("count(*)");
    }
    let named = |prefix: &str, exprs: &[&str]| -> Vec<String> {
        exprs.iter().enumerate().map(|(i, expr)| format!("{expr} AS {prefix}{i}")).collect()
    };
    let select = [named("g", &groups), named("a", &aggregates)].concat().join(", ");
    let conditions: Vec<String> = (0..random(seed, 4)).map(|_| predicate(seed, 1)).collect();
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let places: Vec<String> = (1..=groups.len()).map(|i| i.to_string()).collect();
    let group =
        if places.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) };
    let having =
        if random(seed, 5) == 0 && !groups.is_empty() { " HAVING count(*) > 1" } else { "" };
    let sql = match random(seed, 6) {
        0 => format!("SELECT {select} FROM (SELECT * FROM events{filter}) AS e{group}{having}"),
        1 => format!(
            "WITH e AS (SELECT timestamp, user_id, event, page, date, hour FROM events{filter}) SELECT {select} FROM e{group}{having}"
        ),
        2 => format!("SELECT {select} FROM {}{filter}{group}{having}", joined(seed)),
        3 => {
            let (others, and) = (others(seed), if filter.is_empty() { "WHERE" } else { "AND" });
            let member = match random(seed, 6) {
                0 => format!("user_id IN ({others})"),
                1 => format!("user_id NOT IN ({others})"),
                2 => format!("EXISTS (SELECT 1 FROM ({others}) AS o WHERE o.other = user_id)"),
                3 => format!("NOT EXISTS (SELECT 1 FROM ({others}) AS o WHERE o.other = user_id)"),
                _ => {
                    let (not, column) =
                        (pick(seed, &["", "NOT "]), pick(seed, &["timestamp", "page"]));
                    let operator = pick(seed, &["<", "<=", ">", ">=", "<>"]);
                    format!(
                        "{not}EXISTS (SELECT 1 FROM events AS o WHERE o.user_id = events.user_id \
                         AND o.{column} {operator} events.{column})"
                    )
                }
            };
            format!("SELECT {select} FROM events{filter} {and} {member}{group}{having}")
        }
        _ => format!("SELECT {select} FROM events{filter}{group}{having}"),
    };
    match random(seed, 8) {
        0 if !groups.is_empty() => format!("SELECT DISTINCT g0 FROM ({sql})"),
        1 => {
            let operator = pick(seed, &["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            let with = |seed: &mut u64| {
                format!("SELECT user_id, event FROM events WHERE {}", predicate(seed, 0))
            };
            format!(
                "SELECT event, count(*) AS n FROM ({} {operator} {}) AS u GROUP BY event",
                with(seed),
                with(seed)
            )
        }
        _ => sql,
    }
}

/// Users by a name that does not clash, each once: joined with, they leave the number of rows in
/// bounds.
fn others(seed: &mut u64) -> String {
    format!("SELECT DISTINCT user_id AS other FROM events WHERE {}", predicate(seed, 0))
}

fn joined(seed: &mut u64) -> String {
    let kind = pick(seed, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    format!("events {kind} ({}) AS o ON o.other = user_id", others(seed))
}

/// Rows as sorted lines: nothing here says in what order they come.
fn lines(schema: &arrow::datatypes::SchemaRef, batches: &[RecordBatch]) -> Vec<String> {
    let mut writer = RowWriter::new(RowFormat::Csv, schema, Vec::new()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    lines[1..].sort();
    lines
}

/// The ways of answering that must not differ.
const WAYS: [&[(&str, &str)]; 8] = [
    &[],
    &[("datafusion.execution.target_partitions", "1")],
    &[("datafusion.execution.target_partitions", "4")],
    &[("hourglass.rollups", "false")],
    &[("hourglass.rollups", "false"), ("hourglass.pruning", "false")],
    &[("hourglass.rollups", "false"), ("hourglass.distinct_users_in_memory", "0")],
    // Of some stores in memory, of others begun in memory and then asked otherwise.
    &[("hourglass.rollups", "false"), ("hourglass.distinct_users_in_memory", "8")],
    &[("hourglass.rollups", "false"), ("datafusion.execution.target_partitions", "1")],
];

async fn ours(
    engine: &Arc<QueryEngine>,
    way: &[(&str, &str)],
    snapshot: &Arc<Snapshot>,
    sql: &str,
) -> Result<(Vec<String>, bool), String> {
    let mut session = engine.new_session();
    way.iter().for_each(|(name, value)| session.set(name, value).unwrap());
    let answer = engine
        .run_text(&mut session, snapshot, sql, Params::None)
        .await
        .map_err(|error| error.to_string())?;
    let (schema, recorder) = (answer.schema.clone(), answer.recorder.clone());
    let batches = answer.collect().await.map_err(|error| error.to_string())?;
    Ok((lines(&schema, &batches), recorder.stats().rollup))
}

async fn theirs(context: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    Ok(lines(&schema, &frame.collect().await.map_err(|error| error.to_string())?))
}

#[test]
fn rollups_scans_and_plain_datafusion_agree() {
    let questions = number_from("HOURGLASS_TEST_QUERIES", 500);
    let first_seed = number_from("HOURGLASS_TEST_SEED", 1);
    let engine = Arc::new(query_engine(true));
    block_on(async {
        let (mut asked, mut by_rollup, mut refused) = (0, 0, 0);
        for store_seed in first_seed.. {
            if asked >= questions {
                break;
            }
            let mut seed = store_seed;
            let dir = tempfile::tempdir().unwrap();
            let (snapshot, plain) = store(dir.path(), &mut seed).await;
            for _ in 0..QUESTIONS_EACH {
                let sql = question(&mut seed);
                let expected = theirs(&plain, &sql).await;
                let replay =
                    format!("HOURGLASS_TEST_SEED={store_seed} HOURGLASS_TEST_QUERIES=1\n{sql}");
                for way in WAYS {
                    match (ours(&engine, way, &snapshot, &sql).await, &expected) {
                        (Ok((lines, rollup)), Ok(expected)) => {
                            by_rollup += u64::from(rollup);
                            assert_eq!(&lines, expected, "{replay}");
                        }
                        // What DataFusion refuses, it refuses with our rules too.
                        (Err(_), Err(_)) => refused += 1,
                        (Err(error), Ok(_)) => panic!("{error}\n{replay}"),
                        (Ok(_), Err(error)) => {
                            panic!("answered, while plain DataFusion says {error}\n{replay}")
                        }
                    }
                }
                asked += 1;
            }
        }
        // The test would say nothing if hardly any question met a rollup, or most were refused.
        assert!(by_rollup * 5 > asked, "{by_rollup} of {asked} met rollups");
        assert!(refused * 10 < asked, "{refused} of {asked} were refused");
    });
}
