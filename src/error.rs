//! One error, its variants named by who must act: the caller, the operator, or us.

mod blame;
mod fault;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::fault::is_near;
use crate::event::Rejection;
use crate::text::without_backtrace;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller sent something that cannot be stored or run, and can correct it.
    #[error("{0}")]
    Invalid(String),

    /// The caller sent an event that cannot be stored.
    #[error(transparent)]
    Rejected(#[from] Rejection),

    /// The caller may try again later: a bound is reached, nothing was stored.
    #[error("{0}; try again in a moment")]
    Busy(Bound),

    /// The caller asked for more than one query may take: time or memory.
    #[error("{0}")]
    Limit(String),

    /// The operator must look at the disk: a write or sync of the log failed, so nothing more is acknowledged.
    #[error(
        "the write-ahead log failed ({0}); reads go on, writes stay off until the disk is repaired and the process restarted"
    )]
    Poisoned(String),

    /// The operator must start the process again: a thread of the engine has ended, which is a fault of ours.
    #[error("{0}; nothing more is stored, and the process ends: start it again")]
    Died(String),

    /// The caller uses an idempotency key for two requests, and can correct it.
    #[error("the idempotency key came before with other content; nothing was stored")]
    KeyReused,

    /// The operator must repair or restore: what is on the disk is not what was written there.
    #[error("{path}: damaged at byte {offset}: {reason}. {advice}", path = path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String, advice: &'static str },

    /// The operator runs two processes on one directory.
    #[error(
        "{path}: another hourglass process owns this data directory; stop it, or use its address with --url",
        path = path.display()
    )]
    Locked { path: PathBuf },

    /// The operator's machine refused: a file, a directory, the disk's space.
    #[error("{path}: {action}: {source}", path = path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },

    /// The operator named a place where there is nothing to read.
    #[error("{0}")]
    Missing(String),

    /// The operator's machine does not let us listen there.
    #[error("{}", listen_text(.address, .source))]
    Listen { address: SocketAddr, source: std::io::Error },

    /// The operator's table refused: the Delta log or its object store.
    #[error("delta table: {}", without_backtrace(&.0.to_string()))]
    Delta(#[from] Box<deltalake_core::DeltaTableError>),

    /// The operator's object store refused.
    #[error("object store: {}", without_backtrace(&.0.to_string()))]
    Store(#[from] object_store::Error),

    /// The caller's query failed, or one of ours.
    #[error("{}", fault::text(.0))]
    Query(#[source] Box<datafusion::error::DataFusionError>),

    /// The operator must repair or restore: a statement read a data file that is missing, or not what was written.
    #[error("{0}")]
    DataFile(String),

    /// The operator's configuration does not fit.
    #[error("{0}")]
    Config(String),

    /// We must look: a statement made the query engine panic. The log has the place.
    #[error("the query engine failed on this statement; that is a fault of ours, and the server goes on")]
    Panicked,

    /// The engine has been closed.
    #[error("the engine is shutting down")]
    Closed,
}

/// What there may be only so much of at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Queue,
    Memory,
    Disk,
    OpenFiles,
    /// The file system lets nobody write, or not us.
    ReadOnly,
    Keys,
    Queries,
    Batches,
    Connections,
    /// Any of these, at a server that was asked.
    Server,
}

impl Bound {
    /// The name in metrics and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Bound::Queue => "queue-full",
            Bound::Memory => "memory-full",
            Bound::Disk => "disk-full",
            Bound::OpenFiles => "too-many-open-files",
            Bound::ReadOnly => "not-writable",
            Bound::Keys => "too-many-keys",
            Bound::Queries => "too-many-queries",
            Bound::Batches => "too-many-batches",
            Bound::Connections => "too-many-connections",
            Bound::Server => "server-busy",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::Queue => "the queue before the write-ahead log is full",
            Bound::Memory => "memory is full and cannot be flushed yet",
            Bound::Disk => "the disk is full",
            Bound::OpenFiles => "as many files are open as may",
            Bound::ReadOnly => "the data directory cannot be written to",
            Bound::Keys => "as many idempotency keys are remembered as may (idempotency_max_keys)",
            Bound::Queries => "as many queries run as may",
            Bound::Batches => "as many batches as fit are being read",
            Bound::Connections => "as many connections are open as may (max_connections)",
            Bound::Server => "the server stays busy",
        })
    }
}

impl Error {
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }

    /// Where a statement is at fault: line and column, counted from 1.
    pub fn position(&self) -> Option<(u64, u64)> {
        let Error::Query(error) = self else { return None };
        if let Some(span) = error.diagnostic().and_then(|diagnostic| diagnostic.span) {
            return Some((span.start.line, span.start.column));
        }
        // The parser tells its place in words alone, at the end.
        let text = error.find_root().to_string();
        let (_, place) = text.rsplit_once("at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        let column: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, column.parse().ok()?))
    }

    /// Whether the caller is at fault, and not what runs the request.
    pub fn is_callers(&self) -> bool {
        match self {
            Error::Invalid(_) | Error::Rejected(_) | Error::Limit(_) | Error::KeyReused => true,
            Error::Query(fault) => blame::is_statements(fault),
            _ => false,
        }
    }

    /// The process's exit code, as sysexits.h numbers them: a script tells a damaged store from a full disk. What a server
    /// answers becomes an error of the same kind ([`crate::client`]), and so ends in the same code.
    pub fn exit_code(&self) -> u8 {
        use std::io::ErrorKind::{
            AddrInUse, AddrNotAvailable, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        match self {
            Error::Invalid(_) | Error::Rejected(_) | Error::KeyReused => 65, // EX_DATAERR
            Error::Query(_) if self.is_callers() => 65,
            Error::Damaged { .. } | Error::DataFile(_) | Error::Missing(_) => 66, // EX_NOINPUT
            Error::Panicked | Error::Died(_) => 70,                               // EX_SOFTWARE
            Error::Io { source, .. } | Error::Listen { source, .. } => match source.kind() {
                NotFound | NotADirectory | IsADirectory => 66,
                AddrInUse => 75,
                PermissionDenied => 77, // EX_NOPERM
                AddrNotAvailable => 78,
                _ => 74,
            },
            Error::Poisoned(_) | Error::Delta(_) | Error::Store(_) | Error::Query(_) => 74, // EX_IOERR
            Error::Busy(_) | Error::Limit(_) | Error::Locked { .. } | Error::Closed => 75,  // EX_TEMPFAIL
            Error::Config(_) => 78,                                                         // EX_CONFIG
        }
    }
}

/// Why an address cannot be listened on, and what to do.
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

impl From<deltalake_core::DeltaTableError> for Error {
    fn from(error: deltalake_core::DeltaTableError) -> Error {
        Error::Delta(Box::new(error))
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Error {
        use datafusion::error::DataFusionError as Fault;
        let error = match error {
            // What came from below DataFusion passes through it as it was.
            Fault::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => return *ours,
                Err(inner) => Fault::External(inner),
            },
            other => other,
        };
        match error.find_root() {
            // DataFusion has no kind of its own for this bound.
            fault if fault.message().contains("max_temp_directory_size") => Error::Limit(
                "the query needs more temporary files than query_spill_bytes allows: ask for fewer hours, or raise it"
                    .into(),
            ),
            Fault::ResourcesExhausted(_) => Error::Limit(
                "the query needs more memory than is left of query_memory: ask for fewer hours, or raise it".into(),
            ),
            _ if blame::is_data_file(&error) => Error::DataFile(format!(
                "a data file is missing or damaged ({}); hourglass verify names all of them",
                fault::text(&error)
            )),
            _ => Error::Query(Box::new(error)),
        }
    }
}

/// Of a file that is being written: those of the store are read by DataFusion.
impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Error {
        Error::Query(Box::new(datafusion::error::DataFusionError::from(error)))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Error {
        if let arrow::error::ArrowError::IoError(_, source) = error {
            return Error::Io { path: "rows".into(), action: "write", source };
        }
        Error::from(datafusion::error::DataFusionError::from(error))
    }
}
