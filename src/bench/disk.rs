//! Files of a benchmark: counters of the engine's writes and syncs, at its file system layer, and
//! sizes and copies of folders.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
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

/// Returns the bytes of all files below `dir`.
pub fn size_of(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list"))? {
        let entry = entry.map_err(Error::io(dir, "list"))?;
        let meta = entry.metadata().map_err(Error::io(entry.path(), "look at"))?;
        bytes += if meta.is_dir() { size_of(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(Error::io(to, "create"))?;
    for entry in std::fs::read_dir(from).map_err(Error::io(from, "list"))? {
        let entry = entry.map_err(Error::io(from, "list"))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            std::fs::copy(&source, &target).map_err(Error::io(&source, "copy"))?;
        }
    }
    Ok(())
}
