//! A disk that fails on demand, between the engine and the real one.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hourglass::event::{EventBatch, EventKind};
use hourglass::hour::{HOUR_US, Hour};
use hourglass::storage::vfs::Disk;
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use hourglass::storage::{Engine, EngineOptions, Error};
use rustix::io::Errno;

use crate::support::{ManualClock, Model, assert_answers, block_on, small_options};

/// The switches.
#[derive(Debug, Default)]
struct Faults {
    /// Parquet files cannot be written: no space.
    data_files: AtomicBool,
    /// The log's syncs fail.
    log_sync: AtomicBool,
    /// The log cannot be written: no space.
    log_write: AtomicBool,
    /// No file of the log can be opened: no descriptor is left.
    log_open: AtomicBool,
}

impl Observer for Faults {
    fn see(&self, call: Call<'_>) -> Verdict {
        let is_log = call.path.extension().is_some_and(|extension| extension == "wal");
        let is_data = call.path.to_string_lossy().contains(".parquet");
        let on = |switch: &AtomicBool| switch.load(Ordering::SeqCst);
        match call.kind {
            CallKind::Create if is_data && on(&self.data_files) => {
                Verdict::Fail(io::ErrorKind::StorageFull.into())
            }
            CallKind::Write if is_log && on(&self.log_write) => {
                Verdict::Fail(io::ErrorKind::StorageFull.into())
            }
            CallKind::Open | CallKind::Create if is_log && on(&self.log_open) => {
                Verdict::Fail(Errno::MFILE.into())
            }
            CallKind::SyncData if is_log && on(&self.log_sync) => {
                Verdict::Fail(io::Error::other("the device is gone"))
            }
            _ => Verdict::Proceed,
        }
    }
}

fn batch(n: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    (0..100).for_each(|i| batch.push(n, &format!("u{n}-{i}"), EventKind::CLICK));
    batch
}

fn open(dir: &Path, options: EngineOptions) -> (Engine, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(Observed::new(Disk, faults.clone()));
    (Engine::open_with(dir, options, disk, ManualClock::at(HOUR_US / 2)).unwrap(), faults)
}

#[test]
fn memory_that_cannot_be_flushed_refuses_events_and_recovers_by_itself() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = EngineOptions { memtable_max_rows: 500, ..small_options() };
        let (engine, faults) = open(dir.path(), options);
        faults.data_files.store(true, Ordering::SeqCst);
        let mut model = Model::default();
        let mut refused = 0;
        for n in 0..60 {
            match engine.append(batch(n)).await {
                Ok(_) => model.add(&batch(n)),
                Err(Error::Busy(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 0, "memory is bounded");
        assert!(engine.flush().await.is_err());
        // Flushes that are asked for make no room.
        let mut taken = 0;
        for n in 60..120 {
            assert!(engine.flush().await.is_err());
            if engine.append(batch(n)).await.is_ok() {
                model.add(&batch(n));
                taken += 1;
            }
        }
        assert!(taken <= 3, "{taken} batches more");
        assert_answers(&engine.snapshot(), &model).await;
        faults.data_files.store(false, Ordering::SeqCst);
        while engine.append(batch(100)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        model.add(&batch(100));
        engine.flush().await.unwrap();
        assert_answers(&engine.snapshot(), &model).await;
    });
}

#[test]
fn a_failed_sync_is_never_tried_again_and_reads_go_on() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (engine, faults) = open(dir.path(), small_options());
        let mut model = Model::default();
        engine.append(batch(1)).await.unwrap();
        model.add(&batch(1));
        faults.log_sync.store(true, Ordering::SeqCst);
        assert!(matches!(engine.append(batch(2)).await, Err(Error::Poisoned(_))));
        faults.log_sync.store(false, Ordering::SeqCst);
        assert!(matches!(engine.append(batch(3)).await, Err(Error::Poisoned(_))));
        assert!(engine.poisoned().unwrap().contains("the device is gone"));
        assert_answers(&engine.snapshot(), &model).await;
    });
}

#[test]
fn what_passes_refuses_events_until_it_has_passed() {
    type Trouble = fn(&Faults) -> &AtomicBool;
    let (write, open_file): (Trouble, Trouble) =
        (|faults| &faults.log_write, |faults| &faults.log_open);
    // Where a segment is smaller than a batch, each batch begins one.
    for (trouble, wal_segment_bytes) in [(write, 64 << 10), (write, 1 << 10), (open_file, 1 << 10)]
    {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = EngineOptions { wal_segment_bytes, ..small_options() };
            let (engine, faults) = open(dir.path(), options);
            let mut model = Model::default();
            for n in 0..10 {
                trouble(&faults).store(n % 3 == 1, Ordering::SeqCst);
                match engine.append(batch(n)).await {
                    Ok(_) => model.add(&batch(n)),
                    Err(error) => {
                        assert!(n % 3 == 1 && matches!(error, Error::Busy(_)), "{n}: {error}")
                    }
                }
            }
            assert_eq!(model.numbers(Hour(0)).events(), 700);
            assert_answers(&engine.snapshot(), &model).await;
            engine.close().unwrap();
            drop(engine);
            let (engine, _) = open(dir.path(), small_options());
            assert_answers(&engine.snapshot(), &model).await;
        });
    }
}
