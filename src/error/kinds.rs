//! The error type of this crate. Variants are grouped by who must act: the caller, the operator, or
//! us.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault;
use crate::event::Rejection;
use crate::text::without_backtrace;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Caller: the request is invalid and can be corrected.
    #[error("{0}")]
    Invalid(String),

    /// Caller: an event failed validation.
    #[error(transparent)]
    Rejected(#[from] Rejection),

    /// Caller: a limit is reached and nothing was stored; retry later.
    #[error("{0}; try again in a moment")]
    Busy(Limit),

    /// Caller: one query exceeded its time or memory.
    #[error("{0}")]
    Limit(String),

    /// Operator: a write or sync of the log failed; nothing more is acknowledged until the disk is
    /// repaired.
    #[error(
        "the write-ahead log failed ({0}); reads go on, writes stay off until the disk is repaired and the process restarted"
    )]
    Poisoned(String),

    /// Operator: an engine thread has died, which is a bug of ours; restart the process.
    #[error("{0}; no more events are stored, and the process ends: restart it")]
    Died(String),

    /// Caller: an idempotency key was used for two different requests.
    #[error("the idempotency key was used before with other content; nothing was stored")]
    KeyReused,

    /// Operator: data on disk is not what was written; repair or restore it.
    #[error("{path}: damaged at byte {offset}: {reason}. {advice}", path = path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String, advice: &'static str },

    /// Operator: two processes use one data directory.
    #[error(
        "{path}: another hourglass process owns this data directory; stop it, or use its address with --url",
        path = path.display()
    )]
    Locked { path: PathBuf },

    /// Operator: the system refused a file operation: a path, permissions, disk space.
    #[error("{path}: {action}: {source}", path = path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },

    /// Operator: there is nothing to read at the given place.
    #[error("{0}")]
    Missing(String),

    /// Operator: the address cannot be listened on.
    #[error("{}", listen_text(.address, .source))]
    Listen { address: SocketAddr, source: std::io::Error },

    /// Operator: the Delta log or its object store failed.
    #[error("delta table: {}", without_backtrace(&.0.to_string()))]
    Delta(#[from] Box<deltalake_core::DeltaTableError>),

    /// Operator: the object store failed.
    #[error("object store: {}", without_backtrace(&.0.to_string()))]
    Store(#[from] object_store::Error),

    /// Caller, or us: the query failed.
    #[error("{}", fault::text(.0))]
    Query(#[source] Box<datafusion::error::DataFusionError>),

    /// Operator: a statement read a data file that is missing or damaged.
    #[error("{0}")]
    DataFile(String),

    /// Operator: a setting is invalid.
    #[error("{0}")]
    Config(String),

    /// Us: a statement made the query engine panic; the log has the location.
    #[error(
        "the query engine failed on this statement; this is a bug in hourglass, and the server keeps running"
    )]
    Panicked,

    /// The engine has been closed.
    #[error("the engine is shutting down")]
    Closed,
}

/// Limits that reject a request with [`Error::Busy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Queue,
    Memory,
    Disk,
    OpenFiles,
    /// The file system is read-only, or this process may not write to it.
    ReadOnly,
    Keys,
    Queries,
    Batches,
    Connections,
    /// Any limit of a remote server.
    Server,
}

impl Limit {
    /// Label in metrics and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Limit::Queue => "queue-full",
            Limit::Memory => "memory-full",
            Limit::Disk => "disk-full",
            Limit::OpenFiles => "too-many-open-files",
            Limit::ReadOnly => "not-writable",
            Limit::Keys => "too-many-keys",
            Limit::Queries => "too-many-queries",
            Limit::Batches => "too-many-batches",
            Limit::Connections => "too-many-connections",
            Limit::Server => "server-busy",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Queue => "the queue before the write-ahead log is full",
            Limit::Memory => "memory is full and cannot be flushed yet",
            Limit::Disk => "the disk is full",
            Limit::OpenFiles => "too many files are open",
            Limit::ReadOnly => "the data directory is not writable",
            Limit::Keys => "too many idempotency keys are remembered (idempotency_max_keys)",
            Limit::Queries => "too many queries are running",
            Limit::Batches => "too many batches are being read",
            Limit::Connections => "too many connections are open (max_connections)",
            Limit::Server => "the server is still busy",
        })
    }
}

impl Error {
    pub fn io(
        path: impl AsRef<Path>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }

    /// Position in the statement at fault: line and column, counted from 1.
    pub fn position(&self) -> Option<(u64, u64)> {
        let Error::Query(error) = self else { return None };
        if let Some(span) = error.diagnostic().and_then(|diagnostic| diagnostic.span) {
            return Some((span.start.line, span.start.column));
        }
        // The parser gives the position only in its text, at the end.
        let text = error.find_root().to_string();
        let (_, place) = text.rsplit_once("at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        let column: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, column.parse().ok()?))
    }
}

/// Explains why an address cannot be listened on, and what to do.
fn listen_text(address: &SocketAddr, source: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let port = address.port();
    let advice = match source.kind() {
        ErrorKind::AddrInUse => {
            "another process listens there; stop it, or give another address with --listen (port 0 takes a free one)"
        }
        ErrorKind::PermissionDenied if port < 1_024 => {
            "ports below 1024 take the capability CAP_NET_BIND_SERVICE; give it, or take a higher port with --listen"
        }
        ErrorKind::AddrNotAvailable => {
            "no network interface of this machine has the address; --listen 0.0.0.0:PORT takes all of them"
        }
        _ => return format!("listen: {address} cannot be listened on: {source}"),
    };
    format!("listen: {address} cannot be listened on: {advice}")
}
