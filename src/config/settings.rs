//! The settings: one table of all, with their defaults and what they say of themselves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::HttpOptions;
use crate::query::QueryOptions;
use crate::storage::EngineOptions;

use super::source::{Source, parse};
use super::value::{ByteSize, CorsOrigin, Count, FileSize, Folder, LogFilter, LogFormat, Reach, Threads, Value};

/// The prefix of every environment variable.
pub const ENV_PREFIX: &str = "HOURGLASS_";

/// One row of the table, as text: what the flags and the listing need.
pub struct Setting {
    /// The key in the file; flag and variable are spelt from it.
    pub key: &'static str,
    /// The long flag, without its leading dashes.
    pub flag: &'static str,
    pub help: &'static str,
    pub placeholder: &'static str,
    /// Whether the flag may stand alone and then means `true`.
    pub switch: bool,
    pub default: fn() -> String,
}

impl Setting {
    pub fn env(&self) -> String {
        env_name(self.key)
    }
}

/// A key spelt as a flag, `max-uri-bytes` for `max_uri_bytes`, where the table is built: clap keeps static names only.
const fn dashed<const N: usize>(key: &str) -> [u8; N] {
    let mut flag = [0; N];
    let mut i = 0;
    while i < N {
        flag[i] = if key.as_bytes()[i] == b'_' { b'-' } else { key.as_bytes()[i] };
        i += 1;
    }
    flag
}

pub fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_ascii_uppercase())
}

/// `/// help` `key: Type = default;` for each setting.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr;)*) => {
        /// The effective settings.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $help])+ pub $key: $type,)*
        }

        /// The table, in the order of [`Config`]'s fields.
        pub static SETTINGS: &[Setting] = &[
            $(Setting {
                key: stringify!($key),
                flag: {
                    const FLAG: [u8; stringify!($key).len()] = dashed(stringify!($key));
                    match std::str::from_utf8(&FLAG) {
                        Ok(flag) => flag,
                        Err(_) => panic!("a key is ASCII"),
                    }
                },
                help: concat!($($help),+),
                placeholder: <$type as Value>::PLACEHOLDER,
                // Compared as text: types cannot be compared where the table is built.
                switch: matches!(stringify!($type).as_bytes(), b"bool"),
                default: || <$type as Value>::show(&$default),
            },)*
        ];

        impl Config {
            /// Builds each setting from the text `find` has for its key, or from its default. `find` answers the text
            /// and, for the message when it is not accepted, where the text came from.
            pub(super) fn build(mut find: impl FnMut(&'static str) -> Option<(String, Source)>) -> crate::error::Result<Config> {
                Ok(Config {
                    $($key: match find(stringify!($key)) {
                        Some((text, source)) => parse::<$type>(stringify!($key), &text, &source)?,
                        None => $default,
                    },)*
                })
            }

            /// The value of each setting as text, in the order of [`SETTINGS`].
            pub fn show(&self) -> Vec<String> {
                vec![$(self.$key.show(),)*]
            }
        }
    };
}

settings! {
    /// Directory of the store: the write-ahead log and the Delta table.
    data_dir: PathBuf = PathBuf::from("data/store");
    /// Address and port to serve HTTP on; port 0 takes a free one.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080));
    /// The log on standard error, and the line that says the server is ready, for people (human) or machines (json); auto is human on a terminal and json elsewhere.
    log_format: LogFormat = LogFormat::Auto;
    /// Which log lines are written: a level for ours, where libraries are heard from warn on, or directives such as info,datafusion=debug.
    log: LogFilter = LogFilter("info".to_owned());
    /// Origin whose pages may read answers: *, one origin, or none.
    cors_origin: CorsOrigin = CorsOrigin(Some(axum::http::HeaderValue::from_static("*")));
    /// Largest body of POST /events, before and after decompression.
    max_body_bytes: ByteSize = ByteSize(64 << 20);
    /// Longest path with its query string.
    max_uri_bytes: ByteSize = ByteSize(8 << 10);
    /// How long a client may take to send a request's head.
    header_timeout: Duration = Duration::from_secs(10);
    /// How long a client may take to send a request's body, or to take the next part of a long answer.
    body_timeout: Duration = Duration::from_secs(30);
    /// How long requests in flight may take once the process was told to stop.
    shutdown_timeout: Duration = Duration::from_secs(30);
    /// Connections open at once; past it a new one is answered 503 and closed.
    max_connections: Count = Count(12_000);
    /// Bodies of POST /events held in memory at once; past it the answer is 503.
    batch_slots: Count = Count(4);
    /// How far behind the server's clock the timestamp of an event sent over HTTP may lie; none for as far as 1970.
    event_max_age: Reach = Reach(None);
    /// How far ahead of the server's clock it may lie; none for as far as 9999.
    event_max_ahead: Reach = Reach(None);
    /// Threads that serve requests; one a core by default.
    worker_threads: Threads = Threads(std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64));
    /// Answer aggregates over whole hours from exact per-hour rollups.
    rollups: bool = true;
    /// Memory all queries together may use.
    query_memory_bytes: ByteSize = ByteSize(QueryOptions::default().memory_bytes);
    /// Temporary files all queries together may write when that memory is not enough.
    query_spill_bytes: ByteSize = ByteSize(QueryOptions::default().spill_bytes);
    /// How long one query may take.
    query_timeout: Duration = QueryOptions::default().timeout;
    /// Queries that may run at once; past it the answer is 503.
    query_concurrency: Count = Count(QueryOptions::default().concurrency as u64);
    /// Threads that a query works on; by default one a core but one, which is left to requests.
    query_threads: Threads = Threads((QueryOptions::default().threads as u64 - 1).max(1));
    /// Folder of saved queries of one's own, beside the bundled ones: NAME.sql, headed as in queries/. Read at the start.
    queries: Folder = Folder(None);
    /// Size at which a segment of the write-ahead log is closed and the next begun.
    wal_segment_bytes: FileSize = FileSize(EngineOptions::default().wal_segment_bytes);
    /// Rows in memory at which they are written to data files.
    memtable_max_rows: Count = Count(EngineOptions::default().memtable_max_rows);
    /// Bytes in memory at which they are written to data files.
    memtable_max_bytes: ByteSize = ByteSize(EngineOptions::default().memtable_max_bytes);
    /// Events that may wait for the writer; past it the answer is 503.
    queue_max_events: Count = Count(EngineOptions::default().queue_max_events as u64);
    /// Bytes of events that may wait for the writer; past it the answer is 503.
    queue_max_bytes: ByteSize = ByteSize(EngineOptions::default().queue_max_bytes as u64);
    /// Memory for the user sets of hours that lie in several files.
    users_cache_bytes: ByteSize = ByteSize(EngineOptions::default().users_cache_bytes);
    /// How long a request sent again under its idempotency key counts once.
    idempotency_window: Duration = Duration::from_millis(EngineOptions::default().idempotency_window_ms);
    /// Idempotency keys kept in memory, 24 to 48 bytes each; past it the answer to a request with a key is 503.
    idempotency_max_keys: Count = Count(EngineOptions::default().idempotency_max_keys as u64);
    /// How long a failed write of data files waits before it is tried again.
    flush_retry: Duration = Duration::from_millis(EngineOptions::default().flush_retry_ms);
}

impl Default for Config {
    fn default() -> Config {
        Config::build(|_| None).expect("the defaults need no text")
    }
}

impl Config {
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            wal_segment_bytes: self.wal_segment_bytes.0,
            memtable_max_rows: self.memtable_max_rows.0,
            memtable_max_bytes: self.memtable_max_bytes.0,
            queue_max_events: saturate(self.queue_max_events.0),
            queue_max_bytes: saturate(self.queue_max_bytes.0),
            users_cache_bytes: self.users_cache_bytes.0,
            idempotency_window_ms: u64::try_from(self.idempotency_window.as_millis()).unwrap_or(u64::MAX),
            idempotency_max_keys: saturate(self.idempotency_max_keys.0),
            flush_retry_ms: u64::try_from(self.flush_retry.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub fn query_options(&self) -> QueryOptions {
        QueryOptions {
            memory_bytes: self.query_memory_bytes.0,
            spill_bytes: self.query_spill_bytes.0,
            rollups: self.rollups,
            timeout: self.query_timeout,
            concurrency: saturate(self.query_concurrency.0),
            threads: saturate(self.query_threads.0),
            settings: Vec::new(),
            queries: self.queries.0.clone(),
        }
    }

    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            cors_origin: self.cors_origin.0.clone(),
            max_body_bytes: saturate(self.max_body_bytes.0),
            max_uri_bytes: saturate(self.max_uri_bytes.0),
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            shutdown_timeout: self.shutdown_timeout,
            max_connections: saturate(self.max_connections.0),
            batch_slots: saturate(self.batch_slots.0),
            event_max_age: self.event_max_age.0,
            event_max_ahead: self.event_max_ahead.0,
        }
    }
}

fn saturate(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
