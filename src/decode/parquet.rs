//! Parquet, of which only the three columns are read.

use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use super::{BATCH_EVENTS, DecodeError, arrow};
use crate::event::EventBatch;

/// The rows of a Parquet file, a record batch at a time.
pub struct Reader {
    batches: ParquetRecordBatchReader,
    /// Rows the file holds.
    pub rows: u64,
    /// Rows handed out.
    pub done: u64,
}

impl Reader {
    pub fn new(input: impl ChunkReader + 'static) -> Result<Reader, DecodeError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(malformed)?;
        let columns = arrow::column_indices(builder.schema())?;
        let projection = ProjectionMask::roots(builder.parquet_schema(), columns);
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let builder = builder.with_projection(projection).with_batch_size(BATCH_EVENTS);
        Ok(Reader { batches: builder.build().map_err(malformed)?, rows, done: 0 })
    }
}

impl Iterator for Reader {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        let first_row = self.done;
        self.done += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Some(batch.map_err(malformed).and_then(|batch| arrow::to_events(&batch, first_row)))
    }
}

fn malformed(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::malformed("Parquet", error)
}

/// Decodes a whole file into at most about `limit` bytes of columns: runs and dictionaries let a few bytes of Parquet
/// stand for any number of rows.
pub fn decode(bytes: &[u8], limit: usize) -> Result<EventBatch, DecodeError> {
    let mut all = EventBatch::new();
    let mut rows = 0;
    for batch in Reader::new(Bytes::copy_from_slice(bytes))?.batches {
        let batch = batch.map_err(malformed)?;
        arrow::append_limited(&batch, rows, &mut all, limit)?;
        rows += batch.num_rows() as u64;
    }
    Ok(all)
}
