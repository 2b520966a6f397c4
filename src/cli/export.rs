//! `hourglass export`: writes hours, or the result of a SQL statement, as files for a data lake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::console;
use crate::error::{Error, Result};
use crate::event::parse_time;
use crate::export::{ExportFormat, Exporter, RECEIPT, Summary};
use crate::hour::{HOUR_US, Hour};
use crate::query::{QueryEngine, QueryOptions};
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{EngineOptions, META_FILE, ReadOnly};
use crate::text::thousands;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass export lake/
      every hour as Parquet: lake/date=2020-01-01/hour=00/events.parquet
  hourglass export lake/ --from 2020-01-01 --to 2020-02-01
      the hours of January
  hourglass export csv/ --format csv
  hourglass export copy/ --format delta
      a Delta table in copy/events
  hourglass export answer/ --query 'SELECT * FROM hours'
      one file, answer/rows.parquet
  hourglass export answer/ --query 'SELECT * FROM hours' --format delta
      a Delta table in answer/; run again, it holds the new result

Events still in memory are exported too, and a server may be running on the directory. _receipt.ndjson lists every file \
with its rows, bytes and SHA-256. To continue an interrupted export, run it again: listed files are not written again.")]
pub struct Args {
    /// Directory to write the files to; created if needed
    #[arg(value_name = "DIR")]
    output: PathBuf,

    /// Data directory of the store to read; nothing in it is changed
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,

    /// Format of the files; delta writes a Delta table
    #[arg(long, value_enum, default_value_t = FormatArg::Parquet)]
    format: FormatArg,

    /// First hour to export: a date, or an hour's start as RFC 3339 or milliseconds since the
    /// epoch; by default the first hour of the store
    #[arg(long, value_parser = hour, value_name = "TIME")]
    from: Option<Hour>,

    /// End of the export, exclusive: --to 2020-02-01 exports the last hour of January and nothing
    /// of February; by default the end of the store
    #[arg(long, value_parser = hour, value_name = "TIME")]
    to: Option<Hour>,

    /// Export the result of this SQL statement instead of the hours
    #[arg(long, value_name = "SQL", conflicts_with_all = ["from", "to"])]
    query: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatArg {
    Parquet,
    Delta,
    Csv,
    Ndjson,
}

impl From<FormatArg> for ExportFormat {
    fn from(format: FormatArg) -> ExportFormat {
        match format {
            FormatArg::Parquet => ExportFormat::Parquet,
            FormatArg::Delta => ExportFormat::Delta,
            FormatArg::Csv => ExportFormat::Csv,
            FormatArg::Ndjson => ExportFormat::Ndjson,
        }
    }
}

fn hour(text: &str) -> Result<Hour, String> {
    let us = parse_time(text)?;
    match us % HOUR_US {
        0 => Ok(Hour::of_us(us)),
        _ => Err(format!("hours are exported whole, and one begins at {}", Hour::of_us(us))),
    }
}

pub fn run(args: Args) -> Result<()> {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    let store = ReadOnly::open(&args.data_dir, &EngineOptions::default(), &vfs)?;
    // The default time limit is for runaway statements; an export may take longer.
    let options =
        QueryOptions { timeout: Duration::from_secs(24 * 3_600), ..QueryOptions::default() };
    let query = Arc::new(QueryEngine::new(&options)?);
    refuse_stores(&args.data_dir, &args.output)?;
    let mut exporter = Exporter::open(query, store.snapshot, &args.output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("", "start threads"))?;
    let bar = bar();
    let summary = runtime.block_on(async {
        match &args.query {
            Some(sql) => exporter.answer(sql, args.format.into()).await,
            None => {
                let first = args.from.unwrap_or(Hour::FIRST);
                let last = args.to.map_or(Hour::LAST, |to| Hour(to.0 - 1));
                let progress = |done, of| {
                    bar.set_length(of);
                    bar.set_position(done);
                };
                exporter.hours(first, last, args.format.into(), progress).await
            }
        }
    });
    bar.finish_and_clear();
    let Summary { files, rows, bytes, skipped } = summary?;
    let skipped =
        if skipped > 0 { format!(", {} already there", thousands(skipped)) } else { String::new() };
    let (files, rows, bytes) = (thousands(files), thousands(rows), thousands(bytes));
    let output = args.output.display();
    console::tell(&format!("{files} files, {rows} rows, {bytes} bytes in {output}{skipped}"));
    Ok(())
}

/// Rejects an output directory where files would get mixed up: the store itself, a folder in it, or
/// another store.
fn refuse_stores(data_dir: &Path, output: &Path) -> Result<()> {
    let folder = output.display();
    let real = output.canonicalize().ok().zip(data_dir.canonicalize().ok());
    if real.is_some_and(|(output, data_dir)| output.starts_with(data_dir)) {
        return Err(Error::Config(format!(
            "{folder} is inside the store that is exported: use another directory"
        )));
    }
    // An export of hours as Delta is a store too; it is recognized by its receipt.
    if output.join(META_FILE).exists() && !output.join(RECEIPT).exists() {
        return Err(Error::Config(format!("{folder} is already a store: use another directory")));
    }
    Ok(())
}

/// Creates a progress bar on standard error; it is hidden if that is not a terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} hours  {elapsed_precise}  {eta} left");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}
