//! Storage engine: everything between an event and the disk, behind [`Engine`] and [`Snapshot`].
//!
//! In reading order:
//!
//! - [`vfs`] is the operating system's files, [`store`] the object store of the table over them.
//! - [`wal`] makes events durable, [`memory`] holds them until they are flushed, [`idempotency`]
//!   knows which requests are repeats.
//! - [`file_names`] names a data file before its first event is in it, [`lake`] is the Delta table
//!   of what has been flushed.
//! - [`snapshot`] is what readers see.
//! - [`commit_queue`], [`writer`] and [`flusher`] move events from one to the next; [`engine`]
//!   opens, recovers and owns them, [`directory`] says who may.
//! - [`metrics`], [`scrape`] and [`recurring`] tell how it fares; [`verify`] checks all of it.
//!
//! Nothing here knows HTTP or SQL, and nothing but [`vfs::Disk`] and [`crate::hour::SystemClock`]
//! reaches the operating system's files or its time of day.

mod commit_queue;
mod directory;
mod engine;
mod file_names;
mod flusher;
mod idempotency;
mod lake;
mod memory;
mod metrics;
mod options;
mod recurring;
mod scrape;
mod snapshot;
mod store;
pub mod verify;
pub mod vfs;
mod wal;
mod writer;

pub use self::directory::META_FILE;
pub use self::engine::{Engine, ReadOnly, Steps};
pub use self::lake::table::{DataFile, FileIndex, HourFiles};
pub use self::memory::memtable::{Chunk, HourTable, Memtable};
pub use self::memory::users::{UserDict, UserIndex};
pub use self::options::EngineOptions;
pub use self::recurring::Recurring;
pub use self::snapshot::Snapshot;
pub use self::snapshot::sources::HourSources;
pub use self::store::{Reads, VfsStore};
pub use self::wal::{Lsn, SegmentInfo};
