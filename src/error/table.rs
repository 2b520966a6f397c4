//! Table of failures: for each kind, who must act, the HTTP status, the exit code of a command and
//! the SQLSTATE.
//!
//! Two rules hold, and a test checks them for the whole table: a mistake of the caller is never a
//! 5xx, and a fault of the store or of the program is never the caller's.

use std::io;

use super::blame;
use super::kinds::Error;
use crate::storage::Error as StorageError;

/// Who must act for the request to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The caller, who must change the request.
    Caller,
    /// The caller, who only needs to retry later.
    Later,
    /// The person who runs the process: its disk, its configuration, its machine.
    Operator,
    /// The author of the program.
    Developer,
}

/// Properties of one kind of failure.
#[derive(Debug)]
pub struct Row {
    pub actor: Actor,
    /// HTTP status.
    pub status: u16,
    /// Identifier of the problem; stable, for programs to compare. Kinds that a caller need not
    /// distinguish share one.
    pub urn: &'static str,
    /// Title of the problem.
    pub title: &'static str,
    /// Exit code of a command, as in sysexits.h.
    pub exit_code: u8,
    /// SQLSTATE, as assigned by PostgreSQL (appendix A of its manual).
    pub sqlstate: &'static str,
}

impl Row {
    /// Returns the last part of the problem's identifier.
    pub fn problem(&self) -> &'static str {
        self.urn.rsplit(':').next().unwrap_or_default()
    }
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident: $actor:ident $status:literal $problem:literal $title:literal $exit:literal
       $state:literal;)*) => {
        /// A kind of failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Failure] = &[$(Failure::$name,)*];

            pub const fn row(self) -> &'static Row {
                match self {
                    $(Failure::$name => &Row {
                        actor: Actor::$actor,
                        status: $status,
                        urn: concat!("urn:hourglass:problem:", $problem),
                        title: $title,
                        exit_code: $exit,
                        sqlstate: $state,
                    },)*
                }
            }
        }
    };
}

failures! {
    InvalidParameter: Caller 400 "invalid-parameter" "A parameter is invalid" 65 "22023";
    InvalidRequest:   Caller 400 "invalid-request" "The request is invalid" 65 "22023";
    InvalidQuery:     Caller 400 "invalid-query" "The statement cannot be run" 65 "42000";
    InvalidRow:       Caller 400 "invalid-row" "A row of the body is invalid" 65 "22000";
    Unauthorized:     Caller 401 "unauthorized" "A token is needed" 77 "28000";
    Forbidden:        Caller 403 "forbidden" "This is not allowed" 77 "42501";
    UnknownHost:      Caller 421 "unknown-host" "The server does not know this name" 77 "08004";
    NotFound:         Caller 404 "not-found" "There is nothing at this path" 65 "42704";
    MethodNotAllowed: Caller 405 "method-not-allowed" "The path does not support this method" 65 "0A000";
    NotAcceptable:    Caller 406 "not-acceptable" "The format is not available" 65 "0A000";
    BodyTooSlow:      Caller 408 "body-too-slow" "The body did not arrive in time" 65 "08006";
    BodyTooLarge:     Caller 413 "body-too-large" "The body is too large" 65 "54000";
    UriTooLong:       Caller 414 "uri-too-long" "The request target is too long" 65 "54000";
    UnsupportedBody:  Caller 415 "unsupported-body" "The format of the body is not supported" 65 "0A000";
    /// The statement exceeded the time or memory that one may take.
    TooHeavy:         Caller 422 "too-heavy" "The statement exceeds a limit" 75 "53400";
    KeyReused:        Caller 422 "idempotency-key-reused" "The idempotency key was used for another request" 65 "23505";
    /// The client closed the connection before the response was sent. The status is nginx's.
    CallerGone:       Caller 499 "caller-gone" "The client closed the connection" 75 "57014";
    TooMany:          Later 429 "too-many-requests" "Too many requests" 75 "53000";
    Busy:             Later 503 "busy" "The server is busy" 75 "53000";
    Closed:           Later 503 "unavailable" "The server is not available" 75 "57P01";
    /// The log failed; reads still work.
    Poisoned:         Operator 503 "unavailable" "The server is not available" 74 "58030";
    /// Bytes on disk are not those that were written.
    Damaged:          Operator 500 "damaged-store" "A data file is missing or damaged" 66 "XX001";
    /// Another process owns the data directory.
    Locked:           Operator 500 "internal" "The server failed" 75 "55006";
    Config:           Operator 500 "internal" "The server failed" 78 "F0000";
    NoSuchFile:       Operator 500 "internal" "The server failed" 66 "58P01";
    NoPermission:     Operator 500 "internal" "The server failed" 77 "42501";
    AddressTaken:     Operator 500 "internal" "The server failed" 75 "58000";
    NoSuchAddress:    Operator 500 "internal" "The server failed" 78 "58000";
    /// The disk, a connection or the table's object store failed.
    Io:               Operator 500 "internal" "The server failed" 74 "58030";
    /// An engine thread has ended.
    Died:             Developer 503 "unavailable" "The server is not available" 70 "57P02";
    /// The task that ran a statement panicked.
    StatementFailed:  Developer 500 "statement-failed" "The query engine failed on the statement" 70 "XX000";
    /// The task of another request panicked.
    Internal:         Developer 500 "internal" "The server failed" 70 "XX000";
}

impl Failure {
    /// Returns the kind with this problem identifier: the first if several share it.
    pub fn of_urn(urn: &str) -> Option<Failure> {
        Failure::ALL.iter().copied().find(|failure| failure.row().urn == urn)
    }

    fn of_storage(error: &StorageError) -> Failure {
        match error {
            StorageError::Busy(_) => Failure::Busy,
            StorageError::Poisoned(_) => Failure::Poisoned,
            StorageError::Died(_) => Failure::Died,
            StorageError::KeyReused => Failure::KeyReused,
            StorageError::AsOf(_) => Failure::InvalidParameter,
            StorageError::Damaged { .. } => Failure::Damaged,
            StorageError::Locked { .. } | StorageError::Fenced => Failure::Locked,
            StorageError::Io { source, .. } => Failure::of_io(source),
            StorageError::Missing(_) => Failure::NoSuchFile,
            StorageError::Config(_) => Failure::Config,
            StorageError::Delta(_)
            | StorageError::Object(_)
            | StorageError::Parquet(_)
            | StorageError::Arrow(_) => Failure::Io,
            StorageError::Closed => Failure::Closed,
        }
    }

    fn of_io(source: &io::Error) -> Failure {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        match source.kind() {
            NotFound | NotADirectory | IsADirectory => Failure::NoSuchFile,
            AddrInUse => Failure::AddressTaken,
            PermissionDenied => Failure::NoPermission,
            AddrNotAvailable => Failure::NoSuchAddress,
            _ => Failure::Io,
        }
    }
}

impl Error {
    /// Returns the kind of this failure, which is its row in the table.
    pub fn failure(&self) -> Failure {
        match self {
            Error::Invalid(_) | Error::Syntax(_) | Error::ReadOnly(_) => Failure::InvalidRequest,
            Error::Rejected(_) => Failure::InvalidParameter,
            Error::Busy(_) => Failure::Busy,
            Error::Limit(_) => Failure::TooHeavy,
            Error::Storage(error) => Failure::of_storage(error),
            Error::DataFile(_) => Failure::Damaged,
            Error::Listen { source, .. } => Failure::of_io(source),
            Error::Query(fault) if blame::is_statements(fault) => Failure::InvalidQuery,
            Error::Query(_) => Failure::Io,
            Error::Config(_) => Failure::Config,
            Error::Panicked => Failure::StatementFailed,
            Error::Closed => Failure::Closed,
        }
    }

    /// Reports whether the caller is at fault, not what runs the request.
    pub fn is_callers(&self) -> bool {
        self.failure().row().actor == Actor::Caller
    }

    /// Returns the process's exit code, by which a script distinguishes a damaged store from a full
    /// disk. An error response of a server becomes an error of the same kind ([`crate::client`]),
    /// and so has the same code.
    pub fn exit_code(&self) -> u8 {
        self.failure().row().exit_code
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use datafusion::error::DataFusionError;

    use super::*;
    use crate::event::Rejection;
    use crate::limit::Limit;

    #[test]
    fn a_callers_mistake_is_never_a_5xx_and_a_fault_of_ours_never_the_callers() {
        for failure in Failure::ALL {
            let Row { actor, status, exit_code, sqlstate, urn, title } = failure.row();
            let fits = match actor {
                Actor::Caller => (400..500).contains(status),
                Actor::Later => matches!(status, 429 | 503),
                Actor::Operator | Actor::Developer => (500..600).contains(status),
            };
            assert!(fits, "{failure:?}: {status}");
            // EX_DATAERR is the caller's, EX_SOFTWARE ours; EX_TEMPFAIL may pass for any actor.
            let codes: &[u8] = match actor {
                Actor::Caller => &[65, 75, 77],
                Actor::Later => &[75],
                Actor::Operator => &[66, 74, 75, 77, 78],
                Actor::Developer => &[70],
            };
            assert!(codes.contains(exit_code), "{failure:?}: {exit_code}");
            let is_state = |c: u8| c.is_ascii_digit() || c.is_ascii_uppercase();
            assert!(
                sqlstate.len() == 5 && sqlstate.bytes().all(is_state),
                "{failure:?}: {sqlstate}"
            );
            let shared = Failure::of_urn(urn).unwrap().row();
            assert_eq!(
                (shared.title, shared.status),
                (*title, *status),
                "{failure:?}: one problem, one title"
            );
        }
    }

    #[test]
    fn every_error_has_its_row() {
        let io = |kind: ErrorKind| Error::io("a", "read")(kind.into());
        let damaged = || StorageError::Damaged {
            path: "a".into(),
            offset: 0,
            reason: "x".into(),
            advice: "",
        };
        let query = |fault| Error::Query(Box::new(fault));
        let gone = || object_store::Error::NotFound { path: "a".into(), source: "b".into() };
        let rows = [
            (Error::Invalid("x".into()), Failure::InvalidRequest),
            (Rejection::new("user", "is missing").into(), Failure::InvalidParameter),
            (Error::Busy(Limit::Disk), Failure::Busy),
            (Error::Limit("x".into()), Failure::TooHeavy),
            (StorageError::Poisoned("x".into()).into(), Failure::Poisoned),
            (StorageError::Died("x".into()).into(), Failure::Died),
            (StorageError::KeyReused.into(), Failure::KeyReused),
            (StorageError::AsOf("x".into()).into(), Failure::InvalidParameter),
            (damaged().into(), Failure::Damaged),
            (DataFusionError::External(Box::new(damaged())).into(), Failure::Damaged),
            (Error::DataFile("x".into()), Failure::Damaged),
            (Error::from(DataFusionError::from(gone())), Failure::Damaged),
            (StorageError::Locked { path: "a".into() }.into(), Failure::Locked),
            (io(ErrorKind::NotFound), Failure::NoSuchFile),
            (io(ErrorKind::PermissionDenied), Failure::NoPermission),
            (io(ErrorKind::AddrInUse), Failure::AddressTaken),
            (io(ErrorKind::AddrNotAvailable), Failure::NoSuchAddress),
            (io(ErrorKind::StorageFull), Failure::Io),
            (StorageError::Missing("x".into()).into(), Failure::NoSuchFile),
            (StorageError::Object(gone()).into(), Failure::Io),
            (query(DataFusionError::Plan("no such column".into())), Failure::InvalidQuery),
            (query(DataFusionError::IoError(io::Error::other("disk"))), Failure::Io),
            (Error::Config("x".into()), Failure::Config),
            (Error::Panicked, Failure::StatementFailed),
            (Error::Closed, Failure::Closed),
        ];
        for (error, failure) in rows {
            assert_eq!(error.failure(), failure, "{error}");
        }
    }
}
