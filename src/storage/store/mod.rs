//! Object store of the table: data files and the Delta log.
//!
//! Code that reads the table takes an [`ObjectStore`], and code that writes to it a [`TableStore`],
//! so that a table may be stored elsewhere than on this machine's disk. [`local`] is the store over
//! the file system, [`object`] reads and writes objects as files, [`counted`] counts what is read
//! through another store. Its futures run on a [`runtime`].

mod counted;
mod local;
mod object;
mod runtime;

use std::error::Error as StdError;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path as Location;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinError;

pub use self::counted::{Counted, Reads};
pub use self::local::VfsStore;
pub use self::object::{ObjectFile, ObjectWriter};
pub use self::runtime::StoreRuntime;
use crate::storage::error::{Error, Result};

/// Object store with explicit durability. Objects of the Delta log are durable when `put` returns.
#[async_trait]
pub trait TableStore: ObjectStore {
    /// Makes every object put so far durable, its bytes and its name. After an error the caller
    /// must commit none of them and put them again.
    async fn sync(&self) -> object_store::Result<()>;

    /// Makes the names of the objects in a folder durable, regardless of who put them.
    async fn sync_names(&self, folder: &Location) -> object_store::Result<()>;
}

/// Runs `work`, which blocks or takes long. In a multi-threaded runtime it runs on the blocking
/// pool, as the runtime's threads serve requests. A single-threaded runtime belongs to a caller
/// that waits, so `work` runs at once, in the order of the calls.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, JoinError> {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread => {
            runtime.spawn_blocking(work).await
        }
        _ => Ok(work()),
    }
}

/// Reads a whole object.
///
/// # Errors
/// [`Error::Io`] for an object on disk, [`Error::Object`] for any other.
pub async fn read(store: &dyn ObjectStore, location: &Location) -> Result<Bytes> {
    let read = async { store.get(location).await?.bytes().await };
    read.await.map_err(failed(location.as_ref(), "read"))
}

/// Removes an object; one that is already gone is no error.
pub async fn remove(store: &dyn ObjectStore, location: &Location) -> Result<()> {
    match store.delete(location).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(failed(location.as_ref(), "remove")(error)),
    }
}

/// Reports whether a read failed because there is no such object.
pub fn is_missing(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        Error::Object(error) => matches!(error, StoreError::NotFound { .. }),
        _ => false,
    }
}

/// Returns a function that converts an error of a store: to the system's error with path and
/// `action` if there is one behind it, otherwise to [`Error::Object`].
pub fn failed(path: &str, action: &'static str) -> impl FnOnce(StoreError) -> Error {
    move |error| match system_error(&error) {
        Some(source) => Error::io(path, action)(source),
        None => Error::Object(error),
    }
}

/// Returns the system's error behind an error of a store, if there is one.
fn system_error(error: &StoreError) -> Option<io::Error> {
    let first: &(dyn StdError + 'static) = error;
    let causes = std::iter::successors(Some(first), |error| (*error).source());
    let cause = causes.filter_map(|error| error.downcast_ref::<io::Error>()).last()?;
    Some(match cause.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(cause.kind(), cause.to_string()),
    })
}
