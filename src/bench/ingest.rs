//! Benchmark of ingestion and of recovery after a crash: appending, importing, flushing,
//! recovering.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};

use super::data::{self, Tallies, roomy};
use super::disk::{Counters, Written, forget_pages};
use super::harness::{Options, Steps, check, wait};
use super::process::{self, Served};
use super::report::{Cell, Report, Section, Sign, digits};
use super::stats::Samples;
use super::traffic;
use crate::decode::BATCH_EVENTS;
use crate::encode::FileWriter;
use crate::error::{Error, Result};
use crate::event::{Declaration, EventBatch, EventKind, EventSchema, Key};
use crate::generate::{Dimension, Workload};
use crate::hour::{Hour, SystemClock};
use crate::storage::{Engine, EngineOptions};
use crate::text::thousands;

/// Hour of all events in the larger measurements: 2015-01-01T00:00:00Z.
const HOUR: Hour = Hour(394_464);

/// Measured kinds of appends: events per append, concurrent appends, and whether each append has an
/// idempotency key.
const APPENDS: [(usize, usize, bool); 7] = [
    (1, 1, false),
    (1, 256, false),
    (1, 256, true),
    (100, 4, false),
    (1_000, 4, false),
    (10_000, 4, false),
    (BATCH_EVENTS, 4, false),
];

struct Plan {
    events: u64,
    users: u64,
    appending: Duration,
    rounds: usize,
    keys: u64,
}

impl Plan {
    fn new(quick: bool) -> Plan {
        if quick {
            Plan {
                events: 1_000_000,
                users: 100_000,
                appending: Duration::from_millis(500),
                rounds: 2,
                keys: 100_000,
            }
        } else {
            Plan {
                events: 10_000_000,
                users: 1_000_000,
                appending: Duration::from_secs(3),
                rounds: 3,
                keys: 5_000_000,
            }
        }
    }

    fn workload(&self, seed: u64) -> Workload {
        data::workload(HOUR, 1, self.events, self.users, seed)
    }
}

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let plan = Plan::new(options.quick);
    let workload = plan.workload(options.seed);
    let steps = Steps::new(APPENDS.len() + plan.rounds * 8 + 3);
    let what = format!(
        "{} random events of {} users in one hour",
        thousands(plan.events),
        thousands(plan.users)
    );
    report.setting("events", what);
    report.sections.push(appending(&plan, &workload, &dir.join("append"), &steps)?);
    let bytes = bytes_a_key(&plan, &dir.join("keys"), &steps)?;
    report.setting(
        "memory of an idempotency key",
        format!("{bytes:.0} bytes, {} remembered", thousands(plan.keys)),
    );
    steps.next("writing a Parquet file to import");
    let file = dir.join("events.parquet");
    let plain = Input::write(workload.clone(), &EventSchema::default(), file)?;
    steps.next("writing a Parquet file with three dimensions");
    let file = dir.join("dimensions.parquet");
    let mut with_dimensions = workload;
    with_dimensions.dimensions = dimensions();
    let names = DIMENSIONS.map(|(name, _)| name.to_owned());
    let schema = EventSchema::new(&[], &names).map_err(Error::Invalid)?;
    let wide = Input::write(with_dimensions, &schema, file)?;
    let (mut measured, mut measured_wide) = (Measured::default(), Measured::default());
    for round in 0..plan.rounds {
        measured.round(&plain, &dir.join(format!("round-{round}")), &steps)?;
        measured_wide.round(&wide, &dir.join(format!("wide-{round}")), &steps)?;
    }
    measured.report(&plan, "", report);
    measured_wide.report(&plan, ", with three dimensions", report);
    measured.goals(&plan, report);
    Ok(())
}

/// Dimensions of the second input, and the number of values of each.
const DIMENSIONS: [(&str, u64); 3] = [("page", 20_000), ("referrer", 2_000), ("country", 200)];

fn dimensions() -> Vec<Dimension> {
    let dimension = |(index, (name, values)): (usize, (&str, u64))| Dimension {
        index,
        name: name.into(),
        values,
        zipf: true,
    };
    DIMENSIONS.into_iter().enumerate().map(dimension).collect()
}

/// Events to load, and a file that has them.
struct Input {
    workload: Workload,
    schema: EventSchema,
    expected: Tallies,
    file: PathBuf,
}

impl Input {
    fn write(workload: Workload, schema: &EventSchema, file: PathBuf) -> Result<Input> {
        let mut writer = FileWriter::create(schema, &file)?;
        let mut expected = Tallies::default();
        for batch in workload.events()? {
            expected.add(&batch);
            writer.write(&batch)?;
        }
        writer.finish()?;
        Ok(Input { workload, schema: schema.clone(), expected, file })
    }

    fn options(&self) -> EngineOptions {
        EngineOptions { declared: Declaration::of(&self.schema), ..roomy() }
    }
}

/// Opens an engine on a disk whose writes and syncs are counted.
fn open(dir: &Path, options: EngineOptions) -> Result<(Engine, Arc<Counters>)> {
    let disk = Arc::<Counters>::default();
    Ok((Engine::open_with(dir, options, disk.disk(), Arc::new(SystemClock))?, disk))
}

fn appending(plan: &Plan, workload: &Workload, dir: &Path, steps: &Steps) -> Result<Section> {
    let mut section = Section::new(
        "Appending",
        "From the engine's door to durable and visible, without HTTP: an append is answered after its frame of the log is \
         synced.",
        &[
            "events an append",
            "under way",
            "with keys",
            "events/s",
            "syncs/s",
            "events a sync",
            "p50",
            "p99",
        ],
    );
    let events: Vec<EventBatch> = workload.events()?.take(4).collect();
    for (size, under_way, keyed) in APPENDS {
        steps.next(format!("appending {size} at a time, {under_way} under way"));
        let (engine, disk) = open(&dir.join(format!("{size}-{under_way}-{keyed}")), roomy())?;
        let batches = cut(&events, size);
        let before = disk.written();
        let started = Instant::now();
        let (appended, times) =
            wait(append_for(&engine, &batches, under_way, keyed, plan.appending))??;
        let (seconds, written) = (started.elapsed().as_secs_f64(), disk.written().since(before));
        check(
            "events in memory",
            &engine.snapshot().totals(Hour::FIRST, Hour::LAST).rows(),
            &appended,
        )?;
        engine.close()?;
        let ms = |of: f64| {
            Cell::number(times.quantile(of), format!("{} ms", digits(times.quantile(of))))
        };
        section.row([
            Cell::count(size as u64),
            Cell::count(under_way as u64),
            if keyed { "yes" } else { "no" }.into(),
            Cell::count((appended as f64 / seconds) as u64),
            Cell::count((written.log_syncs as f64 / seconds) as u64),
            Cell::number(
                appended as f64 / written.log_syncs as f64,
                digits(appended as f64 / written.log_syncs as f64),
            ),
            ms(0.5),
            ms(0.99),
        ]);
    }
    Ok(section)
}

fn key(n: usize) -> Result<Key> {
    Ok(Key::new(&format!("request {n}"))?)
}

/// Returns a server's memory in bytes per remembered idempotency key: the difference between
/// starting with the key files and without them.
fn bytes_a_key(plan: &Plan, dir: &Path, steps: &Steps) -> Result<f64> {
    steps.next(format!("remembering {} idempotency keys", thousands(plan.keys)));
    let (engine, _) = open(dir, roomy())?;
    for first in (0..plan.keys as usize).step_by(1_000) {
        let mut batch = EventBatch::new();
        for n in first..first + 1_000 {
            batch.push(HOUR.start_us(), "user", EventKind::CLICK);
            batch.key_from(n - first, key(n)?);
        }
        wait(data::append(&engine, batch))??;
    }
    wait(engine.flush())??;
    engine.close()?;
    drop(engine);
    let served = || Ok::<_, Error>(Served::start(dir, &[("MIMALLOC_PURGE_DELAY", "0")])?.memory());
    let with = served()?;
    std::fs::remove_dir_all(dir.join("keys")).map_err(Error::io(dir, "remove the keys in"))?;
    Ok(with.saturating_sub(served()?) as f64 / plan.keys as f64)
}

/// Splits events into batches of `size`.
fn cut(events: &[EventBatch], size: usize) -> Vec<EventBatch> {
    let enough = if size >= BATCH_EVENTS { events.len() } else { 256 };
    let mut all = events.iter().flat_map(EventBatch::iter);
    let mut batches = Vec::new();
    while batches.len() < enough {
        let mut batch = EventBatch::new();
        all.by_ref().take(size).for_each(|event| batch.push_event(event));
        if batch.len() == size { batches.push(batch) } else { break }
    }
    batches
}

/// Appends repeatedly for a fixed time; returns the number of events, and the duration of each
/// append in milliseconds.
async fn append_for(
    engine: &Engine,
    batches: &[EventBatch],
    under_way: usize,
    keyed: bool,
    time: Duration,
) -> Result<(u64, Samples)> {
    let begun = Instant::now();
    let one = async |i: usize| {
        let (mut batch, started) = (batches[i % batches.len()].clone(), Instant::now());
        if keyed {
            batch.key_from(0, key(i)?);
        }
        let events = batch.len() as u64;
        data::append(engine, batch).await?;
        Ok::<_, Error>((events, started.elapsed().as_secs_f64() * 1e3))
    };
    let mut running = FuturesUnordered::new();
    (0..under_way).for_each(|i| running.push(one(i)));
    let (mut next, mut appended, mut times) = (under_way, 0, Vec::new());
    while let Some(done) = running.next().await {
        let (events, ms) = done?;
        appended += events;
        times.push(ms);
        if begun.elapsed() < time {
            running.push(one(next));
            next += 1;
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((appended, times.into_iter().collect()))
}

/// Measurements of all rounds.
#[derive(Default)]
struct Measured {
    import: Samples,
    import_memory: u64,
    recovery_cold: Samples,
    recovery_warm: Samples,
    recovery_memory: u64,
    log_bytes: u64,
    flush: Samples,
    data_bytes: u64,
    table_written: u64,
    payload: u64,
}

impl Measured {
    fn round(&mut self, input: &Input, dir: &Path, steps: &Steps) -> Result<()> {
        let Input { workload, expected, file, .. } = input;
        let events = workload.count() as f64;
        let folder = file.parent().expect("a file in a folder");
        // The import takes the kinds and dimensions that are there.
        open(&dir.join("imported"), input.options())?.0.close()?;
        steps.next("importing a Parquet file");
        forget_pages(folder).map_err(Error::io(folder, "forget the pages of"))?;
        let imported = dir.join("imported");
        let (seconds, peak) = process::run(&[
            "import".as_ref(),
            file.as_ref(),
            "--data-dir".as_ref(),
            imported.as_ref(),
        ])?;
        self.import.push(events / seconds);
        self.import_memory = self.import_memory.max(peak);
        let (engine, _) = open(&imported, input.options())?;
        check(
            "the imported hour",
            &wait(engine.snapshot().exact(HOUR))??.numbers(),
            &Some(expected.numbers(HOUR)),
        )?;
        engine.close()?;

        steps.next("filling a log");
        let logged = dir.join("logged");
        let (engine, disk) = open(&logged, input.options())?;
        self.payload = 0;
        wait(data::load(&engine, workload, |batch| self.payload += batch.byte_len() as u64))??;
        engine.close()?;
        drop(engine);
        let written = disk.written();
        steps.next("recovering from the log");
        for cold in [false, true] {
            if cold {
                forget_pages(&logged).map_err(Error::io(&logged, "forget the pages of"))?;
            }
            let served = Served::start(&logged, &[])?;
            let rate = events / served.seconds;
            if cold { &mut self.recovery_cold } else { &mut self.recovery_warm }.push(rate);
            self.recovery_memory = self.recovery_memory.max(served.peak());
            traffic::check_hours(served.address, [&HOUR].into_iter(), expected)?;
        }
        steps.next("flushing to Parquet");
        let (engine, disk) = open(&logged, input.options())?;
        self.flush(events, expected, &engine, &disk, written)?;
        engine.close()?;
        std::fs::remove_dir_all(dir).map_err(Error::io(dir, "remove"))
    }

    fn flush(
        &mut self,
        events: f64,
        expected: &Tallies,
        engine: &Engine,
        disk: &Counters,
        logged: Written,
    ) -> Result<()> {
        let before = disk.written();
        let started = Instant::now();
        wait(engine.flush())??;
        let seconds = started.elapsed().as_secs_f64();
        self.flush.push(events / seconds);
        let snapshot = engine.snapshot();
        self.data_bytes =
            snapshot.files.values().flat_map(|hour| &hour.files).map(|file| file.bytes).sum();
        self.table_written = disk.written().since(before).table_bytes;
        self.log_bytes = logged.log_bytes;
        check(
            "the flushed hour",
            &wait(snapshot.exact(HOUR))??.numbers(),
            &Some(expected.numbers(HOUR)),
        )
    }

    fn report(&self, plan: &Plan, of: &str, report: &mut Report) {
        let each = |bytes: u64| bytes as f64 / plan.events as f64;
        let mut section = Section::new(
            &format!("Files and recovery{of}"),
            "Import: `hourglass import` of a Parquet file, cold, from its start to its end with everything in data files. \
             Recovery: `hourglass serve` on a log of all events, from its start to ready; cold with no page of the log in \
             memory. Memory is the most the process held. Counts are compared after every step.",
            &["step", "events/s", "memory", "bytes an event"],
        );
        let row = |name: &str, rate: &Samples, memory: Option<u64>, bytes: f64| {
            let memory = memory.map_or_else(Cell::default, Cell::bytes);
            [name.into(), Cell::rate(rate), memory, Cell::number(bytes, format!("{bytes:.2}"))]
        };
        section.row(row(
            "import from Parquet",
            &self.import,
            Some(self.import_memory),
            each(self.data_bytes),
        ));
        let memory = Some(self.recovery_memory);
        section.row(row(
            "recovery, log in memory",
            &self.recovery_warm,
            memory,
            each(self.log_bytes),
        ));
        section.row(row("recovery, cold", &self.recovery_cold, memory, each(self.log_bytes)));
        section.row(row("flush to Parquet", &self.flush, None, each(self.data_bytes)));
        report.sections.push(section);
        let mut written = Section::new(
            &format!("Written{of}"),
            "Bytes that went to the disk for all events, counted below the engine; the payload is timestamp, kind and user as \
             the log has them, without its framing. Zeros of preallocated log segments, which are used again, are left out.",
            &["what", "bytes", "of the payload"],
        );
        let amplified = |bytes: u64| bytes as f64 / self.payload as f64;
        for (name, bytes) in [
            ("payload", self.payload),
            ("log", self.log_bytes),
            ("data files and the Delta log", self.table_written),
            ("both: the write amplification", self.log_bytes + self.table_written),
        ] {
            let share = Cell::number(amplified(bytes), format!("{:.2}", amplified(bytes)));
            written.row([name.into(), Cell::bytes(bytes), share]);
        }
        report.sections.push(written);
    }

    fn goals(&self, plan: &Plan, report: &mut Report) {
        let each = |bytes: u64| bytes as f64 / plan.events as f64;
        let million = |samples: &Samples| samples.median() / 1e6;
        report.goal(
            "recovery, cold",
            million(&self.recovery_cold),
            Sign::AtLeast,
            3.0,
            " million events/s",
        );
        report.goal("stored size", each(self.data_bytes), Sign::AtMost, 5.0, " bytes an event");
    }
}
