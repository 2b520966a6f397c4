//! `hourglass import`: files into the store, each of them wholly or not at all.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use clap::Args;
use futures::stream::{self, Stream, StreamExt};
use indicatif::ProgressBar;

use super::load::{Sink, SinkArgs, ahead, print_summary, progress_bar, runtime};
use crate::decode::{DecodeError, read_file};
use crate::error::{Error, Result};
use crate::event::EventBatch;

/// Bytes of columns held while a file is checked; a larger file is decoded a second time instead.
const MAX_HELD_BYTES: usize = 256 << 20;

const EXAMPLES: &str = "\
Examples:
  hourglass import data/sample.csv
  hourglass import june/*.csv.gz july.parquet --data-dir /var/lib/hourglass
  hourglass import today.ndjson --url http://localhost:8080

Every format has three columns, in any order: timestamp (milliseconds since
1970, RFC 3339 text or an Arrow timestamp), user or user_id, and event (click
or impression).

A file with a bad row is refused as a whole, and the row is named:
  june.csv: line 17: event: must be click or impression; nothing of this
  file was loaded
Files before it stay loaded. An import that is killed, or whose disk or server
fails, may leave the beginning of the file it was loading; importing that file
again counts those events twice.";

#[derive(Args, Clone, Debug)]
#[command(about = "Load files of events", after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Files to load, in order: .csv, .ndjson, .jsonl or .arrows, each also with .gz or .zst behind it, or .parquet
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub sink: SinkArgs,
}

/// Loads every file, and prints how many events in what time.
pub fn run(args: ImportArgs) -> Result<()> {
    let started = Instant::now();
    let events = runtime()?.block_on(async {
        let sink = Sink::open(&args.sink)?;
        let loaded = import_files(&args.files, &sink).await;
        sink.close_after(loaded).await
    })?;
    print_summary(events, started);
    Ok(())
}

async fn import_files(files: &[PathBuf], sink: &Sink) -> Result<u64> {
    let mut events = 0;
    for path in files {
        events += import_file(path, sink).await?;
    }
    Ok(events)
}

/// Checks the whole file, then stores it. Its events are held between the two as long as they fit in
/// [`MAX_HELD_BYTES`]; past that the check only counts, and the storing decodes the file again, so that memory stays
/// bounded whatever the file's size.
async fn import_file(path: &Path, sink: &Sink) -> Result<u64> {
    let (checked, held) = check_file(path, MAX_HELD_BYTES).await?;
    let Some(held) = held else {
        let again = reread(path).await?;
        let stored = sink.append_all(again).await?;
        return match stored == checked {
            true => Ok(stored),
            false => Err(changed(path, "it has another number of rows")),
        };
    };
    let bar = progress_bar(checked);
    bar.set_message(format!("loading {}", path.display()));
    let batches = stream::iter(held).inspect(|batch| bar.inc(batch.len() as u64)).map(Ok);
    let stored = sink.append_all(batches).await;
    bar.finish_and_clear();
    stored
}

/// Decodes the whole file: the number of its events, and the events themselves where they fit in `max_held_bytes`.
async fn check_file(path: &Path, max_held_bytes: usize) -> Result<(u64, Option<Vec<EventBatch>>)> {
    let mut batches = pin!(batches_of(path, "checking")?);
    let (mut events, mut bytes, mut held) = (0, 0, Vec::new());
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| nothing_loaded(error.in_file(path)))?;
        events += batch.len() as u64;
        bytes += batch.byte_len();
        match bytes <= max_held_bytes {
            true => held.push(batch),
            false => held = Vec::new(),
        }
    }
    Ok((events, (bytes <= max_held_bytes).then_some(held)))
}

async fn reread(path: &Path) -> Result<impl Stream<Item = Result<EventBatch>>> {
    let path = path.to_path_buf();
    let batches = batches_of(&path, "loading")?;
    Ok(batches.map(move |batch| batch.map_err(|error| changed(&path, error))))
}

/// The file's batches, decoded ahead, moving a bar.
fn batches_of(path: &Path, doing: &str) -> Result<impl Stream<Item = Result<EventBatch, DecodeError>> + use<>> {
    let reader = read_file(path)?;
    let progress = reader.progress();
    let bar = ClearedBar(progress_bar(progress.total()));
    bar.0.set_message(format!("{doing} {}", path.display()));
    Ok(ahead(reader).inspect(move |_| bar.0.set_position(progress.done())))
}

/// A bar that leaves the terminal with its stream, be it read to its end or not.
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

/// A file that was whole when it was checked and is not when it is loaded.
fn changed(path: &Path, how: impl std::fmt::Display) -> Error {
    let path = path.display();
    Error::Invalid(format!("{path}: changed while it was loaded ({how}); a part of it has been loaded"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::FileWriter;
    use crate::generate::Workload;

    fn check(path: &Path, max_held_bytes: usize) -> Result<(u64, Option<Vec<EventBatch>>)> {
        runtime().unwrap().block_on(check_file(path, max_held_bytes))
    }

    #[test]
    fn a_file_is_held_while_it_fits_and_counted_when_it_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        let workload = Workload::default();
        let mut file = FileWriter::create(&path).unwrap();
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
        std::fs::write(&path, "{\"timestamp\":1,\"user\":\"a\",\"event\":\"click\"}\n{}\n").unwrap();
        let error = check(&path, usize::MAX).unwrap_err().to_string();
        let reason = "line 2: missing field `timestamp`; nothing of this file was loaded";
        assert_eq!(error, format!("{}: {reason}", path.display()));
    }
}
