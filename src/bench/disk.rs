//! What the engine writes and syncs, counted where it does so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use crate::storage::vfs::{Disk, Vfs};

/// Counted since the beginning.
#[derive(Debug, Default)]
pub struct Counters {
    /// `fdatasync`s of files of the log.
    log_syncs: AtomicU64,
    log_bytes: AtomicU64,
    /// Data files and the Delta log.
    table_bytes: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub log_syncs: u64,
    pub log_bytes: u64,
    pub table_bytes: u64,
}

impl Written {
    pub fn since(self, before: Written) -> Written {
        Written {
            log_syncs: self.log_syncs - before.log_syncs,
            log_bytes: self.log_bytes - before.log_bytes,
            table_bytes: self.table_bytes - before.table_bytes,
        }
    }
}

impl Counters {
    /// The machine's disk with these counters.
    pub fn disk(self: &Arc<Counters>) -> Arc<dyn Vfs> {
        Arc::new(Observed::new(Disk, self.clone()))
    }

    pub fn written(&self) -> Written {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written { log_syncs: at(&self.log_syncs), log_bytes: at(&self.log_bytes), table_bytes: at(&self.table_bytes) }
    }
}

impl Observer for Counters {
    fn see(&self, call: Call<'_>) -> Verdict {
        let counted = match (call.kind, call.path.extension().and_then(|extension| extension.to_str())) {
            (CallKind::SyncData, Some("wal")) => Some((&self.log_syncs, 1)),
            (CallKind::Write, Some("wal")) => Some((&self.log_bytes, call.bytes as u64)),
            // A spare is a segment of the log to be; its zeros are no events.
            (CallKind::Write, extension) if extension != Some("spare") => Some((&self.table_bytes, call.bytes as u64)),
            _ => None,
        };
        if let Some((counter, n)) = counted {
            counter.fetch_add(n, Ordering::Relaxed);
        }
        Verdict::Proceed
    }
}

/// Lets the system forget the pages of every file below `dir`, so that the next reads go to the disk. Answers how many bytes
/// that concerns. What is dirty stays; whoever calls has synced.
pub fn forget_pages(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in Disk.list(dir)? {
        let path = dir.join(entry.name);
        if entry.meta.is_dir {
            bytes += forget_pages(&path)?;
        } else {
            let file = std::fs::File::open(&path)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            bytes += entry.meta.len;
        }
    }
    Ok(bytes)
}
