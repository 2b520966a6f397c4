//! The single writer: turns the queued events into one log frame, one sync and one snapshot update.
//! It is a loop over [`Writer::step`].

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::commit_queue::{CommitQueue, Taken};
use super::committer::Job;
use super::idempotency::window::{KeyWindow, StoredKey};
use super::memory::memtable::{Memtable, MemtableWriter};
use super::metrics::{Metrics, since};
use super::options::EngineOptions;
use super::recurring::Recurring;
use super::requests::{Refusal, Request};
use super::snapshot::SnapshotCell;
use super::vfs;
use super::wal::{Lsn, Wal};
use crate::event::{EventBatch, IdempotencyRange};
use crate::hour::{Clock, HOUR_US, Hour};
use crate::limit::Limit;
use crate::storage::error::Error;

/// Maximum number of sealed generations waiting for the flusher; beyond it only a requested flush
/// seals another. If the active one is full as well, appends are refused.
const MAX_SEALED: usize = 2;

/// Interval at which an idle writer checks the clock.
const CLOCK_CHECK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Writer {
    pub options: EngineOptions,
    pub clock: Arc<dyn Clock>,
    pub queue: Arc<CommitQueue>,
    pub wal: Wal,
    pub memtable: MemtableWriter,
    pub keys: KeyWindow,
    pub cell: Arc<SnapshotCell>,
    pub committer: Sender<Job>,
    pub metrics: Metrics,
    /// Wall-clock hour that the active generation belongs to.
    pub hour: Hour,
    /// Why the log is no longer written to. Events queued before this is known are refused like
    /// later ones.
    pub poison: Option<Refusal>,
    /// The limit that caused the last events to be refused, while it lasts.
    pub limit_reached: Option<Limit>,
    pub trouble: Recurring,
    /// Like [`Writer::trouble`], for sealing; events may still be accepted then.
    pub sealing: Recurring,
    /// An empty batch whose capacity is reused.
    pub emptied: EventBatch,
}

/// Outcome of a batch, to be sent to the waiters.
struct Outcome {
    stored: Result<Lsn, Refusal>,
    /// Indexes of its keys that were used before with other content.
    reused: Vec<usize>,
}

impl Writer {
    /// Runs until the queue is closed and drained. Everything acknowledged is in the log then;
    /// nothing more is flushed.
    pub fn run(&mut self) {
        loop {
            let timeout = Duration::from_micros(self.until_next_hour_us()).min(CLOCK_CHECK);
            // If the cores are busy, this lets appenders run first and share the next sync; on an
            // idle machine it returns at once.
            std::thread::yield_now();
            if self.step(timeout).is_break() {
                return;
            }
        }
    }

    /// Takes the queued events, stores them and informs the waiters; then seals the generation if
    /// due. If nothing is queued, sleeps first, up to `timeout`. Returns `Break` when the queue is
    /// closed and nothing more will come.
    pub fn step(&mut self, timeout: Duration) -> ControlFlow<()> {
        let emptied = std::mem::take(&mut self.emptied);
        let Taken { mut batch, waiters, askers, runtime, requests, closed } =
            self.queue.take(emptied, timeout);
        if !batch.is_empty() {
            let Outcome { stored, reused } = self.commit(&batch);
            let mut reused: Vec<u32> = reused.into_iter().map(|key| askers[key]).collect();
            reused.dedup();
            Taken::tell(waiters, runtime, stored, reused);
        } else if self.limit_reached.is_some() {
            // While the server is not ready, no one may send events, so check here whether the
            // cause has passed.
            self.probe();
        }
        let asked = requests.iter().any(Request::needs_flush);
        let renewed = match requests.iter().any(Request::needs_new_log) && self.poison.is_none() {
            true => self.wal.renew().map_err(|error| self.refuse_seal(error)),
            false => Ok(()),
        };
        let sealed = renewed.and_then(|()| self.seal_if_due(asked));
        self.remember_keys(&[]);
        match sealed {
            Ok(()) if requests.is_empty() => {}
            Ok(()) => {
                // The committer handles jobs in order, so it carries these out after flushing the
                // generation just sealed.
                let _ = self.committer.send(Job::Requests(requests));
            }
            Err(refusal) => {
                requests.into_iter().for_each(|request| request.refuse(refusal.clone()));
            }
        }
        if closed {
            return ControlFlow::Break(());
        }
        if batch.byte_len() <= 1 << 20 {
            batch.clear();
            self.emptied = batch;
        }
        ControlFlow::Continue(())
    }

    fn until_next_hour_us(&self) -> u64 {
        let now = self.clock.now_us();
        (HOUR_US - now.rem_euclid(HOUR_US)) as u64
    }

    /// Stores a batch in the log, the memtable and the snapshot, in this order, before anyone is
    /// informed, so that what is acknowledged is durable and visible.
    fn commit(&mut self, batch: &EventBatch) -> Outcome {
        let outcome = |stored| Outcome { stored, reused: Vec::new() };
        if let Some(poison) = &self.poison {
            return outcome(Err(poison.clone()));
        }
        let Some(judged) = self.keys.judge(batch) else { return outcome(self.store(batch)) };
        let stored = if judged.rest.is_empty() {
            // Everything was stored before, so it is already durable and visible.
            Ok(self.wal.next_lsn() - 1)
        } else {
            self.store(&judged.rest)
        };
        if stored.is_err() {
            // The first request with a key may be in this very batch, and it was not stored.
            return outcome(stored);
        }
        self.metrics.repeated_events.inc_by(judged.repeated);
        self.metrics.reused_keys.inc_by(judged.reused.len() as u64);
        Outcome { stored, reused: judged.reused }
    }

    fn store(&mut self, batch: &EventBatch) -> Result<Lsn, Refusal> {
        let (segment, began_us) = (self.wal.sequence(), self.clock.now_us());
        let last_lsn = match self.wal.append(batch) {
            Ok(last_lsn) => last_lsn,
            Err(error) => {
                let refusal = self.refuse(error);
                if let Refusal::Busy(bound) = refusal {
                    self.set_limit_reached(Some(bound));
                }
                return Err(refusal);
            }
        };
        self.passed();
        if self.wal.sequence() != segment {
            // The new segment took the spare: the committer makes another before the next is
            // needed.
            let _ = self.committer.send(Job::Flush);
        }
        self.metrics.commit_events.observe(batch.len() as u64);
        self.metrics.commit_duration.observe_duration(since(&*self.clock, began_us));
        self.remember_keys(batch.keyed());
        if self.memtable.view().is_empty() {
            self.memtable.begin(began_us);
        }
        let snapshot = self.cell.load();
        self.memtable.apply(batch, last_lsn, |hour| snapshot.is_behind_active(hour));
        drop(snapshot);
        let view = self.memtable.view().clone();
        self.cell.update(|snapshot| snapshot.active = view);
        Ok(last_lsn)
    }

    /// Adds keys just stored and forgets those past the window.
    fn remember_keys(&mut self, stored: &[IdempotencyRange]) {
        let now_us = self.clock.now_us();
        self.keys.insert(stored.iter().map(StoredKey::from), now_us);
        self.keys.expire(now_us);
        self.queue.set_keys(self.keys.len());
    }

    /// Refuses events because of an error of the log. Limits such as a full disk or a lack of
    /// descriptors pass. Any other error leaves the log's end uncertain, and a failed sync must
    /// never be retried: the kernel may have dropped the pages, and a second sync would report
    /// success for them (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX
    /// ATC 2020).
    fn refuse(&mut self, error: Error) -> Refusal {
        if let Some(bound) = passing(&error) {
            if self.trouble.is_due(self.clock.now_us()) {
                tracing::warn!(%error, "{bound}: events are rejected until this is resolved (logged at most once a minute)");
            }
            return Refusal::Busy(bound);
        }
        tracing::error!(%error, "the write-ahead log failed: no more events are accepted");
        let refusal = Refusal::Poisoned(error.to_string().into());
        self.queue.refuse(Some(refusal.clone()));
        self.poison = Some(refusal.clone());
        refusal
    }

    /// Like [`Writer::refuse`], but without refusing events after a transient error: the generation
    /// stays active, and is sealed when possible.
    fn refuse_seal(&mut self, error: Error) -> Refusal {
        let Some(bound) = passing(&error) else { return self.refuse(error) };
        if self.sealing.is_due(self.clock.now_us()) {
            tracing::warn!(%error, "{bound}: memory is not flushed until this is resolved (logged at most once a minute)");
        }
        Refusal::Busy(bound)
    }

    fn set_limit_reached(&mut self, limit_reached: Option<Limit>) {
        if self.limit_reached != limit_reached {
            self.limit_reached = limit_reached;
            self.queue.set_limit_reached(limit_reached);
        }
    }

    /// Records that the log can be written again.
    fn passed(&mut self) {
        self.set_limit_reached(None);
        if self.trouble.has_passed() {
            tracing::info!("events are accepted again");
        }
    }

    /// Checks whether the log can be written again.
    fn probe(&mut self) {
        if self.poison.is_some() {
            return;
        }
        match self.wal.probe() {
            Ok(()) => self.passed(),
            // Nothing was acknowledged, or even accepted: the next event will run into the error
            // itself.
            Err(error) if self.trouble.is_due(self.clock.now_us()) => {
                tracing::warn!(%error, "events are still rejected (logged at most once a minute)");
            }
            Err(_) => {}
        }
    }

    /// Seals the generation if the hour has turned, if it is full, or if asked; refuses appends
    /// while it is full and cannot be sealed.
    fn seal_if_due(&mut self, asked: bool) -> Result<(), Refusal> {
        let now = self.clock.hour();
        let turned = now != self.hour;
        let view = self.memtable.view();
        let snapshot = self.cell.load();
        let has_room = snapshot.sealed.len() < MAX_SEALED;
        let may_seal = asked || has_room;
        let full = self.fill([view].into_iter(), 1);
        // Flushes requested while others fail create more generations, but the limit for all of
        // them together stays the same.
        let all_full = self.fill(snapshot.sealed.iter().chain([view]), MAX_SEALED as u64 + 1);
        drop(snapshot);
        let refused = full && !may_seal || all_full && !has_room;
        self.queue.refuse(refused.then_some(Refusal::Busy(Limit::Memory)));
        if turned && view.is_empty() {
            // Users carried over for the past hour are no longer needed.
            let view = self.drop_carried();
            self.cell.update(|snapshot| snapshot.active = view);
            self.hour = now;
        }
        if self.memtable.view().is_empty() || !may_seal || !(turned || full || asked) {
            return Ok(());
        }
        // A failed log is left as it is; its events in memory can still become data files.
        if self.poison.is_none()
            && let Err(error) = self.wal.rotate_if_used()
        {
            return Err(self.refuse_seal(error));
        }
        self.sealing.has_passed();
        self.hour = now;
        let sealed = self.memtable.seal(now, self.options.memtable_max_bytes / 4);
        let active = self.memtable.view().clone();
        self.cell.update(|snapshot| {
            snapshot.sealed.push(sealed);
            snapshot.active = active;
        });
        let _ = self.committer.send(Job::Flush);
        Ok(())
    }

    /// Reports whether `memory` takes up as much as this many full generations.
    fn fill<'m>(&self, memory: impl Iterator<Item = &'m Memtable>, generations: u64) -> bool {
        let (rows, bytes) =
            memory.fold((0, 0), |(rows, bytes), memory| (rows + memory.rows, bytes + memory.bytes));
        let EngineOptions { memtable_max_rows, memtable_max_bytes, .. } = self.options;
        rows >= memtable_max_rows.saturating_mul(generations)
            || bytes >= memtable_max_bytes.saturating_mul(generations)
    }

    fn drop_carried(&mut self) -> Memtable {
        self.memtable = self.memtable.next(self.wal.next_lsn());
        self.memtable.view().clone()
    }
}

/// Maps a transient log error to the limit it reports; `None` if there is none or the log's end is
/// now uncertain.
fn passing(error: &Error) -> Option<Limit> {
    let Error::Io { action, source, .. } = error else { return None };
    if matches!(*action, "sync" | "undo a write") { None } else { vfs::limit_behind(source) }
}
