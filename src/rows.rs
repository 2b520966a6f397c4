//! Answers of statements as bytes: the formats that `/sql`, the shell and `export` speak.
//!
//! Timestamps are RFC 3339 in the texts; nulls are `null` in JSON and empty in CSV.

use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::csv::{Writer as CsvWriter, WriterBuilder as CsvBuilder};
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::json::{Writer as JsonWriter, WriterBuilder as JsonBuilder};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::Result;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// An array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// The Arrow IPC streaming format.
    ArrowStream,
    Parquet,
}

impl RowFormat {
    pub const ALL: [RowFormat; 6] = [
        RowFormat::Json,
        RowFormat::Ndjson,
        RowFormat::Csv,
        RowFormat::Tsv,
        RowFormat::ArrowStream,
        RowFormat::Parquet,
    ];

    pub fn media_type(self) -> &'static str {
        match self {
            RowFormat::Json => "application/json",
            RowFormat::Ndjson => "application/x-ndjson",
            RowFormat::Csv => "text/csv",
            RowFormat::Tsv => "text/tab-separated-values",
            RowFormat::ArrowStream => "application/vnd.apache.arrow.stream",
            RowFormat::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The format a media type names, without its parameters.
    pub fn of_media_type(name: &str) -> Option<RowFormat> {
        let name = match name {
            "application/ndjson" | "application/jsonl" => "application/x-ndjson",
            other => other,
        };
        RowFormat::ALL.into_iter().find(|format| format.media_type() == name)
    }

    /// The format that a file's extension names.
    pub fn of_extension(extension: &str) -> Option<RowFormat> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "json" => RowFormat::Json,
            "ndjson" | "jsonl" => RowFormat::Ndjson,
            "csv" => RowFormat::Csv,
            "tsv" => RowFormat::Tsv,
            "arrows" => RowFormat::ArrowStream,
            "parquet" => RowFormat::Parquet,
            _ => return None,
        })
    }
}

/// Writes batches of one schema.
pub struct RowWriter<W: Write + Send>(Writer<W>);

enum Writer<W: Write + Send> {
    Json(JsonWriter<W, JsonArray>),
    Ndjson(JsonWriter<W, LineDelimited>),
    Csv(Box<CsvWriter<W>>),
    Arrow(Box<StreamWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    pub fn new(format: RowFormat, schema: &SchemaRef, output: W) -> Result<RowWriter<W>> {
        let json = || JsonBuilder::new().with_explicit_nulls(true);
        let separated = |delimiter, output| {
            let mut writer = CsvBuilder::new().with_delimiter(delimiter).with_header(true).build(output);
            // An answer without rows has its header too.
            writer.write(&RecordBatch::new_empty(schema.clone())).map(|()| Writer::Csv(Box::new(writer)))
        };
        Ok(RowWriter(match format {
            RowFormat::Json => Writer::Json(json().build(output)),
            RowFormat::Ndjson => Writer::Ndjson(json().build(output)),
            RowFormat::Csv => separated(b',', output)?,
            RowFormat::Tsv => separated(b'\t', output)?,
            RowFormat::ArrowStream => Writer::Arrow(Box::new(StreamWriter::try_new(output, schema)?)),
            RowFormat::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
                Writer::Parquet(Box::new(ArrowWriter::try_new(output, schema.clone(), Some(properties.build()))?))
            }
        }))
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.0 {
            Writer::Json(writer) => writer.write(batch)?,
            Writer::Ndjson(writer) => writer.write(batch)?,
            Writer::Csv(writer) => writer.write(batch)?,
            Writer::Arrow(writer) => writer.write(batch)?,
            Writer::Parquet(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Writes what comes after the last row, and gives the output back.
    pub fn finish(self) -> Result<W> {
        Ok(match self.0 {
            Writer::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Writer::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Writer::Csv(writer) => writer.into_inner(),
            Writer::Arrow(writer) => writer.into_inner()?,
            Writer::Parquet(writer) => writer.into_inner()?,
        })
    }
}

/// Bytes that one side writes and another takes while more come.
#[derive(Clone, Debug, Default)]
pub struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    /// What has been written since the last take.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("no panic under this lock"))
    }

    pub fn len(&self) -> usize {
        self.0.lock().expect("no panic under this lock").len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic under this lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};

    use super::*;

    fn batch() -> RecordBatch {
        let at = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 2] = [("at", Arc::new(at)), ("n", Arc::new(Int64Array::from(vec![None])))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn written(format: RowFormat, batches: &[RecordBatch]) -> Vec<u8> {
        let mut writer = RowWriter::new(format, &batch().schema(), Vec::new()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap()
    }

    #[test]
    fn texts_have_instants_and_nulls_as_their_readers_expect() {
        let text = |format| String::from_utf8(written(format, &[batch()])).unwrap();
        assert_eq!(text(RowFormat::Json), r#"[{"at":"1970-01-01T00:00:00Z","n":null}]"#);
        assert_eq!(text(RowFormat::Ndjson), "{\"at\":\"1970-01-01T00:00:00Z\",\"n\":null}\n");
        assert_eq!(text(RowFormat::Csv), "at,n\n1970-01-01T00:00:00Z,\n");
        assert_eq!(text(RowFormat::Tsv), "at\tn\n1970-01-01T00:00:00Z\t\n");
    }

    #[test]
    fn an_answer_without_rows_is_whole_in_every_format() {
        assert_eq!(written(RowFormat::Json, &[]), b"[]");
        assert_eq!(written(RowFormat::Csv, &[]), b"at,n\n");
        for format in RowFormat::ALL {
            assert_eq!(written(format, &[]).is_empty(), format == RowFormat::Ndjson, "{format:?}");
        }
    }
}
