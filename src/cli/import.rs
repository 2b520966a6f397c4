//! `hourglass import`: loads files of events, each of them completely or not at all.
//!
//! [`inputs`] finds the files that the arguments stand for, [`pattern`] those that match a pattern,
//! and [`delta`] those of a Delta table; [`hive`] reads columns from the names of folders.

mod delta;
mod hive;
mod inputs;
mod pattern;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use clap::{Args, ValueEnum};
use futures::stream::{self, Stream, StreamExt};
use indicatif::ProgressBar;

use self::inputs::{Input, Inputs};
use super::load::{Sink, SinkArgs, ahead, print_summary, progress_bar, runtime};
use crate::console;
use crate::decode::{ColumnNames, DecodeError, InputFormat, Options, parse_delimiter, read_file};
use crate::error::{Error, Result};
use crate::event::{EventBatch, EventSchema, TimestampUnit};
use crate::text::{thousands, visible};

/// Maximum size in bytes of the decoded events held while a file is checked; larger files are
/// decoded a second time.
const MAX_HELD_BYTES: usize = 256 << 20;

const EXAMPLES: &str = "\
Examples:
  hourglass import data/sample.csv
  hourglass import june/*.csv.gz july.parquet --data-dir /var/lib/hourglass
  hourglass import 'logs/**/*.ndjson.zst'
  hourglass import lake/events
      a folder: every file in it and below, or a Delta table
  hourglass import today.ndjson --url http://localhost:8080
  hourglass import --columns timestamp=time,user=id,event=type july.parquet
  hourglass import --format text --no-header events.copy
      what COPY events TO 'events.copy' of PostgreSQL writes; --format csv
      --no-header for its CSV without HEADER
  hourglass import --no-header --columns timestamp=2,user=1,event=5 log.csv

Every format has three columns, in any order, with others beside them:
timestamp (milliseconds since 1970, text such as 2020-01-01T00:00:16.384Z or
2020-01-01 00:00:16+00, or a timestamp of Arrow or Parquet; without an offset
it is UTC), user or user_id (text or a whole number), and event (click,
impression or a declared kind). A column named like a declared dimension gives
its values. Capitals in names do not matter.

A folder stands for the files in it and below, in sorted order, whose names end
in a known extension, or with --format for all of them. Names that begin with
. or _ are left out. Folders named like event=click or page=%2Fhome give
columns that Parquet files in them lack. A pattern in quotes has * (any
characters), ? (one), [ab] (one of these) and ** (folders at any depth). A file
is loaded once, even if several arguments lead to it.

Of a Delta table, the files that its newest version consists of are loaded, with
its partition columns. Tables with deletion vectors or column mapping are
refused. The folder of a hourglass store is refused, as its newest events are in
its log: export it, or flush it and import its events/.

A file with a bad row is refused as a whole, and the row is named:
  june.csv: line 17: event: must be click or impression; nothing of this
  file was loaded
Files before it stay loaded. A path that leads to no file is refused before
anything is loaded. An import that is killed, or whose disk or server
fails, may leave the beginning of the file it was loading; importing that file
again counts those events twice.";

#[derive(Args, Clone, Debug)]
#[command(about = "Load files of events", after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Files, folders, patterns in quotes and Delta tables to load, in order. Files are .csv, .tsv,
    /// .ndjson, .jsonl, .json, .arrow, .arrows or .feather, each optionally followed by .gz or
    /// .zst, .parquet or .parq
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub reading: ReadArgs,

    #[command(flatten)]
    pub sink: SinkArgs,
}

/// Options for reading the files.
#[derive(Args, Clone, Debug, Default)]
pub struct ReadArgs {
    /// Format of all files, those in folders included; by default each file's extension decides
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,

    /// Delimiter between fields: one character or tab [default: a tab in TSV; in CSV from the
    /// header: comma, semicolon, tab or bar]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    pub delimiter: Option<u8>,

    /// The files have no header: the first line of a CSV or TSV is already a row. The columns are
    /// timestamp, user and event, unless --columns says otherwise
    #[arg(long)]
    pub no_header: bool,

    /// Names of the columns in the files, as timestamp=NAME,user=NAME,event=NAME,DIMENSION=NAME;
    /// with --no-header their positions, counted from 1
    #[arg(long, value_name = "NAMES", value_parser = ColumnNames::parse)]
    pub columns: Option<ColumnNames>,

    /// Unit of numeric timestamps: s, ms, us or ns
    #[arg(long, value_name = "UNIT", default_value = "ms", value_parser = parse_unit)]
    pub timestamp_unit: TimestampUnit,
}

/// File formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// RFC 4180: quotes enclose fields
    Csv,
    /// Tab-separated values, without quotes and backslashes
    Tsv,
    /// Tab-separated values with backslash escapes: PostgreSQL's COPY, ClickHouse's TSV
    Text,
    /// One JSON object per line
    Ndjson,
    /// An Arrow IPC stream or file (Feather)
    Arrow,
    Parquet,
}

fn parse_unit(text: &str) -> Result<TimestampUnit, String> {
    TimestampUnit::parse(text).ok_or_else(|| "expected s, ms, us or ns".to_owned())
}

impl ReadArgs {
    fn format(&self) -> Option<InputFormat> {
        self.format.map(|format| match format {
            FileFormat::Csv => InputFormat::Csv,
            FileFormat::Tsv | FileFormat::Text => InputFormat::Tsv,
            FileFormat::Ndjson => InputFormat::Ndjson,
            FileFormat::Arrow => InputFormat::ArrowStream,
            FileFormat::Parquet => InputFormat::Parquet,
        })
    }

    /// Returns the options for reading a file into a store with this schema.
    fn options(&self, schema: &EventSchema, input: &Input) -> Options {
        let mut options = Options {
            schema: schema.clone(),
            columns: self.columns.clone().unwrap_or_default(),
            header: !self.no_header,
            delimiter: self.delimiter,
            backslashes: self.format == Some(FileFormat::Text),
            constants: input.columns.clone(),
            ..Options::default()
        };
        options.timestamps.unit = self.timestamp_unit;
        options
    }
}

/// Loads every file, and prints the number of events, the time, and which files were skipped.
pub fn run(args: ImportArgs) -> Result<()> {
    let started = Instant::now();
    let (events, skipped) = runtime()?.block_on(async {
        let destination = args.sink.url.is_none().then(|| args.sink.data_dir());
        let Inputs { files, skipped } =
            inputs::find(&args.paths, args.reading.format(), destination.as_deref()).await?;
        let sink = Sink::open(&args.sink, &[])?;
        let loaded = import_files(&files, &args.reading, &sink).await;
        Ok::<_, Error>((sink.close_after(loaded).await?, skipped))
    })?;
    print_summary(events, started);
    if !skipped.is_empty() {
        console::announce(&skipped_summary(&skipped));
    }
    Ok(())
}

/// Returns the line about skipped files: `2 files skipped, as their names end in no known
/// extension: june/README.md, june/notes.txt`.
fn skipped_summary(skipped: &[PathBuf]) -> String {
    let (files, their) =
        if skipped.len() == 1 { ("file", "its name ends") } else { ("files", "their names end") };
    let (count, listed) = (thousands(skipped.len() as u64), inputs::listed(skipped));
    format!("{count} {files} skipped, as {their} in no known extension: {}", visible(&listed))
}

async fn import_files(files: &[Input], reading: &ReadArgs, sink: &Sink) -> Result<u64> {
    let mut events = 0;
    for input in files {
        events += import_file(input, reading, sink).await?;
    }
    Ok(events)
}

/// Checks the whole file, then stores it. Its events are kept in between if they fit in
/// [`MAX_HELD_BYTES`]; otherwise the file is decoded again, so that memory is bounded for files of
/// any size.
async fn import_file(input: &Input, reading: &ReadArgs, sink: &Sink) -> Result<u64> {
    let (path, options) = (&input.path, reading.options(&sink.schema(), input));
    let (checked, held) = check_file(input, &options, MAX_HELD_BYTES).await?;
    let Some(held) = held else {
        let again = reread(input, &options).await?;
        let stored = sink.append_all(again).await?;
        return if stored == checked {
            Ok(stored)
        } else {
            Err(changed(path, "its number of rows differs"))
        };
    };
    let bar = progress_bar(checked);
    bar.set_message(format!("loading {}", visible(&path.display().to_string())));
    let batches = stream::iter(held).inspect(|batch| bar.inc(batch.len() as u64)).map(Ok);
    let stored = sink.append_all(batches).await;
    bar.finish_and_clear();
    stored
}

/// Decodes the whole file; returns the number of its events, and the events if they fit in
/// `max_held_bytes`.
async fn check_file(
    input: &Input,
    options: &Options,
    max_held_bytes: usize,
) -> Result<(u64, Option<Vec<EventBatch>>)> {
    let mut batches = pin!(batches_of(input, options, "checking").map_err(nothing_loaded)?);
    let (mut events, mut bytes, mut held) = (0, 0, Vec::new());
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| nothing_loaded(error.in_file(&input.path)))?;
        events += batch.len() as u64;
        bytes += batch.byte_len();
        if bytes <= max_held_bytes { held.push(batch) } else { held = Vec::new() }
    }
    Ok((events, (bytes <= max_held_bytes).then_some(held)))
}

async fn reread(
    input: &Input,
    options: &Options,
) -> Result<impl Stream<Item = Result<EventBatch>> + use<>> {
    let path = input.path.clone();
    let batches = batches_of(input, options, "loading")?;
    Ok(batches.map(move |batch| batch.map_err(|error| changed(&path, error))))
}

/// Decodes the file's batches ahead of the consumer, updating a progress bar.
fn batches_of(
    input: &Input,
    options: &Options,
    doing: &str,
) -> Result<impl Stream<Item = Result<EventBatch, DecodeError>> + use<>> {
    let reader = read_file(&input.path, input.format, options)?;
    let progress = reader.progress();
    let bar = ClearedBar(progress_bar(progress.total()));
    bar.0.set_message(format!("{doing} {}", visible(&input.path.display().to_string())));
    Ok(ahead(reader).inspect(move |_| bar.0.set_position(progress.done())))
}

/// Progress bar that is cleared when its stream is dropped.
struct ClearedBar(ProgressBar);

impl Drop for ClearedBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn nothing_loaded(error: Error) -> Error {
    match error {
        Error::Invalid(text) => Error::Invalid(format!("{text}; nothing of this file was loaded")),
        other => other,
    }
}

/// Error for a file that changed between the check and the load.
fn changed(path: &Path, how: impl std::fmt::Display) -> Error {
    let path = path.display();
    Error::Invalid(format!(
        "{path}: changed while it was loaded ({how}); part of it has been loaded"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::FileWriter;
    use crate::generate::Workload;

    fn check(path: &Path, max_held_bytes: usize) -> Result<(u64, Option<Vec<EventBatch>>)> {
        let input = Input { path: path.to_path_buf(), format: None, columns: Vec::new() };
        runtime().unwrap().block_on(check_file(&input, &Options::default(), max_held_bytes))
    }

    #[test]
    fn a_file_is_held_while_it_fits_and_counted_when_it_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        let workload = Workload::default();
        let mut file = FileWriter::create(&EventSchema::default(), &path).unwrap();
        workload.events().unwrap().for_each(|batch| file.write(&batch).unwrap());
        file.finish().unwrap();

        let (events, held) = check(&path, usize::MAX).unwrap();
        assert_eq!(events, workload.count());
        assert_eq!(held.unwrap(), workload.events().unwrap().collect::<Vec<_>>());
        let (events, held) = check(&path, 1_000_000).unwrap();
        assert_eq!((events, held), (workload.count(), None));
    }

    #[test]
    fn a_bad_row_names_file_and_line_and_says_that_nothing_was_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ndjson");
        std::fs::write(&path, "{\"timestamp\":1,\"user\":\"a\",\"event\":\"click\"}\n{}\n")
            .unwrap();
        let error = check(&path, usize::MAX).unwrap_err().to_string();
        let reason = "line 2: has no column timestamp; found ";
        assert!(error.starts_with(&format!("{}: {reason}", path.display())), "{error}");
        assert!(error.ends_with("; nothing of this file was loaded"), "{error}");
    }
}
