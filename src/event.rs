//! Events: one event, and columnar batches of them.
//!
//! An event is `(timestamp, user, kind)` and the values of the dimensions that were declared for
//! its store: microseconds since the Unix epoch (UTC), a visitor's name of 1 to [`MAX_USER_BYTES`]
//! bytes of UTF-8, a click, an impression or a declared kind, and texts of up to
//! [`MAX_VALUE_BYTES`]. The HTTP API uses milliseconds; the store keeps microseconds, as the Delta
//! protocol's `timestamp` type does.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, SecondsFormat};

mod batch;
mod key;
mod schema;
mod timestamp;
mod values;

pub use batch::EventBatch;
pub use key::{Content, IdempotencyRange, Key, MAX_KEY_BYTES};
pub use schema::{
    Declaration, EventSchema, MAX_DIMENSIONS, MAX_KINDS, MAX_VALUE_BYTES, OWN_COLUMNS, check_value,
    partition_columns,
};
pub use timestamp::{TimestampBounds, TimestampRules, TimestampUnit, parse_timestamp};
pub use values::{ValueColumn, Values};

/// Last representable instant, 9999-12-31T23:59:59.999999Z in microseconds. It is on the last day
/// that a `date=YYYY-MM-DD` partition can name.
pub const MAX_TIMESTAMP_US: i64 = 253_402_300_799_999_999;

/// Maximum length of a user name, in bytes.
pub const MAX_USER_BYTES: usize = 1024;

/// Kind of event: what the visitor did, as a code of the store's [`EventSchema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKind(u8);

impl EventKind {
    /// The kinds of the contract, which every store has.
    pub const CLICK: EventKind = EventKind(0);
    pub const IMPRESSION: EventKind = EventKind(1);

    /// Both of them.
    pub const CONTRACT: [EventKind; 2] = [EventKind::CLICK, EventKind::IMPRESSION];

    /// Returns the kind with a code that was stored before.
    pub(crate) fn of_code(code: u8) -> EventKind {
        EventKind(code)
    }

    /// Returns the code, which stands for the kind in the log and in memory.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Reports whether every store has the kind, without a declaration.
    pub fn is_of_contract(self) -> bool {
        self.index() < EventKind::CONTRACT.len()
    }

    /// Returns the code as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One event, borrowed from a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Microseconds since the epoch, 0 to [`MAX_TIMESTAMP_US`].
    pub timestamp_us: i64,
    pub user: &'a str,
    pub kind: EventKind,
    pub values: Values<'a>,
}

/// Validation error of an event: the parameter at fault, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {reason}")]
pub struct Rejection {
    pub parameter: Cow<'static, str>,
    pub reason: String,
}

impl Rejection {
    pub fn new(parameter: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Rejection {
        Rejection { parameter: parameter.into(), reason: reason.into() }
    }
}

/// Checks a timestamp in milliseconds and converts it to microseconds.
pub fn check_timestamp_ms(ms: i64) -> Result<i64, Rejection> {
    check_timestamp_us(ms.checked_mul(1000).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX }))
}

/// Checks a timestamp in microseconds.
pub fn check_timestamp_us(us: i64) -> Result<i64, Rejection> {
    match us {
        ..0 => Err(outside("must not lie before 1970-01-01T00:00:00Z", us)),
        0..=MAX_TIMESTAMP_US => Ok(us),
        _ => Err(outside("must not lie after 9999-12-31T23:59:59.999Z", us)),
    }
}

/// Builds the rejection of an instant out of range.
fn outside(rule: &str, us: i64) -> Rejection {
    Rejection::new("timestamp", format!("{rule}; found {}", instant_text(us)))
}

/// Formats an instant as RFC 3339, or says that it is outside the calendar.
fn instant_text(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(
        || "a time that no calendar reaches".into(),
        |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// Formats a value for an error message: quoted, unprintable characters escaped, cut at 60
/// characters.
pub fn shown(value: &str) -> String {
    const MAX_CHARS: usize = 60;
    match value.char_indices().nth(MAX_CHARS) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &value[..end], value.len()),
    }
}

/// Formats bytes that are not valid UTF-8 for an error message.
pub fn shown_bytes(value: &[u8]) -> String {
    const MAX_BYTES: usize = 60;
    match value.get(..MAX_BYTES) {
        None => format!("\"{}\"", value.escape_ascii()),
        Some(begin) => format!("\"{}\"... ({} bytes)", begin.escape_ascii(), value.len()),
    }
}

/// Validates a user's name.
pub fn check_user(user: &str) -> Result<&str, Rejection> {
    match user.len() {
        0 => Err(Rejection::new("user", "must not be empty")),
        1..=MAX_USER_BYTES => Ok(user),
        n => Err(Rejection::new(
            "user",
            format!("is {n} bytes long; at most {MAX_USER_BYTES} are stored"),
        )),
    }
}

/// Bytes of an event in the log, apart from its user's name: timestamp, end offset of the name,
/// kind.
pub const EVENT_BYTES: usize = 8 + 4 + 1;

/// Returns the Arrow type of the `timestamp` column.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Parses a time given on the command line and returns microseconds. Accepts what
/// [`parse_timestamp`] accepts, or a date alone, which means its first instant (GMT).
pub fn parse_time(text: &str) -> Result<i64, String> {
    let is_date = text.len() == 10 && text.as_bytes()[4] == b'-';
    let parsed =
        if is_date { parse_timestamp(&format!("{text}T00:00:00Z")) } else { parse_timestamp(text) };
    parsed.map_err(|rejection| {
        if rejection.reason.starts_with("must not lie") {
            rejection.reason
        } else {
            "is no time: a date such as 2020-01-01, RFC 3339 such as 2020-01-01T00:00:00Z, or milliseconds".into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_the_command_line_may_be_a_date() {
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(parse_time("1970-01-01T01:00:00Z"), Ok(3_600_000_000));
        assert_eq!(parse_time("3600000"), Ok(3_600_000_000));
        assert_eq!(parse_time("9999-12-31"), Ok(MAX_TIMESTAMP_US + 1 - 86_400_000_000));
        for wrong in ["2025-02-30", "yesterday", "2025-2-1", "2025-02-01T", "0000-00-00"] {
            assert!(parse_time(wrong).unwrap_err().starts_with("is no time"), "{wrong}");
        }
        assert!(parse_time("1969-12-31").unwrap_err().contains("must not lie before"));
    }

    #[test]
    fn timestamps_outside_the_store_are_rejected() {
        assert_eq!(check_timestamp_ms(10_032_342_000), Ok(10_032_342_000_000));
        assert_eq!(check_timestamp_ms(253_402_300_799_999), Ok(253_402_300_799_999_000));
        for ms in [-1, i64::MIN, 253_402_300_800_000, i64::MAX] {
            assert_eq!(check_timestamp_ms(ms).unwrap_err().parameter, "timestamp");
        }
    }
}
