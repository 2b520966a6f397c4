//! hourglass: a columnar engine for visitor events. Websites send events; it says, hour by hour, how many visitors there
//! were and what they did.
//!
//! # Life of a POST
//!
//! 1. [`http`] parses the query string and checks it (a 400 names the parameter).
//! 2. [`storage::Engine::append_event`] pushes the event into the queue, already in columns; a full queue is a 503.
//! 3. The writer, one thread, takes all that waits: one frame of the write-ahead log, one `fdatasync` for all of it.
//! 4. It adds the rows to the memtable, hour by hour, and publishes the next [`storage::Snapshot`].
//! 5. Only then does everybody get the 204: what is acknowledged is durable and counted by every later question.
//!
//! When the hour turns, when memory is full or when asked, the writer seals the generation. The flusher, the other thread,
//! writes a sorted Parquet file for each of its hours, syncs them, commits them to the Delta table with the last LSN as
//! the `txn`, publishes the files in place of the memory, and releases the log's segments.
//!
//! # Life of a GET
//!
//! 1. [`http`] parses the timestamp; [`hour::Hour`] is its hour.
//! 2. [`query::QueryEngine`] takes the plan that DataFusion made of `queries/hour_stats.sql`: one `RollupExec` node,
//!    because an optimizer rule found that exact counters answer the statement. It is bound to the hour and the snapshot.
//! 3. The node reads the hour's counters: those of memory are kept as events arrive, those of files come with the Delta
//!    log, and where an hour lies in several places the union of its users is kept.
//! 4. Three lines.
//!
//! # Life of a statement
//!
//! 1. [`http`] or the shell hands the text to [`query::QueryEngine::run_text`], with one [`storage::Snapshot`]: whatever is
//!    flushed or appended meanwhile, the statement sees one state.
//! 2. It is parsed, refused unless it only reads, and planned by DataFusion on threads of its own. Hours are chosen from the
//!    file index in memory; what whole hours' counters answer exactly becomes a rollup, distinct users a merge of runs.
//! 3. Rows stream to who asked; [`query::StatsRecorder`] counts partitions, files, bytes and time. Dropping the answer cancels it.
//!
//! # Invariants
//!
//! 1. A 204 means: in the log, synced, and visible to every later query.
//! 2. Every acknowledged event is counted exactly once, across crash, flush and restart.
//! 3. Each row is visible in exactly one place of a snapshot; a flush swaps memory for files at once.
//! 4. Durable first, then published; published first, then the log is released.
//! 5. An fsync that failed is never retried: the writer is poisoned, POSTs get 503, reads go on.
//! 6. A torn tail of the log is cut; damage before the tail refuses to start and says where.
//! 7. One process owns a data directory; who only reads needs no lock.
//! 8. Memory is bounded; past the bounds the answer is 503.
//! 9. Late events are rows of an older hour, nothing special.
//! 10. A rollup is used only where it is exact; with rollups off, every answer is the same.
//! 11. A claim about the distinct users of an hour names the files it was made from, and holds for no others.
//!
//! # Modules, from the ground up
//!
//! [`event`], [`hour`], [`rollup`], [`error`] are the nouns; [`metrics`] counts, [`threads`] says which threads go first, [`text`]
//! what is said to people, [`console`] says it. [`storage`] is everything between an event and the disk and knows no HTTP and no SQL.
//! [`query`] is DataFusion and knows snapshots, never the engine. [`decode`] and [`encode`] speak CSV, NDJSON, Arrow
//! and Parquet with the world, [`rows`] writes the answers of statements, [`export`] files for a lake; [`generate`]
//! makes workloads, [`http`] is the server, [`client`] its client, [`config`] every setting, [`shell`] the SQL shell,
//! [`mod@bench`] measures all of it, [`cli`] has the commands. A module imports only from below; a test holds that as
//! data.

pub mod event;
pub mod metrics;
pub mod text;
pub mod threads;

pub mod error;
pub mod hour;
pub mod rollup;

pub mod console;

pub mod storage;

pub mod decode;
pub mod query;
pub mod rows;

pub mod encode;
pub mod export;
pub mod generate;
pub mod http;

pub mod client;
pub mod config;

pub mod bench;
pub mod shell;

pub mod cli;
