//! What others notice of the builder of sets: flushes of a big hour, and POSTs.
//!
//! Both are measured on copies of one store, with all its sets and without any, in turns.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::store::{Shape, Store, remove_sets};
use crate::bench::data;
use crate::bench::disk::copy;
use crate::bench::harness::{ask, check, wait};
use crate::bench::load::{self, Span};
use crate::bench::server::Hourglass;
use crate::bench::stats::Samples;
use crate::bench::traffic::{POST, Traffic, Visitors};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hour::{Clock, Hour, SystemClock};

/// Connections of the POSTs.
const CONNECTIONS: usize = 64;

/// Share of the most POSTs at which their latency is measured.
const OFFERED: f64 = 0.25;

/// Measures of one kind without and with the builder at work.
#[derive(Debug, Default)]
pub struct Compared {
    pub idle: Samples,
    pub beside: Samples,
    /// Quotients of each round.
    pub ratios: Samples,
    /// How many measurements beside the builder ended before it did.
    pub within: usize,
}

impl Compared {
    /// Returns the quotient of the best measurements.
    pub fn best(&self) -> f64 {
        self.beside.quantile(0.0) / self.idle.quantile(0.0)
    }

    fn add(&mut self, idle: f64, beside: f64) {
        self.idle.push(idle);
        self.beside.push(beside);
        self.ratios.push(beside / idle);
    }
}

/// Makes a copy of the store, with or without sets.
fn copy_of(store: &Path, with_sets: bool, name: &str) -> Result<std::path::PathBuf> {
    let dir = store.with_file_name(name);
    copy(store, &dir)?;
    if !with_sets {
        remove_sets(&dir)?;
    }
    Ok(dir)
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).map_err(Error::io(dir, "remove"))
}

/// Returns milliseconds of flushes of an hour of `events` events.
pub fn flushes(
    store: &Path,
    shape: Shape,
    events: u64,
    rounds: usize,
    seed: u64,
) -> Result<Compared> {
    let mut compared = Compared::default();
    for round in 0..rounds {
        let flush = |with_sets: bool| flush(store, shape, events, with_sets, seed);
        // Whichever is first has it no easier.
        let (idle, (beside, within)) = if round % 2 == 0 {
            (flush(true)?.0, flush(false)?)
        } else {
            let beside = flush(false)?;
            (flush(true)?.0, beside)
        };
        compared.add(idle, beside);
        compared.within += usize::from(within);
    }
    Ok(compared)
}

/// Returns the milliseconds of a flush, and whether sets were missing at its end.
fn flush(
    store: &Path,
    shape: Shape,
    events: u64,
    with_sets: bool,
    seed: u64,
) -> Result<(f64, bool)> {
    let dir = copy_of(store, with_sets, "flush")?;
    let store = Store::open(&dir, shape)?;
    if with_sets {
        store.build()?;
    }
    let workload = data::workload(shape.now(), 1, events, shape.users, seed);
    wait(data::load(&store.engine, &workload, |_| ()))??;
    if with_sets {
        // The builder looks the users of the hour up; afterwards it is idle.
        let hour = format!(
            "SELECT count(DISTINCT user_id) FILTER (WHERE event = 'click') FROM events WHERE timestamp >= TIMESTAMP '{}'",
            shape.now()
        );
        ask(&store.query, &store.snapshot(), &hour, true)?;
    }
    let started = std::time::Instant::now();
    wait(store.engine.flush())??;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let is_building = store.snapshot().set_figures().files < shape.hours;
    check("files after a flush", &store.snapshot().file_count, &(shape.hours + 1))?;
    store.engine.close()?;
    drop(store);
    remove(&dir)?;
    Ok((ms, is_building))
}

/// Returns the p99 of POSTs in milliseconds, at a quarter of the most that an idle server takes.
pub fn posts(store: &Path, turn: Span, turns: usize, rounds: usize, seed: u64) -> Result<Compared> {
    let (mut compared, mut random) = (Compared::default(), ChaCha8Rng::seed_from_u64(seed));
    let mut rate = None;
    for _ in 0..rounds {
        let idle = post(store, true, turn, turns, &mut rate, &mut random)?;
        let beside = post(store, false, turn, turns, &mut rate, &mut random)?;
        compared.within += beside.len();
        // A builder that ends within one turn is not beside anything.
        if beside.len() > 0 {
            compared.add(idle.median(), beside.median());
        }
    }
    Ok(compared)
}

/// Returns the p99 of each turn; without sets, of the turns that end before they are made.
fn post(
    store: &Path,
    with_sets: bool,
    turn: Span,
    turns: usize,
    rate: &mut Option<f64>,
    random: &mut ChaCha8Rng,
) -> Result<Samples> {
    let dir = copy_of(store, with_sets, "posts")?;
    let config = Config { compaction: false, ..Config::default() };
    let hourglass = Hourglass::start_with(&dir, &config)?;
    let past: Vec<Hour> = hourglass.engine.snapshot().files.keys().copied().collect();
    if with_sets {
        wait(hourglass.engine.build_sets(|_| ()))?;
    }
    let mut load = |rate: Option<f64>| {
        let (traffic, hot, acknowledged) = (Traffic::Post, SystemClock.hour(), Vec::new());
        let mut visitors =
            Visitors { traffic, random: &mut *random, hot, past: &past, acknowledged };
        match rate {
            None => load::closed(hourglass.server.address, CONNECTIONS, turn, &mut visitors),
            Some(rate) => {
                load::open(hourglass.server.address, CONNECTIONS, rate, turn, &mut visitors)
            }
        }
    };
    let offered = match *rate {
        Some(rate) => rate,
        None => *rate.insert(load(None)?.rate() * OFFERED),
    };
    let mut p99_ms = Samples::default();
    // The first turn of a server is slower than the others.
    load(Some(offered))?;
    while p99_ms.len() < turns {
        let outcome = load(Some(offered))?;
        if !with_sets && hourglass.engine.has_all_sets() {
            break;
        }
        p99_ms.push(outcome.quantile_ms(POST, 0.99));
    }
    hourglass.engine.close()?;
    drop(hourglass);
    remove(&dir)?;
    Ok(p99_ms)
}
