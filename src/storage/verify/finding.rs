//! Findings of a check, and its report.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::storage::directory::LOG_DIR;
use crate::storage::error::Error;

pub const RESTORE: &str = "Restore the file from a backup";
pub const MOVE: &str = "`hourglass verify --repair` moves it to quarantine";

/// Callback that receives the number of files checked so far and their total.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Problem found by a check: something that is not as it was written, or that is not needed.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Path relative to the data directory.
    pub path: String,
    /// Offset of the byte at which it begins, if known.
    pub offset: Option<u64>,
    pub what: String,
    /// Which acknowledged events are affected.
    pub means: String,
    /// What to do about it.
    pub advice: String,
    /// Whether a repair moves the file to quarantine, as nothing depends on it.
    pub movable: bool,
}

impl Finding {
    pub fn new(path: impl fmt::Display, what: impl Into<String>) -> Finding {
        let (means, advice) = Default::default();
        Finding {
            path: path.to_string(),
            offset: None,
            what: what.into(),
            means,
            advice,
            movable: false,
        }
    }

    pub fn at(self, offset: u64) -> Finding {
        Finding { offset: Some(offset), ..self }
    }

    pub fn means(self, means: impl Into<String>) -> Finding {
        Finding { means: means.into(), ..self }
    }

    pub fn advice(self, advice: impl Into<String>) -> Finding {
        Finding { advice: advice.into(), ..self }
    }

    pub fn movable_if(self, movable: bool) -> Finding {
        Finding { movable, ..self }
    }

    /// Converts an error that stopped a check, with its path, if any, relative to the data
    /// directory.
    pub fn of_error(error: Error, data_dir: &Path) -> Finding {
        let below = |path: &Path| path.strip_prefix(data_dir).unwrap_or(path).display().to_string();
        match error {
            Error::Damaged { path, offset, reason, advice } => {
                Finding::new(below(&path), reason).at(offset).advice(advice)
            }
            Error::Io { path, action, source } => {
                Finding::new(below(&path), format!("{action}: {source}"))
            }
            other => Finding::new(LOG_DIR, first_line(&other)),
        }
    }
}

/// Returns the first line of an error. The Delta library adds a backtrace to its errors if the
/// environment asks for one.
pub fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().into()
}

/// Report of a check of a whole data directory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether a server is using the directory; what it was writing is not damage.
    pub in_use: bool,
    pub log: LogTotals,
    pub table: TableTotals,
    /// Idempotency keys of flushed requests.
    pub keys: u64,
    pub sets: SetTotals,
    pub damage: Vec<Finding>,
    /// Findings that are harmless but worth reporting.
    pub notes: Vec<Finding>,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Totals of the write-ahead log.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LogTotals {
    pub segments: u64,
    pub frames: u64,
    /// Intact events that are not in the table yet.
    pub events: u64,
    pub bytes: u64,
}

/// Totals of the visitor sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetTotals {
    /// Data files whose sets were compared with their rows.
    pub files: u64,
    /// Days and months whose sets were compared with those of their files.
    pub periods: u64,
    /// Users in the index of names; 0 beside a server, where it is not read.
    pub users: u64,
}

/// Totals of the table; `rows` counts those that were read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TableTotals {
    pub commits: u64,
    pub flushed_lsn: u64,
    pub hours: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}
