//! A connection, shared by the protocol, which reads and writes its stream, and by pending
//! responses, which hold it and can see whether the client is still there.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

/// Time between two looks whether a client is still there, where its end is not announced.
const GONE_LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    /// Whether what is on the stream is TLS.
    is_tls: AtomicBool,
    /// Number of requests begun.
    requests: AtomicU64,
}

impl Connection {
    pub fn new(stream: TcpStream, peer: SocketAddr) -> Arc<Connection> {
        let (is_tls, requests) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Connection { stream, peer, is_tls, requests })
    }

    /// Notes that what follows on the stream is TLS.
    pub fn encrypt(&self) {
        self.is_tls.store(true, Ordering::Relaxed);
    }

    pub fn address(&self) -> IpAddr {
        self.peer.ip()
    }

    /// Reports whether the client is on this machine.
    pub fn is_local(&self) -> bool {
        self.address().to_canonical().is_loopback()
    }

    pub fn request_begins(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when the client has closed the connection. If more bytes have arrived, such as the
    /// next request, a close cannot be detected, and it never returns.
    pub async fn gone(&self) {
        if self.is_tls.load(Ordering::Relaxed) {
            // A client that ends TLS in order sends a last message first.
            let is_open = |now: io::Result<Ready>| now.is_ok_and(|now| !now.is_read_closed());
            while is_open(self.stream.ready(Interest::READABLE).await) {
                tokio::time::sleep(GONE_LOOK).await;
            }
            return;
        }
        match self.stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }

    /// Returns the first byte that was sent and not read, which stays to be read.
    pub async fn first_byte(&self) -> io::Result<u8> {
        let mut first = [0];
        match self.stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(first[0]),
        }
    }

    /// Closes the sending side, and discards what the client still sends until it closes too. If a
    /// connection is closed with unread bytes, it is reset, and a response that the client has not
    /// read is lost (RFC 9112, section 9.6).
    pub async fn linger(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
        let mut ignored = vec![0; 16 << 10];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut ignored) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Returns after one to two times `timeout` in which no request began and none was pending: the
    /// client sends nothing, or its request's head too slowly. `others` is the number of owners of
    /// an idle connection.
    pub async fn idle(self: Arc<Self>, timeout: Duration, others: usize) {
        let mut before = None;
        loop {
            tokio::time::sleep(timeout).await;
            let now = Some(self.requests.load(Ordering::Relaxed));
            if now == before && Arc::strong_count(&self) <= others + 1 {
                return;
            }
            before = now;
        }
    }
}

/// The connection's stream, as a protocol reads and writes it. The connection is closed when its
/// last owner drops it.
#[derive(Debug)]
pub struct Stream(pub Arc<Connection>);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.stream.poll_read_ready(cx))?;
            match self.0.stream.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match self.0.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match self.0.stream.try_write_vectored(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
