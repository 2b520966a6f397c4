//! Input decoding: converts bodies of `POST /events` and files of `import` to an [`EventBatch`].
//!
//! Every format has three columns, and one for each dimension of the store, in any order; other
//! columns are ignored:
//!
//! | column | values |
//! | --- | --- |
//! | `timestamp` | whole milliseconds since the epoch, RFC 3339 text (as `event` reads it), or an Arrow timestamp of any unit |
//! | `user` or `user_id` | 1 to 1,024 bytes of UTF-8; a whole number or a UUID is read as its text |
//! | `event` | `click`, `impression` or a declared kind |
//! | a dimension | up to 1,024 bytes of UTF-8, or a whole or decimal number or a boolean as its text; null, empty or without a column: absent |
//!
//! Names may be in any case; [`Options`] give other names, other units of numbers, and the syntax
//! of texts.
//!
//! Decoding is all or nothing: the first invalid row is returned as the error, and no events with
//! it. This module does not know HTTP, the store, or where a batch goes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::event::{EventBatch, EventSchema};

mod arrow;
mod columns;
mod constants;
mod csv;
mod file;
mod format;
mod ipc;
mod ndjson;
mod options;
mod parquet;
mod records;
mod stream;

pub use columns::ColumnNames;
pub use file::{FileReader, KNOWN_EXTENSIONS, Progress, read_file};
pub use options::{Constant, Options, parse_delimiter};

/// Converts a record batch with the three columns to events.
pub fn from_record_batch(
    schema: &EventSchema,
    batch: &::arrow::array::RecordBatch,
) -> Result<EventBatch, DecodeError> {
    let options = Options { schema: schema.clone(), ..Options::default() };
    arrow::to_events(&arrow::Columns::find(batch.schema_ref(), &options)?, batch, 0)
}

/// Decodes a whole input with default options: all of its events in order, or the first error.
pub fn decode(format: InputFormat, bytes: &[u8]) -> Result<EventBatch, DecodeError> {
    decode_with(format, bytes, &Options::default())
}

/// Decodes a whole input with the given options.
pub fn decode_with(
    format: InputFormat,
    bytes: &[u8],
    options: &Options,
) -> Result<EventBatch, DecodeError> {
    let all = usize::MAX;
    match format {
        InputFormat::Ndjson => {
            whole_text(bytes, |batch| ndjson::Reader::new(bytes, options).fill(batch, all))
        }
        InputFormat::Json => whole_text(bytes, |batch| ndjson::decode_json(bytes, options, batch)),
        InputFormat::Csv => {
            whole_text(bytes, |batch| csv::Reader::csv(bytes, options)?.fill(batch, all))
        }
        InputFormat::Tsv => {
            whole_text(bytes, |batch| csv::Reader::tsv(bytes, options)?.fill(batch, all))
        }
        InputFormat::ArrowStream => {
            columnar("an Arrow stream", || stream::decode(bytes, MAX_DECODED_BYTES, options))
        }
        InputFormat::Parquet => {
            columnar("Parquet", || parquet::decode(bytes, MAX_DECODED_BYTES, options))
        }
    }
}

/// Decodes a text. Its rows take at least about as many bytes as the columns they become, so the
/// size of the input limits the result.
fn whole_text(
    bytes: &[u8],
    fill: impl FnOnce(&mut EventBatch) -> Result<(), DecodeError>,
) -> Result<EventBatch, DecodeError> {
    if bytes.len() > MAX_DECODED_BYTES {
        return Err(DecodeError::TooLarge { limit: MAX_DECODED_BYTES });
    }
    let mut batch = EventBatch::new();
    fill(&mut batch)?;
    Ok(batch)
}

/// Runs a columnar decoder and turns a panic into an error: the libraries trust lengths and offsets
/// that they have read, and malicious input can make them panic. Unwinding is safe, because nothing
/// outlives the call.
fn columnar(
    name: &str,
    decode: impl FnOnce() -> Result<EventBatch, DecodeError>,
) -> Result<EventBatch, DecodeError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(DecodeError::malformed(name, "it is damaged")))
}

#[cfg(test)]
mod tests;

pub use self::format::{
    BATCH_EVENTS, DecodeError, Encoding, InputFormat, MAX_DECODED_BYTES, RowUnit,
};
