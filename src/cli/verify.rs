//! `hourglass verify`: reads everything in a data directory and checks that it is as it was
//! written.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::console;
use crate::error::Result;
use crate::hour::SystemClock;
use crate::storage::verify::{self, Finding, Moved, Report};
use crate::storage::vfs::{Disk, Vfs};
use crate::text::{bytes, thousands};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hourglass verify             nothing is changed, and a server may be running on the directory
  hourglass verify --data-dir /var/lib/hourglass --format json
  hourglass verify --repair    stop the server first

It reads every frame of the write-ahead log, every commit and checkpoint of the Delta log, and every byte and row of the \
data files, and compares them: checksums, counters, hours, log sequence numbers (LSN). Damage is reported with its \
position, the events affected, and what to do.

--repair moves to quarantine what is damaged or left over, if no acknowledged event depends on it: a checkpoint whose commits \
are all there, a log segment whose events are all in the table, files of an interrupted flush. They go to \
DIR/quarantine/TIME, under the same names. Nothing is ever deleted, and nothing else is changed.

Exit code: 0 all is sound, 1 something is damaged, 66 no store there, 75 a repair while a server runs.")]
pub struct Args {
    /// Data directory to check; nothing in it is changed without --repair
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,

    /// Move damaged or leftover files that no acknowledged event depends on to the folder
    /// quarantine; stop the server first
    #[arg(long)]
    repair: bool,

    /// Output format: text for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = VerifyFormat::Text)]
    format: VerifyFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum VerifyFormat {
    Text,
    Json,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    let bar = bar();
    let progress = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let checked = if args.repair {
        verify::repair(&args.data_dir, &vfs, &SystemClock, &progress)
    } else {
        verify::verify(&args.data_dir, &vfs, &SystemClock, &progress)
            .map(|report| (Vec::new(), report))
    };
    bar.finish_and_clear();
    let (moved, report) = checked?;
    console::print(&match args.format {
        VerifyFormat::Text => text(&args, &moved, &report),
        VerifyFormat::Json => format!("{:#}\n", json(&moved, &report)),
    })?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json(moved: &[Moved], report: &Report) -> serde_json::Value {
    let mut json = serde_json::to_value(report).expect("a report is plain data");
    json["sound"] = report.is_sound().into();
    json["moved"] = json!(moved);
    json
}

fn text(args: &Args, moved: &[Moved], report: &Report) -> String {
    let mut text = String::new();
    for Moved { from, to, why } in moved {
        text += &format!("moved {from} to {to}: {why}\n");
    }
    for damage in &report.damage {
        text += &finding("damaged", damage);
    }
    for like in report.notes.chunk_by(|a, b| a.what == b.what) {
        text += &finding("note", &like[0]);
        if like.len() > 1 {
            text += &format!(
                "  {} more like this; --format json lists them\n\n",
                thousands(like.len() as u64 - 1)
            );
        }
    }
    let (log, table) = (&report.log, &report.table);
    let (segments, frames, events) =
        (thousands(log.segments), thousands(log.frames), thousands(log.events));
    text += &format!(
        "log    {segments} segments, {frames} frames, {events} events not yet in the table\n"
    );
    let (files, rows, hours) =
        (thousands(table.files), thousands(table.rows), thousands(table.hours));
    let (commits, through) = (thousands(table.commits), thousands(table.flushed_lsn));
    let size = bytes(table.bytes);
    text += &format!(
        "table  {files} files, {rows} rows, {size}, {hours} hours, {commits} commits, through LSN {through}\n"
    );
    if report.keys > 0 {
        text +=
            &format!("keys   {} idempotency keys of flushed requests\n", thousands(report.keys));
    }
    if report.sets.files > 0 {
        let (files, periods) = (thousands(report.sets.files), thousands(report.sets.periods));
        text += &format!("sets   visitors of {files} files, and of {periods} days and months\n");
    }
    if report.in_use {
        text += "A server is running on the directory; what it was writing meanwhile was not checked.\n";
    }
    let dir = args.data_dir.display();
    text += &match report.damage.len() {
        0 => format!("{dir} is sound.\n"),
        1 => format!("{dir} is damaged in 1 place.\n"),
        n => format!("{dir} is damaged in {n} places.\n"),
    };
    text
}

fn finding(kind: &str, finding: &Finding) -> String {
    let Finding { path, offset, what, means, advice, .. } = finding;
    let place = offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
    let mut text = format!("{kind}: {path}{place}: {what}\n");
    for (name, line) in [("affects", means), ("to do", advice)] {
        if !line.is_empty() {
            text += &format!("  {name}: {line}\n");
        }
    }
    text + "\n"
}

/// Creates a progress bar on standard error; it is hidden if that is not a terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} files  {elapsed_precise}  {eta} left");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}
