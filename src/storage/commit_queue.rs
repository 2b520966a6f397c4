//! The queue between those who append and the one writer: bounded, and already in columns.
//!
//! Appenders push into a shared [`EventBatch`]; the writer takes all of it at once. That is the
//! group commit: whatever came while the last sync ran is the next frame.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::options::EngineOptions;
use super::wal::Lsn;
use crate::error::{Error, Limit, Result};
use crate::event::{Content, Event, EventBatch, Key};

/// Who waits for an outcome; `Err` carries why nothing was stored.
pub type Waiter<T> = oneshot::Sender<Result<T, Refusal>>;

/// Why an append was not stored, cheap to give to each who waited.
#[derive(Clone, Debug)]
pub enum Refusal {
    Busy(Limit),
    Poisoned(Arc<str>),
    Failed(Arc<str>),
    KeyReused,
    /// A thread of the engine has ended.
    Died(Arc<str>),
    Closed,
}

impl Refusal {
    /// Whether it is for good.
    fn is_final(&self) -> bool {
        matches!(self, Refusal::Poisoned(_) | Refusal::Died(_) | Refusal::Closed)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Busy(bound) => Error::Busy(bound),
            Refusal::Poisoned(why) => Error::Poisoned(why.to_string()),
            Refusal::Failed(why) => Error::Io {
                path: super::lake::table::TABLE_DIR.into(),
                action: "flush",
                source: std::io::Error::other(why.to_string()),
            },
            Refusal::KeyReused => Error::KeyReused,
            Refusal::Died(why) => Error::Died(why.to_string()),
            Refusal::Closed => Error::Closed,
        }
    }
}

/// What the writer takes in one go.
#[derive(Debug, Default)]
pub struct Taken {
    pub batch: EventBatch,
    pub waiters: Vec<Waiter<Lsn>>,
    /// For each key of the batch, which of those who wait it is of.
    pub askers: Vec<u32>,
    /// The runtime that those who wait belong to, where they do.
    pub runtime: Option<Handle>,
    /// Those who want everything before them flushed.
    pub flushes: Vec<Waiter<()>>,
    /// Nothing more will come.
    pub closed: bool,
}

impl Taken {
    /// Tells all who wait what became of their events; those whose numbers are in `reused`, in
    /// order, that their key was used before. Many are told by a task of their own runtime: waking
    /// a task from inside is a push to a thread's own queue, from outside a lock and a system call.
    pub fn tell(
        waiters: Vec<Waiter<Lsn>>,
        runtime: Option<Handle>,
        outcome: Result<Lsn, Refusal>,
        reused: Vec<u32>,
    ) {
        let tell = move || {
            let mut reused = reused.into_iter().peekable();
            for (number, waiter) in (0..).zip(waiters) {
                let is_reused = reused.next_if_eq(&number).is_some();
                // Who went away in the meantime has no need of the answer.
                let _ =
                    waiter.send(if is_reused { Err(Refusal::KeyReused) } else { outcome.clone() });
            }
        };
        match runtime {
            Some(runtime) => drop(runtime.spawn(async move { tell() })),
            None => tell(),
        }
    }
}

#[derive(Debug, Default)]
struct Pending {
    taken: Taken,
    /// Set while appends are refused.
    refusal: Option<Refusal>,
    /// What the log waits for, while what the writer takes is refused.
    limit_reached: Option<Limit>,
    /// Whether the writer sleeps and must be woken.
    idle: bool,
    nudged: bool,
}

#[derive(Debug)]
pub struct CommitQueue {
    max_events: usize,
    max_bytes: usize,
    /// Idempotency keys that the writer knows, and how many it may.
    keys: AtomicUsize,
    max_keys: usize,
    /// A mutex, as every append must see the queue's length; held for a push or a take.
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Which thread of the engine has ended, and how.
    died: watch::Sender<Option<Arc<str>>>,
}

impl CommitQueue {
    pub fn new(options: &EngineOptions) -> CommitQueue {
        let (keys, pending, wake, died) = Default::default();
        let EngineOptions { queue_max_events, queue_max_bytes, idempotency_max_keys, .. } =
            *options;
        CommitQueue {
            max_events: queue_max_events,
            max_bytes: queue_max_bytes,
            keys,
            max_keys: idempotency_max_keys,
            pending,
            wake,
            died,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| {
            // Who panicked may have left an event in part: nothing of the queue is used any more.
            let mut pending = poisoned.into_inner();
            self.end(&mut pending, "the queue before the write-ahead log broke".into());
            pending
        })
    }

    /// Refuses everything for good, and has the process end.
    fn end(&self, pending: &mut Pending, why: Arc<str>) {
        // Who waits learns that the answer does not come.
        pending.taken = Taken { closed: true, ..Taken::default() };
        self.died.send_if_modified(|died| {
            let is_first = died.is_none();
            let first = died.get_or_insert(why);
            pending.refusal = Some(Refusal::Died(first.clone()));
            is_first
        });
    }

    /// Queues one event, which counts once under its key.
    pub fn push(
        &self,
        event: Event<'_>,
        key: Option<Key>,
    ) -> Result<oneshot::Receiver<Result<Lsn, Refusal>>> {
        self.check_keys(key.is_some())?;
        let key = key.map(|key| (key, Content::of([event])));
        self.add(1, event.user.len(), |batch| {
            batch.push_event(event);
            if let Some((key, content)) = key {
                batch.key_last(key, content);
            }
        })
    }

    fn check_keys(&self, is_keyed: bool) -> Result<()> {
        if is_keyed && self.keys() >= self.max_keys {
            Err(Error::Busy(Limit::Keys))
        } else {
            Ok(())
        }
    }

    /// Queues a batch; it becomes part of one frame. One larger than the bounds is taken when
    /// nothing else waits.
    pub fn push_batch(
        &self,
        events: EventBatch,
    ) -> Result<oneshot::Receiver<Result<Lsn, Refusal>>> {
        self.check_keys(!events.keyed().is_empty())?;
        self.add(events.len(), events.byte_len(), |batch| {
            if batch.is_empty() { *batch = events } else { batch.extend(&events) }
        })
    }

    fn add(
        &self,
        events: usize,
        bytes: usize,
        push: impl FnOnce(&mut EventBatch),
    ) -> Result<oneshot::Receiver<Result<Lsn, Refusal>>> {
        let mut pending = self.lock();
        if let Some(refusal) = &pending.refusal {
            return Err(refusal.clone().into());
        }
        let batch = &mut pending.taken.batch;
        let full =
            batch.len() + events > self.max_events || batch.byte_len() + bytes > self.max_bytes;
        if full && !batch.is_empty() {
            return Err(Error::Busy(Limit::Queue));
        }
        push(batch);
        let (sender, receiver) = oneshot::channel();
        let taken = &mut pending.taken;
        taken.askers.resize(taken.batch.keyed().len(), taken.waiters.len() as u32);
        taken.waiters.push(sender);
        if pending.taken.runtime.is_none() {
            pending.taken.runtime = Handle::try_current().ok();
        }
        self.wake_if_idle(pending);
        Ok(receiver)
    }

    /// Asks that everything appended before be flushed.
    pub fn push_flush(&self) -> Result<oneshot::Receiver<Result<(), Refusal>>> {
        let mut pending = self.lock();
        if let Some(refusal) = pending.refusal.as_ref().filter(|refusal| refusal.is_final()) {
            return Err(refusal.clone().into());
        }
        let (sender, receiver) = oneshot::channel();
        pending.taken.flushes.push(sender);
        self.wake_if_idle(pending);
        Ok(receiver)
    }

    fn wake_if_idle(&self, mut pending: MutexGuard<'_, Pending>) {
        if std::mem::replace(&mut pending.idle, false) {
            drop(pending);
            self.wake.notify_one();
        }
    }

    /// Lets the writer look around: a flush has ended.
    pub fn nudge(&self) {
        let mut pending = self.lock();
        pending.nudged = true;
        self.wake_if_idle(pending);
    }

    /// Events and bytes that wait.
    pub fn queued(&self) -> (usize, usize) {
        let pending = self.lock();
        (pending.taken.batch.len(), pending.taken.batch.byte_len())
    }

    /// Takes everything that waits; sleeps up to `timeout` when nothing does. `emptied` is an empty
    /// batch whose capacity serves again.
    pub fn take(&self, emptied: EventBatch, timeout: Duration) -> Taken {
        let mut pending = self.lock();
        let quiet = |p: &Pending| {
            p.taken.batch.is_empty() && p.taken.flushes.is_empty() && !p.taken.closed && !p.nudged
        };
        if quiet(&pending) {
            pending.idle = true;
            pending = self
                .wake
                .wait_timeout_while(pending, timeout, |p| quiet(p))
                .expect("no panic under this lock")
                .0;
            pending.idle = false;
        }
        pending.nudged = false;
        let closed = pending.taken.closed;
        let waiting = pending.taken.waiters.len();
        let next = Taken {
            batch: emptied,
            waiters: Vec::with_capacity(waiting),
            closed,
            ..Taken::default()
        };
        std::mem::replace(&mut pending.taken, next)
    }

    /// Refuses appends from now on, or accepts them again. Poison, death and close are final.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        let mut pending = self.lock();
        if !pending.refusal.as_ref().is_some_and(Refusal::is_final) {
            pending.refusal = refusal;
        }
    }

    /// Notes what the log waits for, or that it waits no more. Appends go on to the writer: each is
    /// a try.
    pub fn set_limit_reached(&self, limit_reached: Option<Limit>) {
        self.lock().limit_reached = limit_reached;
    }

    /// Why events are refused now.
    pub fn refusal(&self) -> Option<Refusal> {
        let pending = self.lock();
        pending.refusal.clone().or(pending.limit_reached.map(Refusal::Busy))
    }

    /// Whether the writer has been told to end.
    pub fn is_closed(&self) -> bool {
        self.lock().taken.closed
    }

    /// A thread of the engine has ended that should not: nothing more is taken, and the others end,
    /// too.
    pub fn die(&self, why: &str) {
        let mut pending = self.lock();
        self.end(&mut pending, why.into());
        self.wake_if_idle(pending);
    }

    /// How the first thread ended that should not have, when one has.
    pub fn death(&self) -> Option<Arc<str>> {
        self.died.borrow().clone()
    }

    /// Waits until a thread ends that should not.
    pub async fn wait_for_death(&self) -> Arc<str> {
        let mut died = self.died.subscribe();
        let death = died.wait_for(Option::is_some).await.expect("the sender is here");
        death.clone().expect("just seen")
    }

    /// Idempotency keys known; at their bound, requests with one are refused.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn set_keys(&self, keys: usize) {
        self.keys.store(keys, Ordering::Relaxed);
    }

    /// Why the writer is poisoned.
    pub fn poisoned(&self) -> Option<String> {
        match &self.lock().refusal {
            Some(Refusal::Poisoned(why)) => Some(why.to_string()),
            _ => None,
        }
    }

    /// Refuses appends and tells the writer to end once it has taken the last.
    pub fn close(&self) {
        let mut pending = self.lock();
        pending.taken.closed = true;
        if !pending.refusal.as_ref().is_some_and(Refusal::is_final) {
            pending.refusal = Some(Refusal::Closed);
        }
        self.wake_if_idle(pending);
    }
}
