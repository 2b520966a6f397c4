//! Benchmark of exact distinct users where rollups do not apply: a query with DISTINCT and FILTER
//! over one hour of a million to a hundred million events, in memory, in one file and in many
//! files, compared with plain DataFusion over the same rows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;

use super::data::{self, Tallies, roomy};
use super::harness::{Options, Steps, ask_by_scan, check, wait};
use super::plain;
use super::report::{Cell, Plot, Report, Section};
use super::stats::Samples;
use crate::encode::record_batch;
use crate::error::{Error, Result};
use crate::event::{EventKind, EventSchema};
use crate::hour::Hour;
use crate::query::{QueryEngine, QueryOptions};
use crate::storage::{Engine, Reads, Snapshot};
use crate::text::thousands;

const HOUR: Hour = Hour(394_464);

/// Number of files of an hour that has many files.
const FILES: u64 = 16;

const TIME_LIMIT: Duration = Duration::from_secs(20);
const MOST_QUESTIONS: usize = 7;

const QUESTION: &str = "\
SELECT count(DISTINCT user_id) AS users, count(DISTINCT user_id) FILTER (WHERE event = 'click') AS clickers,
       count(*) FILTER (WHERE event = 'click') AS clicks, count(*) AS events
FROM events";

pub fn run(options: &Options, dir: &Path, report: &mut Report) -> Result<()> {
    let sizes: &[u64] =
        if options.quick { &[1_000_000] } else { &[1_000_000, 10_000_000, 100_000_000] };
    let threads = QueryOptions::default().threads;
    let steps = Steps::new(sizes.len() * 6);
    report.setting("question", QUESTION.replace('\n', " "));
    report.setting("threads", threads);
    report.setting("users", "a tenth as many as events, a million at most");
    let mut section = Section::new(
        "Distinct users of one hour",
        "From the statement's text to its row, rollups off, after one answer that was checked. DataFusion: its own table in \
         memory, and its ListingTable over the same files.",
        &["events", "rows lie in", "hourglass", "DataFusion", "DataFusion takes"],
    );
    let mut curves: [(String, Vec<(f64, f64)>); 2] =
        [("hourglass, one file".into(), Vec::new()), ("DataFusion, one file".into(), Vec::new())];
    for &events in sizes {
        for place in Place::ALL {
            let name = format!("{} events, {}", thousands(events), place.name());
            steps.next(format!("{name}: writing"));
            let folder = dir.join(format!("{events}-{place:?}"));
            let store = Store::new(place, events, options.seed, &folder)?;
            steps.next(format!("{name}: asking"));
            let (ours, theirs) = store.ask(threads)?;
            if place == Place::OneFile {
                curves[0].1.push((events as f64, ours.median()));
                curves[1].1.push((events as f64, theirs.median()));
            }
            let times = theirs.median() / ours.median();
            section.row([
                Cell::count(events),
                place.name().into(),
                Cell::ms(&ours),
                Cell::ms(&theirs),
                Cell::number(times, format!("{times:.1} times as long")),
            ]);
            store.engine.close()?;
            drop(store);
            std::fs::remove_dir_all(&folder).map_err(Error::io(&folder, "remove"))?;
        }
    }
    if sizes.len() > 1 {
        section.plots.push(Plot {
            title: "The mixed question over one file".into(),
            x: "events".into(),
            y: "milliseconds".into(),
            log: true,
            series: curves.into(),
        });
    }
    report.sections.push(section);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    OneFile,
    ManyFiles,
}

impl Place {
    const ALL: [Place; 3] = [Place::Memory, Place::OneFile, Place::ManyFiles];

    fn name(self) -> &'static str {
        match self {
            Place::Memory => "memory",
            Place::OneFile => "one file",
            Place::ManyFiles => "16 files",
        }
    }
}

struct Store {
    engine: Engine,
    expected: [i64; 4],
    /// Rows for DataFusion's in-memory table; empty if the rows are in files.
    batches: Vec<RecordBatch>,
}

impl Store {
    fn new(place: Place, events: u64, seed: u64, dir: &Path) -> Result<Store> {
        let users = (events / 10).clamp(1, 1_000_000);
        let workload = data::workload(HOUR, 1, events, users, seed);
        let engine = Engine::open(dir, roomy())?;
        let (mut tallies, mut batches, mut appended) = (Tallies::default(), Vec::new(), 0);
        let parts = if place == Place::ManyFiles { FILES } else { 1 };
        for batch in workload.events()? {
            tallies.add(&batch);
            if place == Place::Memory {
                batches.push(record_batch(&EventSchema::default(), &batch));
            }
            let (part, before) = (events.div_ceil(parts), appended);
            appended += batch.len() as u64;
            wait(data::append(&engine, batch))??;
            if place == Place::ManyFiles && appended / part > before / part {
                wait(engine.flush())??;
            }
        }
        if place != Place::Memory {
            wait(engine.flush())??;
        }
        let tally = tallies.total(HOUR, HOUR);
        let numbers = tally.numbers();
        let clicks = numbers.count(EventKind::CLICK);
        let expected =
            [numbers.unique_users, tally.clickers(), clicks, numbers.events()].map(|n| n as i64);
        Ok(Store { engine, expected, batches })
    }

    /// Returns the times in milliseconds, ours and DataFusion's, measured in alternation.
    fn ask(&self, threads: usize) -> Result<(Samples, Samples)> {
        let snapshot = self.engine.snapshot();
        let options = QueryOptions {
            timeout: Duration::from_secs(600),
            memory_bytes: 8 << 30,
            ..QueryOptions::default()
        };
        let engine = Arc::new(QueryEngine::new(&options)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build();
        let runtime = runtime.map_err(Error::io("", "start a runtime"))?;
        let context = if self.batches.is_empty() {
            runtime.block_on(plain::listing(&snapshot, &Arc::<Reads>::default(), threads))?
        } else {
            plain::memory(self.batches.clone(), threads)?
        };
        check("hourglass", &ours(&engine, &snapshot)?.1, &self.expected)?;
        check("DataFusion", &theirs(&runtime, &context)?.1, &self.expected)?;
        let (mut our, mut their) = (Samples::default(), Samples::default());
        let begun = Instant::now();
        while our.len() < MOST_QUESTIONS && (our.len() < 2 || begun.elapsed() < TIME_LIMIT) {
            our.push(ours(&engine, &snapshot)?.0);
            their.push(theirs(&runtime, &context)?.0);
        }
        Ok((our, their))
    }
}

fn ours(engine: &Arc<QueryEngine>, snapshot: &Arc<Snapshot>) -> Result<(f64, [i64; 4])> {
    let (ms, batches) = ask_by_scan(engine, snapshot, QUESTION)?;
    Ok((ms, plain::numbers(&batches)?))
}

fn theirs(runtime: &tokio::runtime::Runtime, context: &SessionContext) -> Result<(f64, [i64; 4])> {
    let started = Instant::now();
    let batches = runtime.block_on(plain::ask(context, QUESTION))?;
    Ok((started.elapsed().as_secs_f64() * 1e3, plain::numbers(&batches)?))
}
