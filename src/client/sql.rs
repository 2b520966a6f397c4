//! HTTP client for SQL: `POST /sql` and `GET /queries/NAME`, with results as Arrow IPC streams.
//!
//! Each statement uses its own connection. Dropping its result closes the connection, and the
//! server then stops the statement.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::thread;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use ureq::Agent;
use ureq::http::{HeaderMap, Response, StatusCode};

use super::{Address, CONNECT_TIMEOUT, Problem, denied, is_denied, tls};
use crate::error::{Error, Failure, Result};
use crate::query::{QueryStats, SavedQueries};

/// Number of batches read ahead of the consumer.
const BATCHES_AHEAD: usize = 2;

/// Error of a statement, with its position if known.
#[derive(Debug)]
pub struct Fault {
    pub error: Error,
    /// Line and column of the error in the statement, counted from 1.
    pub position: Option<(u64, u64)>,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault { position: error.position(), error }
    }
}

/// SQL client of one server.
#[derive(Clone, Debug)]
pub struct SqlClient {
    server: Address,
}

/// Stream of a statement's rows. Dropping it cancels the statement.
#[derive(Debug)]
pub struct Reply {
    pub schema: SchemaRef,
    /// Cost of the statement, if the result was short enough for the server to send it in headers.
    /// For longer results it is in trailers, which this client cannot read.
    pub stats: Option<QueryStats>,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    _line: HangUp,
}

impl Reply {
    /// Returns the next batch; `None` at the end, and after an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.batches.recv().await
    }
}

/// Closes the connection when dropped, even while its thread is blocked on it.
#[derive(Debug)]
struct HangUp(Agent);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.clone().shutdown();
    }
}

type Head = Result<(SchemaRef, Option<QueryStats>), Fault>;

impl SqlClient {
    /// Creates a client. Does not connect.
    pub fn new(server: Address) -> SqlClient {
        SqlClient { server }
    }

    /// Runs a statement with the session options in `settings`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a position if the statement is invalid, [`Error::Limit`] if it
    /// exceeds a limit or the server is busy, [`Error::Storage`] if the server cannot be reached or
    /// fails.
    pub async fn query(
        &self,
        sql: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Reply, Fault> {
        let body = json!({ "query": sql, "settings": settings }).to_string();
        let (server, url) = (self.server.clone(), format!("{}/sql", self.server.base));
        self.ask(url.clone(), move |agent| {
            server.sign(agent.post(url)).header("accept", ACCEPT).content_type(JSON).send(body)
        })
        .await
    }

    /// Runs a saved query of the server, on the version of the table or at the time `as_of` if
    /// given. Errors are those of [`SqlClient::query`], without a position.
    pub async fn run(
        &self,
        name: &str,
        given: &BTreeMap<String, String>,
        as_of: Option<&str>,
    ) -> Result<Reply, Fault> {
        let mut address = url::Url::parse(&self.server.base).map_err(|error| {
            Error::Config(format!("{}: is not an address: {error}", self.server.base))
        })?;
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(["queries", name]);
        }
        if !given.is_empty() {
            address.query_pairs_mut().extend_pairs(given);
        }
        if let Some(as_of) = as_of {
            address.query_pairs_mut().append_pair("as_of", as_of);
        }
        let (server, url) = (self.server.clone(), String::from(address));
        self.ask(url.clone(), move |agent| {
            server.sign(agent.get(url)).header("accept", ACCEPT).call()
        })
        .await
    }

    /// Fetches the server's saved queries. Blocks the calling thread.
    pub fn library(&self) -> Result<SavedQueries> {
        let url = format!("{}/queries", self.server.base);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CONNECT_TIMEOUT))
            .tls_config(tls());
        let answered = self.server.sign(config.build().new_agent().get(&url)).call();
        let mut response = answered.map_err(|error| failed(&url, error.into_io()))?;
        let text =
            response.body_mut().read_to_string().map_err(|error| failed(&url, error.into_io()))?;
        if response.status().is_success() {
            serde_json::from_str(&text).map_err(|error| failed(&url, error.into()))
        } else {
            Err(refused(&url, response.status(), &text).error)
        }
    }

    async fn ask(
        &self,
        url: String,
        send: impl FnOnce(&Agent) -> Result<Response<ureq::Body>, ureq::Error> + Send + 'static,
    ) -> Result<Reply, Fault> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(tls());
        let line = HangUp(config.build().new_agent());
        let agent = line.0.clone();
        let (answered, head) = oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        thread::spawn(move || {
            let response = send(&agent).map_err(|error| Fault::from(failed(&url, error.into_io())));
            match response.and_then(|response| open(&url, response)) {
                // The receiver may have been dropped.
                Err(fault) => drop(answered.send(Err(fault))),
                Ok((stats, reader)) => {
                    let _ = answered.send(Ok((reader.schema(), stats)));
                    for batch in reader {
                        if sender
                            .blocking_send(batch.map_err(|error| cut_off(&url, error)))
                            .is_err()
                        {
                            return;
                        }
                    }
                }
            }
        });
        let head: Head = head.await.map_err(|_| Error::Closed)?;
        let (schema, stats) = head?;
        Ok(Reply { schema, stats, batches, _line: line })
    }
}

const ACCEPT: &str = "application/vnd.apache.arrow.stream";
const JSON: &str = "application/json";

type Reader = StreamReader<BufReader<ureq::BodyReader<'static>>>;

fn open(
    url: &str,
    mut response: Response<ureq::Body>,
) -> Result<(Option<QueryStats>, Reader), Fault> {
    if !response.status().is_success() {
        let text = response.body_mut().read_to_string().unwrap_or_default();
        return Err(refused(url, response.status(), &text));
    }
    let stats = stats(response.headers());
    let reader = StreamReader::try_new_buffered(response.into_body().into_reader(), None);
    Ok((stats, reader.map_err(|error| cut_off(url, error))?))
}

/// Converts an error response to an error, with the position if the response has one.
fn refused(url: &str, status: StatusCode, body: &str) -> Fault {
    let problem = Problem::parse(body);
    let position = problem.line.zip(problem.column);
    let text = problem.text;
    let error = match status {
        _ if problem.failure == Some(Failure::Damaged) => Error::DataFile(format!(
            "{url}: a data file of the server is missing or damaged: {text}"
        )),
        _ if problem.failure == Some(Failure::StatementFailed) => Error::Panicked,
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::SERVICE_UNAVAILABLE => Error::Limit(text),
        status if is_denied(status) => denied(url, format!("{status}: {text}")),
        status if status.is_client_error() => Error::Invalid(text),
        status => failed(url, std::io::Error::other(format!("{status}: {text}"))),
    };
    Fault { error, position }
}

fn failed(url: &str, source: std::io::Error) -> Error {
    Error::io(url, "ask")(source)
}

fn cut_off(url: &str, error: arrow::error::ArrowError) -> Error {
    failed(url, std::io::Error::other(format!("the result was truncated: {error}")))
}

/// Parses the cost of the statement from the response headers; `None` if it is missing.
fn stats(headers: &HeaderMap) -> Option<QueryStats> {
    let item = |header: &str, key: &str| {
        let value = headers.get(header)?.to_str().ok()?;
        value
            .split([',', ';'])
            .find_map(|item| item.trim().strip_prefix(key)?.strip_prefix('='))?
            .parse::<f64>()
            .ok()
    };
    let count = |header: &str, key: &str| item(header, key).map(|value| value as u64);
    let duration = |name: &str| {
        let timing = headers.get("server-timing")?.to_str().ok()?;
        let entry = timing
            .split(',')
            .find_map(|entry| entry.trim().strip_prefix(name)?.strip_prefix(";dur="))?;
        entry.parse::<f64>().ok()
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let files = count("hourglass-files", "considered")?;
    Some(QueryStats {
        partitions: count("hourglass-partitions", "considered")?,
        partitions_read: count("hourglass-partitions", "read")?,
        files,
        files_chosen: files.saturating_sub(count("hourglass-files", "pruned")?),
        files_read: count("hourglass-files", "read")?,
        bytes_read: header("hourglass-bytes-read")?.parse().ok()?,
        rollup: header("hourglass-rollup") == Some("?1"),
        rows: 0,
        planning_ms: duration("plan")?,
        running_ms: duration("run")?,
    })
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use super::*;

    #[test]
    fn a_receipt_is_read_from_its_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("hourglass-partitions", "considered=10, pruned=7, read=3"),
            ("hourglass-files", "considered=9, pruned=6, read=2"),
            ("hourglass-bytes-read", "41234"),
            ("hourglass-rollup", "?1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(stats(&headers), None, "a time is missing");
        headers.insert("server-timing", HeaderValue::from_static("plan;dur=1.250, run;dur=0.500"));
        let stats = stats(&headers).unwrap();
        assert_eq!((stats.partitions, stats.partitions_read, stats.files_chosen), (10, 3, 3));
        assert_eq!((stats.files_read, stats.bytes_read, stats.rollup), (2, 41_234, true));
        assert_eq!((stats.planning_ms, stats.running_ms), (1.25, 0.5));
    }

    #[test]
    fn a_refusal_says_whose_fault_it_is_and_where() {
        let body = r#"{"title":"t","detail":"no such column","line":2,"column":8}"#;
        let fault = refused("http://x/sql", StatusCode::BAD_REQUEST, body);
        assert_eq!((fault.error.exit_code(), fault.position), (65, Some((2, 8))));
        assert_eq!(fault.error.to_string(), "no such column");
        assert_eq!(
            refused("http://x/sql", StatusCode::SERVICE_UNAVAILABLE, "{}").error.exit_code(),
            75
        );
        assert_eq!(
            refused("http://x/sql", StatusCode::INTERNAL_SERVER_ERROR, "{}").error.exit_code(),
            74
        );
        let damaged = r#"{"type":"urn:hourglass:problem:damaged-store","detail":"see the log"}"#;
        assert_eq!(
            refused("http://x/sql", StatusCode::INTERNAL_SERVER_ERROR, damaged).error.exit_code(),
            66
        );
        let panicked = damaged.replace("damaged-store", "statement-failed");
        assert_eq!(
            refused("http://x/sql", StatusCode::INTERNAL_SERVER_ERROR, &panicked).error.exit_code(),
            70
        );
    }
}
