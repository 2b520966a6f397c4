//! State of a session's transaction: its snapshot, and the rows that wait for its end.

use std::sync::Arc;

use pgwire::messages::response::TransactionStatus;

use super::budget::{Budget, Held};
use super::error::PgError;
use crate::event::EventBatch;
use crate::query;
use crate::storage::Snapshot;

/// The transaction of a session.
#[derive(Debug, Default)]
pub struct Transaction {
    /// `None` outside of BEGIN and COMMIT, where each statement is its own transaction.
    block: Option<Block>,
    /// Batches to be stored at the end, with their part of the memory that all sessions share.
    pending: Vec<(EventBatch, Held)>,
    pending_bytes: usize,
}

/// What lies between BEGIN and COMMIT.
#[derive(Debug)]
struct Block {
    has_failed: bool,
    /// That of the first statement.
    snapshot: Option<Arc<Snapshot>>,
    /// Whether users were erased after it.
    is_erased: bool,
    savepoints: Vec<Savepoint>,
    /// Options of the session at the beginning.
    before: query::Session,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// Number of batches that waited.
    batches: usize,
    options: query::Session,
}

impl Transaction {
    pub fn status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(block) if block.has_failed => TransactionStatus::Error,
            Some(_) => TransactionStatus::Transaction,
        }
    }

    pub fn is_block(&self) -> bool {
        self.block.is_some()
    }

    pub fn has_failed(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.has_failed)
    }

    /// Returns the snapshot to read, which is `latest` where there is none yet.
    ///
    /// # Errors
    /// If users were erased after the snapshot of the block: they are in no answer any more.
    pub fn snapshot(&mut self, latest: Arc<Snapshot>) -> Result<Arc<Snapshot>, PgError> {
        self.drop_erased(&latest);
        match &mut self.block {
            None => Ok(latest),
            Some(Block { is_erased: true, .. }) => Err(PgError::new(
                "40001",
                "users were erased since the transaction began: roll it back and begin again",
            )),
            Some(block) => Ok(block.snapshot.get_or_insert(latest).clone()),
        }
    }

    /// Lets go of the snapshot if users were erased after it, so that their files can be removed.
    pub fn drop_erased(&mut self, latest: &Snapshot) {
        if let Some(block) = &mut self.block
            && block.snapshot.as_ref().is_some_and(|own| own.erased_before != latest.erased_before)
        {
            (block.snapshot, block.is_erased) = (None, true);
        }
    }

    /// Begins a block; false if there is one already.
    pub fn begin(&mut self, before: query::Session) -> bool {
        let is_new = self.block.is_none();
        if is_new {
            self.block = Some(Block {
                has_failed: false,
                snapshot: None,
                is_erased: false,
                savepoints: Vec::new(),
                before,
            });
        }
        is_new
    }

    /// Adds rows that are stored at the end; `limit` is that of all rows together, in bytes, and
    /// `budget` that of all sessions.
    pub fn add(
        &mut self,
        batch: EventBatch,
        limit: usize,
        budget: &Arc<Budget>,
    ) -> Result<(), PgError> {
        let bytes = self.pending_bytes + batch.byte_len();
        if bytes > limit {
            let reason = format!(
                "the rows of a transaction may have {limit} bytes (max_body_bytes): commit more often"
            );
            return Err(PgError::new("54000", reason));
        }
        let held = budget.take(batch.byte_len()).ok_or_else(|| {
            let reason =
                "too many rows wait for the end of their transactions; try again in a moment";
            PgError::new("53200", reason)
        })?;
        self.pending_bytes = bytes;
        self.pending.push((batch, held));
        Ok(())
    }

    /// Returns the rows that wait, as one batch. They wait no longer.
    pub fn take(&mut self) -> EventBatch {
        self.pending_bytes = 0;
        let mut batches = std::mem::take(&mut self.pending).into_iter().map(|(batch, _)| batch);
        let mut all = batches.next().unwrap_or_default();
        batches.for_each(|batch| all.extend(&batch));
        all
    }

    /// Notes that a statement has failed: what a single statement has added is dropped, and a block
    /// can only be rolled back.
    pub fn fail(&mut self) {
        match &mut self.block {
            Some(block) => block.has_failed = true,
            None => self.drop_pending(0),
        }
    }

    /// Ends the block.
    pub fn end(&mut self) {
        self.block = None;
    }

    /// Ends the block, drops what waits, and returns the options of its beginning.
    pub fn roll_back(&mut self) -> Option<query::Session> {
        self.drop_pending(0);
        self.block.take().map(|block| block.before)
    }

    pub fn save(&mut self, name: String, options: query::Session) -> Result<(), PgError> {
        let batches = self.pending.len();
        let block = self.block.as_mut().ok_or_else(no_block)?;
        block.savepoints.push(Savepoint { name, batches, options });
        Ok(())
    }

    /// Forgets a savepoint and those after it, and returns how many are left.
    pub fn release(&mut self, name: &str) -> Result<usize, PgError> {
        let at = self.savepoint(name)?;
        let block = self.block.as_mut().ok_or_else(no_block)?;
        block.savepoints.truncate(at);
        Ok(at)
    }

    /// Returns the number of savepoints.
    pub fn savepoints(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.savepoints.len())
    }

    /// Drops what came after a savepoint, and returns the options of that time.
    pub fn roll_back_to(&mut self, name: &str) -> Result<query::Session, PgError> {
        let at = self.savepoint(name)?;
        let block = self.block.as_mut().ok_or_else(no_block)?;
        block.savepoints.truncate(at + 1);
        block.has_failed = false;
        let (batches, options) =
            (block.savepoints[at].batches, block.savepoints[at].options.clone());
        self.drop_pending(batches);
        Ok(options)
    }

    fn savepoint(&self, name: &str) -> Result<usize, PgError> {
        let block = self.block.as_ref().ok_or_else(no_block)?;
        let at = block.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        at.ok_or_else(|| PgError::new("3B001", format!("savepoint {name:?} does not exist")))
    }

    fn drop_pending(&mut self, kept: usize) {
        self.pending.truncate(kept);
        self.pending_bytes = self.pending.iter().map(|(batch, _)| batch.byte_len()).sum();
    }
}

fn no_block() -> PgError {
    PgError::new("25P01", "savepoints are of a transaction: BEGIN comes first")
}
