//! Limits of the process at which requests are refused temporarily.

use std::fmt;

/// Limit that causes a request to be refused; the request may succeed a moment later.
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
    /// Users are being erased.
    Erasure,
    /// Damaged sets of users were found, and are made again.
    Sets,
    /// Any limit of a remote server.
    Server,
}

impl Limit {
    /// Returns the label in metrics and logs.
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
            Limit::Erasure => "erasure",
            Limit::Sets => "visitor-sets",
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
            Limit::Erasure => "users were erased meanwhile",
            Limit::Sets => "the sets of users were damaged, and are being made again",
            Limit::Server => "the server is still busy",
        })
    }
}
