//! Random questions about the users of many hours: what sets answer, a scan answers alike, and plain
//! DataFusion over the same rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use hourglass::event::{Declaration, EventBatch, EventKind, EventSchema};
use hourglass::hour::HOUR_US;
use hourglass::storage::vfs::Disk;
use hourglass::storage::{Engine, EngineOptions, Snapshot};

use super::{ours, pick, plain, theirs};
use crate::support::{ManualClock, block_on, number_from, query_engine, random, small_options};

/// Questions asked of each store.
const QUESTIONS_EACH: u64 = 30;

/// Runs of hours with events: the first hour and their number. Among them are a leap day, the ends of
/// months, a quarter and a year, and changes of the clock in St. John's, Berlin and Lord Howe.
const RUNS: [(i64, u64); 5] = [
    (474_764, 30), // 2024-02-28T20:00:00Z
    (475_011, 15), // 2024-03-10T03:00:00Z
    (475_506, 30), // 2024-03-30T18:00:00Z
    (475_666, 15), // 2024-04-06T10:00:00Z
    (482_130, 30), // 2024-12-31T18:00:00Z
];

const ZONES: [&str; 5] =
    ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"];

/// A store whose hours lie in files, in several files, in memory and in both; perhaps merged, without
/// a user who was erased, or opened again.
async fn store(dir: &Path, seed: &mut u64) -> (Engine, SessionContext) {
    let (first, last) = (RUNS[0].0, RUNS[4].0 + RUNS[4].1 as i64);
    let clock = ManualClock::at(last * HOUR_US);
    let schema = EventSchema::new(&["signup".into()], &["page".into()]).unwrap();
    let options = EngineOptions { declared: Declaration::of(&schema), ..small_options() };
    let open = || Engine::open_with(dir, options.clone(), Arc::new(Disk), clock.clone()).unwrap();
    let mut engine = open();
    let kinds: Vec<EventKind> = schema.kinds().collect();
    let mut all = EventBatch::new();
    let runs = 2 + random(seed, 4) as usize;
    for i in 0..1 + random(seed, 4) {
        let mut batch = EventBatch::new();
        for _ in 0..if i == 0 { 250 } else { random(seed, 60) } {
            let (start, hours) = RUNS[random(seed, runs as u64) as usize];
            let offset = [0, HOUR_US - 1, HOUR_US / 2, HOUR_US / 2 - 1, HOUR_US / 4, 1]
                [random(seed, 6) as usize];
            let at = (start + random(seed, hours) as i64) * HOUR_US + offset;
            let kind = kinds[random(seed, 3).min(random(seed, 3)) as usize];
            let users = [5, 40][random(seed, 2) as usize];
            batch.push(at, &format!("user{}", random(seed, users)), kind);
        }
        all.extend(&batch);
        engine.append(batch).await.unwrap();
        if i == 0 || random(seed, 2) == 0 {
            engine.flush().await.unwrap();
        }
    }
    assert!(all.timestamps_us().iter().all(|us| *us >= first * HOUR_US));
    match random(seed, 5) {
        0 => _ = engine.compact(false, Default::default()).await.unwrap(),
        1 => {
            let gone = format!("user{}", random(seed, 5));
            let now = random(seed, 2) == 0;
            engine.forget(BTreeSet::from([gone.clone()]), now).await.unwrap();
            let mut left = EventBatch::new();
            all.iter()
                .filter(|event| *event.user != gone)
                .for_each(|event| left.push(event.timestamp_us, event.user, event.kind));
            all = left;
        }
        2 => {
            engine.close().unwrap();
            drop(engine);
            engine = open();
        }
        _ => {}
    }
    if random(seed, 3) > 0 {
        engine.build_sets(|_| ()).await;
    }
    (engine, plain(&schema, &all))
}

/// A question, and how plain DataFusion says it, if it can.
struct Question {
    ours: String,
    plain: Option<String>,
}

impl Question {
    fn same(text: String) -> Question {
        Question { plain: Some(text.clone()), ours: text }
    }
}

/// An hour near the data, or an instant in it, as text.
fn instant(seed: &mut u64) -> String {
    let (start, hours) = RUNS[random(seed, 5) as usize];
    let hour = start - 1 + random(seed, hours + 2) as i64;
    let us = match random(seed, 4) {
        0 => hour * HOUR_US + [1, HOUR_US / 2, HOUR_US / 4, HOUR_US - 1][random(seed, 4) as usize],
        1 => hour.div_euclid(24) * 24 * HOUR_US,
        _ => hour * HOUR_US,
    };
    let at = chrono::DateTime::from_timestamp_micros(us).unwrap();
    format!("TIMESTAMP '{}'", at.format("%Y-%m-%dT%H:%M:%S%.fZ"))
}

/// A condition on `time`, often a long range.
fn range(seed: &mut u64, time: &str) -> String {
    match random(seed, 8) {
        0 | 1 => format!("{time} >= {} AND {time} < {}", instant(seed), instant(seed)),
        2 => format!("{time} BETWEEN {} AND {}", instant(seed), instant(seed)),
        3 => format!("{time} {} {}", pick(seed, &["<", ">=", ">", "<="]), instant(seed)),
        4 => {
            let unit = pick(seed, &["day", "week", "month", "quarter"]);
            let operator = pick(seed, &["=", ">=", "<", "<>"]);
            format!("date_trunc('{unit}', {time}) {operator} {}", instant(seed))
        }
        5 => format!("date_part('hour', {time}) {} {}", pick(seed, &["<", ">="]), random(seed, 24)),
        6 => format!("NOT ({time} >= {} AND {time} < {})", instant(seed), instant(seed)),
        _ => "true".into(),
    }
}

/// A condition that the hour and the kind of an event decide, or nearly.
fn condition(seed: &mut u64, time: &str) -> String {
    match random(seed, 10) {
        0..=2 => format!("event = '{}'", pick(seed, &["click", "impression", "signup", "other"])),
        3 => format!("event {} ('click', 'signup')", pick(seed, &["IN", "NOT IN"])),
        4 => format!("event = 'click' AND {}", range(seed, time)),
        5 => format!("event <> 'click' OR date_part('hour', {time}) < 6"),
        6 => "nullif(event, 'click') = 'impression'".into(),
        7 => format!("event LIKE '{}'", pick(seed, &["%i%", "c%", "_"])),
        8 => format!("event = 'click' OR ({})", range(seed, time)),
        _ => range(seed, time),
    }
}

/// A condition on events, which may also be on what sets do not know.
fn predicate(seed: &mut u64) -> String {
    match random(seed, 12) {
        0 => format!("user_id <> 'user{}'", random(seed, 6)),
        1 => {
            format!("date {} '2024-03-{:02}'", pick(seed, &["=", ">=", "<"]), 1 + random(seed, 31))
        }
        2 => format!("hour {} {}", pick(seed, &["=", "<", ">="]), random(seed, 24)),
        3..=6 => condition(seed, "timestamp"),
        _ => range(seed, "timestamp"),
    }
}

fn conditions(seed: &mut u64, of: impl Fn(&mut u64) -> String) -> String {
    let all: Vec<String> = (0..random(seed, 3)).map(|_| format!("({})", of(seed))).collect();
    if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
}

/// A group of `time`, and whether plain DataFusion has it.
fn group(seed: &mut u64, time: &str) -> (String, bool) {
    let unit = pick(seed, &["hour", "day", "day", "week", "month", "quarter", "year"]);
    let zone = pick(seed, &ZONES);
    match random(seed, 9) {
        0..=2 => (format!("date_trunc('{unit}', {time})"), true),
        3 => {
            let width = pick(seed, &["6 hours", "1 hour", "90 minutes", "2 days", "7 days"]);
            let origin = pick(seed, &["", ", TIMESTAMP '2024-01-01T00:00:00Z'"]);
            (format!("date_bin(INTERVAL '{width}', {time}{origin})"), true)
        }
        4 => {
            let width =
                pick(seed, &["1 hour", "6 hours", "1 day", "1 week", "1 month", "30 minutes"]);
            let zone = if random(seed, 2) == 0 { format!(", '{zone}'") } else { String::new() };
            (format!("time_bucket(INTERVAL '{width}', {time}{zone})"), false)
        }
        5 | 6 => {
            (format!("date_trunc('{unit}', to_local_time({time} AT TIME ZONE '{zone}'))"), true)
        }
        7 => {
            let part = pick(seed, &["dow", "day", "hour", "month", "week"]);
            (format!("date_part('{part}', {time})"), true)
        }
        _ => ("event".into(), true),
    }
}

fn aggregate(seed: &mut u64) -> String {
    let on = condition(seed, "timestamp");
    match random(seed, 12) {
        0..=2 => "count(DISTINCT user_id)".into(),
        3..=5 => format!("count(DISTINCT user_id) FILTER (WHERE {on})"),
        6 => format!("count(DISTINCT CASE WHEN {on} THEN user_id END)"),
        7 => format!(
            "count(DISTINCT CASE WHEN {on} THEN user_id ELSE NULL END) FILTER (WHERE event = 'click')"
        ),
        8 => format!("count(*) FILTER (WHERE {on})"),
        9 => "count(*)".into(),
        10 => format!("count(DISTINCT user_id) FILTER (WHERE {on}) * 2 - count(DISTINCT user_id)"),
        _ => pick(
            seed,
            &[
                "min(timestamp)",
                "max(timestamp)",
                "count(DISTINCT event)",
                "max(user_id)",
                "sum(hour)",
            ],
        )
        .into(),
    }
}

fn named(prefix: &str, exprs: &[String]) -> Vec<String> {
    exprs.iter().enumerate().map(|(i, expr)| format!("{expr} AS {prefix}{i}")).collect()
}

/// The end of a statement of so many columns: groups, and perhaps an order and a limit.
fn tail(seed: &mut u64, groups: usize, columns: usize, having: &str) -> String {
    let places = |n: usize| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    if groups > 0 {
        text += &format!(" GROUP BY {}", places(groups));
        if random(seed, 5) == 0 {
            text += &format!(" HAVING {having} > {}", random(seed, 6));
        }
    }
    if random(seed, 4) == 0 {
        text += &format!(" ORDER BY {} LIMIT {}", places(columns), random(seed, 12));
    }
    text
}

/// Distinct users of groups of hours.
fn grouped(seed: &mut u64) -> Question {
    let groups: Vec<(String, bool)> =
        (0..random(seed, 3)).map(|_| group(seed, "timestamp")).collect();
    let is_plain = groups.iter().all(|group| group.1);
    let groups: Vec<String> = groups.into_iter().map(|group| group.0).collect();
    let aggregates: Vec<String> = (0..1 + random(seed, 3)).map(|_| aggregate(seed)).collect();
    let select = [named("g", &groups), named("a", &aggregates)].concat();
    let filter = conditions(seed, predicate);
    let tail = tail(seed, groups.len(), select.len(), "count(DISTINCT user_id)");
    let text = format!("SELECT {} FROM events{filter}{tail}", select.join(", "));
    Question { plain: is_plain.then(|| text.clone()), ours: text }
}

/// Distinct users of ranges, intersected and subtracted.
fn algebra(seed: &mut u64) -> Question {
    let distinct = |seed: &mut u64| {
        format!("SELECT DISTINCT user_id FROM events{}", conditions(seed, predicate))
    };
    let users = |seed: &mut u64| {
        let distinct = pick(seed, &["", "DISTINCT "]);
        format!("SELECT {distinct}user_id FROM events{}", conditions(seed, predicate))
    };
    let count = pick(seed, &["count(*)", "count(DISTINCT user_id)", "count(user_id)"]);
    let (a, b, c) = (users(seed), users(seed), distinct(seed));
    let not = pick(seed, &["", "NOT "]);
    let operators = ["INTERSECT", "EXCEPT", "UNION", "UNION ALL"];
    let (first, second) = (pick(seed, &operators), pick(seed, &operators));
    let join = pick(seed, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let semi =
        pick(seed, &["LEFT SEMI JOIN", "LEFT ANTI JOIN", "RIGHT SEMI JOIN", "RIGHT ANTI JOIN"]);
    let side = if semi.starts_with("LEFT") { "a" } else { "b" };
    let sided = count.replace("user_id", &format!("{side}.user_id"));
    let of_a = count.replace("user_id", "a.user_id");
    Question::same(match random(seed, 11) {
        0 => format!("SELECT {count} AS n FROM ({a} {first} {b}) AS u"),
        1 => format!("SELECT {count} AS n FROM (({a} {first} {b}) {second} {c}) AS u"),
        2 => format!("SELECT {count} AS n FROM ({a} {first} ({b} {second} {c})) AS u"),
        3 => format!("SELECT {count} AS n FROM ({a}) AS u WHERE user_id {not}IN ({b})"),
        4 => format!(
            "SELECT {of_a} AS n FROM ({a}) AS a WHERE {not}EXISTS (SELECT 1 FROM ({b}) AS b WHERE b.user_id = a.user_id)"
        ),
        5 => {
            format!("SELECT {of_a} AS n FROM ({a}) AS a {join} ({c}) AS b ON a.user_id = b.user_id")
        }
        6 => format!(
            "SELECT {sided} AS n FROM ({a}) AS a {semi} ({b}) AS b ON a.user_id = b.user_id"
        ),
        7 => format!(
            "SELECT count(*) AS n, count(DISTINCT user_id) AS m FROM ({c} LIMIT {}) AS u",
            random(seed, 9)
        ),
        8 => format!(
            "SELECT {count} AS n FROM ({c}) AS u WHERE user_id IN ({a}) AND user_id {not}IN ({b})"
        ),
        9 => {
            let filter = conditions(seed, predicate);
            let and = if filter.is_empty() { "WHERE" } else { "AND" };
            format!(
                "SELECT event, {count} AS n FROM events{filter} {and} user_id {not}IN ({b}) GROUP BY event"
            )
        }
        _ => format!(
            "SELECT ({}) AS n, ({}) AS m",
            format_args!("SELECT count(*) FROM ({a} {first} {b}) AS u"),
            format_args!(
                "SELECT count(DISTINCT user_id) FROM events{}",
                conditions(seed, predicate)
            ),
        ),
    })
}

/// The view `visitors` as plain DataFusion has it, a row for each user.
const VISITORS: &str = "(SELECT DISTINCT date_trunc('hour', timestamp) AS hour, event, user_id FROM events) AS visitors";

/// Sets of the view, combined.
fn combined(seed: &mut u64) -> Question {
    let groups: Vec<(String, bool)> = (0..random(seed, 3)).map(|_| group(seed, "hour")).collect();
    let is_plain = groups.iter().all(|group| group.1);
    let groups: Vec<String> = groups.into_iter().map(|group| group.0).collect();
    let (mut aggregates, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..1 + random(seed, 3) {
        let filter = match random(seed, 2) {
            0 => String::new(),
            _ => format!(" FILTER (WHERE {})", condition(seed, "hour")),
        };
        let (ours, plain) = match random(seed, 6) {
            0..=2 => {
                ("rb_or_cardinality_agg(users)FILTER", "nullif(count(DISTINCT user_id)FILTER, 0)")
            }
            3 => (
                "rb_cardinality(coalesce(rb_or_agg(users)FILTER, rb_build([])))",
                "count(DISTINCT user_id)FILTER",
            ),
            4 => ("count(DISTINCT event)FILTER", "count(DISTINCT event)FILTER"),
            _ => ("max(hour)FILTER", "max(hour)FILTER"),
        };
        aggregates.push(ours.replace("FILTER", &filter));
        counts.push(plain.replace("FILTER", &filter));
    }
    let filter = conditions(seed, |seed| match random(seed, 3) {
        0 => condition(seed, "hour"),
        _ => range(seed, "hour"),
    });
    let having = "count(DISTINCT event)";
    let tail = tail(seed, groups.len(), groups.len() + aggregates.len(), having);
    let text = |aggregates: &[String], from: &str| {
        let select = [named("g", &groups), named("a", aggregates)].concat().join(", ");
        format!("SELECT {select} FROM {from}{filter}{tail}")
    };
    let plain = is_plain.then(|| text(&counts, VISITORS));
    Question { ours: text(&aggregates, "visitors"), plain }
}

/// Users of the days up to each, and those of a day who came on another.
fn by_days(seed: &mut u64) -> Question {
    let filter = conditions(seed, |seed| condition(seed, "hour"));
    let sets = format!(
        "SELECT date_trunc('day', hour) AS day, rb_or_agg(users) AS users FROM visitors{filter} GROUP BY 1"
    );
    let rows =
        format!("SELECT DISTINCT date_trunc('day', hour) AS day, user_id FROM {VISITORS}{filter}");
    let days = random(seed, 4);
    if random(seed, 2) == 0 {
        return Question {
            ours: format!(
                "SELECT day, rb_or_cardinality_agg(users) OVER (ORDER BY day RANGE BETWEEN INTERVAL '{days} days' PRECEDING AND CURRENT ROW) AS n FROM ({sets}) AS s"
            ),
            plain: Some(format!(
                "SELECT a.day AS day, count(DISTINCT b.user_id) AS n FROM ({rows}) AS a JOIN ({rows}) AS b ON b.day <= a.day AND b.day >= a.day - INTERVAL '{days} days' GROUP BY a.day"
            )),
        };
    }
    Question {
        ours: format!(
            "SELECT a.day AS day, b.day AS later, rb_and_cardinality(a.users, b.users) AS n FROM ({sets}) AS a JOIN ({sets}) AS b ON a.day <= b.day WHERE rb_intersect(a.users, b.users)"
        ),
        plain: Some(format!(
            "SELECT a.day AS day, b.day AS later, count(DISTINCT b.user_id) AS n FROM ({rows}) AS a JOIN ({rows}) AS b ON a.day <= b.day AND a.user_id = b.user_id GROUP BY 1, 2"
        )),
    }
}

fn question(seed: &mut u64) -> Question {
    match random(seed, 8) {
        0..=2 => grouped(seed),
        3 | 4 => algebra(seed),
        5 | 6 => combined(seed),
        _ => by_days(seed),
    }
}

const WAYS: [&[(&str, &str)]; 3] =
    [&[], &[("datafusion.execution.target_partitions", "4")], &[("hourglass.rollups", "false")]];

/// Asks a question in each way; returns whether counters or sets answered it, and whether it was
/// refused.
async fn ask(
    engine: &Arc<hourglass::query::QueryEngine>,
    (snapshot, plain): (&Arc<Snapshot>, &SessionContext),
    question: &Question,
    replay: &str,
) -> (bool, bool) {
    let expected = match &question.plain {
        Some(text) => theirs(plain, text).await,
        None => ours(engine, WAYS[2], snapshot, &question.ours).await.map(|answer| answer.0),
    };
    let (mut by_rollup, mut refused) = (false, false);
    for way in WAYS {
        match (ours(engine, way, snapshot, &question.ours).await, &expected) {
            (Ok((lines, rollup)), Ok(expected)) => {
                by_rollup |= rollup;
                assert_eq!(&lines, expected, "{way:?} {replay}");
            }
            (Err(_), Err(_)) => refused = true,
            // Two groups that differ in an AT TIME ZONE get one name from plain DataFusion.
            (Ok(_), Err(error)) if error.contains("duplicate unqualified field name") => {
                refused = true;
            }
            (Err(error), Ok(_)) => panic!("{error}\n{way:?} {replay}"),
            (Ok(_), Err(error)) => {
                panic!("answered, while plain DataFusion says {error}\n{replay}")
            }
        }
    }
    (by_rollup, refused)
}

#[test]
fn sets_scans_and_plain_datafusion_agree_on_users() {
    let questions = number_from("HOURGLASS_TEST_QUERIES", 120);
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
            let (store, plain) = store(dir.path(), &mut seed).await;
            let snapshot = store.snapshot();
            for _ in 0..QUESTIONS_EACH {
                let question = question(&mut seed);
                let replay = format!(
                    "HOURGLASS_TEST_SEED={store_seed} HOURGLASS_TEST_QUERIES=1\n{}\n{}",
                    question.ours,
                    question.plain.as_deref().unwrap_or_default()
                );
                let (rollup, refusal) = ask(&engine, (&snapshot, &plain), &question, &replay).await;
                by_rollup += u64::from(rollup);
                refused += u64::from(refusal);
                asked += 1;
            }
        }
        // The test would say nothing if hardly any question met a set, or most were refused.
        assert!(by_rollup * 3 > asked, "{by_rollup} of {asked} met rollups");
        assert!(refused * 10 < asked, "{refused} of {asked} were refused");
    });
}
