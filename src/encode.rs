//! Encoding of events: record batches, Arrow IPC streams, and the files that `generate` writes.
//!
//! The inverse of [`crate::decode`]. Data files of the store are not written here.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
};
use arrow::ipc::writer::StreamWriter;
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};
use crate::event::{Event, EventBatch, EventSchema};

/// Converts events to a record batch with the columns of a data file, in arrival order.
pub fn record_batch(schema: &EventSchema, events: &EventBatch) -> RecordBatch {
    let timestamps =
        TimestampMicrosecondArray::from(events.timestamps_us().to_vec()).with_timezone("UTC");
    let mut users = StringViewBuilder::with_capacity(events.len());
    let mut kinds = StringViewBuilder::with_capacity(events.len());
    for event in events.iter() {
        users.append_value(event.user);
        kinds.append_value(schema.name(event.kind));
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(timestamps), Arc::new(users.finish()), Arc::new(kinds.finish())];
    for dimension in 0..schema.dimensions().len() {
        let values = events.iter().map(|event| event.values.get(dimension));
        columns.push(Arc::new(StringViewArray::from_iter(values)));
    }
    RecordBatch::try_new(schema.file().clone(), columns)
        .expect("the columns are those of the schema")
}

/// Encodes events as an Arrow IPC stream, the body of `POST /events`.
pub fn arrow_stream(schema: &EventSchema, events: &EventBatch) -> Result<Vec<u8>> {
    let batch = record_batch(schema, events);
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Writer of one output file. It writes to a temporary name and renames the file once it is
/// complete and synced.
pub struct FileWriter {
    schema: EventSchema,
    path: PathBuf,
    temporary: PathBuf,
    /// `None` once the file is finished.
    rows: Option<Rows>,
}

enum Rows {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    Ndjson(BufWriter<File>),
    Parquet(Box<ArrowWriter<File>>),
}

impl FileWriter {
    /// Creates a file; the extension, `.csv`, `.ndjson` or `.parquet`, selects the format.
    pub fn create(schema: &EventSchema, path: &Path) -> Result<FileWriter> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.partial"));
        let create = || File::create(&temporary).map_err(Error::io(&temporary, "create"));
        let rows = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => {
                let mut rows = csv::Writer::from_writer(BufWriter::new(create()?));
                let dimensions = schema.dimensions().iter().map(String::as_str);
                rows.write_record(["timestamp", "user", "event"].into_iter().chain(dimensions))
                    .map_err(|error| failed(&temporary, error))?;
                Rows::Csv(Box::new(rows))
            }
            Some("ndjson") => Rows::Ndjson(BufWriter::with_capacity(256 << 10, create()?)),
            Some("parquet") => {
                let zstd = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(zstd).build();
                Rows::Parquet(Box::new(ArrowWriter::try_new(
                    create()?,
                    schema.file().clone(),
                    Some(properties),
                )?))
            }
            _ => {
                let known = "the name must end in .csv, .ndjson or .parquet";
                return Err(Error::Invalid(format!("{}: {known}", path.display())));
            }
        };
        let (schema, path) = (schema.clone(), path.to_path_buf());
        Ok(FileWriter { schema, path, temporary, rows: Some(rows) })
    }

    /// Appends the events.
    pub fn write(&mut self, events: &EventBatch) -> Result<()> {
        let schema = &self.schema;
        let written = match self.rows.as_mut().expect("finish consumes the writer") {
            Rows::Csv(rows) => events.iter().try_for_each(|event| {
                let timestamp = timestamp_text(event.timestamp_us);
                let own = [timestamp.as_str(), event.user, schema.name(event.kind)];
                let value = |dimension| event.values.get(dimension).unwrap_or_default();
                let values = (0..schema.dimensions().len()).map(value);
                rows.write_record(own.into_iter().chain(values)).map_err(std::io::Error::other)
            }),
            Rows::Ndjson(rows) => {
                events.iter().try_for_each(|event| write_json(schema, rows, event))
            }
            Rows::Parquet(rows) => {
                rows.write(&record_batch(schema, events)).map_err(std::io::Error::other)
            }
        };
        written.map_err(|error| failed(&self.temporary, error))
    }

    /// Syncs the file, renames it, and syncs its directory.
    pub fn finish(mut self) -> Result<()> {
        let file = match self.rows.take().expect("finish consumes the writer") {
            Rows::Csv(rows) => {
                rows.into_inner().map_err(|error| error.into_error()).and_then(flushed)
            }
            Rows::Ndjson(rows) => flushed(rows),
            Rows::Parquet(rows) => rows.into_inner().map_err(std::io::Error::other),
        };
        file.and_then(|file| file.sync_all()).map_err(|error| failed(&self.temporary, error))?;
        std::fs::rename(&self.temporary, &self.path).map_err(Error::io(&self.path, "rename to"))?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io(directory, "sync"))
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if self.rows.is_some() {
            let _ = std::fs::remove_file(&self.temporary); // A leftover is only untidy.
        }
    }
}

fn flushed(rows: BufWriter<File>) -> std::io::Result<File> {
    rows.into_inner().map_err(|error| error.into_error())
}

fn failed(path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::io(path, "write")(error.into())
}

/// Formats a timestamp as milliseconds if that is exact, otherwise as RFC 3339 with all digits.
fn timestamp_text(timestamp_us: i64) -> String {
    match timestamp_us % 1000 {
        0 => (timestamp_us / 1000).to_string(),
        _ => DateTime::from_timestamp_micros(timestamp_us)
            .expect("a stored timestamp lies within the years 1970 to 9999")
            .to_rfc3339_opts(SecondsFormat::Micros, true),
    }
}

fn write_json(schema: &EventSchema, out: &mut impl Write, event: Event<'_>) -> std::io::Result<()> {
    let timestamp = timestamp_text(event.timestamp_us);
    let quote = if event.timestamp_us % 1000 == 0 { "" } else { "\"" };
    write!(out, "{{\"timestamp\":{quote}{timestamp}{quote},\"user\":")?;
    serde_json::to_writer(&mut *out, event.user)?;
    write!(out, ",\"event\":\"{}\"", schema.name(event.kind))?;
    for (dimension, value) in event.values.iter() {
        write!(out, ",\"{}\":", schema.dimensions()[usize::from(dimension)])?;
        serde_json::to_writer(&mut *out, value)?;
    }
    writeln!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, InputFormat};
    use crate::event::EventKind;

    fn schema() -> EventSchema {
        EventSchema::new(&["sign-up".into()], &["page".into(), "source".into()]).unwrap()
    }

    fn options() -> decode::Options {
        decode::Options { schema: schema(), ..Default::default() }
    }

    fn some_events() -> EventBatch {
        let mut events = EventBatch::new();
        events.push(1_000, "user1", schema().kind("sign-up").unwrap());
        events.set_value(1, "a \"b\",\nc");
        events.push(10_032_342_000_000, "user2", EventKind::CLICK);
        events.push(1_577_836_800_000_001, "Zoë \"Z\", née\nO'Neill", EventKind::IMPRESSION);
        events
    }

    #[test]
    fn every_file_reads_back_as_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.csv", "a.ndjson", "a.parquet"] {
            let path = directory.path().join(name);
            let mut file = FileWriter::create(&schema(), &path).unwrap();
            file.write(&some_events()).unwrap();
            assert!(!path.exists(), "{name} has no name before it is whole");
            file.finish().unwrap();
            let read: Vec<_> =
                decode::read_file(&path, None, &options()).unwrap().map(Result::unwrap).collect();
            assert_eq!(read, [some_events()], "{name}");
        }
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            3,
            "no temporary file stays"
        );
    }

    #[test]
    fn an_abandoned_file_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        drop(FileWriter::create(&schema(), &directory.path().join("a.csv")).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stream_decodes_to_what_was_encoded() {
        let stream = arrow_stream(&schema(), &some_events()).unwrap();
        assert_eq!(
            decode::decode_with(InputFormat::ArrowStream, &stream, &options()).unwrap(),
            some_events()
        );
    }
}
