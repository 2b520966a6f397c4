//! Types shared by the decoders: formats, encodings, errors, and the batch size.

use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::error::Error;
use crate::event::{EventBatch, Rejection};

/// Number of events in a batch of a streaming reader.
pub const BATCH_EVENTS: usize = 65_536;

/// Size in bytes at which a streaming reader ends a batch before it has [`BATCH_EVENTS`].
const BATCH_BYTES: usize = 64 << 20;

/// Reports whether a reader that gathers batches of `events` goes on with this one. One that wants
/// the whole input does.
pub fn has_room(batch: &EventBatch, events: usize) -> bool {
    batch.len() < events && (events == usize::MAX || batch.byte_len() < BATCH_BYTES)
}

/// Returns the number of rows of a columnar input that are decoded at a time. A dictionary may make
/// a value of the greatest length of a few bits, so each column of texts takes its share.
pub fn rows_at_once(dimensions: usize) -> usize {
    (BATCH_EVENTS / (1 + dimensions)).max(1)
}

/// Maximum size of the columns that [`decode`](super::decode) returns. Columnar formats can repeat
/// a value a million times in a few bytes, so the size of the input is no limit.
pub const MAX_DECODED_BYTES: usize = 512 << 20;

pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Rejects a text whose first line shows that it is UTF-16 or UTF-32.
pub fn check_text(first_line: &[u8]) -> Result<(), DecodeError> {
    let is_utf_16 = [&b"\xff\xfe"[..], b"\xfe\xff"].iter().any(|mark| first_line.starts_with(mark));
    let has_zeros = first_line.len() > 1 && first_line[..2].contains(&0);
    if is_utf_16 || has_zeros {
        Err(DecodeError::Malformed("is UTF-16 or UTF-32; send UTF-8 (iconv converts it)".into()))
    } else {
        Ok(())
    }
}

/// Returns the next batch of a streaming reader; `None` at the end of the input.
pub fn next_batch(
    fill: impl FnOnce(&mut EventBatch) -> Result<(), DecodeError>,
) -> Option<Result<EventBatch, DecodeError>> {
    let mut batch = EventBatch::with_capacity(BATCH_EVENTS, BATCH_EVENTS * 8);
    match fill(&mut batch) {
        Ok(()) => (!batch.is_empty()).then_some(Ok(batch)),
        Err(error) => Some(Err(error)),
    }
}

/// Format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// One JSON object per line.
    Ndjson,
    /// An array of objects, or objects one after another.
    Json,
    /// RFC 4180.
    Csv,
    /// Values between tabs.
    Tsv,
    /// The Arrow IPC streaming format, or the file format around it.
    ArrowStream,
    Parquet,
}

impl InputFormat {
    /// Returns the format that a `Content-Type` names; parameters are ignored.
    pub fn from_content_type(value: &str) -> Option<InputFormat> {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            // A beacon of text is plain text: other types would need a preflight, which it has not.
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "text/plain" => {
                Some(InputFormat::Ndjson)
            }
            "application/json" => Some(InputFormat::Json),
            "text/csv" => Some(InputFormat::Csv),
            "text/tab-separated-values" => Some(InputFormat::Tsv),
            "application/vnd.apache.arrow.stream" | "application/vnd.apache.arrow.file" => {
                Some(InputFormat::ArrowStream)
            }
            "application/vnd.apache.parquet" => Some(InputFormat::Parquet),
            _ => None,
        }
    }

    /// Returns the format that a file's extension names, ignoring a compression suffix:
    /// `events.csv.gz` is CSV. Parquet is compressed inside, so `events.parquet.gz` is no format.
    pub fn from_path(path: &Path) -> Option<InputFormat> {
        let encoding = Encoding::from_path(path);
        let inner = match encoding {
            Encoding::Identity => path.to_path_buf(),
            Encoding::Gzip | Encoding::Zstd => path.with_extension(""),
        };
        match inner.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => Some(InputFormat::Ndjson),
            "csv" => Some(InputFormat::Csv),
            "tsv" => Some(InputFormat::Tsv),
            "arrows" | "arrow" | "feather" => Some(InputFormat::ArrowStream),
            "parquet" | "parq" if encoding == Encoding::Identity => Some(InputFormat::Parquet),
            _ => None,
        }
    }
}

/// Compression of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Largest window that a zstd frame may require over HTTP: 8 MiB (RFC 9659, section 3).
pub const HTTP_ZSTD_WINDOW_LOG: u32 = 23;

impl Encoding {
    /// Returns the encoding that a `Content-Encoding` names; `None` if it is not supported.
    pub fn from_header(value: Option<&str>) -> Option<Encoding> {
        match value.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    /// Returns the encoding that a file's last extension names: `.gz`, `.zst`, or none.
    pub fn from_path(path: &Path) -> Encoding {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("gz") => Encoding::Gzip,
            Some(extension) if extension.eq_ignore_ascii_case("zst") => Encoding::Zstd,
            _ => Encoding::Identity,
        }
    }

    /// Decompresses the bytes. Returns [`DecodeError::TooLarge`] as soon as the result exceeds
    /// `limit` bytes, so that a decompression bomb costs no more memory than valid input.
    pub fn decompress(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Encoding::Identity if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
            Encoding::Identity => Ok(bytes.to_vec()),
            Encoding::Gzip => read_up_to(flate2::read::MultiGzDecoder::new(bytes), limit),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)
                    .map_err(DecodeError::from_io)?;
                decoder.window_log_max(HTTP_ZSTD_WINDOW_LOG).map_err(DecodeError::from_io)?;
                read_up_to(decoder, limit)
            }
        }
    }
}

pub fn read_up_to(input: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut output = Vec::new();
    input.take(limit as u64 + 1).read_to_end(&mut output).map_err(DecodeError::from_io)?;
    if output.len() > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(output) }
}

/// Unit in which errors count rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowUnit {
    /// Lines of a text; the header is line 1.
    Line,
    /// Rows of a columnar input, counted from 1.
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

/// Decoding error.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// One row is invalid. `line` counts from 1, in `unit`; a CSV record that spans lines is named
    /// by its first line.
    #[error("{unit} {line}: {reason}")]
    BadRow { unit: RowUnit, line: u64, reason: String },

    /// The input as a whole is not of the stated format.
    #[error("{0}")]
    Malformed(String),

    /// The decompressed or decoded input exceeds `limit` bytes.
    #[error("is larger than {limit} bytes when decompressed and decoded")]
    TooLarge { limit: usize },

    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[source] std::io::Error),
}

impl DecodeError {
    pub fn bad_line(line: u64, reason: impl fmt::Display) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Line, line, reason: reason.to_string() }
    }

    pub fn bad_row(row: u64, rejection: &Rejection) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Row, line: row, reason: rejection.to_string() }
    }

    pub fn malformed(format: &str, error: impl fmt::Display) -> DecodeError {
        DecodeError::Malformed(format!("is not {format}: {error}"))
    }

    /// Distinguishes IO errors from decompression errors: only the former carry an OS error code.
    pub fn from_io(error: std::io::Error) -> DecodeError {
        match error.raw_os_error() {
            Some(_) => DecodeError::Io(error),
            None => DecodeError::Malformed(format!("cannot be decompressed: {error}")),
        }
    }

    /// Adds the file's name to the error.
    pub fn in_file(self, path: &Path) -> Error {
        match self {
            DecodeError::Io(source) => Error::io(path, "read")(source),
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
