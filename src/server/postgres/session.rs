//! Session: what a connection holds after its login.

use std::collections::HashMap;
use std::sync::Arc;

use pgwire::messages::response::ReadyForQuery;
use pgwire::messages::startup::ParameterStatus;

use super::budget::Budget;
use super::error::{End, PgError};
use super::prepared::Prepared;
use super::rows::Portal;
use super::startup::Login;
use super::transaction::Transaction;
use super::wire::Wire;
use crate::query;
use crate::server::access::Need;
use crate::server::listener::Stopping;
use crate::server::rates::network;
use crate::server::service::Service;

/// Maximum number of prepared statements, and of portals, of a session.
const MAX_NAMED: usize = 1_000;

/// Parameters that are told at the beginning and when they change.
const REPORTED: [&str; 13] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
];

/// What all sessions share.
#[derive(Debug)]
pub struct Budgets {
    /// Rows that wait for the end of their transactions.
    pub pending: Arc<Budget>,
    /// Texts of prepared statements.
    pub prepared: Arc<Budget>,
}

/// A session.
pub struct Session<'s> {
    pub service: &'s Arc<Service>,
    pub budgets: &'s Budgets,
    pub wire: &'s mut Wire,
    pub login: Login,
    pub stopping: Stopping,
    /// The options that SET changes.
    pub options: query::Session,
    pub transaction: Transaction,
    /// Prepared statements by name; that of the empty name is the last one without a name.
    pub prepared: HashMap<String, Arc<Prepared>>,
    /// Portals and cursors by name.
    pub portals: HashMap<String, Portal>,
    /// Whether messages are passed over until the next Sync, after an error.
    pub skips: bool,
    /// What was told of each of [`REPORTED`], and the options of that time.
    reported: HashMap<&'static str, String>,
    reported_of: Option<query::Session>,
}

impl<'s> Session<'s> {
    pub fn new(
        service: &'s Arc<Service>,
        budgets: &'s Budgets,
        wire: &'s mut Wire,
        login: Login,
        stopping: Stopping,
    ) -> Session<'s> {
        Session {
            options: service.query.new_session(),
            service,
            budgets,
            wire,
            login,
            stopping,
            transaction: Transaction::default(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            skips: false,
            reported: HashMap::new(),
            reported_of: None,
        }
    }

    /// Tells parameters that have changed.
    pub fn report(&mut self) {
        if self.reported_of.as_ref().is_some_and(|of| self.options.has_settings_of(of)) {
            return;
        }
        self.reported_of = Some(self.options.clone());
        for name in REPORTED {
            let Some(value) = self.options.get(name) else { continue };
            if self.reported.get(name) != Some(&value) {
                self.wire.send(&ParameterStatus::new(name.into(), value.clone()));
                self.reported.insert(name, value);
            }
        }
    }

    /// Says that the next statement may come.
    pub async fn ready(&mut self) -> Result<(), End> {
        self.wire.send(&ReadyForQuery::new(self.transaction.status()));
        Ok(self.wire.flush().await?)
    }

    /// Tells the client of an error, and notes it in the transaction.
    pub fn fail(&mut self, error: PgError, text: &str) {
        self.service.rejected(reason(&error));
        self.wire.send(&error.response(text));
        self.transaction.fail();
    }

    /// Decides whether who has logged in may do something now, and counts it as a request.
    pub fn allow(&self, need: Need) -> Result<(), PgError> {
        self.check_access(need)?;
        let service = self.service;
        let is_within = service.by_address.take(network(self.wire.connection.address()))
            && self.login.token.is_none_or(|token| service.by_token.take(token));
        if is_within {
            Ok(())
        } else {
            Err(PgError::new("53000", "too many requests; try again in a second"))
        }
    }

    /// Decides whether who has logged in may do something now, such as read more of what was
    /// begun.
    pub fn check_access(&self, need: Need) -> Result<(), PgError> {
        let service = self.service;
        let now_ms = service.engine.clock().now_us() / 1_000;
        let allowed = service.access.check_login(need, self.login.token, now_ms);
        allowed.map_err(|denied| PgError::denied(need, denied))
    }

    /// Decides whether who has logged in may store events in this transaction.
    pub fn allow_writing(&self) -> Result<(), PgError> {
        self.allow(Need::Write)?;
        match self.options.get("transaction_read_only").as_deref() {
            Some("on") => {
                Err(PgError::new("25006", "cannot store events in a read-only transaction"))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a prepared statement, if there is room for it.
    pub fn keep(&mut self, name: String, prepared: Prepared) -> Result<(), PgError> {
        self.check_room(self.prepared.len())?;
        self.prepared.remove(&name);
        let held = self.budgets.prepared.take(name.len() + prepared.weight()).ok_or_else(|| {
            PgError::new(
                "53200",
                "the prepared statements of all sessions are too large: DEALLOCATE some",
            )
        })?;
        self.prepared.insert(name, Arc::new(Prepared { _held: Some(held), ..prepared }));
        Ok(())
    }

    /// Checks that there is room for one more name.
    pub fn check_room(&self, names: usize) -> Result<(), PgError> {
        if names < MAX_NAMED {
            return Ok(());
        }
        let reason = format!(
            "a session may have {MAX_NAMED} prepared statements and {MAX_NAMED} cursors: close some"
        );
        Err(PgError::new("53400", reason))
    }
}

/// Returns the label of an error in the metrics.
fn reason(error: &PgError) -> &'static str {
    match error.sqlstate {
        "42501" => "forbidden",
        "53000" | "53300" => "busy",
        "57014" => "caller-gone",
        _ => "invalid-query",
    }
}
