//! Loop over the messages of a session.

use std::sync::Arc;
use std::time::Duration;

use pgwire::messages::startup::BackendKeyData;
use tokio::sync::OwnedSemaphorePermit;

use super::error::{End, PgError};
use super::message::Message;
use super::session::Session;
use super::wire::{Frame, OUTPUT_BYTES};
use crate::limit::Limit;

/// Maximum size of a message that is read without a slot for bodies with events.
const SMALL_BYTES: usize = 64 << 10;

/// Maximum size of a message of the protocol, as in PostgreSQL.
const MAX_BYTES: usize = (1 << 30) - 1;

/// Time between two looks whether an idle transaction must let go of its snapshot.
const LOOK: Duration = Duration::from_secs(1);

/// Maximum time between two statements of a transaction, whose snapshot keeps files from being
/// removed.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(600);

impl Session<'_> {
    /// Serves messages until the client says goodbye.
    pub async fn serve(&mut self) -> Result<(), End> {
        self.greet();
        self.ready().await?;
        loop {
            let Some((frame, permit)) = self.next().await? else { continue };
            let kind = frame.kind;
            match Message::decode(kind, frame.body) {
                Err(error) if error.is_fatal => return Err(End::Fatal(error)),
                Err(error) => self.fail_message(kind, error).await?,
                Ok(Message::Terminate) => return Ok(()),
                Ok(Message::Query(text)) => self.simple(&text).await?,
                // Of a COPY that has failed, when its client did not know it yet.
                Ok(Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_)) => {}
                Ok(message) => self.extended(message).await?,
            }
            if self.wire.output.len() >= OUTPUT_BYTES {
                self.wire.flush().await?;
            }
            drop(permit);
        }
    }

    /// Tells what a client wants to know at the beginning. Wishes of its first message that cannot
    /// be met are told by what is reported.
    fn greet(&mut self) {
        let parameters = std::mem::take(&mut self.login.parameters);
        let user = parameters.get("user").map_or("hourglass", String::as_str);
        let database = parameters.get("database").map_or(user, String::as_str);
        let number = self.login.registered.number;
        self.options = self.options.clone().connected(user, database, number);
        let of_options =
            parameters.get("options").map(|text| command_line(text)).unwrap_or_default();
        let own = parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in own.chain(of_options) {
            let is_of_protocol = matches!(&*name, "user" | "database" | "options" | "replication")
                || name.starts_with("_pq_.");
            if !is_of_protocol && let Err(error) = self.options.set(&name, &value) {
                tracing::debug!(name, %error, "a client's setting is not obeyed");
            }
        }
        self.report();
        let registered = &self.login.registered;
        self.wire.send(&BackendKeyData::new(registered.number, registered.key.clone()));
    }

    /// Reads the next message, with a slot if it is large; `None` if it was passed over.
    async fn next(&mut self) -> Result<Option<(Frame, Option<OwnedSemaphorePermit>)>, End> {
        let (kind, length) = self.wait().await?;
        if length > MAX_BYTES {
            let reason = format!("a message cannot have {length} bytes");
            return Err(End::Fatal(PgError::fatal("08P01", reason)));
        }
        if length <= SMALL_BYTES {
            return Ok(Some((self.rest(SMALL_BYTES).await?, None)));
        }
        let permit = Arc::clone(&self.service.batch_slots).try_acquire_owned();
        let limit = self.service.options.max_body_bytes.saturating_add(SMALL_BYTES);
        if length > limit || permit.is_err() {
            return self.pass_over(kind, length, limit).await.map(|()| None);
        }
        Ok(Some((self.rest(limit).await?, permit.ok())))
    }

    /// Reads the message whose head has come.
    async fn rest(&mut self, limit: usize) -> Result<Frame, End> {
        let timeout = self.service.options.body_timeout;
        let frame = tokio::time::timeout(timeout, self.wire.read(limit)).await;
        Ok(frame.map_err(|_| too_slow())??)
    }

    /// Waits for the next message; returns its kind and its length.
    async fn wait(&mut self) -> Result<(u8, usize), End> {
        let mut idle = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                head = self.wire.peek() => return Ok(head?),
                () = self.stopping.begins() => {
                    let reason = "the server is shutting down";
                    return Err(End::Fatal(PgError::fatal("57P01", reason)));
                }
                () = tokio::time::sleep(LOOK), if self.transaction.is_block() => idle += LOOK,
            }
            self.transaction.drop_erased(&self.service.engine.snapshot());
            if idle >= IDLE_IN_TRANSACTION {
                let reason = format!("a transaction was idle for {IDLE_IN_TRANSACTION:?}");
                return Err(End::Fatal(PgError::fatal("25P03", reason)));
            }
        }
    }

    /// Passes over a message that is too large, or for which there is no room.
    async fn pass_over(&mut self, kind: u8, length: usize, limit: usize) -> Result<(), End> {
        let timeout = self.service.options.body_timeout;
        let skipped = tokio::time::timeout(timeout, self.wire.skip()).await;
        skipped.map_err(|_| too_slow())??;
        let error = if length > limit {
            let reason =
                format!("a message of {length} bytes; at most {limit} are taken (max_body_bytes)");
            PgError::new("54000", reason)
        } else {
            crate::error::Error::Busy(Limit::Batches).into()
        };
        self.fail_message(kind, error).await
    }

    /// Tells the client that one of its messages is at fault.
    async fn fail_message(&mut self, kind: u8, error: PgError) -> Result<(), End> {
        match kind {
            b'Q' => {
                self.fail(error, "");
                self.ready().await
            }
            // The rest of a COPY that has failed.
            b'd' | b'c' | b'f' => Ok(()),
            _ if self.skips => Ok(()),
            _ => {
                self.fail(error, "");
                self.skips = true;
                Ok(())
            }
        }
    }
}

fn too_slow() -> End {
    End::Fatal(PgError::fatal("08006", "a message did not arrive in time (body_timeout)"))
}

/// Reads settings from what a client gives in `options`: `-c name=value`.
fn command_line(text: &str) -> Vec<(String, String)> {
    let mut words = text.split_ascii_whitespace();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or(word.strip_prefix("--")) {
            Some("") => words.next(),
            setting => setting,
        };
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            settings.push((name.replace('-', "_"), value.replace("\\ ", " ")));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_command_line_are_read_in_both_forms() {
        let of = |text| {
            let settings = command_line(text).into_iter();
            settings.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            of("-c geqo=off -cstatement_timeout=5min --search-path=public x"),
            ["geqo=off", "statement_timeout=5min", "search_path=public"]
        );
    }
}
