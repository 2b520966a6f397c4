//! HTTP client for `POST /events`: sends batches as Arrow IPC streams.
//!
//! Only a 503 is retried, because only a 503 guarantees that nothing was stored. After a broken
//! connection the batch may have been stored, and sending it again would count it twice; so the
//! error is returned.

mod sql;

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

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
    base: String,
    /// URL of the batch endpoint.
    events_url: String,
    /// Kinds and dimensions of the server's events.
    schema: EventSchema,
}

impl Client {
    /// Creates a client for the server at `url`, such as `http://localhost:8080`. Does not connect.
    pub fn new(url: &str) -> Result<Client> {
        let base = base_url(url)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .build()
            .new_agent();
        let (base, events_url) = (base.to_owned(), format!("{base}/events"));
        Ok(Client { agent, base, events_url, schema: EventSchema::default() })
    }

    /// Asks the server for the kinds and dimensions of its events.
    pub fn connect(mut self) -> Result<Client> {
        #[derive(Deserialize)]
        struct Declared {
            kinds: Vec<String>,
            dimensions: Vec<String>,
        }
        let url = format!("{}/schema", self.base);
        let failed = |error: ureq::Error| Error::io(&url, "get")(error.into_io());
        let mut response = self.agent.get(&url).call().map_err(failed)?;
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
                .agent
                .post(&self.events_url)
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
        let url = format!("{}/admin/{work}", self.base);
        let failed = |error: ureq::Error| Error::io(&url, "post")(error.into_io());
        let post = self.agent.post(&url).config().timeout_global(None).build();
        let mut response = post.content_type("application/json").send(body).map_err(failed)?;
        let (status, text) =
            (response.status(), response.body_mut().read_to_string().map_err(failed)?);
        if !status.is_success() {
            let reason = format!("{status}: {}", Problem::parse(&text).text);
            if status.is_client_error() {
                return Err(Error::Invalid(format!("{url}: {reason}")));
            }
            return Err(failed(ureq::Error::Io(std::io::Error::other(reason))));
        }
        serde_json::from_str(&text)
            .map_err(|error| Error::Invalid(format!("{url}: not an answer of hourglass: {error}")))
    }

    fn refused(&self, status: StatusCode, body: &str) -> Error {
        let reason = format!("{status}: {}", Problem::parse(body).text);
        if status.is_client_error() {
            Error::Invalid(format!("{}: {reason}", self.events_url))
        } else {
            self.failed(std::io::Error::other(reason))
        }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::io(&self.events_url, "post")(source)
    }
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

/// Validates a server's address and strips trailing slashes.
fn base_url(url: &str) -> Result<&str> {
    if url.starts_with("http://") || url.starts_with("https://") {
        Ok(url.trim_end_matches('/'))
    } else {
        Err(Error::Config(format!("{url}: must begin with http:// or https://")))
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
        assert!(Client::new("localhost:8080").is_err());
        assert_eq!(
            Client::new("http://localhost:8080/").unwrap().events_url,
            "http://localhost:8080/events"
        );
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
        Client::new(&url).unwrap().post_events(&events).unwrap();
        for body in bodies.join().unwrap() {
            assert_eq!(decode(InputFormat::ArrowStream, &body).unwrap(), events);
        }
    }

    #[test]
    fn a_refusal_is_the_callers_and_carries_the_servers_reason() {
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 21\r\n\
                      Connection: close\r\n\r\n{\"detail\":\"row 1: x\"}";
        let (url, _bodies) = server(vec![answer]);
        let error = Client::new(&url).unwrap().post_events(&EventBatch::new()).unwrap_err();
        assert!(
            matches!(&error, Error::Invalid(text) if text.ends_with("400 Bad Request: row 1: x")),
            "{error}"
        );
    }
}
