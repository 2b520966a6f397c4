//! Simple protocol: a text of statements, each answered with its rows as texts (PostgreSQL manual,
//! section 55.2.3).
//!
//! Several statements of one text are one transaction, unless they begin and end their own.

use pgwire::messages::response::EmptyQueryResponse;

use super::error::{End, Fault};
use super::rows::{column_formats, no_statement, row_description, tag};
use super::session::Session;
use crate::query::command::{Command, Copy, parse_commands};
use crate::query::{Params, Parsed};

impl Session<'_> {
    /// Answers a Query message.
    pub async fn simple(&mut self, text: &str) -> Result<(), End> {
        self.skips = false;
        // The portal without a name ends with the next query.
        self.portals.remove("");
        match self.run_text(text).await {
            Ok(()) => {}
            Err(Fault::End(end)) => return Err(end),
            Err(Fault::Statement(error)) => self.fail(error, text),
        }
        self.ready().await
    }

    async fn run_text(&mut self, text: &str) -> Result<(), Fault> {
        let commands = parse_commands(text)?;
        if commands.is_empty() {
            self.wire.send(&EmptyQueryResponse::new());
        }
        let last = commands.len().saturating_sub(1);
        for (i, command) in commands.iter().enumerate() {
            self.check_block(command)?;
            let tag = self.run_simple(command).await?;
            if i == last && !self.transaction.is_block() {
                self.commit().await?;
            }
            self.complete(tag);
        }
        Ok(())
    }

    /// Runs one command, sends its rows, and returns its tag.
    async fn run_simple(&mut self, command: &Command) -> Result<String, Fault> {
        match command {
            Command::Query(query) => self.answer(query, Params::None).await,
            Command::Fetch(fetch) => {
                let schema = self.cursor_schema(&fetch.cursor)?;
                if !fetch.is_move {
                    let formats = column_formats(&schema, &[])?;
                    self.wire.send(&row_description(&schema, &formats));
                }
                self.fetch(fetch, &[]).await
            }
            Command::Execute { name, values } => {
                let (prepared, params) = self.bind_values(name, values).await?;
                match &prepared.command {
                    Some(Command::Insert(insert)) => {
                        Ok(format!("INSERT 0 {}", self.insert(insert, &params).await?))
                    }
                    Some(Command::Query(query)) => self.answer(query, params).await,
                    _ => Err(no_statement(name).into()),
                }
            }
            Command::Copy(Copy::In(copy)) => self.copy_in(copy).await,
            Command::Copy(Copy::Out(copy)) => self.copy_out(copy).await,
            command => self.run_plain(command, Params::None).await,
        }
    }

    /// Runs a statement that reads, and sends its columns and rows.
    async fn answer(&mut self, query: &Parsed, params: Params) -> Result<String, Fault> {
        let mut rows = self.open(query, params).await?;
        self.report();
        if !query.is_set() {
            let formats = column_formats(rows.schema(), &[])?;
            self.wire.send(&row_description(rows.schema(), &formats));
        }
        let cancelled = self.login.registered.cancelled.clone();
        let sent = rows.send(self.wire, &cancelled, &[], u64::MAX).await?;
        Ok(tag(query, sent.rows))
    }
}
