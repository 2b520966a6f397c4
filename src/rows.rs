//! Result encoding: writes the rows of statements in the formats of `/sql`, the shell and `export`.
//!
//! Timestamps are RFC 3339 in text formats; nulls are `null` in JSON and empty in CSV. A column
//! whose type the format lacks is converted to the nearest type that it has ([`plain`]); column
//! names are made unique ([`names`]). For readers of JSON: integers and decimals are written with
//! all their digits, of which JavaScript keeps 53 bits, and NaN and the infinities, which JSON
//! lacks, are null.

mod names;
mod plain;
mod separated;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::json::{Writer as JsonWriter, WriterBuilder as JsonBuilder};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use self::plain::Shape;
use self::separated::SeparatedWriter;
use crate::error::{Error, Result};

/// Format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// An array of objects.
    Json,
    /// One object per line.
    Ndjson,
    /// RFC 4180 with a header.
    Csv,
    /// The same with tabs.
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

    /// Returns the name used in URLs.
    pub fn name(self) -> &'static str {
        match self {
            RowFormat::Json => "json",
            RowFormat::Ndjson => "ndjson",
            RowFormat::Csv => "csv",
            RowFormat::Tsv => "tsv",
            RowFormat::ArrowStream => "arrow",
            RowFormat::Parquet => "parquet",
        }
    }

    pub fn of_name(name: &str) -> Option<RowFormat> {
        RowFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    pub fn media_type(self) -> &'static str {
        self.media_types()[0]
    }

    /// Returns the accepted media types; the first is the one that is sent.
    pub fn media_types(self) -> &'static [&'static str] {
        match self {
            RowFormat::Json => &["application/json"],
            RowFormat::Ndjson => {
                &["application/x-ndjson", "application/ndjson", "application/jsonl"]
            }
            RowFormat::Csv => &["text/csv"],
            RowFormat::Tsv => &["text/tab-separated-values"],
            RowFormat::ArrowStream => &["application/vnd.apache.arrow.stream"],
            RowFormat::Parquet => &["application/vnd.apache.parquet"],
        }
    }

    /// Returns the format for a file extension.
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

/// Writes batches of one schema in a format.
pub struct RowWriter<W: Write + Send> {
    /// Schema after conversion to the format's types.
    schema: SchemaRef,
    writer: Writer<W>,
}

enum Writer<W: Write + Send> {
    Json(JsonWriter<W, JsonArray>),
    Ndjson(JsonWriter<W, LineDelimited>),
    Separated(SeparatedWriter<W>),
    Arrow(Box<StreamWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> RowWriter<W> {
    /// # Errors
    /// [`Error::Invalid`] for a column whose type the format cannot represent.
    pub fn new(format: RowFormat, schema: &SchemaRef, output: W) -> Result<RowWriter<W>> {
        let schema = written_schema(format, schema)?;
        let writer = unpanicked(|| {
            let json = || JsonBuilder::new().with_explicit_nulls(true);
            let names = || schema.fields().iter().map(|field| field.name());
            Ok(match format {
                RowFormat::Json => Writer::Json(json().build(output)),
                RowFormat::Ndjson => Writer::Ndjson(json().build(output)),
                RowFormat::Csv => Writer::Separated(SeparatedWriter::new(output, b',', names())?),
                RowFormat::Tsv => Writer::Separated(SeparatedWriter::new(output, b'\t', names())?),
                RowFormat::ArrowStream => {
                    Writer::Arrow(Box::new(StreamWriter::try_new(output, &schema)?))
                }
                RowFormat::Parquet => {
                    let zstd = Compression::ZSTD(ZstdLevel::default());
                    let properties = WriterProperties::builder().set_compression(zstd).build();
                    Writer::Parquet(Box::new(ArrowWriter::try_new(
                        output,
                        schema.clone(),
                        Some(properties),
                    )?))
                }
            })
        })?;
        Ok(RowWriter { schema, writer })
    }

    /// Returns the names and types that are written.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let RowWriter { schema, writer } = self;
        unpanicked(|| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| plain::convert(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
            match writer {
                Writer::Json(writer) => writer.write(&batch)?,
                Writer::Ndjson(writer) => writer.write(&batch)?,
                Writer::Separated(writer) => writer.write(&batch)?,
                Writer::Arrow(writer) => writer.write(&batch)?,
                Writer::Parquet(writer) => writer.write(&batch)?,
            }
            Ok(())
        })
    }

    /// Writes what follows the last row, and returns the output.
    pub fn finish(self) -> Result<W> {
        unpanicked(|| {
            Ok(match self.writer {
                Writer::Json(mut writer) => {
                    writer.finish()?;
                    writer.into_inner()
                }
                Writer::Ndjson(mut writer) => {
                    writer.finish()?;
                    writer.into_inner()
                }
                Writer::Separated(writer) => writer.into_inner(),
                Writer::Arrow(writer) => writer.into_inner()?,
                Writer::Parquet(writer) => writer.into_inner()?,
            })
        })
    }
}

/// Converts a schema to the format's types, with unique column names. Names in Parquet are unique
/// even when case is ignored, because lake engines ignore it.
fn written_schema(format: RowFormat, schema: &SchemaRef) -> Result<SchemaRef> {
    let shape = match format {
        RowFormat::Json | RowFormat::Ndjson => Shape::Json,
        RowFormat::Csv | RowFormat::Tsv => Shape::Text,
        RowFormat::Parquet => Shape::Parquet,
        RowFormat::ArrowStream => Shape::Arrow,
    };
    let names = unique_names(schema, shape == Shape::Parquet);
    let field = |(field, name): (&Arc<Field>, String)| {
        let to = plain::written(shape, field.data_type()).map_err(|of| {
            let (name, format) = (field.name(), format.name());
            Error::Invalid(format!(
                "{name}: {of} has no form in {format}; cast the column to text, or ask for another format"
            ))
        })?;
        // A column planned as not null may still contain a null; text formats can represent it.
        let is_nullable = field.is_nullable() || matches!(shape, Shape::Json | Shape::Text);
        Ok(Field::clone(field).with_name(name).with_data_type(to).with_nullable(is_nullable))
    };
    let fields = schema.fields().iter().zip(names).map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// Returns the column names, with a number appended to repeated ones.
pub fn unique_names(schema: &SchemaRef, ignore_case: bool) -> Vec<String> {
    names::unique(schema.fields().iter().map(|field| field.name()), ignore_case)
}

/// Formats a column for a table: one text per value.
pub fn for_people(column: &ArrayRef) -> Result<ArrayRef> {
    match plain::written(Shape::Text, column.data_type()) {
        Ok(to) => Ok(plain::convert(column, &to)?),
        Err(_) => Ok(column.clone()),
    }
}

/// Runs a writer and turns a panic into an error, so that a bug with one type in one format fails
/// one request and not the connection.
fn unpanicked<T>(write: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(write)).unwrap_or(Err(Error::Panicked))
}

/// Shared byte buffer: one side appends while the other takes what is there.
#[derive(Clone, Debug, Default)]
pub struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    /// Takes what has been written since the last call.
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
        let columns: [(&str, ArrayRef); 2] =
            [("at", Arc::new(at)), ("n", Arc::new(Int64Array::from(vec![None])))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .unwrap()
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

    /// Regression: a panic in a writer ended its task, and the connection was closed without an
    /// error. The panic is now an error like any other.
    #[test]
    fn a_panic_while_writing_is_an_error() {
        assert!(matches!(unpanicked::<()>(|| panic!("cannot be written")), Err(Error::Panicked)));
    }
}
