//! Bounded queue between appenders and the single writer thread; events are held as columns.
//!
//! Appenders push into a shared [`EventBatch`]; the writer takes the whole batch at once. This is
//! the group commit: the events that arrive while one sync runs form the next frame.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::options::EngineOptions;
use super::requests::{Refusal, Request, Waiter};
use super::wal::Lsn;
use crate::event::{Content, Event, EventBatch, Key};
use crate::limit::Limit;
use crate::storage::error::{Error, Result};

/// Everything the writer takes from the queue at once.
#[derive(Debug, Default)]
pub struct Taken {
    pub batch: EventBatch,
    pub waiters: Vec<Waiter<Lsn>>,
    /// For each key of the batch, the index in `waiters` of the request it belongs to.
    pub askers: Vec<u32>,
    /// Tokio runtime of the waiters; `None` if they were queued outside a runtime.
    pub runtime: Option<Handle>,
    /// Callers waiting until everything appended before them is flushed.
    pub requests: Vec<Request>,
    /// Whether the queue is closed: nothing more will come.
    pub closed: bool,
}

impl Taken {
    /// Sends `outcome` to all waiters, except that those whose indexes are in `reused` (ascending)
    /// get [`Refusal::KeyReused`]. With a `runtime`, a task of that runtime sends the answers:
    /// waking a task from inside its runtime is a push to a thread's own queue, from outside it
    /// takes a lock and a system call.
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
                // The send fails only if the waiter is gone; then nobody needs the answer.
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
    /// Why appends are refused, while they are.
    refusal: Option<Refusal>,
    /// The limit that the log has run into, while the writer's appends fail because of it.
    limit_reached: Option<Limit>,
    /// Whether the writer is asleep and must be woken.
    idle: bool,
    nudged: bool,
}

#[derive(Debug)]
pub struct CommitQueue {
    max_events: usize,
    max_bytes: usize,
    /// Number of idempotency keys the writer remembers; `max_keys` is its limit.
    keys: AtomicUsize,
    max_keys: usize,
    /// A mutex because every append must see the queue's length; held only for a push or a take.
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Notified when the engine ends.
    closing: Condvar,
    /// Message about the first engine thread that ended unexpectedly, and how.
    died: watch::Sender<Option<Arc<str>>>,
}

impl CommitQueue {
    pub fn new(options: &EngineOptions) -> CommitQueue {
        let (keys, pending, wake, closing, died) = Default::default();
        let EngineOptions { queue_max_events, queue_max_bytes, idempotency_max_keys, .. } =
            *options;
        CommitQueue {
            max_events: queue_max_events,
            max_bytes: queue_max_bytes,
            keys,
            max_keys: idempotency_max_keys,
            pending,
            wake,
            closing,
            died,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| {
            // The thread that panicked may have left an event half-written: the queue is no longer
            // used.
            let mut pending = poisoned.into_inner();
            self.end(
                &mut pending,
                "a thread panicked while it held the queue of the write-ahead log".into(),
            );
            pending
        })
    }

    /// Refuses everything permanently and signals the process to end.
    fn end(&self, pending: &mut Pending, why: Arc<str>) {
        // Dropping the senders tells the waiters that no answer will come.
        pending.taken = Taken { closed: true, ..Taken::default() };
        self.closing.notify_all();
        self.died.send_if_modified(|died| {
            let is_first = died.is_none();
            let first = died.get_or_insert(why);
            pending.refusal = Some(Refusal::Died(first.clone()));
            is_first
        });
    }

    /// Queues one event; with a key, it is stored only once.
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

    /// Queues a batch, which becomes part of one frame. A batch larger than the limits is accepted
    /// only if the queue is empty.
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

    /// Hands the committer the request that `make` makes for its caller.
    pub fn push_request<T>(
        &self,
        make: impl FnOnce(Waiter<T>) -> Request,
    ) -> Result<oneshot::Receiver<Result<T, Refusal>>> {
        let mut pending = self.lock();
        if let Some(refusal) = pending.refusal.as_ref().filter(|refusal| refusal.is_final()) {
            return Err(refusal.clone().into());
        }
        let (sender, receiver) = oneshot::channel();
        pending.taken.requests.push(make(sender));
        self.wake_if_idle(pending);
        Ok(receiver)
    }

    fn wake_if_idle(&self, mut pending: MutexGuard<'_, Pending>) {
        if std::mem::replace(&mut pending.idle, false) {
            drop(pending);
            self.wake.notify_one();
        }
    }

    /// Wakes the writer because a flush has ended.
    pub fn nudge(&self) {
        let mut pending = self.lock();
        pending.nudged = true;
        self.wake_if_idle(pending);
    }

    /// Returns the number of events and bytes in the queue.
    pub fn queued(&self) -> (usize, usize) {
        let pending = self.lock();
        (pending.taken.batch.len(), pending.taken.batch.byte_len())
    }

    /// Takes everything in the queue; if it is empty, sleeps up to `timeout`. `emptied` is an empty
    /// batch whose capacity is reused.
    pub fn take(&self, emptied: EventBatch, timeout: Duration) -> Taken {
        let mut pending = self.lock();
        let quiet = |p: &Pending| {
            p.taken.batch.is_empty() && p.taken.requests.is_empty() && !p.taken.closed && !p.nudged
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

    /// Refuses appends from now on, or accepts them again if `None`. Poisoning, death and close are
    /// permanent.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        let mut pending = self.lock();
        if !pending.refusal.as_ref().is_some_and(Refusal::is_final) {
            pending.refusal = refusal;
        }
    }

    /// Sets or clears the limit that the log has run into. Appends still reach the writer: each one
    /// is a new attempt.
    pub fn set_limit_reached(&self, limit_reached: Option<Limit>) {
        self.lock().limit_reached = limit_reached;
    }

    /// Returns the reason why events are refused now; `None` if they are accepted.
    pub fn refusal(&self) -> Option<Refusal> {
        let pending = self.lock();
        pending.refusal.clone().or(pending.limit_reached.map(Refusal::Busy))
    }

    /// Reports whether the writer has been told to end.
    pub fn is_closed(&self) -> bool {
        self.lock().taken.closed
    }

    /// Waits for `timeout`, or until the engine ends.
    pub fn wait_for_close(&self, timeout: Duration) {
        let pending = self.lock();
        if !pending.taken.closed && !timeout.is_zero() {
            let _ = self.closing.wait_timeout(pending, timeout);
        }
    }

    /// Records that an engine thread has ended unexpectedly: nothing more is accepted, and the
    /// other threads end too.
    pub fn die(&self, why: &str) {
        let mut pending = self.lock();
        self.end(&mut pending, why.into());
        self.wake_if_idle(pending);
    }

    /// Returns how the first thread to end unexpectedly ended; `None` if none has.
    pub fn death(&self) -> Option<Arc<str>> {
        self.died.borrow().clone()
    }

    /// Waits until a thread ends unexpectedly, and returns how it ended.
    pub async fn wait_for_death(&self) -> Arc<str> {
        let mut died = self.died.subscribe();
        let death = died.wait_for(Option::is_some).await.expect("the sender is here");
        death.clone().expect("just seen")
    }

    /// Returns the number of idempotency keys remembered; at their limit, requests with a key are
    /// refused.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn set_keys(&self, keys: usize) {
        self.keys.store(keys, Ordering::Relaxed);
    }

    /// Returns why the writer is poisoned; `None` if it is not.
    pub fn poisoned(&self) -> Option<String> {
        match &self.lock().refusal {
            Some(Refusal::Poisoned(why)) => Some(why.to_string()),
            _ => None,
        }
    }

    /// Refuses appends and tells the writer to end once it has taken what is queued.
    pub fn close(&self) {
        let mut pending = self.lock();
        pending.taken.closed = true;
        self.closing.notify_all();
        if !pending.refusal.as_ref().is_some_and(Refusal::is_final) {
            pending.refusal = Some(Refusal::Closed);
        }
        self.wake_if_idle(pending);
    }
}
