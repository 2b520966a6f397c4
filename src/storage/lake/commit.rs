//! Commits to the table, one at a time.
//!
//! Every commit carries the transaction `txn(NODE/fence, EPOCH)`. Each process that opens the table
//! to write raises the epoch by a commit, so a commit that was prepared before meets a newer one
//! and is refused: an owner that has been replaced commits nothing more, however late it wakes up.
//!
//! A commit is tried for one version only. If another one has taken it, the table is loaded again
//! and the change is weighed anew, because the library cannot tell whether two changes agree: it is
//! not given the list of files. A commit whose reply was lost is found in the same way.

use std::sync::Arc;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Snapshot as LogSnapshot, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};

use super::actions::{DataFile, add_action, carry, remove_action};
use super::index::{self, FileIndex};
use super::table::{Lake, state_without_files, sync_log};
use crate::hour::Hour;
use crate::storage::directory::TABLE_DIR;
use crate::storage::error::{Error, Result};
use crate::storage::idempotency::files::KeyFileRecord;
use crate::storage::store;
use crate::storage::wal::Lsn;

/// Number of commits of others that one commit may lose to before it fails.
const ATTEMPTS: usize = 8;

/// A file to commit: its hour, and the first and last user in it.
pub type CommitFile = (Hour, DataFile, (String, String));

/// What a commit changes.
#[derive(Clone, Debug)]
pub struct Change {
    pub purpose: Purpose,
    pub adds: Vec<CommitFile>,
    pub removes: Vec<(Hour, Arc<DataFile>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Raises the epoch.
    Fence,
    /// Adds the rows of a generation in memory, through `last_lsn`, whose keys are in a key file.
    Flush { last_lsn: Lsn, keys: Option<KeyFileRecord> },
    /// Replaces files by others with the same rows.
    Compaction,
    /// Removes rows: whole hours.
    Retention,
    /// Removes rows: those of some users.
    Erasure,
}

/// Outcome of a commit.
#[derive(Debug)]
pub enum Outcome {
    /// The table is as it was, with the change.
    Committed,
    /// The table was loaded again: these are its files, with the change.
    Reloaded(FileIndex),
    /// Another writer has removed a file that the change removes, so nothing was committed. These
    /// are the table's files.
    Obsolete(FileIndex),
}

impl Purpose {
    /// Reports whether the table has other rows afterwards.
    fn data_change(self) -> bool {
        self != Purpose::Compaction
    }

    fn operation(self) -> DeltaOperation {
        match self {
            Purpose::Fence | Purpose::Flush { .. } => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec!["date".into(), "hour".into()]),
                predicate: None,
            },
            Purpose::Compaction => DeltaOperation::Optimize { predicate: None, target_size: 0 },
            Purpose::Retention | Purpose::Erasure => DeltaOperation::Delete { predicate: None },
        }
    }
}

impl Change {
    /// Returns the number of rows that the table loses.
    pub fn removed_rows(&self) -> u64 {
        let removed: u64 = self.removes.iter().map(|(_, file)| file.rollup.rows()).sum();
        removed.saturating_sub(self.adds.iter().map(|(_, file, _)| file.rollup.rows()).sum())
    }

    /// Applies the change to the files it was made for.
    pub fn apply(&self, files: &mut FileIndex) {
        self.removes.iter().for_each(|(hour, file)| index::remove(files, *hour, file));
        for (hour, file, _) in &self.adds {
            index::add(files, *hour, Arc::new(file.clone()));
        }
    }

    /// Reports whether the files are those after the change.
    fn is_in(&self, files: &FileIndex) -> bool {
        let (adds, removes) = (&self.adds, &self.removes);
        adds.iter().all(|(hour, file, _)| index::contains(files, *hour, file))
            && removes.iter().all(|(hour, file)| !index::contains(files, *hour, file))
    }

    /// Reports whether all that the change removes is there.
    fn fits(&self, files: &FileIndex) -> bool {
        self.removes.iter().all(|(hour, file)| index::contains(files, *hour, file))
    }
}

impl Lake {
    /// Makes the new files durable and commits the change. The commit is durable when this returns.
    ///
    /// # Errors
    /// After an error the change may have been committed all the same: commit it again. After
    /// [`Error::Fenced`] nothing more can be committed.
    pub async fn commit(&mut self, change: &Change, now_us: i64) -> Result<Outcome> {
        self.store.sync().await.map_err(store::failed(TABLE_DIR, "sync the data files"))?;
        let mut reloaded = None;
        for _ in 0..ATTEMPTS {
            let Err(error) = self.try_commit(change, now_us).await else {
                return Ok(match reloaded {
                    None => Outcome::Committed,
                    Some(mut files) => {
                        change.apply(&mut files);
                        Outcome::Reloaded(files)
                    }
                });
            };
            // Without an answer from the table the error that came first says more.
            let files = match self.reload().await {
                Ok(files) => files,
                Err(fenced @ Error::Fenced) => return Err(fenced),
                Err(_) => return Err(error.into()),
            };
            if self.has(change, &files) {
                return Ok(Outcome::Reloaded(files));
            }
            if !is_lost_race(&error) {
                return Err(error.into());
            }
            if !change.fits(&files) {
                return Ok(Outcome::Obsolete(files));
            }
            reloaded = Some(files);
        }
        let reason = format!("{ATTEMPTS} other commits came first; something else writes to it");
        Err(Error::Config(format!("{TABLE_DIR}: {reason}")))
    }

    fn has(&self, change: &Change, files: &FileIndex) -> bool {
        match change.purpose {
            // The epoch was compared when the table was loaded.
            Purpose::Fence => false,
            Purpose::Flush { last_lsn, .. } => self.flushed >= last_lsn,
            _ => change.is_in(files),
        }
    }

    async fn try_commit(&mut self, change: &Change, now_us: i64) -> Result<(), DeltaTableError> {
        let Change { purpose, adds, removes } = change;
        let carried = self.carried(change, now_us);
        let data_change = purpose.data_change();
        let mut actions: Vec<Action> = removes
            .iter()
            .map(|(hour, file)| Action::Remove(remove_action(*hour, file, data_change, now_us)))
            .collect();
        for (i, (hour, file, users)) in adds.iter().enumerate() {
            let mut add = add_action(&self.schema, *hour, file, users, data_change);
            if i == 0 {
                carry(&mut add, &carried);
            }
            actions.push(Action::Add(add));
        }
        let properties = CommitProperties::default()
            .with_application_transactions(self.transactions(change, now_us))
            .with_max_retries(0)
            // Both are done here, when nobody waits.
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(self.table.snapshot()?), self.table.log_store(), purpose.operation())
            .await?;
        self.commit_times.insert(committed.version, now_us / 1_000);
        self.table.state = Some(committed.snapshot);
        self.committed(change, carried);
        Ok(())
    }

    fn transactions(&self, change: &Change, now_us: i64) -> Vec<Transaction> {
        let at = |name: String, version: u64| {
            Transaction::new_with_last_update(name, version as i64, Some(now_us / 1_000))
        };
        let mut transactions = vec![at(self.fence(), self.epoch)];
        if let Purpose::Flush { last_lsn, .. } = change.purpose {
            transactions.push(at(self.node.clone(), last_lsn));
        }
        if change.removed_rows() > 0 {
            let removed = self.removed_rows + change.removed_rows();
            transactions.push(at(self.removed(), removed));
        }
        transactions
    }

    /// Returns the records of key files that the first file of a change must carry: its own, and
    /// those of the files that it removes.
    fn carried(&self, change: &Change, now_us: i64) -> Vec<KeyFileRecord> {
        let removed =
            change.removes.iter().filter_map(|(_, file)| self.key_files.get(&file.location));
        let kept = removed.flatten().filter(|record| record.until_us >= now_us).copied();
        match change.purpose {
            Purpose::Flush { keys, .. } => keys.into_iter().chain(kept).collect(),
            _ => kept.collect(),
        }
    }

    fn committed(&mut self, change: &Change, carried: Vec<KeyFileRecord>) {
        for (_, file) in &change.removes {
            self.key_files.remove(&file.location);
        }
        if let Some((_, file, _)) = change.adds.first().filter(|_| !carried.is_empty()) {
            self.key_files.insert(file.location.clone(), carried);
        }
        if let Purpose::Flush { last_lsn, .. } = change.purpose {
            self.flushed = last_lsn;
        }
        self.removed_rows += change.removed_rows();
        self.files_since_checkpoint += change.adds.len() + change.removes.len();
    }

    /// Returns the table's files if another writer has committed; `None` if they are unchanged.
    pub async fn refresh(&mut self) -> Result<Option<FileIndex>> {
        let known = self.table.snapshot()?.version();
        let newest = self.table.log_store().get_latest_version(known).await?;
        if newest == known { Ok(None) } else { self.reload().await.map(Some) }
    }

    /// Loads the table again and returns its files.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process has taken over the table.
    async fn reload(&mut self) -> Result<FileIndex> {
        let snapshot = LogSnapshot::try_new(&*self.table.log_store(), None).await?;
        self.table.state = Some(state_without_files(&snapshot)?);
        // The name of a commit whose reply was lost may not be durable yet.
        sync_log(&*self.store).await?;
        if self.read_transactions().await? > self.epoch {
            return Err(Error::Fenced);
        }
        self.index(&snapshot).await
    }

    /// Raises the epoch, which makes this process the owner of the table.
    pub(super) async fn take_over(&mut self, epoch: u64, now_us: i64) -> Result<()> {
        self.epoch = epoch;
        let fence = Change { purpose: Purpose::Fence, adds: Vec::new(), removes: Vec::new() };
        // The directory's lock keeps other processes of this machine out: a race is one of another
        // engine.
        for _ in 0..ATTEMPTS {
            match self.try_commit(&fence, now_us).await {
                Ok(()) => return Ok(()),
                Err(error) if !is_lost_race(&error) => return Err(error.into()),
                Err(_)
                    if self.reload().await.is_ok() && self.read_transactions().await? < epoch => {}
                Err(_) => return Err(Error::Fenced),
            }
        }
        Err(Error::Fenced)
    }
}

/// Reports whether another commit has taken the version.
fn is_lost_race(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::VersionAlreadyExists(_) | TransactionError::MaxCommitAttempts(_)
        ),
        _ => false,
    }
}
