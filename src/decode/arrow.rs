//! Record batches, and the Arrow IPC stream that carries them. Columns are decoded whole, each by the code of its type,
//! so that no row asks what type it is.

use arrow::array::{Array, ArrayAccessor, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use std::io::Read;

use super::{BATCH_EVENTS, DecodeError};
use crate::event::{
    EventBatch, EventKind, Rejection, check_event, check_timestamp_ms, check_timestamp_us, check_user, parse_timestamp,
};

/// The first row of a column that cannot be stored, counted from 0 in its batch.
type BadCell = (usize, Rejection);

/// Decodes a whole IPC stream into at most about `limit` bytes of columns.
pub fn decode_stream(bytes: &[u8], limit: usize) -> Result<EventBatch, DecodeError> {
    super::ipc::check_sizes(bytes, limit)?;
    let mut all = EventBatch::new();
    let mut rows = 0;
    for batch in open_stream(bytes)? {
        let batch = batch.map_err(malformed)?;
        append_limited(&batch, rows, &mut all, limit)?;
        rows += batch.num_rows() as u64;
    }
    Ok(all)
}

/// The batches of an IPC stream, at most [`BATCH_EVENTS`] events each.
pub fn stream_batches(
    input: impl Read + Send,
) -> Result<impl Iterator<Item = Result<EventBatch, DecodeError>> + Send, DecodeError> {
    let mut rows = 0;
    Ok(open_stream(input)?.flat_map(move |batch| {
        let first_row = rows;
        rows += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        split(batch.map_err(malformed), first_row)
    }))
}

fn split(
    batch: Result<RecordBatch, DecodeError>,
    first_row: u64,
) -> impl Iterator<Item = Result<EventBatch, DecodeError>> {
    let (batch, error) = match batch {
        Ok(batch) => (Some(batch), None),
        Err(error) => (None, Some(Err(error))),
    };
    let pieces = batch.into_iter().flat_map(move |batch| {
        (0..batch.num_rows()).step_by(BATCH_EVENTS).map(move |start| {
            let piece = batch.slice(start, BATCH_EVENTS.min(batch.num_rows() - start));
            to_events(&piece, first_row + start as u64)
        })
    });
    pieces.chain(error)
}

fn open_stream<R: Read>(input: R) -> Result<StreamReader<R>, DecodeError> {
    let reader = StreamReader::try_new(input, None).map_err(malformed)?;
    column_indices(&reader.schema())?;
    Ok(reader)
}

fn malformed(error: ArrowError) -> DecodeError {
    match error {
        ArrowError::IoError(_, source) if source.raw_os_error().is_some() => DecodeError::Io(source),
        other => DecodeError::malformed("an Arrow stream", other),
    }
}

/// Appends the rows of `batch` slice by slice, so that what a dictionary or a view repeats is never spread out further
/// than one slice beyond `limit` bytes.
pub fn append_limited(
    batch: &RecordBatch,
    first_row: u64,
    all: &mut EventBatch,
    limit: usize,
) -> Result<(), DecodeError> {
    for start in (0..batch.num_rows()).step_by(BATCH_EVENTS) {
        let slice = batch.slice(start, BATCH_EVENTS.min(batch.num_rows() - start));
        append(&slice, first_row + start as u64, all)?;
        if all.byte_len() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
    }
    Ok(())
}

/// One record batch as events.
pub fn to_events(batch: &RecordBatch, first_row: u64) -> Result<EventBatch, DecodeError> {
    let mut events = EventBatch::with_capacity(batch.num_rows(), batch.num_rows() * 8);
    append(batch, first_row, &mut events)?;
    Ok(events)
}

/// Where the schema puts timestamp, user and event.
pub fn column_indices(schema: &Schema) -> Result<[usize; 3], DecodeError> {
    let find = |names: &[&str]| {
        let mut places = (0..schema.fields().len()).filter(|&i| names.contains(&schema.field(i).name().as_str()));
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (None, _) => Err(DecodeError::Malformed(format!("has no column {}", names.join(" or ")))),
            (Some(_), Some(_)) => Err(DecodeError::Malformed(format!("has the column {} twice", names.join(" or ")))),
        }
    };
    Ok([find(&["timestamp"])?, find(&["user", "user_id"])?, find(&["event"])?])
}

/// Appends the rows of `batch`, the first of which is row `first_row` of its input, counted from 0.
fn append(batch: &RecordBatch, first_row: u64, out: &mut EventBatch) -> Result<(), DecodeError> {
    let [timestamp, user, event] = column_indices(batch.schema_ref())?;
    let user = strings("user", batch.column(user))?;
    let event = strings("event", batch.column(event))?;
    let timestamps_us = timestamps(batch.column(timestamp))?;
    let kinds = no_nulls("event", &event).and_then(|()| with_strings(&event, Kinds));
    let users = no_nulls("user", &user).and_then(|()| with_strings(&user, CheckUsers));
    match (timestamps_us, users, kinds) {
        (Ok(timestamps_us), Ok(()), Ok(kinds)) => {
            with_strings(&user, Push { timestamps_us: &timestamps_us, kinds: &kinds, out });
            Ok(())
        }
        (timestamps_us, users, kinds) => {
            let bad = [timestamps_us.err(), users.err(), kinds.err()];
            let (row, rejection) = bad.into_iter().flatten().min_by_key(|bad| bad.0).expect("one column is bad");
            Err(DecodeError::bad_row(first_row + row as u64 + 1, &rejection))
        }
    }
}

fn no_nulls(parameter: &'static str, column: &dyn Array) -> Result<(), BadCell> {
    match (0..column.len()).find(|&row| column.null_count() > 0 && column.is_null(row)) {
        Some(row) => Err((row, Rejection::new(parameter, "must not be null"))),
        None => Ok(()),
    }
}

/// The column with its dictionary, if it has one, resolved, and of one of the three string types.
fn strings(parameter: &'static str, column: &dyn Array) -> Result<arrow::array::ArrayRef, DecodeError> {
    match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(column.slice(0, column.len())),
        DataType::Dictionary(_, values)
            if matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) =>
        {
            cast(column, values).map_err(malformed)
        }
        other => Err(DecodeError::Malformed(format!("the column {parameter} must be text, but is {other}"))),
    }
}

/// Work over a column of text, compiled once for each string type.
trait OverStrings {
    type Output;
    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output;
}

fn with_strings<W: OverStrings>(column: &dyn Array, work: W) -> W::Output {
    match column.data_type() {
        DataType::Utf8 => work.run(column.as_string::<i32>()),
        DataType::LargeUtf8 => work.run(column.as_string::<i64>()),
        DataType::Utf8View => work.run(column.as_string_view()),
        other => unreachable!("strings() lets no {other} through"),
    }
}

struct Kinds;

impl OverStrings for Kinds {
    type Output = Result<Vec<EventKind>, BadCell>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len()).map(|row| check_event(column.value(row)).map_err(|rejection| (row, rejection))).collect()
    }
}

struct CheckUsers;

impl OverStrings for CheckUsers {
    type Output = Result<(), BadCell>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len())
            .try_for_each(|row| check_user(column.value(row)).map(drop).map_err(|rejection| (row, rejection)))
    }
}

struct Push<'b> {
    timestamps_us: &'b [i64],
    kinds: &'b [EventKind],
    out: &'b mut EventBatch,
}

impl OverStrings for Push<'_> {
    type Output = ();

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, users: S) {
        for (row, (&timestamp_us, &kind)) in self.timestamps_us.iter().zip(self.kinds).enumerate() {
            self.out.push(timestamp_us, users.value(row), kind);
        }
    }
}

/// The column in microseconds. An Arrow timestamp counts from the epoch in UTC whatever zone it is shown in; one
/// without a zone is taken as UTC.
#[allow(clippy::type_complexity)] // the outer error is the column's, the inner one a row's
fn timestamps(column: &dyn Array) -> Result<Result<Vec<i64>, BadCell>, DecodeError> {
    if let Err(bad) = no_nulls("timestamp", column) {
        return Ok(Err(bad));
    }
    Ok(match column.data_type() {
        DataType::Int8 => each(column.as_primitive::<Int8Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::Int16 => each(column.as_primitive::<Int16Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::Int32 => each(column.as_primitive::<Int32Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::Int64 => each(column.as_primitive::<Int64Type>(), check_timestamp_ms),
        DataType::UInt8 => each(column.as_primitive::<UInt8Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::UInt16 => each(column.as_primitive::<UInt16Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::UInt32 => each(column.as_primitive::<UInt32Type>(), |ms| check_timestamp_ms(ms.into())),
        DataType::UInt64 => {
            each(column.as_primitive::<UInt64Type>(), |ms| check_timestamp_ms(i64::try_from(ms).unwrap_or(i64::MAX)))
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            each(column.as_primitive::<TimestampSecondType>(), |s| check_timestamp_us(s.saturating_mul(1_000_000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            each(column.as_primitive::<TimestampMillisecondType>(), check_timestamp_ms)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each(column.as_primitive::<TimestampMicrosecondType>(), check_timestamp_us)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            each(column.as_primitive::<TimestampNanosecondType>(), |ns| check_timestamp_us(ns.div_euclid(1000)))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => with_strings(column, TimestampTexts),
        other => {
            let wanted = "must be whole milliseconds, an Arrow timestamp or RFC 3339 text";
            return Err(DecodeError::Malformed(format!("the column timestamp {wanted}, but is {other}")));
        }
    })
}

fn each<T: ArrowPrimitiveType>(
    column: &PrimitiveArray<T>,
    check: impl Fn(T::Native) -> Result<i64, Rejection>,
) -> Result<Vec<i64>, BadCell> {
    let checked = column.values().iter().enumerate();
    checked.map(|(row, &value)| check(value).map_err(|rejection| (row, rejection))).collect()
}

struct TimestampTexts;

impl OverStrings for TimestampTexts {
    type Output = Result<Vec<i64>, BadCell>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len()).map(|row| parse_timestamp(column.value(row)).map_err(|rejection| (row, rejection))).collect()
    }
}
