//! `hourglass retain`: removes the hours that are older than the retention, now.

use std::sync::Arc;
use std::time::Duration;

use super::load::{SinkArgs, runtime};
use crate::config::parse_duration;
use crate::console;
use crate::error::{Error, Result};
use crate::hour::{Clock, SystemClock};
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{Engine, EngineOptions, ReadOnly, RetentionReport};
use crate::text::{bytes, count};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass retain --retention 400d --dry-run
      what would go, of data/store; a server may be running on it
  hourglass retain --retention 400d                  stop the server first
  hourglass retain --url http://localhost:8080 --dry-run
      what a running server, which has its own --retention, is about to remove

A server that is started with --retention does this by itself, every minute. Whole hours go, when
their last moment is older. Their files stay on disk for a day (--keep-replaced of the server).")]
pub struct Args {
    #[command(flatten)]
    place: SinkArgs,

    /// Age at which whole hours are removed, such as 400d; with --url the server's own setting
    /// counts
    #[arg(long, value_name = "DURATION", env = "HOURGLASS_RETENTION", value_parser = parse_duration)]
    retention: Option<Duration>,

    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,

    /// Output format: text for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = RetainFormat::Text)]
    format: RetainFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RetainFormat {
    Text,
    Json,
}

pub fn run(args: Args) -> Result<()> {
    let report: RetentionReport = match args.place.client()? {
        Some(client) => {
            let work = if args.dry_run { "retain?dry_run=true" } else { "retain" };
            client.admin(work)?
        }
        None => of_directory(&args)?,
    };
    console::print(&match args.format {
        RetainFormat::Text => text(&report, args.dry_run),
        RetainFormat::Json => {
            format!("{:#}\n", serde_json::to_value(report).expect("a report is plain data"))
        }
    })
}

fn of_directory(args: &Args) -> Result<RetentionReport> {
    let Some(retention) = args.retention else {
        return Err(Error::Config("--retention is missing: how old may an hour be?".into()));
    };
    let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let options = EngineOptions { retention_ms: Some(retention_ms), ..EngineOptions::default() };
    let data_dir = args.place.data_dir();
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    // It must not create a store; and a server may be running beside a dry run.
    let planned = ReadOnly::open(&data_dir, &options, &vfs)?
        .planned_retention(retention_ms, SystemClock.now_us());
    if args.dry_run || planned.hours == 0 {
        return Ok(planned);
    }
    runtime()?.block_on(async {
        let engine = Engine::open(&data_dir, options)?;
        let report = engine.retain(false).await;
        let closed = engine.close();
        let report = report?;
        closed?;
        Ok(report)
    })
}

fn text(report: &RetentionReport, dry_run: bool) -> String {
    let RetentionReport { before, hours, files, rows, bytes: size } = report;
    if *hours == 0 {
        return format!("No hour before {before} is there.\n");
    }
    let (hours, files) = (count(*hours, "hour"), count(*files, "file"));
    let (rows, size) = (count(*rows, "row"), bytes(*size));
    let verb = if dry_run { "To remove" } else { "Removed" };
    format!("{verb}: {hours} before {before}, {rows} in {files}, {size}.\n")
}
