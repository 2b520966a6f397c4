//! More than it can take: a server whose queue is small, and many more clients than fit in it, each of whom asks again at once
//! when it is refused.
//!
//! The server is a process of its own, so that its memory is its own. What it can take is what it does for as many connections
//! as its queue has places; then 64 times as many ask for minutes, with flushes under way; then the first ones again.

use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::data::{self, Tallies};
use super::load::{self, Outcome, Span};
use super::process::Served;
use super::report::{Cell, Report, Section, Sign, digits};
use super::stats::Samples;
use super::visitors::{POST, Traffic, Visitors, tally};
use super::{Options, Steps, check};
use crate::error::Result;
use crate::hour::{Clock, Hour, SystemClock};
use crate::text::thousands;

/// Places in the queue, and connections that fit.
const FITTING: usize = 16;
const CONNECTIONS: usize = 1_024;

const MEMTABLE_BYTES: u64 = 64 << 20;

/// Memory that the process may hold: three generations of events, as much again for what is made of one in a flush, and 128 MB
/// for everything else.
const MEMORY_BYTES: u64 = 6 * MEMTABLE_BYTES + (128 << 20);

struct Plan {
    turn: Span,
    turns: usize,
    /// The overload, in slices between which the memory is looked at.
    slice: Span,
    slices: usize,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        let span = |measured| Span { warm_up: Duration::ZERO, measured };
        match quick {
            true => Plan {
                turn: span(Duration::from_millis(300)),
                turns: 3,
                slice: span(Duration::from_millis(500)),
                slices: 4,
            },
            false => {
                Plan { turn: span(Duration::from_secs(1)), turns: 9, slice: span(Duration::from_secs(5)), slices: 36 }
            }
        }
    }
}

/// The clients, and what was acknowledged to them.
struct Clients {
    random: ChaCha8Rng,
    hot: Hour,
    past: Vec<Hour>,
    acknowledged: Tallies,
}

impl Clients {
    fn post(&mut self, served: &Served, connections: usize, span: Span) -> Result<Outcome> {
        let Clients { random, hot, past, acknowledged } = self;
        let mut visitors = Visitors { traffic: Traffic::Post, random, hot: *hot, past, acknowledged: Vec::new() };
        let outcome = load::closed(served.address, connections, span, &mut visitors)?;
        tally(acknowledged, &visitors.acknowledged, *hot, past);
        Ok(outcome)
    }
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let steps = Steps::new(4 + plan.slices);
    let hot = SystemClock.hour();
    let past = (1..=100).map(|ago| Hour(hot.0 - ago)).collect();
    let random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut clients = Clients { random, hot, past, acknowledged: Tallies::default() };
    let (queue, memtable) = (FITTING.to_string(), MEMTABLE_BYTES.to_string());
    let environment =
        [("HOURGLASS_QUEUE_MAX_EVENTS", queue.as_str()), ("HOURGLASS_MEMTABLE_MAX_BYTES", memtable.as_str())];
    let served = Served::start(dir, &environment)?;
    report.setting("queue", format!("{FITTING} events; {} a generation in memory", crate::text::bytes(MEMTABLE_BYTES)));

    steps.next("what it can take");
    let mut most = Samples::default();
    for _ in 0..plan.turns {
        most.push(clients.post(&served, FITTING, plan.turn)?.rate());
    }
    let before = served.memory();

    let mut section = Section::new(
        "POST beyond what it can take",
        "Closed loop: a client that is told 503 asks again at once. An accepted POST is in the log and synced; its latency counts \
         from when it was sent.",
        &[
            "connections",
            "seconds",
            "accepted",
            "refused (503)",
            "offered, of the most",
            "p50",
            "p99",
            "longest",
            "memory, most",
        ],
    );
    let (mut accepted, mut offered, mut refused, mut seconds) = (Samples::default(), Samples::default(), 0, 0.0);
    let (mut p50, mut p99, mut longest) = (Samples::default(), Samples::default(), 0.0_f64);
    for slice in 0..plan.slices {
        steps.next(format!("{CONNECTIONS} connections, {} of {}", slice + 1, plan.slices));
        let outcome = clients.post(&served, CONNECTIONS, plan.slice)?;
        accepted.push(outcome.rate());
        offered.push(outcome.rate() + outcome.refused as f64 / outcome.seconds);
        refused += outcome.refused;
        seconds += outcome.seconds;
        p50.push(outcome.quantile_ms(POST, 0.5));
        p99.push(outcome.quantile_ms(POST, 0.99));
        longest = longest.max(outcome.quantile_ms(POST, 1.0));
    }
    let peak = served.peak();

    steps.next("the same as before");
    let ended = Instant::now();
    let short = Span { warm_up: Duration::ZERO, measured: Duration::from_millis(100) };
    let mut recovered = None;
    while recovered.is_none() && ended.elapsed() < Duration::from_secs(30) {
        let rate = clients.post(&served, FITTING, short)?.rate();
        recovered = (rate >= 0.9 * most.median()).then(|| ended.elapsed().as_secs_f64());
    }

    steps.next("comparing every count");
    let hours = || clients.past.iter().chain([&clients.hot]);
    let targets = hours().map(|hour| format!("/analytics?timestamp={}", hour.start_us() / 1_000));
    for (hour, answer) in hours().zip(load::get(served.address, targets)?) {
        check(&format!("the hour {hour}"), &answer, &data::lines(clients.acknowledged.numbers(*hour)))?;
    }
    report.setting("checked", "every hour, with all acknowledged events and their distinct users");

    let share = offered.median() / most.median();
    let ms = |ms: f64| Cell::number(ms, format!("{} ms", digits(ms)));
    section.row([
        Cell::count(CONNECTIONS as u64),
        Cell::number(seconds, format!("{seconds:.0}")),
        Cell::rate(&accepted),
        Cell::number(refused as f64 / seconds, format!("{}/s", thousands((refused as f64 / seconds) as u64))),
        Cell::number(share, format!("{share:.2}")),
        Cell::ms(&p50),
        Cell::ms(&p99),
        ms(longest),
        Cell::bytes(peak),
    ]);
    report.sections.push(section);
    report.setting("the most", format!("{}/s by {FITTING} connections", thousands(most.median() as u64)));
    report.setting("memory before, and after", [before, served.memory()].map(crate::text::bytes).join(", "));
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    report.goal("accepted a second, of the most", accepted.median() / most.median(), Sign::AtLeast, 0.5, "");
    report.goal("memory of the process", megabytes(peak), Sign::AtMost, megabytes(MEMORY_BYTES), " MB");
    report.goal("p99 of accepted POSTs", p99.median(), Sign::AtMost, 100.0, " ms");
    let seconds = recovered.unwrap_or(f64::INFINITY);
    report.goal("full speed (90 % of the most) again after", seconds, Sign::AtMost, 5.0, " s");
    Ok(())
}
