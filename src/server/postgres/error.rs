//! Errors as PostgreSQL clients read them (manual, section 55.8): severity, SQLSTATE, message, and
//! the position in the statement.

use std::borrow::Cow;
use std::io;

use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use super::value::copy_error::CopyError;
use super::value::error::ValueError;
use crate::error::{Actor, Error};
use crate::event::Rejection;
use crate::query::EVENTS;
use crate::server::access::{Denied, Need};

/// An error of a statement, or of the connection.
#[derive(Debug)]
pub struct PgError {
    /// Whether the connection ends with it.
    pub is_fatal: bool,
    pub sqlstate: &'static str,
    pub message: Cow<'static, str>,
    pub hint: Option<&'static str>,
    /// Where in the input the error is, such as a row of a COPY.
    pub context: Option<String>,
    /// Line and column in the text of the statement, both from 1.
    pub place: Option<(u64, u64)>,
}

impl PgError {
    pub fn new(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> PgError {
        PgError {
            is_fatal: false,
            sqlstate,
            message: message.into(),
            hint: None,
            context: None,
            place: None,
        }
    }

    pub fn fatal(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> PgError {
        PgError { is_fatal: true, ..PgError::new(sqlstate, message) }
    }

    pub fn with_hint(self, hint: &'static str) -> PgError {
        PgError { hint: Some(hint), ..self }
    }

    /// Returns the error for an access that is denied.
    pub fn denied(need: Need, denied: Denied) -> PgError {
        let (role, what) = need.named();
        let (sqlstate, message) = match denied {
            Denied::Missing => ("42501", format!("{what} needs a token of the role {role}")),
            Denied::Unknown => ("28P01", "the token is unknown, revoked or expired".into()),
            Denied::Role(has) => {
                let has = has.name();
                (
                    "42501",
                    format!("{what} needs a token of the role {role}, and this one is of {has}"),
                )
            }
            Denied::Origin => ("42501", "the token is for the pages of one origin".into()),
        };
        PgError::new(sqlstate, message)
            .with_hint("Give the token as the password; `hourglass token create` makes one.")
    }

    pub fn cancelled() -> PgError {
        PgError::new("57014", "canceling statement due to user request")
    }

    /// Returns the message of the protocol; `text` is that of the statement.
    pub fn response(&self, text: &str) -> ErrorResponse {
        let severity = if self.is_fatal { "FATAL" } else { "ERROR" };
        let mut fields = fields(severity, self.sqlstate, &self.message);
        if let Some(hint) = self.hint {
            fields.push((b'H', hint.into()));
        }
        if let Some(context) = &self.context {
            fields.push((b'W', context.replace('\0', "\u{fffd}")));
        }
        if let Some(position) = self.place.and_then(|place| position(text, place)) {
            fields.push((b'P', position.to_string()));
        }
        ErrorResponse::new(fields)
    }
}

fn fields(severity: &str, sqlstate: &str, message: &str) -> Vec<(u8, String)> {
    // A text ends with a zero byte, so it cannot hold one.
    let message = message.replace('\0', "\u{fffd}");
    vec![(b'S', severity.into()), (b'V', severity.into()), (b'C', sqlstate.into()), (b'M', message)]
}

/// Returns a warning.
pub fn warning(sqlstate: &str, message: &str) -> NoticeResponse {
    NoticeResponse::new(fields("WARNING", sqlstate, message))
}

/// Returns the number of a character, from 1.
fn position(text: &str, (line, column): (u64, u64)) -> Option<u64> {
    let before = text.split_inclusive('\n').take(usize::try_from(line).ok()?.checked_sub(1)?);
    Some(before.map(|line| line.chars().count() as u64).sum::<u64>() + column)
}

impl From<Error> for PgError {
    fn from(error: Error) -> PgError {
        let row = error.failure().row();
        if row.actor == Actor::Operator || row.actor == Actor::Developer {
            tracing::error!(%error, "a statement failed");
        }
        PgError { place: error.position(), ..PgError::new(error.sqlstate(), error.to_string()) }
    }
}

impl From<crate::storage::Error> for PgError {
    fn from(error: crate::storage::Error) -> PgError {
        Error::from(error).into()
    }
}

impl From<ValueError> for PgError {
    fn from(error: ValueError) -> PgError {
        PgError::new(error.sqlstate, error.message)
    }
}

/// Returns where in a COPY an error is.
pub fn copy_context(line: u64) -> String {
    format!("COPY {EVENTS}, line {line}")
}

impl From<CopyError> for PgError {
    fn from(error: CopyError) -> PgError {
        let context = Some(copy_context(error.line));
        PgError { hint: error.hint, context, ..PgError::new(error.sqlstate, error.message) }
    }
}

impl From<Rejection> for PgError {
    fn from(rejection: Rejection) -> PgError {
        PgError::new("23514", rejection.to_string())
    }
}

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client has gone, or the network failed.
    Gone(io::Error),
    /// The client is told why.
    Fatal(PgError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            io::ErrorKind::InvalidData => End::Fatal(PgError::fatal("08P01", error.to_string())),
            _ => End::Gone(error),
        }
    }
}

/// What interrupts a statement.
#[derive(Debug)]
pub enum Fault {
    /// The statement is at fault; the session goes on.
    Statement(PgError),
    End(End),
}

impl<E: Into<PgError>> From<E> for Fault {
    fn from(error: E) -> Fault {
        let error = error.into();
        if error.is_fatal { Fault::End(End::Fatal(error)) } else { Fault::Statement(error) }
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Fault {
        Fault::End(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_of_the_whole_text() {
        assert_eq!(position("select 1;\nselect ü x", (2, 10)), Some(20));
        assert_eq!(position("select", (1, 3)), Some(3));
        assert_eq!(position("select", (0, 3)), None);
    }
}
