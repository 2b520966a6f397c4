//! Connections: accepting, serving HTTP/1.0, 1.1 and 2, and graceful shutdown.
//!
//! The accept loop is our own because `axum::serve` has no header timeout and no limit on a
//! connection's buffers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::app::{App, HttpOptions};
use super::connection::{Connection, Stream};
use super::problem::Problem;
use super::request_id::RequestId;
use crate::error::Error;
use crate::limit::Limit;
use crate::server::tls::Tls;
use crate::storage::Recurring;

/// Pause after a failed accept: without one, the loop would spin while no descriptors are left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Number of connections past the limit that are answered 503 at the same time.
const REFUSALS: usize = 32;

/// How long requests are still answered after an engine thread has died, before the process ends.
const DEATH_DELAY: Duration = Duration::from_secs(1);

/// How long a client may take to read the last response of a connection and to close it.
const LINGER: Duration = Duration::from_secs(1);

/// Buffer space for header lines, in addition to the request's target.
const HEADER_BYTES: usize = 32 << 10;

/// Serves connections until the process is told to stop; then accepts no more, lets requests in
/// flight finish for up to `shutdown_timeout` or until it is told again, and returns. It also
/// returns shortly after a thread of the engine has died. Does not close the engine.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, app: Arc<App>, mut stop: Stop) {
    let connections = GracefulShutdown::new();
    // Nobody waits for these permits: without one, the connection is refused, or closed.
    let slots = Arc::new(Semaphore::new(app.options.max_connections.min(Semaphore::MAX_PERMITS)));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let door = Arc::new(Door {
        app: Arc::clone(&app),
        builder: builder(&app.options),
        acceptor: tls.map(|tls| tls.acceptor(&[b"h2", b"http/1.1"])),
    });
    let failures = Recurring::default();
    let mut death = std::pin::pin!(death(&app));
    loop {
        tokio::select! {
            () = stop.recv() => break,
            () = &mut death => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => connect(Arc::clone(&door), stream, peer, slot, connections.watcher()),
                    Err(_) => refuse(stream, peer, &refusals, &door),
                },
                Err(error) => accept_failed(error, &failures, &app).await,
            },
        }
    }
    drop(listener);
    tracing::info!(connections = connections.count(), "stopping: waiting for requests in flight");
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(app.options.shutdown_timeout) => tracing::warn!("requests in flight did not finish within shutdown_timeout"),
        () = stop.recv() => tracing::warn!("second stop signal: requests in flight are aborted"),
    }
}

/// Waits until an engine thread has died, and then until pending requests have been answered.
async fn death(app: &App) {
    let why = app.engine.wait_for_death().await;
    tracing::error!(%why, "an engine thread has died; the process ends");
    tokio::time::sleep(DEATH_DELAY).await;
}

/// Signals that stop the process: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Installs the handlers. Call this before announcing that the server is ready: without a
    /// handler a signal ends the process at once.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn on_signals() -> std::io::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn builder(options: &HttpOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Hyper's header timeout sets and drops a timer for every request; `Connection::idle`
        // replaces it.
        .header_read_timeout(None)
        .max_buf_size(options.max_uri_bytes.saturating_add(HEADER_BYTES))
        // A client that shuts down its sending side after the request still waits for the response.
        .half_close(true);
    // IMPORTANT: `pipeline_flush` stays off. With it, hyper holds back a response while bytes are
    // unread, and the bytes of a request that it cannot parse stay unread: its 400, 414 or 431
    // would never be sent.
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES as u32);
    builder
}

/// What serves a connection.
struct Door {
    app: Arc<App>,
    builder: auto::Builder<TokioExecutor>,
    acceptor: Option<TlsAcceptor>,
}

/// Serves one connection in its own task, which holds the slot until the connection is closed.
fn connect(
    door: Arc<Door>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    watcher: Watcher,
) {
    // Responses are small and complete; Nagle's algorithm would delay the second of two until the
    // first is acknowledged.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "a connection was closed before it was served");
        return;
    }
    let timeout = door.app.options.header_timeout;
    let connection = Connection::new(stream, peer, door.acceptor.is_some());
    let (watched, lingering) = (Arc::clone(&connection), Arc::clone(&connection));
    tokio::spawn(async move {
        let _slot = slot;
        tokio::select! {
            ended = door.serve(connection, watcher) => {
                if let Err(cause) = ended {
                    tracing::debug!(cause, "a connection failed");
                }
                let _ = tokio::time::timeout(LINGER, lingering.linger()).await;
            }
            // Also owned by the stream, the service and this task.
            () = watched.idle(timeout, 3) => tracing::debug!("closing a connection that sent no complete request in time"),
        }
    });
}

impl Door {
    async fn serve(
        &self,
        connection: Arc<Connection>,
        watcher: Watcher,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = Stream(Arc::clone(&connection));
        let Some(acceptor) = &self.acceptor else {
            return self.serve_on(stream, connection, watcher).await;
        };
        let timeout = self.app.options.header_timeout;
        let stream = tokio::time::timeout(timeout, acceptor.accept(stream)).await??;
        self.serve_on(stream, connection, watcher).await
    }

    async fn serve_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Arc<Connection>,
        watcher: Watcher,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request: Request<Incoming>| {
            connection.request_begins();
            app.respond(request.map(Body::new), &connection).map(Ok::<_, Infallible>)
        });
        let serving = self.builder.serve_connection(TokioIo::new(stream), service);
        watcher.watch(serving.into_owned()).await
    }
}

/// Answers 503 on a connection past the limit, and closes it. Left in the backlog, the client would
/// wait without knowing why, instead of trying elsewhere. When many are being refused already, the
/// connection is closed without a response.
fn refuse(stream: TcpStream, peer: SocketAddr, refusals: &Arc<Semaphore>, door: &Door) {
    let problem = Problem::from(Error::Busy(Limit::Connections));
    door.app.metrics.rejected(problem.reason());
    let Ok(refusal) = Arc::clone(refusals).try_acquire_owned() else { return };
    // Without an answer where it would have to be encrypted.
    if door.acceptor.is_some() {
        return;
    }
    let connection = Connection::new(stream, peer, false);
    let refused = async move {
        let _refusal = refusal;
        let answer = problem.http1(&RequestId::new());
        if Stream(Arc::clone(&connection)).write_all(&answer).await.is_ok() {
            connection.linger().await;
        }
    };
    tokio::spawn(tokio::time::timeout(LINGER, refused));
}

/// Logs a failed accept and pauses, unless the connection merely ended while it was queued.
async fn accept_failed(error: std::io::Error, failures: &Recurring, app: &App) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if failures.is_due(app.engine.clock().now_us()) {
            tracing::error!(cause = %error, "connections cannot be accepted (logged at most once a minute)");
        }
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }
}
