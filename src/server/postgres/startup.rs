//! Start of a connection: TLS, requests to cancel, and the login (PostgreSQL manual, section
//! 55.2.1).
//!
//! Every error here is fatal, and nobody is let in before [`start`] returns. Until then at most
//! [`FIRST_BYTES`] are read at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion};
use ring::rand::{SecureRandom, SystemRandom};
use tokio_rustls::TlsAcceptor;

use super::cancel::{Registered, Sessions};
use super::error::{End, PgError};
use super::message::Reader;
use super::scram::{MECHANISM, Scram};
use super::wire::Wire;
use crate::server::access::{Denied, Need, TokenId};
use crate::server::connection::{Connection, Stream};
use crate::server::rates::network;
use crate::server::service::Service;

/// Maximum size of a message before the login, as in PostgreSQL.
const FIRST_BYTES: usize = 10_000;

/// Codes that stand where a first message has the version of the protocol.
const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;
const GSS: i32 = 80_877_104;

/// First byte of a connection that begins with TLS, without a request for it (`sslnegotiation=direct`
/// of PostgreSQL 17).
const TLS_HANDSHAKE: u8 = 0x16;

/// The newest minor version of protocol 3 that is spoken.
const MINOR: u16 = 2;

/// Sizes of the key of a session, by the version of the protocol.
const KEY_BYTES: usize = 4;
const LONG_KEY_BYTES: usize = 32;

/// What decides about a connection.
pub struct Entry<'d> {
    pub service: &'d Arc<Service>,
    pub acceptor: Option<&'d TlsAcceptor>,
    pub sessions: &'d Arc<Sessions>,
}

/// Who has logged in, and how.
#[derive(Debug)]
pub struct Login {
    /// `None` is who came without a token.
    pub token: Option<TokenId>,
    pub parameters: BTreeMap<String, String>,
    pub registered: Registered,
}

/// Reads first messages until one begins a session; `None` if the connection was for something
/// else.
pub async fn start(
    door: &Entry<'_>,
    wire: &mut Wire,
    connection: &Arc<Connection>,
) -> Result<Option<Login>, End> {
    let (mut is_encrypted, mut asked_for_gss) = (false, false);
    if door.acceptor.is_some() && connection.first_byte().await? == TLS_HANDSHAKE {
        encrypt(door, wire, connection).await?;
        is_encrypted = true;
    }
    loop {
        let body = wire.read_first(FIRST_BYTES).await?;
        let mut reader = Reader::new(body);
        match reader.int().map_err(End::Fatal)? {
            CANCEL => {
                let number = reader.int().map_err(End::Fatal)?;
                door.sessions.cancel(number, &reader.rest());
                return Ok(None);
            }
            TLS if !is_encrypted => {
                is_encrypted = door.acceptor.is_some();
                wire.output.extend_from_slice(if is_encrypted { b"S" } else { b"N" });
                wire.flush().await?;
                if is_encrypted {
                    encrypt(door, wire, connection).await?;
                }
            }
            GSS if !asked_for_gss => {
                asked_for_gss = true;
                wire.output.extend_from_slice(b"N");
                wire.flush().await?;
            }
            version if version >> 16 == 3 => {
                if door.acceptor.is_some() && !is_encrypted {
                    let reason =
                        "the server takes encrypted connections only: connect with sslmode=require";
                    return Err(End::Fatal(PgError::fatal("28000", reason)));
                }
                let minor = (version & 0xffff) as u16;
                return begin(door, wire, minor, reader).await.map(Some);
            }
            version => {
                let reason = format!(
                    "protocol {}.{} is not spoken here: 3.0 to 3.{MINOR} are",
                    version >> 16,
                    version & 0xffff
                );
                return Err(End::Fatal(PgError::fatal("0A000", reason)));
            }
        }
    }
}

/// Continues in TLS.
///
/// # Errors
/// If the client has already sent more: what came in plain text must not count as encrypted
/// (CVE-2021-23222).
async fn encrypt(
    door: &Entry<'_>,
    wire: &mut Wire,
    connection: &Arc<Connection>,
) -> Result<(), End> {
    let Some(acceptor) = door.acceptor else { return Ok(()) };
    if wire.has_input() {
        let reason = "bytes came unencrypted after the request for TLS";
        return Err(End::Fatal(PgError::fatal("08P01", reason)));
    }
    connection.encrypt();
    let stream = acceptor.accept(Stream(Arc::clone(connection))).await?;
    let timeout = door.service.options.body_timeout;
    *wire = Wire::new(Box::new(stream), Arc::clone(connection), timeout);
    Ok(())
}

/// Reads the parameters of a session, and lets its client in.
async fn begin(
    door: &Entry<'_>,
    wire: &mut Wire,
    minor: u16,
    mut reader: Reader,
) -> Result<Login, End> {
    let mut parameters = BTreeMap::new();
    loop {
        let name = reader.text().map_err(fatal)?;
        if name.is_empty() {
            break;
        }
        let value = reader.text().map_err(fatal)?;
        parameters.insert(name, value);
    }
    if parameters
        .get("replication")
        .is_some_and(|value| !matches!(&**value, "false" | "off" | "0" | "no"))
    {
        return Err(End::Fatal(PgError::fatal("0A000", "replication is not answered here")));
    }
    let unknown: Vec<String> =
        parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if minor > MINOR || !unknown.is_empty() {
        let newest = (3 << 16) | i32::from(MINOR.min(minor));
        wire.send(&NegotiateProtocolVersion::new(newest, unknown));
    }
    let service = &door.service;
    if !service.by_address.take(network(wire.connection.address())) {
        return Err(End::Fatal(PgError::fatal(
            "53000",
            "too many requests from this address; try again in a second",
        )));
    }
    let token = if service.access.anonymous().allows(Need::Read) {
        None
    } else {
        match log_in(door, wire).await {
            Err(End::Fatal(error)) => {
                service.rejected("unauthorized");
                return Err(End::Fatal(error));
            }
            outcome => Some(outcome?),
        }
    };
    wire.send(&Authentication::Ok);
    let key_bytes = if minor >= 2 { LONG_KEY_BYTES } else { KEY_BYTES };
    let registered = door.sessions.register(key_bytes).ok_or_else(no_randomness)?;
    Ok(Login { token, parameters, registered })
}

/// Proves by SCRAM that the client has a token.
async fn log_in(door: &Entry<'_>, wire: &mut Wire) -> Result<TokenId, End> {
    let now_ms = door.service.engine.clock().now_us() / 1_000;
    let tokens = door.service.access.scram(now_ms);
    wire.send(&Authentication::SASL(vec![MECHANISM.into()]));
    let mut reader = Reader::new(answer(wire).await?);
    if reader.text().map_err(fatal)? != MECHANISM {
        let reason = format!("the only way to log in is {MECHANISM}");
        return Err(End::Fatal(PgError::fatal("28000", reason)));
    }
    let first = reader.value().map_err(fatal)?.unwrap_or_default();
    let nonce = nonce()?;
    let scram = text(&first)
        .and_then(|first| Scram::begin(first, &nonce, &tokens.salt.0, tokens.iterations))
        .ok_or_else(malformed)?;
    let challenge = Bytes::from(scram.server_first().to_string());
    wire.send(&Authentication::SASLContinue(challenge));
    let last = answer(wire).await?;
    let verified = text(&last).and_then(|last| scram.finish(last, &tokens.keys));
    let Some(verified) = verified else {
        // Guessing is slow.
        tokio::time::sleep(crate::server::access::WRONG_TOKEN_DELAY).await;
        return Err(End::Fatal(PgError {
            is_fatal: true,
            ..PgError::denied(Need::Read, Denied::Unknown)
        }));
    };
    wire.send(&Authentication::SASLFinal(verified.message.into()));
    Ok(verified.token)
}

/// Waits for the client's next message of a login.
async fn answer(wire: &mut Wire) -> Result<Bytes, End> {
    wire.flush().await?;
    let frame = wire.read(FIRST_BYTES).await?;
    match frame.kind {
        b'p' => Ok(frame.body),
        // The client gives up: psql does so to ask its user for the password.
        b'X' => Err(End::Gone(std::io::ErrorKind::UnexpectedEof.into())),
        _ => Err(End::Fatal(PgError::fatal("08P01", "expected the password"))),
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn malformed() -> End {
    End::Fatal(PgError::fatal("08P01", "the message of the login is malformed"))
}

fn fatal(error: PgError) -> End {
    End::Fatal(PgError { is_fatal: true, ..error })
}

fn nonce() -> Result<String, End> {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).map_err(|_| no_randomness())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn no_randomness() -> End {
    End::Fatal(PgError::fatal("58000", "the system has no random numbers"))
}
