//! Benchmark of a store that late events reach for a long time: the files and bytes it has before
//! and after compaction, what compaction writes for that, and what requests notice of it.
//!
//! Two workloads are written by an engine whose clock is set, so that months pass in a minute; the
//! committer is driven step by step and does what it would do in that time. The third part is a
//! server, by the machine's clock: requests are measured alone and while it merges the files of the
//! first workload.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::data::Tallies;
use super::disk::{copy, size_of};
use super::harness::{Options, Steps, ask_by_scan, check, wait};
use super::load::{self, Span};
use super::plain;
use super::report::{Cell, Report, Section, Sign, digits};
use super::server::Hourglass;
use super::stats::Samples;
use super::traffic::{POST, Traffic, Visitors};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::{EventBatch, EventKind};
use crate::hour::{Clock, HOUR_US, Hour, SystemClock};
use crate::query::{QueryEngine, QueryOptions};
use crate::storage::vfs::Disk;
use crate::storage::{self, Engine, EngineOptions, Progress, Snapshot};
use crate::text::thousands;

/// Share of late events, and the hours before the current one that they belong to.
const LATE: f64 = 0.05;
const LATE_HOURS: u64 = 720;

/// Hour of the first flush: 2020-01-01T00:00:00Z.
const FIRST: Hour = Hour(438_288);

const USERS: u64 = 100_000;

/// Connections of the requests beside a compaction.
const CONNECTIONS: usize = 64;

/// Share of the most POSTs at which their latency is measured.
const OFFERED: f64 = 0.25;

/// A statement that reads every file, with rollups off.
const QUESTION: &str = "SELECT count(*) AS events, count(DISTINCT user_id) AS users FROM events";

struct Plan {
    flushes: u64,
    events: u64,
    days: u64,
    rounds: usize,
    /// Maximum number of turns beside a compaction.
    turns: usize,
    turn: Span,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        let ms = Duration::from_millis;
        if quick {
            let turn = Span { warm_up: ms(50), measured: ms(300) };
            Plan { flushes: 12, events: 20_000, days: 10, rounds: 1, turns: 3, turn }
        } else {
            let turn = Span { warm_up: ms(100), measured: ms(500) };
            Plan { flushes: 60, events: 20_000, days: 100, rounds: 3, turns: 10, turn }
        }
    }
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let steps = Steps::new(6 + plan.rounds);
    let hours = thousands(LATE_HOURS);
    report.setting("late events", format!("{} % over the {hours} hours before", LATE * 100.0));
    let store = dir.join("flushes");
    compaction(&plan, options, &store, report, &steps)?;
    days(&plan, options, &dir.join("days"), report, &steps)?;
    requests(&plan, options, &dir.join("flushes-before"), report, &steps)
}

/// A clock that is set.
#[derive(Debug)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An engine that is driven step by step, by a clock that is set.
struct Driven {
    engine: Engine,
    steps: storage::Steps,
    clock: Arc<SetClock>,
    random: ChaCha8Rng,
    expected: Tallies,
}

impl Driven {
    fn open(dir: &Path, seed: u64, background: bool) -> Result<Driven> {
        let clock = Arc::new(SetClock(AtomicI64::new(FIRST.start_us())));
        let mut options = EngineOptions::default();
        options.compaction.background = background;
        let (engine, steps) = Engine::open_stepped(dir, options, Arc::new(Disk), clock.clone())?;
        let random = ChaCha8Rng::seed_from_u64(seed);
        Ok(Driven { engine, steps, clock, random, expected: Tallies::default() })
    }

    /// Runs the engine until `work` is done.
    fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        // Outside of a runtime, because tokio makes a task that never yields wait for ever.
        let (mut work, mut context) = (pin!(work), Context::from_waker(Waker::noop()));
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            let _ = self.steps.writer();
            let _ = self.steps.committer();
        }
    }

    /// Stores the events of one hour, late ones among them, an hour later flushes them, and lets
    /// the committer do what is due.
    fn hour(&mut self, hour: Hour, events: u64) -> Result<()> {
        let mut batch = EventBatch::new();
        for _ in 0..events {
            let is_late = (self.random.next_u32() as f64) < LATE * f64::from(u32::MAX);
            let before = if is_late { 1 + self.random.next_u64() % LATE_HOURS } else { 0 };
            let us = hour.start_us() - before as i64 * HOUR_US
                + (self.random.next_u64() % HOUR_US as u64) as i64;
            let kind = EventKind::CONTRACT[self.random.next_u32() as usize % 2];
            batch.push(us, &format!("user{}", self.random.next_u64() % USERS), kind);
        }
        self.expected.add(&batch);
        let engine = self.engine.clone();
        self.drive(async { engine.append(batch).await })?;
        self.clock.0.store(hour.end_us() + 1, Ordering::Relaxed);
        self.drive(async { engine.flush().await })?;
        while self.steps.committer_wait().is_zero() {
            let _ = self.steps.committer();
        }
        Ok(())
    }

    /// Compares the number of events of every hour, and of their users, with those stored.
    fn check(&self) -> Result<()> {
        let snapshot = self.engine.snapshot();
        for hour in self.expected.0.keys() {
            let numbers = wait(snapshot.exact(*hour))??.numbers().expect("they are exact");
            check(&format!("the hour {hour}"), &numbers, &self.expected.numbers(*hour))?;
        }
        Ok(())
    }

    fn close(mut self) -> Result<()> {
        let closed = self.engine.close();
        while self.steps.writer().is_continue() {}
        while self.steps.committer().is_continue() {}
        Ok(closed?)
    }
}

/// The files of a store.
struct Figures {
    files: u64,
    hours: u64,
    events: u64,
    bytes: u64,
    /// Bytes of everything in the table's folder: the log, and files that were replaced.
    all_bytes: u64,
    log_bytes: u64,
    ms: f64,
}

impl Figures {
    fn of(snapshot: &Arc<Snapshot>, dir: &Path) -> Result<Figures> {
        Ok(Figures {
            files: snapshot.file_count,
            hours: snapshot.files.len() as u64,
            events: snapshot.totals(Hour::FIRST, Hour::LAST).rows(),
            bytes: snapshot.file_bytes,
            all_bytes: size_of(&dir.join("events"))?,
            log_bytes: size_of(&dir.join("events/_delta_log"))?,
            ms: ask(snapshot)?,
        })
    }

    fn files_an_hour(&self) -> f64 {
        self.files as f64 / self.hours as f64
    }

    fn bytes_an_event(&self, bytes: u64) -> f64 {
        bytes as f64 / self.events as f64
    }

    fn cells(&self, when: &str) -> [Cell; 8] {
        let (an_hour, each) = (self.files_an_hour(), self.bytes_an_event(self.bytes));
        let all = self.bytes_an_event(self.all_bytes);
        [
            when.into(),
            Cell::count(self.events),
            Cell::count(self.hours),
            Cell::number(an_hour, digits(an_hour)),
            Cell::number(each, digits(each)),
            Cell::bytes(self.log_bytes),
            Cell::number(all, digits(all)),
            Cell::number(self.ms, format!("{} ms", digits(self.ms))),
        ]
    }
}

const FIGURES: [&str; 8] = [
    "",
    "events",
    "hours",
    "files an hour",
    "bytes an event",
    "Delta log",
    "all bytes an event",
    "count over all",
];

/// Returns the least time of three answers, in milliseconds.
fn ask(snapshot: &Arc<Snapshot>) -> Result<f64> {
    let options = QueryOptions {
        timeout: Duration::from_secs(600),
        memory_bytes: 8 << 30,
        ..QueryOptions::default()
    };
    let engine = Arc::new(QueryEngine::new(&options)?);
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let (ms, batches) = ask_by_scan(&engine, snapshot, QUESTION)?;
        least = least.min(ms);
        let [events, _] = plain::numbers(&batches)?;
        let stored = snapshot.totals(Hour::FIRST, Hour::LAST).rows();
        check("all events", &(events as u64), &stored)?;
    }
    Ok(least)
}

/// Large flushes, merged at the end. A copy of the store before that stays beside it.
fn compaction(
    plan: &Plan,
    options: &Options,
    dir: &Path,
    report: &mut Report,
    steps: &Steps,
) -> Result<()> {
    steps.next(format!("{} flushes", plan.flushes));
    let mut store = Driven::open(dir, options.seed, false)?;
    for flush in 0..plan.flushes {
        store.hour(Hour(FIRST.0 + flush as i64), plan.events)?;
    }
    steps.next("comparing every hour");
    store.check()?;
    let before = Figures::of(&store.engine.snapshot(), dir)?;
    copy(dir, &dir.with_file_name("flushes-before"))?;
    steps.next("compacting");
    let started = Instant::now();
    let engine = store.engine.clone();
    let merged = store.drive(async { engine.compact(false, Progress::default()).await })?;
    let took = started.elapsed().as_secs_f64();
    store.check()?;
    let after = Figures::of(&store.engine.snapshot(), dir)?;
    store.close()?;
    let written = before.bytes + merged.bytes_after;
    let amplification = written as f64 / after.bytes as f64;
    let mut section = Section::new(
        &format!("{} flushes of {} events, then compacted", plan.flushes, thousands(plan.events)),
        &format!(
            "One flush an hour. The count is {QUESTION}, rollups off, least of three. Compaction took {took:.1} s and merged \
             {} files into {}; Parquet written in all is {amplification:.2} times what is left. Replaced files stay a day.",
            thousands(merged.files_before),
            thousands(merged.files_after)
        ),
        &FIGURES,
    );
    section.row(before.cells("before"));
    section.row(after.cells("after"));
    report.sections.push(section);
    report.goal("files an hour, compacted", after.files_an_hour(), Sign::AtMost, 2.0, "");
    let each = after.bytes_an_event(after.bytes);
    report.goal("bytes an event, compacted", each, Sign::AtMost, 8.0, "");
    report.goal("count over everything, compacted", after.ms, Sign::AtMost, 500.0, " ms");
    report.goal("Parquet written for what is left", amplification, Sign::AtMost, 3.0, " times");
    Ok(())
}

/// Small flushes for months, merged in the background meanwhile.
fn days(
    plan: &Plan,
    options: &Options,
    dir: &Path,
    report: &mut Report,
    steps: &Steps,
) -> Result<()> {
    steps.next(format!("{} days of 24 flushes", plan.days));
    let mut store = Driven::open(dir, options.seed, true)?;
    for hour in 0..plan.days * 24 {
        store.hour(Hour(FIRST.0 + hour as i64), 400)?;
    }
    steps.next("comparing every hour");
    store.check()?;
    let after = Figures::of(&store.engine.snapshot(), dir)?;
    let (flushed, compacted) = store.engine.written_bytes();
    let amplification = (flushed + compacted) as f64 / after.bytes as f64;
    store.close()?;
    let mut section = Section::new(
        &format!("{} days of 24 flushes of 400 events, compacted in the background", plan.days),
        &format!(
            "As it is at the end, without asking for a compaction; all bytes an event are those of the whole table's folder, \
             with its log and the files replaced on the last day. Parquet written in all is {amplification:.2} times what is left."
        ),
        &FIGURES,
    );
    section.row(after.cells("at the end"));
    report.sections.push(section);
    let each = after.bytes_an_event(after.all_bytes);
    report.goal("all bytes an event after the days", each, Sign::AtMost, 20.0, "");
    Ok(())
}

/// Measures of the requests of one phase.
#[derive(Default)]
struct Requests {
    gets: Samples,
    posts: Samples,
    p99_ms: Samples,
}

/// Requests of a server alone, and while it merges the files of the first workload.
fn requests(
    plan: &Plan,
    options: &Options,
    store: &Path,
    report: &mut Report,
    steps: &Steps,
) -> Result<()> {
    let (mut ratios, mut turns) = (<[Samples; 3]>::default(), 0);
    let (mut alone, mut beside) = (Requests::default(), Requests::default());
    for round in 0..plan.rounds {
        steps.next(format!("requests beside a compaction, round {}", round + 1));
        let dir = store.with_file_name(format!("round-{round}"));
        copy(store, &dir)?;
        let (quiet, busy) = round_of(plan, options.seed + round as u64, &dir)?;
        turns += busy.gets.len();
        ratios[0].push(busy.gets.median() / quiet.gets.median());
        ratios[1].push(busy.posts.median() / quiet.posts.median());
        ratios[2].push(busy.p99_ms.median() / quiet.p99_ms.median());
        for (all, one) in [(&mut alone, quiet), (&mut beside, busy)] {
            all.gets.push(one.gets.median());
            all.posts.push(one.posts.median());
            all.p99_ms.push(one.p99_ms.median());
        }
        fs::remove_dir_all(&dir).map_err(Error::io(&dir, "remove"))?;
    }
    let about = format!(
        "{CONNECTIONS} connections. Throughput in a closed loop; the p99 of POST at {:.0} % of its throughput alone, in an open \
         loop. Turns before the compaction is asked for, and {turns} while it works.",
        OFFERED * 100.0
    );
    let mut section =
        Section::new("Requests beside a compaction", &about, &["", "alone", "beside it", "ratio"]);
    let [gets, posts, p99] = &ratios;
    section.row([
        "GET, current hour".into(),
        Cell::rate(&alone.gets),
        Cell::rate(&beside.gets),
        Cell::ratio(gets),
    ]);
    section.row([
        "POST, 5 % late".into(),
        Cell::rate(&alone.posts),
        Cell::rate(&beside.posts),
        Cell::ratio(posts),
    ]);
    section.row([
        "p99 of POST".into(),
        Cell::ms(&alone.p99_ms),
        Cell::ms(&beside.p99_ms),
        Cell::ratio(p99),
    ]);
    report.sections.push(section);
    report.goal("GET beside a compaction", gets.median(), Sign::AtLeast, 0.9, " of alone");
    report.goal("POST beside a compaction", posts.median(), Sign::AtLeast, 0.9, " of alone");
    report.goal("p99 of POST beside a compaction", p99.median(), Sign::AtMost, 2.0, " of alone");
    Ok(())
}

fn round_of(plan: &Plan, seed: u64, dir: &Path) -> Result<(Requests, Requests)> {
    let config = Config { compaction: false, ..Config::default() };
    let hourglass = Hourglass::start_with(dir, &config)?;
    let past: Vec<Hour> = hourglass.engine.snapshot().files.keys().copied().collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let server = hourglass.server.address;
    let mut ask = |traffic: Traffic, rate: Option<f64>| {
        let hot = SystemClock.hour();
        let acknowledged = Vec::new();
        let mut visitors =
            Visitors { traffic, random: &mut random, hot, past: &past, acknowledged };
        match rate {
            None => load::closed(server, CONNECTIONS, plan.turn, &mut visitors),
            Some(rate) => load::open(server, CONNECTIONS, rate, plan.turn, &mut visitors),
        }
    };
    let mut turn = |of: &mut Requests, rate: Option<f64>| -> Result<f64> {
        of.gets.push(ask(Traffic::GetHot, None)?.rate());
        let posts = ask(Traffic::Post, None)?.rate();
        of.posts.push(posts);
        let rate = rate.unwrap_or(posts * OFFERED);
        of.p99_ms.push(ask(Traffic::Post, Some(rate))?.quantile_ms(POST, 0.99));
        Ok(rate)
    };
    let (mut quiet, mut busy) = (Requests::default(), Requests::default());
    let mut rate = turn(&mut Requests::default(), None)?;
    for _ in 0..5 {
        rate = turn(&mut quiet, Some(rate))?;
    }
    let engine = hourglass.engine.clone();
    let compaction = thread::spawn(move || wait(engine.compact(false, Progress::default())));
    // It has the lowest priority, so saturation draws it out: what follows is not measured.
    while !compaction.is_finished() && busy.gets.len() < plan.turns {
        turn(&mut busy, Some(rate))?;
    }
    let merged = compaction.join().map_err(|_| Error::Panicked)???;
    check("that files were merged", &(merged.hours > 0), &true)?;
    hourglass.engine.close()?;
    Ok((quiet, busy))
}
