//! The machine's disk with counters: what the engine writes and syncs is counted where it does so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::vfs::{Disk, Entry, Lock, Meta, Vfs, VfsFile};

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

/// [`Disk`], counted.
#[derive(Clone, Debug, Default)]
pub struct CountingDisk(Arc<Counters>);

impl CountingDisk {
    pub fn written(&self) -> Written {
        let Counters { log_syncs, log_bytes, table_bytes } = &*self.0;
        let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written { log_syncs: at(log_syncs), log_bytes: at(log_bytes), table_bytes: at(table_bytes) }
    }

    fn counted(&self, path: &Path, file: io::Result<Arc<dyn VfsFile>>) -> io::Result<Arc<dyn VfsFile>> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A spare is a segment of the log to be; its zeros are no events.
        let kind = match extension {
            Some("wal") => Kind::Log,
            Some("spare") => Kind::Spare,
            _ => Kind::Table,
        };
        Ok(Arc::new(CountingFile { file: file?, kind, counters: self.0.clone() }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Log,
    Spare,
    Table,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn VfsFile>,
    kind: Kind,
    counters: Arc<Counters>,
}

impl VfsFile for CountingFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let counter = match self.kind {
            Kind::Log => &self.counters.log_bytes,
            Kind::Table => &self.counters.table_bytes,
            Kind::Spare => return self.file.write_all_at(buf, offset),
        };
        counter.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.kind == Kind::Log {
            self.counters.log_syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl Vfs for CountingDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Disk.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.counted(path, Disk.open_write(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.counted(path, Disk.create(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        Disk.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Disk.remove_file(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        Disk.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        Disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        Disk.sync_filesystem(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        Disk.lock(path)
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
