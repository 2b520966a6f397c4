//! Listener: accepts the connections of all doors, within one limit, and ends them in order.
//!
//! The accept loop is our own because those of the protocols' libraries have no time limit for the
//! start of a connection and no limit of connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, select_all};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::connection::Connection;
use super::service::Service;
use crate::storage::Recurring;

/// Pause after a failed accept: without one, the loop would spin while no descriptors are left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Number of connections past the limit that are refused with an answer at the same time.
pub const REFUSALS: usize = 32;

/// How long requests are still answered after an engine thread has died, before the process ends.
const DEATH_DELAY: Duration = Duration::from_secs(1);

/// How long a client may take to read the last response of a connection and to close it.
pub const LINGER: Duration = Duration::from_secs(1);

/// A door: a protocol on an address of its own.
pub trait Door: Send + Sync + 'static {
    /// The protocol, as metrics name it.
    fn protocol(&self) -> &'static str;

    /// Serves one connection until it is closed, or until `stopping` and what is in progress is
    /// done.
    fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        stopping: Stopping,
    ) -> BoxFuture<'static, ()>;

    /// Says on a connection past the limit that there are too many; the connection is closed
    /// afterwards.
    fn refuse(&self, connection: Arc<Connection>) -> BoxFuture<'static, ()>;
}

/// Tells a connection that the process is to end.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns once the process is to end.
    pub async fn begins(&mut self) {
        // An error means that the listener is gone, and the process with it.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// A listening socket and the door behind it.
pub struct Entrance {
    pub listener: TcpListener,
    pub door: Arc<dyn Door>,
}

impl Entrance {
    async fn accept(&self) -> (std::io::Result<(TcpStream, SocketAddr)>, Arc<dyn Door>) {
        (self.listener.accept().await, self.door.clone())
    }
}

/// Serves connections until the process is told to stop; then accepts no more, lets what is in
/// progress finish for up to `shutdown_timeout` or until it is told again, and returns. It also
/// returns shortly after a thread of the engine has died. Does not close the engine.
pub async fn serve(entrances: Vec<Entrance>, service: Arc<Service>, mut stop: Stop) {
    let connections = Connections::new(&service);
    let failures = Recurring::default();
    let mut death = std::pin::pin!(death(&service));
    loop {
        let accepted = select_all(entrances.iter().map(|entrance| Box::pin(entrance.accept())));
        tokio::select! {
            () = stop.recv() => break,
            () = &mut death => break,
            ((accepted, door), ..) = accepted => match accepted {
                Ok((stream, peer)) => connections.take(stream, peer, door),
                Err(error) => accept_failed(error, &failures, &service).await,
            },
        }
    }
    drop(entrances);
    tracing::info!(connections = connections.count(), "stopping: waiting for requests in flight");
    tokio::select! {
        () = connections.shut_down() => {}
        () = tokio::time::sleep(service.options.shutdown_timeout) => tracing::warn!("requests in flight did not finish within shutdown_timeout"),
        () = stop.recv() => tracing::warn!("second stop signal: requests in flight are aborted"),
    }
}

/// The open connections.
struct Connections<'s> {
    service: &'s Service,
    /// Nobody waits for these permits: without one, the connection is refused, or closed.
    slots: Arc<Semaphore>,
    most: usize,
    refusals: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    /// Each connection has a sender, so the channel closes with the last one.
    open: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
}

impl<'s> Connections<'s> {
    fn new(service: &'s Service) -> Connections<'s> {
        let most = service.options.max_connections.min(Semaphore::MAX_PERMITS);
        let (open, closed) = mpsc::channel(1);
        Connections {
            service,
            slots: Arc::new(Semaphore::new(most)),
            most,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            stopping: watch::channel(false).0,
            open,
            closed,
        }
    }

    fn count(&self) -> usize {
        self.most - self.slots.available_permits()
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, door: Arc<dyn Door>) {
        // Responses are small and complete; Nagle's algorithm would delay the second of two until
        // the first is acknowledged.
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "a connection was closed before it was served");
            return;
        }
        let connection = Connection::new(stream, peer);
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => self.serve(door, connection, slot),
            Err(_) => self.refuse(&door, connection),
        }
    }

    /// Serves one connection in its own task, which holds the slot until the connection is closed.
    fn serve(&self, door: Arc<dyn Door>, connection: Arc<Connection>, slot: OwnedSemaphorePermit) {
        let stopping = Stopping(self.stopping.subscribe());
        let (open, counted) = (self.open.clone(), self.service.connected(door.protocol()));
        tokio::spawn(async move {
            let _held = (slot, open, counted);
            door.serve(connection, stopping).await;
        });
    }

    /// Left in the backlog, the client would wait without knowing why, instead of trying elsewhere.
    /// When many are being refused already, the connection is closed without a word.
    fn refuse(&self, door: &Arc<dyn Door>, connection: Arc<Connection>) {
        let refusal = door.refuse(connection);
        let Ok(slot) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _slot = slot;
            let _ = tokio::time::timeout(LINGER, refusal).await;
        });
    }

    /// Tells all connections to end, and returns when they have.
    async fn shut_down(self) {
        let Connections { stopping, open, mut closed, .. } = self;
        drop(open);
        stopping.send_replace(true);
        let _ = closed.recv().await;
    }
}

/// Waits until an engine thread has died, and then until pending requests have been answered.
async fn death(service: &Service) {
    let why = service.engine.wait_for_death().await;
    tracing::error!(%why, "an engine thread has died; the process ends");
    tokio::time::sleep(DEATH_DELAY).await;
}

/// Logs a failed accept and pauses, unless the connection merely ended while it was queued.
async fn accept_failed(error: std::io::Error, failures: &Recurring, service: &Service) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if failures.is_due(service.engine.clock().now_us()) {
            tracing::error!(cause = %error, "connections cannot be accepted (logged at most once a minute)");
        }
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }
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
