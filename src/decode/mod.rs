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

use std::fmt;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::Error;
use crate::event::{EventBatch, Rejection};

mod arrow;
mod columns;
mod csv;
mod file;
mod ipc;
mod ndjson;
mod options;
mod parquet;
mod records;
mod stream;

pub use columns::ColumnNames;
pub use file::{FileReader, Progress, read_file};
pub use options::{Options, parse_delimiter};

/// Events a streaming reader hands out at once.
pub const BATCH_EVENTS: usize = 65_536;

/// Bytes of columns that [`decode`] answers at most. Columnar formats name a value once and point at it from a million
/// rows, so the size of the input bounds nothing.
pub const MAX_DECODED_BYTES: usize = 512 << 20;

/// The events of a record batch that has the three columns.
pub fn from_record_batch(batch: &::arrow::array::RecordBatch) -> Result<EventBatch, DecodeError> {
    arrow::to_events(arrow::Columns::find(batch.schema_ref(), &Options::default())?, batch, 0)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Refuses a text whose first line shows that it is of another encoding.
fn check_text(first_line: &[u8]) -> Result<(), DecodeError> {
    let is_utf_16 = [&b"\xff\xfe"[..], b"\xfe\xff"].iter().any(|mark| first_line.starts_with(mark));
    let has_zeros = first_line.len() > 1 && first_line[..2].contains(&0);
    match is_utf_16 || has_zeros {
        true => Err(DecodeError::Malformed("is UTF-16 or UTF-32; send UTF-8 (iconv converts it)".into())),
        false => Ok(()),
    }
}

/// What a streaming reader hands out next: a batch filled from its input, nothing at the end of it.
fn next_batch(
    fill: impl FnOnce(&mut EventBatch) -> Result<(), DecodeError>,
) -> Option<Result<EventBatch, DecodeError>> {
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS, BATCH_EVENTS * 8);
    match fill(&mut batch) {
        Ok(()) => (!batch.is_empty()).then_some(Ok(batch)),
        Err(error) => Some(Err(error)),
    }
}

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180.
    Csv,
    /// Values between tabs.
    Tsv,
    /// The Arrow IPC streaming format, or the file format around it.
    ArrowStream,
    Parquet,
}

impl Format {
    /// The format a `Content-Type` names, whatever its parameters say.
    pub fn from_content_type(value: &str) -> Option<Format> {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Format::Ndjson),
            "text/csv" => Some(Format::Csv),
            "text/tab-separated-values" => Some(Format::Tsv),
            "application/vnd.apache.arrow.stream" | "application/vnd.apache.arrow.file" => Some(Format::ArrowStream),
            "application/vnd.apache.parquet" => Some(Format::Parquet),
            _ => None,
        }
    }

    /// The format a file's extension names, whatever compression follows it: `events.csv.gz` is CSV.
    pub fn from_path(path: &Path) -> Option<Format> {
        let inner = match Encoding::from_path(path) {
            Encoding::Identity => path.to_path_buf(),
            Encoding::Gzip | Encoding::Zstd => path.with_extension(""),
        };
        match inner.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
            "csv" => Some(Format::Csv),
            "tsv" => Some(Format::Tsv),
            "arrows" | "arrow" | "feather" => Some(Format::ArrowStream),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

/// How the bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// The largest window a zstd frame may ask of a receiver over HTTP: 8 MiB (RFC 9659, section 3).
const HTTP_ZSTD_WINDOW_LOG: u32 = 23;

impl Encoding {
    /// The encoding a `Content-Encoding` names, nothing for one that is not spoken here.
    pub fn from_header(value: Option<&str>) -> Option<Encoding> {
        match value.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    /// The encoding a file's last extension names: `.gz`, `.zst`, or none.
    pub fn from_path(path: &Path) -> Encoding {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("gz") => Encoding::Gzip,
            Some(extension) if extension.eq_ignore_ascii_case("zst") => Encoding::Zstd,
            _ => Encoding::Identity,
        }
    }

    /// The bytes decompressed, or [`DecodeError::TooLarge`] as soon as they would pass `limit` bytes: a small body that
    /// unfolds without end costs no more memory than an honest one.
    pub fn decompress(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Encoding::Identity if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
            Encoding::Identity => Ok(bytes.to_vec()),
            Encoding::Gzip => read_up_to(flate2::read::MultiGzDecoder::new(bytes), limit),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(DecodeError::from_io)?;
                decoder.window_log_max(HTTP_ZSTD_WINDOW_LOG).map_err(DecodeError::from_io)?;
                read_up_to(decoder, limit)
            }
        }
    }
}

fn read_up_to(input: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut output = Vec::new();
    input.take(limit as u64 + 1).read_to_end(&mut output).map_err(DecodeError::from_io)?;
    match output.len() > limit {
        true => Err(DecodeError::TooLarge { limit }),
        false => Ok(output),
    }
}

/// What a row is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowUnit {
    /// Lines of a text, the header being line 1.
    Line,
    /// Rows of a columnar input, the first being row 1.
    Row,
}

impl fmt::Display for RowUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RowUnit::Line => "line",
            RowUnit::Row => "row",
        })
    }
}

/// Why an input was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// One row cannot be stored. `line` counts from 1, in `unit`; a CSV record that spans lines is named by its first.
    #[error("{unit} {line}: {reason}")]
    BadRow { unit: RowUnit, line: u64, reason: String },

    /// The input as a whole is not what it was said to be.
    #[error("{0}")]
    Malformed(String),

    /// The input unfolds to more than `limit` bytes.
    #[error("is larger than {limit} bytes when decompressed and decoded")]
    TooLarge { limit: usize },

    /// The machine could not read it.
    #[error("cannot be read: {0}")]
    Io(#[source] std::io::Error),
}

impl DecodeError {
    fn bad_line(line: u64, reason: impl fmt::Display) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Line, line, reason: reason.to_string() }
    }

    fn bad_row(row: u64, rejection: &Rejection) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Row, line: row, reason: rejection.to_string() }
    }

    fn malformed(format: &str, error: impl fmt::Display) -> DecodeError {
        DecodeError::Malformed(format!("is not {format}: {error}"))
    }

    /// Tells the machine's faults from the decompressors': only the former carry the number of a failed system call.
    fn from_io(error: std::io::Error) -> DecodeError {
        match error.raw_os_error() {
            Some(_) => DecodeError::Io(error),
            None => DecodeError::Malformed(format!("cannot be decompressed: {error}")),
        }
    }

    /// The error of a file, which it names.
    pub fn in_file(self, path: &Path) -> Error {
        match self {
            DecodeError::Io(source) => Error::Io { path: path.to_path_buf(), action: "read", source },
            other => Error::Invalid(format!("{}: {other}", path.display())),
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        match error {
            DecodeError::Io(_) | DecodeError::Malformed(_) | DecodeError::TooLarge { .. } => {
                Error::Invalid(format!("the input {error}"))
            }
            DecodeError::BadRow { .. } => Error::Invalid(error.to_string()),
        }
    }
}

/// Decodes a whole input as it usually is: all of its events, in order, or the first reason why not.
pub fn decode(format: Format, bytes: &[u8]) -> Result<EventBatch, DecodeError> {
    decode_with(format, bytes, &Options::default())
}

/// Decodes a whole input as it is told to be.
pub fn decode_with(format: Format, bytes: &[u8], options: &Options) -> Result<EventBatch, DecodeError> {
    let all = usize::MAX;
    match format {
        Format::Ndjson => whole_text(bytes, |batch| ndjson::Reader::new(bytes, options).fill(batch, all)),
        Format::Csv => whole_text(bytes, |batch| csv::Reader::csv(bytes, options)?.fill(batch, all)),
        Format::Tsv => whole_text(bytes, |batch| csv::Reader::tsv(bytes, options)?.fill(batch, all)),
        Format::ArrowStream => columnar("an Arrow stream", || stream::decode(bytes, MAX_DECODED_BYTES, options)),
        Format::Parquet => columnar("Parquet", || parquet::decode(bytes, MAX_DECODED_BYTES, options)),
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
