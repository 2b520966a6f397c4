//! Benchmark of HTTP serving: throughput of `GET` and `POST /analytics` as a share of a bare axum
//! handler's, and latencies at fixed loads.
//!
//! The current hour holds millions of events by a million users; the rest of the store is the 152
//! days of `generate`. Both servers run in this process on their own threads; the load comes from
//! one more thread. Turns are short and alternate between the bare handler and hourglass, and each
//! ratio is that of two consecutive turns, so that noise of the machine affects both.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::data::{self, Tallies};
use super::disk::Written;
use super::harness::{Options, Steps, check, wait};
use super::load::{self, Outcome, Span};
use super::report::{Cell, Plot, Report, Section, Sign, digits};
use super::server::{Hourglass, Server};
use super::stats::Samples;
use super::traffic::{self, GET, POST, Traffic, USERS, Visitors, tally};
use crate::error::Result;
use crate::generate::Workload;
use crate::hour::{Clock, Hour, SystemClock};
use crate::query::Params;
use crate::text::thousands;

/// Number of connections of the open-loop measurements.
const OPEN_CONNECTIONS: usize = 64;

/// SQL statement that reads every row and keeps its threads busy.
const HEAVY: &str = "SELECT user_id, count(*) AS events FROM events GROUP BY user_id ORDER BY events DESC, user_id LIMIT 10";

struct Plan {
    hot_events: u64,
    connections: &'static [usize],
    rounds: usize,
    turn: Span,
    open: Span,
    /// Duration of the turns with and without a concurrent statement.
    beside: Span,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        let ms = Duration::from_millis;
        if quick {
            Plan {
                hot_events: 1_000_000,
                connections: &[64],
                rounds: 3,
                turn: Span { warm_up: ms(100), measured: ms(400) },
                open: Span { warm_up: ms(200), measured: ms(1_500) },
                beside: Span { warm_up: ms(100), measured: ms(600) },
            }
        } else {
            Plan {
                hot_events: 10_000_000,
                connections: &[1, 16, 64, 256],
                rounds: 9,
                turn: Span { warm_up: ms(200), measured: ms(1_000) },
                open: Span { warm_up: ms(500), measured: ms(8_000) },
                beside: Span { warm_up: ms(500), measured: ms(4_000) },
            }
        }
    }
}

struct Session {
    plan: Plan,
    hourglass: Hourglass,
    baseline: Server,
    hot: Hour,
    past: Vec<Hour>,
    /// All events stored and acknowledged.
    expected: Tallies,
    random: ChaCha8Rng,
    /// Number of requests without a response: their events may or may not be stored.
    unanswered: u64,
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let steps = Steps::new(12 + (plan.connections.len() + 2) * plan.rounds);
    let mut session = Session::start(plan, options.seed, dir, &steps)?;
    report.setting(
        "events",
        format!(
            "{} of {} users in the current hour, {} in {} past hours",
            thousands(session.plan.hot_events),
            thousands(USERS),
            thousands(Workload::default().count()),
            thousands(session.past.len() as u64)
        ),
    );
    report.setting("load", "one thread, HTTP/1.1 keep-alive, one request at a time a connection");
    let best = session.throughput(report, &steps)?;
    session.latencies(report, best, &steps)?;
    session.beside_a_statement(report, best, &steps)?;
    steps.next("comparing every count");
    session.check()?;
    report.setting(
        "checked",
        "every hour before, and after with all acknowledged events, distinct users too",
    );
    Ok(())
}

impl Session {
    fn start(plan: Plan, seed: u64, dir: &Path, steps: &Steps) -> Result<Session> {
        let hourglass = Hourglass::start(&dir.join("store"))?;
        let mut expected = Tallies::default();
        steps.next("loading the past hours");
        let past = Workload { seed, ..Workload::default() };
        wait(data::load(&hourglass.engine, &past, |batch| expected.add(batch)))??;
        wait(hourglass.engine.flush())??;
        let past = expected.0.keys().copied().collect();
        steps.next("loading the current hour");
        let hot = SystemClock.hour();
        let current = data::workload(hot, 1, plan.hot_events, USERS, seed);
        wait(data::load(&hourglass.engine, &current, |batch| expected.add(batch)))??;
        let (baseline, random) = (Server::baseline()?, ChaCha8Rng::seed_from_u64(seed));
        let session =
            Session { plan, hourglass, baseline, hot, past, expected, random, unanswered: 0 };
        steps.next("comparing every hour");
        session.check()?;
        Ok(session)
    }

    /// Compares every hour on the server with the events loaded and acknowledged.
    fn check(&self) -> Result<()> {
        let (server, hours) = (self.hourglass.server.address, self.past.iter().chain([&self.hot]));
        match self.unanswered {
            0 => traffic::check_hours(server, hours, &self.expected)?,
            _ => drop(traffic::ask_hours(server, hours)?),
        }
        let counted = self.hourglass.engine.snapshot().totals(Hour::FIRST, Hour::LAST).rows();
        let acknowledged: u64 =
            self.expected.0.values().map(|tally| tally.numbers().events()).sum();
        check(
            "all events",
            &(acknowledged..=acknowledged + self.unanswered).contains(&counted),
            &true,
        )
    }

    /// Runs one closed-loop turn on the bare handler or on hourglass; events that hourglass
    /// acknowledges are added to the expected ones.
    fn turn(
        &mut self,
        bare: bool,
        traffic: Traffic,
        connections: usize,
    ) -> Result<(Outcome, Written)> {
        let before = self.hourglass.disk.written();
        let server = if bare { self.baseline.address } else { self.hourglass.server.address };
        let acknowledged = Vec::with_capacity(1 << 20);
        let mut visitors = Visitors {
            traffic,
            random: &mut self.random,
            hot: self.hot,
            past: &self.past,
            acknowledged,
        };
        let outcome = load::closed(server, connections, self.plan.turn, &mut visitors)?;
        if !bare {
            tally(&mut self.expected, &visitors.acknowledged, self.hot, &self.past);
        }
        Ok((outcome, self.hourglass.disk.written().since(before)))
    }

    /// Measures throughput, and returns the maximum of each traffic at [`OPEN_CONNECTIONS`], in
    /// requests per second.
    fn throughput(&mut self, report: &mut Report, steps: &Steps) -> Result<[f64; 4]> {
        let mut section = Section::new(
            "Throughput",
            "Closed loop, turns in alternation; the bare handler is axum with the query parsed and nothing stored. Every \
             POST is in the log and synced before its 204.",
            &[
                "connections",
                "traffic",
                "bare handler",
                "hourglass",
                "of the bare handler",
                "events a sync",
                "syncs/s",
            ],
        );
        let mut best = [0.0; 4];
        let mut shares: Vec<(String, Vec<(f64, f64)>)> =
            Traffic::ALL.map(|traffic| (traffic.name().to_string(), Vec::new())).into();
        for &connections in self.plan.connections {
            let mut measured: [Rounds; 4] = Default::default();
            for round in 0..self.plan.rounds {
                steps.next(format!("{connections} connections, round {}", round + 1));
                for (traffic, rounds) in Traffic::ALL.into_iter().zip(&mut measured) {
                    let (bare, _) = self.turn(true, traffic, connections)?;
                    let (ours, written) = self.turn(false, traffic, connections)?;
                    rounds.add(&bare, &ours, written, self.plan.turn);
                }
            }
            for (i, (traffic, rounds)) in Traffic::ALL.into_iter().zip(&measured).enumerate() {
                let share = rounds.ratio.median();
                shares[i].1.push((connections as f64, share));
                if connections == OPEN_CONNECTIONS {
                    best[i] = rounds.ours.median();
                }
                goals(report, traffic, connections, share);
                section.row(rounds.cells(traffic, connections));
            }
        }
        if self.plan.connections.len() > 1 {
            section.plots.push(Plot {
                title: "Share of the bare handler's throughput".into(),
                x: "connections".into(),
                y: "share".into(),
                log: false,
                series: shares,
            });
        }
        report.sections.push(section);
        Ok(best)
    }

    fn latencies(&mut self, report: &mut Report, best: [f64; 4], steps: &Steps) -> Result<()> {
        let mut section = Section::new(
            "Latency",
            "Open loop over 64 connections: requests fall due at a fixed rate, a share of the most that the same traffic \
             reached above, and a latency counts from when its request was due. Milliseconds.",
            &[
                "traffic",
                "beside it",
                "offered",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "longest",
                "unanswered",
            ],
        );
        let mut plot = Vec::new();
        for (traffic, beside, share) in [
            (Traffic::GetHot, Beside::Nothing, 0.5),
            (Traffic::Mix, Beside::Nothing, 0.1),
            (Traffic::Mix, Beside::Nothing, 0.25),
            (Traffic::Mix, Beside::Nothing, 0.5),
            (Traffic::Mix, Beside::Nothing, 0.75),
            (Traffic::Mix, Beside::Statement, 0.5),
            (Traffic::Mix, Beside::Flushes, 0.5),
            (Traffic::Mix, Beside::Both, 0.5),
        ] {
            steps.next(format!(
                "latency at {:.0} % load, beside it {}",
                share * 100.0,
                beside.name()
            ));
            let rate = best[Traffic::ALL
                .iter()
                .position(|other| *other == traffic)
                .expect("it is one of all")]
                * share;
            let outcome = self.offer(traffic, beside, rate, self.plan.open)?;
            for (class, name) in [(GET, "GET"), (POST, "POST")] {
                if outcome.answered[class] == 0 {
                    continue;
                }
                section.row(latency_cells(traffic, name, class, beside, share, rate, &outcome));
                let points =
                    QUANTILES.map(|(of, _)| (1.0 / (1.0 - of), outcome.quantile_ms(class, of)));
                let name = format!("{name}, {:.0} %, beside {}", share * 100.0, beside.name());
                if traffic == Traffic::Mix && share == 0.5 {
                    plot.push((name, points.into()));
                }
                if (traffic, beside, share, class) == (Traffic::Mix, Beside::Nothing, 0.5, GET) {
                    let what = "p99 of GET at half the most of the mix, its POSTs coming in";
                    report.goal(what, outcome.quantile_ms(class, 0.99), Sign::AtMost, 2.0, " ms");
                }
            }
        }
        section.plots.push(Plot {
            title: "Latency at half the most of the mix".into(),
            x: "one in so many requests is slower".into(),
            y: "milliseconds".into(),
            log: true,
            series: plot,
        });
        report.sections.push(section);
        Ok(())
    }

    /// Measures the effect on POSTs of a statement that reads every row: turns with and without it,
    /// in alternation.
    fn beside_a_statement(
        &mut self,
        report: &mut Report,
        best: [f64; 4],
        steps: &Steps,
    ) -> Result<()> {
        let mut section = Section::new(
            "POST beside a full-table statement",
            "Open loop of the mix over 64 connections, turns without and with the statement in alternation; the p99 of the \
             POSTs of each turn, and the median of the turns.",
            &["offered", "turns", "p99 alone", "p99 beside it"],
        );
        for share in [0.1, 0.25] {
            let (rate, span) = (best[3] * share, self.plan.beside);
            let mut p99 = [Samples::default(), Samples::default()];
            for round in 0..self.plan.rounds {
                steps.next(format!(
                    "POST beside a statement, {:.0} % load, round {}",
                    share * 100.0,
                    round + 1
                ));
                for (beside, p99) in [Beside::Nothing, Beside::Statement].into_iter().zip(&mut p99)
                {
                    p99.push(self.offer(Traffic::Mix, beside, rate, span)?.quantile_ms(POST, 0.99));
                }
            }
            let [alone, beside] = p99;
            let offered = format!("{}/s ({:.0} %)", thousands(rate as u64), share * 100.0);
            section.row([
                Cell::number(rate, offered),
                Cell::count(alone.len() as u64),
                Cell::ms(&alone),
                Cell::ms(&beside),
            ]);
            let of = format!("{:.0} % of the most", share * 100.0);
            let what = format!("p99 of POST beside a full-table statement, of that alone, at {of}");
            report.goal(&what, beside.median() / alone.median(), Sign::AtMost, 3.0, "");
        }
        report.sections.push(section);
        Ok(())
    }

    fn offer(
        &mut self,
        traffic: Traffic,
        beside: Beside,
        rate: f64,
        span: Span,
    ) -> Result<Outcome> {
        let Session { hourglass, random, hot, past, expected, .. } = self;
        let acknowledged = Vec::with_capacity(1 << 21);
        let mut visitors = Visitors { traffic, random, hot: *hot, past, acknowledged };
        let stop = AtomicBool::new(false);
        let (served, stop) = (&*hourglass, &stop);
        let outcome = thread::scope(|scope| {
            let repeat = |work: &'static fn(&Hourglass) -> Result<()>| {
                scope.spawn(move || -> Result<()> {
                    while !stop.load(Ordering::Relaxed) {
                        work(served)?;
                    }
                    Ok(())
                })
            };
            let workers: Vec<_> = beside.work().iter().map(repeat).collect();
            // The load runs on a separate thread, because it raises that thread's priority for
            // good.
            let visitors = &mut visitors;
            let load = scope
                .spawn(|| load::open(served.server.address, OPEN_CONNECTIONS, rate, span, visitors))
                .join()
                .expect("the load does not panic");
            stop.store(true, Ordering::Relaxed);
            for worker in workers {
                worker.join().expect("what runs beside the load does not panic")?;
            }
            load
        })?;
        tally(expected, &visitors.acknowledged, *hot, past);
        self.unanswered += outcome.unanswered;
        Ok(outcome)
    }
}

fn goals(report: &mut Report, traffic: Traffic, connections: usize, share: f64) {
    let (what, bound) = match (traffic, connections) {
        (Traffic::GetHot, 64) => {
            ("GET of the current hour, 64 connections, of the bare handler", 0.9)
        }
        (Traffic::GetPast, 64) => {
            ("GET of random past hours, 64 connections, of the bare handler", 0.7)
        }
        (Traffic::Mix, 64) => ("the mix, 64 connections, of the bare handler", 0.8),
        (Traffic::Post, 256) => ("POST, each synced, 256 connections, of the bare handler", 0.75),
        _ => return,
    };
    report.goal(what, share, Sign::AtLeast, bound, "");
}

/// Results of one kind of traffic over the rounds.
#[derive(Default)]
struct Rounds {
    bare: Samples,
    ours: Samples,
    ratio: Samples,
    events_a_sync: Samples,
    syncs: Samples,
}

impl Rounds {
    fn add(&mut self, bare: &Outcome, ours: &Outcome, written: Written, turn: Span) {
        self.bare.push(bare.rate());
        self.ours.push(ours.rate());
        self.ratio.push(ours.rate() / bare.rate());
        if written.log_syncs > 0 {
            // Syncs were also counted during warm-up.
            let seconds = (turn.warm_up + turn.measured).as_secs_f64();
            let posts = ours.answered[POST] as f64 / ours.seconds * seconds;
            self.events_a_sync.push(posts / written.log_syncs as f64);
            self.syncs.push(written.log_syncs as f64 / seconds);
        }
    }

    fn cells(&self, traffic: Traffic, connections: usize) -> [Cell; 7] {
        let syncs = |samples: &Samples, show: fn(f64) -> String| match samples.len() {
            0 => Cell::default(),
            _ => Cell::number(samples.median(), show(samples.median())),
        };
        [
            Cell::count(connections as u64),
            traffic.name().into(),
            Cell::rate(&self.bare),
            Cell::rate(&self.ours),
            Cell::ratio(&self.ratio),
            syncs(&self.events_a_sync, digits),
            syncs(&self.syncs, |rate| thousands(rate as u64)),
        ]
    }
}

const QUANTILES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

fn latency_cells(
    traffic: Traffic,
    name: &str,
    class: usize,
    beside: Beside,
    share: f64,
    rate: f64,
    outcome: &Outcome,
) -> Vec<Cell> {
    let ms = |of: f64| {
        Cell::number(outcome.quantile_ms(class, of), digits(outcome.quantile_ms(class, of)))
    };
    let what = match traffic {
        Traffic::Mix => format!("{name} of the mix"),
        other => other.name().to_string(),
    };
    let mut cells = vec![
        what.into(),
        beside.name().into(),
        Cell::number(rate, format!("{}/s ({:.0} %)", thousands(rate as u64), share * 100.0)),
    ];
    cells.extend([0.5, 0.9, 0.99, 0.999, 1.0].map(ms));
    cells.push(Cell::count(outcome.unanswered + outcome.refused));
    cells
}

/// Concurrent work while latencies are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Statement,
    Flushes,
    Both,
}

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Beside::Nothing => "nothing",
            Beside::Statement => "a full-table statement",
            Beside::Flushes => "flush after flush",
            Beside::Both => "both",
        }
    }

    fn work(self) -> &'static [fn(&Hourglass) -> Result<()>] {
        match self {
            Beside::Nothing => &[],
            Beside::Statement => &[heavy_statement],
            Beside::Flushes => &[flush],
            Beside::Both => &[heavy_statement, flush],
        }
    }
}

fn heavy_statement(hourglass: &Hourglass) -> Result<()> {
    let Hourglass { engine, query, .. } = hourglass;
    let mut session = query.new_session();
    wait(async {
        let answer = query.run_text(&mut session, &engine.snapshot(), HEAVY, Params::None).await?;
        answer.collect().await.map(drop)
    })?
}

/// Flushes, then pauses so that there is at most one flush per second.
fn flush(hourglass: &Hourglass) -> Result<()> {
    wait(hourglass.engine.flush())??;
    thread::sleep(Duration::from_millis(500));
    Ok(())
}
