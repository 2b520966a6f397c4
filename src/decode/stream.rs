//! Arrow IPC decoding: streams, and files (Feather), which are a stream between a magic word and a
//! footer. See <https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format>.
//!
//! A file is read as the stream it contains, from beginning to end; its footer must name as many
//! record batches as were read. Nothing may follow the end of either: two streams in one body are
//! rejected instead of one being ignored.

use std::io::{BufRead, Chain, Cursor, Read};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::root_as_footer;

use super::arrow::{Columns, append_limited, to_events};
use super::format::DecodeError;
use super::ipc;
use super::options::Options;
use crate::event::EventBatch;

/// Magic word at the beginning of a file, padded with zeros to a multiple of eight bytes, and at
/// its end.
const MAGIC: &[u8] = b"ARROW1";
const PADDED_MAGIC: &[u8] = b"ARROW1\0\0";
const PADDING: &[u8] = &[0; 8];

/// Maximum size of a footer.
const MAX_FOOTER_BYTES: u64 = 64 << 20;

/// Decodes a whole stream or file into at most about `limit` bytes of columns.
pub fn decode(bytes: &[u8], limit: usize, options: &Options) -> Result<EventBatch, DecodeError> {
    let mut stream = bytes;
    if let Some(padded) = bytes.strip_prefix(PADDED_MAGIC) {
        stream = padded;
        while let Some(rest) = stream.strip_prefix(PADDING) {
            stream = rest;
        }
    }
    ipc::check_sizes(stream, limit)?;
    let mut batches = Batches::open(bytes, options)?;
    let (mut all, mut rows) = (EventBatch::new(), 0);
    while let Some(batch) = batches.read()? {
        append_limited(&batches.columns, &batch, rows, &mut all, limit)?;
        rows += batch.num_rows() as u64;
    }
    Ok(all)
}

/// Record batches of a stream or a file.
struct Batches<R: BufRead> {
    /// Positioned after a file's magic word and padding.
    reader: StreamReader<Chain<Cursor<Vec<u8>>, R>>,
    columns: Columns,
    is_file: bool,
    done: usize,
}

impl<R: BufRead> Batches<R> {
    fn open(mut input: R, options: &Options) -> Result<Batches<R>, DecodeError> {
        let mut head = next_eight(&mut input)?;
        let is_file = head == PADDED_MAGIC;
        while is_file && (head == PADDED_MAGIC || head == PADDING) {
            head = next_eight(&mut input)?;
        }
        let reader =
            StreamReader::try_new(Cursor::new(head).chain(input), None).map_err(malformed)?;
        let columns = Columns::find(&reader.schema(), options)?;
        options.ignored.add(columns.places.ignored);
        Ok(Batches { reader, columns, is_file, done: 0 })
    }

    /// Returns the next record batch; at the end `None`, after checking that nothing is left over.
    fn read(&mut self) -> Result<Option<RecordBatch>, DecodeError> {
        match self.reader.next() {
            Some(batch) => {
                self.done += 1;
                batch.map(Some).map_err(malformed)
            }
            None => self.check_end().map(|()| None),
        }
    }

    fn check_end(&mut self) -> Result<(), DecodeError> {
        let mut rest = Vec::new();
        self.reader
            .get_mut()
            .take(MAX_FOOTER_BYTES)
            .read_to_end(&mut rest)
            .map_err(DecodeError::from_io)?;
        if !self.is_file {
            return match rest.len() {
                0 => Ok(()),
                _ => Err(DecodeError::Malformed(
                    "has bytes after the end of its Arrow stream; send one stream".into(),
                )),
            };
        }
        match batches_in_footer(&rest) {
            Some(batches) if batches == self.done => Ok(()),
            Some(batches) => {
                let reason = format!(
                    "its footer lists {batches} record batches, but the file has {}",
                    self.done
                );
                Err(DecodeError::malformed("an Arrow file", reason))
            }
            None => {
                Err(DecodeError::malformed("an Arrow file", "its footer is missing or damaged"))
            }
        }
    }
}

/// Reads the next eight bytes, or fewer at the end.
fn next_eight(input: impl Read) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    input.take(8).read_to_end(&mut bytes).map_err(DecodeError::from_io)?;
    Ok(bytes)
}

/// Parses `flatbuffer | i32 length | magic` and returns the number of record batches.
fn batches_in_footer(rest: &[u8]) -> Option<usize> {
    let (footer, length) = rest.strip_suffix(MAGIC)?.split_last_chunk::<4>()?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
    (footer.len() == length).then_some(())?;
    root_as_footer(footer)
        .ok()
        .map(|footer| footer.recordBatches().map_or(0, |batches| batches.len()))
}

/// Iterator over the events of a stream or a file, some thousands at a time.
pub struct Reader<R: BufRead> {
    batches: Batches<R>,
    /// Current record batch, and the offset of its next piece.
    current: RecordBatch,
    start: usize,
    rows: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, options: &Options) -> Result<Reader<R>, DecodeError> {
        let batches = Batches::open(input, options)?;
        let current = RecordBatch::new_empty(batches.reader.schema());
        Ok(Reader { batches, current, start: 0, rows: 0 })
    }

    fn read(&mut self) -> Result<Option<EventBatch>, DecodeError> {
        while self.start == self.current.num_rows() {
            let Some(batch) = self.batches.read()? else { return Ok(None) };
            (self.current, self.start) = (batch, 0);
        }
        let rows = self.batches.columns.rows_at_once();
        let piece = self.current.slice(self.start, rows.min(self.current.num_rows() - self.start));
        let events = to_events(&self.batches.columns, &piece, self.rows)?;
        self.start += piece.num_rows();
        self.rows += piece.num_rows() as u64;
        Ok(Some(events))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn malformed(error: ArrowError) -> DecodeError {
    match error {
        ArrowError::IoError(_, source) if source.raw_os_error().is_some() => {
            DecodeError::Io(source)
        }
        other => DecodeError::malformed("an Arrow stream", other),
    }
}
