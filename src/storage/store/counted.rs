//! Object store wrapper that counts what is read through it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Counters of what has been read through a store.
#[derive(Debug, Default)]
pub struct Reads {
    bytes: AtomicU64,
    /// Objects that were read, at least in part. A mutex held only for an insertion, which is short
    /// compared with a disk read.
    objects: Mutex<BTreeSet<Location>>,
    listings: AtomicU64,
}

impl Reads {
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of distinct objects read.
    pub fn files(&self) -> u64 {
        self.objects.lock().expect("no panic under this lock").len() as u64
    }

    /// Resets the count of distinct objects.
    pub fn forget_files(&self) {
        self.objects.lock().expect("no panic under this lock").clear();
    }

    /// Returns the number of listings.
    pub fn listings(&self) -> u64 {
        self.listings.load(Ordering::Relaxed)
    }

    fn add(&self, location: &Location, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.objects.lock().expect("no panic under this lock").insert(location.clone());
    }
}

/// Store whose reads are added to a [`Reads`].
#[derive(Clone, Debug)]
pub struct Counted {
    store: Arc<dyn ObjectStore>,
    reads: Arc<Reads>,
}

impl Counted {
    pub fn new(store: Arc<dyn ObjectStore>, reads: Arc<Reads>) -> Counted {
        Counted { store, reads }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let got = self.store.get_opts(location, options).await?;
        self.reads.add(location, if head { 0 } else { got.range.end - got.range.start });
        Ok(got)
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = self.store.get_ranges(location, ranges).await?;
        self.reads.add(location, ranges.iter().map(|range| range.end - range.start).sum());
        Ok(parts)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.listings.fetch_add(1, Ordering::Relaxed);
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.reads.listings.fetch_add(1, Ordering::Relaxed);
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
