use std::io::Write;
use std::sync::Arc;

use ::arrow::array::*;
use ::arrow::compute::cast;
use ::arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};

use super::*;
use crate::event::{Event, EventKind};

fn events(rows: &[(i64, &str, EventKind)]) -> EventBatch {
    let mut batch = EventBatch::new();
    rows.iter().for_each(|&(timestamp_us, user, kind)| batch.push(timestamp_us, user, kind));
    batch
}

fn ndjson(text: &str) -> Result<EventBatch, String> {
    decode(Format::Ndjson, text.as_bytes()).map_err(|error| error.to_string())
}

fn csv(text: &str) -> Result<EventBatch, String> {
    decode(Format::Csv, text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn ndjson_is_read_with_either_name_of_the_user_and_blank_lines_between() {
    let text = "\u{feff}{\"user\":\"ana\",\"timestamp\":10032342000,\"event\":\"click\",\"page\":{\"a\":[1]}}\r\n\n  \n\
                {\"user_id\":\"Zo\\u00eb\",\"event\":\"impression\",\"timestamp\":\"1970-04-27T02:45:42Z\"}";
    let same = 10_032_342_000_000;
    assert_eq!(ndjson(text), Ok(events(&[(same, "ana", EventKind::Click), (same, "Zoë", EventKind::Impression)])));
}

#[test]
fn a_bad_line_of_ndjson_is_named_with_its_reason() {
    let row =
        |row: &str| ndjson(&format!("{{\"timestamp\":1,\"user\":\"a\",\"event\":\"click\"}}\n\n{row}")).unwrap_err();
    let when = "timestamp: must be whole milliseconds since 1970 or RFC 3339, such as 2020-01-01T00:00:00Z";
    for (text, reason) in [
        (r#"{"timestamp":1,"user":"a","event":"buy"}"#, "event: must be click or impression"),
        (r#"{"timestamp":1,"user":"","event":"click"}"#, "user: must not be empty"),
        (r#"{"timestamp":-1,"user":"a","event":"click"}"#, "timestamp: must not lie before 1970-01-01T00:00:00Z"),
        (r#"{"timestamp":1.5,"user":"a","event":"click"}"#, when),
        (r#"{"timestamp":"noon","user":"a","event":"click"}"#, when),
        (r#"{"timestamp":1,"event":"click"}"#, "missing field `user`"),
        (r#"{"timestamp":1,"user":null,"event":"click"}"#, "invalid type: null, expected a string for user"),
        (r#"{"timestamp":1,"user":"a","user_id":"b","event":"click"}"#, "duplicate field `user`"),
        (r#"{"timestamp":1,"user":"a""#, "EOF while parsing an object at column 25"),
        (r#"{"timestamp":1,"user":"a","event":"click"} x"#, "trailing characters at column 44"),
    ] {
        assert_eq!(row(text), format!("line 3: {reason}"), "{text}");
    }
}

#[test]
fn a_line_that_does_not_end_is_refused() {
    let error = ndjson(&" ".repeat(2 << 20)).unwrap_err();
    assert_eq!(error, "line 1: is longer than 1048576 bytes");
}

#[test]
fn csv_columns_may_stand_in_any_order_among_others() {
    let text = "page,event, user_id ,timestamp\n/,click,\"a,\nb\",10032342000\n/x,impression,c,1970-04-27T02:45:42Z\n";
    let same = 10_032_342_000_000;
    assert_eq!(csv(text), Ok(events(&[(same, "a,\nb", EventKind::Click), (same, "c", EventKind::Impression)])));
}

#[test]
fn a_bad_record_of_csv_is_named_by_the_line_it_begins_on() {
    for newline in ["\n", "\r\n"] {
        let bad = |tail: &str| {
            let text = format!("timestamp,user,event\n1,\"two\nlines\",click\n{tail}").replace('\n', newline);
            csv(&text).unwrap_err()
        };
        let event = "event: must be click or impression";
        assert_eq!(bad("2,b,buy\n"), format!("line 4: {event}"), "{newline:?}");
        assert_eq!(bad("2,b,buy"), format!("line 4: {event}"), "{newline:?}");
        assert_eq!(bad("2,\"b\n\n\",buy\n3,c,click\n"), format!("line 4: {event}"), "{newline:?}");
        assert_eq!(bad("2,b,click\n\n\n3,c,\n"), format!("line 7: {event}"), "{newline:?}");
        assert_eq!(bad("2,b\n"), "line 4: has 2 columns where the header has 3", "{newline:?}");
        assert_eq!(bad("\n2,b\n"), "line 5: has 2 columns where the header has 3", "{newline:?}");
    }
}

#[test]
fn a_csv_header_must_name_each_column_once() {
    assert_eq!(csv(""), Err("line 1: the header names no column timestamp".into()));
    assert_eq!(csv("timestamp,user\n"), Err("line 1: the header names no column event".into()));
    let twice = "line 1: the header names the column user or user_id twice";
    assert_eq!(csv("timestamp,user,user_id,event\n"), Err(twice.into()));
}

/// A record batch with the columns, in a stream.
fn stream(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let fields: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ::arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn three(timestamp: ArrayRef, user: ArrayRef, event: ArrayRef) -> Result<EventBatch, String> {
    let bytes = stream(&[("event", event), ("timestamp", timestamp), ("user_id", user)]);
    decode(Format::ArrowStream, &bytes).map_err(|error| error.to_string())
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
        let batch = three(whole(&[0, 100], &data_type), text(&["a", "b"]), text(&["click", "impression"]));
        let wanted = events(&[(0, "a", EventKind::Click), (100_000, "b", EventKind::Impression)]);
        assert_eq!(batch, Ok(wanted), "{data_type}");
    }
}

#[test]
fn an_arrow_timestamp_counts_in_its_unit_whatever_its_zone() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    for (unit, value) in [(Second, 5), (Millisecond, 5_000), (Microsecond, 5_000_000), (Nanosecond, 5_000_000_999)] {
        for zone in [None, Some("UTC".into()), Some("+05:30".into()), Some("Europe/Paris".into())] {
            let data_type = DataType::Timestamp(unit, zone);
            let array = whole(&[value], &DataType::Timestamp(unit, None));
            let array = array.to_data().into_builder().data_type(data_type.clone()).build().unwrap();
            let batch = three(make_array(array), text(&["a"]), text(&["click"]));
            assert_eq!(batch, Ok(events(&[(5_000_000, "a", EventKind::Click)])), "{data_type}");
        }
    }
}

#[test]
fn every_arrow_text_is_read_as_user_event_and_timestamp() {
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    let plain = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    let wanted = events(&[(1_000, "a", EventKind::Click), (2_000, "a name that is long", EventKind::Impression)]);
    for data_type in plain.clone().into_iter().chain([dictionary(DataType::Utf8), dictionary(DataType::LargeUtf8)]) {
        let timestamp = cast(&text(&["1", "1970-01-01T00:00:00.002Z"]), &plain[0]).unwrap();
        let user = cast(&text(&["a", "a name that is long"]), &data_type).unwrap();
        let event = cast(&text(&["click", "impression"]), &data_type).unwrap();
        assert_eq!(three(timestamp, user, event).as_ref(), Ok(&wanted), "{data_type}");
    }
}

#[test]
fn the_first_bad_row_of_an_arrow_batch_is_named_whichever_column_it_lies_in() {
    let ok = || (whole(&[1, 2, 3], &DataType::Int64), text(&["a", "b", "c"]), text(&["click", "click", "click"]));
    let null_text = || -> ArrayRef { Arc::new(StringArray::from(vec![Some("click"), None, Some("click")])) };
    let (timestamp, user, event) = ok();
    assert_eq!(three(timestamp, null_text(), event), Err("row 2: user: must not be null".into()));
    let (_, user_, event) = ok();
    let early = whole(&[1, 2, -3], &DataType::Int64);
    assert_eq!(
        three(early.clone(), user_, event),
        Err("row 3: timestamp: must not lie before 1970-01-01T00:00:00Z".into())
    );
    let buys = text(&["click", "buy", "click"]);
    assert_eq!(three(early, user, buys), Err("row 2: event: must be click or impression".into()));
    let (_, user, event) = ok();
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), Some(2)]));
    assert_eq!(three(null, user, event), Err("row 1: timestamp: must not be null".into()));
    let mut keys = StringDictionaryBuilder::<Int32Type>::new();
    keys.append_value("a");
    keys.append_null();
    keys.append_value("a");
    let (timestamp, _, event) = ok();
    assert_eq!(three(timestamp, Arc::new(keys.finish()), event), Err("row 2: user: must not be null".into()));
}

#[test]
fn a_column_of_another_type_or_none_is_refused() {
    let day: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let wanted = "the column timestamp must be whole milliseconds, an Arrow timestamp or RFC 3339 text, but is Date32";
    assert_eq!(three(day.clone(), text(&["a"]), text(&["click"])), Err(wanted.into()));
    let user = "the column user must be text, but is Date32";
    assert_eq!(three(whole(&[1], &DataType::Int64), day, text(&["click"])), Err(user.into()));
    let missing = decode(Format::ArrowStream, &stream(&[("user", text(&["a"]))])).unwrap_err();
    assert_eq!(missing.to_string(), "has no column timestamp");
}

#[test]
fn rows_are_counted_through_all_batches_of_a_stream() {
    let mut all = EventBatch::new();
    let rows = BATCH_EVENTS as i64 + 10;
    (0..rows).for_each(|i| all.push(i, "a", EventKind::Click));
    let kinds: StringArray = (0..rows).map(|i| Some(if i == rows - 1 { "buy" } else { "click" })).collect();
    let users: StringArray = (0..rows).map(|_| Some("a")).collect();
    let bad = three(whole(all.timestamps_us(), &DataType::Int64), Arc::new(users), Arc::new(kinds));
    assert_eq!(bad, Err(format!("row {rows}: event: must be click or impression")));
    let bytes = crate::encode::arrow_stream(&all).unwrap();
    assert_eq!(decode(Format::ArrowStream, &bytes).unwrap(), all);
}

#[test]
fn what_is_not_the_format_is_malformed_and_never_a_panic() {
    for format in [Format::ArrowStream, Format::Parquet] {
        for bytes in [&b""[..], b"timestamp,user,event\n", b"\xff\xff\xff\xff\xff\xff\xff\x7f0000", b"PAR1PAR1PAR1"] {
            assert!(matches!(decode(format, bytes), Err(DecodeError::Malformed(_))), "{format:?} {bytes:?}");
        }
    }
}

#[test]
fn damaged_parquet_is_refused_and_never_a_panic() {
    let mut batch = EventBatch::new();
    (0..1000).for_each(|i| batch.push(i, &format!("user{}", i % 50), EventKind::Click));
    let batch = crate::encode::record_batch(&batch);
    let zstd = ::parquet::basic::Compression::ZSTD(Default::default());
    for compression in [::parquet::basic::Compression::UNCOMPRESSED, zstd] {
        let properties = ::parquet::file::properties::WriterProperties::builder().set_compression(compression).build();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let file = writer.into_inner().unwrap();
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x55;
            let _ = decode(Format::Parquet, &flipped);
            let _ = decode(Format::Parquet, &file[..at]);
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn decompression_stops_at_its_limit() {
    let bytes = vec![7; 100_000];
    for (encoding, packed) in [
        (Encoding::Identity, bytes.clone()),
        (Encoding::Gzip, gzip(&bytes)),
        (Encoding::Zstd, zstd::encode_all(&bytes[..], 3).unwrap()),
    ] {
        assert_eq!(encoding.decompress(&packed, 100_000).unwrap(), bytes, "{encoding:?}");
        let error = encoding.decompress(&packed, 99_999).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { limit: 99_999 }), "{encoding:?}");
    }
}

#[test]
fn what_does_not_decompress_is_malformed() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let cut = match encoding {
            Encoding::Gzip => gzip(b"hello hello hello"),
            _ => zstd::encode_all(&b"hello hello hello"[..], 3).unwrap(),
        };
        for bytes in [&b"hello"[..], &cut[..cut.len() - 5]] {
            assert!(matches!(encoding.decompress(bytes, 1000), Err(DecodeError::Malformed(_))), "{encoding:?}");
        }
    }
}

#[test]
fn formats_and_encodings_are_told_by_headers_and_names() {
    let media = |value| Format::from_content_type(value);
    assert_eq!(media("text/csv; charset=utf-8"), Some(Format::Csv));
    assert_eq!(media("Application/X-NDJSON"), Some(Format::Ndjson));
    assert_eq!(media("application/vnd.apache.arrow.stream"), Some(Format::ArrowStream));
    assert_eq!(media("application/json"), None);
    assert_eq!(Encoding::from_header(Some("GZIP")), Some(Encoding::Gzip));
    assert_eq!(Encoding::from_header(None), Some(Encoding::Identity));
    assert_eq!(Encoding::from_header(Some("gzip, zstd")), None);
    let named = |name: &str| (Format::from_path(Path::new(name)), Encoding::from_path(Path::new(name)));
    assert_eq!(named("a/b.csv.gz"), (Some(Format::Csv), Encoding::Gzip));
    assert_eq!(named("b.JSONL.zst"), (Some(Format::Ndjson), Encoding::Zstd));
    assert_eq!(named("b.parquet"), (Some(Format::Parquet), Encoding::Identity));
    assert_eq!(named("csv"), (None, Encoding::Identity));
}

#[test]
fn a_file_is_read_in_batches_and_tells_how_far_it_has_come() {
    let directory = tempfile::tempdir().unwrap();
    let rows = BATCH_EVENTS + 5;
    let text: String = (0..rows).map(|i| format!("{i},user{},click\n", i % 7)).collect();
    let text = format!("timestamp,user,event\n{text}");
    for (name, bytes) in [("a.csv", text.clone().into_bytes()), ("a.csv.gz", gzip(text.as_bytes()))] {
        let path = directory.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let reader = read_file(&path).unwrap();
        let progress = reader.progress();
        let batches: Vec<EventBatch> = reader.map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(EventBatch::len).collect::<Vec<_>>(), [BATCH_EVENTS, 5], "{name}");
        let last = Event { timestamp_us: (rows as i64 - 1) * 1000, user: "user1", kind: EventKind::Click };
        assert_eq!(batches[1].get(4).timestamp_us, last.timestamp_us);
        assert_eq!((progress.done(), progress.total()), (bytes.len() as u64, bytes.len() as u64), "{name}");
    }
}

#[test]
fn an_error_in_a_file_names_the_file_and_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    std::fs::write(&path, "timestamp,user,event\n1,a,click\n2,b,buy\n3,c,buy\n").unwrap();
    let mut reader = read_file(&path).unwrap();
    let error = reader.next().unwrap().unwrap_err().in_file(&path).to_string();
    assert_eq!(error, format!("{}: line 3: event: must be click or impression", path.display()));
    assert!(reader.next().is_none());
    let unknown = read_file(&directory.path().join("a.xls")).err().unwrap().to_string();
    assert!(unknown.contains("a.xls: the name must end in .csv"), "{unknown}");
}
