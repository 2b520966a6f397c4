//! Conversion of columns to types that a format supports, with the same values.
//!
//! [`written`] returns the target type, or the type that is not supported; [`convert`] converts the
//! column:
//!
//! | type | JSON, CSV | Parquet | Arrow |
//! | --- | --- | --- | --- |
//! | dictionaries | their values | their values | as they are |
//! | runs | their values | their values | their values: Polars does not support runs |
//! | instants, dates, times | RFC 3339 | in milliseconds if coarser, since Parquet has no seconds | as they are |
//! | durations, intervals | ISO 8601; `1 mons 2 days` | a number of units; not supported | as they are |
//! | decimals of a negative scale | whole numbers | whole numbers | whole numbers: DuckDB and Polars do not support them |
//! | lists, structs, maps | JSON; in CSV, as a text | as they are | as they are |
//! | unions | not supported | not supported | as they are |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray, MapArray,
    OffsetSizeTrait, StringArray, StringBuilder, StructArray,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::names::unique;

/// The set of values that a format can represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// JSON values.
    Json,
    /// One text per value.
    Text,
    Parquet,
    Arrow,
}

/// Returns the type in which a column of type `of` is written, or the nested type that is not
/// supported.
pub fn written(shape: Shape, of: &DataType) -> Result<DataType, DataType> {
    use DataType::*;
    let field = |field: &FieldRef| written(shape, field.data_type()).map(|to| retyped(field, to));
    Ok(match of {
        Dictionary(..) | Union(..) if shape == Shape::Arrow => of.clone(),
        Dictionary(_, values) => written(shape, values)?,
        RunEndEncoded(_, values) => written(shape, values.data_type())?,
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale)
        | Decimal256(precision, scale)
            if *scale < 0 =>
        {
            match precision.saturating_add(scale.unsigned_abs()) {
                digits @ ..=DECIMAL128_MAX_PRECISION => Decimal128(digits, 0),
                digits @ ..=DECIMAL256_MAX_PRECISION => Decimal256(digits, 0),
                _ => return Err(of.clone()),
            }
        }
        Timestamp(TimeUnit::Second, zone) if shape == Shape::Parquet => {
            Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        Date64 if shape == Shape::Parquet => Timestamp(TimeUnit::Millisecond, None),
        Time32(TimeUnit::Second) if shape == Shape::Parquet => Time32(TimeUnit::Millisecond),
        Interval(_) if shape == Shape::Parquet => return Err(of.clone()),
        // List views are written as ordinary lists.
        ListView(of) if shape == Shape::Parquet => List(field(of)?),
        LargeListView(of) if shape == Shape::Parquet => LargeList(field(of)?),
        Union(..) => return Err(of.clone()),
        of if shape == Shape::Text && of.is_nested() => written(Shape::Json, of).map(|_| Utf8)?,
        List(of) => List(field(of)?),
        LargeList(of) => LargeList(field(of)?),
        ListView(of) => ListView(field(of)?),
        LargeListView(of) => LargeListView(field(of)?),
        FixedSizeList(of, size) => FixedSizeList(field(of)?, *size),
        Struct(of) => {
            let names = unique(of.iter().map(|field| field.name()), shape == Shape::Parquet);
            let named = |(of, name): (&FieldRef, String)| {
                if *of.name() == name {
                    field(of)
                } else {
                    field(of).map(|field| Arc::new(Field::clone(&field).with_name(name)))
                }
            };
            Struct(of.iter().zip(names).map(named).collect::<Result<Fields, _>>()?)
        }
        Map(entries, sorted) => Map(map_entries(shape, entries)?, *sorted),
        of if matches!(shape, Shape::Json | Shape::Text) && of.is_temporal() => Utf8,
        of => of.clone(),
    })
}

/// Converts the entries of a map; JSON object keys must be texts.
fn map_entries(shape: Shape, entries: &FieldRef) -> Result<FieldRef, DataType> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(entries.data_type().clone());
    };
    let [key, value] = &fields[..] else { return Err(entries.data_type().clone()) };
    let key_type = match written(shape, key.data_type())? {
        key if key.is_nested() => return Err(entries.data_type().clone()),
        _ if shape == Shape::Json => DataType::Utf8,
        key => key,
    };
    let value_type = written(shape, value.data_type())?;
    let fields = Fields::from(vec![retyped(key, key_type), retyped(value, value_type)]);
    Ok(retyped(entries, DataType::Struct(fields)))
}

fn retyped(field: &FieldRef, to: DataType) -> FieldRef {
    if *field.data_type() == to {
        field.clone()
    } else {
        Arc::new(Field::clone(field).with_data_type(to))
    }
}

/// Converts the column to `to`, as returned by [`written`].
///
/// # Errors
/// Fails if a value cannot be represented: an instant beyond the years that a text can name, a
/// decimal with too many digits.
pub fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    use DataType::*;
    if column.data_type() == to {
        return Ok(column.clone());
    }
    let nulls = column.nulls().cloned();
    Ok(match (column.data_type(), to) {
        (Dictionary(..), _) => {
            let dictionary = column.as_any_dictionary();
            convert(&take(dictionary.values(), dictionary.keys(), None)?, to)?
        }
        (RunEndEncoded(_, values), _) => convert(&exactly(column, values.data_type())?, to)?,
        (from, Utf8) if from.is_nested() => Arc::new(json_texts(column)?),
        (from, Utf8) if !from.is_string() => Arc::new(texts(column)?),
        (Struct(_), Struct(fields)) => {
            let columns = column.as_struct().columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| convert(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                column.len(),
            )?)
        }
        (List(_), List(of)) => list::<i32>(column, of)?,
        (LargeList(_), LargeList(of)) => list::<i64>(column, of)?,
        (ListView(_), ListView(of)) => list_view::<i32>(column, of)?,
        (LargeListView(_), LargeListView(of)) => list_view::<i64>(column, of)?,
        (ListView(from), List(_)) => convert(&exactly(column, &List(from.clone()))?, to)?,
        (LargeListView(from), LargeList(_)) => {
            convert(&exactly(column, &LargeList(from.clone()))?, to)?
        }
        (FixedSizeList(..), FixedSizeList(of, size)) => {
            let values = convert(column.as_fixed_size_list().values(), of.data_type())?;
            Arc::new(FixedSizeListArray::try_new(of.clone(), *size, values, nulls)?)
        }
        (Map(..), Map(of, sorted)) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = convert(&entries, of.data_type())?.as_struct().clone();
            Arc::new(MapArray::try_new(of.clone(), map.offsets().clone(), entries, nulls, *sorted)?)
        }
        _ => exactly(column, to)?,
    })
}

fn list<O: OffsetSizeTrait>(column: &ArrayRef, of: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = column.as_list::<O>();
    let values = convert(list.values(), of.data_type())?;
    Ok(Arc::new(GenericListArray::try_new(
        of.clone(),
        list.offsets().clone(),
        values,
        list.nulls().cloned(),
    )?))
}

fn list_view<O: OffsetSizeTrait>(column: &ArrayRef, of: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = column.as_list_view::<O>();
    let values = convert(list.values(), of.data_type())?;
    let (offsets, sizes) = (list.offsets().clone(), list.sizes().clone());
    Ok(Arc::new(GenericListViewArray::try_new(
        of.clone(),
        offsets,
        sizes,
        values,
        list.nulls().cloned(),
    )?))
}

/// Casts, and fails instead of turning an unrepresentable value into null.
fn exactly(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(
        column,
        to,
        &CastOptions { safe: false, format_options: FormatOptions::default() },
    )
}

/// Formats each value as Arrow displays it.
fn texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default().with_display_error(false);
    let (formatter, nulls) = (ArrayFormatter::try_new(column, &options)?, column.logical_nulls());
    let mut texts = StringBuilder::with_capacity(column.len(), 0);
    for i in 0..column.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            texts.append_null()
        } else {
            formatter
                .value(i)
                .write(&mut texts)
                .map_err(|error| ArrowError::CastError(error.to_string()))?;
            texts.append_value("");
        }
    }
    Ok(texts.finish())
}

/// Formats each value as JSON text.
fn json_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let no_json = |of: DataType| ArrowError::JsonError(format!("{of} has no form in JSON"));
    let column = convert(column, &written(Shape::Json, column.data_type()).map_err(no_json)?)?;
    let field = Arc::new(Field::new("", column.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, &column, &options)?;
    let (mut texts, mut bytes) = (StringBuilder::with_capacity(column.len(), 0), Vec::new());
    for i in 0..column.len() {
        if encoder.is_null(i) {
            texts.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(i, &mut bytes);
        texts.append_value(std::str::from_utf8(&bytes).expect("JSON is UTF-8"));
    }
    Ok(texts.finish())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListViewArray, MapBuilder,
        RunArray, StringViewArray, TimestampSecondArray, UnionArray,
    };
    use arrow::datatypes::{Int32Type, Int64Type, UnionFields};

    use super::*;

    fn json(column: ArrayRef) -> Vec<Option<String>> {
        json_texts(&column).unwrap().iter().map(|text| text.map(String::from)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    /// Covers types that no SQL statement here produces, so no end-to-end test reaches them.
    #[test]
    fn what_no_statement_makes_is_written_too() {
        let bytes = FixedSizeBinaryArray::try_from_iter([b"ab", b"cd"].iter()).unwrap();
        assert_eq!(json(Arc::new(bytes)), [some("\"6162\""), some("\"6364\"")]);

        let runs = RunArray::try_new(
            &Int32Array::from(vec![2, 3]),
            &StringViewArray::from(vec![Some("a"), None]),
        );
        let runs: ArrayRef = Arc::new(runs.unwrap());
        for shape in [Shape::Json, Shape::Text, Shape::Parquet, Shape::Arrow] {
            let plain = convert(&runs, &written(shape, runs.data_type()).unwrap()).unwrap();
            assert_eq!(
                plain.as_string_view().iter().collect::<Vec<_>>(),
                [Some("a"), Some("a"), None]
            );
        }

        let mut map =
            MapBuilder::new(None, Int64Array::builder(2), TimestampSecondArray::builder(2));
        map.keys().append_value(7);
        map.values().append_value(1);
        map.append(true).unwrap();
        map.append(false).unwrap();
        let map: ArrayRef = Arc::new(map.finish());
        assert_eq!(json(map.clone()), [some("{\"7\":\"1970-01-01T00:00:01\"}"), None]);
        let parquet = convert(&map, &written(Shape::Parquet, map.data_type()).unwrap()).unwrap();
        assert_eq!(parquet.as_map().keys().as_primitive::<Int64Type>().values(), &[7]);

        let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
            [Some([Some(1), None]), None],
            2,
        );
        assert_eq!(json(Arc::new(pairs)), [some("[1,null]"), None]);

        // In a list view, elements may be in any order.
        let item = Arc::new(Field::new("item", DataType::Int32, true));
        let values = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let views =
            ListViewArray::try_new(item, vec![1, 0].into(), vec![2, 1].into(), values, None)
                .unwrap();
        let views: ArrayRef = Arc::new(views);
        assert_eq!(json(views.clone()), [some("[2,3]"), some("[1]")]);
        let lists = convert(&views, &written(Shape::Parquet, views.data_type()).unwrap()).unwrap();
        assert_eq!(json(lists), json(views));
    }

    #[test]
    fn a_dictionary_may_have_nulls_on_either_side() {
        let (keys, values) = (
            Int32Array::from(vec![Some(0), None, Some(1)]),
            StringViewArray::from(vec![Some("a"), None]),
        );
        let column: ArrayRef = Arc::new(arrow::array::DictionaryArray::new(keys, Arc::new(values)));
        assert_eq!(json(column), [some("\"a\""), None, None]);
    }

    #[test]
    fn what_a_format_has_nothing_for_is_told_by_its_type() {
        let fields = UnionFields::try_new([0], [Field::new("a", DataType::Int32, true)]).unwrap();
        let union = UnionArray::try_new(
            fields,
            vec![0].into(),
            None,
            vec![Arc::new(Int32Array::from(vec![1]))],
        )
        .unwrap();
        let list = DataType::List(Arc::new(Field::new("item", union.data_type().clone(), true)));
        for shape in [Shape::Json, Shape::Text, Shape::Parquet] {
            assert_eq!(written(shape, &list).as_ref(), Err(union.data_type()));
        }
        assert_eq!(written(Shape::Arrow, &list), Ok(list));
        let digits = DataType::Decimal256(76, -1);
        assert_eq!(written(Shape::Json, &digits), Err(digits.clone()));
    }

    #[test]
    fn a_value_that_has_no_text_is_an_error() {
        let instants: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        assert!(convert(&instants, &DataType::Utf8).is_err());
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\xff"[..]]));
        assert_eq!(convert(&bytes, &DataType::Utf8).unwrap().as_string::<i32>().value(0), "ff");
    }
}
