//! The values of one column of a batch, in both of PostgreSQL's formats.
//!
//! | type | binary form |
//! | --- | --- |
//! | bool, "char" | one byte |
//! | oid and what refers to one | u32 |
//! | int2, int4, int8, float4, float8 | 2, 4 or 8 bytes, big-endian as all that follows |
//! | text, json, bytea | their bytes |
//! | date | i32: days since 2000 |
//! | time | i64: microseconds of the day |
//! | timestamp, timestamptz | i64: microseconds since 2000 |
//! | arrays | i32 dimensions, i32 whether there are nulls, u32 OID of the elements; for each dimension i32 length, i32 lower bound (1); the elements, framed |
//!
//! numeric and interval: see [`super::numeric`] and [`super::interval`]. A value is framed by its
//! length, i32, which is -1 for null.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array,
    Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, LargeStringArray,
    OffsetSizeTrait, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};

use super::calendar::{self, EPOCH_DAYS, EPOCH_US};
use super::convert;
use super::error::ValueError;
use super::float::{put_float4, put_float8};
use super::format::Format;
use super::interval::Interval;
use super::numeric::{Decimal, Digits, put_integer};
use super::quoting::quote_element;
use super::types::{Base, Vector, described, own};
use crate::query::reference_name;

/// One column of a batch.
pub struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Oid(UInt32Array),
    /// OIDs that are shown as the names of what they refer to.
    Reference(UInt32Array, Base),
    /// Texts of one byte.
    Char(StringArray),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(Decimal128Array, i8),
    WideNumeric(Decimal256Array, i8),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Bytea(BinaryArray),
    LargeBytea(LargeBinaryArray),
    ByteaView(BinaryViewArray),
    FixedBytea(FixedSizeBinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray, bool),
    Interval(IntervalMonthDayNanoArray),
    Array(Box<List>),
}

/// Arrays: of row i, the elements from `ends[i]` to `ends[i + 1]`.
struct List {
    ends: Vec<usize>,
    elements: Column,
    /// OID of the innermost elements.
    oid: u32,
    is_vector: bool,
}

impl Column {
    /// # Errors
    /// A value is outside the range of its PostgreSQL type, or has no text.
    pub fn of(column: &ArrayRef) -> Result<Column, ValueError> {
        let column = convert::plain(column)?;
        Ok(Column { nulls: column.logical_nulls(), values: Values::of(&column)? })
    }

    /// Converts a column to the type that its metadata says it has, if any.
    ///
    /// # Errors
    /// Those of [`Column::of`].
    pub fn described(field: &Field, column: &ArrayRef) -> Result<Column, ValueError> {
        let values = match (Vector::of(field), own(field), column.data_type()) {
            (Some(of), ..) => vector(of, column)?,
            (_, Some((base, is_array)), of) if of == field.data_type() => match is_array {
                true => array(base, column)?,
                false => Values::own(base, column)?,
            },
            _ => return Column::of(column),
        };
        Ok(Column { nulls: column.logical_nulls(), values })
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a value that is not null, without a frame.
    pub fn put(&self, format: Format, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        match format {
            Format::Text => self.values.put_text(row, out),
            Format::Binary => self.values.put_binary(row, out),
        }
    }

    /// Appends a value, framed.
    pub fn put_framed(
        &self,
        format: Format,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), ValueError> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        self.put(format, row, out)?;
        set_length(out, start, start + 4)
    }
}

/// Writes the number of bytes since `from` at `at`.
pub fn set_length(out: &mut BytesMut, at: usize, from: usize) -> Result<(), ValueError> {
    let length = i32::try_from(out.len() - from).map_err(|_| ValueError::too_long("a value"))?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

impl Values {
    /// The column must be of an Arrow type that [`own`] allows for the type.
    fn own(base: Base, column: &ArrayRef) -> Result<Values, ValueError> {
        Ok(match base {
            Base::Oid | Base::Xid => Values::Oid(column.as_primitive().clone()),
            Base::Regproc | Base::Regtype => Values::Reference(column.as_primitive().clone(), base),
            Base::Char => match column.as_string_opt::<i32>() {
                Some(texts) => Values::Char(texts.clone()),
                None => Values::Char(convert::text(column)?.as_string().clone()),
            },
            _ => Values::of(&convert::plain(column)?)?,
        })
    }

    /// The column must be of a type that [`convert::plain`] returns.
    fn of(column: &ArrayRef) -> Result<Values, ValueError> {
        use DataType::*;
        Ok(match column.data_type() {
            Null => Values::Null,
            Boolean => Values::Bool(column.as_boolean().clone()),
            Int16 => Values::Int2(column.as_primitive().clone()),
            Int32 => Values::Int4(column.as_primitive().clone()),
            UInt32 => Values::Oid(column.as_primitive().clone()),
            Int64 => Values::Int8(column.as_primitive().clone()),
            Float32 => Values::Float4(column.as_primitive().clone()),
            Float64 => Values::Float8(column.as_primitive().clone()),
            Decimal128(_, scale) => Values::Numeric(column.as_primitive().clone(), *scale),
            Decimal256(_, scale) => Values::WideNumeric(column.as_primitive().clone(), *scale),
            Utf8 => Values::Text(column.as_string().clone()),
            LargeUtf8 => Values::LargeText(column.as_string().clone()),
            Utf8View => Values::TextView(column.as_string_view().clone()),
            Binary => Values::Bytea(column.as_binary().clone()),
            LargeBinary => Values::LargeBytea(column.as_binary().clone()),
            BinaryView => Values::ByteaView(column.as_binary_view().clone()),
            FixedSizeBinary(_) => Values::FixedBytea(column.as_fixed_size_binary().clone()),
            Date32 => Values::Date(column.as_primitive().clone()),
            Time64(_) => Values::Time(column.as_primitive().clone()),
            Timestamp(_, zone) => Values::Timestamp(column.as_primitive().clone(), zone.is_some()),
            Interval(_) => Values::Interval(column.as_primitive().clone()),
            List(_) | LargeList(_) | FixedSizeList(..) => Values::Array(Box::new(list(column)?)),
            other => {
                let text = format!("{other} has no form in PostgreSQL; cast the column to text");
                return Err(ValueError::new("0A000", text));
            }
        })
    }

    fn put_text(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        match self {
            Values::Null => {}
            Values::Bool(values) => out.put_u8(if values.value(row) { b't' } else { b'f' }),
            Values::Int2(values) => put_integer(out, values.value(row).into()),
            Values::Int4(values) => put_integer(out, values.value(row).into()),
            Values::Int8(values) => put_integer(out, values.value(row)),
            Values::Oid(values) => put_integer(out, values.value(row).into()),
            Values::Reference(values, of) => {
                out.put_slice(reference_name(of.oid(), values.value(row)).as_bytes());
            }
            Values::Float4(values) => put_float4(out, values.value(row)),
            Values::Float8(values) => put_float8(out, values.value(row)),
            Values::Numeric(values, scale) => narrow(values, *scale, row).put_text(out),
            Values::WideNumeric(values, scale) => wide(values, *scale, row).put_text(out),
            Values::Date(_) => calendar::put_date(out, self.date(row)?),
            Values::Time(_) => calendar::put_clock(out, self.microsecond(row)?),
            Values::Timestamp(_, has_zone) => {
                calendar::put_timestamp(out, self.microsecond(row)?, *has_zone)
            }
            Values::Interval(values) => interval(values, row).put_text(out),
            Values::Bytea(_)
            | Values::LargeBytea(_)
            | Values::ByteaView(_)
            | Values::FixedBytea(_) => put_hex(out, self.bytes(row)),
            Values::Char(_) | Values::Text(_) | Values::LargeText(_) | Values::TextView(_) => {
                out.put_slice(self.bytes(row));
            }
            Values::Array(list) => list.put_text(row, out)?,
        }
        Ok(())
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        match self {
            Values::Null => {}
            Values::Bool(values) => out.put_u8(values.value(row).into()),
            Values::Int2(values) => out.put_i16(values.value(row)),
            Values::Int4(values) => out.put_i32(values.value(row)),
            Values::Int8(values) => out.put_i64(values.value(row)),
            Values::Oid(values) | Values::Reference(values, _) => out.put_u32(values.value(row)),
            // None is the byte zero.
            Values::Char(values) if values.value(row).is_empty() => out.put_u8(0),
            Values::Float4(values) => out.put_f32(values.value(row)),
            Values::Float8(values) => out.put_f64(values.value(row)),
            Values::Numeric(values, scale) => narrow(values, *scale, row).put_binary(out),
            Values::WideNumeric(values, scale) => wide(values, *scale, row).put_binary(out),
            Values::Date(_) => out.put_i32((self.date(row)? - EPOCH_DAYS) as i32),
            Values::Time(_) => out.put_i64(self.microsecond(row)?),
            Values::Timestamp(..) => out.put_i64(self.microsecond(row)? - EPOCH_US),
            Values::Interval(values) => interval(values, row).put_binary(out),
            Values::Array(list) => list.put_binary(row, out)?,
            _ => out.put_slice(self.bytes(row)),
        }
        Ok(())
    }

    /// The bytes of a text or of a bytea.
    fn bytes(&self, row: usize) -> &[u8] {
        match self {
            Values::Char(values) | Values::Text(values) => values.value(row).as_bytes(),
            Values::LargeText(values) => values.value(row).as_bytes(),
            Values::TextView(values) => values.value(row).as_bytes(),
            Values::Bytea(values) => values.value(row),
            Values::LargeBytea(values) => values.value(row),
            Values::ByteaView(values) => values.value(row),
            Values::FixedBytea(values) => values.value(row),
            _ => &[],
        }
    }

    fn date(&self, row: usize) -> Result<i64, ValueError> {
        match self {
            Values::Date(values) => calendar::checked_date(values.value(row).into()),
            _ => Ok(0),
        }
    }

    /// The number of a time of day or of a timestamp.
    fn microsecond(&self, row: usize) -> Result<i64, ValueError> {
        match self {
            Values::Time(values) => calendar::checked_clock(values.value(row)),
            Values::Timestamp(values, _) => calendar::checked_timestamp(values.value(row)),
            _ => Ok(0),
        }
    }
}

fn narrow(values: &Decimal128Array, scale: i8, row: usize) -> Decimal {
    let value = values.value(row);
    Decimal { is_negative: value < 0, digits: Digits::of(value.unsigned_abs()), scale }
}

fn wide(values: &Decimal256Array, scale: i8, row: usize) -> Decimal {
    let value = values.value(row);
    Decimal { is_negative: value.is_negative(), digits: Digits::of_i256(value), scale }
}

fn interval(values: &IntervalMonthDayNanoArray, row: usize) -> Interval {
    let value = values.value(row);
    Interval { months: value.months, days: value.days, us: value.nanoseconds / 1_000 }
}

/// Appends bytes as `\x` and two digits for each.
fn put_hex(out: &mut BytesMut, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * bytes.len());
    out.put_slice(b"\\x");
    for byte in bytes {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Converts a column of lists.
fn list(column: &ArrayRef) -> Result<List, ValueError> {
    let (ends, elements) = match column.data_type() {
        DataType::List(_) => ends::<i32>(column),
        DataType::LargeList(_) => ends::<i64>(column),
        _ => {
            let lists = column.as_fixed_size_list();
            let (size, first) = (lists.value_length() as usize, lists.value_offset(0) as usize);
            let elements = lists.values().slice(first, size * lists.len());
            ((0..=lists.len()).map(|row| row * size).collect(), elements)
        }
    };
    let oid = described(column.data_type()).0.oid();
    Ok(List { ends, elements: Column::of(&elements)?, oid, is_vector: false })
}

/// Converts a column of lists of a type of its own.
fn array(of: Base, column: &ArrayRef) -> Result<Values, ValueError> {
    let (ends, elements) = ends::<i32>(column);
    let values = Values::own(of, &elements)?;
    let elements = Column { nulls: elements.logical_nulls(), values };
    Ok(Values::Array(Box::new(List { ends, elements, oid: of.oid(), is_vector: false })))
}

/// Converts a column of vectors.
fn vector(of: Vector, column: &ArrayRef) -> Result<Values, ValueError> {
    let list = match of {
        Vector::Int2 => list(column)?,
        Vector::Oid => match array(of.element(), column)? {
            Values::Array(list) => *list,
            _ => list(column)?,
        },
    };
    Ok(Values::Array(Box::new(List { is_vector: true, ..list })))
}

impl List {
    fn range(&self, row: usize) -> Range<usize> {
        self.ends[row]..self.ends[row + 1]
    }

    /// Returns the length of each dimension; none if the array has no elements.
    fn dimensions(&self, row: usize) -> Result<Vec<usize>, ValueError> {
        let range = self.range(row);
        let Values::Array(inner) = &self.elements.values else {
            return Ok(if range.is_empty() { Vec::new() } else { vec![range.len()] });
        };
        let (count, mut dimensions) = (range.len(), None);
        for element in range {
            let lengths = match self.elements.is_null(element) {
                true => None,
                false => Some(inner.dimensions(element)?),
            };
            if lengths.is_none()
                || dimensions.as_ref().is_some_and(|first| Some(first) != lengths.as_ref())
            {
                return Err(ValueError::new(
                    "2202E",
                    "the lists of a list differ in length or are null, and an array of PostgreSQL has one length in each dimension; cast the column to text, or unnest it",
                ));
            }
            dimensions = lengths;
        }
        let inner = dimensions.unwrap_or_default();
        Ok(if inner.is_empty() { inner } else { [vec![count], inner].concat() })
    }

    fn put_text(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        if self.is_vector {
            return self.put_vector(row, out);
        }
        if self.dimensions(row)?.is_empty() {
            out.put_slice(b"{}");
            return Ok(());
        }
        self.put_elements(row, out)
    }

    fn put_vector(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        let range = self.range(row);
        let first = range.start;
        for element in range {
            if element > first {
                out.put_u8(b' ');
            }
            self.elements.values.put_text(element, out)?;
        }
        Ok(())
    }

    fn put_elements(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        let range = self.range(row);
        let first = range.start;
        out.put_u8(b'{');
        for element in range {
            if element > first {
                out.put_u8(b',');
            }
            if let Values::Array(inner) = &self.elements.values {
                inner.put_elements(element, out)?;
            } else if self.elements.is_null(element) {
                out.put_slice(b"NULL");
            } else {
                let start = out.len();
                self.elements.values.put_text(element, out)?;
                quote_element(out, start);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<(), ValueError> {
        let dimensions = self.dimensions(row)?;
        let (leaves, range) = self.leaves(self.range(row));
        let range = if dimensions.is_empty() { 0..0 } else { range };
        let lower_bound = if self.is_vector { 0 } else { 1 };
        let has_nulls = range.clone().any(|element| leaves.is_null(element));
        out.put_i32(dimensions.len() as i32);
        out.put_i32(has_nulls.into());
        out.put_u32(self.oid);
        for length in dimensions {
            out.put_i32(length as i32);
            out.put_i32(lower_bound);
        }
        range.into_iter().try_for_each(|element| leaves.put_framed(Format::Binary, element, out))
    }

    /// Returns the innermost elements, and which of them belong to these of the list. Those of
    /// neighbours are neighbours.
    fn leaves(&self, range: Range<usize>) -> (&Column, Range<usize>) {
        match &self.elements.values {
            Values::Array(inner) => inner.leaves(inner.ends[range.start]..inner.ends[range.end]),
            _ => (&self.elements, range),
        }
    }
}

/// Returns the ends of lists and their elements, without those before the first and after the last.
fn ends<O: OffsetSizeTrait>(column: &ArrayRef) -> (Vec<usize>, ArrayRef) {
    let lists = column.as_list::<O>();
    let offsets = lists.value_offsets();
    let first = offsets[0].as_usize();
    let ends: Vec<usize> = offsets.iter().map(|offset| offset.as_usize() - first).collect();
    let elements = lists.values().slice(first, ends[ends.len() - 1]);
    (ends, elements)
}
