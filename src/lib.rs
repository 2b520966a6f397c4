//! hourglass is a columnar engine for visitor events: websites send clicks and impressions, and it
//! returns the number of visitors, clicks and impressions of every hour.
//!
//! # Life of a POST
//!
//! 1. [`server`] lets the request in: who may do what is decided once for all doors.
//!    [`server::http`] parses the query string and validates it (a 400 names the parameter).
//! 2. [`storage::Engine::append_event`] pushes the event into the commit queue, already in columns;
//!    a full queue is a 503.
//! 3. The writer, a single thread, takes everything queued: one frame of the write-ahead log, one
//!    `fdatasync` for all of it.
//! 4. It adds the rows to the memtable, by hour, and publishes the next [`storage::Snapshot`].
//! 5. Only then are the requests answered 204: what is acknowledged is durable, and counted by
//!    every later query.
//!
//! When the hour turns, when memory is full or on request, the writer seals the memtable. The
//! committer, another thread, writes a sorted Parquet file for each of its hours, syncs them,
//! commits them to the Delta table with the last LSN as the `txn`, publishes the files in place of
//! the memory, and releases the log's segments.
//!
//! # Life of a file
//!
//! When it has nothing to flush, the committer looks after the files, in small steps: it merges
//! those of an hour, removes hours that are too old and users who ask for it, and removes from the
//! disk, a day later, what these commits have replaced. All commits of a process are its own, and
//! carry the epoch of the process: one that has been replaced commits nothing more.
//!
//! After each commit a thread of low priority reads the new files, and makes the sets of their users
//! for each kind of event ([`storage`], `sets`): bitmaps over codes that an index on disk gives the
//! names. Days and months that have ended have sets, too.
//!
//! # Life of a GET
//!
//! 1. [`server::http`] parses the timestamp; [`hour::Hour`] is its hour.
//! 2. [`query::QueryEngine`] takes the plan that DataFusion made of `queries/hour_stats.sql`. It is
//!    a single `RollupExec` node, because an optimizer rule found that exact counters answer the
//!    statement. The plan is bound to the hour and the snapshot.
//! 3. The node reads the hour's counters. Those of memory are updated as events arrive, those of
//!    files are part of the Delta log; for an hour in several places, the union of its users is
//!    cached.
//! 4. The response has three lines.
//!
//! # Life of a statement
//!
//! 1. [`server::http`] or the shell passes the text to [`query::QueryEngine::run_text`] with one
//!    [`storage::Snapshot`]: the statement sees one state, regardless of later flushes and appends.
//!    If its session asks for an earlier version of the table, it sees that one instead.
//! 2. It is parsed, rejected unless it only reads, and planned by DataFusion on separate threads.
//!    Hours are selected by the file index in memory. Aggregates over whole hours become rollups,
//!    and their distinct users the size of a union of sets; where neither can be used, exact
//!    distinct users are counted from the sorted runs of each file, hashing a name once a run.
//! 3. Rows stream to the client; [`query::StatsRecorder`] counts partitions, files, bytes and time.
//!    Dropping the result cancels the statement.
//!
//! # Invariants
//!
//! 1. A 204 means: in the log, synced, and visible to every later query.
//! 2. Every acknowledged event is counted exactly once, across crash, flush and restart.
//! 3. Each row is visible in exactly one place of a snapshot; a flush replaces memory by files
//!    atomically.
//! 4. Data is durable before it is published, and published before the log is released.
//! 5. A failed fsync is never retried: the log is poisoned, POSTs get 503, reads go on.
//! 6. A torn tail of the log is truncated; damage before the tail stops the start, with its
//!    position.
//! 7. One process owns a data directory; readers need no lock.
//! 8. Memory is bounded; past the limits the response is 503.
//! 9. Late events are rows of an older hour, with no special handling.
//! 10. A rollup is used only where it is exact; with rollups off, every answer is the same.
//! 11. A data file never changes, and its name is never used for other rows once it is committed. It
//!     is removed only after it has left the table, its grace period has passed and no snapshot has
//!     it.
//! 12. A claim about the distinct users of an hour names the files it was made from, and holds for
//!     no others.
//! 13. What is derived, such as visitor sets, can be thrown away and made again; nothing that is
//!     acknowledged waits for it or depends on it. A user's code is never another user's.
//!
//! # Modules, bottom up
//!
//! A module imports only from modules of the rows above it; `tests/suite/layers.rs` checks this.
//!
//! | modules | content |
//! | --- | --- |
//! | [`event`], [`limit`], [`metrics`], [`text`], [`threads`] | events, limits, histograms, texts, priorities |
//! | [`hour`], [`rollup`] | hours and the clock; an hour's counters |
//! | [`storage`] | everything between an event and the disk; depends on neither HTTP nor SQL |
//! | [`error`] | the error type, and what each failure means to a caller, an operator and a script |
//! | [`console`] | standard output and standard error |
//! | [`decode`], [`query`] | input formats; SQL over snapshots |
//! | [`encode`], [`generate`], [`rows`] | files of events; workloads; result formats |
//! | [`export`], [`server`] | exports for a data lake; the server: access, TLS, HTTP |
//! | [`client`], [`config`] | the server's client; every setting |
//! | [`mod@bench`], [`shell`] | benchmarks; the SQL shell |
//! | [`cli`] | the commands |
//!
//! [`query`] depends on snapshots, never on the engine: a statement cannot change what it reads.
//!
//! # Folders of the storage engine, the query layer and the server
//!
//! The large modules are divided into folders, whose `mod.rs` lists the files:
//!
//! | folder | content |
//! | --- | --- |
//! | `storage/vfs`, `storage/store` | the operating system's files; the object store of the table |
//! | `storage/wal` | write-ahead log: frames, segments, replay |
//! | `storage/memory` | memtable and interned users |
//! | `storage/idempotency` | which requests are repeats |
//! | `storage/lake` | Delta table and its data files |
//! | `storage/maintenance` | compaction, retention, erasure, removal of replaced files |
//! | `storage/sets` | visitor sets and the index of names |
//! | `storage/snapshot` | what readers see, also of earlier versions; exact unions of users |
//! | `storage/verify` | checks of a whole data directory |
//! | `query/catalog` | tables, system tables, PostgreSQL's catalogs, saved queries |
//! | `query/functions` | SQL functions of our own |
//! | `query/syntax` | rewrites of syntax; rejection of clauses that would be dropped silently |
//! | `query/optimizer`, `query/exec` | optimizer rules; plan nodes |
//! | `query/stats` | cost of statements |
//! | `server/http`, `server/postgres` | the doors; beside them what they share: connections, tokens, TLS |

pub mod event;
pub mod limit;
pub mod metrics;
pub mod text;
pub mod threads;

pub mod hour;
pub mod rollup;

pub mod storage;

pub mod error;

pub mod console;

pub mod decode;
pub mod query;
pub mod rows;

pub mod encode;
pub mod export;
pub mod generate;
pub mod server;

pub mod client;
pub mod config;

pub mod bench;
pub mod shell;

pub mod cli;
