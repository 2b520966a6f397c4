//! CSV and TSV decoding. A record may span lines inside quotes; errors name the line it begins on.

use std::io::BufRead;

use super::columns::COLUMNS;
use super::format::{BATCH_EVENTS, DecodeError, next_batch};
use super::options::Options;
use super::records::{Dialect, Records};
use crate::event::{
    EventBatch, EventKind, Rejection, TimestampRules, check_event, check_user, shown_bytes,
};

/// Delimiters that are detected from a CSV header, in order of preference.
const DELIMITERS: [u8; 4] = *b",;\t|";

const NO_HEADER: &str =
    "where the first line is no header, say --no-header (over HTTP header=absent)";
const AMBIGUOUS: &str = "has a quote or a backslash, whose meaning depends on the format: use \
    --format text (over HTTP escape=backslash) if backslashes escape, as in PostgreSQL's COPY and \
    ClickHouse's TSV, or --format csv --delimiter tab (text/csv; delimiter=tab) if quotes enclose \
    fields";

pub struct Reader<R> {
    records: Records<R>,
    columns: Columns,
    timestamps: TimestampRules,
}

/// Positions of the columns.
#[derive(Clone, Copy)]
struct Columns {
    count: usize,
    places: [usize; 3],
}

impl<R: BufRead> Reader<R> {
    /// Creates a reader of CSV; it reads the header, or inspects the first record if there is none.
    pub fn csv(input: R, options: &Options) -> Result<Reader<R>, DecodeError> {
        let mut records = Records::new(input, Dialect::Quotes, options.delimiter.unwrap_or(b','));
        if options.delimiter.is_none() && options.header {
            records.delimiter = header_delimiter(records.peek()?.unwrap_or_default(), options);
        }
        Reader::new(records, options)
    }

    /// Creates a reader of TSV.
    pub fn tsv(input: R, options: &Options) -> Result<Reader<R>, DecodeError> {
        let dialect = if options.backslashes { Dialect::Backslashes } else { Dialect::PlainTabs };
        Reader::new(Records::new(input, dialect, options.delimiter.unwrap_or(b'\t')), options)
    }

    fn new(mut records: Records<R>, options: &Options) -> Result<Reader<R>, DecodeError> {
        let columns = if options.header {
            header(&mut records, options)?
        } else {
            first_record(&mut records, options)?
        };
        Ok(Reader { records, columns, timestamps: options.timestamps })
    }

    /// Appends records until `batch` holds `events` or the input ends.
    pub fn fill(&mut self, batch: &mut EventBatch, events: usize) -> Result<(), DecodeError> {
        while batch.len() < events && self.records.read()? {
            let event = self.columns.check(&self.records, self.timestamps);
            let (timestamp_us, user, kind) =
                event.map_err(|reason| DecodeError::bad_line(self.records.line, reason))?;
            batch.push(timestamp_us, user, kind);
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

/// Detects the delimiter: the first by which the header names all three columns, otherwise a comma.
fn header_delimiter(line: &[u8], options: &Options) -> u8 {
    let line = String::from_utf8_lossy(line);
    let names_all = |delimiter: u8| {
        let names = line.split(char::from(delimiter)).map(|name| name.trim().trim_matches('"'));
        options.columns.find(names).is_ok()
    };
    DELIMITERS.into_iter().find(|delimiter| names_all(*delimiter)).unwrap_or(b',')
}

fn header<R: BufRead>(records: &mut Records<R>, options: &Options) -> Result<Columns, DecodeError> {
    if !records.read()? {
        return Err(DecodeError::Malformed(
            "is empty: a header that names the columns must be there".into(),
        ));
    }
    let names: Vec<_> =
        (0..records.len()).map(|place| String::from_utf8_lossy(records.field(place))).collect();
    let places = options.columns.find(names.iter().map(|name| &**name));
    let places = places
        .map_err(|reason| DecodeError::bad_line(records.line, format!("{reason}; {NO_HEADER}")))?;
    Ok(Columns { count: names.len(), places })
}

/// Finds the columns by inspecting the first record, which remains to be read. An empty input has
/// no columns.
fn first_record<R: BufRead>(
    records: &mut Records<R>,
    options: &Options,
) -> Result<Columns, DecodeError> {
    if records.peek()?.is_none() {
        return Ok(Columns { count: 0, places: [0; 3] });
    }
    let count = records.count_ahead()?;
    if count == 0 {
        return Ok(Columns { count, places: [0; 3] });
    }
    let places = options.columns.places(count);
    let places = places.map_err(|reason| DecodeError::bad_line(records.line, reason))?;
    Ok(Columns { count, places })
}

impl Columns {
    fn check<R: BufRead>(
        self,
        records: &Records<R>,
        timestamps: TimestampRules,
    ) -> Result<(i64, &str, EventKind), String> {
        if records.len() != self.count {
            return Err(format!(
                "has {} columns where the first line has {}",
                records.len(),
                self.count
            ));
        }
        if let Some(column) =
            (0..COLUMNS.len()).find(|&column| records.is_ambiguous(self.places[column]))
        {
            return Err(format!("{}: {AMBIGUOUS}", COLUMNS[column]));
        }
        self.check_fields(records, timestamps).map_err(|rejection| rejection.to_string())
    }

    fn check_fields<R: BufRead>(
        self,
        records: &Records<R>,
        timestamps: TimestampRules,
    ) -> Result<(i64, &str, EventKind), Rejection> {
        let text = |column: usize| match std::str::from_utf8(records.field(self.places[column])) {
            Ok(_) if records.is_null(self.places[column]) => {
                Err(Rejection::new(COLUMNS[column], "must not be null; found \\N"))
            }
            Ok(text) => Ok(text),
            Err(_) => {
                let found = shown_bytes(records.field(self.places[column]));
                Err(Rejection::new(COLUMNS[column], format!("must be UTF-8; found {found}")))
            }
        };
        let timestamp_us = timestamps.text(text(0)?)?;
        let user = check_user(text(1)?)?;
        let kind = check_event(text(2)?)?;
        Ok((timestamp_us, user, kind))
    }
}
