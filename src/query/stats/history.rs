//! Query history: the running statements and the last ones that ended, as shown by
//! `system.queries`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::OwnedSemaphorePermit;

use super::metrics::{Metrics, State};
use super::recorder::{QueryStats, StatsRecorder};
use crate::error::Error;

/// Number of ended statements kept, in addition to the running ones.
const REMEMBERED: usize = 100;

/// Maximum number of characters kept of a statement's text.
const TEXT_CHARS: usize = 1_000;

/// Duration in milliseconds from which a statement is logged.
const SLOW_MS: f64 = 1_000.0;

#[derive(Debug, Default)]
pub struct History {
    pub metrics: Metrics,
    /// Locked only for a push or a copy.
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub text: String,
    pub started: DateTime<Utc>,
    pub state: State,
    pub error: Option<String>,
    pub recorder: Arc<StatsRecorder>,
}

/// A running statement; if dropped before its end, it is recorded as cancelled.
#[derive(Debug)]
pub struct Running {
    history: Arc<History>,
    recorder: Arc<StatsRecorder>,
    id: u64,
    /// Released before the end is reported: a client that sends one statement after another needs
    /// only one permit.
    slot: Option<OwnedSemaphorePermit>,
}

impl History {
    /// Forgets the statements that name one of the users; of one that runs, the text.
    pub fn forget(&self, users: &BTreeSet<String>) {
        let names = |text: &str| users.iter().any(|user| text.contains(user.as_str()));
        let mut entries = self.entries.lock().expect("no panic under this lock");
        let is_named =
            |entry: &Entry| names(&entry.text) || entry.error.as_deref().is_some_and(names);
        entries.retain(|entry| entry.state == State::Running || !is_named(entry));
        for entry in entries.iter_mut().filter(|entry| names(&entry.text)) {
            entry.text.clear();
        }
    }

    pub fn begin(
        self: &Arc<Self>,
        text: &str,
        recorder: &Arc<StatsRecorder>,
        slot: OwnedSemaphorePermit,
    ) -> Running {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        let id = entries.back().map_or(1, |last| last.id + 1);
        let finished = |entry: &Entry| entry.state != State::Running;
        if entries.iter().filter(|entry| finished(entry)).count() >= REMEMBERED
            && let Some(oldest) = entries.iter().position(finished)
        {
            entries.remove(oldest);
        }
        let text = text.chars().take(TEXT_CHARS).collect();
        let (started, state) = (Utc::now(), State::Running);
        entries.push_back(Entry {
            id,
            text,
            started,
            state,
            error: None,
            recorder: recorder.clone(),
        });
        Running { history: self.clone(), recorder: recorder.clone(), id, slot: Some(slot) }
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("no panic under this lock").iter().cloned().collect()
    }

    fn end(&self, id: u64, state: State, error: Option<String>) {
        let ended = {
            let mut entries = self.entries.lock().expect("no panic under this lock");
            let Some(entry) =
                entries.iter_mut().find(|entry| entry.id == id && entry.state == State::Running)
            else {
                return;
            };
            entry.recorder.ended();
            (entry.state, entry.error) = (state, error);
            entry.clone()
        };
        let stats = ended.recorder.stats();
        self.metrics.ended(state, &stats);
        ended.log(&stats);
    }
}

impl Entry {
    /// Logs a statement that failed or was slow, to explain a slow page.
    fn log(&self, stats: &QueryStats) {
        let QueryStats {
            planning_ms,
            running_ms,
            rows,
            partitions_read,
            files_read,
            bytes_read,
            rollup,
            ..
        } = *stats;
        if self.state != State::Failed && planning_ms + running_ms < SLOW_MS {
            return;
        }
        let (outcome, error, statement) = (self.state.as_str(), self.error.as_deref(), &*self.text);
        tracing::info!(
            outcome,
            error,
            planning_ms,
            running_ms,
            rows,
            partitions_read,
            files_read,
            bytes_read,
            rollup,
            statement,
            "a statement failed or was slow"
        );
    }
}

impl Running {
    pub fn recorder(&self) -> &Arc<StatsRecorder> {
        &self.recorder
    }

    pub fn done(&mut self) {
        self.end(State::Done, None);
    }

    pub fn failed(&mut self, error: &Error) {
        self.end(State::Failed, Some(error.to_string()));
    }

    fn end(&mut self, state: State, error: Option<String>) {
        self.slot = None;
        self.history.end(self.id, state, error);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed(&Error::Panicked);
        }
        self.end(State::Cancelled, None);
    }
}
