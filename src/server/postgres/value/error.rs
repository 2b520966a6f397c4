//! Why a value cannot be sent or read.

use std::fmt::Display;

use arrow::error::ArrowError;

/// A value that has no form in PostgreSQL's formats, or an input that is not in its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    /// As PostgreSQL assigns them (appendix A of its manual).
    pub sqlstate: &'static str,
    pub message: String,
}

impl ValueError {
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> ValueError {
        ValueError { sqlstate, message: message.into() }
    }

    /// A date or time outside the range of PostgreSQL's type (datetime_field_overflow).
    pub fn out_of_range(of: &str, value: impl Display) -> ValueError {
        ValueError::new("22008", format!("{of} out of range: {value}"))
    }

    /// Something longer than a message can say (program_limit_exceeded).
    pub fn too_long(what: &str) -> ValueError {
        ValueError::new("54000", format!("{what} is longer than 2 GB; select less of it"))
    }
}

/// Conversions of columns fail where a value has no text, such as a time beyond the calendar.
impl From<ArrowError> for ValueError {
    fn from(error: ArrowError) -> ValueError {
        ValueError::new("22000", error.to_string())
    }
}

impl From<crate::error::Error> for ValueError {
    fn from(error: crate::error::Error) -> ValueError {
        ValueError::new("22000", error.to_string())
    }
}
