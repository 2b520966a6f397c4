//! Earlier versions of the table, for snapshots of them.
//!
//! The last version loaded is cached, with the unions of its users: these do not share the cache of
//! the present, whose hours they would evict.
//!
//! Files that were replaced since are removed some time later, so a version is checked for them
//! each time it is asked for. Those that are also in the present need no check.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use object_store::{ObjectStore, ObjectStoreExt};

use super::distinct::DistinctUsers;
use crate::event::EventSchema;
use crate::storage::error::Result;
use crate::storage::lake::actions::DataFile;
use crate::storage::lake::commits::Commit;
use crate::storage::lake::history::{AsOf, TableHistory, file_is_gone};
use crate::storage::lake::index::{FileIndex, HourFiles};
use crate::storage::store;

/// Divisor of the size of the present's cache of users that gives the size of an earlier version's.
const USERS_CACHE_SHARE: u64 = 4;

/// Earlier versions of the table, with the last one loaded.
#[derive(Debug)]
pub struct Past {
    history: TableHistory,
    users_cache_bytes: u64,
    /// A mutex held to copy or replace the pointer, never while a version is loaded.
    last: Mutex<Option<Arc<Version>>>,
}

/// One version of the table.
#[derive(Debug)]
pub struct Version {
    pub number: u64,
    pub files: FileIndex,
    pub distinct: Arc<DistinctUsers>,
}

impl Past {
    pub fn new(store: Arc<dyn ObjectStore>, schema: EventSchema, users_cache_bytes: u64) -> Past {
        let history = TableHistory::new(store, schema);
        let users_cache_bytes = users_cache_bytes / USERS_CACHE_SHARE;
        Past { history, users_cache_bytes, last: Mutex::default() }
    }

    fn last(&self) -> Option<Arc<Version>> {
        self.last.lock().expect("no panic under this lock").clone()
    }

    /// Returns a version of the table, of which every file still exists; `present` are files that
    /// are known to exist.
    ///
    /// # Errors
    /// [`Error::AsOf`](crate::storage::Error::AsOf) if there is no such version, or it can no
    /// longer be read.
    pub async fn version(&self, as_of: AsOf, present: &FileIndex) -> Result<Arc<Version>> {
        let version = self.find(as_of).await?;
        version.check_files(present, self.history.store()).await?;
        Ok(version)
    }

    /// Reads what each commit in the log changed, oldest first.
    pub async fn commits(&self) -> Result<Vec<Commit>> {
        self.history.commits().await
    }

    async fn find(&self, as_of: AsOf) -> Result<Arc<Version>> {
        let is = |number: u64| self.last().filter(|last| last.number == number);
        // A version that is cached is known to exist.
        if let AsOf::Version(number) = as_of
            && let Some(last) = is(number)
        {
            return Ok(last);
        }
        let number = self.history.version(as_of).await?;
        if let Some(last) = is(number) {
            return Ok(last);
        }
        let files = self.history.files(number).await?;
        let distinct = Arc::new(DistinctUsers::new(self.users_cache_bytes));
        let version = Arc::new(Version { number, files, distinct });
        *self.last.lock().expect("no panic under this lock") = Some(version.clone());
        Ok(version)
    }
}

impl Version {
    /// Checks that the files that the present lacks still exist.
    ///
    /// # Errors
    /// [`Error::AsOf`](crate::storage::Error::AsOf) if one of them has been removed.
    async fn check_files(&self, present: &FileIndex, store: &dyn ObjectStore) -> Result<()> {
        for file in replaced(&self.files, present) {
            match store.head(&file.location).await {
                Err(object_store::Error::NotFound { .. }) => {
                    return Err(file_is_gone(self.number, &file.location));
                }
                found => found.map_err(store::failed(file.location.as_ref(), "look up"))?,
            };
        }
        Ok(())
    }
}

/// Returns the files of one version that another lacks.
fn replaced(files: &FileIndex, present: &FileIndex) -> Vec<Arc<DataFile>> {
    let mut replaced = Vec::new();
    for (hour, then) in files {
        let now = present.get(hour).map_or(&[][..], |now: &Arc<HourFiles>| &now.files);
        let now: HashSet<_> = now.iter().map(|file| &file.location).collect();
        replaced.extend(then.files.iter().filter(|file| !now.contains(&file.location)).cloned());
    }
    replaced
}
