//! Stores of the benchmark: hours of events with one file each, by a clock that runs as the
//! machine's but stands right after them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bench::data;
use crate::bench::harness::{check, wait};
use crate::bench::visitors::seen::Seen;
use crate::error::{Error, Result};
use crate::hour::{Clock, Hour, SystemClock};
use crate::query::{QueryEngine, QueryOptions};
use crate::storage::vfs::Disk;
use crate::storage::{Engine, Snapshot};

/// Hours that are flushed at a time.
const FLUSHED: u64 = 720;

/// Hours of events.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub first: Hour,
    pub hours: u64,
    pub events_an_hour: u64,
    pub users: u64,
}

impl Shape {
    /// Returns the hour after the last.
    pub fn now(&self) -> Hour {
        Hour(self.first.0 + self.hours as i64)
    }

    pub fn events(&self) -> u64 {
        self.hours * self.events_an_hour
    }
}

/// The machine's clock, set to another time.
#[derive(Debug)]
struct Shifted {
    by_us: i64,
}

impl Clock for Shifted {
    fn now_us(&self) -> i64 {
        SystemClock.now_us() + self.by_us
    }
}

pub struct Store {
    pub engine: Engine,
    pub query: Arc<QueryEngine>,
    pub shape: Shape,
    pub dir: PathBuf,
}

impl Store {
    /// Opens a store at the beginning of the hour after its events.
    pub fn open(dir: &Path, shape: Shape) -> Result<Store> {
        let by_us = shape.now().start_us() - SystemClock.now_us();
        let mut options = data::roomy();
        // Nothing else works beside what is measured.
        options.compaction.background = false;
        let engine = Engine::open_with(dir, options, Arc::new(Disk), Arc::new(Shifted { by_us }))?;
        let options = QueryOptions {
            timeout: Duration::from_secs(1_200),
            memory_bytes: 8 << 30,
            ..QueryOptions::default()
        };
        let query = Arc::new(QueryEngine::new(&options)?);
        Ok(Store { engine, query, shape, dir: dir.into() })
    }

    /// Makes a store, and counts its users; returns the seconds that events and files took.
    pub fn make(dir: &Path, shape: Shape, seed: u64) -> Result<(Store, Seen, f64)> {
        let (store, mut seen) = (Store::open(dir, shape)?, Seen::new(shape.first));
        let started = Instant::now();
        let mut done = 0;
        while done < shape.hours {
            let hours = FLUSHED.min(shape.hours - done);
            let first = Hour(shape.first.0 + done as i64);
            let events = hours * shape.events_an_hour;
            let workload = data::workload(first, hours, events, shape.users, seed + done);
            wait(data::load(&store.engine, &workload, |batch| seen.add(batch)))??;
            wait(store.engine.flush())??;
            done += hours;
        }
        let seconds = started.elapsed().as_secs_f64();
        let snapshot = store.snapshot();
        check("one file an hour", &snapshot.file_count, &shape.hours)?;
        Ok((store, seen, seconds))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.snapshot()
    }

    /// Waits until all sets are made; returns the seconds.
    pub fn build(&self) -> Result<f64> {
        let started = Instant::now();
        wait(self.engine.build_sets(|_| ()))?;
        check("files without sets", &self.snapshot().set_figures().missing, &0)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Closes the store, and opens it again without any sets.
    pub fn without_sets(self) -> Result<Store> {
        let Store { engine, shape, dir, .. } = self;
        engine.close()?;
        drop(engine);
        remove_sets(&dir)?;
        Store::open(&dir, shape)
    }
}

/// Removes the sets and the index of a closed store.
pub fn remove_sets(dir: &Path) -> Result<()> {
    let sets = dir.join("sets");
    fs::remove_dir_all(&sets).map_err(Error::io(&sets, "remove"))
}

/// Returns the bytes of the sets, and of the index of names.
pub fn set_bytes(dir: &Path) -> Result<(u64, u64)> {
    let dir = dir.join("sets");
    let (mut sets, mut index) = (0, 0);
    for entry in fs::read_dir(&dir).map_err(Error::io(&dir, "list"))? {
        let entry = entry.map_err(Error::io(&dir, "list"))?;
        let bytes = entry.metadata().map_err(Error::io(entry.path(), "look at"))?.len();
        match entry.path().extension().and_then(|extension| extension.to_str()) {
            Some("sets") => sets += bytes,
            _ => index += bytes,
        }
    }
    Ok((sets, index))
}
