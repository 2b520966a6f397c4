//! CSV and TSV decoding. A record may span lines inside quotes; errors name the line it begins on.

use std::io::BufRead;

use super::columns::{COLUMNS, Places};
use super::format::{BATCH_EVENTS, DecodeError, has_room, next_batch};
use super::options::Options;
use super::records::{Dialect, Records};
use crate::event::{
    EventBatch, EventKind, EventSchema, Rejection, TimestampRules, check_user, check_value,
    shown_bytes,
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
    schema: EventSchema,
    timestamps: TimestampRules,
}

/// Positions of the columns.
#[derive(Default)]
struct Columns {
    count: usize,
    places: Places,
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
        options.columns.check(&options.schema).map_err(DecodeError::Malformed)?;
        let columns = if options.header {
            header(&mut records, options)?
        } else {
            first_record(&mut records, options)?
        };
        options.ignored.add(columns.places.ignored);
        let (schema, timestamps) = (options.schema.clone(), options.timestamps);
        Ok(Reader { records, columns, schema, timestamps })
    }

    /// Appends records until `batch` holds `events` or the input ends.
    pub fn fill(&mut self, batch: &mut EventBatch, events: usize) -> Result<(), DecodeError> {
        while has_room(batch, events) && self.records.read()? {
            let bad = |reason| DecodeError::bad_line(self.records.line, reason);
            let event = self.columns.check(&self.schema, &self.records, self.timestamps);
            let (timestamp_us, user, kind) = event.map_err(bad)?;
            batch.push(timestamp_us, user, kind);
            for &(dimension, place) in &self.columns.places.values {
                let name = &self.schema.dimensions()[dimension];
                let value = value(&self.records, place);
                let value = value.map_err(|reason| bad(format!("{name}: {reason}")))?;
                batch.set_value(dimension, value);
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

/// Returns the value of a dimension: empty where it is absent, a null among the rest.
fn value<R: BufRead>(records: &Records<R>, place: usize) -> Result<&str, String> {
    if records.is_null(place) {
        return Ok("");
    }
    if records.is_ambiguous(place) {
        return Err(AMBIGUOUS.into());
    }
    let field = records.field(place);
    let text = std::str::from_utf8(field);
    check_value(text.map_err(|_| format!("must be UTF-8; found {}", shown_bytes(field)))?)
}

/// Detects the delimiter: the first by which the header names all three columns, otherwise a comma.
fn header_delimiter(line: &[u8], options: &Options) -> u8 {
    let line = String::from_utf8_lossy(line);
    let names_all = |delimiter: u8| {
        let names = line.split(char::from(delimiter)).map(|name| name.trim().trim_matches('"'));
        options.columns.find(&options.schema, names).is_ok()
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
    let places = options.columns.find(&options.schema, names.iter().map(|name| &**name));
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
        return Ok(Columns::default());
    }
    let count = records.count_ahead()?;
    if count == 0 {
        return Ok(Columns::default());
    }
    let places = options.columns.places(&options.schema, count);
    let places = places.map_err(|reason| DecodeError::bad_line(records.line, reason))?;
    Ok(Columns { count, places })
}

impl Columns {
    fn check<'r, R: BufRead>(
        &self,
        schema: &EventSchema,
        records: &'r Records<R>,
        timestamps: TimestampRules,
    ) -> Result<(i64, &'r str, EventKind), String> {
        if records.len() != self.count {
            return Err(format!(
                "has {} columns where the first line has {}",
                records.len(),
                self.count
            ));
        }
        if let Some(column) =
            (0..COLUMNS.len()).find(|&column| records.is_ambiguous(self.places.own[column]))
        {
            return Err(format!("{}: {AMBIGUOUS}", COLUMNS[column]));
        }
        self.check_fields(schema, records, timestamps).map_err(|rejection| rejection.to_string())
    }

    fn check_fields<'r, R: BufRead>(
        &self,
        schema: &EventSchema,
        records: &'r Records<R>,
        timestamps: TimestampRules,
    ) -> Result<(i64, &'r str, EventKind), Rejection> {
        let text = |column: usize| match std::str::from_utf8(records.field(self.places.own[column]))
        {
            Ok(_) if records.is_null(self.places.own[column]) => {
                Err(Rejection::new(COLUMNS[column], "must not be null; found \\N"))
            }
            Ok(text) => Ok(text),
            Err(_) => {
                let found = shown_bytes(records.field(self.places.own[column]));
                Err(Rejection::new(COLUMNS[column], format!("must be UTF-8; found {found}")))
            }
        };
        let timestamp_us = timestamps.text(text(0)?)?;
        let user = check_user(text(1)?)?;
        let kind = schema.check_event(text(2)?)?;
        Ok((timestamp_us, user, kind))
    }
}
