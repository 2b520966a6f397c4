//! The index's file as its database sees it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

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

/// Bytes of a page of [`CopyBackend`].
const PAGE: u64 = 4096;

/// A copy of a file: what is written stays in memory, so that an index that was not closed in order
/// can be opened without changing it.
#[derive(Debug)]
pub struct CopyBackend {
    file: Arc<dyn VfsFile>,
    state: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Length up to which the file's bytes count.
    kept: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl CopyBackend {
    pub fn new(file: Arc<dyn VfsFile>) -> io::Result<CopyBackend> {
        let len = file.size()?;
        let state = Mutex::new(Written { len, kept: len, pages: BTreeMap::new() });
        Ok(CopyBackend { file, state })
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().expect("no panic under this lock")
    }

    /// Returns a page as the file has it.
    fn page(&self, page: u64, kept: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE as usize];
        let len = kept.saturating_sub(page * PAGE).min(PAGE) as usize;
        self.file.read_exact_at(&mut bytes[..len], page * PAGE)?;
        Ok(bytes)
    }
}

/// Divides a range into the parts of pages: the page, where the part begins in it, its length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (page, within) = (at / PAGE, at % PAGE);
        let len = (PAGE - within).min(end - at);
        at += len;
        (len > 0).then_some((page, within as usize, len as usize))
    })
}

impl StorageBackend for CopyBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (page, within, len) in parts(offset, out.len()) {
            let part = &mut out[done..done + len];
            match state.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[within..within + len]),
                None => {
                    part.copy_from_slice(&self.page(page, state.kept)?[within..within + len]);
                }
            }
            done += len;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        (state.len, state.kept) = (len, state.kept.min(len));
        state.pages.retain(|page, _| page * PAGE < len);
        if let Some(last) = state.pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut done = 0;
        for (page, within, len) in parts(offset, data.len()) {
            if !state.pages.contains_key(&page) {
                let bytes = self.page(page, state.kept)?;
                state.pages.insert(page, bytes);
            }
            let bytes = state.pages.get_mut(&page).expect("inserted above");
            bytes[within..within + len].copy_from_slice(&data[done..done + len]);
            done += len;
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}
