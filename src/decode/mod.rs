//! The bytes of the world outside, decoded into an [`EventBatch`]: the batch door of HTTP and the files of `import`.
//!
//! Every format carries three columns, in any order, with others beside them that are ignored:
//!
//! | column | values |
//! | --- | --- |
//! | `timestamp` | whole milliseconds since the epoch, RFC 3339 text (as `event` reads it), or an Arrow timestamp of any unit |
//! | `user` or `user_id` | 1 to 1,024 bytes of UTF-8; a whole number or a UUID is taken as its text |
//! | `event` | `click` or `impression` |
//!
//! Their names may have capitals; [`Options`] tell of other names, other units of numbers, and how a text separates its fields.
//!
//! A decoded batch is whole: the first row that cannot be stored is the answer, and no event comes with it.
//! Nothing here knows HTTP, the store or where a batch goes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::event::EventBatch;

mod arrow;
mod columns;
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
pub use file::{FileReader, Progress, read_file};
pub use options::{Options, parse_delimiter};

/// The events of a record batch that has the three columns.
pub fn from_record_batch(batch: &::arrow::array::RecordBatch) -> Result<EventBatch, DecodeError> {
    arrow::to_events(arrow::Columns::find(batch.schema_ref(), &Options::default())?, batch, 0)
}

/// Decodes a whole input as it usually is: all of its events, in order, or the first reason why not.
pub fn decode(format: InputFormat, bytes: &[u8]) -> Result<EventBatch, DecodeError> {
    decode_with(format, bytes, &Options::default())
}

/// Decodes a whole input as it is told to be.
pub fn decode_with(format: InputFormat, bytes: &[u8], options: &Options) -> Result<EventBatch, DecodeError> {
    let all = usize::MAX;
    match format {
        InputFormat::Ndjson => whole_text(bytes, |batch| ndjson::Reader::new(bytes, options).fill(batch, all)),
        InputFormat::Csv => whole_text(bytes, |batch| csv::Reader::csv(bytes, options)?.fill(batch, all)),
        InputFormat::Tsv => whole_text(bytes, |batch| csv::Reader::tsv(bytes, options)?.fill(batch, all)),
        InputFormat::ArrowStream => columnar("an Arrow stream", || stream::decode(bytes, MAX_DECODED_BYTES, options)),
        InputFormat::Parquet => columnar("Parquet", || parquet::decode(bytes, MAX_DECODED_BYTES, options)),
    }
}

/// A text's rows take no fewer bytes than the columns they become, give or take a few, so its own size is their bound.
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

/// The columnar readers trust lengths and offsets they have read; bytes made to hurt can make them panic, and that is
/// the sender's fault, not ours. Nothing outlives the call that a panic could leave half-changed.
fn columnar(name: &str, decode: impl FnOnce() -> Result<EventBatch, DecodeError>) -> Result<EventBatch, DecodeError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(DecodeError::malformed(name, "it is damaged")))
}

#[cfg(test)]
mod tests;

pub use self::format::{BATCH_EVENTS, DecodeError, Encoding, InputFormat, MAX_DECODED_BYTES, RowUnit};
