//! Arrow and Parquet: every representation of text, numbers and time.

use std::sync::Arc;

use ::arrow::array::*;
use ::arrow::compute::cast;
use ::arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};

use super::events;
use crate::decode::{BATCH_EVENTS, DecodeError, InputFormat, decode};
use crate::event::{EventBatch, EventKind, EventSchema};

/// Encodes a record batch with the columns as a stream.
fn stream(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer =
        ::arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn three(timestamp: ArrayRef, user: ArrayRef, event: ArrayRef) -> Result<EventBatch, String> {
    let bytes = stream(&[("event", event), ("timestamp", timestamp), ("user_id", user)]);
    decode(InputFormat::ArrowStream, &bytes).map_err(|error| error.to_string())
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn whole(values: &[i64], data_type: &DataType) -> ArrayRef {
    cast(&Int64Array::from(values.to_vec()), data_type).unwrap()
}

#[test]
fn every_arrow_integer_is_milliseconds() {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    for data_type in [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64] {
        let batch =
            three(whole(&[0, 100], &data_type), text(&["a", "b"]), text(&["click", "impression"]));
        let wanted = events(&[(0, "a", EventKind::CLICK), (100_000, "b", EventKind::IMPRESSION)]);
        assert_eq!(batch, Ok(wanted), "{data_type}");
    }
}

#[test]
fn an_arrow_timestamp_counts_in_its_unit_whatever_its_zone() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    for (unit, value) in
        [(Second, 5), (Millisecond, 5_000), (Microsecond, 5_000_000), (Nanosecond, 5_000_000_999)]
    {
        for zone in [None, Some("UTC".into()), Some("+05:30".into()), Some("Europe/Paris".into())] {
            let data_type = DataType::Timestamp(unit, zone);
            let array = whole(&[value], &DataType::Timestamp(unit, None));
            let array =
                array.to_data().into_builder().data_type(data_type.clone()).build().unwrap();
            let batch = three(make_array(array), text(&["a"]), text(&["click"]));
            assert_eq!(batch, Ok(events(&[(5_000_000, "a", EventKind::CLICK)])), "{data_type}");
        }
    }
}

#[test]
fn every_arrow_text_is_read_as_user_event_and_timestamp() {
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    let plain = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    let wanted = events(&[
        (1_000, "a", EventKind::CLICK),
        (2_000, "a name that is long", EventKind::IMPRESSION),
    ]);
    for data_type in plain
        .clone()
        .into_iter()
        .chain([dictionary(DataType::Utf8), dictionary(DataType::LargeUtf8)])
    {
        let timestamp = cast(&text(&["1", "1970-01-01T00:00:00.002Z"]), &plain[0]).unwrap();
        let user = cast(&text(&["a", "a name that is long"]), &data_type).unwrap();
        let event = cast(&text(&["click", "impression"]), &data_type).unwrap();
        assert_eq!(three(timestamp, user, event).as_ref(), Ok(&wanted), "{data_type}");
    }
}

#[test]
fn every_way_that_arrow_keeps_text_and_numbers_is_read() {
    use DataType::{
        Binary, BinaryView, Decimal32, Decimal64, Decimal128, Decimal256, Float64, Int32, Int64,
        LargeBinary, Utf8,
    };
    let dictionary = |values| DataType::Dictionary(Box::new(Int32), Box::new(values));
    let runs = |values| {
        DataType::RunEndEncoded(
            Field::new("run_ends", Int32, false).into(),
            Field::new("values", values, true).into(),
        )
    };
    let wanted = events(&[
        (1_000, "17", EventKind::CLICK),
        (1_000, "17", EventKind::CLICK),
        (2_000, "18", EventKind::CLICK),
    ]);
    let times =
        [Int64, Float64, Decimal32(6, 1), Decimal64(9, 2), Decimal128(20, 3), Decimal256(40, 0)];
    let times = times.map(|of| whole(&[1, 1, 2], &of));
    let texts = [Binary, LargeBinary, BinaryView, Utf8]
        .map(|of| cast(&text(&["17", "17", "18"]), &of).unwrap());
    let fixed: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter([b"17", b"17", b"18"].into_iter()).unwrap());
    let ids =
        [DataType::Int8, DataType::UInt64, Decimal128(5, 0)].map(|of| whole(&[17, 17, 18], &of));
    let clicks = || text(&["click"; 3]);
    let wrapped = |array: &ArrayRef| {
        let of = array.data_type().clone();
        [
            array.clone(),
            cast(array, &dictionary(of.clone())).unwrap_or(array.clone()),
            cast(array, &runs(of)).unwrap_or(array.clone()),
        ]
    };
    for time in times.iter().flat_map(wrapped) {
        assert_eq!(
            three(time.clone(), text(&["17", "17", "18"]), clicks()),
            Ok(wanted.clone()),
            "{}",
            time.data_type()
        );
    }
    for user in texts.iter().chain(&ids).chain([&fixed]).flat_map(wrapped) {
        assert_eq!(
            three(times[0].clone(), user.clone(), clicks()),
            Ok(wanted.clone()),
            "{}",
            user.data_type()
        );
    }
    for kinds in [Binary, LargeBinary, BinaryView, Utf8]
        .iter()
        .flat_map(|of| wrapped(&cast(&clicks(), of).unwrap()))
    {
        let of = kinds.data_type().clone();
        assert_eq!(three(times[0].clone(), texts[0].clone(), kinds), Ok(wanted.clone()), "{of}");
    }
}

#[test]
fn what_arrow_keeps_and_no_event_has_is_told() {
    let row =
        |timestamp: ArrayRef, user: ArrayRef| three(timestamp, user, text(&["click"])).unwrap_err();
    let one = || whole(&[1], &DataType::Int64);
    let float: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    assert!(
        row(float.clone(), text(&["a"]))
            .starts_with("row 1: timestamp: must be whole milliseconds")
    );
    assert_eq!(row(one(), float), "keeps the column user as Float64; it must be text");
    let half: ArrayRef =
        cast(&StringArray::from(vec!["1.5"]), &DataType::Decimal128(5, 1)).unwrap();
    assert!(
        row(half.clone(), text(&["a"])).starts_with("row 1: timestamp: must be whole milliseconds")
    );
    assert_eq!(row(one(), half), "keeps the column user as Decimal128(5, 1); it must be text");
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&b"a\xff"[..]]));
    assert_eq!(row(one(), bytes), r#"row 1: user: must be UTF-8; found "a\xff""#);
    for (unit, value) in [
        (TimeUnit::Second, i64::MAX),
        (TimeUnit::Millisecond, i64::MAX),
        (TimeUnit::Nanosecond, i64::MIN),
    ] {
        let error = row(whole(&[value], &DataType::Timestamp(unit, None)), text(&["a"]));
        assert!(error.starts_with("row 1: timestamp: must not lie "), "{error}");
    }
    for of in [
        DataType::Date32,
        DataType::Date64,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(TimeUnit::Second),
    ] {
        let of_days = cast(&Int32Array::from(vec![1]), &of).or_else(|_| cast(&one(), &of)).unwrap();
        assert!(row(of_days, text(&["a"])).starts_with("keeps the column timestamp as "), "{of}");
    }
}

/// Regression: INT96 was read as 64-bit nanoseconds, so that the year 2600 was stored as 2015, and
/// other years were rejected as before 1970. It is now read as microseconds, and days outside their
/// range are rejected.
#[test]
fn int96_of_any_year_is_its_own_time_or_refused() {
    use ::parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
    let file = |day: i64, nanoseconds: u64| {
        let schema = "message s { required int96 timestamp; required binary user (UTF8); required binary event (ENUM); }";
        let schema = Arc::new(::parquet::schema::parser::parse_message_type(schema).unwrap());
        let mut writer = ::parquet::file::writer::SerializedFileWriter::new(
            Vec::new(),
            schema,
            Default::default(),
        )
        .unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut time = Int96::new();
        time.set_data(nanoseconds as u32, (nanoseconds >> 32) as u32, (day + 2_440_588) as u32);
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int96Type>().write_batch(&[time], None, None).unwrap();
        column.close().unwrap();
        for value in ["a", "click"] {
            let mut column = group.next_column().unwrap().unwrap();
            column
                .typed::<ByteArrayType>()
                .write_batch(&[ByteArray::from(value)], None, None)
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.into_inner().unwrap()
    };
    let read = |day, nanoseconds| {
        decode(InputFormat::Parquet, &file(day, nanoseconds))
            .map(|batch| batch.get(0).timestamp_us)
            .map_err(|error| error.to_string())
    };
    let day_us = 86_400_000_000;
    for day in [0, 1, 18_262, 230_000, 2_932_896] {
        assert_eq!(read(day, 16_384_000_999), Ok(day * day_us + 16_384_000), "day {day}");
    }
    // The last is a day whose microseconds overflow to the year 2554.
    for day in [-1, 2_932_897, 106_751_992, i64::from(i32::MAX) - 2_440_588, 213_503_982 + 213_400]
    {
        assert!(
            read(day, 0).unwrap_err().starts_with("row 1: timestamp: must not lie "),
            "day {day}"
        );
    }
}

#[test]
fn the_first_bad_row_of_an_arrow_batch_is_named_whichever_column_it_lies_in() {
    let ok = || {
        (
            whole(&[1, 2, 3], &DataType::Int64),
            text(&["a", "b", "c"]),
            text(&["click", "click", "click"]),
        )
    };
    let null_text =
        || -> ArrayRef { Arc::new(StringArray::from(vec![Some("click"), None, Some("click")])) };
    let (timestamp, user, event) = ok();
    assert_eq!(three(timestamp, null_text(), event), Err("row 2: user: must not be null".into()));
    let (_, user_, event) = ok();
    let early = whole(&[1, 2, -3], &DataType::Int64);
    assert_eq!(
        three(early.clone(), user_, event),
        Err("row 3: timestamp: must not lie before 1970-01-01T00:00:00Z; found 1969-12-31T23:59:59.997Z".into())
    );
    let buys = text(&["click", "buy", "click"]);
    assert_eq!(
        three(early, user, buys),
        Err("row 2: event: must be click or impression; found \"buy\"".into())
    );
    let (_, user, event) = ok();
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), Some(2)]));
    assert_eq!(three(null, user, event), Err("row 1: timestamp: must not be null".into()));
    let mut keys = StringDictionaryBuilder::<Int32Type>::new();
    keys.append_value("a");
    keys.append_null();
    keys.append_value("a");
    let (timestamp, _, event) = ok();
    assert_eq!(
        three(timestamp, Arc::new(keys.finish()), event),
        Err("row 2: user: must not be null".into())
    );
}

#[test]
fn a_column_of_another_type_or_none_is_refused() {
    let day: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let wanted =
        "keeps the column timestamp as Date32; it must be numbers, timestamps or RFC 3339 text";
    assert_eq!(three(day.clone(), text(&["a"]), text(&["click"])), Err(wanted.into()));
    let user = "keeps the column user as Date32; it must be text";
    assert_eq!(three(whole(&[1], &DataType::Int64), day, text(&["click"])), Err(user.into()));
    let missing = decode(InputFormat::ArrowStream, &stream(&[("user", text(&["a"]))])).unwrap_err();
    assert!(
        missing.to_string().starts_with("has no column timestamp; found \"user\"; "),
        "{missing}"
    );
}

#[test]
fn rows_are_counted_through_all_batches_of_a_stream() {
    let mut all = EventBatch::new();
    let rows = BATCH_EVENTS as i64 + 10;
    (0..rows).for_each(|i| all.push(i, "a", EventKind::CLICK));
    let kinds: StringArray =
        (0..rows).map(|i| Some(if i == rows - 1 { "buy" } else { "click" })).collect();
    let users: StringArray = (0..rows).map(|_| Some("a")).collect();
    let bad = three(whole(all.timestamps_us(), &DataType::Int64), Arc::new(users), Arc::new(kinds));
    assert_eq!(bad, Err(format!("row {rows}: event: must be click or impression; found \"buy\"")));
    let bytes = crate::encode::arrow_stream(&EventSchema::default(), &all).unwrap();
    assert_eq!(decode(InputFormat::ArrowStream, &bytes).unwrap(), all);
}

#[test]
fn what_is_not_the_format_is_malformed_and_never_a_panic() {
    for format in [InputFormat::ArrowStream, InputFormat::Parquet] {
        for bytes in [
            &b""[..],
            b"timestamp,user,event\n",
            b"\xff\xff\xff\xff\xff\xff\xff\x7f0000",
            b"PAR1PAR1PAR1",
        ] {
            assert!(
                matches!(decode(format, bytes), Err(DecodeError::Malformed(_))),
                "{format:?} {bytes:?}"
            );
        }
    }
}

#[test]
fn damaged_parquet_is_refused_and_never_a_panic() {
    let mut batch = EventBatch::new();
    (0..1000).for_each(|i| batch.push(i, &format!("user{}", i % 50), EventKind::CLICK));
    let batch = crate::encode::record_batch(&EventSchema::default(), &batch);
    let zstd = ::parquet::basic::Compression::ZSTD(Default::default());
    for compression in [::parquet::basic::Compression::UNCOMPRESSED, zstd] {
        let properties = ::parquet::file::properties::WriterProperties::builder()
            .set_compression(compression)
            .build();
        let mut writer =
            ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))
                .unwrap();
        writer.write(&batch).unwrap();
        let file = writer.into_inner().unwrap();
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x55;
            let _ = decode(InputFormat::Parquet, &flipped);
            let _ = decode(InputFormat::Parquet, &file[..at]);
        }
    }
}
