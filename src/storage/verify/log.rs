//! Checks of the write-ahead log. Replay itself decides what is damage, so that the result is that
//! of a start.

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::{Finding, LogTotals, MOVE};
use crate::event::EventSchema;
use crate::storage::error::{Error, Result};
use crate::storage::vfs::Vfs;
use crate::storage::wal::Lsn;
use crate::storage::wal::{self, Replay, Run};
use crate::text::thousands;

#[derive(Debug, Default)]
pub struct Log {
    pub totals: LogTotals,
    pub findings: Vec<Finding>,
    pub notes: Vec<Finding>,
}

/// Reads every frame of the log in `dir`; `flushed` is the last LSN in the table.
pub fn check(
    vfs: &dyn Vfs,
    data_dir: &Path,
    schema: &EventSchema,
    dir: &Path,
    flushed: Lsn,
) -> Result<Log> {
    match wal::replay(vfs, dir, schema, flushed, |_, _| Ok(())) {
        Ok(replay) => Ok(intact(replay, data_dir, flushed)),
        Err(error @ Error::Damaged { .. }) => {
            damaged(error, &wal::survey(vfs, dir, flushed)?, data_dir, flushed)
        }
        Err(error) => Err(error),
    }
}

fn intact(replay: Replay, data_dir: &Path, flushed: Lsn) -> Log {
    let mut log = Log::default();
    let below = |path: &Path| path.strip_prefix(data_dir).unwrap_or(path).display().to_string();
    log.totals.segments = replay.segments.len() as u64;
    log.totals.frames = replay.segments.iter().map(|segment| segment.frames).sum();
    log.totals.bytes = replay.segments.iter().map(|segment| segment.file_len).sum();
    log.totals.events = replay.events;
    if let Some(last) = replay.segments.last() {
        let path = below(&last.path);
        if last.torn {
            let torn = Finding::new(
                &path,
                "the last frame is not whole: its write did not end, by a crash or on a full disk",
            );
            let means = "nothing, if the write was interrupted: it was not acknowledged. If it \
                was complete, the last frame is damaged";
            log.notes.push(torn.at(last.end).means(means).advice("The next start truncates it"));
        }
        if last.last_lsn < flushed {
            let what = format!(
                "the log ends at LSN {}, but the table has events up to {flushed}",
                last.last_lsn
            );
            let ahead = Finding::new(&path, what);
            let means = "a newer segment of the log is missing with its events, or the table's last LSN is wrong";
            log.findings.push(
                ahead
                    .means(means)
                    .advice("Restore the wal folder and events/_delta_log from one backup"),
            );
        }
    } else if flushed > 0 {
        let none = Finding::new(wal::WAL_DIR, "the log has no segment");
        let means = "events that were not flushed, if there were any, are missing";
        log.notes.push(
            none.means(means)
                .advice("If the wal folder was moved, put it back before the next start"),
        );
    }
    log
}

/// Reports what is lost by the damage that stopped replay, and what is still intact in the log.
fn damaged(error: Error, runs: &[Run], data_dir: &Path, flushed: Lsn) -> Result<Log> {
    let mut log = Log::default();
    let end = runs.iter().map(|run| run.end_lsn).max().unwrap_or(0).max(flushed + 1);
    let lost = wal::lost(runs, flushed);
    let lost_events: u64 = lost.iter().map(|(first, last)| last - first + 1).sum();
    log.totals.frames = runs.iter().map(|run| run.frames).sum();
    log.totals.events = end - flushed - 1 - lost_events;
    log.totals.segments = runs.iter().map(|run| &run.path).collect::<BTreeSet<_>>().len() as u64;

    let Error::Damaged { path, .. } = &error else { return Err(error) };
    let is_last = runs.last().is_none_or(|run| run.path <= *path);
    let is_needed =
        is_last || runs.iter().any(|run| run.path == *path && run.end_lsn > flushed + 1);
    let movable = lost.is_empty() && !is_needed;
    let rest = thousands(log.totals.events);
    let (means, advice) = match &lost[..] {
        [] if movable => {
            ("nothing: every event of this segment is in the table".into(), MOVE.into())
        }
        [] => (
            format!(
                "no event is known to be lost; {rest} in the log are intact and not in the table"
            ),
            by_hand(),
        ),
        gaps => {
            let spans: Vec<String> =
                gaps.iter().map(|(first, last)| format!("{first} to {last}")).collect();
            let (n, spans) = (thousands(lost_events), spans.join(", "));
            (
                format!(
                    "{n} acknowledged events are not intact (LSN {spans}); {rest} others in the \
                    log are"
                ),
                by_hand(),
            )
        }
    };
    log.findings
        .push(Finding::of_error(error, data_dir).means(means).advice(advice).movable_if(movable));
    Ok(log)
}

fn by_hand() -> String {
    "If the newest commits of events/_delta_log are missing, restore them. Else restore the wal \
    folder from a backup, or move it away: then the server starts, without the \
    log's events that are not in the table"
        .into()
}
