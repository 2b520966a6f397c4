//! A disk that takes no more, met at each step that writes: told for what it is, survived, and
//! nothing left lying about.
//!
//! The bugs: `/readyz` said ok while every POST was refused, and nobody was told when there was
//! room again but by trying; a flush on a full disk was a 500; temporary files and half-made spare
//! segments stayed, and took the room that was lacking.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hourglass::event::{EventBatch, EventKind, Key};
use hourglass::hour::{HOUR_US, Hour};
use hourglass::limit::Limit;
use hourglass::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use hourglass::storage::vfs::{Disk, Vfs};
use hourglass::storage::{Engine, EngineOptions, Error, verify};
use rustix::io::Errno;

use crate::support::{ManualClock, block_on, small_options};

/// A step that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Frame,
    Segment,
    Spare,
    DataFolder,
    DataFile,
    DataFileBytes,
    KeyFile,
    Commit,
    Checkpoint,
}

impl Step {
    fn is(self, call: &Call<'_>) -> bool {
        use CallKind::{Create, CreateDir, Open, Rename, Write};
        let path = call.path.to_string_lossy();
        let ends = |end: &str| path.ends_with(end);
        match self {
            Step::Frame => call.kind == Write && ends(".wal"),
            Step::Segment => matches!(call.kind, Create | Open | Rename) && ends(".wal"),
            Step::Spare => call.kind == Write && ends(".spare"),
            Step::DataFolder => call.kind == CreateDir && path.contains("/date="),
            Step::DataFile => {
                call.kind == Create && path.contains(".parquet.") && path.contains("/date=")
            }
            Step::DataFileBytes => {
                call.kind == Write && path.contains(".parquet.") && path.contains("/date=")
            }
            Step::KeyFile => matches!(call.kind, Create | CreateDir) && path.contains("/keys"),
            Step::Commit => {
                call.kind == Create && path.contains("_delta_log/.") && path.contains(".json.")
            }
            Step::Checkpoint => call.kind == Write && path.contains(".checkpoint."),
        }
    }
}

#[derive(Debug, Default)]
struct Trouble(Mutex<Option<(Step, Errno)>>);

impl Trouble {
    fn set(&self, trouble: Option<(Step, Errno)>) {
        *self.0.lock().unwrap() = trouble;
    }
}

impl Observer for Trouble {
    fn see(&self, call: Call<'_>) -> Verdict {
        match *self.0.lock().unwrap() {
            // Of a write, half goes through.
            Some((step, errno)) if step.is(&call) => {
                Verdict::Tear(call.bytes / 2, io::Error::from(errno))
            }
            _ => Verdict::Proceed,
        }
    }
}

fn open(dir: &Path, options: EngineOptions) -> (Engine, Arc<Trouble>) {
    let trouble = Arc::new(Trouble::default());
    let disk = Arc::new(Observed::new(Disk, trouble.clone()));
    (Engine::open_with(dir, options, disk, ManualClock::at(HOUR_US / 2)).unwrap(), trouble)
}

fn batch(n: i64) -> EventBatch {
    let mut batch = EventBatch::new();
    batch.push(n, &format!("u{n}"), EventKind::CLICK);
    batch.key_from(0, Key::new(&n.to_string()).unwrap());
    batch
}

fn clicks(engine: &Engine) -> u64 {
    engine.snapshot().rollup(Hour(0)).count(EventKind::CLICK)
}

/// The files that are left lying about.
fn leftovers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(leftovers(&entry.path())),
            false if name.ends_with(".tmp") => found.push(name),
            false => {}
        }
    }
    found
}

fn spares(dir: &Path) -> usize {
    let names = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".spare")).count()
}

const LACKS: [(Errno, Limit); 5] = [
    (Errno::NOSPC, Limit::Disk),
    (Errno::DQUOT, Limit::Disk),
    (Errno::ROFS, Limit::ReadOnly),
    (Errno::ACCESS, Limit::ReadOnly),
    (Errno::MFILE, Limit::OpenFiles),
];

#[test]
fn what_a_flush_lacks_is_told_by_its_name_and_passes_without_a_trace() {
    let steps = [
        Step::DataFolder,
        Step::DataFile,
        Step::DataFileBytes,
        Step::KeyFile,
        Step::Commit,
        Step::Segment,
    ];
    for step in steps {
        for (errno, bound) in LACKS {
            let dir = tempfile::tempdir().unwrap();
            block_on(async {
                let (engine, trouble) = open(dir.path(), small_options());
                engine.append(batch(1)).await.unwrap();
                trouble.set(Some((step, errno)));
                for _ in 0..3 {
                    let told = engine.flush().await.unwrap_err();
                    assert!(
                        matches!(told, Error::Busy(what) if what == bound),
                        "{step:?} {errno:?}: {told}"
                    );
                }
                assert_eq!(leftovers(dir.path()), [""; 0], "{step:?} {errno:?}");
                trouble.set(None);
                engine.flush().await.unwrap();
                // While sets are made, their file has a temporary name.
                engine.build_sets(|_| ()).await;
                assert_eq!(
                    (clicks(&engine), leftovers(dir.path())),
                    (1, vec![]),
                    "{step:?} {errno:?}"
                );
                // What came under the key is stored, and known.
                engine.append(batch(1)).await.unwrap();
                tokio::task::block_in_place(|| engine.close()).unwrap();
            });
            let (engine, _) = open(dir.path(), small_options());
            block_on(engine.append(batch(1))).unwrap();
            assert_eq!(clicks(&engine), 1, "{step:?} {errno:?}");
            engine.close().unwrap();
            let vfs: Arc<dyn Vfs> = Arc::new(Disk);
            let report =
                verify::verify(dir.path(), &vfs, &*ManualClock::at(HOUR_US / 2), &|_, _| ())
                    .unwrap();
            assert!(report.is_sound() && report.keys == 1, "{step:?} {errno:?}: {report:#?}");
        }
    }
}

#[test]
fn a_log_that_lacks_room_says_so_and_finds_out_by_itself_when_it_has_some() {
    let frames = LACKS[..2].iter().map(|lack| (Step::Frame, lack));
    for (step, &(errno, bound)) in frames.chain(LACKS.iter().map(|lack| (Step::Segment, lack))) {
        let dir = tempfile::tempdir().unwrap();
        // Where a segment is smaller than a batch, each begins one.
        let wal_segment_bytes = if step == Step::Segment { 70 } else { 64 << 10 };
        let options = EngineOptions { wal_segment_bytes, ..small_options() };
        block_on(async {
            let (engine, trouble) = open(dir.path(), options.clone());
            engine.append(batch(1)).await.unwrap();
            trouble.set(Some((step, errno)));
            for _ in 0..10 {
                let told = engine.append(batch(2)).await.unwrap_err();
                assert!(
                    matches!(told, Error::Busy(what) if what == bound),
                    "{step:?} {errno:?}: {told}"
                );
                assert!(
                    matches!(engine.refusal(), Some(Error::Busy(what)) if what == bound),
                    "{step:?} {errno:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            assert!(
                engine.refusal().is_some(),
                "{step:?} {errno:?}: tries that fail change nothing"
            );
            assert_eq!((clicks(&engine), engine.poisoned()), (1, None));
            trouble.set(None);
            // Nobody sends anything.
            while engine.refusal().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            engine.append(batch(3)).await.unwrap();
            tokio::task::block_in_place(|| engine.close()).unwrap();
        });
        let (engine, _) = open(dir.path(), options);
        assert_eq!(clicks(&engine), 2, "{step:?} {errno:?}");
        engine.close().unwrap();
    }
}

#[test]
fn spares_that_cannot_be_made_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (engine, trouble) =
            open(dir.path(), EngineOptions { wal_segment_bytes: 4 << 10, ..small_options() });
        trouble.set(Some((Step::Spare, Errno::NOSPC)));
        for n in 0..200 {
            engine.append(batch(n)).await.unwrap();
            if n % 20 == 19 {
                engine.flush().await.unwrap();
            }
        }
        assert!(spares(dir.path()) <= 2, "{} spares", spares(dir.path()));
        tokio::task::block_in_place(|| engine.close()).unwrap();
    });
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing_but_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (engine, trouble) = open(dir.path(), small_options());
        trouble.set(Some((Step::Checkpoint, Errno::NOSPC)));
        for n in 0..52 {
            engine.append(batch(n)).await.unwrap();
            engine.flush().await.unwrap();
        }
        // While sets are made, their file has a temporary name.
        engine.build_sets(|_| ()).await;
        assert_eq!(leftovers(dir.path()), [""; 0]);
        tokio::task::block_in_place(|| engine.close()).unwrap();
    });
    let (engine, _) = open(dir.path(), small_options());
    assert_eq!(clicks(&engine), 52);
    engine.close().unwrap();
}

#[test]
fn temporary_files_of_a_run_before_are_gone_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = open(dir.path(), small_options());
    block_on(engine.append(batch(1))).unwrap();
    engine.close().unwrap();
    drop(engine);
    let hour = dir.path().join("events/date=1970-01-01/hour=00");
    let log = dir.path().join("events/_delta_log");
    let keys = dir.path().join("keys");
    [&hour, &keys].iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let theirs = log.join(".00000000000000000009.json.1b2c-4d.tmp");
    for path in [
        hour.join(".part-00000000000000000001-abc.zstd.parquet.77-0.tmp"),
        log.join(".00000000000000000001.json.77-1.tmp"),
        keys.join("00000000000000000001.tmp"),
        dir.path().join("hourglass.tmp"),
        theirs.clone(),
    ] {
        fs::write(path, "half").unwrap();
    }
    let (engine, _) = open(dir.path(), small_options());
    assert_eq!(
        leftovers(dir.path()),
        [theirs.file_name().unwrap().to_str().unwrap()],
        "others' are left alone"
    );
    assert_eq!(clicks(&engine), 1);
}
