//! Counters of the engine's writes and syncs, at its file system layer.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::vfs::observed::{Call, CallKind, Observed, Observer, Verdict};
use crate::storage::vfs::{Disk, Vfs};

/// Counters of writes and syncs, since they were created.
#[derive(Debug, Default)]
pub struct Counters {
    /// Number of `fdatasync` calls on log files.
    log_syncs: AtomicU64,
    log_bytes: AtomicU64,
    /// Bytes written to data files and the Delta log.
    table_bytes: AtomicU64,
}

/// Values of the counters at one moment.
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
    /// Returns the real disk, observed by these counters.
    pub fn disk(self: &Arc<Counters>) -> Arc<dyn Vfs> {
        Arc::new(Observed::new(Disk, self.clone()))
    }

    pub fn written(&self) -> Written {
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written {
            log_syncs: at(&self.log_syncs),
            log_bytes: at(&self.log_bytes),
            table_bytes: at(&self.table_bytes),
        }
    }
}

impl Observer for Counters {
    fn see(&self, call: Call<'_>) -> Verdict {
        let counted =
            match (call.kind, call.path.extension().and_then(|extension| extension.to_str())) {
                (CallKind::SyncData, Some("wal")) => Some((&self.log_syncs, 1)),
                (CallKind::Write, Some("wal")) => Some((&self.log_bytes, call.bytes as u64)),
                // A spare file is a preallocated log segment; its zeros are not events.
                (CallKind::Write, extension) if extension != Some("spare") => {
                    Some((&self.table_bytes, call.bytes as u64))
                }
                _ => None,
            };
        if let Some((counter, n)) = counted {
            counter.fetch_add(n, Ordering::Relaxed);
        }
        Verdict::Proceed
    }
}

/// Drops every file below `dir` from the page cache, so that the next reads go to the disk. Returns
/// the number of bytes. Dirty pages stay, so the caller must have synced.
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
