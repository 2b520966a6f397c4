//! Metrics that storage updates as events happen. Those computed at scrape time are in
//! [`super::scrape`].

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::hour::Clock;
use crate::metrics::Histogram;

/// Metrics of one engine. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub commit_events: Histogram,
    pub commit_duration: Histogram,
    pub repeated_events: Counter,
    pub reused_keys: Counter,
    pub flush_duration: Histogram,
    pub flush_failures: Counter,
    pub flushed_rows: Counter,
    pub flushed_files: Counter,
    pub flushed_bytes: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (repeated_events, reused_keys, flush_failures) = Default::default();
        let (flushed_rows, flushed_files, flushed_bytes) = Default::default();
        Metrics {
            commit_events: Histogram::of_sizes(),
            commit_duration: Histogram::of_times(),
            repeated_events,
            reused_keys,
            flush_duration: Histogram::of_times(),
            flush_failures,
            flushed_rows,
            flushed_files,
            flushed_bytes,
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hourglass_group_commit_events",
            "Events per group commit; each commit is one frame of the write-ahead log and one sync",
            self.commit_events.clone(),
        );
        registry.register(
            "hourglass_group_commit_duration_seconds",
            "Time to write one frame and sync it, nearly all of it the sync",
            self.commit_duration.clone(),
        );
        registry.register(
            "hourglass_repeated_events",
            "Events repeated under their idempotency key, and not stored again",
            self.repeated_events.clone(),
        );
        registry.register(
            "hourglass_reused_keys",
            "Requests rejected because their idempotency key was used before with different \
            content",
            self.reused_keys.clone(),
        );
        registry.register(
            "hourglass_flush_duration_seconds",
            "Time to write one generation of memory to data files and commit them to the table",
            self.flush_duration.clone(),
        );
        registry.register(
            "hourglass_flush_failures",
            "Failed flushes; each is retried",
            self.flush_failures.clone(),
        );
        registry.register(
            "hourglass_flushed_rows",
            "Rows of data files written",
            self.flushed_rows.clone(),
        );
        registry.register(
            "hourglass_flushed_files",
            "Data files written",
            self.flushed_files.clone(),
        );
        registry.register(
            "hourglass_flushed_bytes",
            "Bytes of data files written",
            self.flushed_bytes.clone(),
        );
    }
}

/// Returns the time since `began_us`; zero if the clock has been set back since.
pub fn since(clock: &dyn Clock, began_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(clock.now_us() - began_us).unwrap_or(0))
}
