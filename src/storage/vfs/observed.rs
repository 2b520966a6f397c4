//! File system wrapper that shows every call to an [`Observer`] first, which counts it, or makes it
//! fail as a bad disk would.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, Lock, Meta, Room, Vfs, VfsFile};

/// Kind of a file system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    Open,
    Create,
    CreateDir,
    Rename,
    HardLink,
    RemoveFile,
    Metadata,
    List,
    SyncDir,
    SyncFilesystem,
    Lock,
    Room,
    Read,
    Write,
    SyncData,
    SetLen,
    Size,
}

/// One call about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub kind: CallKind,
    /// The file or folder; for a rename or a link, the new name.
    pub path: &'a Path,
    /// Number of bytes written or read.
    pub bytes: usize,
}

/// What to do with a call.
#[derive(Debug)]
pub enum Verdict {
    Proceed,
    /// Do not make the call; return the error.
    Fail(io::Error),
    /// Make the call, but return the error: the reply was lost.
    FailAfter(io::Error),
    /// For a write: write this many bytes, then return the error.
    Tear(usize, io::Error),
}

pub trait Observer: Send + Sync + Debug + 'static {
    fn see(&self, call: Call<'_>) -> Verdict;
}

/// File system `inner` whose calls are seen by `observer`.
#[derive(Debug)]
pub struct Observed<V, O> {
    inner: V,
    observer: Arc<O>,
}

#[derive(Debug)]
struct ObservedFile<O> {
    inner: Arc<dyn VfsFile>,
    path: PathBuf,
    observer: Arc<O>,
}

/// Makes a call according to `verdict`.
fn make_as<T>(verdict: Verdict, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match verdict {
        Verdict::Proceed => make(),
        Verdict::Fail(error) | Verdict::Tear(_, error) => Err(error),
        Verdict::FailAfter(error) => make().and(Err(error)),
    }
}

impl<V: Vfs, O: Observer> Observed<V, O> {
    pub fn new(inner: V, observer: Arc<O>) -> Observed<V, O> {
        Observed { inner, observer }
    }

    fn call<T>(
        &self,
        kind: CallKind,
        path: &Path,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        make_as(self.observer.see(Call { kind, path, bytes: 0 }), make)
    }

    fn file(
        &self,
        kind: CallKind,
        path: &Path,
        make: impl FnOnce() -> io::Result<Arc<dyn VfsFile>>,
    ) -> io::Result<Arc<dyn VfsFile>> {
        let inner = self.call(kind, path, make)?;
        Ok(Arc::new(ObservedFile { inner, path: path.into(), observer: self.observer.clone() }))
    }
}

impl<O: Observer> ObservedFile<O> {
    fn call<T>(
        &self,
        kind: CallKind,
        bytes: usize,
        make: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        make_as(self.observer.see(Call { kind, path: &self.path, bytes }), make)
    }
}

impl<O: Observer> VfsFile for ObservedFile<O> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.call(CallKind::Read, buf.len(), || self.inner.read_exact_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        match self.observer.see(Call { kind: CallKind::Write, path: &self.path, bytes: buf.len() })
        {
            Verdict::Tear(len, error) => {
                self.inner.write_all_at(&buf[..len.min(buf.len())], offset).and(Err(error))
            }
            verdict => make_as(verdict, || self.inner.write_all_at(buf, offset)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(CallKind::SyncData, 0, || self.inner.sync_data())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(CallKind::SetLen, 0, || self.inner.set_len(len))
    }

    fn size(&self) -> io::Result<u64> {
        self.call(CallKind::Size, 0, || self.inner.size())
    }
}

impl<V: Vfs, O: Observer> Vfs for Observed<V, O> {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.file(CallKind::Open, path, || self.inner.open(path))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.file(CallKind::Open, path, || self.inner.open_write(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.file(CallKind::Create, path, || self.inner.create(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::CreateDir, path, || self.inner.create_dir_all(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(CallKind::Rename, to, || self.inner.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(CallKind::HardLink, to, || self.inner.hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::RemoveFile, path, || self.inner.remove_file(path))
    }

    fn metadata(&self, path: &Path) -> io::Result<Meta> {
        self.call(CallKind::Metadata, path, || self.inner.metadata(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.call(CallKind::List, dir, || self.inner.list(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(CallKind::SyncDir, dir, || self.inner.sync_dir(dir))
    }

    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        self.call(CallKind::SyncFilesystem, path, || self.inner.sync_filesystem(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.call(CallKind::Lock, path, || self.inner.lock(path))
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        self.call(CallKind::Room, path, || self.inner.room(path))
    }
}
