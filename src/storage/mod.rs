//! Storage: everything between an event and the disk, behind [`Engine`] and [`Snapshot`].
//!
//! Reading order: [`vfs`] and [`object`] reach the disk; [`wal`] makes events durable; [`users`] and [`memtable`] hold them
//! in memory, [`keys`] and [`key_files`] the requests that must not count again; [`data_file`] and [`lake`] seal them;
//! [`sources`], [`distinct`] and [`snapshot`] are what readers see; [`intake`], [`writer`] and [`flusher`] move events along;
//! [`directory`] is the folder that [`engine`] opens and recovers, without [`leftovers`]; [`instruments`], [`scrape`] and
//! [`recurring`] tell how it fares; [`verify`] checks all of it.
//!
//! Nothing here knows HTTP or SQL, and nothing but [`vfs::Disk`] and [`crate::hour::SystemClock`] reaches the operating
//! system's files or its time of day.

mod data_file;
mod directory;
mod distinct;
mod engine;
mod flusher;
mod instruments;
mod intake;
mod key_files;
mod keys;
mod lake;
mod leftovers;
mod memtable;
mod object;
mod recurring;
mod scrape;
mod snapshot;
mod sources;
mod users;
pub mod verify;
pub mod vfs;
mod wal;
mod writer;

pub use self::data_file::Rollup;
pub use self::directory::META_FILE;
pub use self::engine::{Engine, ReadOnly};
pub use self::lake::{DataFile, FileIndex, HourFiles};
pub use self::memtable::{Chunk, HourTable, Memtable};
pub use self::object::{Reads, VfsStore};
pub use self::recurring::Recurring;
pub use self::snapshot::Snapshot;
pub use self::sources::{HourNumbers, HourSources};
pub use self::users::{UserDict, UserIndex};
pub use self::wal::SegmentInfo;

/// The segments of the log beside a store's files.
pub fn wal_segments(store: &VfsStore) -> crate::error::Result<Vec<SegmentInfo>> {
    let (vfs, root) = store.vfs();
    wal::list_segments(&**vfs, &root.join(wal::WAL_DIR))
}

/// The position of an event in the write-ahead log; the first is 1.
pub type Lsn = u64;

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
