//! `/sql` and `/queries`: statements in, rows out.
//!
//! Rows stream in the format that the parameter `format` of the URL names, or the member of a JSON body, or else `Accept`. What the statement cost, its receipt, is in the headers when the answer
//! is short; a long one has it in trailers (RFC 9110, section 6.5), for it is not known before the last row. A statement whose
//! caller closes the connection, or its sending side, is stopped.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, HeaderName, TRAILER};
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::response::Response;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::app::App;
use super::connection::Connection;
use super::problem::Problem;
use super::responses::preflight;
use super::{accept, body, params};
use crate::error::Error;
use crate::event::Rejection;
use crate::query::{Params, QueryStats, ResultStream, Session};
use crate::rows::{RowFormat, RowWriter, SharedBuffer};

const SQL_METHODS: &str = "GET, POST, OPTIONS";
const QUERIES_METHODS: &str = "GET, OPTIONS";
const BODIES: &str = "application/sql, text/plain, application/json";

/// Bytes of a statement, with its parameters: a list of tens of thousands of values. A token takes a hundred times the memory of
/// a byte, and all of them exist at once. (ClickHouse has the same bound, `max_query_size`.)
const STATEMENT_BYTES: usize = 256 << 10;

/// Bytes of an answer that are held back for its receipt to be in the headers.
const HELD_BYTES: usize = 256 << 10;

/// Bytes of a part of a longer answer.
const PART_BYTES: usize = 64 << 10;

/// A statement as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    #[serde(default)]
    params: serde_json::Value,
    /// Options for this statement, as `SET` would set them.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// The answer's, where the URL names none.
    format: Option<String>,
}

impl From<String> for Question {
    fn from(query: String) -> Question {
        Question { query, params: serde_json::Value::Null, settings: BTreeMap::new(), format: None }
    }
}

pub async fn respond(app: &App, request: Request<Body>, connection: &Arc<Connection>) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let url_query = head.uri.query().unwrap_or_default();
    let question = match head.method {
        Method::GET => {
            let mut pairs = params::pairs(url_query)?;
            pairs.remove(params::FORMAT);
            let query =
                pairs.remove("q").ok_or_else(|| Problem::invalid("q: is missing; it is the statement to run"))?;
            let named = pairs.into_iter().map(|(name, value)| (name, value.into()));
            let params = serde_json::Value::Object(named.collect());
            Question { params, ..Question::from(query) }
        }
        Method::POST => {
            let limit = STATEMENT_BYTES.min(app.options.max_body_bytes);
            question(&head.headers, body::read(&head.headers, body, limit, app.options.body_timeout).await?)?
        }
        Method::OPTIONS => return Ok(preflight(SQL_METHODS)),
        _ => return Err(Problem::method_not_allowed(SQL_METHODS)),
    };
    let format = format(&head.headers, url_query, question.format.as_deref())?;
    let mut session = app.query.new_session();
    for (name, value) in &question.settings {
        session.set(name, value)?;
    }
    let params = Params::from_json(&question.params)?;
    run(app, session, &question.query, params, format, connection).await
}

/// Runs a statement for as long as its caller is there.
async fn run(
    app: &App,
    mut session: Session,
    sql: &str,
    params: Params,
    format: RowFormat,
    connection: &Arc<Connection>,
) -> Result<Response, Problem> {
    let snapshot = app.engine.snapshot();
    let answering = async {
        let answer = app.query.run_text(&mut session, &snapshot, sql, params).await?;
        rows(answer, format, connection, app.options.body_timeout).await
    };
    tokio::select! {
        response = answering => response,
        () = connection.gone() => Err(Problem::caller_gone()),
    }
}

fn question(headers: &HeaderMap, body: Bytes) -> Result<Question, Problem> {
    // What an editor on Windows writes at the beginning of a file.
    let body = body.strip_prefix(b"\xef\xbb\xbf").map_or(body.clone(), |text| body.slice_ref(text));
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/sql");
    match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        // An array would be taken for the members in their order.
        "application/json" if body.trim_ascii_start().first() != Some(&b'{') => {
            Err(Problem::invalid("the body is not an object: {\"query\": \"SELECT …\", \"params\": …}"))
        }
        "application/json" => serde_json::from_slice(&body)
            .map_err(|error| Problem::invalid(format!("the body is not {{\"query\", \"params\"}}: {error}"))),
        // What curl sends by itself holds a statement as well.
        "application/sql" | "text/plain" | "application/x-www-form-urlencoded" => {
            let query = String::from_utf8(body.into()).map_err(|_| Problem::invalid("the body is not UTF-8"))?;
            Ok(Question::from(query))
        }
        _ => Err(Problem::unsupported(format!("the content types taken here are {BODIES}"), "accept-post", BODIES)),
    }
}

/// `/queries` lists the library; `/queries/NAME?param=…` runs a statement of it.
pub async fn respond_queries(
    app: &App,
    name: Option<&str>,
    request: Request<Body>,
    connection: &Arc<Connection>,
) -> Result<Response, Problem> {
    match *request.method() {
        Method::GET => {}
        Method::OPTIONS => return Ok(preflight(QUERIES_METHODS)),
        _ => return Err(Problem::method_not_allowed(QUERIES_METHODS)),
    }
    let Some(name) = name else {
        let list = serde_json::to_vec(app.query.library()).expect("plain data");
        let mut response = Response::new(Body::from(list));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(response);
    };
    let Some(named) = app.query.library().find(name) else { return Err(Problem::no_such_query(name)) };
    let url_query = request.uri().query().unwrap_or_default();
    let format = format(request.headers(), url_query, None)?;
    let mut given = params::pairs(url_query)?;
    given.remove(params::FORMAT);
    run(app, app.query.new_session(), &named.sql, named.params(&given)?, format, connection).await
}

/// The format of an answer: what the URL says before what the body says, and both before `Accept`, which many clients set
/// without their user.
fn format(headers: &HeaderMap, url_query: &str, in_body: Option<&str>) -> Result<RowFormat, Problem> {
    let in_url = params::format(url_query)?;
    let Some(name) = in_url.as_deref().or(in_body) else { return accepted(headers) };
    RowFormat::of_name(name).ok_or_else(|| {
        let known = RowFormat::ALL.map(RowFormat::name).join(", ");
        Problem::from(Rejection::new(params::FORMAT, format!("{name:?} is none; the formats are {known}")))
    })
}

/// The format that `Accept` wants most, the first of ours among equals; JSON for who wants none in particular.
fn accepted(headers: &HeaderMap) -> Result<RowFormat, Problem> {
    if !accept::is_given(headers) {
        return Ok(RowFormat::Json);
    }
    let wish = |format: RowFormat| accept::wish(headers, format.media_types());
    // Of several that are the greatest, `max_by` takes the last.
    let wished = RowFormat::ALL.into_iter().rev().filter_map(|format| Some((wish(format)?, format)));
    let most = wished.max_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    most.map(|(_, format)| format).ok_or_else(|| {
        let known = RowFormat::ALL.map(RowFormat::media_type).join(", ");
        Problem::not_acceptable(format!("the formats answered here are {known}"))
    })
}

/// An answer being written.
struct Writing {
    answer: ResultStream,
    buffer: SharedBuffer,
    /// Nothing once the last row is written.
    writer: Option<RowWriter<SharedBuffer>>,
}

impl Writing {
    /// Writes rows until the buffer holds `bytes` or the answer ends.
    async fn fill(&mut self, bytes: usize) -> Result<(), Error> {
        while let Some(writer) = &mut self.writer
            && self.buffer.len() < bytes
        {
            match self.answer.next().await {
                Some(batch) => writer.write(&batch?)?,
                None => drop(self.writer.take().expect("just seen").finish()?),
            }
        }
        Ok(())
    }

    /// The next part, or the receipt at the end.
    async fn next(&mut self) -> Result<Frame<Bytes>, Error> {
        self.fill(PART_BYTES).await?;
        let part = self.buffer.take();
        match part.is_empty() && self.writer.is_none() {
            true => Ok(Frame::trailers(receipt(&self.answer.recorder.stats()).collect())),
            false => Ok(Frame::data(part.into())),
        }
    }
}

async fn rows(
    answer: ResultStream,
    format: RowFormat,
    connection: &Arc<Connection>,
    timeout: Duration,
) -> Result<Response, Problem> {
    let buffer = SharedBuffer::default();
    let writer = RowWriter::new(format, &answer.schema, buffer.clone())?;
    let mut writing = Writing { answer, buffer, writer: Some(writer) };
    writing.fill(HELD_BYTES).await?;
    let first = writing.buffer.take();
    let figures = writing.answer.recorder.stats();
    let mut response = match writing.writer {
        None => {
            let mut response = Response::new(Body::from(first));
            response.headers_mut().extend(receipt(&figures));
            response
        }
        Some(_) => {
            let mut response = Response::new(Body::new(StreamBody::new(parts(writing, first, connection, timeout))));
            let names: Vec<&str> = RECEIPT.to_vec();
            let trailer = HeaderValue::from_str(&names.join(", ")).expect("names of headers");
            response.headers_mut().insert(TRAILER, trailer);
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    Ok(response)
}

/// The rest of a long answer, and its receipt. An error on the way cuts the answer off: the client sees that it is not whole.
///
/// A task of its own writes it, and gives up on a client that takes no part for `timeout`: what such a client leaves unread is
/// not asked for either, and a body that nobody polls cannot watch the time. With the task the answer lets go of the connection.
fn parts(
    mut writing: Writing,
    first: Vec<u8>,
    connection: &Arc<Connection>,
    timeout: Duration,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Error>> + Send + use<> {
    let is_part = |next: &Result<Frame<Bytes>, Error>| matches!(next, Ok(frame) if frame.is_data());
    let (sender, receiver) = mpsc::channel(1);
    let connection = Arc::clone(connection);
    let write = async move {
        let mut next = Ok(Frame::data(first.into()));
        loop {
            if let Err(error) = &next {
                tracing::debug!(%error, "an answer was cut off");
            }
            let is_last = !is_part(&next);
            let sent = tokio::time::timeout(timeout, sender.send(next)).await;
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            next = tokio::select! {
                next = writing.next() => next,
                () = sender.closed() => return,
                () = connection.gone() => Err(Error::Closed),
            };
        }
    };
    tokio::spawn(write.in_current_span());
    stream::unfold(Some(receiver), move |receiver| async move {
        let mut receiver = receiver?;
        // A channel that closes before the receipt came is an answer given up.
        let next = receiver.recv().await.unwrap_or(Err(Error::Closed));
        let goes_on = is_part(&next).then_some(receiver);
        Some((next, goes_on))
    })
}

/// The names of a receipt's headers, or trailers.
const RECEIPT: [&str; 5] =
    ["hourglass-partitions", "hourglass-files", "hourglass-bytes-read", "hourglass-rollup", "server-timing"];

/// Dictionaries are written as structured fields (RFC 9651), times as Server-Timing (W3C), in milliseconds.
fn receipt(figures: &QueryStats) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let pruned = figures.partitions.saturating_sub(figures.partitions_read);
    let files_pruned = figures.files.saturating_sub(figures.files_chosen);
    let values = [
        format!("considered={}, pruned={pruned}, read={}", figures.partitions, figures.partitions_read),
        format!("considered={}, pruned={files_pruned}, read={}", figures.files, figures.files_read),
        figures.bytes_read.to_string(),
        if figures.rollup { "?1" } else { "?0" }.to_string(),
        format!("plan;dur={:.3}, run;dur={:.3}", figures.planning_ms, figures.running_ms),
    ];
    let header = |(name, value): (&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(&value).expect("digits and names"))
    };
    RECEIPT.into_iter().zip(values).map(header)
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;

    use super::*;

    fn accepts(value: &'static str) -> Option<RowFormat> {
        accepted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])).ok()
    }

    #[test]
    fn the_format_that_is_wanted_most_is_answered() {
        assert_eq!(accepted(&HeaderMap::new()).ok(), Some(RowFormat::Json));
        for json in ["", "*/*", "application/*", "text/html, */*;q=0.1", "text/csv;q=0.9, application/json"] {
            assert_eq!(accepts(json), Some(RowFormat::Json), "{json}");
        }
        assert_eq!(accepts("image/png, Text/CSV;q=0.5"), Some(RowFormat::Csv));
        assert_eq!(accepts("text/*"), Some(RowFormat::Csv));
        assert_eq!(accepts("text/csv;q=0, text/*"), Some(RowFormat::Tsv));
        assert_eq!(accepts("application/vnd.apache.arrow.stream"), Some(RowFormat::ArrowStream));
        assert_eq!(accepts("application/jsonl"), Some(RowFormat::Ndjson));
        for none in ["image/png", "text/csv;q=0", "*/*;q=0", "text/csv;q=much"] {
            assert_eq!(accepts(none), None, "{none}");
        }
    }

    #[test]
    fn a_format_in_the_url_goes_before_one_in_the_body_and_before_accept() {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/csv"))]);
        let of = |url, body| format(&headers, url, body).ok();
        assert_eq!(of("q=1", None), Some(RowFormat::Csv));
        assert_eq!(of("q=1", Some("parquet")), Some(RowFormat::Parquet));
        assert_eq!(of("format=%74sv&q=1", Some("parquet")), Some(RowFormat::Tsv));
        for (url, body) in [("format=xml", None), ("format=", None), ("format=csv&format=csv", None), ("", Some("xls"))]
        {
            assert_eq!(of(url, body), None, "{url} {body:?}");
        }
    }
}
