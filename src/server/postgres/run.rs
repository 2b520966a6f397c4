//! Running a command: what it needs, what it changes in the session, and its tag.

use std::sync::Arc;

use pgwire::messages::response::CommandComplete;

use super::error::{Fault, PgError, warning};
use super::prepared::Prepared;
use super::rows::{Portal, Rows, no_cursor, no_statement, stoppable};
use super::session::Session;
use crate::query::command::{Command, Count, Declare, Fetch, Transaction};
use crate::query::{Params, Parsed};
use crate::server::access::Need;

/// Returns the text of a statement, for its size.
fn text_of(command: &Command) -> String {
    match command {
        Command::Query(query) => query.text.clone(),
        command => format!("{command:?}"),
    }
}

impl Session<'_> {
    pub fn complete(&mut self, tag: impl Into<String>) {
        self.wire.send(&CommandComplete::new(tag.into()));
    }

    /// Begins a statement that reads.
    pub async fn open(&mut self, statement: &Parsed, params: Params) -> Result<Rows, Fault> {
        self.allow(if statement.is_set() { Need::Any } else { Need::Read })?;
        self.check_open()?;
        let snapshot = self.transaction.snapshot(self.service.engine.snapshot())?;
        let (connection, cancelled) =
            (Arc::clone(&self.wire.connection), Arc::clone(&self.login.registered.cancelled));
        let running = self.service.query.run_when_free(
            &mut self.options,
            &snapshot,
            statement.clone(),
            params,
        );
        let stream = stoppable(&connection, &cancelled, running).await?;
        Ok(Rows::new(statement, stream))
    }

    /// Checks that the session does not hold too many of the statements that may run at once: a
    /// cursor runs until its last row is fetched, or its time is over.
    fn check_open(&self) -> Result<(), PgError> {
        let most = (self.service.query.concurrency() / 2).max(1);
        let is_running = |portal: &&Portal| portal.rows.as_ref().is_some_and(Rows::is_running);
        if self.portals.values().filter(is_running).count() < most {
            return Ok(());
        }
        let reason = format!(
            "a session may have {most} cursors with rows left (half of query_concurrency): fetch the rest, or close some"
        );
        Err(PgError::new("53400", reason))
    }

    /// Refuses everything but the end of a block that has failed.
    pub fn check_block(&self, command: &Command) -> Result<(), PgError> {
        let may_end = matches!(
            command,
            Command::Transaction(
                Transaction::Commit { .. }
                    | Transaction::Rollback { .. }
                    | Transaction::RollbackTo(_)
            )
        );
        if self.transaction.has_failed() && !may_end {
            let reason =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::new("25P02", reason));
        }
        Ok(())
    }

    /// Runs a command that returns no rows of its own, and returns its tag.
    pub async fn run_plain(&mut self, command: &Command, params: Params) -> Result<String, Fault> {
        Ok(match command {
            Command::Transaction(command) => self.run_transaction(command).await?,
            Command::Declare(Declare { name, query, is_held }) => {
                if !self.transaction.is_block() && !is_held {
                    let reason =
                        "DECLARE CURSOR is of a transaction: BEGIN comes first, or WITH HOLD";
                    return Err(PgError::new("25P01", reason).into());
                }
                if self.portals.contains_key(name) {
                    return Err(
                        PgError::new("42P03", format!("cursor {name:?} already exists")).into()
                    );
                }
                self.check_room(self.portals.len())?;
                let rows = self.open(query, params).await?;
                let statement = Arc::new(Prepared::of_query(query.clone()));
                let portal = Portal {
                    statement,
                    params: Params::None,
                    formats: Vec::new(),
                    rows: Some(rows),
                    is_done: false,
                    is_held: *is_held,
                    savepoints: Some(self.transaction.savepoints()),
                    _held: None,
                };
                self.portals.insert(name.clone(), portal);
                "DECLARE CURSOR".into()
            }
            Command::Close(None) => {
                self.portals.clear();
                "CLOSE CURSOR ALL".into()
            }
            Command::Close(Some(name)) => {
                self.portals.remove(name).ok_or_else(|| no_cursor(name))?;
                "CLOSE CURSOR".into()
            }
            Command::Prepare { name, types, command } => {
                if self.prepared.contains_key(name) {
                    let reason = format!("prepared statement {name:?} already exists");
                    return Err(PgError::new("42P05", reason).into());
                }
                let text = text_of(command);
                let prepared = Prepared::of_command(Command::clone(command), text, types)?;
                self.keep(name.clone(), prepared)?;
                "PREPARE".into()
            }
            Command::Deallocate(None) => {
                self.prepared.clear();
                "DEALLOCATE ALL".into()
            }
            Command::Deallocate(Some(name)) => {
                self.prepared.remove(name).ok_or_else(|| no_statement(name))?;
                "DEALLOCATE".into()
            }
            Command::Discard(what) => {
                if what == "all" {
                    if self.transaction.is_block() {
                        let reason = "DISCARD ALL cannot run inside a transaction block";
                        return Err(PgError::new("25001", reason).into());
                    }
                    self.portals.clear();
                    self.prepared.clear();
                    self.options.reset_all();
                    self.report();
                }
                format!("DISCARD {}", what.to_uppercase())
            }
            Command::Unlisten => "UNLISTEN".into(),
            Command::Insert(insert) => {
                let rows = self.insert(insert, &params).await?;
                format!("INSERT 0 {rows}")
            }
            Command::Query(_) | Command::Copy(_) | Command::Fetch(_) | Command::Execute { .. } => {
                unreachable!("they have rows")
            }
        })
    }

    async fn run_transaction(&mut self, command: &Transaction) -> Result<String, Fault> {
        self.allow(Need::Any)?;
        Ok(match command {
            Transaction::Begin { is_read_only, isolation } => {
                if !self.transaction.begin(self.options.clone()) {
                    let reason = "there is already a transaction in progress";
                    self.wire.send(&warning("25001", reason));
                }
                if *is_read_only {
                    self.options.set_local("transaction_read_only", "on")?;
                }
                if let Some(level) = isolation {
                    self.options.set_local("transaction_isolation", level)?;
                }
                "BEGIN".into()
            }
            Transaction::Commit { chain } => {
                if !self.transaction.is_block() {
                    self.wire.send(&warning("25P01", "there is no transaction in progress"));
                }
                if self.transaction.has_failed() {
                    self.roll_back(*chain);
                    "ROLLBACK".into()
                } else {
                    let stored = self.commit().await;
                    self.end_block(*chain);
                    stored?;
                    "COMMIT".into()
                }
            }
            Transaction::Rollback { chain } => {
                if !self.transaction.is_block() {
                    self.wire.send(&warning("25P01", "there is no transaction in progress"));
                }
                self.roll_back(*chain);
                "ROLLBACK".into()
            }
            Transaction::Savepoint(name) => {
                self.transaction.save(name.clone(), self.options.clone())?;
                "SAVEPOINT".into()
            }
            Transaction::Release(name) => {
                let left = self.transaction.release(name)?;
                let of_portals = self.portals.values_mut().map(|portal| &mut portal.savepoints);
                of_portals.flatten().for_each(|before| *before = left.min(*before));
                "RELEASE".into()
            }
            Transaction::RollbackTo(name) => {
                self.options = self.transaction.roll_back_to(name)?;
                // Only the savepoint itself and those before it are left.
                let left = self.transaction.savepoints();
                self.portals
                    .retain(|_, portal| portal.savepoints.is_none_or(|before| before < left));
                self.report();
                "ROLLBACK".into()
            }
        })
    }

    /// Stores the rows that wait. They are durable when it returns.
    pub async fn commit(&mut self) -> Result<(), PgError> {
        let batch = self.transaction.take();
        if !batch.is_empty() {
            // Without a look at the client: what is being stored is stored, whether it is there to
            // hear of it or not.
            self.service.engine.append(batch).await?;
        }
        Ok(())
    }

    fn roll_back(&mut self, chain: bool) {
        self.portals.retain(|_, portal| portal.savepoints.is_none());
        if let Some(before) = self.transaction.roll_back() {
            self.options = before;
            self.report();
        }
        self.end_block(chain);
    }

    fn end_block(&mut self, chain: bool) {
        self.transaction.end();
        self.portals.retain(|_, portal| portal.is_held);
        self.portals.values_mut().for_each(|portal| portal.savepoints = None);
        self.options.end_transaction();
        self.report();
        if chain {
            self.transaction.begin(self.options.clone());
        }
    }

    /// Sends the next rows of a cursor; returns the tag.
    pub async fn fetch(&mut self, fetch: &Fetch, formats: &[i16]) -> Result<String, Fault> {
        self.check_access(Need::Read)?;
        let portal = self.portals.get_mut(&fetch.cursor).ok_or_else(|| no_cursor(&fetch.cursor))?;
        let most = match fetch.count {
            Count::All => u64::MAX,
            Count::Rows(rows) => rows,
        };
        let (cancelled, mut sent) = (&self.login.registered.cancelled, 0);
        if let Some(rows) = &mut portal.rows {
            sent = if fetch.is_move {
                rows.each(self.wire, cancelled, most, |_, _, _| Ok(())).await?.rows
            } else {
                rows.send(self.wire, cancelled, formats, most).await?.rows
            };
        }
        Ok(format!("{} {sent}", if fetch.is_move { "MOVE" } else { "FETCH" }))
    }
}
