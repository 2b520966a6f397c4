//! File system interface: the operating system's files, behind a trait that a test can replace.
//!
//! All file access below `storage/` goes through [`Vfs`]: the log, the data files and the Delta log
//! alike. Data is durable only after the matching sync, as in POSIX: a file's bytes after
//! [`VfsFile::sync_data`], its name after [`Vfs::sync_dir`] of the folder that holds it, or both
//! for everything at once after [`Vfs::sync_filesystem`].
//!
//! [`Disk`] is the machine's file system; [`observed`] wraps any other to observe its calls.

pub mod observed;

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::limit::Limit;

/// An open file. Positions are explicit, so one handle serves many threads.
pub trait VfsFile: Send + Sync + Debug {
    /// Fills `buf` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Syncs the file's bytes, and its length if it changed (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
}

/// Entry of a folder listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub meta: Meta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub is_dir: bool,
    pub len: u64,
    /// Time of the last modification, in microseconds since the epoch.
    pub modified_us: i64,
}

/// A held lock; dropping it releases the lock.
pub trait Lock: Send + Sync + Debug {}

/// A file system.
pub trait Vfs: Send + Sync + Debug {
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    /// Creates a file for reading and writing; an existing one is truncated.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file, replacing `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name; `AlreadyExists` if `to` exists.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn metadata(&self, path: &Path) -> io::Result<Meta>;
    /// Lists the entries of a folder, ordered by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything written so far on the file system that holds `path` durable.
    fn sync_filesystem(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on the file at `path`, creating it if needed; `WouldBlock` if
    /// another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    /// Returns the space available to this process on the file system that holds `path`.
    fn room(&self, path: &Path) -> io::Result<Room>;
}

/// Total and free space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub bytes: u64,
    /// Number of files and folders that can still be created; this and `inodes` are 0 if the file
    /// system has no such limit.
    pub free_inodes: u64,
    pub inodes: u64,
}

/// Writes `bytes` to `path` so that, at any instant, the name refers to the old file or the whole
/// new one. Writes and syncs a temporary file, renames it and syncs the folder in one function,
/// since each step alone is worthless.
pub fn write_atomically(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let file = vfs.create(&temporary)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        vfs.rename(&temporary, path)
    };
    if let Err(error) = write() {
        // On a full disk a leftover file would take the space that the next attempt needs.
        let _ = vfs.remove_file(&temporary);
        return Err(error);
    }
    vfs.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Returns the limit that caused an error: a condition that passes, or that an operator changes
/// while the process runs. `None` if there is none.
pub fn limit_behind(error: &(dyn std::error::Error + 'static)) -> Option<Limit> {
    let bound = error.downcast_ref::<io::Error>().and_then(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Limit::Disk),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some(Limit::ReadOnly)
        }
        _ => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Some(Limit::OpenFiles),
            // An error may wrap another: the library's object store wraps ours this way.
            _ => error.get_ref().and_then(|inner| limit_behind(inner)),
        },
    });
    bound.or_else(|| limit_behind(error.source()?))
}

/// Reads a whole file.
pub fn read_all(vfs: &dyn Vfs, path: &Path) -> io::Result<Vec<u8>> {
    let file = vfs.open(path)?;
    let mut bytes = vec![0; file.size()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Like [`read_all`]; `None` if there is no such file.
pub fn read_if_there(vfs: &dyn Vfs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_all(vfs, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The machine's file system.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

#[derive(Debug)]
struct DiskFile(File);

#[derive(Debug)]
struct DiskLock(File);

impl Lock for DiskLock {}

impl Drop for DiskLock {
    /// Closing the file is not enough: a child process that has not yet become another program has
    /// it open, too, and would keep the lock.
    fn drop(&mut self) {
        _ = self.0.unlock();
    }
}

impl VfsFile for DiskFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
    Ok(Arc::new(DiskFile(options.open(path)?)))
}

fn meta(of: &fs::Metadata) -> Meta {
    Meta {
        is_dir: of.is_dir(),
        len: of.len(),
        modified_us: of.mtime() * 1_000_000 + of.mtime_nsec() / 1_000,
    }
}

impl Vfs for Disk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        open_with(OpenOptions::new().read(true), path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        open_with(OpenOptions::new().read(true).write(true), path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        open_with(OpenOptions::new().read(true).write(true).create(true).truncate(true), path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        Ok(meta(&fs::metadata(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A file removed between the listing and the look at its metadata is skipped.
            match entry.metadata() {
                Ok(of) => entries.push(Entry {
                    name: entry.file_name().to_string_lossy().into(),
                    meta: meta(&of),
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&File::open(path)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        let stat = rustix::fs::statvfs(path)?;
        let (free_bytes, bytes) = (
            stat.f_bavail.saturating_mul(stat.f_frsize),
            stat.f_blocks.saturating_mul(stat.f_frsize),
        );
        Ok(Room { free_bytes, bytes, free_inodes: stat.f_favail, inodes: stat.f_files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_though_its_file_is_open_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = DiskLock(File::create(&path).unwrap());
        lock.0.try_lock().unwrap();
        let elsewhere = lock.0.try_clone().unwrap();
        assert_eq!(Disk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        Disk.lock(&path).unwrap();
        drop(elsewhere);
    }
}
