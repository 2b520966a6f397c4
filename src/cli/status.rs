//! `hourglass status`: shows the contents of a data directory, with or without a server running on
//! it.

use std::path::PathBuf;
use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::console;
use crate::error::Result;
use crate::storage::vfs::{Disk, Vfs};
use crate::storage::{EngineOptions, ReadOnly};
use crate::text::thousands;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hourglass status\n  hourglass status --data-dir /var/lib/hourglass --format json"
)]
pub struct Args {
    /// Data directory to inspect; nothing in it is changed, and a server may be running on it
    #[arg(long, env = "HOURGLASS_DATA_DIR", default_value = "data/store", value_name = "DIR")]
    data_dir: PathBuf,

    /// Output format: a table for people, or JSON for programs
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    format: StatusFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StatusFormat {
    Table,
    Json,
}

pub fn run(args: Args) -> Result<()> {
    let vfs: Arc<dyn Vfs> = Arc::new(Disk);
    let store = ReadOnly::open(&args.data_dir, &EngineOptions::default(), &vfs)?;
    console::print(&match args.format {
        StatusFormat::Table => format!("{}\n", table(&store)),
        StatusFormat::Json => format!("{:#}\n", json(&store)),
    })
}

/// Returns the totals of the data files: number, rows and bytes.
fn files(store: &ReadOnly) -> (u64, u64, u64) {
    let files = store.snapshot.files.values().flat_map(|hour| &hour.files);
    files.fold((0, 0, 0), |(n, rows, bytes), file| {
        (n + 1, rows + file.rollup.rows(), bytes + file.bytes)
    })
}

fn last_flush(store: &ReadOnly) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_millis(store.flushed_ms?)?;
    Some(at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn json(store: &ReadOnly) -> serde_json::Value {
    let (files, file_rows, file_bytes) = files(store);
    let (hours, active) = (store.snapshot.hours(), &store.snapshot.active);
    let figures = store.snapshot.set_figures();
    json!({
        "hours": hours.len(),
        "first_hour": hours.first().map(ToString::to_string),
        "last_hour": hours.last().map(ToString::to_string),
        "rows": file_rows + active.rows,
        "files": { "files": files, "rows": file_rows, "bytes": file_bytes },
        "memtable": { "hours": active.hours.len(), "rows": active.rows, "bytes": active.bytes },
        "wal": { "segments": store.wal_segments, "bytes": store.wal_bytes },
        "visitor_sets": {
            "files": figures.files,
            "files_missing": files - figures.files.min(files),
            "bytes": figures.set_bytes,
        },
        "last_lsn": store.flushed.max(active.last_lsn),
        "flushed_lsn": store.flushed,
        "last_flush": last_flush(store),
    })
}

fn table(store: &ReadOnly) -> Table {
    let (files, file_rows, file_bytes) = files(store);
    let (hours, active) = (store.snapshot.hours(), &store.snapshot.active);
    let span = match (hours.first(), hours.last()) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "none yet".into(),
    };
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut row = |name: &str, figure: String, note: String| {
        table.add_row([name.to_string(), figure, note]);
    };
    row("hours", thousands(hours.len() as u64), span);
    row("rows", thousands(file_rows + active.rows), "in files and in memory".into());
    row(
        "files",
        thousands(files),
        format!("{} rows, {} bytes", thousands(file_rows), thousands(file_bytes)),
    );
    row(
        "memtable",
        thousands(active.rows),
        format!("rows of {} hours, recovered from the log", active.hours.len()),
    );
    row("wal", thousands(store.wal_bytes), format!("bytes in {} segments", store.wal_segments));
    let figures = store.snapshot.set_figures();
    row(
        "visitors",
        thousands(figures.files),
        format!("files have their sets of visitors, {} bytes", thousands(figures.set_bytes)),
    );
    row(
        "last flush",
        last_flush(store).unwrap_or("never".into()),
        format!("through LSN {}", thousands(store.flushed)),
    );
    table.column_mut(1).expect("three columns").set_cell_alignment(CellAlignment::Right);
    table
}
