//! One JSON object a line. Blank lines are skipped, fields that are not asked for are ignored, and a field given twice
//! is refused.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::error::Category;

use super::{BATCH_EVENTS, DecodeError, next_batch};
use crate::event::{
    EventBatch, EventKind, check_event, check_timestamp_ms, check_user, not_a_timestamp, parse_timestamp,
};

/// The longest line, so that a file without line ends is refused instead of read into memory.
const MAX_LINE_BYTES: u64 = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub struct Reader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R) -> Reader<R> {
        Reader { input, line: 0, buffer: Vec::new() }
    }

    /// Appends rows until `batch` holds `events` or the input ends.
    pub fn fill(&mut self, batch: &mut EventBatch, events: usize) -> Result<(), DecodeError> {
        while batch.len() < events {
            self.buffer.clear();
            let mut line = (&mut self.input).take(MAX_LINE_BYTES + 1);
            if line.read_until(b'\n', &mut self.buffer).map_err(DecodeError::from_io)? == 0 {
                break;
            }
            self.line += 1;
            if self.buffer.len() as u64 > MAX_LINE_BYTES {
                return Err(DecodeError::bad_line(self.line, format!("is longer than {MAX_LINE_BYTES} bytes")));
            }
            let mut text = self.buffer.trim_ascii();
            if self.line == 1 {
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            if !text.is_empty() {
                let row: Row =
                    serde_json::from_slice(text).map_err(|error| DecodeError::bad_line(self.line, describe(&error)))?;
                batch.push(row.timestamp.0, &row.user.0, row.event.0);
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        next_batch(|batch| self.fill(batch, BATCH_EVENTS))
    }
}

/// serde_json counts lines of its own, always 1 here; the column helps only where the JSON itself is at fault.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&place).unwrap_or(&text);
    match error.classify() {
        Category::Data => reason.to_owned(),
        Category::Syntax | Category::Eof | Category::Io => format!("{reason} at column {}", error.column()),
    }
}

/// A row whose fields have passed the checks of `event` while they were read.
#[derive(Deserialize)]
struct Row<'a> {
    timestamp: TimestampUs,
    #[serde(borrow, alias = "user_id")]
    user: User<'a>,
    event: Kind,
}

struct TimestampUs(i64);

impl<'de> Deserialize<'de> for TimestampUs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TimestampUs, D::Error> {
        struct TimestampVisitor;

        impl Visitor<'_> for TimestampVisitor {
            type Value = TimestampUs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp in milliseconds or RFC 3339")
            }

            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<TimestampUs, E> {
                check_timestamp_ms(ms).map(TimestampUs).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<TimestampUs, E> {
                self.visit_i64(i64::try_from(ms).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<TimestampUs, E> {
                Err(E::custom(not_a_timestamp()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimestampUs, E> {
                parse_timestamp(text).map(TimestampUs).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(TimestampVisitor)
    }
}

struct User<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for User<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<User<'a>, D::Error> {
        let user = text_of(deserializer, "user")?;
        check_user(&user).map_err(D::Error::custom)?;
        Ok(User(user))
    }
}

struct Kind(EventKind);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        check_event(&text_of(deserializer, "event")?).map(Kind).map_err(D::Error::custom)
    }
}

/// A string, borrowed from the line unless it holds escapes.
fn text_of<'de, D: Deserializer<'de>>(deserializer: D, parameter: &'static str) -> Result<Cow<'de, str>, D::Error> {
    struct TextVisitor(&'static str);

    impl<'de> Visitor<'de> for TextVisitor {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a string for {}", self.0)
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }

    deserializer.deserialize_str(TextVisitor(parameter))
}
