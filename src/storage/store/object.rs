//! Objects as files: a reader for Parquet that fetches ranges, and a writer that uploads in parts.
//! Both block, so they are for threads that may, outside of a runtime.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use object_store::path::Path as Location;
use object_store::{MultipartUpload, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::{StoreRuntime, TableStore, failed};
use crate::storage::error::{Error, Result};

/// Size up to which an object is read at once.
const WHOLE_BYTES: u64 = 4 << 20;

/// Size of the ranges read for a checksum.
const RANGE_BYTES: u64 = 1 << 20;

/// Size of the ranges read ahead where the length is not known.
const AHEAD_BYTES: u64 = 64 << 10;

/// Size of the parts of an upload.
const PART_BYTES: usize = 8 << 20;

/// Object opened for reading.
#[derive(Clone, Debug)]
pub struct ObjectFile {
    runtime: StoreRuntime,
    store: Arc<dyn TableStore>,
    location: Location,
    bytes: u64,
    /// Contents of a small object.
    whole: Option<Bytes>,
}

impl ObjectFile {
    /// Opens the object, which has this many bytes.
    pub fn open(
        runtime: StoreRuntime,
        store: &Arc<dyn TableStore>,
        location: &Location,
        bytes: u64,
    ) -> Result<ObjectFile> {
        let (store, location) = (store.clone(), location.clone());
        let mut file = ObjectFile { runtime, store, location, bytes, whole: None };
        if bytes <= WHOLE_BYTES {
            file.whole = Some(file.range(0, bytes)?);
        }
        Ok(file)
    }

    fn range(&self, start: u64, len: u64) -> Result<Bytes> {
        if let Some(whole) = &self.whole {
            let range = start as usize..(start + len) as usize;
            return whole.get(range).map(|part| whole.slice_ref(part)).ok_or_else(|| {
                let source = io::ErrorKind::UnexpectedEof.into();
                Error::io(self.location.as_ref(), "read")(source)
            });
        }
        let read = self.store.get_range(&self.location, start..start + len);
        self.runtime.block_on(read).map_err(failed(self.location.as_ref(), "read"))
    }

    /// Reads the object and returns the CRC-32C of its bytes.
    pub fn checksum(&self) -> Result<u32> {
        let (mut start, mut crc) = (0, 0);
        while start < self.bytes {
            let len = RANGE_BYTES.min(self.bytes - start);
            crc = crc32c::crc32c_append(crc, &self.range(start, len)?);
            start += len;
        }
        Ok(crc)
    }
}

impl Length for ObjectFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for ObjectFile {
    type T = RangeReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<RangeReader> {
        Ok(RangeReader { file: self.clone(), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.range(start, length as u64).map_err(|error| ParquetError::External(error.into()))
    }
}

/// Reader of an object from a position on.
#[derive(Debug)]
pub struct RangeReader {
    file: ObjectFile,
    at: u64,
    ahead: Bytes,
}

impl Read for RangeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            let len = AHEAD_BYTES.min(self.file.bytes.saturating_sub(self.at));
            self.ahead = self.file.range(self.at, len).map_err(io::Error::other)?;
            self.at += len;
        }
        let len = buf.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }
}

/// Object being written. It appears when it is closed; if it is dropped before, it never does.
#[derive(Debug)]
pub struct ObjectWriter {
    runtime: StoreRuntime,
    location: Location,
    upload: Box<dyn MultipartUpload>,
    buffer: Vec<u8>,
    bytes: u64,
    crc32c: u32,
}

impl ObjectWriter {
    pub fn create(
        runtime: StoreRuntime,
        store: &Arc<dyn TableStore>,
        location: &Location,
    ) -> Result<ObjectWriter> {
        let upload = runtime
            .block_on(store.put_multipart(location))
            .map_err(failed(location.as_ref(), "create"))?;
        let (location, buffer) = (location.clone(), Vec::new());
        Ok(ObjectWriter { runtime, location, upload, buffer, bytes: 0, crc32c: 0 })
    }

    fn put_part(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.buffer);
        self.crc32c = crc32c::crc32c_append(self.crc32c, &part);
        self.bytes += part.len() as u64;
        self.runtime
            .block_on(self.upload.put_part(part.into()))
            .map_err(failed(self.location.as_ref(), "write"))
    }

    /// Completes the object; returns its size and the CRC-32C of its bytes. It is durable after
    /// [`TableStore::sync`].
    pub fn close(mut self) -> Result<(u64, u32)> {
        if !self.buffer.is_empty() {
            self.put_part()?;
        }
        self.runtime
            .block_on(self.upload.complete())
            .map_err(failed(self.location.as_ref(), "write"))?;
        Ok((self.bytes, self.crc32c))
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(buf);
        if self.buffer.len() >= PART_BYTES {
            self.put_part().map_err(io::Error::other)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
