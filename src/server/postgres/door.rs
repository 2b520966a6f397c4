//! A connection from its beginning to its end.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_rustls::TlsAcceptor;

use super::budget::Budget;
use super::cancel::Sessions;
use super::error::{End, PgError};
use super::session::{Budgets, Session};
use super::startup::{self, Entry};
use super::wire::Wire;
use crate::limit::Limit;
use crate::server::connection::{Connection, Stream};
use crate::server::listener::{Door, LINGER, Stopping};
use crate::server::service::Service;
use crate::server::tls::Tls;

/// Name of the protocol in TLS (ALPN), which clients of PostgreSQL 17 send.
const PROTOCOLS: [&[u8]; 1] = [b"postgresql"];

/// Maximum size of the texts of all prepared statements. A statement takes up to a hundred times the
/// memory of its text.
const PREPARED_BYTES: usize = 8 << 20;

/// The door of PostgreSQL.
pub struct PostgresDoor {
    service: Arc<Service>,
    acceptor: Option<TlsAcceptor>,
    sessions: Arc<Sessions>,
    budgets: Budgets,
}

impl PostgresDoor {
    pub fn new(service: Arc<Service>, tls: Option<&Tls>) -> PostgresDoor {
        let acceptor = tls.map(|tls| tls.acceptor(&PROTOCOLS));
        let pending = service.options.max_body_bytes.saturating_mul(service.options.batch_slots);
        let budgets =
            Budgets { pending: Budget::new(pending), prepared: Budget::new(PREPARED_BYTES) };
        PostgresDoor { service, acceptor, sessions: Arc::default(), budgets }
    }

    fn wire(&self, connection: &Arc<Connection>) -> Wire {
        let stream = Box::new(Stream(Arc::clone(connection)));
        Wire::new(stream, Arc::clone(connection), self.service.options.body_timeout)
    }

    async fn serve_session(&self, connection: &Arc<Connection>, stopping: Stopping) {
        let mut wire = self.wire(connection);
        let entry = Entry {
            service: &self.service,
            acceptor: self.acceptor.as_ref(),
            sessions: &self.sessions,
        };
        let started = startup::start(&entry, &mut wire, connection);
        let timeout = self.service.options.header_timeout;
        let ended = match tokio::time::timeout(timeout, started).await {
            Err(_) => Err(End::Fatal(PgError::fatal("08006", "the login took too long"))),
            Ok(Ok(None)) => Ok(()),
            Ok(Err(end)) => Err(end),
            Ok(Ok(Some(login))) => {
                let mut session =
                    Session::new(&self.service, &self.budgets, &mut wire, login, stopping);
                session.serve().await
            }
        };
        match ended {
            Ok(()) => {}
            Err(End::Gone(cause)) => tracing::debug!(%cause, "a PostgreSQL session ended"),
            Err(End::Fatal(error)) => {
                tracing::debug!(message = %error.message, "a PostgreSQL session is ended");
                wire.send(&error.response(""));
                let _ = wire.flush().await;
            }
        }
        wire.close().await;
    }
}

impl Door for PostgresDoor {
    fn protocol(&self) -> &'static str {
        "postgresql"
    }

    fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        stopping: Stopping,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.serve_session(&connection, stopping).await;
            let _ = tokio::time::timeout(LINGER, connection.linger()).await;
        })
    }

    /// Answers as PostgreSQL does: before it has read anything, in plain text.
    fn refuse(&self, connection: Arc<Connection>) -> BoxFuture<'static, ()> {
        self.service.rejected("busy");
        let mut wire = self.wire(&connection);
        Box::pin(async move {
            let reason = crate::error::Error::Busy(Limit::Connections).to_string();
            wire.send(&PgError::fatal("53300", reason).response(""));
            let _ = wire.flush().await;
            connection.linger().await;
        })
    }
}
