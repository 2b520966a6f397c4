//! The engine on a simulated disk whose power fails: seeded operations, seeded faults, and a plain
//! ledger as the judge.
//!
//! The engine has no threads here: the seed decides whether the writer or the committer does its
//! next step, and so fixes the operations, their order down to each call of the disk, the faults
//! and what a cut leaves.
//!
//! `HOURGLASS_SIM_SEEDS=20000` asks for more seeds, `HOURGLASS_SIM_SEED=17` replays one and prints
//! all it does.

pub mod disk;
mod faults;
mod ledger;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;

use futures::future::{MaybeDone, maybe_done};

use hourglass::event::{Declaration, EventBatch, EventKind, Key};
use hourglass::hour::{Clock, HOUR_US, Hour};
use hourglass::storage::vfs::Vfs;
use hourglass::storage::vfs::observed::Observed;
use hourglass::storage::{
    self, CompactionOptions, Engine, EngineOptions, Error, Progress, ReadOnly, Steps, verify,
};

use self::disk::{SimDisk, Survives};
use self::faults::Faults;
use self::ledger::Ledger;
use crate::support::{ManualClock, number_from, random};

const DIR: &str = "/store";
const FIRST_HOUR: i64 = 500_000;
const HOUR_MS: u64 = 3_600_000;

/// An operation that takes more steps of the engine hangs.
const MOST_STEPS: usize = 1_000;

/// What all seeds did together.
#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    /// Batches refused because their key came before with other content.
    reused: AtomicU64,
    starts: AtomicU64,
    cuts: AtomicU64,
    faults: AtomicU64,
    /// Files that requested compactions merged.
    merged: AtomicU64,
    /// Rows that were erased, and rows that were too old.
    erased: AtomicU64,
    expired: AtomicU64,
}

/// A question to the engine, on its way.
type Asked<F> = Pin<Box<MaybeDone<F>>>;

struct Simulation<'t> {
    totals: &'t Totals,
    seed: u64,
    disk: SimDisk,
    faults: Arc<Faults>,
    vfs: Arc<dyn Vfs>,
    clock: Arc<ManualClock>,
    options: EngineOptions,
    engine: Option<(Engine, Steps)>,
    /// Flushes that nobody waits for.
    flushes: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    ledger: Ledger,
    batches: u64,
    /// Batches that came under an idempotency key, whatever became of them.
    keyed: Vec<EventBatch>,
}

impl<'t> Simulation<'t> {
    fn new(totals: &'t Totals, mut seed: u64) -> Simulation<'t> {
        // Neighbouring seeds part ways.
        (0..3).for_each(|_| _ = random(&mut seed, 2));
        let disk = SimDisk::new();
        let clock = ManualClock::at(FIRST_HOUR * HOUR_US + 1);
        let faults = Arc::new(Faults::new(disk.clone(), clock.clone()));
        let options = EngineOptions {
            compaction: CompactionOptions {
                background: random(&mut seed, 3) > 0,
                late_after_ms: HOUR_MS,
                late_files: 2 + random(&mut seed, 3) as usize,
                cold_after_ms: 2 * HOUR_MS,
                interval_ms: 1,
            },
            retention_ms: (random(&mut seed, 4) == 0).then_some(3 * HOUR_MS),
            keep_replaced_ms: [0, HOUR_MS][random(&mut seed, 2) as usize],
            wal_segment_bytes: [1 << 10, 4 << 10][random(&mut seed, 2) as usize],
            memtable_max_rows: 50 + random(&mut seed, 300),
            declared: Declaration {
                kinds: (random(&mut seed, 3) == 0).then(|| vec!["signup".into()]),
                dimensions: (random(&mut seed, 2) == 0).then(|| vec!["page".into()]),
            },
            ..EngineOptions::default()
        };
        Simulation {
            totals,
            seed,
            vfs: Arc::new(Observed::new(disk.clone(), faults.clone())),
            disk,
            faults,
            clock,
            options,
            engine: None,
            flushes: Vec::new(),
            ledger: Ledger::default(),
            batches: 0,
            keyed: Vec::new(),
        }
    }

    fn random(&mut self, n: u64) -> u64 {
        random(&mut self.seed, n)
    }

    fn run(&mut self) {
        self.start();
        for _ in 0..6 + self.random(10) {
            if self.random(4) == 0 {
                self.totals.faults.fetch_add(1, Ordering::Relaxed);
                let mut seed = self.random(u64::MAX);
                let fault = self.faults.arm(&mut seed);
                self.tell(format!("armed: {fault}"));
            }
            self.age();
            self.operate();
            self.age();
            for _ in 0..self.random(4) {
                self.step();
            }
            if !self.disk.has_power() {
                self.restart();
            }
        }
        // What is there after the last cut is there for good, also in data files alone.
        self.restart();
        self.flush().expect("a flush without faults");
        self.judge();
        self.build_sets();
        self.judge();
        self.close();
        let store =
            ReadOnly::open(Path::new(DIR), &self.options, &self.vfs).expect("a look at the store");
        self.ledger.judge(&store.snapshot, "from outside");
        let disk: Arc<dyn Vfs> = Arc::new(self.disk.clone());
        let report = verify::verify(Path::new(DIR), &disk, &*self.clock, &|_, _| ());
        let report = report.expect("a verification");
        assert!(report.is_sound() && report.notes.is_empty(), "orphans: {report:#?}");
    }

    fn tell(&self, what: impl std::fmt::Display) {
        self.faults.tell(what.to_string());
    }

    fn engine(&self) -> &Engine {
        &self.engine.as_ref().expect("runs").0
    }

    /// Lets the writer, the committer or the builder of the visitor sets do its next step.
    fn step(&mut self) {
        let whose = self.random(5);
        let (_, steps) = self.engine.as_mut().expect("runs");
        match whose {
            0 | 1 => _ = steps.writer(),
            2 | 3 => _ = steps.committer(),
            _ => steps.sets(),
        }
    }

    /// Lets the builder of the visitor sets make all that are missing.
    fn build_sets(&mut self) {
        for _ in 0..MOST_STEPS {
            let (engine, steps) = self.engine.as_mut().expect("runs");
            if engine.has_all_sets() {
                return;
            }
            steps.sets();
        }
        panic!("the visitor sets are never complete");
    }

    /// Asks the engine something. What it is asked for is queued then.
    fn ask<F: Future>(question: F) -> Asked<F> {
        let mut asked = Box::pin(maybe_done(question));
        _ = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        asked
    }

    fn wait<F: Future>(&mut self, mut asked: Asked<F>) -> F::Output {
        for _ in 0..MOST_STEPS {
            if asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                return asked.as_mut().take_output().expect("taken once");
            }
            self.step();
        }
        panic!("an operation hangs");
    }

    fn flush(&mut self) -> Result<(), Error> {
        let engine = self.engine().clone();
        self.wait(Self::ask(async move { engine.flush().await }))
    }

    /// One operation of the clients, the clock or the power.
    fn operate(&mut self) {
        match self.random(16) {
            0..4 => self.append(1),
            4 => self.append(4),
            5 if !self.keyed.is_empty() => {
                let again = self.random(self.keyed.len() as u64) as usize;
                let again = self.keyed[again].clone();
                match self.random(3) {
                    0 => self.reuse(again),
                    _ => self.send(vec![again]),
                }
            }
            5 => self.append(1),
            6 | 7 => {
                // It may fail with the disk; nothing is lost by that.
                let outcome = self.flush();
                self.tell(format!("flush: {outcome:?}"));
                if outcome.is_ok() {
                    let snapshot = self.engine().snapshot();
                    assert!(
                        snapshot.memtables().all(|memtable| memtable.is_empty()),
                        "a flush leaves rows in memory"
                    );
                }
            }
            8 => {
                let engine = self.engine().clone();
                self.tell("flush in the background");
                self.flushes.push(Self::ask(async move { drop(engine.flush().await) }));
            }
            9 => {
                let now_us =
                    self.clock.now_us() + [HOUR_US, HOUR_US, -HOUR_US][self.random(3) as usize];
                self.clock.set(now_us);
                self.tell(format!("the clock is at {now_us}"));
            }
            10 => self.judge(),
            11 => self.compact(),
            13 => self.forget(),
            14 => self.retain(),
            12 => {
                // Whatever is due by now.
                for _ in 0..self.random(60) {
                    self.step();
                }
            }
            _ => {
                self.disk.cut_power();
                self.restart();
            }
        }
    }

    /// Merges all that can be merged. It may fail with the disk; nothing is lost by that.
    fn compact(&mut self) {
        let engine = self.engine().clone();
        let asked = Self::ask(async move { engine.compact(false, Progress::default()).await });
        let outcome = self.wait(asked);
        self.tell(format!("compact: {outcome:?}"));
        if let Ok(report) = outcome {
            self.totals.merged.fetch_add(report.files_before, Ordering::Relaxed);
            let snapshot = self.engine().snapshot();
            for (hour, files) in &snapshot.files {
                assert!(files.files.len() <= 2, "{hour} has {} files", files.files.len());
            }
        }
    }

    /// Erases a user. If that fails with the disk, some of the rows may be gone.
    fn forget(&mut self) {
        let (user, now) = (format!("user {}", self.random(20)), self.random(2) == 0);
        let (engine, users) = (self.engine().clone(), BTreeSet::from([user.clone()]));
        let outcome = self.wait(Self::ask(async move { engine.forget(users, now).await }));
        self.tell(format!("forget {user:?}: {outcome:?}"));
        self.ledger.forget(&user, outcome.is_ok());
        if let Ok(receipt) = outcome {
            self.totals.erased.fetch_add(receipt.rows_removed, Ordering::Relaxed);
        }
    }

    /// Removes what is too old. It may fail with the disk; then it is hidden, or still there.
    fn retain(&mut self) {
        let engine = self.engine().clone();
        let outcome = self.wait(Self::ask(async move { engine.retain(false).await }));
        self.tell(format!("retain: {outcome:?}"));
        if let Ok(report) = outcome {
            self.totals.expired.fetch_add(report.rows, Ordering::Relaxed);
        }
    }

    /// What is too old by now may go from now on.
    fn age(&mut self) {
        if let Some(retention_ms) = self.options.retention_ms {
            let oldest_us = self.clock.now_us() - retention_ms as i64 * 1_000;
            self.ledger.keep_from(Hour::of_us(oldest_us).start_us());
        }
    }

    /// Appends so many batches at once.
    fn append(&mut self, count: usize) {
        let mut batches: Vec<EventBatch> = (0..count).map(|_| self.batch()).collect();
        for batch in &mut batches {
            if self.random(3) == 0 {
                batch.key_from(0, Key::new(batch.get(0).user).expect("a short key"));
                self.keyed.push(batch.clone());
            }
        }
        // A client that gives up too early sends twice.
        if self.random(8) == 0 && !batches[0].keyed().is_empty() {
            batches.push(batches[0].clone());
        }
        self.send(batches);
    }

    /// Sends other events under the key of a batch, at once with that or alone.
    fn reuse(&mut self, batch: EventBatch) {
        let mut other = self.batch();
        other.key_from(0, batch.keyed()[0].key);
        self.keyed.push(other.clone());
        let both = self.random(2) == 0;
        self.send(if both { vec![batch, other] } else { vec![other] });
    }

    fn send(&mut self, batches: Vec<EventBatch>) {
        let mut appends = Vec::new();
        for batch in batches {
            let (engine, sent) = (self.engine().clone(), batch.clone());
            appends.push((batch, Self::ask(async move { engine.append(sent).await })));
            // Whether the next still comes into the same frame.
            if self.random(3) == 0 {
                self.step();
            }
        }
        let mut poisoned = false;
        for (batch, asked) in appends {
            let (batch, outcome) = (&batch, self.wait(asked));
            self.tell(format!(
                "append {} events, the first of {:?}: {outcome:?}",
                batch.len(),
                batch.get(0).user
            ));
            match outcome {
                Ok(_) => {
                    self.totals.acknowledged.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.ledger.acknowledge(batch);
                }
                Err(Error::KeyReused) => {
                    self.totals.reused.fetch_add(1, Ordering::Relaxed);
                    self.ledger.refuse_reused(batch);
                }
                Err(error) => {
                    self.totals.refused.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    // Busy promises that nothing was stored; after anything else nobody knows, all
                    // or nothing.
                    if !matches!(error, Error::Busy(_)) {
                        self.ledger.doubt(batch);
                    }
                    poisoned |= matches!(error, Error::Poisoned(_));
                }
            }
        }
        if poisoned && self.disk.has_power() {
            // What an operator does then.
            self.restart();
        }
    }

    /// A current batch, with late events and events that are alike; the first event is the batch's
    /// alone.
    fn batch(&mut self) -> EventBatch {
        self.batches += 1;
        let mut batch = EventBatch::new();
        let start = self.clock.hour().start_us();
        batch.push(start, &format!("batch {}", self.batches), EventKind::CLICK);
        let most = [3, 40][self.random(2) as usize];
        for _ in 0..self.random(most) {
            let late = if self.random(5) == 0 { self.random(4) as i64 } else { 0 };
            let us = start - late * HOUR_US + self.random(50) as i64;
            let schema = self.engine().snapshot().schema.clone();
            let kinds: Vec<EventKind> = schema.kinds().collect();
            let kind = kinds[self.random(kinds.len() as u64) as usize];
            batch.push(us, &format!("user {}", self.random(20)), kind);
            for dimension in 0..schema.dimensions().len() {
                if self.random(3) > 0 {
                    batch.set_value(dimension, &format!("value {}", self.random(9)));
                }
            }
        }
        batch
    }

    /// While it runs, exactly what was acknowledged is visible.
    fn judge(&mut self) {
        let snapshot = self.engine().snapshot();
        // A file that is read back may meet the fault that waits; the question is then asked again.
        self.faults.disarm();
        if self.disk.has_power() {
            self.ledger.judge(&snapshot, "while it runs");
        }
    }

    /// Ends the engine in order: what is queued is written, who waits is answered.
    fn close(&mut self) {
        let (engine, mut steps) = self.engine.take().expect("runs");
        engine.close().expect("an engine stops");
        while steps.writer().is_continue() {}
        while steps.committer().is_continue() {}
        for flush in &mut self.flushes {
            let ends = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(ends.is_ready(), "a flush ends with the engine");
        }
        self.flushes.clear();
    }

    /// The process ends here and now, and comes again on what the disk has kept.
    fn restart(&mut self) {
        self.totals.cuts.fetch_add(1, Ordering::Relaxed);
        self.disk.cut_power();
        self.flushes.clear();
        self.engine = None;
        let survives = [Survives::All, Survives::Nothing, Survives::Some, Survives::Some]
            [self.random(4) as usize];
        let seed = self.random(u64::MAX);
        self.disk.restore_power(survives, seed);
        self.tell(format!("a cut; of what was not synced survives: {survives:?}"));
        self.verify();
        if self.random(6) == 0 {
            self.declare();
        }
        self.start();
    }

    /// Declares another kind and another dimension, as a person does while nothing runs.
    fn declare(&mut self) {
        let disk = self.disk.clone();
        let declared = storage::declare(&disk, Path::new(DIR), |schema| {
            let (kinds, dimensions) = (schema.kind_names().len(), schema.dimensions().len());
            schema.with_kind(&format!("kind{kinds}"))?.with_dimension(&format!("dim{dimensions}"))
        });
        match declared {
            // From now on, the directory says what there is.
            Ok(_) => self.options.declared = Declaration::default(),
            // Cut before the directory had its name.
            Err(error) => assert!(matches!(error, Error::Missing(_)), "{error}"),
        }
        self.tell("another kind and dimension");
    }

    /// Whatever a cut leaves is no damage.
    fn verify(&self) {
        let disk: Arc<dyn Vfs> = Arc::new(self.disk.clone());
        match verify::verify(Path::new(DIR), &disk, &*self.clock, &|_, _| ()) {
            Ok(report) => assert!(report.is_sound(), "{report:#?}"),
            // Cut before the directory had its name.
            Err(error) => assert!(matches!(error, Error::Config(_)), "{error}"),
        }
    }

    /// Opens the store. A fault may meet the recovery, too; without one it must succeed.
    fn start(&mut self) {
        self.totals.starts.fetch_add(1, Ordering::Relaxed);
        let open = |this: &Simulation<'_>| {
            Engine::open_stepped(
                Path::new(DIR),
                this.options.clone(),
                this.vfs.clone(),
                this.clock.clone(),
            )
        };
        let engine = match open(self) {
            Ok(engine) => engine,
            Err(error) => {
                self.tell(format!("a start fails: {error}"));
                assert!(self.faults.disarm(), "the store does not open: {error}");
                if !self.disk.has_power() {
                    return self.restart();
                }
                open(self).unwrap_or_else(|error| {
                    panic!("the store does not open after a fault: {error}")
                })
            }
        };
        self.engine = Some(engine);
        // A fault may strike just after, too.
        self.faults.disarm();
        if !self.disk.has_power() {
            return self.restart();
        }
        let snapshot = self.engine().snapshot();
        self.ledger.settle(&snapshot);
    }
}

/// The one seed to replay.
const REPLAY: &str = "HOURGLASS_SIM_SEED";

#[test]
fn no_power_cut_and_no_fault_of_the_disk_loses_or_doubles_an_event() {
    let (first, count) = match std::env::var_os(REPLAY) {
        Some(_) => (number_from(REPLAY, 0), 1),
        None => (0, number_from("HOURGLASS_SIM_SEEDS", 2_000)),
    };
    let (totals, next) = (Totals::default(), AtomicU64::new(first));
    thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return;
                }
                let run = || Simulation::new(&totals, seed).run();
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    next.store(first + count, Ordering::Relaxed);
                    eprintln!(
                        "replay: HOURGLASS_SIM_SEED={seed} cargo test --release --test suite simulation"
                    );
                    resume_unwind(panic);
                }
            }
        };
        (0..2).for_each(|_| drop(scope.spawn(work)));
    });
    let Totals { acknowledged, refused, reused, starts, cuts, faults, merged, erased, expired } =
        &totals;
    let all = |n: &AtomicU64| n.load(Ordering::Relaxed);
    println!(
        "{count} seeds: {} events acknowledged, {} refused, {} batches under keys of others, {} starts, {} ends without notice, {} faults armed, {} files merged, {} rows erased, {} too old; \
         none lost, none doubled",
        all(acknowledged),
        all(refused),
        all(reused),
        all(starts),
        all(cuts),
        all(faults),
        all(merged),
        all(erased),
        all(expired),
    );
    let asked = all(acknowledged) >= count && all(refused) > 0 && all(reused) > 0;
    assert!(asked || count < 100, "the seeds ask too little");
}

/// All that one seed does, to the letter: its operations and each call of the disk.
fn trace_of(seed: u64) -> Vec<String> {
    let totals = Totals::default();
    let mut simulation = Simulation::new(&totals, seed);
    simulation.run();
    simulation.faults.trace()
}

#[test]
fn a_seed_replays_to_the_letter() {
    for seed in 0..number_from("HOURGLASS_SIM_REPLAYS", 40) {
        let (one, other) = thread::scope(|scope| {
            let runs = [0, 1].map(|_| scope.spawn(move || trace_of(seed)));
            runs.map(|run| run.join().expect("a seed without findings")).into()
        });
        assert!(one.len() > 100, "seed {seed} asks too little");
        if let Some(at) = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at))
        {
            let around = at.saturating_sub(5)..at + 3;
            let near = |trace: &[String]| {
                trace.get(around.start..around.end.min(trace.len())).map(<[_]>::to_vec)
            };
            panic!("seed {seed} parts at call {at}: {:#?} and {:#?}", near(&one), near(&other));
        }
    }
}

#[test]
fn the_bugs_that_prove_the_simulation_can_still_be_planted() {
    let root = env!("CARGO_MANIFEST_DIR");
    let check = ["-C", root, "apply", "--check", "tests/planted/bugs.patch"];
    match std::process::Command::new("git").args(check).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => println!("not checked: git is not here: {error}"),
    }
}
