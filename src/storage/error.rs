//! Errors of the storage engine.

use std::path::{Path, PathBuf};

use crate::limit::Limit;
use crate::text::without_backtrace;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of a storage engine operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit is reached and nothing was stored; retry later.
    #[error("{0}; try again in a moment")]
    Busy(Limit),

    /// A write or sync of the log failed; nothing more is acknowledged until the disk is repaired
    /// and the process restarted.
    #[error(
        "the write-ahead log failed ({0}); reads go on, writes stay off until the disk is repaired and the process restarted"
    )]
    Poisoned(String),

    /// A thread of the engine has died, which is a bug; restart the process.
    #[error("{0}; no more events are stored, and the process is ending: restart it")]
    Died(String),

    /// Another process has taken over the table; this one may commit nothing more.
    #[error("another process has taken over this store; this one commits nothing more and ends")]
    Fenced,

    /// An idempotency key was reused for a different request.
    #[error("the idempotency key was used before with different content; nothing was stored")]
    KeyReused,

    /// The data on disk is not what was written; repair or restore it.
    #[error("{path}: damaged at byte {offset}: {reason}. {advice}", path = path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String, advice: &'static str },

    /// Another process owns the data directory.
    #[error(
        "{path}: another hourglass process owns this data directory: stop it, or use its address: import, generate, sql, compact, retain and forget take --url",
        path = path.display()
    )]
    Locked { path: PathBuf },

    /// The system refused a file operation: a path, permissions, disk space.
    #[error("{path}: {action}: {source}", path = path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },

    /// Caller: the version of the table that was asked for cannot be read.
    #[error("as_of: {0}")]
    AsOf(String),

    /// There is no store at the given place.
    #[error("{0}")]
    Missing(String),

    /// The data directory cannot be used as it is configured.
    #[error("{0}")]
    Config(String),

    /// The Delta log failed.
    #[error("delta table: {}", without_backtrace(&.0.to_string()))]
    Delta(#[source] Box<deltalake_core::DeltaTableError>),

    /// The object store failed.
    #[error("object store: {}", without_backtrace(&.0.to_string()))]
    Object(#[from] object_store::Error),

    /// Rows could not be written to or read from Parquet.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),

    /// Columns do not have the expected types.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),

    /// The engine has been closed.
    #[error("the engine is shutting down")]
    Closed,
}

impl Error {
    /// Returns a function that turns an [`std::io::Error`] into an [`Error::Io`] for `path`;
    /// `action` says what was attempted (`"write"`).
    pub fn io(
        path: impl AsRef<Path>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }
}

impl From<deltalake_core::DeltaTableError> for Error {
    fn from(error: deltalake_core::DeltaTableError) -> Error {
        Error::Delta(Box::new(error))
    }
}
