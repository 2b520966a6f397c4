//! Every format times every type that a statement can answer.
//!
//! Bug: an answer in Parquet of a dictionary of views dropped the connection, for the writer
//! panicked; `cast(0 as decimal(10,-2))` was `000` in JSON; two columns of one name were an object
//! with a key twice. Consequence: an answer that nobody could read, or none. Cure: each format has
//! a table of what it writes for a type, the rest is refused by name, and a panic while writing is
//! an error.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use hourglass::rows::{RowFormat, RowWriter};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::server::Server;

/// An expression, its value in JSON, its text in CSV; without a text where it is JSON's, without
/// quotes.
const VALUES: &[(&str, &str, &str)] = &[
    ("NULL", "null", ""),
    ("true", "true", ""),
    ("arrow_cast(-128, 'Int8')", "-128", ""),
    ("arrow_cast(255, 'UInt8')", "255", ""),
    ("arrow_cast(-32768, 'Int16')", "-32768", ""),
    ("arrow_cast(65535, 'UInt16')", "65535", ""),
    ("arrow_cast(-1, 'Int32')", "-1", ""),
    ("arrow_cast(4294967295, 'UInt32')", "4294967295", ""),
    ("-9223372036854775808", "-9223372036854775808", ""),
    ("18446744073709551615", "18446744073709551615", ""),
    ("9007199254740993", "9007199254740993", ""),
    ("arrow_cast(1.5, 'Float16')", "1.5", ""),
    ("arrow_cast(0.1, 'Float32')", "0.1", ""),
    ("1e300::double", "1.0e300", "1e300"),
    ("'nan'::double", "null", "NaN"),
    ("'inf'::double", "null", "inf"),
    ("'-inf'::double", "null", "-inf"),
    ("arrow_cast('nan', 'Float32')", "null", "NaN"),
    ("cast(0 as decimal(10,-2))", "0", ""),
    ("cast(12300 as decimal(10,-2))", "12300", ""),
    ("cast(99999 as decimal(38,-37))", "0", ""),
    ("cast(99999 as decimal(38,-3))", "99000", ""),
    ("cast(-0.5 as decimal(10,2))", "-0.50", ""),
    ("cast('0.001' as decimal(3,3))", "0.001", ""),
    (
        "cast('12345678901234567890123456789012345678' as decimal(38,0))",
        "12345678901234567890123456789012345678",
        "",
    ),
    ("arrow_cast('-1.25', 'Decimal256(76, 2)')", "-1.25", ""),
    ("arrow_cast('1.25', 'Decimal32(9, 2)')", "1.25", ""),
    ("arrow_cast('1.25', 'Decimal64(18, 2)')", "1.25", ""),
    ("'text'", "\"text\"", ""),
    ("''", "\"\"", "\"\""),
    ("'NULL'", "\"NULL\"", ""),
    ("E'a\\nb'", "\"a\\nb\"", "\"a\nb\""),
    ("'a\"b'", "\"a\\\"b\"", "\"a\"\"b\""),
    ("arrow_cast('a', 'LargeUtf8')", "\"a\"", ""),
    ("arrow_cast('a', 'Utf8View')", "\"a\"", ""),
    ("arrow_cast('a', 'Binary')", "\"61\"", ""),
    ("arrow_cast('a', 'LargeBinary')", "\"61\"", ""),
    ("arrow_cast('a', 'BinaryView')", "\"61\"", ""),
    ("arrow_cast('a', 'Dictionary(Int32, Utf8)')", "\"a\"", ""),
    ("arrow_cast('a', 'Dictionary(UInt8, Utf8View)')", "\"a\"", ""),
    ("arrow_cast(arrow_cast('a', 'BinaryView'), 'Dictionary(Int16, BinaryView)')", "\"61\"", ""),
    ("arrow_cast(7, 'Dictionary(Int64, Int64)')", "7", ""),
    (
        "arrow_cast('a', 'RunEndEncoded(\"run_ends\": non-null Int32, \"values\": Utf8)')",
        "\"a\"",
        "",
    ),
    ("date '9999-12-31'", "\"9999-12-31\"", ""),
    ("arrow_cast(date '2020-01-02', 'Date64')", "\"2020-01-02T00:00:00\"", ""),
    ("arrow_cast(arrow_cast(3723, 'Int32'), 'Time32(Second)')", "\"01:02:03\"", ""),
    ("arrow_cast(arrow_cast(3723004, 'Int32'), 'Time32(Millisecond)')", "\"01:02:03.004\"", ""),
    ("arrow_cast(3723000004, 'Time64(Microsecond)')", "\"01:02:03.000004\"", ""),
    ("arrow_cast(3723000000005, 'Time64(Nanosecond)')", "\"01:02:03.000000005\"", ""),
    ("arrow_cast(253402300799, 'Timestamp(Second, None)')", "\"9999-12-31T23:59:59\"", ""),
    (
        "arrow_cast(253402300799, 'Timestamp(Second, Some(\"UTC\"))')",
        "\"9999-12-31T23:59:59Z\"",
        "",
    ),
    (
        "arrow_cast(253402300799999, 'Timestamp(Millisecond, None)')",
        "\"9999-12-31T23:59:59.999\"",
        "",
    ),
    (
        "arrow_cast(253402300799999999, 'Timestamp(Microsecond, Some(\"UTC\"))')",
        "\"9999-12-31T23:59:59.999999Z\"",
        "",
    ),
    (
        "arrow_cast(1, 'Timestamp(Nanosecond, Some(\"+02:00\"))')",
        "\"1970-01-01T02:00:00+02:00\"",
        "",
    ),
    ("arrow_cast(3600, 'Duration(Second)')", "\"PT3600S\"", ""),
    ("arrow_cast(1500, 'Duration(Millisecond)')", "\"PT1.5S\"", ""),
    ("arrow_cast(-1, 'Duration(Microsecond)')", "\"-PT0.000001S\"", ""),
    ("arrow_cast(1, 'Duration(Nanosecond)')", "\"PT0.000000001S\"", ""),
    ("INTERVAL '1 month 2 days 3 hours'", "\"1 mons 2 days 3 hours\"", ""),
    ("arrow_cast('14 months', 'Interval(YearMonth)')", "\"1 years 2 mons\"", ""),
    ("arrow_cast('1 day', 'Interval(DayTime)')", "\"1 days\"", ""),
    ("(SELECT array_agg(x) FROM (VALUES (1), (NULL), (3)) t(x))", "[1,null,3]", "\"[1,null,3]\""),
    ("(SELECT array_agg(x) FROM (VALUES (1)) t(x) WHERE x > 1)", "null", ""),
    (
        "arrow_cast((SELECT array_agg(x) FROM (VALUES (1)) t(x)), 'LargeList(Utf8View)')",
        "[\"1\"]",
        "\"[\"\"1\"\"]\"",
    ),
    ("arrow_cast((SELECT array_agg(x) FROM (VALUES (1)) t(x)), 'ListView(Int64)')", "[1]", "[1]"),
    (
        "(SELECT array_agg(arrow_cast('a', 'Dictionary(Int32, Utf8View)')) FROM (VALUES (1)) t(x))",
        "[\"a\"]",
        "\"[\"\"a\"\"]\"",
    ),
    ("(SELECT array_agg(cast(0 as decimal(10,-2))) FROM (VALUES (1)) t(x))", "[0]", "[0]"),
    ("(SELECT array_agg('nan'::double) FROM (VALUES (1)) t(x))", "[null]", "[null]"),
    (
        "named_struct('a', 1, 'b', 'x')",
        "{\"a\":1,\"b\":\"x\"}",
        "\"{\"\"a\"\":1,\"\"b\"\":\"\"x\"\"}\"",
    ),
    ("named_struct('a', 1, 'a', 2)", "{\"a\":1,\"a_1\":2}", "\"{\"\"a\"\":1,\"\"a_1\"\":2}\""),
    (
        "(SELECT array_agg(named_struct('a', arrow_cast(x, 'Timestamp(Second, None)'))) FROM (VALUES (1)) t(x))",
        "[{\"a\":\"1970-01-01T00:00:01\"}]",
        "\"[{\"\"a\"\":\"\"1970-01-01T00:00:01\"\"}]\"",
    ),
];

/// What a format has nothing for: the expression, the format, and the words of the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("INTERVAL '1 month 2 days 3 hours'", "parquet"),
    ("arrow_cast('14 months', 'Interval(YearMonth)')", "parquet"),
    ("arrow_cast('1 day', 'Interval(DayTime)')", "parquet"),
];

/// The status and the body of a statement's answer.
fn ask(server: &Server, format: &str, sql: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST /sql?format={format} HTTP/1.0\r\ncontent-type: application/sql\r\ncontent-length: {}\r\n\r\n",
        sql.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sql.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer in {format} to {sql}"));
    let status = String::from_utf8_lossy(&bytes[9..12]).parse().unwrap();
    (status, bytes.split_off(end + 4))
}

/// The rows of a file or stream as CSV, by the readers of Arrow.
fn csv_of(format: RowFormat, bytes: Vec<u8>) -> String {
    let batches: Vec<RecordBatch> = match format {
        RowFormat::ArrowStream => {
            StreamReader::try_new(&bytes[..], None).unwrap().map(Result::unwrap).collect()
        }
        _ => {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
            reader.build().unwrap().map(Result::unwrap).collect()
        }
    };
    let mut writer = RowWriter::new(RowFormat::Csv, &batches[0].schema(), Vec::new()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

#[test]
fn every_type_is_written_in_every_format_or_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for (value, json, csv) in VALUES {
        let sql = format!("SELECT 1 AS i, {value} AS v");
        let csv = if csv.is_empty() { json.trim_matches('"') } else { csv };
        let csv = if *json == "null" && csv == "null" { "" } else { csv };
        for format in RowFormat::ALL {
            let (status, body) = ask(&server, format.name(), &sql);
            let text = || String::from_utf8_lossy(&body).into_owned();
            if REFUSED.contains(&(value, format.name())) {
                assert!(
                    status == 400 && text().contains("v: ") && text().contains("has no form in"),
                    "{}",
                    text()
                );
                continue;
            }
            assert_eq!(status, 200, "{value} in {format:?}: {}", text());
            match format {
                RowFormat::Json => {
                    assert_eq!(text(), format!("[{{\"i\":1,\"v\":{json}}}]"), "{value}")
                }
                RowFormat::Ndjson => {
                    assert_eq!(text(), format!("{{\"i\":1,\"v\":{json}}}\n"), "{value}")
                }
                RowFormat::Csv => assert_eq!(text(), format!("i,v\n1,{csv}\n"), "{value}"),
                RowFormat::Tsv => {
                    let mut reader =
                        csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&body[..]);
                    let record = reader.records().next().unwrap().unwrap();
                    let unquoted =
                        csv.strip_prefix('"').and_then(|csv| csv.strip_suffix('"')).unwrap_or(csv);
                    assert_eq!(&record[1], unquoted.replace("\"\"", "\""), "{value}");
                }
                RowFormat::ArrowStream | RowFormat::Parquet => {
                    assert_eq!(
                        csv_of(format, body),
                        format!("i,v\n1,{csv}\n"),
                        "{value} in {format:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_value_that_a_text_cannot_name_is_refused_and_not_shown_as_another() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for value in [
        "arrow_cast(9000000000000000, 'Timestamp(Second, None)')",
        "arrow_cast(2147483647, 'Date32')",
    ] {
        for format in ["json", "ndjson", "csv", "tsv"] {
            let (status, body) = ask(&server, format, &format!("SELECT {value} AS v"));
            assert_eq!(status, 400, "{value} in {format}: {}", String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let sql = "SELECT a.n, b.n, 3 AS \"N\" FROM (SELECT 1 AS n) a CROSS JOIN (SELECT 2 AS n) b";
    let text = |format| String::from_utf8(ask(&server, format, sql).1).unwrap();
    assert_eq!(text("json"), r#"[{"n":1,"n_1":2,"N":3}]"#);
    assert_eq!(text("ndjson"), "{\"n\":1,\"n_1\":2,\"N\":3}\n");
    assert_eq!(text("csv"), "n,n_1,N\n1,2,3\n");
    assert_eq!(csv_of(RowFormat::ArrowStream, ask(&server, "arrow", sql).1), "n,n_1,N\n1,2,3\n");
    // Those who read Parquet compare names without their case.
    assert_eq!(csv_of(RowFormat::Parquet, ask(&server, "parquet", sql).1), "n,n_1,N_2\n1,2,3\n");
}
