//! Options of the engine.

use crate::event::Declaration;

/// Limits and intervals of the engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Kinds and dimensions that a new store gets, and that an old one must have.
    pub declared: Declaration,
    /// Size of a log segment, in bytes; a larger frame gets a segment of its own.
    pub wal_segment_bytes: u64,
    /// Number of rows at which a memtable generation is sealed and flushed.
    pub memtable_max_rows: u64,
    /// Number of bytes at which a memtable generation is sealed and flushed.
    pub memtable_max_bytes: u64,
    /// Maximum number of events queued for the writer; beyond it appends return `Error::Busy`.
    pub queue_max_events: usize,
    /// Maximum number of bytes queued for the writer.
    pub queue_max_bytes: usize,
    /// Maximum size of the cached user sets of hours that lie in several files, in bytes.
    pub users_cache_bytes: u64,
    /// Time during which a request sent again with its idempotency key is stored only once, in
    /// milliseconds.
    pub idempotency_window_ms: u64,
    /// Maximum number of idempotency keys in memory; beyond it requests with a key return
    /// `Error::Busy`.
    pub idempotency_max_keys: usize,
    /// Time after which a failed flush is retried, in milliseconds.
    pub flush_retry_ms: u64,
    pub compaction: CompactionOptions,
    /// Whether the builder of visitor sets lets everything else go first; not where a caller waits
    /// for it.
    pub sets_stand_back: bool,
    /// Time for which files that are no longer in the table stay, in milliseconds.
    pub keep_replaced_ms: u64,
    /// Age at which whole hours are removed, in milliseconds; `None` keeps all.
    pub retention_ms: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            declared: Declaration::default(),
            wal_segment_bytes: 32 << 20,
            memtable_max_rows: 16_000_000,
            memtable_max_bytes: 512 << 20,
            queue_max_events: 65_536,
            queue_max_bytes: 64 << 20,
            users_cache_bytes: 256 << 20,
            idempotency_window_ms: 24 * 60 * 60 * 1_000,
            idempotency_max_keys: 16_000_000,
            flush_retry_ms: 1_000,
            compaction: CompactionOptions::default(),
            sets_stand_back: true,
            keep_replaced_ms: 24 * 60 * 60 * 1_000,
            retention_ms: None,
        }
    }
}

/// Limits and intervals of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Whether files are merged without being asked.
    pub background: bool,
    /// Age of the oldest unmerged late file at which an hour's late files are merged, in
    /// milliseconds.
    pub late_after_ms: u64,
    /// Number of late files at which they are merged regardless of their age.
    pub late_files: usize,
    /// Age of the newest late file at which the hour is cold, in milliseconds.
    pub cold_after_ms: u64,
    /// Interval at which the hours are looked through, in milliseconds.
    pub interval_ms: u64,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Default for CompactionOptions {
    fn default() -> CompactionOptions {
        CompactionOptions {
            background: true,
            late_after_ms: DAY_MS,
            late_files: 8,
            cold_after_ms: 7 * DAY_MS,
            interval_ms: 60_000,
        }
    }
}
