//! Table of the settings, with their defaults and help texts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::Declaration;
use crate::query::QueryOptions;
use crate::server::http::{HttpOptions, Origins};
use crate::server::service::ServiceOptions;
use crate::server::tls::CertificateFiles;
use crate::storage::{CompactionOptions, EngineOptions};

use super::source::{Source, parse};
use super::value::{
    Age, ByteSize, Count, FileSize, Folder, Hosts, LogFilter, LogFormat, Names, OptionalAddress,
    OptionalFile, Rate, Reach, Threads, Value, WithoutToken,
};

/// Prefix of every environment variable.
pub const ENV_PREFIX: &str = "HOURGLASS_";

/// One setting: its names, help text and default.
pub struct Setting {
    /// Key in the configuration file; the flag and the environment variable are derived from it.
    pub key: &'static str,
    /// Long flag, without the leading dashes.
    pub flag: &'static str,
    pub help: &'static str,
    pub placeholder: &'static str,
    /// Whether the flag may be given without a value, meaning `true`.
    pub switch: bool,
    pub default: fn() -> String,
}

impl Setting {
    pub fn env(&self) -> String {
        env_name(self.key)
    }
}

/// Converts a key to a flag, `max_uri_bytes` to `max-uri-bytes`, at compile time, because clap
/// requires static names.
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

/// Declares the settings, each as `/// help` and `key: Type = default;`.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr;)*) => {
        /// The effective settings.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $help])+ pub $key: $type,)*
        }

        /// All settings, in the order of [`Config`]'s fields.
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
                // Compared as text, because types cannot be compared at compile time.
                switch: matches!(stringify!($type).as_bytes(), b"bool"),
                default: || <$type as Value>::show(&$default),
            },)*
        ];

        impl Config {
            /// Builds each setting from the text that `find` returns for its key, or from its
            /// default. `find` also returns where the text came from, for the error message.
            pub(super) fn build(mut find: impl FnMut(&'static str) -> Option<(String, Source)>) -> crate::error::Result<Config> {
                Ok(Config {
                    $($key: match find(stringify!($key)) {
                        Some((text, source)) => parse::<$type>(stringify!($key), &text, &source)?,
                        None => $default,
                    },)*
                })
            }

            /// Returns the value of each setting as text, in the order of [`SETTINGS`].
            pub fn show(&self) -> Vec<String> {
                vec![$(self.$key.show(),)*]
            }
        }
    };
}

settings! {
    /// Directory of the store: the write-ahead log and the Delta table.
    data_dir: PathBuf = PathBuf::from("data/store");
    /// Kinds of event that a new store has, besides click and impression; a store that exists must
    /// have just these. `hourglass schema add kind` adds others.
    kinds: Names = Names(None);
    /// Dimensions of events that a new store has, such as page,referrer,country; a store that
    /// exists must have just these. `hourglass schema add dimension` adds others.
    dimensions: Names = Names(None);
    /// Address and port of the HTTP server, such as localhost:8080, or :8080 for every address; port
    /// 0 picks a free port.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080));
    /// Address and port of a second HTTP server that takes events and nothing else, for a public
    /// network, while --listen is for those who ask; none is none.
    listen_ingest: OptionalAddress = OptionalAddress(None);
    /// Address and port of the PostgreSQL server, such as 127.0.0.1:5432; none is none.
    postgres_listen: OptionalAddress = OptionalAddress(None);
    /// Format of the log on standard error and of the ready message on standard output: human,
    /// json, or auto (human on a terminal, json elsewhere).
    log_format: LogFormat = LogFormat::Auto;
    /// Log level (error, warn, info, debug, trace or off), or directives such as
    /// info,datafusion=debug. A level applies to hourglass; libraries log at most warnings and
    /// errors unless a directive names them.
    log: LogFilter = LogFilter("info".to_owned());
    /// What those may do who come without a token: all, write (send events) or none; auto is all
    /// until the first token is created, and write from then on. `hourglass token` creates tokens.
    anonymous: WithoutToken = WithoutToken(None);
    /// Web origins whose pages may read answers (CORS), such as that of a dashboard; * for any.
    /// Events may be sent by the pages of every origin.
    cors_origin: Origins = Origins::None;
    /// Names under which clients reach this server, such as stats.example.com. Where all is allowed
    /// without a token, other names are refused, except those without a dot.
    hosts: Hosts = Hosts(Vec::new());
    /// Maximum number of requests a second from one address, or one network of IPv6; a second of
    /// them may come at once, and further ones get a 429.
    rate_by_address: Rate = Rate(None);
    /// Maximum number of requests a second with one token.
    rate_by_token: Rate = Rate(None);
    /// Certificate chain for TLS, in PEM; with it, HTTP is served as HTTPS only, and PostgreSQL
    /// clients must use TLS. It is read again when it changes.
    tls_cert: OptionalFile = OptionalFile(None);
    /// Private key of the certificate, in PEM.
    tls_key: OptionalFile = OptionalFile(None);
    /// Maximum size of the body of POST /events, compressed and decompressed.
    max_body_bytes: ByteSize = ByteSize(64 << 20);
    /// Maximum length of a request's path, including its query string.
    max_uri_bytes: ByteSize = ByteSize(8 << 10);
    /// Maximum time for a client to send the head of a request (request line and headers).
    header_timeout: Duration = Duration::from_secs(10);
    /// Maximum time for a client to send the body of a request, or to read the next part of a long
    /// response.
    body_timeout: Duration = Duration::from_secs(30);
    /// Maximum time for requests in flight to finish after SIGTERM or SIGINT.
    shutdown_timeout: Duration = Duration::from_secs(30);
    /// Maximum number of open connections; further connections get a 503 and are closed.
    max_connections: Count = Count(12_000);
    /// Maximum number of POST /events bodies held in memory at the same time; further requests get
    /// a 503.
    batch_slots: Count = Count(4);
    /// Maximum age of an event sent over HTTP, by the server's clock; older events are rejected.
    /// none accepts timestamps back to 1970.
    event_max_age: Reach = Reach(None);
    /// Maximum time by which an event sent over HTTP may be ahead of the server's clock; later
    /// events are rejected. none accepts timestamps up to the year 9999.
    event_max_ahead: Reach = Reach(None);
    /// Number of threads that serve HTTP requests; the default is one per core.
    worker_threads: Threads = Threads(std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64));
    /// Compute aggregates over whole hours from exact per-hour counters instead of reading rows;
    /// the results are the same.
    rollups: bool = true;
    /// Maximum memory for all queries together; the default is a quarter of the memory of the
    /// machine or of its container.
    query_memory_bytes: ByteSize = ByteSize(QueryOptions::default().memory_bytes);
    /// Maximum disk space for temporary files of all queries together; they are used when memory is
    /// not enough.
    query_spill_bytes: ByteSize = ByteSize(QueryOptions::default().spill_bytes);
    /// Maximum duration of a query.
    query_timeout: Duration = QueryOptions::default().timeout;
    /// Maximum number of queries that run at the same time; further queries get a 503.
    query_concurrency: Count = Count(QueryOptions::default().concurrency as u64);
    /// Number of threads per query; the default is one per core, less one that is left for HTTP
    /// requests.
    query_threads: Threads = Threads((QueryOptions::default().threads as u64 - 1).max(1));
    /// Folder of your own saved queries, in addition to the bundled ones: NAME.sql, with a header
    /// as in queries/. Read once at startup.
    queries: Folder = Folder(None);
    /// Size at which a segment file of the write-ahead log is closed and a new one is started.
    wal_segment_bytes: FileSize = FileSize(EngineOptions::default().wal_segment_bytes);
    /// Number of rows in memory at which they are flushed to data files.
    memtable_max_rows: Count = Count(EngineOptions::default().memtable_max_rows);
    /// Size of the rows in memory at which they are flushed to data files.
    memtable_max_bytes: ByteSize = ByteSize(EngineOptions::default().memtable_max_bytes);
    /// Maximum number of events queued for the writer; further requests get a 503.
    queue_max_events: Count = Count(EngineOptions::default().queue_max_events as u64);
    /// Maximum size of the events queued for the writer; further requests get a 503.
    queue_max_bytes: ByteSize = ByteSize(EngineOptions::default().queue_max_bytes as u64);
    /// Maximum memory for caching the user sets of hours that have several data files.
    users_cache_bytes: ByteSize = ByteSize(EngineOptions::default().users_cache_bytes);
    /// How long an idempotency key is remembered: requests repeated with the same key within this
    /// time count once.
    idempotency_window: Duration = Duration::from_millis(EngineOptions::default().idempotency_window_ms);
    /// Maximum number of idempotency keys in memory, 24 to 48 bytes each; further requests with a
    /// key get a 503.
    idempotency_max_keys: Count = Count(EngineOptions::default().idempotency_max_keys as u64);
    /// Merge the data files of each hour in the background, so that an hour has a large file and at
    /// most one of late events.
    compaction: bool = true;
    /// Age at which whole hours are removed, such as 400d; none keeps them for ever. Events that
    /// are older are rejected, as with event_max_age.
    retention: Age = Age(None);
    /// How long data files that were merged or removed stay, for queries, time travel and other
    /// engines that still read them.
    keep_replaced: Duration = Duration::from_millis(EngineOptions::default().keep_replaced_ms);
    /// Delay before a failed flush to data files is retried.
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
            declared: Declaration {
                kinds: self.kinds.0.clone(),
                dimensions: self.dimensions.0.clone(),
            },
            wal_segment_bytes: self.wal_segment_bytes.0,
            memtable_max_rows: self.memtable_max_rows.0,
            memtable_max_bytes: self.memtable_max_bytes.0,
            queue_max_events: saturate(self.queue_max_events.0),
            queue_max_bytes: saturate(self.queue_max_bytes.0),
            users_cache_bytes: self.users_cache_bytes.0,
            idempotency_window_ms: u64::try_from(self.idempotency_window.as_millis())
                .unwrap_or(u64::MAX),
            idempotency_max_keys: saturate(self.idempotency_max_keys.0),
            flush_retry_ms: u64::try_from(self.flush_retry.as_millis()).unwrap_or(u64::MAX),
            sets_stand_back: true,
            compaction: CompactionOptions {
                background: self.compaction,
                ..CompactionOptions::default()
            },
            retention_ms: self.retention_ms(),
            keep_replaced_ms: u64::try_from(self.keep_replaced.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn retention_ms(&self) -> Option<u64> {
        let ms = |retention: Duration| u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        self.retention.0.map(ms)
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

    /// Returns the files of the certificate, if TLS is wanted.
    ///
    /// # Errors
    /// If only one of them is given.
    pub fn certificate(&self) -> Result<Option<CertificateFiles>> {
        match (&self.tls_cert.0, &self.tls_key.0) {
            (Some(cert), Some(key)) => {
                Ok(Some(CertificateFiles { cert: cert.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            _ => Err(Error::Config("tls_cert and tls_key go together: give both or none".into())),
        }
    }

    pub fn service_options(&self) -> ServiceOptions {
        ServiceOptions {
            rate_by_address: self.rate_by_address.0,
            rate_by_token: self.rate_by_token.0,
            max_body_bytes: saturate(self.max_body_bytes.0),
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            shutdown_timeout: self.shutdown_timeout,
            max_connections: saturate(self.max_connections.0),
            batch_slots: saturate(self.batch_slots.0),
            // An event that is too old to be kept must not come in.
            event_max_age: [self.event_max_age.0, self.retention.0].into_iter().flatten().min(),
            event_max_ahead: self.event_max_ahead.0,
        }
    }

    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            cors_origins: self.cors_origin.clone(),
            hosts: self.hosts.0.clone(),
            max_uri_bytes: saturate(self.max_uri_bytes.0),
        }
    }
}

fn saturate(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
