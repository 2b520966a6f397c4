//! What the tests share: a store in a temporary folder, a clock to turn, and a plain model of the
//! answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hourglass::event::EventBatch;
use hourglass::hour::{Clock, Hour};
use hourglass::query::{QueryEngine, QueryOptions};
use hourglass::rollup::{Counts, HourNumbers};
use hourglass::storage::vfs::Disk;
use hourglass::storage::{Engine, EngineOptions, Snapshot};

/// A clock that stands until it is set.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(us: i64) -> Arc<ManualClock> {
        Arc::new(ManualClock(AtomicI64::new(us)))
    }

    pub fn set(&self, us: i64) {
        self.0.store(us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Small bounds, so that a test meets them, and sets that are built as fast as all else runs.
pub fn small_options() -> EngineOptions {
    EngineOptions {
        wal_segment_bytes: 64 << 10,
        flush_retry_ms: 50,
        // Other tests run beside.
        sets_stand_back: false,
        ..EngineOptions::default()
    }
}

pub fn open(dir: &Path, clock: Arc<ManualClock>) -> Engine {
    Engine::open_with(dir, small_options(), Arc::new(Disk), clock).expect("the store opens")
}

/// The answers computed the plain way.
#[derive(Debug, Default, Clone)]
pub struct Model(BTreeMap<Hour, (BTreeSet<String>, Counts)>);

impl Model {
    pub fn add(&mut self, batch: &EventBatch) {
        for event in batch.iter() {
            let hour = self.0.entry(Hour::of_us(event.timestamp_us)).or_default();
            hour.0.insert(event.user.to_string());
            hour.1.add(event.kind, 1);
        }
    }

    pub fn numbers(&self, hour: Hour) -> HourNumbers {
        let numbers = |(users, counts): &(BTreeSet<_>, _)| HourNumbers {
            unique_users: users.len() as u64,
            counts: Counts::clone(counts),
        };
        self.0.get(&hour).map_or(HourNumbers::default(), numbers)
    }

    pub fn hours(&self) -> Vec<Hour> {
        self.0.keys().copied().collect()
    }
}

pub fn query_engine(rollups: bool) -> QueryEngine {
    QueryEngine::new(&QueryOptions { rollups, ..QueryOptions::default() })
        .expect("the query engine starts")
}

/// Asserts that every hour answers as the model does, with rollups and with plain scans.
pub async fn assert_answers(snapshot: &Arc<Snapshot>, model: &Model) {
    let engines = [query_engine(true), query_engine(false)];
    assert_eq!(snapshot.hours(), model.hours());
    for hour in model.hours() {
        for (engine, how) in engines.iter().zip(["by rollup", "by scan"]) {
            let numbers = engine.hour_numbers(snapshot, hour).await.expect("the query runs");
            assert_eq!(numbers, model.numbers(hour), "{hour} {how}");
        }
    }
}

/// A runtime as the server has.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A number that an environment variable asks for.
pub fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

/// A pseudo-random number below `n`, from a seed that moves on: tests need no more.
pub fn random(seed: &mut u64, n: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % n
}
