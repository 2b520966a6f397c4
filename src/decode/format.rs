//! What the decoders share: formats, encodings, errors, and the size of a batch.

use crate::error::Error;
use crate::event::{EventBatch, Rejection};
use std::fmt;
use std::io::Read;
use std::path::Path;

/// Events a streaming reader hands out at once.
pub const BATCH_EVENTS: usize = 65_536;

/// Bytes of columns that [`decode`](super::decode) answers at most. Columnar formats name a value once and point at it from a million
/// rows, so the size of the input bounds nothing.
pub const MAX_DECODED_BYTES: usize = 512 << 20;

pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Refuses a text whose first line shows that it is of another encoding.
pub fn check_text(first_line: &[u8]) -> Result<(), DecodeError> {
    let is_utf_16 = [&b"\xff\xfe"[..], b"\xfe\xff"].iter().any(|mark| first_line.starts_with(mark));
    let has_zeros = first_line.len() > 1 && first_line[..2].contains(&0);
    match is_utf_16 || has_zeros {
        true => Err(DecodeError::Malformed("is UTF-16 or UTF-32; send UTF-8 (iconv converts it)".into())),
        false => Ok(()),
    }
}

/// What a streaming reader hands out next: a batch filled from its input, nothing at the end of it.
pub fn next_batch(
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
pub enum InputFormat {
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

impl InputFormat {
    /// The format a `Content-Type` names, whatever its parameters say.
    pub fn from_content_type(value: &str) -> Option<InputFormat> {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(InputFormat::Ndjson),
            "text/csv" => Some(InputFormat::Csv),
            "text/tab-separated-values" => Some(InputFormat::Tsv),
            "application/vnd.apache.arrow.stream" | "application/vnd.apache.arrow.file" => {
                Some(InputFormat::ArrowStream)
            }
            "application/vnd.apache.parquet" => Some(InputFormat::Parquet),
            _ => None,
        }
    }

    /// The format a file's extension names, whatever compression follows it: `events.csv.gz` is CSV.
    pub fn from_path(path: &Path) -> Option<InputFormat> {
        let inner = match Encoding::from_path(path) {
            Encoding::Identity => path.to_path_buf(),
            Encoding::Gzip | Encoding::Zstd => path.with_extension(""),
        };
        match inner.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => Some(InputFormat::Ndjson),
            "csv" => Some(InputFormat::Csv),
            "tsv" => Some(InputFormat::Tsv),
            "arrows" | "arrow" | "feather" => Some(InputFormat::ArrowStream),
            "parquet" => Some(InputFormat::Parquet),
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
pub const HTTP_ZSTD_WINDOW_LOG: u32 = 23;

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

pub fn read_up_to(input: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
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
    pub fn bad_line(line: u64, reason: impl fmt::Display) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Line, line, reason: reason.to_string() }
    }

    pub fn bad_row(row: u64, rejection: &Rejection) -> DecodeError {
        DecodeError::BadRow { unit: RowUnit::Row, line: row, reason: rejection.to_string() }
    }

    pub fn malformed(format: &str, error: impl fmt::Display) -> DecodeError {
        DecodeError::Malformed(format!("is not {format}: {error}"))
    }

    /// Tells the machine's faults from the decompressors': only the former carry the number of a failed system call.
    pub fn from_io(error: std::io::Error) -> DecodeError {
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
