//! HTTP client for `POST /events`: sends batches as Arrow IPC streams.
//!
//! Only a 503 is retried, because only a 503 guarantees that nothing was stored. After a broken
//! connection the batch may have been stored, and sending it again would count it twice; so the
//! error is returned.

mod sql;

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, RequestBuilder};

use crate::encode::arrow_stream;
use crate::error::{Error, Failure, Result};
use crate::event::{EventBatch, EventSchema};
use crate::limit::Limit;

pub use self::sql::{Fault, Reply, SqlClient};

/// Maximum number of attempts while the server answers 503.
const MAX_TRIES: u32 = 20;

/// Delay before a retry if the server sends no `Retry-After`, and the maximum delay that is
/// honoured.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Client of one server. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    server: Address,
    /// URL of the batch endpoint.
    events_url: String,
    /// Kinds and dimensions of the server's events.
    schema: EventSchema,
}

impl Client {
    /// Creates a client. Does not connect.
    pub fn new(server: Address) -> Client {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .tls_config(tls())
            .build()
            .new_agent();
        let events_url = format!("{}/events", server.base);
        Client { agent, server, events_url, schema: EventSchema::default() }
    }

    /// Creates a client of the server at `url`, if one is named.
    pub fn of(url: Option<&str>, token: Option<&str>) -> Result<Option<Client>> {
        url.map(|url| Address::new(url, token).map(Client::new)).transpose()
    }

    /// Asks the server for the kinds and dimensions of its events.
    pub fn connect(mut self) -> Result<Client> {
        #[derive(Deserialize)]
        struct Declared {
            kinds: Vec<String>,
            dimensions: Vec<String>,
        }
        let url = format!("{}/schema", self.server.base);
        let failed = |error: ureq::Error| Error::io(&url, "get")(error.into_io());
        let mut response = self.server.sign(self.agent.get(&url)).call().map_err(failed)?;
        if is_denied(response.status()) {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let reason = format!("{}: {}", response.status(), Problem::parse(&text).text);
            return Err(denied(&url, reason));
        }
        // A server that is older than this path has the contract's schema.
        if response.status().is_success() {
            let text = response.body_mut().read_to_string().map_err(failed)?;
            let Declared { kinds, dimensions } = serde_json::from_str(&text).map_err(|error| {
                Error::Invalid(format!("{url}: not the schema of a server: {error}"))
            })?;
            self.schema = EventSchema::new(&kinds, &dimensions).map_err(Error::Invalid)?;
        }
        Ok(self)
    }

    /// Returns the kinds and dimensions of the server's events, as of [`Client::connect`].
    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// Sends the batch, retrying while the server is busy. Blocks the calling thread.
    pub fn post_events(&self, events: &EventBatch) -> Result<()> {
        let body = arrow_stream(&self.schema, events)?;
        for _ in 0..MAX_TRIES {
            let mut response = self
                .server
                .sign(self.agent.post(&self.events_url))
                .content_type("application/vnd.apache.arrow.stream")
                .send(&body[..])
                .map_err(|error| self.failed(error.into_io()))?;
            match response.status() {
                status if status.is_success() => return Ok(()),
                StatusCode::SERVICE_UNAVAILABLE => std::thread::sleep(retry_after(&response)),
                status => {
                    let text = response.body_mut().read_to_string().unwrap_or_default();
                    return Err(self.refused(status, &text));
                }
            }
        }
        Err(Error::Busy(Limit::Server))
    }

    /// Asks the server to do something and returns its answer; `work` is the path below `/admin/`.
    /// Waits as long as it takes, and is not retried.
    pub fn admin<T: DeserializeOwned>(&self, work: &str) -> Result<T> {
        self.admin_with(work, String::new())
    }

    /// Like [`Client::admin`], with a body.
    pub fn admin_with<T: DeserializeOwned>(&self, work: &str, body: String) -> Result<T> {
        let url = format!("{}/admin/{work}", self.server.base);
        let failed = |error: ureq::Error| Error::io(&url, "post")(error.into_io());
        let post = self.server.sign(self.agent.post(&url)).config().timeout_global(None).build();
        answered(&url, post.content_type("application/json").send(body).map_err(failed)?)
    }

    /// Gets what is at a path below `/admin/`.
    pub fn list<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}/admin/{path}", self.server.base);
        let failed = |error: ureq::Error| Error::io(&url, "get")(error.into_io());
        answered(&url, self.server.sign(self.agent.get(&url)).call().map_err(failed)?)
    }

    fn refused(&self, status: StatusCode, body: &str) -> Error {
        let reason = format!("{status}: {}", Problem::parse(body).text);
        if is_denied(status) {
            denied(&self.events_url, reason)
        } else if status.is_client_error() {
            Error::Invalid(format!("{}: {reason}", self.events_url))
        } else {
            self.failed(std::io::Error::other(reason))
        }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::io(&self.events_url, "post")(source)
    }
}

/// Reports whether a status says that the token is missing or does not suffice.
fn is_denied(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn denied(url: &str, reason: String) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason);
    Error::io(url, "ask")(source)
}

/// Returns the JSON of an answer.
fn answered<T: DeserializeOwned>(url: &str, mut response: Response<ureq::Body>) -> Result<T> {
    let failed = |error: ureq::Error| Error::io(url, "ask")(error.into_io());
    let (status, text) = (response.status(), response.body_mut().read_to_string().map_err(failed)?);
    if !status.is_success() {
        let reason = format!("{status}: {}", Problem::parse(&text).text);
        if is_denied(status) {
            return Err(denied(url, reason));
        }
        if status.is_client_error() {
            return Err(Error::Invalid(format!("{url}: {reason}")));
        }
        return Err(failed(ureq::Error::Io(std::io::Error::other(reason))));
    }
    serde_json::from_str(&text)
        .map_err(|error| Error::Invalid(format!("{url}: not an answer of hourglass: {error}")))
}

/// Returns the delay from a 503's `Retry-After` header in whole seconds (RFC 9110, section 10.2.3);
/// the date form is not supported.
fn retry_after<B>(response: &Response<B>) -> Duration {
    let value = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.trim().parse().ok())
        .map_or(DEFAULT_RETRY, Duration::from_secs)
        .min(MAX_RETRY)
}

/// Returns the client's side of TLS, which trusts the certificates that this machine does;
/// `SSL_CERT_FILE` names others.
fn tls() -> TlsConfig {
    TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build()
}

/// A server, and the token that it is sent.
#[derive(Clone, Debug)]
pub struct Address {
    /// URL without trailing slashes.
    base: String,
    authorization: Option<String>,
}

impl Address {
    /// Returns the server at `url`, such as `http://localhost:8080`.
    ///
    /// # Errors
    /// [`Error::Config`] if the text is no address, or the token cannot be one.
    pub fn new(url: &str, token: Option<&str>) -> Result<Address> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(Error::Config(format!("{url}: must begin with http:// or https://")));
        }
        if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::Config(
                "the token must be of ASCII characters, without spaces".into(),
            ));
        }
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Address { base: url.trim_end_matches('/').to_owned(), authorization })
    }

    pub fn url(&self) -> &str {
        &self.base
    }

    /// Adds the token to a request.
    fn sign<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }
}

/// Problem details parsed from an error response.
struct Problem {
    /// Detail or title of the problem+json (RFC 9457), or the first line of the body.
    text: String,
    /// Kind of the failure, if its identifier is known.
    failure: Option<Failure>,
    /// Position of the error in the statement.
    line: Option<u64>,
    column: Option<u64>,
}

impl Problem {
    fn parse(body: &str) -> Problem {
        #[derive(Default, Deserialize)]
        struct Members {
            detail: Option<String>,
            title: Option<String>,
            #[serde(rename = "type")]
            urn: Option<String>,
            line: Option<u64>,
            column: Option<u64>,
        }
        let Members { detail, title, urn, line, column } =
            serde_json::from_str(body).unwrap_or_default();
        let first_line =
            || body.lines().next().unwrap_or("no reason given").chars().take(200).collect();
        let (failure, text) =
            (urn.as_deref().and_then(Failure::of_urn), detail.or(title).unwrap_or_else(first_line));
        Problem { failure, text, line, column }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::decode::{InputFormat, decode};
    use crate::event::EventKind;

    fn client(url: &str) -> Client {
        Client::new(Address::new(url, None).unwrap())
    }

    #[test]
    fn a_problem_is_told_by_its_detail_then_its_title_then_its_text() {
        let text = |body| Problem::parse(body).text;
        assert_eq!(text(r#"{"title":"Bad Request","detail":"line 3: no"}"#), "line 3: no");
        assert_eq!(text(r#"{"title":"Bad Request","status":400}"#), "Bad Request");
        assert_eq!(text("upstream is gone\n<html>"), "upstream is gone");
        assert_eq!(text(""), "no reason given");
    }

    #[test]
    fn an_address_without_its_scheme_is_refused() {
        assert!(Address::new("localhost:8080", None).is_err());
        assert!(Address::new("http://a", Some("a b")).is_err());
        assert_eq!(client("http://localhost:8080/").events_url, "http://localhost:8080/events");
    }

    /// Starts a server that sends these responses in turn; the thread returns the bodies that it
    /// received.
    fn server(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move |answer: &'static str| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                let header = line.trim().to_ascii_lowercase();
                length = header
                    .strip_prefix("content-length: ")
                    .map_or(length, |value| value.parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            body
        };
        (url, std::thread::spawn(move || answers.into_iter().map(serve).collect()))
    }

    #[test]
    fn a_busy_server_is_asked_again_and_gets_the_same_batch() {
        let mut events = EventBatch::new();
        events.push(5, "ana", EventKind::CLICK);
        let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let stored = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        let (url, bodies) = server(vec![busy, busy, stored]);
        client(&url).post_events(&events).unwrap();
        for body in bodies.join().unwrap() {
            assert_eq!(decode(InputFormat::ArrowStream, &body).unwrap(), events);
        }
    }

    #[test]
    fn a_refusal_is_the_callers_and_carries_the_servers_reason() {
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 21\r\n\
                      Connection: close\r\n\r\n{\"detail\":\"row 1: x\"}";
        let (url, _bodies) = server(vec![answer]);
        let error = client(&url).post_events(&EventBatch::new()).unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.ends_with("400 Bad Request: row 1: x")),
            "{error}"
        );
    }
}
