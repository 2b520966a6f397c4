//! CSV with a header (RFC 4180). A record may span lines inside quotes; it is named by the line it begins on.
//!
//! Lines end in LF or CRLF, and blank ones are skipped. The parser is told of LF alone and the CR is taken off here:
//! it skips blank lines and the LF of a CRLF while it looks for the next record, which leaves it with a line number
//! from before them.

use std::io::{Chain, Read};

use csv::{ByteRecord, ErrorKind, ReaderBuilder, Terminator};

use super::{BATCH_EVENTS, DecodeError, next_batch};
use crate::event::{EventBatch, EventKind, Rejection, check_event, check_user, not_a_timestamp, parse_timestamp};

pub struct Reader<R> {
    /// The input and one line end more, so that every record is ended by one.
    input: csv::Reader<Chain<R, &'static [u8]>>,
    columns: Columns,
    record: ByteRecord,
}

/// Where the header puts the columns.
#[derive(Clone, Copy)]
struct Columns {
    count: usize,
    timestamp: usize,
    user: usize,
    event: usize,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(input: R) -> Result<Reader<R>, DecodeError> {
        let mut input = ReaderBuilder::new()
            .buffer_capacity(256 << 10)
            .terminator(Terminator::Any(b'\n'))
            .flexible(true)
            .from_reader(input.chain(&b"\n"[..]));
        let columns = Columns::find(input.byte_headers().map_err(describe)?)?;
        Ok(Reader { input, columns, record: ByteRecord::new() })
    }

    /// Appends records until `batch` holds `events` or the input ends.
    pub fn fill(&mut self, batch: &mut EventBatch, events: usize) -> Result<(), DecodeError> {
        while batch.len() < events && self.input.read_byte_record(&mut self.record).map_err(describe)? {
            match self.columns.check(&self.record) {
                Ok((timestamp_us, user, kind)) => batch.push(timestamp_us, user, kind),
                Err(_) if is_blank(&self.record) => {}
                Err(reason) => return Err(DecodeError::bad_line(self.line(), reason)),
            }
        }
        Ok(())
    }

    /// The line the record just read begins on: the parser stands behind the record's line end, and the record holds
    /// the line ends it spans. An unclosed quote takes the last line end into the record, hence the lower bound.
    fn line(&self) -> u64 {
        let spanned = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        let searched_from = self.record.position().map_or(1, csv::Position::line);
        (self.input.position().line().saturating_sub(spanned + 1)).max(searched_from)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        next_batch(|batch| self.fill(batch, BATCH_EVENTS))
    }
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Columns, DecodeError> {
        let find = |names: &[&str]| {
            let mut places = header.iter().enumerate().filter(|(_, name)| {
                let name = name.trim_ascii();
                names.iter().any(|wanted| wanted.as_bytes() == name)
            });
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(place),
                (None, _) => {
                    Err(DecodeError::bad_line(1, format!("the header names no column {}", names.join(" or "))))
                }
                (Some(_), Some(_)) => {
                    Err(DecodeError::bad_line(1, format!("the header names the column {} twice", names.join(" or "))))
                }
            }
        };
        Ok(Columns {
            count: header.len(),
            timestamp: find(&["timestamp"])?,
            user: find(&["user", "user_id"])?,
            event: find(&["event"])?,
        })
    }

    fn check(self, record: &ByteRecord) -> Result<(i64, &str, EventKind), String> {
        if record.len() != self.count {
            return Err(format!("has {} columns where the header has {}", record.len(), self.count));
        }
        self.check_fields(record).map_err(|rejection| rejection.to_string())
    }

    fn check_fields(self, record: &ByteRecord) -> Result<(i64, &str, EventKind), Rejection> {
        let text = |column: usize| {
            let field = &record[column];
            let is_last = column + 1 == self.count;
            std::str::from_utf8(if is_last { field.strip_suffix(b"\r").unwrap_or(field) } else { field })
        };
        let timestamp_us = text(self.timestamp).map_err(|_| not_a_timestamp()).and_then(parse_timestamp)?;
        let user = text(self.user).map_err(|_| Rejection::new("user", "must be UTF-8")).and_then(check_user)?;
        let kind = check_event(text(self.event).unwrap_or_default())?;
        Ok((timestamp_us, user, kind))
    }
}

/// Whether the record is the CR of a blank line that ends in CRLF.
fn is_blank(record: &ByteRecord) -> bool {
    record.len() == 1 && &record[0] == b"\r"
}

fn describe(error: csv::Error) -> DecodeError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(error) => DecodeError::from_io(error),
        other => DecodeError::bad_line(line, format!("{other:?}")),
    }
}
