//! Connections: accepted, spoken to in HTTP/1.0, 1.1 or 2, and ended gracefully.
//!
//! The loop is ours and not `axum::serve` because that has no header timeout and no bound on the buffers of a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::app::{App, HttpOptions};
use super::connection::{Connection, Stream};
use super::problem::Problem;
use super::request_id::RequestId;
use crate::error::{Error, Limit};
use crate::storage::Recurring;

/// How long the loop rests when accepting failed: out of descriptors, another try at once would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Connections past the bound that are told so at once.
const REFUSALS: usize = 32;

/// How long those who ask are still told that the engine has died, before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a client may take to read the last answer of a connection, and to close it.
const LINGER: Duration = Duration::from_secs(1);

/// Room in a connection's buffer for header lines, beside the request's target.
const HEADER_BYTES: usize = 32 << 10;

/// Serves connections until the process is told to stop; then accepts no more, lets requests in flight finish for up to
/// `shutdown_timeout` or until it is told again, and returns. Does the same a little after a thread of the engine has died. Does
/// not close the engine.
pub async fn serve(listener: TcpListener, app: Arc<App>, mut stop: Stop) {
    let connections = GracefulShutdown::new();
    // Semaphores that nobody waits on: without a permit the connection is refused, or closed.
    let slots = Arc::new(Semaphore::new(app.options.max_connections.min(Semaphore::MAX_PERMITS)));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let builder = builder(&app.options);
    let trouble = Recurring::default();
    let mut death = std::pin::pin!(death(&app));
    loop {
        tokio::select! {
            () = stop.recv() => break,
            () = &mut death => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => connect(stream, slot, &builder, &connections, &app),
                    Err(_) => refuse(stream, &refusals, &app),
                },
                Err(error) => accept_failed(error, &trouble, &app).await,
            },
        }
    }
    drop(listener);
    tracing::info!(connections = connections.count(), "stopping: requests in flight may finish");
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(app.options.shutdown_timeout) => tracing::warn!("requests in flight did not finish in time"),
        () = stop.recv() => tracing::warn!("told to stop again: requests in flight are cut off"),
    }
}

/// Waits for a thread of the engine to die, and then for what others still ask.
async fn death(app: &App) {
    let why = app.engine.wait_for_death().await;
    tracing::error!(%why, "the engine has died, and the process ends");
    tokio::time::sleep(LAST_WORDS).await;
}

/// The signals that tell the process to stop: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Installs the handlers, to be called before anybody is told that the server is ready: a signal that comes without them ends
    /// the process at once.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn on_signals() -> std::io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
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
        // Hyper's own timeout sets and drops a timer for every request; the connection's watch counts them.
        .header_read_timeout(None)
        .max_buf_size(options.max_uri_bytes.saturating_add(HEADER_BYTES))
        // A client that shuts down its sending side after the request still waits for the answer.
        .half_close(true);
    // IMPORTANT: `pipeline_flush` stays off. With it hyper keeps an answer back while bytes are unread, and the bytes of a
    // request that it cannot parse stay unread: its 400, 414 or 431 would never be sent.
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES as u32);
    builder
}

/// Speaks to one connection in a task of its own, which holds the slot until it is closed.
fn connect(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    builder: &auto::Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    app: &Arc<App>,
) {
    // Answers are small and complete: Nagle's algorithm would hold the second of two until the first is confirmed.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "a connection ended before it began");
        return;
    }
    let (app, connection) = (Arc::clone(app), Connection::new(stream));
    let timeout = app.options.header_timeout;
    let (stream, watched, lingering) =
        (Stream(Arc::clone(&connection)), Arc::clone(&connection), Arc::clone(&connection));
    let service = service_fn(move |request: Request<Incoming>| {
        connection.request_begins();
        app.respond(request.map(Body::new), &connection).map(Ok::<_, std::convert::Infallible>)
    });
    let spoken = connections.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::spawn(async move {
        let _slot = slot;
        tokio::select! {
            ended = spoken => {
                if let Err(cause) = ended {
                    tracing::debug!(%cause, "a connection failed");
                }
                let _ = tokio::time::timeout(LINGER, lingering.linger()).await;
            }
            // Its stream, its service and this task own it, too.
            () = watched.idle(timeout, 3) => tracing::debug!("a connection without a whole request in time is closed"),
        }
    });
}

/// Answers 503 to whatever a connection past the bound asks, and closes it. In the backlog it would wait without being told, and
/// those who can go elsewhere would not. Where many are being told, it is closed without a word.
fn refuse(stream: TcpStream, refusals: &Arc<Semaphore>, app: &App) {
    let problem = Problem::from(Error::Busy(Limit::Connections));
    app.metrics.rejected(problem.reason());
    let Ok(refusal) = Arc::clone(refusals).try_acquire_owned() else { return };
    let connection = Connection::new(stream);
    let refused = async move {
        let _refusal = refusal;
        let answer = problem.http1(&RequestId::new());
        if Stream(Arc::clone(&connection)).write_all(&answer).await.is_ok() {
            connection.linger().await;
        }
    };
    tokio::spawn(tokio::time::timeout(LINGER, refused));
}

/// A connection that ended while it waited is no concern; everything else is reported and given time to pass.
async fn accept_failed(error: std::io::Error, trouble: &Recurring, app: &App) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if trouble.is_due(app.engine.clock().now_us()) {
            tracing::error!(cause = %error, "connections cannot be accepted, and this is said once a minute");
        }
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }
}
