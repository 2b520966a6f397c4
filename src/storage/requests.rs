//! Requests that a caller makes of the committer, through the writer, and the reasons for which
//! they are refused. Requests are handled after everything that was sealed before.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::vfs;
use crate::limit::Limit;
use crate::storage::error::Error;

/// Sends an outcome to the caller that waits for it; `Err` says why nothing was stored.
pub type Waiter<T> = oneshot::Sender<Result<T, Refusal>>;

/// Reason why an append was not stored; cheap to clone for every waiter.
#[derive(Clone, Debug)]
pub enum Refusal {
    Busy(Limit),
    Poisoned(Arc<str>),
    Failed(Arc<str>),
    /// What was asked needs a file that is damaged.
    Damaged {
        path: PathBuf,
        offset: u64,
        reason: String,
        advice: &'static str,
    },
    KeyReused,
    /// An engine thread has ended.
    Died(Arc<str>),
    Closed,
}

impl Refusal {
    /// Reports whether the refusal is permanent.
    pub fn is_final(&self) -> bool {
        matches!(self, Refusal::Poisoned(_) | Refusal::Died(_) | Refusal::Closed)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Busy(bound) => Error::Busy(bound),
            Refusal::Poisoned(why) => Error::Poisoned(why.to_string()),
            Refusal::Failed(why) => Error::Io {
                path: super::directory::TABLE_DIR.into(),
                action: "change the table",
                source: std::io::Error::other(why.to_string()),
            },
            Refusal::Damaged { path, offset, reason, advice } => {
                Error::Damaged { path, offset, reason, advice }
            }
            Refusal::KeyReused => Error::KeyReused,
            Refusal::Died(why) => Error::Died(why.to_string()),
            Refusal::Closed => Error::Closed,
        }
    }
}

impl From<&Error> for Refusal {
    /// Returns what to tell the caller of a request that failed.
    fn from(error: &Error) -> Refusal {
        if let Some(bound) = vfs::limit_behind(error) {
            return Refusal::Busy(bound);
        }
        match error {
            Error::Damaged { path, offset, reason, advice } => {
                let (path, reason) = (path.clone(), reason.clone());
                Refusal::Damaged { path, offset: *offset, reason, advice }
            }
            _ => Refusal::Failed(error.to_string().into()),
        }
    }
}

/// A request with its caller.
#[derive(Debug)]
pub enum Request {
    /// Put everything acknowledged so far into data files.
    Flush(Waiter<()>),
    /// Merge all files that can be merged.
    Compact(Compact),
    /// Remove the hours that are too old.
    Retain(Retain),
    /// Remove all rows of some users.
    Forget(Forget),
}

#[derive(Debug)]
pub struct Compact {
    /// Whether only to count what would be merged.
    pub dry_run: bool,
    pub progress: Progress,
    pub waiter: Waiter<CompactionReport>,
}

#[derive(Debug)]
pub struct Forget {
    pub users: Arc<BTreeSet<String>>,
    /// Whether their bytes go at once, and not when the grace period of replaced files ends.
    pub now: bool,
    pub waiter: Waiter<ErasureReceipt>,
}

/// Receipt of an erasure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureReceipt {
    pub users: u64,
    pub files_examined: u64,
    /// Files with rows of the users, which were replaced by others.
    pub files_rewritten: u64,
    pub hours: u64,
    pub rows_removed: u64,
    /// Version of the table from which on it has nothing of the users.
    pub version: u64,
    /// Whether the bytes are gone, too.
    pub purged: bool,
    /// Time at which they go otherwise (RFC 3339).
    pub purged_after: Option<String>,
}

#[derive(Debug)]
pub struct Retain {
    /// Whether only to count what would be removed.
    pub dry_run: bool,
    pub waiter: Waiter<RetentionReport>,
}

/// Result of a retention, done or only planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionReport {
    /// First hour that is kept.
    pub before: String,
    /// What is removed.
    pub hours: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Result of a compaction, done or only planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactionReport {
    /// Hours whose files were merged.
    pub hours: u64,
    /// Files that were merged, and what they were merged into.
    pub files_before: u64,
    pub files_after: u64,
    pub rows: u64,
    /// Bytes of these files; a plan does not know those after.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Hours that were left as they are, because a file is missing or damaged.
    #[serde(default)]
    pub skipped: u64,
}

/// Progress of a request; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<(AtomicU64, AtomicU64)>);

impl Progress {
    pub fn set(&self, done: u64, of: u64) {
        self.0.0.store(done, Ordering::Relaxed);
        self.0.1.store(of, Ordering::Relaxed);
    }

    /// Returns how many units are done, and of how many.
    pub fn get(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Relaxed), self.0.1.load(Ordering::Relaxed))
    }
}

impl Request {
    /// Reports whether what is in memory must be flushed first.
    pub fn needs_flush(&self) -> bool {
        !matches!(self, Request::Compact(_))
    }

    /// Reports whether the log must keep nothing of what is flushed.
    pub fn needs_new_log(&self) -> bool {
        matches!(self, Request::Forget(_))
    }

    /// Tells the caller why the request was not carried out.
    pub fn refuse(self, refusal: Refusal) {
        match self {
            Request::Flush(waiter) => _ = waiter.send(Err(refusal)),
            Request::Compact(compact) => _ = compact.waiter.send(Err(refusal)),
            Request::Retain(retain) => _ = retain.waiter.send(Err(refusal)),
            Request::Forget(forget) => _ = forget.waiter.send(Err(refusal)),
        }
    }
}
