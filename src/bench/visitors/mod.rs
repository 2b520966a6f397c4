//! Benchmark of visitors over ranges: how long their sets take to be made and what they take on
//! disk, and how soon distinct users of a month and a year of hours are counted, from files and with
//! a million users in the current hour; each beside the same statement without sets.
//!
//! [`store`] makes the stores, [`seen`] counts independently, [`questions`] are the statements that
//! [`answers`] asks, and [`mod@beside`] measures what flushes and POSTs notice of the builder.

mod answers;
mod beside;
mod questions;
mod seen;
mod store;

use std::path::Path;
use std::time::Duration;

use self::answers::{answer, last_column, row};
use self::seen::Seen;
use self::store::{Shape, Store, set_bytes};
use super::data;
use super::harness::{Options, Steps, ask, check, wait};
use super::load::Span;
use super::machine;
use super::report::{Cell, Report, Section, Sign, digits};
use super::stats::Samples;
use crate::error::{Error, Result};
use crate::event::{EventBatch, EventKind};
use crate::hour::Hour;
use crate::query::QueryOptions;
use crate::text::thousands;

/// First hour: 2015-01-10T00:00:00Z, where no month begins.
const FIRST: Hour = Hour(394_464 + 9 * 24);

/// Hours of a year of days.
const YEAR: u64 = 8_760;

/// Most seconds for making the year. If it would take longer, its hours get fewer events.
const YEAR_SECONDS: f64 = 360.0;

/// Most bytes of sets for each user, kind and hour.
const BYTES: f64 = 2.5;

/// New users between two questions of the current hour.
const NEW_USERS: u64 = 1_000;

const USERS_OF_HOURS: &str = "\
SELECT CAST(sum(users) AS BIGINT) AS users FROM (
  SELECT count(DISTINCT user_id) AS users FROM events GROUP BY date_trunc('hour', timestamp), event
)";

struct Plan {
    month: Shape,
    year_hours: u64,
    hot_users: u64,
    rounds: usize,
    flush_events: u64,
    pairs: usize,
    turn: Span,
    turns: usize,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        let ms = Duration::from_millis;
        if quick {
            Plan {
                month: Shape { first: FIRST, hours: 72, events_an_hour: 100, users: 2_000 },
                year_hours: 96,
                hot_users: 2_000,
                rounds: 1,
                flush_events: 10_000,
                pairs: 1,
                turn: Span { warm_up: ms(20), measured: ms(80) },
                turns: 1,
            }
        } else {
            Plan {
                month: Shape { first: FIRST, hours: 720, events_an_hour: 20_000, users: 1_000_000 },
                year_hours: YEAR,
                hot_users: 1_000_000,
                rounds: 9,
                flush_events: 4_000_000,
                pairs: 3,
                turn: Span { warm_up: ms(100), measured: ms(500) },
                turns: 7,
            }
        }
    }
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let steps = Steps::new(24);
    let Shape { hours, events_an_hour, users, .. } = plan.month;
    let each = format!(
        "{} an hour by {} users, from {FIRST} on",
        thousands(events_an_hour),
        thousands(users)
    );
    report.setting(
        "events",
        format!("{} hours, {each}, of two kinds, one file an hour", thousands(hours)),
    );
    report.setting("threads", QueryOptions::default().threads);
    report.setting("load before", machine::load_average());
    let mut table = Section::new(
        "Distinct users, exact",
        "From the statement's text to its last row, after one answer that was compared with the scan's and, but for zones and odd \
         hours, with an independent count. The scan is the same statement after SET hourglass.rollups = false; for cohorts, plain \
         SQL without sets.",
        &["users of", "with sets", "best", "floor", "files read", "by scan", "scan takes"],
    );
    let (store, seen, made) = month(&plan, options, &dir.join("month"), report, &steps)?;
    for question in questions::of_a_month(FIRST, &seen) {
        steps.next(question.name.clone());
        answer(&store, &question, plan.rounds, &mut table, report)?;
    }
    let month = store.dir.clone();
    store.engine.close()?;
    drop(store);
    let others = beside(&plan, options, &month, report, &steps)?;
    hot(&plan, &month, seen, &mut table, report, &steps)?;
    std::fs::remove_dir_all(&month).map_err(Error::io(&month, "remove"))?;
    year(&plan, options, made, &dir.join("year"), &mut table, report, &steps)?;
    report.sections.extend([table, others]);
    report.setting("load after", machine::load_average());
    Ok(())
}

/// Makes a store and its sets; also returns the seconds that an event took.
fn month(
    plan: &Plan,
    options: &Options,
    dir: &Path,
    report: &mut Report,
    steps: &Steps,
) -> Result<(Store, Seen, f64)> {
    let shape = plan.month;
    steps.next(format!("writing {} hours", thousands(shape.hours)));
    let (store, seen, seconds) = Store::make(dir, shape, options.seed)?;
    store.build()?;
    steps.next("making the sets anew");
    let store = store.without_sets()?;
    let built = store.build()?;
    steps.next("counting the users of every hour");
    let asked = |rollups| ask(&store.query, &store.snapshot(), USERS_OF_HOURS, rollups);
    let (users, scanned) =
        (last_column(&asked(true)?.batches), last_column(&asked(false)?.batches));
    check("users of every hour and kind", &users, &scanned)?;
    let (users, figures) = (users[0] as f64, store.snapshot().set_figures());
    check("users in the index", &(figures.users as i64), &seen.users(0, seen.days()))?;
    let rate = |n: f64| Cell::number(n, format!("{}/s", thousands(n as u64)));
    let mut making = Section::new(
        "Making the sets",
        "From a store that has none, until all are made: of files, days and months.",
        &["hours", "seconds", "files", "users of an hour and kind"],
    );
    making.row([
        Cell::count(shape.hours),
        Cell::number(built, digits(built)),
        rate(shape.hours as f64 / built),
        rate(users / built),
    ]);
    report.sections.push(making);
    let (sets, index) = set_bytes(dir)?;
    let mut sizes = Section::new(
        "On disk",
        "Files of sets hold those of days and months, too; they are divided by the users of each hour and kind.",
        &["", "bytes", "number", "bytes each"],
    );
    let mut size = |what: &str, bytes: u64, n: f64| {
        let each = bytes as f64 / n;
        let cells = [Cell::bytes(bytes), Cell::count(n as u64), Cell::number(each, digits(each))];
        sizes.row([what.into()].into_iter().chain(cells));
        each
    };
    size("Parquet, by event", store.snapshot().file_bytes, shape.events() as f64);
    let each = size("sets, by user, hour and kind", sets, users);
    size("index of names, by user", index, figures.users as f64);
    report.goal("bytes of sets for a user, hour and kind", each, Sign::AtMost, BYTES, "");
    report.sections.push(sizes);
    Ok((store, seen, (seconds + built) / shape.events() as f64))
}

/// Measures flushes and POSTs beside the builder.
fn beside(
    plan: &Plan,
    options: &Options,
    store: &Path,
    report: &mut Report,
    steps: &Steps,
) -> Result<Section> {
    steps.next("flushes beside the builder");
    let flushes = beside::flushes(store, plan.month, plan.flush_events, plan.pairs, options.seed)?;
    steps.next("POSTs beside the builder");
    let posts = beside::posts(store, plan.turn, plan.turns, plan.pairs, options.seed)?;
    let about = format!(
        "On copies of the store of {} hours, with all sets and without any, in turns. A flush is of one hour of {} events; {} of {} \
         ended before the builder did. POSTs: 64 connections, a quarter of the throughput, {} turns beside the builder.",
        thousands(plan.month.hours),
        thousands(plan.flush_events),
        flushes.within,
        plan.pairs,
        posts.within,
    );
    let mut section = Section::new(
        "Beside the builder",
        &about,
        &["", "builder idle", "builder at work", "ratio in pairs", "ratio of the best"],
    );
    for (what, of) in [("flush", &flushes), ("p99 of POST", &posts)] {
        if of.ratios.len() > 0 {
            let cells = [Cell::ms(&of.idle), Cell::ms(&of.beside), Cell::ratio(&of.ratios)];
            let best = Cell::number(of.best(), format!("{:.2}", of.best()));
            section.row([what.into()].into_iter().chain(cells).chain([best]));
        }
    }
    report.goal("flush beside the builder", flushes.best(), Sign::AtMost, 1.05, " of idle");
    if posts.ratios.len() > 0 {
        let ratio = posts.ratios.median();
        report.goal("p99 of POST beside the builder", ratio, Sign::AtMost, 2.0, " of idle");
    }
    Ok(section)
}

/// Fills the current hour, and asks about ranges that end with it.
fn hot(
    plan: &Plan,
    dir: &Path,
    mut seen: Seen,
    table: &mut Section,
    report: &mut Report,
    steps: &Steps,
) -> Result<()> {
    let store = Store::open(dir, plan.month)?;
    let now = plan.month.now();
    store.build()?;
    steps.next(format!("{} users in the current hour", thousands(plan.hot_users)));
    come(&store, &mut seen, 0, plan.hot_users)?;
    let [all, week, by_day] = questions::of_now(FIRST, now, &seen);
    let at_once = ask(&store.query, &store.snapshot(), &week.sql, true)?;
    let mut once = Samples::default();
    once.push(at_once.ms);
    let name = format!("{}, at once after {} users", week.name, thousands(plan.hot_users));
    row(&name, None, &once, at_once.stats.files_read, &Samples::default(), table);
    for question in [&all, &week, &by_day] {
        steps.next(question.name.clone());
        answer(&store, question, plan.rounds, table, report)?;
    }
    steps.next(format!("{} new users at a time", thousands(NEW_USERS)));
    let (mut times, mut next) = (Samples::default(), plan.month.users.max(plan.hot_users));
    let mut users = last_column(&ask(&store.query, &store.snapshot(), &week.sql, true)?.batches)[0];
    for _ in 0..plan.rounds {
        come(&store, &mut seen, next, next + NEW_USERS)?;
        (next, users) = (next + NEW_USERS, users + NEW_USERS as i64);
        let answered = ask(&store.query, &store.snapshot(), &week.sql, true)?;
        check("users with the new ones", &last_column(&answered.batches)[0], &users)?;
        times.push(answered.ms);
    }
    let name = format!("{}, the first after {} new users", week.name, thousands(NEW_USERS));
    row(&name, week.floor_ms, &times, 0, &Samples::default(), table);
    report.goal(&name, times.median(), Sign::AtMost, 20.0, " ms");
    store.engine.close()?;
    Ok(())
}

/// Stores an event of each of these users in the current hour.
fn come(store: &Store, seen: &mut Seen, from: u64, to: u64) -> Result<()> {
    const BATCH: u64 = 10_000;
    let now_us = store.shape.now().start_us();
    let mut first = from;
    while first < to {
        let end = to.min(first + BATCH);
        let mut batch = EventBatch::new();
        for user in first..end {
            let kind = EventKind::CONTRACT[user as usize % 2];
            batch.push(now_us + user as i64, &format!("user{user}"), kind);
        }
        seen.add(&batch);
        wait(data::append(&store.engine, batch))??;
        first = end;
    }
    Ok(())
}

/// Makes a year of hours, and asks about it.
fn year(
    plan: &Plan,
    options: &Options,
    seconds_an_event: f64,
    dir: &Path,
    table: &mut Section,
    report: &mut Report,
    steps: &Steps,
) -> Result<()> {
    let full = plan.month.events_an_hour;
    let within = YEAR_SECONDS / seconds_an_event / plan.year_hours as f64;
    let events_an_hour = full.min((within as u64 / 1_000).max(1) * 1_000);
    let shape = Shape { hours: plan.year_hours, events_an_hour, ..plan.month };
    steps.next(format!("writing {} hours", thousands(shape.hours)));
    let (store, seen, seconds) = Store::make(dir, shape, options.seed)?;
    let built = store.build()?;
    let fewer = if events_an_hour < full { ", as more would take too long here" } else { "" };
    report.setting(
        "year",
        format!(
            "{} hours of {} events{fewer}, {} of {} users came; written in {} s, sets complete {} s later",
            thousands(shape.hours),
            thousands(events_an_hour),
            thousands(seen.users(0, seen.days()) as u64),
            thousands(shape.users),
            digits(seconds),
            digits(built)
        ),
    );
    for question in questions::of_a_year(FIRST, &seen) {
        steps.next(question.name.clone());
        answer(&store, &question, plan.rounds, table, report)?;
    }
    store.engine.close()?;
    drop(store);
    std::fs::remove_dir_all(dir).map_err(Error::io(dir, "remove"))
}
