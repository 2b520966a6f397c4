//! The error type of this crate. Variants are grouped by who must act: the caller, the operator, or
//! us.

use std::net::SocketAddr;
use std::path::Path;

use super::fault;
use crate::event::Rejection;
use crate::limit::Limit;
use crate::storage;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Caller: the request is invalid and can be corrected.
    #[error("{0}")]
    Invalid(String),

    /// Caller: the statement is not written as SQL is.
    #[error("{0}")]
    Syntax(String),

    /// Caller: the statement would change what cannot be changed by statements.
    #[error("{0}")]
    ReadOnly(String),

    /// Caller: an event failed validation.
    #[error(transparent)]
    Rejected(#[from] Rejection),

    /// Caller: a limit is reached and nothing was stored; retry later.
    #[error("{0}; try again in a moment")]
    Busy(Limit),

    /// Caller: one query exceeded its time or memory.
    #[error("{0}")]
    Limit(String),

    /// Mostly the operator: the store or a file operation failed.
    #[error(transparent)]
    Storage(storage::Error),

    /// Operator: the address cannot be listened on.
    #[error("{}", listen_text(.address, .source))]
    Listen { address: SocketAddr, source: std::io::Error },

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

impl Error {
    pub fn io(
        path: impl AsRef<Path>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let storage = storage::Error::io(path, action);
        |source| Error::Storage(storage(source))
    }

    /// Returns the position of the error in the statement: line and column, counted from 1.
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
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it, or use a higher \
            port with --listen"
        }
        ErrorKind::AddrNotAvailable => {
            "no network interface of this machine has the address; --listen 0.0.0.0:PORT listens \
            on all interfaces"
        }
        _ => return format!("listen: {address} cannot be listened on: {source}"),
    };
    format!("listen: {address} cannot be listened on: {advice}")
}
