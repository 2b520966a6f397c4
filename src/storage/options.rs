//! Options of the engine: every limit it keeps.

/// Where the engine lives and every bound it keeps.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes of a log segment; a larger frame gets a segment of its own.
    pub wal_segment_bytes: u64,
    /// A memtable generation with this many rows is sealed and flushed.
    pub memtable_max_rows: u64,
    /// A memtable generation of this many bytes is sealed and flushed.
    pub memtable_max_bytes: u64,
    /// Events that may wait for the writer; past it appends answer `Error::Busy`.
    pub queue_max_events: usize,
    /// Bytes that may wait for the writer.
    pub queue_max_bytes: usize,
    /// Bytes of user sets kept for hours that lie in several files.
    pub users_cache_bytes: u64,
    /// How long a request sent again under its idempotency key counts once, milliseconds.
    pub idempotency_window_ms: u64,
    /// Keys in memory; past it requests with a key answer `Error::Busy`.
    pub idempotency_max_keys: usize,
    /// A flush that failed is tried again after this many milliseconds.
    pub flush_retry_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            wal_segment_bytes: 32 << 20,
            memtable_max_rows: 16_000_000,
            memtable_max_bytes: 512 << 20,
            queue_max_events: 65_536,
            queue_max_bytes: 64 << 20,
            users_cache_bytes: 256 << 20,
            idempotency_window_ms: 24 * 60 * 60 * 1_000,
            idempotency_max_keys: 16_000_000,
            flush_retry_ms: 1_000,
        }
    }
}
