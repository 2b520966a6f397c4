//! Extended protocol: Parse, Bind, Describe, Execute, Close, Flush and Sync (PostgreSQL manual,
//! section 55.2.4).
//!
//! What comes between two Syncs is one transaction, unless BEGIN and COMMIT make their own: many
//! INSERTs that a client sends at once are stored by one sync. After an error everything is passed
//! over until the next Sync.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;

use super::error::{End, Fault, PgError};
use super::message::{Bind, Message, Named};
use super::prepared::{Described, Prepared};
use super::rows::{
    Portal, Sent, column_formats, no_cursor, no_statement, plan_schema, row_description, stoppable,
    tag, verb,
};
use super::session::Session;
use super::value::format::Format;
use super::value::parameter::parameter;
use super::value::types::{arrow_type, pg_type};
use crate::query::command::{Cell, Command, Copy, Source, parse_commands};
use crate::query::{Description, Params, Parsed};
use crate::server::access::Need;

impl Session<'_> {
    /// Answers a message of the extended protocol.
    pub async fn extended(&mut self, message: Message) -> Result<(), End> {
        if let Message::Sync = message {
            return self.sync().await;
        }
        if self.skips {
            // A client that waits for an error asks for it by Flush.
            if let Message::Flush = message {
                self.wire.flush().await?;
            }
            return Ok(());
        }
        let mut text = String::new();
        let outcome = match message {
            Message::Parse { name, text: sql, types } => {
                text = sql;
                self.parse(name, &text, types)
            }
            Message::Bind(bind) => self.bind(bind).await,
            Message::Describe(Named::Statement(name)) => {
                self.describe_statement(&name, &mut text).await
            }
            Message::Describe(Named::Portal(name)) => self.describe_portal(&name, &mut text).await,
            Message::Execute { portal, most } => self.execute(&portal, most, &mut text).await,
            Message::Close(named) => {
                match named {
                    Named::Statement(name) => drop(self.prepared.remove(&name)),
                    Named::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.wire.send(&CloseComplete::new());
                Ok(())
            }
            _ => self.wire.flush().await.map_err(|error| Fault::End(error.into())),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Fault::End(end)) => Err(end),
            Err(Fault::Statement(error)) => {
                self.fail(error, &text);
                self.skips = true;
                Ok(self.wire.flush().await?)
            }
        }
    }

    async fn sync(&mut self) -> Result<(), End> {
        self.skips = false;
        if !self.transaction.is_block() {
            if let Err(error) = self.commit().await {
                self.fail(error, "");
            }
            self.portals.retain(|_, portal| portal.is_held);
        }
        self.ready().await
    }

    fn parse(&mut self, name: String, text: &str, declared: Vec<u32>) -> Result<(), Fault> {
        if !name.is_empty() && self.prepared.contains_key(&name) {
            let reason = format!("prepared statement {name:?} already exists");
            return Err(PgError::new("42P05", reason).into());
        }
        let mut commands = parse_commands(text)?;
        if commands.len() > 1 {
            let reason = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::new("42601", reason).into());
        }
        let command = commands.pop();
        if let Some(command) = &command {
            self.check_block(command)?;
        }
        let prepared = Prepared::new(command, text.to_string(), declared);
        self.keep(name, prepared)?;
        self.wire.send(&ParseComplete::new());
        Ok(())
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Fault> {
        let Bind { portal, statement: name, formats, values, result_formats } = bind;
        let statement = self.prepared.get(&name).ok_or_else(|| no_statement(&name))?.clone();
        if let Some(command) = &statement.command {
            self.check_block(command)?;
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(PgError::new("42P03", format!("cursor {portal:?} already exists")).into());
        }
        self.check_room(self.portals.len())?;
        let types = match values.is_empty() {
            true => Vec::new(),
            false => self.described(&statement).await?.parameters,
        };
        let takes = if values.is_empty() { self.least_parameters(&statement) } else { types.len() };
        if values.len() != takes {
            let reason = format!(
                "bind message supplies {} parameters, but prepared statement {name:?} requires {takes}",
                values.len()
            );
            return Err(PgError::new("08P01", reason).into());
        }
        let params = decode(&types, &formats, &values)?;
        let bytes: usize = values.iter().flatten().map(|value| value.len()).sum();
        let held = self.budgets.pending.take(bytes + portal.len()).ok_or_else(|| {
            PgError::new(
                "53200",
                "the parameters of all sessions are too large; try again in a moment",
            )
        })?;
        let portal_of = Portal {
            _held: Some(held),
            statement,
            params,
            formats: result_formats,
            rows: None,
            is_done: false,
            is_held: false,
            savepoints: Some(self.transaction.savepoints()),
        };
        self.portals.insert(portal, portal_of);
        self.wire.send(&BindComplete::new());
        Ok(())
    }

    /// Returns how many parameters a statement is known to take without planning it.
    fn least_parameters(&self, statement: &Prepared) -> usize {
        let described = statement.described.get().map(|described| described.parameters.len());
        described.unwrap_or(statement.declared.len())
    }

    async fn describe_statement(&mut self, name: &str, text: &mut String) -> Result<(), Fault> {
        let statement = self.prepared.get(name).ok_or_else(|| no_statement(name))?.clone();
        text.clone_from(&statement.text);
        let described = self.described(&statement).await?;
        self.wire.send(&ParameterDescription::new(described.parameters));
        self.send_description(described.schema.as_deref(), &[])
    }

    async fn describe_portal(&mut self, name: &str, text: &mut String) -> Result<(), Fault> {
        let portal = self.portals.get(name).ok_or_else(|| no_cursor(name))?;
        let (statement, formats) = (portal.statement.clone(), portal.formats.clone());
        text.clone_from(&statement.text);
        self.begin_portal(name).await?;
        let begun = self.portals.get(name).and_then(|portal| portal.rows.as_ref());
        let schema = match begun {
            Some(rows) => Some(rows.schema().clone()),
            None => self.described(&statement).await?.schema,
        };
        self.send_description(schema.as_deref(), &formats)
    }

    fn send_description(&mut self, schema: Option<&Schema>, formats: &[i16]) -> Result<(), Fault> {
        match schema {
            None => self.wire.send(&NoData::new()),
            Some(schema) => {
                let formats = column_formats(schema, formats)?;
                self.wire.send(&row_description(schema, &formats));
            }
        }
        Ok(())
    }

    /// Begins the statement of a portal that reads, if it has not begun: it is planned once, for
    /// its description and its rows.
    async fn begin_portal(&mut self, name: &str) -> Result<(), Fault> {
        let portal = self.portals.get_mut(name).filter(|p| p.rows.is_none() && !p.is_done);
        let Some(portal) = portal else { return Ok(()) };
        let statement = portal.statement.clone();
        if let Some(Command::Query(query)) = &statement.command
            && !query.is_set()
        {
            let params = std::mem::take(&mut portal.params);
            let rows = self.open(query, params).await?;
            // `set_config` may have changed an option.
            self.report();
            if let Some(portal) = self.portals.get_mut(name) {
                portal.rows = Some(rows);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, most: i32, text: &mut String) -> Result<(), Fault> {
        let most = if most > 0 { u64::from(most.unsigned_abs()) } else { u64::MAX };
        let portal = self.portals.get(name).ok_or_else(|| no_cursor(name))?;
        let (statement, formats) = (portal.statement.clone(), portal.formats.clone());
        text.clone_from(&statement.text);
        let Some(command) = &statement.command else {
            self.wire.send(&EmptyQueryResponse::new());
            return Ok(());
        };
        self.check_block(command)?;
        let is_done = portal.is_done;
        if let Command::Query(query) = command
            && !query.is_set()
        {
            self.begin_portal(name).await?;
            let Sent { rows, has_ended } = self.send_portal(name, &formats, most).await?;
            if has_ended {
                self.complete(tag(query, rows));
            } else {
                self.wire.send(&PortalSuspended::new());
            }
            return Ok(());
        }
        if is_done {
            let reason = format!("portal {name:?} cannot be run anymore");
            return Err(PgError::new("55000", reason).into());
        }
        let mut params = Params::None;
        if let Some(portal) = self.portals.get_mut(name) {
            (portal.is_done, params) = (true, std::mem::take(&mut portal.params));
        }
        let tag = match command {
            Command::Query(query) => {
                self.open(query, params).await?;
                self.report();
                tag(query, 0)
            }
            Command::Insert(insert) => {
                format!("INSERT 0 {}", self.insert(insert, &params).await?)
            }
            Command::Fetch(fetch) => self.fetch(fetch, &formats).await?,
            Command::Copy(Copy::In(copy)) => self.copy_in(copy).await?,
            Command::Copy(Copy::Out(copy)) => self.copy_out(copy).await?,
            Command::Execute { .. } => {
                let reason = "EXECUTE is of the simple protocol here: bind the prepared statement";
                return Err(PgError::new("0A000", reason).into());
            }
            command => self.run_plain(command, params).await?,
        };
        self.complete(tag);
        Ok(())
    }

    async fn send_portal(&mut self, name: &str, formats: &[i16], most: u64) -> Result<Sent, Fault> {
        self.check_access(Need::Read)?;
        let cancelled = &self.login.registered.cancelled;
        match self.portals.get_mut(name) {
            Some(Portal { rows: Some(rows), is_done, .. }) => {
                let sent = rows.send(self.wire, cancelled, formats, most).await?;
                *is_done = sent.has_ended;
                Ok(sent)
            }
            _ => Ok(Sent { rows: 0, has_ended: true }),
        }
    }

    /// Returns the columns of a cursor.
    pub fn cursor_schema(&self, name: &str) -> Result<SchemaRef, PgError> {
        let rows = self.portals.get(name).and_then(|portal| portal.rows.as_ref());
        rows.map(|rows| rows.schema().clone()).ok_or_else(|| no_cursor(name))
    }

    /// Returns what a statement takes and returns.
    async fn described(&mut self, statement: &Prepared) -> Result<Described, Fault> {
        if let Some(described) = statement.described.get() {
            return Ok(described.clone());
        }
        let described = match &statement.command {
            Some(Command::Query(query)) => {
                let Description { parameters, schema } =
                    self.ask_description(query, &statement.declared).await?;
                let schema = if verb(query) == "EXPLAIN" { plan_schema() } else { schema };
                let schema = Some(schema).filter(|_| !query.is_set());
                Described { parameters: oids(&parameters, &statement.declared), schema }
            }
            Some(Command::Insert(insert)) => {
                let mut parameters = self.parameters_of(insert)?;
                if let Source::Query(query) = &insert.source {
                    let described = self.ask_description(query, &statement.declared).await?;
                    parameters = oids(&described.parameters, &statement.declared);
                }
                for (own, declared) in parameters.iter_mut().zip(&statement.declared) {
                    *own = if *declared == 0 { *own } else { *declared };
                }
                Described { parameters, schema: None }
            }
            Some(Command::Declare(declare)) => {
                let described = self.ask_description(&declare.query, &statement.declared).await?;
                let parameters = oids(&described.parameters, &statement.declared);
                Described { parameters, schema: None }
            }
            // A cursor may be another one of the same name the next time.
            Some(Command::Fetch(fetch)) if !fetch.is_move => {
                let schema = Some(self.cursor_schema(&fetch.cursor)?);
                return Ok(Described { parameters: Vec::new(), schema });
            }
            _ => Described { parameters: Vec::new(), schema: None },
        };
        Ok(statement.described.get_or_init(|| async { described }).await.clone())
    }

    async fn ask_description(
        &mut self,
        query: &Parsed,
        declared: &[u32],
    ) -> Result<Description, Fault> {
        self.allow(Need::Any)?;
        let declared: Vec<Option<DataType>> = declared.iter().map(|oid| arrow_type(*oid)).collect();
        let snapshot = self.transaction.snapshot(self.service.engine.snapshot())?;
        let describing =
            self.service.query.describe(&self.options, &snapshot, query.clone(), declared);
        let cancelled = &self.login.registered.cancelled;
        stoppable(&self.wire.connection, cancelled, describing).await
    }

    /// Binds the values of EXECUTE.
    pub async fn bind_values(
        &mut self,
        name: &str,
        values: &[Cell],
    ) -> Result<(Arc<Prepared>, Params), Fault> {
        let prepared = self.prepared.get(name).ok_or_else(|| no_statement(name))?.clone();
        let types = self.described(&prepared).await?.parameters;
        if types.len() != values.len() {
            let reason = format!(
                "wrong number of parameters for prepared statement {name:?}: it takes {}, not {}",
                types.len(),
                values.len()
            );
            return Err(PgError::new("42601", reason).into());
        }
        let texts: Vec<Option<bytes::Bytes>> = values
            .iter()
            .map(|value| match value {
                Cell::Text(text) | Cell::Number(text) => Some(text.clone().into()),
                Cell::Null | Cell::Now | Cell::Parameter(_) => None,
            })
            .collect();
        Ok((prepared, decode(&types, &[], &texts)?))
    }
}

/// Returns the OIDs of types; one that the client has declared is kept.
fn oids(types: &[FieldRef], declared: &[u32]) -> Vec<u32> {
    let own = |(i, of): (usize, &FieldRef)| match declared.get(i) {
        Some(0) | None => pg_type(of).oid,
        Some(oid) => *oid,
    };
    types.iter().enumerate().map(own).collect()
}

/// Reads the values of parameters.
fn decode(
    types: &[u32],
    formats: &[i16],
    values: &[Option<bytes::Bytes>],
) -> Result<Params, PgError> {
    let formats = Format::of_codes(formats, values.len())
        .map_err(|error| PgError::new("08P01", error.to_string()))?;
    let value = |(i, value): (usize, &Option<bytes::Bytes>)| -> Result<ScalarValue, PgError> {
        let read = parameter(types[i], formats[i], value.as_deref());
        read.map_err(|error| PgError::new("22P02", format!("${}: {error}", i + 1)))
    };
    let values: Vec<ScalarValue> =
        values.iter().enumerate().map(value).collect::<Result<_, _>>()?;
    Ok(if values.is_empty() { Params::None } else { Params::Positional(values) })
}
