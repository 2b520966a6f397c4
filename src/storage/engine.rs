//! Engine of one data directory: opens and recovers it, and is the handle on all its running parts.
//!
//! ```text
//! DIR/hourglass.json   the format's version and this node's name
//! DIR/lock             held by the process that owns the directory
//! DIR/wal/             the write-ahead log
//! DIR/events/          the Delta table
//! DIR/keys/            the idempotency keys of flushed requests
//! DIR/sets/            the visitor sets, made from the table
//! ```

use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot::error::RecvError;

use super::commit_queue::CommitQueue;
use super::committer::Committer;
use super::directory::{self, DirectoryMeta};
use super::file_names::FileNames;
use super::flusher::{Flusher, Progress};
use super::idempotency::files::KeyFiles;
use super::idempotency::window::{KeyWindow, StoredKey};
use super::lake::index::FileIndex;
use super::lake::leftovers;
use super::lake::merge::Files;
use super::lake::pending::Pending;
use super::lake::table::{Access, Lake};
use super::maintenance::{self, HistoryRecord, Maintenance};
use super::memory::memtable::{Memtable, MemtableWriter};
use super::metrics::Metrics;
use super::options::EngineOptions;
use super::owned_table::OwnedTable;
use super::recurring::Recurring;
use super::requests::{
    Compact, CompactionReport, ErasureReceipt, Forget, Progress as RequestProgress, Refusal,
    Request, Retain, RetentionReport, Waiter,
};
use super::sets::{SETS_DIR, VisitorSets};
use super::sets_builder::SetsBuilder;
use super::snapshot::distinct::DistinctUsers;
use super::snapshot::past::Past;
use super::snapshot::{Snapshot, SnapshotCell};
use super::store::{StoreRuntime, VfsStore};
use super::vfs::{Disk, Lock, Room, Vfs};
use super::wal::{self, Lsn, WAL_DIR, Wal};
use super::writer::Writer;
use crate::event::{Event, EventBatch, Key, MAX_TIMESTAMP_US};
use crate::hour::{Clock, SystemClock};
use crate::storage::error::{Error, Result};
use crate::threads;

/// Maximum number of threads that encode the hours of one flush.
const MAX_ENCODERS: usize = 8;

/// Cloneable handle on the one engine of a data directory.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<CommitQueue>,
    cell: Arc<SnapshotCell>,
    clock: Arc<dyn Clock>,
    options: EngineOptions,
    metrics: Metrics,
    /// File system that holds `data_dir`.
    vfs: Arc<dyn Vfs>,
    data_dir: PathBuf,
    /// Engine threads, joined by the first `close`.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps the directory locked until the last handle is dropped.
    _lock: Box<dyn Lock>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
        join(&self.threads);
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    let threads = std::mem::take(&mut *threads.lock().expect("no panic under this lock"));
    for thread in threads {
        let _ = thread.join();
    }
}

impl Engine {
    /// Opens the store in `data_dir` with the machine's disk and clock, creating it if there is
    /// none.
    pub fn open(data_dir: &Path, options: EngineOptions) -> Result<Engine> {
        Engine::open_with(data_dir, options, Arc::new(Disk), Arc::new(SystemClock))
    }

    /// Opens the store with any file system and clock, and recovers it: events that are in the log
    /// but not in the table are loaded into memory.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process owns the directory, [`Error::Damaged`] if acknowledged
    /// events are not intact.
    pub fn open_with(
        data_dir: &Path,
        options: EngineOptions,
        vfs: Arc<dyn Vfs>,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine> {
        let (engine, steps) = Engine::open_stepped(data_dir, options, vfs, clock)?;
        engine.start(steps)
    }

    /// Like [`Engine::open_with`], but without threads: the engine advances only when the caller
    /// drives [`Steps`]. This lets a simulation decide which part runs next.
    pub fn open_stepped(
        data_dir: &Path,
        options: EngineOptions,
        vfs: Arc<dyn Vfs>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Engine, Steps)> {
        let data_dir = std::path::absolute(data_dir).map_err(Error::io(data_dir, "find"))?;
        create_directory(&*vfs, &data_dir)?;
        let lock = directory::lock(&*vfs, &data_dir)?;
        let meta = directory::meta_or_create(&*vfs, &data_dir, &options.declared)?;
        let runtime = StoreRuntime::new()?;
        let now_us = clock.now_us();
        let (lake, mut snapshot) =
            open_table(&runtime, &vfs, &data_dir, &meta, Access::Write { now_us }, &options)?;
        let flushed = lake.flushed();
        let tombstones = runtime.block_on(lake.tombstones())?;
        let mut memtable = MemtableWriter::new(flushed + 1, FileNames::new(&meta.node));
        let wal_dir = data_dir.join(WAL_DIR);
        let window_us =
            i64::try_from(options.idempotency_window_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        let mut keys = KeyWindow::new(window_us.min(MAX_TIMESTAMP_US));
        let key_files =
            KeyFiles::open(vfs.clone(), &data_dir, flushed, &lake.key_files(), &mut keys, now_us)?;
        let replayed = replay_into(&*vfs, &wal_dir, flushed, &mut memtable, &snapshot, |logged| {
            keys.insert(logged, now_us)
        })?;
        let pending = Pending::open(vfs.clone(), &data_dir)?;
        leftovers::remove(&*vfs, &data_dir, memtable.view().hours.keys(), pending.files());
        // The age of the logged events does not restart with the process: otherwise the log of a
        // process that keeps crashing would always look young.
        let since_us =
            replayed.oldest_us(flushed).map_or(now_us, |oldest_us| oldest_us.min(now_us));
        if replayed.events > 0 {
            tracing::info!(events = replayed.events, "recovered from the write-ahead log");
        }
        wal::prepare_first(&*vfs, &wal_dir, options.wal_segment_bytes);
        let wal =
            Wal::open(vfs.clone(), &wal_dir, &meta.schema, options.wal_segment_bytes, replayed)?;
        memtable.begin(since_us);
        snapshot.active = memtable.view().clone();
        // Also sync the folders themselves: a synced log would be lost along with an unsynced name
        // of a folder above it.
        for dir in [Some(&*data_dir), data_dir.parent()].into_iter().flatten() {
            vfs.sync_dir(dir).map_err(Error::io(dir, "sync"))?;
        }

        // Until the builder has looked.
        snapshot.sets.missing.store(snapshot.file_count, Ordering::Relaxed);
        let queue = Arc::new(CommitQueue::new(&options));
        let cell = Arc::new(SnapshotCell::new(snapshot));
        let (sender, jobs) = mpsc::channel();
        let (segments, hour) = (wal.closed_segments(), clock.hour());
        let metrics = Metrics::default();
        let table = OwnedTable {
            runtime,
            lake,
            cell: cell.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            hidden_before: None,
        };
        let grace_ms = i64::try_from(options.keep_replaced_ms).unwrap_or(i64::MAX);
        let sets = SetsBuilder {
            vfs: vfs.clone(),
            dir: data_dir.join(SETS_DIR),
            files: Files {
                runtime: StoreRuntime::new()?,
                store: table.lake.store().clone(),
                schema: table.lake.schema().clone(),
            },
            cell: cell.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            clean_after_ms: grace_ms,
            stands_back: options.sets_stand_back,
            state: Default::default(),
        };
        let history = HistoryRecord::open(vfs.clone(), &data_dir)?;
        let maintenance =
            Maintenance::new(&options, &table, pending, history, segments.clone(), tombstones)?;
        let (queue_too, progress) = (queue.clone(), Progress::default());
        let flusher =
            Flusher { segments, keys: key_files, queue: queue_too, encoders: 1, progress };
        let (busy, failed, requests) = Default::default();
        let committer = Committer { jobs, table, flusher, maintenance, busy, requests, failed };
        let writer = Writer {
            options: options.clone(),
            clock: clock.clone(),
            queue: queue.clone(),
            wal,
            memtable,
            keys,
            cell: cell.clone(),
            committer: sender,
            metrics: metrics.clone(),
            hour,
            poison: None,
            limit_reached: None,
            trouble: Recurring::default(),
            sealing: Recurring::default(),
            emptied: EventBatch::new(),
        };
        let threads = Mutex::default();
        let shared =
            Shared { queue, cell, clock, options, metrics, vfs, data_dir, threads, _lock: lock };
        Ok((Engine { shared: Arc::new(shared) }, Steps { writer: Some(writer), committer, sets }))
    }

    /// Starts the writer and the committer, each on its own thread.
    fn start(self, steps: Steps) -> Result<Engine> {
        let Steps { writer, mut committer, mut sets } = steps;
        let retry = Duration::from_millis(self.shared.options.flush_retry_ms);
        committer.flusher.encoders =
            thread::available_parallelism().map_or(1, usize::from).min(MAX_ENCODERS);
        let mut writer = writer.expect("the writer has not ended before it began");
        // If the second thread cannot be started, the engine is dropped, which ends the first.
        self.run("writer", move || {
            threads::go_first();
            writer.run()
        })?;
        self.run("committer", move || {
            // It may keep whole cores busy for a while, and nobody waits for it.
            threads::stand_back();
            committer.run(retry)
        })?;
        let queue = self.shared.queue.clone();
        let stands_back = self.shared.options.sets_stand_back;
        self.run("sets", move || {
            if stands_back {
                threads::stand_back();
            }
            while !queue.is_closed() {
                sets.step();
                queue.wait_for_close(sets.wait());
            }
        })?;
        Ok(self)
    }

    /// Starts an engine thread. A thread that panics, or ends before it is told to, ends the
    /// engine: without it events would wait forever, or memory would fill up.
    fn run(&self, name: &'static str, mut work: impl FnMut() + Send + 'static) -> Result<()> {
        let queue = self.shared.queue.clone();
        let thread = move || {
            // IMPORTANT: what the thread owns is dropped only after its death is reported. The
            // report ends the other thread and informs the waiters.
            let how = match catch_unwind(AssertUnwindSafe(&mut work)) {
                Ok(()) if queue.is_closed() => return,
                Ok(()) => "ended unexpectedly".into(),
                Err(panic) => format!("panicked: {}", panic_text(&*panic)),
            };
            queue.die(&format!("the {name} thread of the engine {how}"));
        };
        let spawned = thread::Builder::new().name(format!("hourglass-{name}")).spawn(thread);
        let spawned = spawned.map_err(Error::io(format!("hourglass-{name}"), "start a thread"))?;
        self.shared.threads.lock().expect("no panic under this lock").push(spawned);
        Ok(())
    }

    /// Queues one event; the future resolves to its frame's last LSN once the event is durable and
    /// visible. The event must have passed the checks of [`crate::event`]. If the same event was
    /// stored under `key` within the window, it is not stored again, and the result is the same.
    ///
    /// # Errors
    /// [`Error::Busy`] if a limit is reached, [`Error::KeyReused`] if other content was stored
    /// under the key; nothing was stored in either case. [`Error::Poisoned`] if the log has failed,
    /// [`Error::Died`] if the engine has.
    pub fn append_event(
        &self,
        event: Event<'_>,
        key: Option<Key>,
    ) -> impl Future<Output = Result<Lsn>> + Send + use<> {
        self.shared.metrics.calls.inc();
        let queued = self.shared.queue.push(event, key);
        async move { Ok(queued?.await.map_err(no_answer)??) }
    }

    /// Appends a batch: one frame, one sync, all or nothing. Returns the same errors as
    /// [`Engine::append_event`].
    pub async fn append(&self, batch: EventBatch) -> Result<Lsn> {
        if batch.is_empty() {
            return Ok(self.snapshot().active.last_lsn);
        }
        Ok(self.shared.queue.push_batch(batch)?.await.map_err(no_answer)??)
    }

    /// Returns once everything acknowledged so far is in Parquet files and committed.
    ///
    /// # Errors
    /// The cause of the failed flush. The flush is retried automatically; memory and log keep the
    /// events.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Request::Flush).await
    }

    /// Merges the files of each hour as far as they can be merged, and returns what was merged;
    /// with `dry_run`, what would be.
    ///
    /// # Errors
    /// The cause of the failed compaction. Nothing is lost, and what was committed before stays.
    pub async fn compact(
        &self,
        dry_run: bool,
        progress: RequestProgress,
    ) -> Result<CompactionReport> {
        let compact = |waiter| Request::Compact(Compact { dry_run, progress, waiter });
        self.ask(compact).await
    }

    /// Removes the hours that are older than the retention, and returns what was removed; with
    /// `dry_run`, what would be.
    pub async fn retain(&self, dry_run: bool) -> Result<RetentionReport> {
        let retain = |waiter| Request::Retain(Retain { dry_run, waiter });
        self.ask(retain).await
    }

    /// Flushes, then removes all rows of the users; with `now` also every byte of them below the
    /// data directory. From the receipt on they are in no answer, unless they come again.
    ///
    /// # Errors
    /// The cause of the failure; some of the rows may be removed by then. Ask again.
    pub async fn forget(&self, users: BTreeSet<String>, now: bool) -> Result<ErasureReceipt> {
        let users = Arc::new(users);
        let forget = |waiter| Request::Forget(Forget { users, now, waiter });
        self.ask(forget).await
    }

    /// Returns once the visitor sets of all data files are made. It may take as long as a scan of
    /// them all; `progress` is called with the number of files that are left.
    pub async fn build_sets(&self, mut progress: impl FnMut(u64)) {
        const LOOK: Duration = Duration::from_millis(20);
        loop {
            if self.has_all_sets() || self.shared.queue.is_closed() {
                return;
            }
            progress(self.shared.cell.load().set_figures().missing);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reports whether the visitor sets of all data files are made.
    pub fn has_all_sets(&self) -> bool {
        let snapshot = self.shared.cell.load();
        snapshot.sets.is_settled(snapshot.files_version)
    }

    /// Hands the committer a request and waits for its answer.
    async fn ask<T>(&self, make: impl FnOnce(Waiter<T>) -> Request) -> Result<T> {
        let asked = self.shared.queue.push_request(make)?;
        let death = || self.shared.queue.death().map(|why| Refusal::Died(why).into());
        Ok(asked.await.map_err(|error| death().unwrap_or_else(|| no_answer(error)))??)
    }

    /// Returns the current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.metrics.calls.inc();
        self.shared.cell.load()
    }

    /// Returns why events are refused now, for a transient reason such as a full disk or a
    /// permanent one; `None` if they are accepted.
    pub fn refusal(&self) -> Option<Error> {
        self.shared.queue.refusal().map(Error::from)
    }

    /// Waits until an engine thread ends unexpectedly, and returns how it ended. The engine stores
    /// nothing more after that and must be closed.
    pub async fn wait_for_death(&self) -> String {
        self.shared.queue.wait_for_death().await.to_string()
    }

    /// Returns why the log has failed, after which no more events are accepted; `None` if it has
    /// not.
    pub fn poisoned(&self) -> Option<String> {
        self.shared.queue.poisoned()
    }

    /// Returns the number of events and bytes queued for the writer.
    pub fn queued(&self) -> (usize, usize) {
        self.shared.queue.queued()
    }

    /// Returns the number of idempotency keys remembered.
    pub fn keys(&self) -> usize {
        self.shared.queue.keys()
    }

    /// Returns the bytes and inodes, free and total, of the data directory's file system.
    pub(super) fn room(&self) -> io::Result<Room> {
        self.shared.vfs.room(&self.shared.data_dir)
    }

    /// Returns the bytes of data files that this process has written: by flushes, and by
    /// compactions.
    pub fn written_bytes(&self) -> (u64, u64) {
        let metrics = &self.shared.metrics;
        (metrics.flushed_bytes.get(), metrics.compacted_bytes.get())
    }

    pub(super) fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Writes what is queued and stops; later appends return [`Error::Closed`]. Memory is not
    /// flushed: the log has its events.
    ///
    /// # Errors
    /// [`Error::Died`] if an engine thread ended unexpectedly.
    pub fn close(&self) -> Result<()> {
        self.shared.queue.close();
        join(&self.shared.threads);
        self.shared.queue.death().map_or(Ok(()), |why| Err(Refusal::Died(why).into()))
    }
}

/// Writer and committer of an engine without threads. The caller advances them one step at a time.
#[derive(Debug)]
pub struct Steps {
    /// `None` once it has ended.
    writer: Option<Writer>,
    committer: Committer,
    sets: SetsBuilder,
}

impl Steps {
    /// Runs the writer on what is queued, without waiting for more. Returns `Break` once the engine
    /// is closed and the writer has taken everything.
    pub fn writer(&mut self) -> ControlFlow<()> {
        let Some(writer) = &mut self.writer else { return ControlFlow::Break(()) };
        let flow = writer.step(Duration::ZERO);
        if flow.is_break() {
            self.writer = None;
        }
        flow
    }

    /// Runs the committer's next step, if there is one. Returns `Break` once the writer has ended
    /// and no job is left.
    pub fn committer(&mut self) -> ControlFlow<()> {
        self.committer.step(Duration::ZERO)
    }

    /// Runs the next step of the visitor sets, if there is one.
    pub fn sets(&mut self) {
        self.sets.step();
    }

    /// Returns the time until the committer has something to do that nobody asked for.
    pub fn committer_wait(&self) -> Duration {
        self.committer.maintenance.wait(&self.committer.table)
    }
}

/// Read-only view of a store on disk, opened without the lock: works with or without a running
/// server.
#[derive(Debug)]
pub struct ReadOnly {
    pub snapshot: Arc<Snapshot>,
    /// The last LSN in the table.
    pub flushed: Lsn,
    /// When it was flushed, in milliseconds since the epoch.
    pub flushed_ms: Option<i64>,
    /// Number of log segments; `wal_bytes` is their total size.
    pub wal_segments: u64,
    pub wal_bytes: u64,
    names: FileNames,
}

impl ReadOnly {
    /// Reads the table and the log's tail. Makes up to 5 attempts, as a server may flush meanwhile
    /// and release the log that was about to be read.
    pub fn open(data_dir: &Path, options: &EngineOptions, vfs: &Arc<dyn Vfs>) -> Result<ReadOnly> {
        let attempts = 5;
        for _ in 1..attempts {
            match ReadOnly::try_open(data_dir, options, vfs) {
                Err(Error::Damaged { .. }) => thread::sleep(Duration::from_millis(50)),
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => {}
                other => return other,
            }
        }
        ReadOnly::try_open(data_dir, options, vfs)
    }

    fn try_open(data_dir: &Path, options: &EngineOptions, vfs: &Arc<dyn Vfs>) -> Result<ReadOnly> {
        let data_dir = std::path::absolute(data_dir).map_err(Error::io(data_dir, "find"))?;
        let meta = directory::meta(&**vfs, &data_dir)?;
        let (lake, mut snapshot) =
            open_table(&StoreRuntime::new()?, vfs, &data_dir, &meta, Access::Read, options)?;
        let flushed = lake.flushed();
        let mut memtable = MemtableWriter::new(flushed + 1, FileNames::new(&meta.node));
        let replayed = replay_into(
            &**vfs,
            &data_dir.join(WAL_DIR),
            flushed,
            &mut memtable,
            &snapshot,
            |_| {},
        )?;
        snapshot.active = memtable.view().clone();
        snapshot.sets = Arc::new(VisitorSets::read_only(&**vfs, &data_dir));
        let wal_bytes = replayed.segments.iter().map(|segment| segment.file_len).sum();
        Ok(ReadOnly {
            snapshot: Arc::new(snapshot),
            flushed,
            flushed_ms: lake.flushed_ms().filter(|_| flushed > 0),
            wal_segments: replayed.segments.len() as u64,
            wal_bytes,
            names: FileNames::new(&meta.node),
        })
    }

    /// Returns what a compaction would merge now.
    pub fn planned_compaction(&self, options: &EngineOptions, now_us: i64) -> CompactionReport {
        let files = &self.snapshot.files;
        maintenance::planned_compaction(files, &self.names, &options.compaction, now_us)
    }

    /// Returns what a retention of this many milliseconds would remove now.
    pub fn planned_retention(&self, retention_ms: u64, now_us: i64) -> RetentionReport {
        maintenance::planned_retention(&self.snapshot.files, retention_ms, now_us)
    }
}

fn create_directory(vfs: &dyn Vfs, data_dir: &Path) -> Result<()> {
    vfs.create_dir_all(data_dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Error::Config(format!(
            "data_dir: {} is no directory, or lies below a file",
            data_dir.display()
        )),
        _ => Error::io(data_dir, "create the data directory")(error),
    })
}

/// Returns the error for a request that will get no answer.
fn no_answer(_: RecvError) -> Error {
    Error::Died("a thread of the engine ended before it replied".into())
}

/// Returns the message of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Opens the table below `data_dir`. Returns it with a snapshot of its files alone.
fn open_table(
    runtime: &StoreRuntime,
    vfs: &Arc<dyn Vfs>,
    data_dir: &Path,
    meta: &DirectoryMeta,
    access: Access,
    options: &EngineOptions,
) -> Result<(Lake, Snapshot)> {
    let store = Arc::new(VfsStore::new(vfs.clone(), data_dir));
    let (lake, files) = runtime.block_on(Lake::open(store.clone(), meta, access))?;
    let distinct = Arc::new(DistinctUsers::new(options.users_cache_bytes));
    let history = HistoryRecord::open(vfs.clone(), data_dir)?.get();
    let past = Past::new(store.clone(), meta.schema.clone(), options.users_cache_bytes);
    let mut snapshot = Snapshot {
        schema: meta.schema.clone(),
        active: Memtable::default(),
        sealed: Vec::new(),
        files: FileIndex::new(),
        files_version: 0,
        file_count: 0,
        file_bytes: 0,
        store,
        log: wal::Folder::below(data_dir, vfs.clone()),
        retention_ms: options.retention_ms,
        sets: Arc::default(),
        erased_before: history.map_or(0, |history| history.version),
        distinct,
        past: Arc::new(past),
    };
    snapshot.set_files(files);
    Ok((lake, snapshot))
}

fn replay_into(
    vfs: &dyn Vfs,
    wal_dir: &Path,
    flushed: Lsn,
    memtable: &mut MemtableWriter,
    snapshot: &Snapshot,
    mut keys: impl FnMut(&mut dyn Iterator<Item = StoredKey>),
) -> Result<wal::Replay> {
    wal::replay(vfs, wal_dir, &snapshot.schema, flushed, |first_lsn, batch| {
        let last_lsn = first_lsn + batch.len() as u64 - 1;
        keys(&mut batch.keyed().iter().map(StoredKey::from));
        memtable.apply(&batch, last_lsn, |hour| snapshot.files.contains_key(&hour));
        Ok(())
    })
}
