//! Overload benchmark: a server with a small queue gets requests at twice the rate that it can
//! accept, however it responds.
//!
//! The server is a separate process, so that its memory can be measured. Its capacity is its
//! throughput with as many connections as its queue has places. Then requests come at twice that
//! rate for minutes, with flushes in progress; then from the first number of connections again, to
//! measure the recovery.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::data::Tallies;
use super::harness::{Options, Steps};
use super::load::{self, Outcome, Span};
use super::process::Served;
use super::report::{Cell, Report, Section, Sign, digits};
use super::stats::Samples;
use super::traffic;
use super::traffic::{POST, Traffic, Visitors, tally};
use crate::error::{Error, Result};
use crate::hour::{Clock, Hour, SystemClock};
use crate::text::thousands;
use crate::threads;

/// Capacity of the queue in events, and number of connections in the phases without overload.
const FITTING: usize = 16;

/// Load as a multiple of the capacity.
const LOAD: f64 = 2.0;

/// Number of connections during the overload: the maximum number of requests that wait for a
/// response.
const CONNECTIONS: usize = 1_024;

const MEMTABLE_BYTES: u64 = 64 << 20;

/// Maximum memory of the server's process: three generations of events, the same again for flushing
/// one, and 128 MB for everything else.
const MEMORY_BYTES: u64 = 6 * MEMTABLE_BYTES + (128 << 20);

struct Plan {
    turn: Span,
    turns: usize,
    overload: Span,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        let span = |ms| Span { warm_up: Duration::ZERO, measured: Duration::from_millis(ms) };
        if quick {
            Plan { turn: span(300), turns: 3, overload: span(2_000) }
        } else {
            Plan { turn: span(1_000), turns: 9, overload: span(180_000) }
        }
    }
}

/// Clients of the server, with the events acknowledged to them.
struct Clients {
    random: ChaCha8Rng,
    hot: Hour,
    past: Vec<Hour>,
    acknowledged: Tallies,
}

impl Clients {
    /// Sends POST requests in a closed loop, or in an open loop of `rate` per second.
    fn post(
        &mut self,
        server: SocketAddr,
        connections: usize,
        rate: Option<f64>,
        span: Span,
    ) -> Result<Outcome> {
        let Clients { random, hot, past, acknowledged } = self;
        let mut visitors =
            Visitors { traffic: Traffic::Post, random, hot: *hot, past, acknowledged: Vec::new() };
        let outcome = match rate {
            None => load::closed(server, connections, span, &mut visitors)?,
            Some(rate) => load::open(server, connections, rate, span, &mut visitors)?,
        };
        tally(acknowledged, &visitors.acknowledged, *hot, past);
        Ok(outcome)
    }
}

/// Returns the value of one of the server's metrics.
fn metric(server: SocketAddr, name: &str) -> Result<f64> {
    let answer = load::get(server, ["/metrics".to_string()])?.remove(0);
    let line =
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    line.ok_or_else(|| Error::Invalid(format!("/metrics has no {name}")))
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let steps = Steps::new(4);
    let hot = SystemClock.hour();
    let past = (1..=100).map(|ago| Hour(hot.0 - ago)).collect();
    let random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut clients = Clients { random, hot, past, acknowledged: Tallies::default() };
    let (queue, memtable) = (FITTING.to_string(), MEMTABLE_BYTES.to_string());
    let environment = [
        ("HOURGLASS_QUEUE_MAX_EVENTS", queue.as_str()),
        ("HOURGLASS_MEMTABLE_MAX_BYTES", memtable.as_str()),
    ];
    let served = Served::start(dir, &environment)?;
    let server = served.address;
    report.setting(
        "queue",
        format!("{FITTING} events; {} a generation in memory", crate::text::bytes(MEMTABLE_BYTES)),
    );
    // Raise the priority in every phase, as an open loop does.
    threads::go_first();

    steps.next("what it can take");
    let mut most = Samples::default();
    for _ in 0..plan.turns {
        most.push(clients.post(server, FITTING, None, plan.turn)?.rate());
    }
    let before = served.memory();

    let rate = LOAD * most.median();
    steps.next(format!(
        "{} a second for {} s",
        thousands(rate as u64),
        plan.overload.measured.as_secs()
    ));
    let flushes = "hourglass_flush_duration_seconds_count";
    let flushes_before = metric(server, flushes)?;
    let outcome = clients.post(server, CONNECTIONS, Some(rate), plan.overload)?;
    let flushes = metric(server, flushes)? - flushes_before;
    let peak = served.peak();

    steps.next("the same as before");
    let recovered = recovery(&mut clients, server, 0.9 * most.median())?;

    steps.next("comparing every count");
    traffic::check_hours(server, clients.past.iter().chain([&clients.hot]), &clients.acknowledged)?;
    report.setting("checked", "every hour, with all acknowledged events and their distinct users");
    report.setting(
        "the most",
        format!("{}/s by {FITTING} connections", thousands(most.median() as u64)),
    );
    report.setting(
        "memory before, and after",
        [before, served.memory()].map(crate::text::bytes).join(", "),
    );

    let per_second = |n: u64| {
        let rate = n as f64 / outcome.seconds;
        Cell::number(rate, format!("{}/s", thousands(rate as u64)))
    };
    let latency = |of| {
        let ms = outcome.quantile_ms(POST, of);
        Cell::number(ms, format!("{} ms", digits(ms)))
    };
    let mut section = Section::new(
        "POST at twice what it can take",
        "Open loop: requests fall due at a fixed rate, whatever was answered before. An accepted POST is in the log and synced; its \
         latency counts from when it fell due.",
        &[
            "seconds",
            "offered",
            "accepted",
            "refused (503)",
            "not answered",
            "p50",
            "p99",
            "longest",
            "memory, most",
            "flushes",
        ],
    );
    section.row([
        Cell::number(outcome.seconds, format!("{:.0}", outcome.seconds)),
        Cell::number(rate, format!("{}/s", thousands(rate as u64))),
        per_second(outcome.answered[POST]),
        per_second(outcome.refused),
        Cell::count(outcome.unanswered),
        latency(0.5),
        latency(0.99),
        latency(1.0),
        Cell::bytes(peak),
        Cell::count(flushes as u64),
    ]);
    report.sections.push(section);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    report.goal(
        "accepted a second, of the most",
        outcome.rate() / most.median(),
        Sign::AtLeast,
        0.5,
        "",
    );
    report.goal("requests not answered", outcome.unanswered as f64, Sign::AtMost, 0.0, "");
    report.goal(
        "503 without Retry-After",
        outcome.refused_without_retry as f64,
        Sign::AtMost,
        0.0,
        "",
    );
    report.goal(
        "memory of the process",
        megabytes(peak),
        Sign::AtMost,
        megabytes(MEMORY_BYTES),
        " MB",
    );
    report.goal(
        "p99 of accepted POSTs",
        outcome.quantile_ms(POST, 0.99),
        Sign::AtMost,
        100.0,
        " ms",
    );
    report.goal(
        "the longest wait of an accepted POST",
        outcome.quantile_ms(POST, 1.0),
        Sign::AtMost,
        1_000.0,
        " ms",
    );
    report.goal("full speed (90 % of the most) again after", recovered, Sign::AtMost, 5.0, " s");
    Ok(())
}

/// Returns the seconds until the first of three consecutive turns at `rate` or more began; gives up
/// after thirty.
fn recovery(clients: &mut Clients, server: SocketAddr, rate: f64) -> Result<f64> {
    let ended = Instant::now();
    let turn = Span { warm_up: Duration::ZERO, measured: Duration::from_millis(200) };
    let (mut since, mut in_a_row) = (0.0, 0);
    while in_a_row < 3 && since < 30.0 {
        let begun = ended.elapsed().as_secs_f64();
        let is_fast = clients.post(server, FITTING, None, turn)?.rate() >= rate;
        if is_fast && in_a_row > 0 {
            in_a_row += 1;
        } else {
            (since, in_a_row) = (begun, u32::from(is_fast));
        }
    }
    Ok(since)
}
