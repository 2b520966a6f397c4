//! Object store over [`Vfs`], so that the Delta log and the data files use the same disk as the
//! write-ahead log.
//!
//! An object appears whole or not at all: it is written under a temporary name that begins with a
//! dot and then renamed, or hard-linked if the name must be new. Objects of the Delta log
//! (`_delta_log/`) are durable when `put` returns. Data files are not: a flush puts thousands of
//! them and makes them durable together with [`TableStore::sync`] before its commit.
//!
//! The store keeps no attributes, tags or versions. The parts of a multipart upload are written to
//! the temporary file as they come, in order.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::{Path as Location, PathPart};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

use super::{TableStore, blocking};
use crate::storage::vfs::{Meta, Vfs, VfsFile};
use crate::threads;

const NAME: &str = "hourglass";

/// Maximum number of unsynced files that are synced one by one. Above it one `syncfs` is faster
/// (0.45 ms a file against 40 ms for a thousand, measured on ext4) at the price of also waiting for
/// what other programs have written.
const SYNC_ONE_BY_ONE: usize = 64;

/// Bytes up to which a read takes less time than passing it to another thread and back.
const SHORT_READ_BYTES: u64 = 1 << 20;

/// Size of an upload's part from which on it is synced at once.
const SYNC_PART_BYTES: usize = 1 << 20;

/// Object store of the files below one folder.
#[derive(Debug, Clone)]
pub struct VfsStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    vfs: Arc<dyn Vfs>,
    root: PathBuf,
    /// Data files renamed into place and not yet synced. A mutex held for a push or a take, never
    /// across a call.
    unsynced: Mutex<Vec<PathBuf>>,
    /// Counter in temporary names, so that two puts of one object do not share one.
    temporaries: AtomicU64,
}

impl fmt::Display for VfsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VfsStore({})", self.inner.root.display())
    }
}

impl VfsStore {
    pub fn new(vfs: Arc<dyn Vfs>, root: impl Into<PathBuf>) -> VfsStore {
        let (unsynced, temporaries) = Default::default();
        let inner = Inner { vfs, root: root.into(), unsynced, temporaries };
        VfsStore { inner: Arc::new(inner) }
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await?
    }

    /// Runs `work`, which reads this many bytes: a short read at once, on a thread that may wait for
    /// it. A scan of many small files would otherwise mostly wait for threads to wake up.
    async fn reading<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if bytes <= SHORT_READ_BYTES && threads::may_block() {
            work(&self.inner)
        } else {
            self.blocking(work).await
        }
    }
}

#[async_trait]
impl TableStore for VfsStore {
    async fn sync(&self) -> Result<()> {
        self.blocking(|inner| inner.sync().map_err(|source| error(&Location::default(), source)))
            .await
    }

    async fn sync_names(&self, folder: &Location) -> Result<()> {
        let folder = folder.clone();
        self.blocking(move |inner| {
            inner.vfs.sync_dir(&inner.path(&folder)).map_err(|source| error(&folder, source))
        })
        .await
    }
}

impl Inner {
    fn sync(&self) -> io::Result<()> {
        let files = std::mem::take(&mut *self.unsynced.lock().expect("no panic under this lock"));
        if files.len() > SYNC_ONE_BY_ONE {
            return self.vfs.sync_filesystem(&self.root);
        }
        let mut folders = BTreeSet::new();
        for file in &files {
            self.vfs.open_write(file)?.sync_data()?;
            folders.extend(
                file.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)),
            );
        }
        folders.into_iter().rev().try_for_each(|folder| self.vfs.sync_dir(folder))
    }

    fn path(&self, location: &Location) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(location.parts().map(|part| part.as_ref().to_string()));
        path
    }

    /// Returns a temporary name for the file at `path`.
    fn temporary(&self, path: &Path) -> PathBuf {
        let name = path.file_name().expect("an object has a name").to_string_lossy();
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
    }

    fn write(&self, path: &Path, parts: &[&[u8]], mode: PutMode, durable: bool) -> io::Result<()> {
        let folder = path.parent().expect("an object lies below the root");
        let temporary = self.temporary(path);
        let written = self.write_temporary(&temporary, parts, durable).and_then(|()| match mode {
            PutMode::Create => self.vfs.hard_link(&temporary, path),
            _ => self.vfs.rename(&temporary, path),
        });
        if written.is_err() || matches!(mode, PutMode::Create) {
            let _ = self.vfs.remove_file(&temporary);
        }
        written?;
        if durable { self.vfs.sync_dir(folder) } else { Ok(()) }
    }

    /// Creates a temporary file, and the folder for it.
    fn create_temporary(&self, temporary: &Path, durable: bool) -> io::Result<Arc<dyn VfsFile>> {
        match self.vfs.create(temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = temporary.parent().expect("an object lies below the root");
                self.vfs.create_dir_all(folder)?;
                if durable {
                    self.vfs.sync_dir(folder.parent().unwrap_or(folder))?;
                }
                self.vfs.create(temporary)
            }
            other => other,
        }
    }

    fn write_temporary(&self, temporary: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
        let file = self.create_temporary(temporary, durable)?;
        let mut offset = 0;
        for part in parts {
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        if durable { file.sync_data() } else { Ok(()) }
    }

    fn put(&self, location: &Location, payload: &PutPayload, mode: PutMode) -> Result<PutResult> {
        let path = self.path(location);
        let durable = location.parts().any(|part| part.as_ref() == "_delta_log");
        let parts: Vec<&[u8]> = payload.iter().map(|part| part.as_ref()).collect();
        self.write(&path, &parts, mode, durable).map_err(|source| error(location, source))?;
        if !durable {
            self.unsynced.lock().expect("no panic under this lock").push(path);
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    fn meta(&self, location: &Location) -> Result<ObjectMeta> {
        match self.vfs.metadata(&self.path(location)) {
            Ok(meta) if meta.is_dir => Err(error(location, io::ErrorKind::NotFound.into())),
            Ok(meta) => Ok(object_meta(location.clone(), meta)),
            Err(source) => Err(error(location, source)),
        }
    }

    fn read_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.vfs.open(&self.path(location)).map_err(|source| error(location, source))?;
        let read = |range: &Range<u64>| {
            let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
            file.read_exact_at(&mut bytes, range.start)
                .map_err(|source| error(location, source))?;
            Ok(bytes.freeze())
        };
        ranges.iter().map(read).collect()
    }

    /// Collects everything below `prefix`. Skips names that begin with a dot, which are temporary
    /// files.
    fn walk(&self, prefix: &Location, deep: bool, found: &mut ListResult) -> io::Result<()> {
        let entries = match self.vfs.list(&self.path(prefix)) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            other => other?,
        };
        for entry in entries.into_iter().filter(|entry| !entry.name.starts_with('.')) {
            // A name that came from a location is already encoded and must not be encoded again.
            let part = PathPart::parse(&entry.name).unwrap_or_else(|_| entry.name.as_str().into());
            let location = prefix.clone().join(part);
            match (entry.meta.is_dir, deep) {
                (true, true) => self.walk(&location, deep, found)?,
                (true, false) => found.common_prefixes.push(location),
                (false, _) => found.objects.push(object_meta(location, entry.meta)),
            }
        }
        Ok(())
    }

    fn list(&self, prefix: Option<&Location>, deep: bool) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        self.walk(&prefix, deep, &mut found).map_err(|source| error(&prefix, source))?;
        found.objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }
}

fn object_meta(location: Location, meta: Meta) -> ObjectMeta {
    let last_modified = DateTime::from_timestamp_micros(meta.modified_us).unwrap_or_default();
    ObjectMeta { location, last_modified, size: meta.len, e_tag: None, version: None }
}

fn error(location: &Location, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: source.into() },
        kind => Error::Generic {
            store: NAME,
            source: io::Error::new(kind, AtPath { path, source }).into(),
        },
    }
}

/// File system error with the object that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
struct AtPath {
    path: String,
    source: io::Error,
}

#[async_trait]
impl ObjectStore for VfsStore {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return Err(Error::NotImplemented {
                operation: "put with PutMode::Update".into(),
                implementer: NAME.into(),
            });
        }
        let location = location.clone();
        self.blocking(move |inner| inner.put(&location, &payload, options.mode)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let location = location.clone();
        self.blocking(move |inner| {
            let path = inner.path(&location);
            let temporary = inner.temporary(&path);
            let file = inner
                .create_temporary(&temporary, false)
                .inspect_err(|_| drop(inner.vfs.remove_file(&temporary)))
                .map_err(|source| error(&location, source))?;
            Ok(Upload { location, path, temporary, file, offset: 0, done: false })
        })
        .await
        .map(|upload| -> Box<dyn MultipartUpload> {
            Box::new(StoreUpload { store: self.clone(), upload: Arc::new(Mutex::new(upload)) })
        })
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        let bytes = match &options.range {
            Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
            Some(GetRange::Suffix(bytes)) => *bytes,
            Some(GetRange::Offset(_)) | None => u64::MAX,
        };
        self.reading(bytes, move |inner| {
            let meta = inner.meta(&location)?;
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                Some(range) => range
                    .as_range(meta.size)
                    .map_err(|source| Error::Generic { store: NAME, source: source.into() })?,
                None => 0..meta.size,
            };
            let bytes = if options.head {
                Bytes::new()
            } else {
                inner.read_ranges(&location, std::slice::from_ref(&range))?.swap_remove(0)
            };
            let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
            let attributes = Default::default();
            Ok(GetResult { payload, meta, range, attributes })
        })
        .await
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (location, ranges) = (location.clone(), ranges.to_vec());
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.reading(bytes, move |inner| inner.read_ranges(&location, &ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        let store = self.clone();
        let delete = move |location: Result<Location>| {
            let store = store.clone();
            async move {
                let location = location?;
                let target = location.clone();
                store
                    .blocking(move |inner| {
                        inner
                            .vfs
                            .remove_file(&inner.path(&target))
                            .map_err(|source| error(&target, source))
                    })
                    .await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            match store.blocking(move |inner| inner.list(prefix.as_ref(), true)).await {
                Ok(found) => stream::iter(found.objects.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(listing).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.blocking(move |inner| inner.list(prefix.as_ref(), false)).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        let bytes = self.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put_opts(to, bytes.into(), mode.into()).await.map(|_| ())
    }
}

/// Multipart upload to a temporary file.
#[derive(Debug)]
struct StoreUpload {
    store: VfsStore,
    /// A mutex because each part is written where it may block; parts come one at a time.
    upload: Arc<Mutex<Upload>>,
}

#[derive(Debug)]
struct Upload {
    location: Location,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn VfsFile>,
    offset: u64,
    done: bool,
}

impl Upload {
    /// Writes a part. A large one is synced at once: one sync of the whole file would hold up those
    /// of the log.
    fn write(&mut self, part: &PutPayload) -> io::Result<()> {
        for bytes in part.iter() {
            self.file.write_all_at(bytes, self.offset)?;
            self.offset += bytes.len() as u64;
        }
        if part.content_length() < SYNC_PART_BYTES { Ok(()) } else { self.file.sync_data() }
    }

    fn complete(&mut self, inner: &Inner) -> io::Result<()> {
        inner.vfs.rename(&self.temporary, &self.path)?;
        self.done = true;
        inner.unsynced.lock().expect("no panic under this lock").push(self.path.clone());
        Ok(())
    }
}

impl StoreUpload {
    fn run(
        &self,
        work: impl FnOnce(&mut Upload, &Inner) -> io::Result<()> + Send + 'static,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let (store, upload) = (self.store.clone(), self.upload.clone());
        async move {
            let work = move |inner: &Inner| {
                let mut upload = upload.lock().expect("no panic under this lock");
                work(&mut upload, inner).map_err(|source| error(&upload.location, source))
            };
            store.blocking(work).await
        }
    }
}

#[async_trait]
impl MultipartUpload for StoreUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        Box::pin(self.run(move |upload, _| upload.write(&data)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.run(|upload, inner| upload.complete(inner)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.run(|upload, inner| {
            upload.done = true;
            inner.vfs.remove_file(&upload.temporary)
        })
        .await
    }
}

impl Drop for StoreUpload {
    fn drop(&mut self) {
        let upload = self.upload.lock().expect("no panic under this lock");
        if !upload.done {
            let _ = self.store.inner.vfs.remove_file(&upload.temporary);
        }
    }
}
