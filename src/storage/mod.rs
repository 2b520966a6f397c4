//! Storage engine: everything between an event and the disk, behind [`Engine`] and [`Snapshot`].
//!
//! In reading order:
//!
//! - [`vfs`] abstracts the operating system's files, [`store`] is the table's object store over
//!   them.
//! - [`wal`] makes events durable, [`memory`] holds them until they are flushed, [`idempotency`]
//!   detects repeated requests.
//! - [`file_names`] names the data file of rows still in memory, [`lake`] is the Delta table of
//!   flushed events.
//! - [`sets`] are the users of every hour as bitmaps, made from data files by the [`sets_builder`].
//! - [`snapshot`] is what readers see.
//! - [`commit_queue`], [`writer`] and [`flusher`] move events from one to the next, [`maintenance`]
//!   merges files and removes old ones; the [`committer`] is the thread of both, and the [`owned_table`] what they
//!   commit to. [`requests`] are what callers ask of it.
//! - [`engine`] opens, recovers and owns them, [`directory`] locks the data directory and holds its
//!   metadata.
//! - [`metrics`], [`scrape`], [`recurring`] and [`pace`] report on all this; [`verify`] checks it.
//!
//! Nothing here depends on HTTP or SQL, and only [`vfs::Disk`] and [`crate::hour::SystemClock`]
//! access the operating system's files and its time of day.

mod commit_queue;
mod committer;
mod directory;
mod engine;
mod error;
mod file_names;
mod flusher;
mod idempotency;
mod lake;
mod maintenance;
mod memory;
mod metrics;
mod options;
mod owned_table;
mod pace;
mod recurring;
mod requests;
mod scrape;
mod sets;
mod sets_builder;
mod snapshot;
mod store;
pub mod verify;
pub mod vfs;
mod wal;
mod writer;

pub use self::directory::{META_FILE, declare, declared};
pub use self::engine::{Engine, ReadOnly, Steps};
pub use self::error::Error;
pub use self::lake::actions::DataFile;
pub use self::lake::commits::Commit;
pub use self::lake::history::AsOf;
pub use self::lake::index::{FileIndex, HourFiles};
pub use self::memory::dictionary::{Dictionary, Interner};
pub use self::memory::memtable::{ABSENT, Chunk, HourTable, Memtable};
pub use self::options::{CompactionOptions, EngineOptions};
pub use self::recurring::Recurring;
pub use self::requests::{CompactionReport, ErasureReceipt, Progress, RetentionReport};
pub use self::snapshot::Snapshot;
pub use self::snapshot::sources::HourSources;
pub use self::snapshot::visitors::{VisitorReader, of_hour};
pub use self::store::{Counted, Reads, TableStore, VfsStore};
pub use self::wal::{Lsn, SegmentInfo};
