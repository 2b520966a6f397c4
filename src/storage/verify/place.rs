//! Location of the data directory to check.

use std::path::Path;
use std::sync::Arc;

use crate::storage::directory::DirectoryMeta;
use crate::storage::error::Result;
use crate::storage::store::StoreRuntime;
use crate::storage::store::{TableStore, VfsStore};
use crate::storage::vfs::Vfs;

/// Access to a data directory: its files through the file system, the table through its object
/// store.
pub struct Place<'a> {
    pub vfs: &'a Arc<dyn Vfs>,
    pub data_dir: &'a Path,
    pub meta: DirectoryMeta,
    pub store: Arc<dyn TableStore>,
    /// Runtime for calls to the store.
    pub runtime: StoreRuntime,
}

impl Place<'_> {
    pub fn new<'a>(
        vfs: &'a Arc<dyn Vfs>,
        data_dir: &'a Path,
        meta: DirectoryMeta,
    ) -> Result<Place<'a>> {
        let store = Arc::new(VfsStore::new(vfs.clone(), data_dir));
        Ok(Place { vfs, data_dir, meta, store, runtime: StoreRuntime::new()? })
    }
}
