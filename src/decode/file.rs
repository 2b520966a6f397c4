//! Reading of event files, batch by batch in bounded memory, with progress.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::{
    BYTE_ORDER_MARK, DecodeError, Encoding, InputFormat, MAX_DECODED_BYTES, read_up_to,
};
use super::{Options, csv, decode_with, ndjson, parquet, stream};
use crate::error::{Error, Result};
use crate::event::EventBatch;

/// Progress of a reader: compressed bytes of a text or stream, rows of Parquet. Clones share their
/// counts, so that another thread can watch.
#[derive(Clone, Debug)]
pub struct Progress {
    done: Arc<AtomicU64>,
    total: u64,
}

impl Progress {
    fn new(total: u64) -> Progress {
        Progress { done: Arc::default(), total }
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    fn add(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }
}

/// Iterator over the events of a file, in batches of at most [`super::BATCH_EVENTS`]. It ends after
/// the first error.
pub struct FileReader {
    batches: Box<dyn Iterator<Item = Result<EventBatch, DecodeError>> + Send>,
    progress: Progress,
    failed: bool,
}

impl FileReader {
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Iterator for FileReader {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.batches.next();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

/// Extensions of the files that can be read, for messages.
pub const KNOWN_EXTENSIONS: &str = ".csv, .tsv, .ndjson, .jsonl, .json, .arrow, .arrows, .feather (each also with .gz or \
     .zst), .parquet or .parq";

/// Opens a file. The format is given, or taken from the file's extensions: `.csv`, `.tsv`,
/// `.ndjson`, `.jsonl`, `.json`, `.arrow`, `.arrows` and `.feather`, each plain or followed by
/// `.gz` or `.zst`, and `.parquet` or `.parq`. Reads and checks the header, but no rows.
pub fn read_file(path: &Path, given: Option<InputFormat>, options: &Options) -> Result<FileReader> {
    let unknown = || {
        Error::Invalid(format!(
            "{}: the name must end in {KNOWN_EXTENSIONS}, or --format must say what it is",
            path.display()
        ))
    };
    let format = given.or_else(|| InputFormat::from_path(path)).ok_or_else(unknown)?;
    let is_plain = options.header && options.delimiter.is_none();
    if !is_plain && !matches!(format, InputFormat::Csv | InputFormat::Tsv) {
        return Err(Error::Invalid(format!(
            "{}: --no-header and --delimiter are for CSV and TSV",
            path.display()
        )));
    }
    let encoding = Encoding::from_path(path);
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let opened = match (format, encoding) {
        (InputFormat::Parquet, Encoding::Identity) => open_parquet(file, options),
        (InputFormat::Parquet, _) => return Err(unknown()),
        _ => open_bytes(file, format, encoding, options),
    };
    opened.map_err(|error| error.in_file(path))
}

fn open_parquet(file: File, options: &Options) -> Result<FileReader, DecodeError> {
    let twin = file.try_clone().map_err(DecodeError::Io)?;
    let reader = parquet::Reader::new(file, twin, options)?;
    let progress = Progress::new(reader.rows);
    let counter = progress.clone();
    let batches = reader
        .inspect(move |batch| counter.add(batch.as_ref().map_or(0, |batch| batch.len() as u64)));
    Ok(FileReader { batches: Box::new(batches), progress, failed: false })
}

/// Reports whether a JSON text begins with an array.
fn is_array(bytes: &mut impl BufRead) -> Result<bool, DecodeError> {
    let start = bytes.fill_buf().map_err(DecodeError::from_io)?;
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    Ok(text.trim_ascii_start().first() == Some(&b'['))
}

fn open_bytes(
    file: File,
    format: InputFormat,
    encoding: Encoding,
    options: &Options,
) -> Result<FileReader, DecodeError> {
    let progress = Progress::new(file.metadata().map_err(DecodeError::Io)?.len());
    let counted =
        BufReader::with_capacity(256 << 10, Counted { input: file, progress: progress.clone() });
    let mut bytes: Box<dyn BufRead + Send> = match encoding {
        Encoding::Identity => Box::new(counted),
        Encoding::Gzip => Box::new(BufReader::with_capacity(
            256 << 10,
            flate2::bufread::MultiGzDecoder::new(counted),
        )),
        Encoding::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(counted).map_err(DecodeError::from_io)?;
            Box::new(BufReader::with_capacity(256 << 10, decoder))
        }
    };
    let batches: Box<dyn Iterator<Item = Result<EventBatch, DecodeError>> + Send> = match format {
        InputFormat::Json | InputFormat::Ndjson if is_array(&mut bytes)? => {
            // An array is one value, which is read as a whole.
            let text = read_up_to(bytes, MAX_DECODED_BYTES)?;
            Box::new(std::iter::once(decode_with(InputFormat::Json, &text, options)))
        }
        InputFormat::Json | InputFormat::Ndjson => Box::new(ndjson::Reader::new(bytes, options)),
        InputFormat::Csv => Box::new(csv::Reader::csv(bytes, options)?),
        InputFormat::Tsv => Box::new(csv::Reader::tsv(bytes, options)?),
        InputFormat::ArrowStream => Box::new(stream::Reader::new(bytes, options)?),
        InputFormat::Parquet => unreachable!("Parquet is read by its footer, not as a stream"),
    };
    Ok(FileReader { batches, progress, failed: false })
}

/// File that counts the bytes read from it.
struct Counted {
    input: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}
