//! HTTP/1.0, 1.1 and 2 on a connection.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::app::App;
use super::problem::Problem;
use super::request_id::RequestId;
use crate::error::Error;
use crate::limit::Limit;
use crate::server::connection::{Connection, Stream};
use crate::server::listener::{Door, LINGER, Stopping};
use crate::server::tls::Tls;

/// Buffer space for header lines, in addition to the request's target.
const HEADER_BYTES: usize = 32 << 10;

/// Protocols on encrypted connections, the preferred first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn builder(max_uri_bytes: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Hyper's header timeout sets and drops a timer for every request; `Connection::idle`
        // replaces it.
        .header_read_timeout(None)
        .max_buf_size(max_uri_bytes.saturating_add(HEADER_BYTES))
        // A client that shuts down its sending side after the request still waits for the response.
        .half_close(true);
    // IMPORTANT: `pipeline_flush` stays off. With it, hyper holds back a response while bytes are
    // unread, and the bytes of a request that it cannot parse stay unread: its 400, 414 or 431
    // would never be sent.
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES as u32);
    builder
}

/// The door of HTTP, or of HTTPS.
pub struct HttpDoor {
    app: Arc<App>,
    builder: auto::Builder<TokioExecutor>,
    acceptor: Option<TlsAcceptor>,
    scope: Scope,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Sending events, and the checks of a load balancer.
    Events,
}

impl HttpDoor {
    pub fn new(app: Arc<App>, tls: Option<&Tls>) -> HttpDoor {
        let (builder, acceptor) =
            (builder(app.http.max_uri_bytes), tls.map(|tls| tls.acceptor(&PROTOCOLS)));
        HttpDoor { app, builder, acceptor, scope: Scope::All }
    }

    /// Returns a door that takes events and nothing else.
    pub fn for_events(app: Arc<App>, tls: Option<&Tls>) -> HttpDoor {
        HttpDoor { scope: Scope::Events, ..HttpDoor::new(app, tls) }
    }

    async fn serve_connection(
        &self,
        connection: Arc<Connection>,
        stopping: Stopping,
    ) -> Result<(), Failure> {
        let stream = Stream(Arc::clone(&connection));
        let Some(acceptor) = &self.acceptor else {
            return self.serve_on(stream, connection, stopping).await;
        };
        connection.encrypt();
        let timeout = self.app.options.header_timeout;
        let stream = tokio::time::timeout(timeout, acceptor.accept(stream)).await??;
        self.serve_on(stream, connection, stopping).await
    }

    async fn serve_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Arc<Connection>,
        mut stopping: Stopping,
    ) -> Result<(), Failure> {
        let (app, scope) = (Arc::clone(&self.app), self.scope);
        let service = service_fn(move |request: Request<Incoming>| {
            connection.request_begins();
            app.respond(request.map(Body::new), &connection, scope).map(Ok::<_, Infallible>)
        });
        let serving = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = stopping.begins() => serving.as_mut().graceful_shutdown(),
        }
        serving.await
    }
}

impl Door for HttpDoor {
    fn protocol(&self) -> &'static str {
        "http"
    }

    fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        stopping: Stopping,
    ) -> BoxFuture<'static, ()> {
        let timeout = self.app.options.header_timeout;
        let (watched, lingering) = (Arc::clone(&connection), Arc::clone(&connection));
        Box::pin(async move {
            tokio::select! {
                ended = self.serve_connection(connection, stopping) => {
                    if let Err(cause) = ended {
                        tracing::debug!(cause, "a connection failed");
                    }
                    let _ = tokio::time::timeout(LINGER, lingering.linger()).await;
                }
                // Also owned by the stream, the service and this task.
                () = watched.idle(timeout, 3) => tracing::debug!("closing a connection that sent no complete request in time"),
            }
        })
    }

    /// Answers 503; nothing where the answer would have to be encrypted.
    fn refuse(&self, connection: Arc<Connection>) -> BoxFuture<'static, ()> {
        let problem = Problem::from(Error::Busy(Limit::Connections));
        self.app.rejected(problem.reason());
        let is_tls = self.acceptor.is_some();
        Box::pin(async move {
            let answer = problem.http1(&RequestId::new());
            if !is_tls && Stream(Arc::clone(&connection)).write_all(&answer).await.is_ok() {
                connection.linger().await;
            }
        })
    }
}
