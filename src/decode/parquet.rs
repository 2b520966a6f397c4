//! Parquet decoding. Only the columns of events are read; those that a file lacks may be given as
//! constants.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use parquet::schema::types::Type;

use super::arrow::{Columns, append_limited, to_events};
use super::constants::Constants;
use super::format::{DecodeError, rows_at_once};
use super::options::Options;
use crate::event::{EventBatch, OWN_COLUMNS};

/// Iterator over the rows of a Parquet file, a record batch at a time.
pub struct Reader {
    batches: ParquetRecordBatchReader,
    constants: Constants,
    columns: Columns,
    /// Number of rows in the file.
    pub rows: u64,
    /// Number of rows read so far.
    pub done: u64,
}

impl Reader {
    /// Creates a reader. `twin` is a second handle on the file, for the check of INT96 timestamps.
    pub fn new<I: ChunkReader + 'static>(
        input: I,
        twin: I,
        options: &Options,
    ) -> Result<Reader, DecodeError> {
        let found =
            ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()).map_err(malformed)?;
        check_single(&input, found.metadata())?;
        let constants = Constants::lacking(found.schema(), options);
        let all = Columns::find(&constants.widen(found.schema()), options)?.places;
        options.ignored.add(all.ignored);
        let places = all.own;
        if is_int96(&found, places[0]) {
            let seconds = open(twin, &found, places[0], places[..1].to_vec(), TimeUnit::Second)?;
            check_range(seconds, options)?;
        }
        // Constants have the places behind the file's own columns.
        let own = found.schema().fields().len();
        let values = all.values.iter().map(|value| value.1);
        let read = places.into_iter().chain(values).filter(|&place| place < own).collect();
        let batches = open(input, &found, places[0], read, TimeUnit::Microsecond)?;
        let mut columns = Columns::find(&constants.widen(&batches.schema()), options)?;
        columns.uuids |= column_type(&found, places[1]).is_some_and(|user| {
            user.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid)
        });
        let rows = u64::try_from(found.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Reader { batches, constants, columns, rows, done: 0 })
    }

    /// Returns the next record batch, constants included.
    fn read(&mut self) -> Option<Result<RecordBatch, DecodeError>> {
        let batch = self.batches.next()?.map_err(malformed);
        Some(batch.and_then(|batch| self.constants.append_to(batch).map_err(malformed)))
    }
}

/// Returns the type of a column in the file; `None` for the place of a constant.
fn column_type(found: &ArrowReaderMetadata, place: usize) -> Option<&Type> {
    found.parquet_schema().root_schema().get_fields().get(place).map(|field| &**field)
}

fn is_int96(found: &ArrowReaderMetadata, place: usize) -> bool {
    column_type(found, place).is_some_and(|column| {
        column.is_primitive() && column.get_physical_type() == PhysicalType::INT96
    })
}

/// Opens a reader of some columns. Texts are read as views, so that dictionary values are not
/// copied per row. INT96 is read in `unit`: the library's default, nanoseconds, overflows in the
/// year 2262.
fn open<I: ChunkReader + 'static>(
    input: I,
    found: &ArrowReaderMetadata,
    timestamp: usize,
    columns: Vec<usize>,
    unit: TimeUnit,
) -> Result<ParquetRecordBatchReader, DecodeError> {
    let is_int96 = is_int96(found, timestamp);
    let options =
        ArrowReaderOptions::new().with_schema(wanted(found.schema(), &columns, |place| {
            (place == timestamp && is_int96).then_some(DataType::Timestamp(unit, None))
        }));
    let metadata =
        ArrowReaderMetadata::try_new(found.metadata().clone(), options).map_err(malformed)?;
    let dimensions = columns.len().saturating_sub(OWN_COLUMNS);
    let projection = ProjectionMask::roots(metadata.parquet_schema(), columns);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
    let rows = rows_at_once(dimensions);
    builder.with_projection(projection).with_batch_size(rows).build().map_err(malformed)
}

/// Returns the schema in which the columns are requested from the library.
fn wanted(
    schema: &Schema,
    columns: &[usize],
    told: impl Fn(usize) -> Option<DataType>,
) -> SchemaRef {
    let slim = |place: usize, field: &Arc<Field>| match field.data_type() {
        _ if !columns.contains(&place) => None,
        _ if told(place).is_some() => told(place),
        DataType::Utf8 | DataType::LargeUtf8 => Some(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => Some(DataType::BinaryView),
        _ => None,
    };
    let fields =
        schema.fields().iter().enumerate().map(|(place, field)| match slim(place, field) {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
            None => field.clone(),
        });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Validates INT96 timestamps in seconds, which cannot overflow. In microseconds, the unit stored,
/// days from the year 292,277 on would.
fn check_range(seconds: ParquetRecordBatchReader, options: &Options) -> Result<(), DecodeError> {
    let mut rows = 0;
    for batch in seconds {
        let batch = batch.map_err(malformed)?;
        super::arrow::check_timestamps(options.timestamps, batch.column(0), rows)?;
        rows += batch.num_rows() as u64;
    }
    Ok(())
}

/// Rejects concatenated files: the last footer's offsets count from the beginning of its own file,
/// but would be applied to the first. In a single file, the data named by the footer ends at the
/// footer, so no other footer lies between.
fn check_single(input: &impl ChunkReader, metadata: &ParquetMetaData) -> Result<(), DecodeError> {
    const SEAM: &[u8] = b"PAR1PAR1";
    const WINDOW: u64 = 1 << 20;
    const TAIL_BYTES: u64 = 8;
    let tail = input.get_bytes(input.len() - TAIL_BYTES, TAIL_BYTES as usize).map_err(malformed)?;
    let footer = tail.first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let end = input.len().saturating_sub(TAIL_BYTES + footer);
    let mut start = last_named(metadata);
    while start < end {
        let length = WINDOW.min(end - start);
        let bytes = input.get_bytes(start, length as usize).map_err(malformed)?;
        if bytes.windows(SEAM.len()).any(|window| window == SEAM) {
            return Err(DecodeError::Malformed(
                "is more than one Parquet file; send one at a time".into(),
            ));
        }
        start += length.max(SEAM.len() as u64 + 1) - SEAM.len() as u64;
        if length < WINDOW {
            break;
        }
    }
    Ok(())
}

/// Returns the end offset of the last data that the footer names.
fn last_named(metadata: &ParquetMetaData) -> u64 {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, length) = column.byte_range();
        start.saturating_add(length)
    });
    ends.max().unwrap_or(4)
}

impl Iterator for Reader {
    type Item = Result<EventBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.read()?;
        let first_row = self.done;
        self.done += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Some(batch.and_then(|batch| to_events(&self.columns, &batch, first_row)))
    }
}

fn malformed(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::malformed("Parquet", error)
}

/// Decodes a whole file into at most about `limit` bytes of columns: runs and dictionaries let a
/// few bytes of Parquet stand for any number of rows.
pub fn decode(bytes: &[u8], limit: usize, options: &Options) -> Result<EventBatch, DecodeError> {
    let mut all = EventBatch::new();
    let mut rows = 0;
    let bytes = Bytes::copy_from_slice(bytes);
    let mut reader = Reader::new(bytes.clone(), bytes, options)?;
    while let Some(batch) = reader.read() {
        let batch = batch?;
        append_limited(&reader.columns, &batch, rows, &mut all, limit)?;
        rows += batch.num_rows() as u64;
    }
    Ok(all)
}
