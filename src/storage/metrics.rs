//! Metrics that storage updates as events happen. Those computed at scrape time are in
//! [`super::scrape`].

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::hour::Clock;
use crate::metrics::Histogram;

/// Metrics of one engine. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Calls for a snapshot and for an append: how busy the callers are.
    pub calls: Counter,
    pub commit_events: Histogram,
    pub commit_duration: Histogram,
    pub repeated_events: Counter,
    pub reused_keys: Counter,
    pub flush_duration: Histogram,
    pub flush_failures: Counter,
    pub flushed_rows: Counter,
    pub flushed_files: Counter,
    pub flushed_bytes: Counter,
    pub merged_files: Counter,
    pub compacted_files: Counter,
    pub compacted_bytes: Counter,
    pub compaction_failures: Counter,
    pub removed_files: Counter,
    pub replaced_files: Gauge,
    pub expired_rows: Counter,
    /// Data files whose visitor sets were made.
    pub set_files: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (calls, repeated_events, reused_keys, flush_failures) = Default::default();
        let (flushed_rows, flushed_files, flushed_bytes) = Default::default();
        let (merged_files, compacted_files, compacted_bytes) = Default::default();
        let (compaction_failures, removed_files, replaced_files, expired_rows) = Default::default();
        let set_files = Default::default();
        Metrics {
            calls,
            commit_events: Histogram::of_sizes(),
            commit_duration: Histogram::of_times(),
            repeated_events,
            reused_keys,
            flush_duration: Histogram::of_times(),
            flush_failures,
            flushed_rows,
            flushed_files,
            flushed_bytes,
            merged_files,
            compacted_files,
            compacted_bytes,
            compaction_failures,
            removed_files,
            replaced_files,
            expired_rows,
            set_files,
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
            "Rows of data files written by flushes",
            self.flushed_rows.clone(),
        );
        registry.register(
            "hourglass_flushed_files",
            "Data files written by flushes",
            self.flushed_files.clone(),
        );
        registry.register(
            "hourglass_flushed_bytes",
            "Bytes of data files written by flushes",
            self.flushed_bytes.clone(),
        );
        self.register_compaction(registry);
    }

    fn register_compaction(&self, registry: &mut Registry) {
        registry.register(
            "hourglass_merged_files",
            "Data files that compaction has replaced",
            self.merged_files.clone(),
        );
        registry.register(
            "hourglass_compacted_files",
            "Data files written by compaction",
            self.compacted_files.clone(),
        );
        registry.register(
            "hourglass_compacted_bytes",
            "Bytes of data files written by compaction",
            self.compacted_bytes.clone(),
        );
        registry.register(
            "hourglass_compaction_failures",
            "Failed compactions; each is retried",
            self.compaction_failures.clone(),
        );
        registry.register(
            "hourglass_removed_files",
            "Replaced data files removed after their grace period",
            self.removed_files.clone(),
        );
        registry.register(
            "hourglass_replaced_files",
            "Replaced data files that are kept until their grace period ends",
            self.replaced_files.clone(),
        );
        registry.register(
            "hourglass_expired_rows",
            "Rows removed because their hour was older than the retention",
            self.expired_rows.clone(),
        );
        registry.register(
            "hourglass_set_files",
            "Data files whose visitor sets were made",
            self.set_files.clone(),
        );
    }
}

/// Returns the time since `began_us`; zero if the clock has been set back since.
pub fn since(clock: &dyn Clock, began_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(clock.now_us() - began_us).unwrap_or(0))
}
