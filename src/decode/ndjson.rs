//! NDJSON decoding: one JSON object per line; and JSON, an array of such objects. Blank lines are
//! skipped, other fields are ignored, and a repeated field is an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::error::Category;

use super::columns::COLUMNS;
use super::format::{
    BATCH_EVENTS, BYTE_ORDER_MARK, DecodeError, RowUnit, check_text, has_room, next_batch,
};
use super::options::Options;
use crate::event::{EventBatch, EventKind, TimestampRules, check_user, check_value};

/// Maximum length of a line, so that a file without line ends is rejected instead of read into
/// memory.
const MAX_LINE_BYTES: u64 = 1 << 20;

pub struct Reader<R> {
    input: R,
    options: Options,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, options: &Options) -> Reader<R> {
        Reader { input, options: options.clone(), line: 0, buffer: Vec::new() }
    }

    /// Appends rows until `batch` holds `events` or the input ends.
    pub fn fill(&mut self, batch: &mut EventBatch, events: usize) -> Result<(), DecodeError> {
        while has_room(batch, events) {
            self.buffer.clear();
            let mut line = (&mut self.input).take(MAX_LINE_BYTES + 1);
            if line.read_until(b'\n', &mut self.buffer).map_err(DecodeError::from_io)? == 0 {
                break;
            }
            self.line += 1;
            if self.buffer.len() as u64 > MAX_LINE_BYTES {
                return Err(DecodeError::bad_line(
                    self.line,
                    format!("is longer than {MAX_LINE_BYTES} bytes"),
                ));
            }
            let mut text = &self.buffer[..];
            if self.line == 1 {
                let columns = self.options.columns.check(&self.options.schema);
                columns.map_err(DecodeError::Malformed)?;
                check_text(text)?;
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            let text = text.trim_ascii();
            if !text.is_empty() {
                let row = read_row(text, &self.options);
                let (timestamp_us, user, kind, values) =
                    row.map_err(|reason| DecodeError::bad_line(self.line, reason))?;
                batch.push(timestamp_us, &user, kind);
                values.iter().for_each(|(dimension, value)| batch.set_value(*dimension, value));
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

/// Decodes JSON: an array of objects, or objects one after another.
pub fn decode_json(
    bytes: &[u8],
    options: &Options,
    batch: &mut EventBatch,
) -> Result<(), DecodeError> {
    options.columns.check(&options.schema).map_err(DecodeError::Malformed)?;
    check_text(bytes)?;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut rows = Rows { options, batch, row: 1 };
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = if text.trim_ascii_start().first() == Some(&b'[') {
        json.deserialize_seq(&mut rows).and_then(|()| json.end())
    } else {
        loop {
            if json.end().is_ok() {
                break Ok(());
            }
            let row = RowSeed(options).deserialize(&mut json);
            if let Err(error) = row.and_then(|row| rows.push(row)) {
                break Err(error);
            }
        }
    };
    let line = rows.row;
    read.map_err(|error| {
        let reason = match error.classify() {
            Category::Data => describe(&error),
            _ => error.to_string(),
        };
        DecodeError::BadRow { unit: RowUnit::Row, line, reason }
    })
}

/// Rows of a JSON text, on their way into a batch.
struct Rows<'r> {
    options: &'r Options,
    batch: &'r mut EventBatch,
    /// Number of the next row, from 1.
    row: u64,
}

impl Rows<'_> {
    fn push<E: Error>(&mut self, row: Row<'_>) -> Result<(), E> {
        let (Some(timestamp_us), Some(user), Some(kind), values) = row else {
            let column = [row.0.is_none(), row.1.is_none(), row.2.is_none()];
            let column = column.iter().position(|missing| *missing).unwrap_or_default();
            return Err(E::custom(self.options.columns.missing(column, std::iter::empty())));
        };
        self.batch.push(timestamp_us, &user, kind);
        values.iter().for_each(|(dimension, value)| self.batch.set_value(*dimension, value));
        self.row += 1;
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(row) = seq.next_element_seed(RowSeed(self.options))? {
            self.push(row)?;
        }
        Ok(())
    }
}

/// Dimensions by index, with their values.
type Values<'t> = Vec<(usize, Cow<'t, str>)>;

fn read_row<'t>(
    text: &'t [u8],
    options: &Options,
) -> Result<(i64, Cow<'t, str>, EventKind, Values<'t>), String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let row = RowSeed(options).deserialize(&mut json).map_err(|error| describe(&error))?;
    json.end().map_err(|error| describe(&error))?;
    match row {
        (Some(timestamp_us), Some(user), Some(kind), values) => {
            Ok((timestamp_us, user, kind, values))
        }
        (timestamp_us, user, kind, _) => {
            let column = [timestamp_us.is_none(), user.is_none(), kind.is_none()]
                .iter()
                .position(|missing| *missing);
            let fields: BTreeMap<Cow<str>, IgnoredAny> =
                serde_json::from_slice(text).unwrap_or_default();
            Err(options
                .columns
                .missing(column.unwrap_or_default(), fields.keys().map(|name| &**name)))
        }
    }
}

/// Formats serde_json's error without its line number, which is always 1 here; the column is kept
/// only for syntax errors.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&place).unwrap_or(&text);
    match error.classify() {
        Category::Data => reason.to_owned(),
        Category::Syntax | Category::Eof | Category::Io => {
            format!("{reason} at column {}", error.column())
        }
    }
}

/// Fields of a row, already validated while they were read.
type Row<'t> = (Option<i64>, Option<Cow<'t, str>>, Option<EventKind>, Values<'t>);

struct RowSeed<'o>(&'o Options);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Row<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl RowSeed<'_> {
    /// Reads a field that is not one of every event: the value of a dimension, or one to ignore.
    fn other_field<'de, A: MapAccess<'de>>(
        &self,
        name: &str,
        map: &mut A,
        values: &mut Values<'de>,
    ) -> Result<(), A::Error> {
        let Some(dimension) = self.0.columns.dimension(&self.0.schema, name) else {
            self.0.ignored.add(1);
            return map.next_value::<IgnoredAny>().map(drop);
        };
        let name = &self.0.schema.dimensions()[dimension];
        let value = map.next_value_seed(ScalarSeed::of_dimension(name))?;
        check_value(&value).map_err(|reason| A::Error::custom(format!("{name}: {reason}")))?;
        if values.iter().any(|(other, _)| *other == dimension) {
            return Err(A::Error::custom(format!("has the field {name} twice")));
        }
        values.push((dimension, value));
        Ok(())
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with timestamp, user and event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut row = Row::default();
        while let Some(name) = map.next_key_seed(TextSeed("a name"))? {
            let column = self.0.columns.which(&name);
            let is_repeated = match column {
                Some(0) => {
                    row.0.replace(map.next_value_seed(TimestampSeed(self.0.timestamps))?).is_some()
                }
                Some(1) => {
                    let user = map.next_value_seed(ScalarSeed::USER)?;
                    check_user(&user).map_err(A::Error::custom)?;
                    row.1.replace(user).is_some()
                }
                Some(_) => {
                    let text = map.next_value_seed(TextSeed("event"))?;
                    let kind = self.0.schema.check_event(&text).map_err(A::Error::custom)?;
                    row.2.replace(kind).is_some()
                }
                None => {
                    self.other_field(&name, &mut map, &mut row.3)?;
                    false
                }
            };
            if let Some(column) = column.filter(|_| is_repeated) {
                return Err(A::Error::custom(format!(
                    "has the field {} twice",
                    self.0.columns.called(column)
                )));
            }
        }
        Ok(row)
    }
}

struct TimestampSeed(TimestampRules);

impl<'de> DeserializeSeed<'de> for TimestampSeed {
    type Value = i64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for TimestampSeed {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or RFC 3339 text for {}", COLUMNS[0])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        self.0.number(number).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        self.0.float(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        self.0.text(text).map_err(E::custom)
    }
}

/// Deserializes a text, or a whole number, which becomes its decimal digits as in CSV. Other
/// numbers are refused, as they would be read as floats.
struct ScalarSeed<'n> {
    column: &'n str,
    /// Whether it is the value of a dimension, which may also be a boolean, or null where absent.
    is_dimension: bool,
}

impl<'n> ScalarSeed<'n> {
    const USER: ScalarSeed<'static> = ScalarSeed { column: COLUMNS[1], is_dimension: false };

    fn of_dimension(column: &'n str) -> ScalarSeed<'n> {
        ScalarSeed { column, is_dimension: true }
    }

    /// Returns a text that only dimensions take.
    fn of_dimensions<'de, E: Error>(
        &self,
        text: &'static str,
        found: Unexpected<'_>,
    ) -> Result<Cow<'de, str>, E> {
        if self.is_dimension { Ok(Cow::Borrowed(text)) } else { Err(E::invalid_type(found, self)) }
    }
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_dimension {
            write!(f, "a string, a whole number, a boolean or null for {}", self.column)
        } else {
            write!(f, "a string or a whole number for {}", self.column)
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Cow<'de, str>, E> {
        self.of_dimensions("", Unexpected::Unit)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Cow<'de, str>, E> {
        self.of_dimensions(if value { "true" } else { "false" }, Unexpected::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Deserializes a string, borrowed from the line unless it contains escapes.
struct TextSeed(&'static str);

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
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
