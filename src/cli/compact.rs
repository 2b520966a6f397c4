//! `hourglass compact`: merges the data files of each hour, now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::load::{SinkArgs, runtime};
use crate::client::Client;
use crate::console;
use crate::error::{Error, Result};
use crate::hour::{Clock, SystemClock};
use crate::storage;
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{CompactionReport, Engine, EngineOptions, Progress, ReadOnly};
use crate::text::{bytes, count, thousands};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass compact --dry-run
  hourglass compact --data-dir /var/lib/hourglass      stop the server first
  hourglass compact --url http://localhost:8080        asks a running server

A server does this by itself, a day after late events came; this does all of it at once. Afterwards
an hour has one large file, and at most one of late events, which stays apart while it is less than
a quarter of the large one. No answer changes.

Files that were merged stay on disk for a day (--keep-replaced of the server), for queries that are
running, time travel and other engines. It may be interrupted at any time, and goes on from there.")]
pub struct Args {
    #[command(flatten)]
    place: SinkArgs,

    /// Only show what would be merged
    #[arg(long)]
    dry_run: bool,

    /// Output format: text for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = CompactFormat::Text)]
    format: CompactFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CompactFormat {
    Text,
    Json,
}

/// Interval at which the progress is shown.
const TICK: Duration = Duration::from_millis(100);

pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let report = match args.place.client()? {
        Some(client) => of_server(&client, args.dry_run)?,
        None => of_directory(&args)?,
    };
    let shown = console::print(&match args.format {
        CompactFormat::Text => text(&report, args.dry_run, started.elapsed()),
        CompactFormat::Json => {
            format!("{:#}\n", serde_json::to_value(report).expect("a report is plain data"))
        }
    });
    shown?;
    match report.skipped {
        0 => Ok(()),
        n => Err(Error::Storage(storage::Error::Damaged {
            path: args.place.data_dir(),
            offset: 0,
            reason: format!(
                "files are missing or damaged, and {} left as they are",
                match n {
                    1 => "those of one hour were".into(),
                    n => format!("those of {} were", count(n, "hour")),
                }
            ),
            advice: "`hourglass verify` names the files",
        })),
    }
}

fn of_server(client: &Client, dry_run: bool) -> Result<CompactionReport> {
    let bar = ProgressBar::new_spinner().with_message("the server merges files");
    bar.enable_steady_tick(TICK);
    let report = client.admin(if dry_run { "compact?dry_run=true" } else { "compact" });
    bar.finish_and_clear();
    report
}

fn of_directory(args: &Args) -> Result<CompactionReport> {
    let (data_dir, options) = (args.place.data_dir(), EngineOptions::default());
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    // It must not create a store; and a server may be running beside a dry run.
    let store = ReadOnly::open(&data_dir, &options, &vfs)?;
    if args.dry_run {
        return Ok(store.planned_compaction(&options, SystemClock.now_us()));
    }
    drop(store);
    runtime()?.block_on(async {
        let engine = Engine::open(&data_dir, options)?;
        let (progress, bar) = (Progress::default(), bar());
        let mut compacted = std::pin::pin!(engine.compact(false, progress.clone()));
        let report = loop {
            match tokio::time::timeout(TICK, &mut compacted).await {
                Ok(report) => break report,
                Err(_) => {
                    let (done, of) = progress.get();
                    bar.set_length(of);
                    bar.set_position(done);
                }
            }
        };
        bar.finish_and_clear();
        let closed = engine.close();
        let report = report?;
        closed?;
        Ok(report)
    })
}

fn text(report: &CompactionReport, dry_run: bool, took: Duration) -> String {
    let CompactionReport {
        hours, files_before, files_after, rows, bytes_before, bytes_after, ..
    } = *report;
    if hours == 0 {
        return "Nothing to merge.\n".into();
    }
    let (hours, rows) = (count(hours, "hour"), count(rows, "row"));
    let (before, after) = (count(files_before, "file"), thousands(files_after));
    let size = bytes(bytes_before);
    if dry_run {
        return format!("{before} of {hours} ({rows}, {size}) would become {after}.\n");
    }
    let (smaller, seconds) = (bytes(bytes_after), took.as_secs_f64());
    format!(
        "Merged {before} of {hours} ({rows}, {size}) into {after} ({smaller}) in {seconds:.1} s.\n"
    )
}

/// Creates a progress bar on standard error; it is hidden if that is not a terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} hours  {elapsed_precise}  {eta} left");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}
