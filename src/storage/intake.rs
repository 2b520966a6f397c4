//! The queue between those who append and the one writer: bounded, and already in columns.
//!
//! Appenders push into a shared [`EventBatch`]; the writer takes all of it at once. That is the group commit: whatever came
//! while the last sync ran is the next frame.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{EngineOptions, Lsn};
use crate::error::{Bound, Error, Result};
use crate::event::{EventBatch, EventKind, Key};

/// Who waits for an outcome; `Err` carries why nothing was stored.
pub type Waiter<T> = oneshot::Sender<Result<T, Refusal>>;

/// Why an append was not stored, cheap to give to each who waited.
#[derive(Clone, Debug)]
pub enum Refusal {
    Busy(Bound),
    Poisoned(Arc<str>),
    Failed(Arc<str>),
    Closed,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Busy(bound) => Error::Busy(bound),
            Refusal::Poisoned(why) => Error::Poisoned(why.to_string()),
            Refusal::Failed(why) => Error::Io {
                path: super::lake::TABLE_DIR.into(),
                action: "flush",
                source: std::io::Error::other(why.to_string()),
            },
            Refusal::Closed => Error::Closed,
        }
    }
}

/// What the writer takes in one go.
#[derive(Debug, Default)]
pub struct Taken {
    pub batch: EventBatch,
    pub waiters: Vec<Waiter<Lsn>>,
    /// The runtime that those who wait belong to, where they do.
    pub runtime: Option<Handle>,
    /// Those who want everything before them flushed.
    pub flushes: Vec<Waiter<()>>,
    /// Nothing more will come.
    pub closed: bool,
}

impl Taken {
    /// Tells all who wait what became of their events. Many are told by a task of their own runtime: waking a task from
    /// inside is a push to a thread's own queue, from outside a lock and a system call.
    pub fn tell(waiters: Vec<Waiter<Lsn>>, runtime: Option<Handle>, outcome: Result<Lsn, Refusal>) {
        let tell = move || {
            for waiter in waiters {
                // Who went away in the meantime has no need of the answer.
                let _ = waiter.send(outcome.clone());
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
    /// Whether the writer sleeps and must be woken.
    idle: bool,
    nudged: bool,
}

#[derive(Debug)]
pub struct Intake {
    max_events: usize,
    max_bytes: usize,
    /// Idempotency keys that the writer knows, and how many it may.
    keys: AtomicUsize,
    max_keys: usize,
    /// A mutex, as every append must see the queue's length; held for a push or a take.
    pending: Mutex<Pending>,
    wake: Condvar,
}

impl Intake {
    pub fn new(options: &EngineOptions) -> Intake {
        let (keys, pending, wake) = Default::default();
        let EngineOptions { queue_max_events, queue_max_bytes, idempotency_max_keys, .. } = *options;
        Intake {
            max_events: queue_max_events,
            max_bytes: queue_max_bytes,
            keys,
            max_keys: idempotency_max_keys,
            pending,
            wake,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("no panic under this lock")
    }

    /// Queues one event, which counts once under its key.
    pub fn push(
        &self,
        timestamp_us: i64,
        user: &str,
        kind: EventKind,
        key: Option<Key>,
    ) -> Result<oneshot::Receiver<Result<Lsn, Refusal>>> {
        self.check_keys(key.is_some())?;
        self.add(1, user.len(), |batch| {
            batch.push(timestamp_us, user, kind);
            if let Some(key) = key {
                batch.key_from(batch.len() - 1, key);
            }
        })
    }

    fn check_keys(&self, is_keyed: bool) -> Result<()> {
        match is_keyed && self.keys() >= self.max_keys {
            true => Err(Error::Busy(Bound::Keys)),
            false => Ok(()),
        }
    }

    /// Queues a batch; it becomes part of one frame. One larger than the bounds is taken when nothing else waits.
    pub fn push_batch(&self, events: EventBatch) -> Result<oneshot::Receiver<Result<Lsn, Refusal>>> {
        self.check_keys(!events.keyed().is_empty())?;
        self.add(events.len(), events.byte_len(), |batch| match batch.is_empty() {
            true => *batch = events,
            false => batch.extend(&events),
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
        let full = batch.len() + events > self.max_events || batch.byte_len() + bytes > self.max_bytes;
        if full && !batch.is_empty() {
            return Err(Error::Busy(Bound::Queue));
        }
        push(batch);
        let (sender, receiver) = oneshot::channel();
        pending.taken.waiters.push(sender);
        if pending.taken.runtime.is_none() {
            pending.taken.runtime = Handle::try_current().ok();
        }
        self.wake_if_idle(pending);
        Ok(receiver)
    }

    /// Asks that everything appended before be flushed.
    pub fn push_flush(&self) -> Result<oneshot::Receiver<Result<(), Refusal>>> {
        let mut pending = self.lock();
        if let Some(refusal @ (Refusal::Closed | Refusal::Poisoned(_))) = &pending.refusal {
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

    /// Takes everything that waits; sleeps up to `patience` when nothing does. `emptied` is an empty batch whose capacity
    /// serves again.
    pub fn take(&self, emptied: EventBatch, patience: Duration) -> Taken {
        let mut pending = self.lock();
        let quiet =
            |p: &Pending| p.taken.batch.is_empty() && p.taken.flushes.is_empty() && !p.taken.closed && !p.nudged;
        if quiet(&pending) {
            pending.idle = true;
            pending =
                self.wake.wait_timeout_while(pending, patience, |p| quiet(p)).expect("no panic under this lock").0;
            pending.idle = false;
        }
        pending.nudged = false;
        let closed = pending.taken.closed;
        let waiting = pending.taken.waiters.len();
        let next =
            Taken { batch: emptied, waiters: Vec::with_capacity(waiting), runtime: None, flushes: Vec::new(), closed };
        std::mem::replace(&mut pending.taken, next)
    }

    /// Refuses appends from now on, or accepts them again. Poison and close are final.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        let mut pending = self.lock();
        if !matches!(pending.refusal, Some(Refusal::Poisoned(_) | Refusal::Closed)) {
            pending.refusal = refusal;
        }
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
        if !matches!(pending.refusal, Some(Refusal::Poisoned(_))) {
            pending.refusal = Some(Refusal::Closed);
        }
        self.wake_if_idle(pending);
    }
}
