//! Arrow decoding: record batches, as they come from IPC streams, IPC files and Parquet. Columns
//! are decoded as a whole, by code specific to their type, so that no row dispatches on a type.

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, AsArray, PrimitiveArray, RecordBatch, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, Field, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use uuid::Uuid;

use super::columns::{COLUMNS, Places};
use super::format::{DecodeError, rows_at_once};
use super::options::Options;
use crate::event::{
    EventBatch, EventKind, EventSchema, MAX_USER_BYTES, Rejection, TimestampRules, check_user,
    check_value, shown_bytes,
};

/// Row of the first invalid value of a column, counted from 0 in its batch, and the reason.
type BadCell = (usize, Rejection);

/// Decoded column, or its first invalid value.
type Cells<T> = Result<T, BadCell>;

/// Positions of the three columns in a schema, and how they are read.
#[derive(Clone, Debug)]
pub struct Columns {
    pub places: Places,
    schema: EventSchema,
    /// Whether users are UUIDs stored as sixteen bytes.
    pub uuids: bool,
    timestamps: TimestampRules,
}

impl Columns {
    pub fn find(schema: &Schema, options: &Options) -> Result<Columns, DecodeError> {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let places =
            options.columns.find(&options.schema, names).map_err(DecodeError::Malformed)?;
        let extension = schema.field(places.own[1]).extension_type_name();
        Ok(Columns {
            places,
            schema: options.schema.clone(),
            uuids: extension == Some("arrow.uuid"),
            timestamps: options.timestamps,
        })
    }

    /// Returns the number of rows that are decoded at a time.
    pub fn rows_at_once(&self) -> usize {
        rows_at_once(self.places.values.len())
    }

    /// Reads the columns of dimensions as text, nulls included; numbers and booleans become their
    /// texts.
    fn values(
        &self,
        batch: &RecordBatch,
    ) -> Result<Cells<Vec<(usize, StringViewArray)>>, DecodeError> {
        let mut columns = Vec::new();
        for &(dimension, place) in &self.places.values {
            let name = &self.schema.dimensions()[dimension];
            let spread = spread_out(batch.column(place)).transpose()?;
            let column = spread.as_ref().unwrap_or(batch.column(place));
            let texts = match column.data_type() {
                // The cast turns bytes that are not UTF-8 into nulls.
                DataType::Binary | DataType::LargeBinary => {
                    converted(&converted(column, &DataType::BinaryView)?, &DataType::Utf8View)?
                }
                of if is_text_like(of) => converted(column, &DataType::Utf8View)?,
                of => {
                    return Err(DecodeError::Malformed(format!(
                        "keeps the column {name} as {of}; it must be text, a whole or decimal \
                        number, or a boolean"
                    )));
                }
            };
            let texts = texts.as_string_view().clone();
            let nulls = column.logical_nulls();
            let rejected = |row, reason| Ok(Err((row, Rejection::new(name.clone(), reason))));
            for row in 0..texts.len() {
                if texts.is_null(row) && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    return rejected(row, "must be UTF-8".into());
                }
                if texts.is_valid(row)
                    && let Err(reason) = check_value(texts.value(row))
                {
                    return rejected(row, reason);
                }
            }
            columns.push((dimension, texts));
        }
        Ok(Ok(columns))
    }
}

/// Appends the rows of `batch` slice by slice, so that values repeated by a dictionary or a view
/// are expanded at most one slice beyond `limit` bytes. The batch's first row is row `first_row` of
/// the input, counted from 0.
pub fn append_limited(
    columns: &Columns,
    batch: &RecordBatch,
    first_row: u64,
    all: &mut EventBatch,
    limit: usize,
) -> Result<(), DecodeError> {
    let rows = columns.rows_at_once();
    for start in (0..batch.num_rows()).step_by(rows) {
        let slice = batch.slice(start, rows.min(batch.num_rows() - start));
        append(columns, &slice, first_row + start as u64, all)?;
        if all.byte_len() > limit {
            return Err(DecodeError::TooLarge { limit });
        }
    }
    Ok(())
}

/// Converts a record batch to events.
pub fn to_events(
    columns: &Columns,
    batch: &RecordBatch,
    first_row: u64,
) -> Result<EventBatch, DecodeError> {
    let mut events = EventBatch::with_capacity(batch.num_rows(), batch.num_rows() * 8);
    append(columns, batch, first_row, &mut events)?;
    Ok(events)
}

fn append(
    columns: &Columns,
    batch: &RecordBatch,
    first_row: u64,
    out: &mut EventBatch,
) -> Result<(), DecodeError> {
    let [timestamp, user, event] = columns.places.own.map(|place| batch.column(place));
    let users = if columns.uuids { uuids(user)? } else { users(user)? };
    let kinds =
        texts(COLUMNS[2], event)?.and_then(|event| with_strings(&event, Kinds(&columns.schema)));
    let users = users.and_then(|users| with_strings(&users, CheckUsers).map(|()| users));
    match (timestamps(columns.timestamps, timestamp)?, users, kinds) {
        (Ok(timestamps_us), Ok(users), Ok(kinds)) => {
            let values = columns.values(batch);
            let values = values?
                .map_err(|(row, fault)| DecodeError::bad_row(first_row + row as u64 + 1, &fault))?;
            let push = Push { timestamps_us: &timestamps_us, kinds: &kinds, values: &values, out };
            with_strings(&users, push);
            Ok(())
        }
        (timestamps_us, users, kinds) => {
            let bad = [timestamps_us.err(), users.err(), kinds.err()];
            let (row, rejection) =
                bad.into_iter().flatten().min_by_key(|bad| bad.0).expect("one column is bad");
            Err(DecodeError::bad_row(first_row + row as u64 + 1, &rejection))
        }
    }
}

/// Reports whether the values of a type have one text, whatever the format: floats and times do
/// not.
fn is_text_like(of: &DataType) -> bool {
    let is_other = matches!(of, DataType::Boolean | DataType::BinaryView | DataType::Null);
    is_other || of.is_string() || of.is_integer() || of.is_decimal()
}

fn no_nulls(parameter: &'static str, column: &dyn Array) -> Cells<()> {
    match (0..column.len()).find(|&row| column.null_count() > 0 && column.is_null(row)) {
        Some(row) => Err((row, Rejection::new(parameter, "must not be null"))),
        None => Ok(()),
    }
}

fn converted(column: &dyn Array, to: &DataType) -> Result<ArrayRef, DecodeError> {
    cast(column, to).map_err(|error| DecodeError::Malformed(format!("cannot be read: {error}")))
}

/// Expands a dictionary or run-end encoded column; `None` for any other. Texts are expanded as
/// views, so a text shared by a million rows is not copied a million times.
fn spread_out(column: &dyn Array) -> Option<Result<ArrayRef, DecodeError>> {
    let slim = |values: &DataType| match values {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    };
    match column.data_type() {
        DataType::Dictionary(_, values) => Some(converted(column, &slim(values))),
        DataType::RunEndEncoded(ends, values) => {
            let slim = slim(values.data_type());
            let slim_runs = Field::new(values.name(), slim.clone(), values.is_nullable());
            let runs = converted(column, &DataType::RunEndEncoded(ends.clone(), slim_runs.into()));
            Some(runs.and_then(|runs| converted(&runs, &slim)))
        }
        _ => None,
    }
}

/// Converts a column to one of the three string types, without nulls.
fn texts(parameter: &'static str, column: &dyn Array) -> Result<Cells<ArrayRef>, DecodeError> {
    if let Some(values) = spread_out(column) {
        return texts(parameter, &values?);
    }
    if let Err(bad) = no_nulls(parameter, column) {
        return Ok(Err(bad));
    }
    let bytes = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            return Ok(Ok(column.slice(0, column.len())));
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            converted(column, &DataType::BinaryView)?
        }
        DataType::FixedSizeBinary(width) if *width as usize <= MAX_USER_BYTES => {
            converted(column, &DataType::BinaryView)?
        }
        other => {
            return Err(DecodeError::Malformed(format!(
                "keeps the column {parameter} as {other}; it must be text"
            )));
        }
    };
    // The cast turns bytes that are not UTF-8 into nulls.
    let text = converted(&bytes, &DataType::Utf8View)?;
    Ok(match (0..text.len()).find(|&row| text.null_count() > 0 && text.is_null(row)) {
        Some(row) => {
            let found = shown_bytes(bytes.as_binary_view().value(row));
            Err((row, Rejection::new(parameter, format!("must be UTF-8; found {found}"))))
        }
        None => Ok(text),
    })
}

/// Reads users as text; whole numbers become their decimal digits, as in CSV.
fn users(column: &dyn Array) -> Result<Cells<ArrayRef>, DecodeError> {
    let numbers = |of: &DataType| of.is_integer() || (of.is_decimal() && scale(of) == 0);
    if let Some(values) = spread_out(column) {
        return users(&values?);
    }
    match column.data_type() {
        of if numbers(of) => {
            Ok(no_nulls(COLUMNS[1], column).and(Ok(converted(column, &DataType::Utf8)?)))
        }
        _ => texts(COLUMNS[1], column),
    }
}

fn scale(decimal: &DataType) -> i8 {
    match decimal {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// Formats UUIDs that are stored as bytes.
fn uuids(column: &dyn Array) -> Result<Cells<ArrayRef>, DecodeError> {
    if let Some(values) = spread_out(column) {
        return uuids(&values?);
    }
    if *column.data_type() != DataType::FixedSizeBinary(16) {
        return texts(COLUMNS[1], column);
    }
    let column = column.as_fixed_size_binary();
    let text =
        |bytes: &[u8]| Uuid::from_slice(bytes).expect("sixteen bytes").hyphenated().to_string();
    Ok(no_nulls(COLUMNS[1], column).map(|()| {
        let texts = (0..column.len()).map(|row| Some(text(column.value(row))));
        std::sync::Arc::new(texts.collect::<StringViewArray>()) as ArrayRef
    }))
}

/// Work over a string column, compiled once for each string type.
trait OverStrings {
    type Output;
    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output;
}

fn with_strings<W: OverStrings>(column: &dyn Array, work: W) -> W::Output {
    match column.data_type() {
        DataType::Utf8 => work.run(column.as_string::<i32>()),
        DataType::LargeUtf8 => work.run(column.as_string::<i64>()),
        DataType::Utf8View => work.run(column.as_string_view()),
        other => unreachable!("texts() lets no {other} through"),
    }
}

struct Kinds<'s>(&'s EventSchema);

impl OverStrings for Kinds<'_> {
    type Output = Cells<Vec<EventKind>>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len())
            .map(|row| self.0.check_event(column.value(row)).map_err(|rejection| (row, rejection)))
            .collect()
    }
}

struct CheckUsers;

impl OverStrings for CheckUsers {
    type Output = Cells<()>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len()).try_for_each(|row| {
            check_user(column.value(row)).map(drop).map_err(|rejection| (row, rejection))
        })
    }
}

struct Push<'b> {
    timestamps_us: &'b [i64],
    kinds: &'b [EventKind],
    /// Dimensions by index, with their values.
    values: &'b [(usize, StringViewArray)],
    out: &'b mut EventBatch,
}

impl OverStrings for Push<'_> {
    type Output = ();

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, users: S) {
        for (row, (&timestamp_us, &kind)) in self.timestamps_us.iter().zip(self.kinds).enumerate() {
            self.out.push(timestamp_us, users.value(row), kind);
            for (dimension, values) in self.values {
                if values.is_valid(row) {
                    self.out.set_value(*dimension, values.value(row));
                }
            }
        }
    }
}

/// Reads the column in microseconds. An Arrow timestamp counts from the epoch in UTC, regardless of
/// its display zone; without a zone it is taken as UTC. A date is rejected: all events of a day
/// would fall into its first hour.
fn timestamps(rules: TimestampRules, column: &dyn Array) -> Result<Cells<Vec<i64>>, DecodeError> {
    if let Some(values) = spread_out(column) {
        return timestamps(rules, &values?);
    }
    if let Err(bad) = no_nulls(COLUMNS[0], column) {
        return Ok(Err(bad));
    }
    let number = |number: i64| rules.number(number);
    let us = |us: i64| rules.microseconds(us);
    Ok(match column.data_type() {
        DataType::Int8 => each(column.as_primitive::<Int8Type>(), |n| number(n.into())),
        DataType::Int16 => each(column.as_primitive::<Int16Type>(), |n| number(n.into())),
        DataType::Int32 => each(column.as_primitive::<Int32Type>(), |n| number(n.into())),
        DataType::Int64 => each(column.as_primitive::<Int64Type>(), number),
        DataType::UInt8 => each(column.as_primitive::<UInt8Type>(), |n| number(n.into())),
        DataType::UInt16 => each(column.as_primitive::<UInt16Type>(), |n| number(n.into())),
        DataType::UInt32 => each(column.as_primitive::<UInt32Type>(), |n| number(n.into())),
        DataType::UInt64 => each(column.as_primitive::<UInt64Type>(), |n| {
            number(i64::try_from(n).unwrap_or(i64::MAX))
        }),
        DataType::Float64 => each(column.as_primitive::<Float64Type>(), |n| rules.float(n)),
        DataType::Decimal32(..) => decimals::<Decimal32Type>(rules, column),
        DataType::Decimal64(..) => decimals::<Decimal64Type>(rules, column),
        DataType::Decimal128(..) => decimals::<Decimal128Type>(rules, column),
        DataType::Decimal256(..) => decimals::<Decimal256Type>(rules, column),
        DataType::Timestamp(TimeUnit::Second, _) => {
            each(column.as_primitive::<TimestampSecondType>(), |s| us(s.saturating_mul(1_000_000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            each(column.as_primitive::<TimestampMillisecondType>(), |ms| {
                us(ms.saturating_mul(1_000))
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each(column.as_primitive::<TimestampMicrosecondType>(), us)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            each(column.as_primitive::<TimestampNanosecondType>(), |ns| us(ns.div_euclid(1_000)))
        }
        DataType::Boolean | DataType::Null | DataType::Float16 | DataType::Float32 => {
            return Err(no_timestamp(column));
        }
        of if of.is_temporal() || of.is_nested() => return Err(no_timestamp(column)),
        _ => texts(COLUMNS[0], column)?
            .and_then(|column| with_strings(&column, TimestampTexts(rules))),
    })
}

/// Validates a column of timestamps. Its first row is row `first_row` of the input, counted from 0.
pub fn check_timestamps(
    rules: TimestampRules,
    column: &dyn Array,
    first_row: u64,
) -> Result<(), DecodeError> {
    let checked = timestamps(rules, column)?;
    checked
        .map(drop)
        .map_err(|(row, rejection)| DecodeError::bad_row(first_row + row as u64 + 1, &rejection))
}

fn no_timestamp(column: &dyn Array) -> DecodeError {
    let wanted = "it must be numbers, timestamps or RFC 3339 text";
    DecodeError::Malformed(format!(
        "keeps the column timestamp as {}; {wanted}",
        column.data_type()
    ))
}

fn each<T: ArrowPrimitiveType>(
    column: &PrimitiveArray<T>,
    check: impl Fn(T::Native) -> Result<i64, Rejection>,
) -> Cells<Vec<i64>> {
    let checked = column.values().iter().enumerate();
    checked.map(|(row, &value)| check(value).map_err(|rejection| (row, rejection))).collect()
}

fn decimals<T: DecimalType>(rules: TimestampRules, column: &dyn Array) -> Cells<Vec<i64>> {
    let column = column.as_primitive::<T>();
    let check =
        |row| rules.text(&column.value_as_string(row)).map_err(|rejection| (row, rejection));
    (0..column.len()).map(check).collect()
}

struct TimestampTexts(TimestampRules);

impl OverStrings for TimestampTexts {
    type Output = Cells<Vec<i64>>;

    fn run<'a, S: ArrayAccessor<Item = &'a str>>(self, column: S) -> Self::Output {
        (0..column.len())
            .map(|row| self.0.text(column.value(row)).map_err(|rejection| (row, rejection)))
            .collect()
    }
}
