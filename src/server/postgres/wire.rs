//! Messages on a connection (PostgreSQL manual, sections 55.2 and 55.7).
//!
//! ```text
//! message   kind: u8, length: u32 (itself included), body
//! first     length: u32, body: no kind
//! ```
//!
//! What is sent is encoded by pgwire. A message is never read into memory beyond the limit of its
//! place.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::server::connection::Connection;

/// Size of what is written at a time.
pub const OUTPUT_BYTES: usize = 64 << 10;

pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Messages in both directions over one connection.
pub struct Wire {
    socket: Box<dyn Socket>,
    pub connection: Arc<Connection>,
    input: BytesMut,
    pub output: BytesMut,
    /// Time for the client to read.
    timeout: Duration,
}

/// A message as it was received.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub body: Bytes,
}

impl Wire {
    pub fn new(socket: Box<dyn Socket>, connection: Arc<Connection>, timeout: Duration) -> Wire {
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Wire { socket, connection, input, output, timeout }
    }

    /// Reads the body of a first message, which has no kind.
    pub async fn read_first(&mut self, limit: usize) -> io::Result<Bytes> {
        self.fill(4).await?;
        let length = (&self.input[..4]).get_u32() as usize;
        self.read_body(4, length, limit).await
    }

    /// Reads a message of up to `limit` bytes. Cancelling it loses nothing.
    pub async fn read(&mut self, limit: usize) -> io::Result<Frame> {
        self.fill(5).await?;
        let (kind, length) = (self.input[0], (&self.input[1..5]).get_u32() as usize);
        let body = self.read_body(5, length, limit).await?;
        Ok(Frame { kind, body })
    }

    /// Waits for the head of the next message, and returns its kind and the length of its body.
    pub async fn peek(&mut self) -> io::Result<(u8, usize)> {
        self.fill(5).await?;
        let length = (&self.input[1..5]).get_u32() as usize;
        Ok((self.input[0], length.saturating_sub(4)))
    }

    async fn read_body(&mut self, head: usize, length: usize, limit: usize) -> io::Result<Bytes> {
        let body = length.checked_sub(4).ok_or_else(|| malformed("a message is too short"))?;
        if body > limit {
            return Err(malformed(&format!(
                "a message has {body} bytes; at most {limit} are taken here"
            )));
        }
        self.fill(head + body).await?;
        self.input.advance(head);
        Ok(self.input.split_to(body).freeze())
    }

    /// Reads until `bytes` are there.
    async fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.input.len() < bytes {
            // Memory is taken as bytes come, not as they are announced.
            self.input.reserve((bytes - self.input.len()).clamp(1, OUTPUT_BYTES));
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Drops the body of the next message as it comes.
    pub async fn skip(&mut self) -> io::Result<()> {
        let (_, mut left) = self.peek().await?;
        self.input.advance(5);
        while left > 0 {
            self.fill(1).await?;
            let taken = left.min(self.input.len());
            self.input.advance(taken);
            left -= taken;
        }
        Ok(())
    }

    /// Reports whether the client has sent more than was read.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub fn send(&mut self, message: &impl Message) {
        // pgwire refuses what is longer than the protocol allows; no message of ours is.
        if let Err(error) = message.encode(&mut self.output) {
            tracing::error!(%error, "a message could not be encoded");
        }
    }

    /// Writes what was sent so far.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.socket.write_all(&self.output).await?;
            self.socket.flush().await
        };
        tokio::time::timeout(self.timeout, write).await??;
        self.output.clear();
        if self.output.capacity() > 4 * OUTPUT_BYTES {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Ends the connection in order: TLS says goodbye first.
    pub async fn close(&mut self) {
        let _ = self.socket.shutdown().await;
    }
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}
