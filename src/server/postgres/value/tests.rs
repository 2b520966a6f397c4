//! Values in both formats, compared with what PostgreSQL 15 sends for them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date64Array, Decimal64Array, DictionaryArray,
    DurationMillisecondArray, FixedSizeListArray, Float16Array, Int8Array, Int32Array,
    IntervalDayTimeArray, IntervalYearMonthArray, LargeStringArray, NullArray, RecordBatch,
    StringArray, StringViewArray, StructArray, Time32SecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalDayTime, i256};
use bytes::BytesMut;
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;

use super::encode::RowEncoder;
use super::error::ValueError;
use super::format::Format;
use super::parameter::parameter;
use super::types::{Base, described};
use super::values::Column;

/// Type, whether it is an array, text and binary form in hexadecimal: the output of, for instance,
/// `SELECT x::text, encode(numeric_send(x), 'hex')`.
const SENT: &[(Base, bool, &str, &str)] = &[
    (Base::Bool, false, "t", "01"),
    (Base::Int2, false, "-32768", "8000"),
    (Base::Int8, false, "-9223372036854775808", "8000000000000000"),
    (Base::Float8, false, "0", "0000000000000000"),
    (Base::Float8, false, "-0", "8000000000000000"),
    (Base::Float8, false, "1", "3ff0000000000000"),
    (Base::Float8, false, "-1.5", "bff8000000000000"),
    (Base::Float8, false, "100000000000000", "42d6bcc41e900000"),
    (Base::Float8, false, "1e+15", "430c6bf526340000"),
    (Base::Float8, false, "123456789012345.6", "42dc12218377de66"),
    (Base::Float8, false, "0.0001", "3f1a36e2eb1c432d"),
    (Base::Float8, false, "1e-05", "3ee4f8b588e368f1"),
    (Base::Float8, false, "1e+20", "4415af1d78b58c40"),
    (Base::Float8, false, "1.7976931348623157e+308", "7fefffffffffffff"),
    (Base::Float8, false, "5e-324", "0000000000000001"),
    (Base::Float8, false, "NaN", "7ff8000000000000"),
    (Base::Float8, false, "Infinity", "7ff0000000000000"),
    (Base::Float8, false, "-Infinity", "fff0000000000000"),
    (Base::Float8, false, "0.1", "3fb999999999999a"),
    (Base::Float8, false, "9.999999999999999e+22", "44b52d02c7e14af6"),
    (Base::Float8, false, "8.409999999999999e+21", "447c7e83209e90b2"),
    (Base::Float8, false, "9.007199254740992e+15", "4340000000000000"),
    (Base::Float8, false, "2e-07", "3e8ad7f29abcaf48"),
    (Base::Float8, false, "1.1258999068426242e+15", "4310000000000001"),
    (Base::Float8, false, "2.9802322387695312e-08", "3e60000000000000"),
    (Base::Float8, false, "562949953421312.2", "4300000000000002"),
    (Base::Float4, false, "2.0971522e+06", "4a000001"),
    (Base::Float4, false, "0.00024414062", "39800000"),
    (Base::Float4, false, "1.7600001e+11", "5223e9ac"),
    (Base::Float4, false, "0", "00000000"),
    (Base::Float4, false, "1", "3f800000"),
    (Base::Float4, false, "100000", "47c35000"),
    (Base::Float4, false, "1e+06", "49742400"),
    (Base::Float4, false, "123456.7", "47f1205a"),
    (Base::Float4, false, "1.5e-05", "377ba882"),
    (Base::Float4, false, "3.4028235e+38", "7f7fffff"),
    (Base::Float4, false, "1e-45", "00000001"),
    (Base::Float4, false, "NaN", "7fc00000"),
    (Base::Float4, false, "-Infinity", "ff800000"),
    (Base::Float4, false, "0.1", "3dcccccd"),
    (Base::Float4, false, "1.6777216e+07", "4b800000"),
    (Base::Float4, false, "3.3554432e+07", "4c000000"),
    (Base::Numeric, false, "0", "0000000000000000"),
    (Base::Numeric, false, "0.00", "0000000000000002"),
    (Base::Numeric, false, "1", "00010000000000000001"),
    (Base::Numeric, false, "-1", "00010000400000000001"),
    (Base::Numeric, false, "10000", "00010001000000000001"),
    (Base::Numeric, false, "99999999", "0002000100000000270f270f"),
    (Base::Numeric, false, "0.0001", "0001ffff000000040001"),
    (Base::Numeric, false, "0.00001", "0001fffe0000000503e8"),
    (Base::Numeric, false, "-1234567.89", "0003000140000002007b11d722c4"),
    (
        Base::Numeric,
        false,
        "12345678901234567890123456789012345678",
        "000a000900000000000c0d801ed204d2162e23340d801ed204d2162e",
    ),
    (Base::Numeric, false, "0.00000000000000000000000000000000000001", "0001fff6000000260064"),
    (Base::Numeric, false, "100.50", "000200000000000200641388"),
    (Base::Numeric, false, "0.10000000", "0001ffff0000000803e8"),
    (Base::Numeric, false, "5000000000000000000000000000000", "000100070000000001f4"),
    (
        Base::Numeric,
        false,
        "9999999999999999999999999999999999999999999999999999999999999999999999999999",
        "0013001200000000270f270f270f270f270f270f270f270f270f270f270f270f270f270f270f270f270f270f270f",
    ),
    (Base::Text, false, "", ""),
    (Base::Text, false, "é a", "c3a92061"),
    (Base::Bytea, false, "\\x", ""),
    (Base::Bytea, false, "\\x00ff5c", "00ff5c"),
    (Base::Date, false, "2000-01-01", "00000000"),
    (Base::Date, false, "1970-01-01", "ffffd533"),
    (Base::Date, false, "1999-12-31", "ffffffff"),
    (Base::Date, false, "9999-12-31", "002c95d3"),
    (Base::Date, false, "10000-01-01", "002c95d4"),
    (Base::Date, false, "5874897-12-31", "7fda970c"),
    (Base::Date, false, "0001-01-01", "fff4dbf9"),
    (Base::Date, false, "0001-12-31 BC", "fff4dbf8"),
    (Base::Date, false, "0044-03-15 BC", "fff49d7b"),
    (Base::Date, false, "4713-11-24 BC", "ffda9915"),
    (Base::Time, false, "00:00:00", "0000000000000000"),
    (Base::Time, false, "23:59:59.999999", "000000141dd75fff"),
    (Base::Time, false, "10:00:00.5", "0000000861cc0920"),
    (Base::Timestamp, false, "2000-01-01 00:00:00", "0000000000000000"),
    (Base::Timestamp, false, "1970-01-01 00:00:00", "fffca2fec4c82000"),
    (Base::Timestamp, false, "2026-11-25 10:00:00.000001", "00030415a89fc801"),
    (Base::Timestamp, false, "1969-12-31 23:59:59.99", "fffca2fec4c7f8f0"),
    (Base::Timestamp, false, "0044-03-15 12:00:00 BC", "ff1af9e8fb46d000"),
    (Base::Timestamp, false, "4713-11-24 00:00:00 BC", "fd0f9983eb0ae000"),
    (Base::Timestamptz, false, "2026-11-25 10:00:00+00", "00030415a89fc800"),
    (Base::Timestamptz, false, "2026-11-25 10:00:00.12+00", "00030415a8a19cc0"),
    (Base::Timestamptz, false, "0044-03-15 12:00:00+00 BC", "ff1af9e8fb46d000"),
    (Base::Interval, false, "00:00:00", "00000000000000000000000000000000"),
    (Base::Interval, false, "1 mon 2 days 03:04:05.5", "00000002925cf4600000000200000001"),
    (Base::Interval, false, "-1 mons", "000000000000000000000000ffffffff"),
    (Base::Interval, false, "1 year", "0000000000000000000000000000000c"),
    (
        Base::Interval,
        false,
        "-1 years -2 mons +3 days -00:00:00.5",
        "fffffffffff85ee000000003fffffff2",
    ),
    (Base::Interval, false, "1 day -00:00:01", "fffffffffff0bdc00000000100000000"),
    (Base::Interval, false, "-1 days +00:00:01", "00000000000f4240ffffffff00000000"),
    (Base::Interval, false, "100:00:00", "00000053d1ac10000000000000000000"),
    (Base::Interval, false, "11 mons", "0000000000000000000000000000000b"),
    (Base::Interval, false, "-1 days", "0000000000000000ffffffff00000000"),
    (Base::Interval, false, "2 days 00:00:00.000001", "00000000000000010000000200000000"),
    (
        Base::Interval,
        false,
        "-1 years -1 mons -1 days -25:00:00",
        "ffffffeb0b94fc00fffffffffffffff3",
    ),
    (
        Base::Int4,
        true,
        "{1,2,NULL}",
        "000000010000000100000017000000030000000100000004000000010000000400000002ffffffff",
    ),
    (Base::Int4, true, "{}", "000000000000000000000017"),
    (Base::Int4, true, "{NULL}", "0000000100000001000000170000000100000001ffffffff"),
    (
        Base::Text,
        true,
        "{\"a b\",\"\",\"null\",\"\\\"\\\\\",NULL,\"{\",é,\"x,y\",\"\t\"}",
        "00000001000000010000001900000009000000010000000361206200000000000000046e756c6c00000002225cffffffff000000017b00000002c3a900000003782c790000000109",
    ),
    (Base::Bytea, true, "{\"\\\\x00\"}", "00000001000000000000001100000001000000010000000100"),
    (
        Base::Timestamptz,
        true,
        "{\"2026-11-25 10:00:00+00\"}",
        "0000000100000000000004a000000001000000010000000800030415a89fc800",
    ),
];

/// The values of a column in a format; `None` is null.
fn put(column: &ArrayRef, format: Format) -> Result<Vec<Option<Vec<u8>>>, ValueError> {
    let (column, rows) = (Column::of(column)?, 0..column.len());
    let one = |row: usize| {
        let mut out = BytesMut::new();
        match column.is_null(row) {
            true => Ok(None),
            false => column.put(format, row, &mut out).map(|()| Some(out.to_vec())),
        }
    };
    rows.map(one).collect()
}

fn texts(column: ArrayRef) -> Vec<Option<String>> {
    let texts = put(&column, Format::Text).unwrap().into_iter();
    texts.map(|text| text.map(|text| String::from_utf8(text).unwrap())).collect()
}

fn binaries(column: ArrayRef) -> Vec<Option<String>> {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    put(&column, Format::Binary).unwrap().into_iter().map(|bytes| bytes.map(hex)).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn oid(of: Base, is_array: bool) -> u32 {
    if is_array { of.array_oid() } else { of.oid() }
}

#[test]
fn values_are_sent_and_read_as_by_postgresql() {
    for (of, is_array, text, hex) in SENT {
        let of_binary = parameter(oid(*of, *is_array), Format::Binary, Some(&bytes_of(hex)));
        let value = of_binary.unwrap();
        let column = value.to_array().unwrap();
        assert_eq!(texts(column.clone()), [Some(text.to_string())], "{of:?}");
        assert_eq!(binaries(column), [Some(hex.to_string())], "{of:?} {text}");
        // Beyond the calendar that texts are read by.
        if *text == "5874897-12-31" {
            continue;
        }
        let of_text = parameter(oid(*of, *is_array), Format::Text, Some(text.as_bytes()));
        match &value {
            ScalarValue::Float32(Some(n)) if n.is_nan() => {}
            ScalarValue::Float64(Some(n)) if n.is_nan() => {}
            value => assert_eq!(&of_text.unwrap(), value, "{of:?}"),
        }
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

#[test]
fn every_arrow_type_has_a_text() {
    let cases: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(BooleanArray::from(vec![false])), "f"),
        (Arc::new(Int8Array::from(vec![-128])), "-128"),
        (Arc::new(UInt8Array::from(vec![255])), "255"),
        (Arc::new(UInt16Array::from(vec![65_535])), "65535"),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), "4294967295"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615"),
        (Arc::new(Float16Array::from(vec![Some(Default::default())])), "0"),
        (
            Arc::new(Decimal64Array::from(vec![-5]).with_precision_and_scale(10, 3).unwrap()),
            "-0.005",
        ),
        (
            Arc::new(
                arrow::array::Decimal128Array::from(vec![12])
                    .with_precision_and_scale(5, -3)
                    .unwrap(),
            ),
            "12000",
        ),
        (
            Arc::new(
                arrow::array::Decimal256Array::from(vec![i256::MINUS_ONE])
                    .with_precision_and_scale(60, 2)
                    .unwrap(),
            ),
            "-0.01",
        ),
        (Arc::new(LargeStringArray::from(vec!["a b"])), "a b"),
        (Arc::new(StringViewArray::from(vec!["a b"])), "a b"),
        (Arc::new(BinaryViewArray::from(vec![&b"\x00\xff"[..]])), "\\x00ff"),
        (Arc::new(DictionaryArray::<Int32Type>::from_iter(["x"])), "x"),
        (Arc::new(Date64Array::from(vec![-1])), "1969-12-31"),
        (Arc::new(Time32SecondArray::from(vec![3_600])), "01:00:00"),
        (Arc::new(TimestampNanosecondArray::from(vec![-1])), "1969-12-31 23:59:59.999999"),
        (
            Arc::new(TimestampSecondArray::from(vec![0]).with_timezone("Europe/Berlin")),
            "1970-01-01 00:00:00+00",
        ),
        (Arc::new(DurationMillisecondArray::from(vec![93_600_500])), "1 day 02:00:00.5"),
        (Arc::new(DurationMillisecondArray::from(vec![-1])), "-00:00:00.001"),
        (Arc::new(IntervalYearMonthArray::from(vec![14])), "1 year 2 mons"),
        (
            Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 1_500)])),
            "1 day 00:00:01.5",
        ),
        (
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("a", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![1])) as ArrayRef,
            )])),
            "{\"a\":1}",
        ),
        (
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                [Some([Some(1), None])],
                2,
            )),
            "{1,NULL}",
        ),
    ];
    for (column, text) in cases {
        assert_eq!(texts(column.clone()), [some(text)], "{}", column.data_type());
        put(&column, Format::Binary).unwrap();
    }
    assert_eq!(texts(Arc::new(NullArray::new(2))), [None, None]);
    assert_eq!(binaries(Arc::new(NullArray::new(1))), [None]);
}

/// A list of lists of integers, as a slice that begins after another row.
fn lists(rows: &[Option<Vec<Option<Vec<i32>>>>]) -> ArrayRef {
    let mut builder =
        arrow::array::ListBuilder::new(arrow::array::ListBuilder::new(Int32Array::builder(0)));
    builder.append_value([Some([Some(9)]), Some([Some(9)])]);
    for row in rows {
        match row {
            None => builder.append(false),
            Some(lists) => {
                for list in lists {
                    match list {
                        None => builder.values().append(false),
                        Some(list) => builder.values().append_value(list.iter().map(|n| Some(*n))),
                    }
                }
                builder.append(true);
            }
        }
    }
    let lists = builder.finish().slice(1, rows.len());
    Arc::new(lists)
}

#[test]
fn a_list_of_lists_is_an_array_of_two_dimensions() {
    let rows = [
        Some(vec![Some(vec![1, 2]), Some(vec![3, 4])]),
        None,
        Some(vec![]),
        Some(vec![Some(vec![]), Some(vec![])]),
    ];
    assert_eq!(texts(lists(&rows)), [some("{{1,2},{3,4}}"), None, some("{}"), some("{}")]);
    let square = "000000020000000000000017000000020000000100000002000000010000000400000001000000040000000200000004000000030000000400000004";
    let empty = "000000000000000000000017";
    assert_eq!(binaries(lists(&rows)), [some(square), None, some(empty), some(empty)]);
    for ragged in [
        vec![Some(vec![1]), Some(vec![1, 2])],
        vec![Some(vec![1]), None],
        vec![Some(vec![1]), Some(vec![])],
    ] {
        let error = put(&lists(&[Some(ragged)]), Format::Text).unwrap_err();
        assert_eq!(error.sqlstate, "2202E");
    }
}

#[test]
fn a_time_outside_the_range_of_postgresql_is_an_error_and_the_rows_before_it_are_whole() {
    let seconds = TimestampSecondArray::from(vec![0, i64::MAX]);
    let error = put(&(Arc::new(seconds) as ArrayRef), Format::Text).unwrap_err();
    assert_eq!((error.sqlstate, error.message.contains("out of range")), ("22008", true));

    let micros = arrow::array::TimestampMicrosecondArray::from(vec![0, i64::MIN]);
    let batch = RecordBatch::try_from_iter([("a", Arc::new(micros) as ArrayRef)]).unwrap();
    for format in [Format::Text, Format::Binary] {
        let encoder = RowEncoder::new(&batch.schema(), vec![format]).unwrap();
        let (mut out, mut first) = (BytesMut::new(), BytesMut::new());
        encoder.data_rows(&batch, 0..1, &mut first).unwrap();
        let error = encoder.data_rows(&batch, 0..2, &mut out).unwrap_err();
        assert_eq!((error.sqlstate, &out), ("22008", &first));
    }
}

#[test]
fn a_row_is_its_length_the_number_of_columns_and_the_framed_values() {
    let columns: [(&str, ArrayRef); 2] = [
        ("a", Arc::new(Int32Array::from(vec![Some(7), None]))),
        ("b", Arc::new(StringArray::from(vec!["x", "yz"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let formats = Format::of_codes(&[1, 0], 2).unwrap();
    let encoder = RowEncoder::new(&batch.schema(), formats).unwrap();
    let mut out = BytesMut::new();
    encoder.data_rows(&batch, 0..2, &mut out).unwrap();
    let first = b"D\0\0\0\x13\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x";
    let second = b"D\0\0\0\x10\0\x02\xff\xff\xff\xff\0\0\0\x02yz";
    assert_eq!(out, [&first[..], &second[..]].concat());
    out.clear();
    encoder.data_rows(&batch, 1..2, &mut out).unwrap();
    assert_eq!(out, &second[..]);
}

#[test]
fn a_parameter_that_cannot_be_read_is_told_with_its_type() {
    let cases: [(Base, bool, Format, &[u8], &str); 22] = [
        (Base::Int2, false, Format::Text, b"70000", "int2: 70000 is out of range"),
        (Base::Int4, false, Format::Text, b"1.5", "int4: '1.5' is no whole number"),
        (Base::Int4, false, Format::Binary, &[0; 3], "int4: there are 3 bytes instead of 4"),
        (Base::Float8, false, Format::Text, b"1e400", "float8: 1e400 is out of range"),
        (Base::Float4, false, Format::Text, b"1e-60", "float4: 1e-60 is out of range"),
        (Base::Numeric, false, Format::Text, b"NaN", "numeric: NaN"),
        (Base::Numeric, false, Format::Text, b"1e77", "numeric: it has more than 76 digits"),
        (Base::Numeric, false, Format::Binary, &[0, 0, 0, 0, 0xC0, 0, 0, 0], "numeric: NaN"),
        (Base::Timestamp, false, Format::Text, b"infinity", "timestamp: 'infinity' is no time"),
        (Base::Timestamptz, false, Format::Binary, &[0xff; 9], "timestamptz: there are 9 bytes"),
        (
            Base::Timestamptz,
            false,
            Format::Binary,
            &i64::MAX.to_be_bytes(),
            "timestamptz: infinite times",
        ),
        (
            Base::Timestamp,
            false,
            Format::Binary,
            &(i64::MAX - 1).to_be_bytes(),
            "timestamp: the time is after",
        ),
        (Base::Date, false, Format::Binary, &i32::MAX.to_be_bytes(), "date: date out of range"),
        (Base::Time, false, Format::Text, b"24:00", "time: a day ends before"),
        (Base::Text, false, Format::Text, b"a\xff", "text: byte 1 is not UTF-8"),
        (Base::Text, false, Format::Text, b"a\0", "text: byte 1 is zero"),
        (Base::Uuid, false, Format::Text, b"12", "uuid: '12' is no UUID"),
        (Base::Json, false, Format::Text, b"{", "json: it is no JSON"),
        (Base::Bytea, false, Format::Text, b"\\x0", "bytea: \\x needs two"),
        (Base::Bool, false, Format::Text, b"o", "bool: 'o' is neither"),
        (Base::Int4, true, Format::Text, b"{1,a}", "int4[]: 'a' is no whole number"),
        (Base::Int4, true, Format::Text, b"{{1}}", "int4[]: an array in a parameter has one"),
    ];
    for (of, is_array, format, bytes, expected) in cases {
        let error = parameter(oid(of, is_array), format, Some(bytes)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(parameter(600, Format::Text, None).unwrap_err().to_string().contains("OID 600"));
}

#[test]
fn a_parameter_is_read_in_any_of_its_spellings() {
    let of = |base: Base, text: &str| parameter(base.oid(), Format::Text, Some(text.as_bytes()));
    assert_eq!(of(Base::Bool, " TRU ").unwrap(), ScalarValue::Boolean(Some(true)));
    assert_eq!(of(Base::Int8, " +5 ").unwrap(), ScalarValue::Int64(Some(5)));
    assert_eq!(of(Base::Oid, "4294967295").unwrap(), ScalarValue::Int64(Some(4_294_967_295)));
    assert_eq!(of(Base::Numeric, "1.5e3").unwrap(), ScalarValue::Decimal128(Some(1_500), 4, 0));
    assert_eq!(of(Base::Numeric, "-.050").unwrap(), ScalarValue::Decimal128(Some(-50), 3, 3));
    assert_eq!(
        of(Base::Bytea, "a\\\\\\001").unwrap(),
        ScalarValue::Binary(Some(b"a\\\x01".into()))
    );
    let uuid = of(Base::Uuid, "{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}");
    let uuid = uuid.or_else(|_| of(Base::Uuid, "A0EEBC999C0B4EF8BB6D6BB9BD380A11")).unwrap();
    assert_eq!(uuid, ScalarValue::from("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
    assert_eq!(parameter(0, Format::Text, Some(b"x")).unwrap(), ScalarValue::from("x"));
    assert_eq!(parameter(0, Format::Text, None).unwrap(), ScalarValue::Utf8(None));
    assert_eq!(parameter(705, Format::Binary, Some(b"x")).unwrap(), ScalarValue::from("x"));
    let jsonb = parameter(Base::Jsonb.oid(), Format::Binary, Some(b"\x01[1]")).unwrap();
    assert_eq!(jsonb, ScalarValue::from("[1]"));
    // The elements of a list have one precision and scale.
    let list = parameter(Base::Numeric.array_oid(), Format::Text, Some(b"{1.25,100,NULL}"));
    assert_eq!(texts(list.unwrap().to_array().unwrap()), [some("{1.25,100.00,NULL}")]);
}

/// A value of a type, of those that both sides have.
fn value(of: Base) -> BoxedStrategy<ScalarValue> {
    let us = -210_866_803_200_000_000i64..8_000_000_000_000_000_000;
    match of {
        Base::Bool => any::<bool>().prop_map(ScalarValue::from).boxed(),
        Base::Bytea => any::<Vec<u8>>().prop_map(|b| ScalarValue::Binary(Some(b))).boxed(),
        Base::Int2 => any::<i16>().prop_map(ScalarValue::from).boxed(),
        Base::Int4 => any::<i32>().prop_map(ScalarValue::from).boxed(),
        Base::Int8 => any::<i64>().prop_map(ScalarValue::from).boxed(),
        Base::Oid | Base::Xid => any::<u32>().prop_map(|n| ScalarValue::from(i64::from(n))).boxed(),
        Base::Regproc | Base::Regtype => {
            any::<u32>().prop_map(|n| ScalarValue::from(n.to_string())).boxed()
        }
        Base::Float4 => any::<f32>().prop_map(ScalarValue::from).boxed(),
        Base::Float8 => any::<f64>().prop_map(ScalarValue::from).boxed(),
        Base::Date => {
            (-2_440_588..2_400_000i32).prop_map(|day| ScalarValue::Date32(Some(day))).boxed()
        }
        Base::Time => (0..86_400_000_000i64)
            .prop_map(|us| ScalarValue::Time64Nanosecond(Some(us * 1_000)))
            .boxed(),
        Base::Timestamp => {
            us.prop_map(|us| ScalarValue::TimestampMicrosecond(Some(us), None)).boxed()
        }
        Base::Timestamptz => us
            .prop_map(|us| ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
            .boxed(),
        Base::Interval => (any::<i32>(), any::<i32>(), -(i64::MAX / 1_000)..i64::MAX / 1_000)
            .prop_map(|(months, days, us)| ScalarValue::new_interval_mdn(months, days, us * 1_000))
            .boxed(),
        Base::Numeric => (any::<i128>(), 0..=38i8)
            .prop_map(|(n, scale)| {
                let n = n % 10i128.pow(38);
                let digits = n.unsigned_abs().to_string().len().max(scale as usize).max(1);
                let precision = if n == 0 { scale.max(1) as u8 } else { digits as u8 };
                ScalarValue::Decimal128(Some(n), precision, scale)
            })
            .boxed(),
        Base::Uuid => any::<u128>()
            .prop_map(|n| ScalarValue::from(uuid::Uuid::from_u128(n).to_string()))
            .boxed(),
        Base::Json | Base::Jsonb => Just(ScalarValue::from("{\"a\": [1, null]}")).boxed(),
        _ => "[^\0]*".prop_map(ScalarValue::from).boxed(),
    }
}

/// The binary form that a client sends; jsonb, uuid and references are other than the text that they become.
fn sent(of: Base, value: &ScalarValue, format: Format) -> Vec<u8> {
    let bytes = put(&value.to_array().unwrap(), format).unwrap().remove(0).unwrap();
    match (of, format) {
        (Base::Oid | Base::Xid, Format::Binary) => bytes[4..].to_vec(),
        (Base::Regproc | Base::Regtype, Format::Binary) => {
            let text = String::from_utf8(bytes).unwrap();
            text.parse::<u32>().unwrap().to_be_bytes().to_vec()
        }
        (Base::Jsonb, Format::Binary) => [vec![1], bytes].concat(),
        (Base::Uuid, Format::Binary) => {
            let text = String::from_utf8(bytes).unwrap();
            uuid::Uuid::parse_str(&text).unwrap().as_bytes().to_vec()
        }
        _ => bytes,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_read_as_it_was_sent(
        (of, value) in prop::sample::select(Base::ALL)
            .prop_flat_map(|of| value(of).prop_map(move |value| (of, value))),
    ) {
        for format in [Format::Text, Format::Binary] {
            let bytes = sent(of, &value, format);
            let read = parameter(of.oid(), format, Some(&bytes)).unwrap();
            prop_assert_eq!(&read, &value, "{:?} {:?}", of, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn an_array_is_read_as_it_was_sent(
        (of, values) in prop::sample::select(Base::ALL).prop_flat_map(|of| {
            let values = prop::collection::vec(prop::option::of(value(of)), 0..5);
            values.prop_map(move |values| (of, values))
        }),
    ) {
        // Others have binary forms that are not those of their Arrow types, or a type for each value.
        prop_assume!(described(&of.arrow_type()).0 == of && of != Base::Numeric);
        let element = of.arrow_type();
        let null = ScalarValue::try_from(&element).unwrap();
        let values: Vec<_> = values.into_iter().map(|value| value.unwrap_or(null.clone())).collect();
        let list = ScalarValue::List(ScalarValue::new_list_nullable(&values, &element));
        for format in [Format::Text, Format::Binary] {
            let bytes = put(&list.to_array().unwrap(), format).unwrap().remove(0).unwrap();
            let read = parameter(of.array_oid(), format, Some(&bytes)).unwrap();
            prop_assert_eq!(&read, &list, "{:?} {:?}", of, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn no_bytes_make_a_parameter_panic(
        of in prop::sample::select(Base::ALL),
        is_array: bool,
        bytes in prop_oneof![
            any::<Vec<u8>>(),
            "[-+0-9.:eE {}\",\\\\xPTYMDHS]{0,24}".prop_map(String::into_bytes),
            "[0-9-]{4,9} [0-9:.]{2,9}( ?[-+a-zA-Z0-9/:]{0,8})?".prop_map(String::into_bytes),
        ],
    ) {
        for format in [Format::Text, Format::Binary] {
            if let Ok(value) = parameter(oid(of, is_array), format, Some(&bytes)) {
                let column = value.to_array().unwrap();
                _ = put(&column, Format::Text);
                _ = put(&column, Format::Binary);
            }
        }
    }
}
