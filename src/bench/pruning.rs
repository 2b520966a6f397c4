//! Benchmark of partition pruning: one hour, and one day, queried in stores of a day to ten years
//! of hours.
//!
//! All stores hold the same queried hours; only the data around them grows. The cost of a query is
//! counted at the object store: files opened, bytes read, listings made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;

use super::data::{self, Tallies};
use super::disk::forget_pages;
use super::harness::{Options, Steps, check, wait};
use super::plain;
use super::process::Served;
use super::report::{Cell, Plot, Report, Section, Sign};
use super::stats::Samples;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::generate::Workload;
use crate::hour::Hour;
use crate::query::{Params, QueryEngine, QueryOptions};
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{Engine, EngineOptions, ReadOnly, Reads, Snapshot};
use crate::text::thousands;

/// First hour of every store: 2015-01-01T00:00:00Z. Ten years are 87,672 hours.
const FIRST: Hour = Hour(394_464);

/// The queried hour, and the queried day.
const HOUR: Hour = Hour(FIRST.0 + 9);
const DAY: (Hour, Hour) = (FIRST, Hour(FIRST.0 + 23));

const EVENTS_AN_HOUR: u64 = 60;
const USERS: u64 = 1_000;

/// Maximum number of repetitions with a warm cache.
const MOST_QUESTIONS: usize = 41;

/// Shape of a store: number of hours, and files per hour.
#[derive(Clone, Copy)]
struct Shape {
    hours: u64,
    files_an_hour: u64,
}

impl Shape {
    fn name(self) -> String {
        match self.files_an_hour {
            1 => thousands(self.hours),
            files => format!("{}, late events: {files} files each", thousands(self.hours)),
        }
    }
}

fn shapes(quick: bool) -> Vec<Shape> {
    let one = |hours| Shape { hours, files_an_hour: 1 };
    let late = Shape { hours: 720, files_an_hour: 5 };
    if quick {
        vec![one(24), one(720), late]
    } else {
        vec![one(24), one(720), late, one(8_760), one(87_600)]
    }
}

/// Method of answering the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Rollups,
    Pruning,
    Statistics,
    Nothing,
    Listing,
    ListingByPartition,
}

impl Way {
    const ALL: [Way; 6] = [
        Way::Rollups,
        Way::Pruning,
        Way::Statistics,
        Way::Nothing,
        Way::Listing,
        Way::ListingByPartition,
    ];

    fn name(self) -> &'static str {
        match self {
            Way::Rollups => "rollups",
            Way::Pruning => "pruning by hour",
            Way::Statistics => "statistics only",
            Way::Nothing => "no pruning",
            Way::Listing => "ListingTable",
            Way::ListingByPartition => "ListingTable, partitions named",
        }
    }

    /// Returns the session options for the engine; `None` for DataFusion's own table.
    fn settings(self) -> Option<&'static [(&'static str, &'static str)]> {
        Some(match self {
            Way::Rollups => &[],
            Way::Pruning => &[("hourglass.rollups", "false")],
            Way::Statistics => &[("hourglass.rollups", "false"), ("hourglass.pruning", "false")],
            Way::Nothing => &[
                ("hourglass.rollups", "false"),
                ("hourglass.pruning", "false"),
                ("datafusion.execution.parquet.pruning", "false"),
                ("datafusion.execution.parquet.enable_page_index", "false"),
                ("datafusion.execution.parquet.bloom_filter_on_read", "false"),
                ("datafusion.execution.parquet.pushdown_filters", "false"),
            ],
            Way::Listing | Way::ListingByPartition => return None,
        })
    }
}

/// Returns the query for the counts of the hours `first..=last`.
fn question(way: Way, first: Hour, last: Hour) -> String {
    let by_partition = match (way, first == last) {
        (Way::ListingByPartition, true) => {
            format!(" AND date = '{}' AND hour = '{:02}'", first.date(), first.of_day())
        }
        (Way::ListingByPartition, false) => format!(" AND date = '{}'", first.date()),
        _ => String::new(),
    };
    format!(
        "SELECT count(DISTINCT user_id) AS unique_users, count(*) FILTER (WHERE event = 'click') AS clicks, \
         count(*) FILTER (WHERE event = 'impression') AS impressions FROM events \
         WHERE timestamp >= TIMESTAMP '{first}' AND timestamp < TIMESTAMP '{}'{by_partition}",
        last.next()
    )
}

/// Times and counters of one query, run with one method on one store.
struct Asked {
    /// The first query after opening the store with a cold page cache, in milliseconds.
    cold: Samples,
    warm: Samples,
    considered: u64,
    opened: u64,
    bytes: u64,
    listings: u64,
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let shapes = shapes(options.quick);
    let steps = Steps::new(shapes.len() * (1 + Way::ALL.len()));
    report.setting(
        "events",
        format!("{EVENTS_AN_HOUR} an hour by {} users, hours from {FIRST}", thousands(USERS)),
    );
    report.setting(
        "questions",
        "unique users, clicks and impressions of one hour, and of one day, by SQL",
    );
    report.setting("threads", QueryOptions::default().threads);
    let mut stores = Section::new(
        "Stores",
        "Opening reads the Delta log and makes the index of hours and files. Cold: no page of the store in memory. The memory \
         is all that `hourglass serve` holds once it is ready, the allocator told to give back what it does not use.",
        &["partitions", "files", "data", "opened cold", "opened warm", "server's memory"],
    );
    let about = "From the text of the statement to its last row. Cold is the first question after opening, no page of the \
                 store in memory; warm are those after it. Opened files, bytes and listings are those of the cold one, counted in \
                 the object store: what DataFusion keeps from one question to the next is not asked for again.";
    let columns =
        ["partitions", "way", "cold", "warm", "files considered", "opened", "read", "listings"];
    let mut hour = Section::new("One hour", about, &columns);
    let mut day = Section::new("One day", about, &columns);
    let mut held = Vec::new();
    let mut curves: Vec<(String, Vec<(f64, f64)>)> =
        Way::ALL.map(|way| (way.name().into(), Vec::new())).into();
    for shape in &shapes {
        steps.next(format!("{} partitions: writing", shape.name()));
        let store = Store::write(
            *shape,
            options,
            &dir.join(format!("{}x{}", shape.hours, shape.files_an_hour)),
        )?;
        let (cells, files, memory) = store.cells()?;
        stores.row(cells);
        held.push((files as f64, memory as f64));
        for (way, curve) in Way::ALL.into_iter().zip(&mut curves) {
            steps.next(format!("{} partitions: {}", shape.name(), way.name()));
            let asked = store.ask(way, HOUR, HOUR)?;
            if shape.files_an_hour == 1 {
                curve.1.push((shape.hours as f64, asked.warm.median()));
                goals(report, way, *shape, &asked);
            }
            hour.row(asked.cells(*shape, way));
            day.row(store.ask(way, DAY.0, DAY.1)?.cells(*shape, way));
        }
        std::fs::remove_dir_all(&store.dir).map_err(Error::io(&store.dir, "remove"))?;
    }
    if let (Some(first), Some(last)) = (held.first(), held.last())
        && last.0 > 10_000.0
    {
        let each = (last.1 - first.1) / (last.0 - first.0);
        report.goal(
            "memory of the server for each file more",
            each,
            Sign::AtMost,
            1_000.0,
            " bytes",
        );
    }
    if let (Some(first), Some(last)) = (curves[1].1.first(), curves[1].1.last()) {
        let what = format!(
            "one hour of {} partitions, in the time of {}",
            thousands(last.0 as u64),
            first.0
        );
        report.goal(&what, last.1 / first.1, Sign::AtMost, 1.2, "");
    }
    hour.plots.push(Plot {
        title: "One hour's numbers, by the size of the store (warm)".into(),
        x: "hour partitions".into(),
        y: "milliseconds".into(),
        log: true,
        series: curves,
    });
    report.sections.extend([hour, day, stores]);
    Ok(())
}

fn goals(report: &mut Report, way: Way, shape: Shape, asked: &Asked) {
    if way == Way::Pruning && shape.hours == 87_600 {
        report.goal(
            "files opened for one hour of 87,600",
            asked.opened as f64,
            Sign::AtMost,
            1.0,
            "",
        );
        report.goal("listings made for it", asked.listings as f64, Sign::AtMost, 0.0, "");
    }
}

/// A store on disk, with its expected answers.
struct Store {
    dir: PathBuf,
    /// Maximum time for which one query is repeated.
    timeout: Duration,
    shape: Shape,
    hour: [i64; 3],
    day: [i64; 3],
}

impl Store {
    fn write(shape: Shape, options: &Options, dir: &Path) -> Result<Store> {
        let (seed, timeout) =
            (options.seed, Duration::from_millis(if options.quick { 300 } else { 3_000 }));
        let engine = Engine::open(dir, data::roomy())?;
        let events = shape.hours * EVENTS_AN_HOUR;
        let whole = data::workload(FIRST, shape.hours, events, USERS, seed);
        let mut tallies = Tallies::default();
        // Each pass writes a share of every hour's events, as late events would, so that each hour
        // gets `files_an_hour` files.
        for share in 0..shape.files_an_hour {
            let each = shape.files_an_hour as i64;
            let start_us = whole.start_us + share as i64 * whole.interval_us;
            let part = Workload {
                start_us,
                interval_us: whole.interval_us * each,
                seed: seed + share,
                ..whole.clone()
            };
            let asked = |batch: &crate::event::EventBatch, tallies: &mut Tallies| {
                if batch.timestamps_us().first().is_some_and(|us| *us < DAY.1.end_us()) {
                    tallies.add(batch);
                }
            };
            wait(data::load(&engine, &part, |batch| asked(batch, &mut tallies)))??;
            wait(engine.flush())??;
        }
        engine.close()?;
        let numbers = |first, last| {
            let numbers = tallies.total(first, last).numbers();
            let [clicks, impressions] = EventKind::CONTRACT.map(|kind| numbers.count(kind));
            [numbers.unique_users, clicks, impressions].map(|n| n as i64)
        };
        Ok(Store {
            dir: dir.into(),
            timeout,
            shape,
            hour: numbers(HOUR, HOUR),
            day: numbers(DAY.0, DAY.1),
        })
    }

    fn open(&self, cold: bool) -> Result<(Arc<Snapshot>, f64)> {
        if cold {
            forget_pages(&self.dir).map_err(Error::io(&self.dir, "forget the pages of"))?;
        }
        let vfs: Arc<dyn Vfs> = Arc::new(Disk);
        let started = Instant::now();
        let store = ReadOnly::open(&self.dir, &EngineOptions::default(), &vfs)?;
        Ok((store.snapshot, ms_since(started)))
    }

    /// Returns the store's row of the report, its number of files, and the memory of a server on
    /// it.
    fn cells(&self) -> Result<([Cell; 6], u64, u64)> {
        let opened = |cold| -> Result<Samples> { (0..3).map(|_| Ok(self.open(cold)?.1)).collect() };
        let (cold, warm) = (opened(true)?, opened(false)?);
        let snapshot = self.open(false)?.0;
        let bytes =
            snapshot.files.values().flat_map(|hour| &hour.files).map(|file| file.bytes).sum();
        let memory = Served::start(&self.dir, &[("MIMALLOC_PURGE_DELAY", "0")])?.memory();
        let cells = [
            self.shape.name().into(),
            Cell::count(snapshot.file_count),
            Cell::bytes(bytes),
            Cell::ms(&cold),
            Cell::ms(&warm),
            Cell::bytes(memory),
        ];
        Ok((cells, snapshot.file_count, memory))
    }

    /// Runs the query with a cold cache, checks the answer, then repeats it warm until the timeout.
    fn ask(&self, way: Way, first: Hour, last: Hour) -> Result<Asked> {
        let sql = question(way, first, last);
        let expected = if first == last { self.hour } else { self.day };
        let mut cold = Samples::default();
        let begun = Instant::now();
        let (mut asker, mut cost) = (None, Cost::default());
        while cold.len() < 3 && (cold.len() == 0 || begun.elapsed() < self.timeout) {
            let asked = Asker::new(way, self.open(true)?.0)?;
            let (ms, answer, counted) = asked.ask(&sql)?;
            check(
                &format!("{} of {} partitions", way.name(), self.shape.name()),
                &answer,
                &expected,
            )?;
            cold.push(ms);
            (asker, cost) = (Some(asked), counted);
        }
        let asker = asker.expect("asked at least once");
        let (mut warm, begun) = (Samples::default(), Instant::now());
        while warm.len() < MOST_QUESTIONS && (warm.len() == 0 || begun.elapsed() < self.timeout) {
            let (ms, answer, _) = asker.ask(&sql)?;
            check("the same question again", &answer, &expected)?;
            warm.push(ms);
        }
        let Cost { considered, opened, bytes, listings } = cost;
        let considered = considered.unwrap_or(self.shape.hours * self.shape.files_an_hour);
        Ok(Asked { cold, warm, considered, opened, bytes, listings })
    }
}

impl Asked {
    fn cells(&self, shape: Shape, way: Way) -> [Cell; 8] {
        [
            shape.name().into(),
            way.name().into(),
            Cell::ms(&self.cold),
            Cell::ms(&self.warm),
            Cell::count(self.considered),
            Cell::count(self.opened),
            Cell::bytes(self.bytes),
            Cell::count(self.listings),
        ]
    }
}

/// Cost of one query.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Number of files left after pruning by hour, if the engine reports it.
    considered: Option<u64>,
    opened: u64,
    bytes: u64,
    listings: u64,
}

/// Engine that runs the query.
enum Asker {
    Engine {
        engine: Arc<QueryEngine>,
        snapshot: Arc<Snapshot>,
        settings: &'static [(&'static str, &'static str)],
    },
    Plain {
        context: SessionContext,
        reads: Arc<Reads>,
        runtime: tokio::runtime::Runtime,
    },
}

impl Asker {
    fn new(way: Way, snapshot: Arc<Snapshot>) -> Result<Asker> {
        let options = QueryOptions { timeout: Duration::from_secs(600), ..QueryOptions::default() };
        if let Some(settings) = way.settings() {
            return Ok(Asker::Engine {
                engine: Arc::new(QueryEngine::new(&options)?),
                snapshot,
                settings,
            });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads)
            .enable_all()
            .build();
        let runtime = runtime.map_err(Error::io("", "start a runtime"))?;
        let reads = Arc::new(Reads::default());
        let context = runtime.block_on(plain::listing(&snapshot, &reads, options.threads))?;
        Ok(Asker::Plain { context, reads, runtime })
    }

    /// Runs a query; returns its time in milliseconds, the three counts, and the cost.
    fn ask(&self, sql: &str) -> Result<(f64, [i64; 3], Cost)> {
        match self {
            Asker::Engine { engine, snapshot, settings } => {
                let mut session = engine.new_session();
                settings.iter().try_for_each(|(name, value)| session.set(name, value))?;
                let started = Instant::now();
                let (recorder, batches) = wait(async {
                    let answer = engine.run_text(&mut session, snapshot, sql, Params::None).await?;
                    let recorder = answer.recorder.clone();
                    Ok::<_, Error>((recorder, answer.collect().await?))
                })??;
                let ms = ms_since(started);
                let stats = recorder.stats();
                let considered = Some(if stats.rollup { 0 } else { stats.files_chosen });
                let (opened, bytes, listings) =
                    (recorder.reads.files(), recorder.reads.bytes(), recorder.reads.listings());
                Ok((ms, plain::numbers(&batches)?, Cost { considered, opened, bytes, listings }))
            }
            Asker::Plain { context, reads, runtime } => {
                let before = (reads.bytes(), reads.listings());
                reads.forget_files();
                let started = Instant::now();
                let batches = runtime.block_on(plain::ask(context, sql))?;
                let ms = ms_since(started);
                let (bytes, listings) = (reads.bytes() - before.0, reads.listings() - before.1);
                Ok((
                    ms,
                    plain::numbers(&batches)?,
                    Cost { considered: None, opened: reads.files(), bytes, listings },
                ))
            }
        }
    }
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_years_begin_where_the_stores_do() {
        assert_eq!(FIRST.to_string(), "2015-01-01T00:00:00Z");
        assert_eq!(Hour(FIRST.0 + 87_672).to_string(), "2025-01-01T00:00:00Z");
        assert_eq!(Shape { hours: 720, files_an_hour: 5 }.name(), "720, late events: 5 files each");
    }
}
