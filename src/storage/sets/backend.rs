//! The index's file as its database sees it.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use crate::storage::vfs::VfsFile;

/// A file of the [`crate::storage::vfs::Vfs`]. It needs no lock of its own: the process holds that
/// of the data directory.
#[derive(Debug)]
pub struct FileBackend(pub Arc<dyn VfsFile>);

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
