//! `/sql` and `/queries`: run statements and return their rows.
//!
//! Rows stream in the format given by the URL's parameter `format`, by the member of a JSON body,
//! or by `Accept`. The parameter or member `as_of` names an earlier version of the table. The
//! statement's cost is in headers if the result is short; otherwise it is in trailers (RFC 9110,
//! section 6.5), because it is not known before the last row. A statement is stopped when its
//! client closes the connection, or its sending side.

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
use super::media_types::{COST, STATEMENTS};
use super::problem::Problem;
use super::{accept, body, params};
use crate::error::Error;
use crate::event::Rejection;
use crate::query::{AS_OF, Params, QueryStats, ResultStream, Session};
use crate::rows::{RowFormat, RowWriter, SharedBuffer};
use crate::server::connection::Connection;

/// Maximum size of a statement with its parameters, in bytes: enough for a list of tens of
/// thousands of values. A token takes a hundred times the memory of a byte, and all of them exist
/// at once. (ClickHouse has the same limit, `max_query_size`.)
const STATEMENT_BYTES: usize = 256 << 10;

/// Bytes of a result that are buffered, so that the cost can be sent in headers.
const HELD_BYTES: usize = 256 << 10;

/// Size of the parts of a longer result.
const PART_BYTES: usize = 64 << 10;

/// A statement as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    query: String,
    #[serde(default)]
    params: serde_json::Value,
    /// Session options for this statement, as `SET` would set them.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// Format of the result, unless the URL names one.
    format: Option<String>,
    /// Version of the table or time to read, unless the URL names one: a text or a number.
    #[serde(default)]
    as_of: serde_json::Value,
}

impl From<String> for Question {
    fn from(query: String) -> Question {
        let (params, as_of) = Default::default();
        Question { query, params, settings: BTreeMap::new(), format: None, as_of }
    }
}

pub async fn respond(
    app: &App,
    request: Request<Body>,
    connection: &Arc<Connection>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let url_query = head.uri.query().unwrap_or_default();
    let question = match head.method {
        Method::POST => {
            let limit = STATEMENT_BYTES.min(app.options.max_body_bytes);
            question(
                &head.headers,
                body::read(&head.headers, body, limit, app.options.body_timeout).await?,
            )?
        }
        _ => {
            let mut pairs = params::pairs(url_query)?;
            params::RESERVED.iter().for_each(|name| _ = pairs.remove(*name));
            let query = pairs.remove(params::STATEMENT).ok_or_else(|| {
                Problem::invalid("q: is missing; it must be the statement to run")
            })?;
            let named = pairs.into_iter().map(|(name, value)| (name, value.into()));
            let params = serde_json::Value::Object(named.collect());
            Question { params, ..Question::from(query) }
        }
    };
    let format = format(&head.headers, url_query, question.format.as_deref())?;
    let mut session = app.query.new_session();
    for (name, value) in &question.settings {
        session.set(name, value)?;
    }
    read_as_of(&mut session, url_query, &question.as_of)?;
    let params = Params::from_json(&question.params)?;
    run(app, session, &question.query, params, format, connection).await
}

/// Runs a statement until it ends or its client is gone.
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

/// Sets the version of the table to read, if the URL names one, or else the body.
fn read_as_of(
    session: &mut Session,
    url_query: &str,
    in_body: &serde_json::Value,
) -> Result<(), Problem> {
    let text = match (params::as_of(url_query)?, in_body) {
        (Some(in_url), _) => in_url.into_owned(),
        (None, serde_json::Value::Null) => return Ok(()),
        (None, serde_json::Value::String(text)) => text.clone(),
        (None, other) => other.to_string(),
    };
    Ok(session.set(AS_OF, &text)?)
}

fn question(headers: &HeaderMap, body: Bytes) -> Result<Question, Problem> {
    // Editors on Windows write a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").map_or(body.clone(), |text| body.slice_ref(text));
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/sql");
    match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        // Serde would read an array as the members in their order.
        "application/json" if body.trim_ascii_start().first() != Some(&b'{') => Err(
            Problem::invalid("the body is not an object: {\"query\": \"SELECT …\", \"params\": …}"),
        ),
        "application/json" => serde_json::from_slice(&body).map_err(|error| {
            Problem::invalid(format!("the body is not {{\"query\", \"params\"}}: {error}"))
        }),
        // The default content type of curl is accepted, too.
        "application/sql" | "text/plain" | "application/x-www-form-urlencoded" => {
            let query = String::from_utf8(body.into())
                .map_err(|_| Problem::invalid("the body is not UTF-8"))?;
            Ok(Question::from(query))
        }
        _ => Err(Problem::unsupported(
            format!("the supported content types are {STATEMENTS}"),
            "accept-post",
            STATEMENTS,
        )),
    }
}

/// Lists the saved queries.
pub fn list_queries(app: &App) -> Response {
    let list = serde_json::to_vec(app.query.library()).expect("plain data");
    let mut response = Response::new(Body::from(list));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Runs a saved query.
pub async fn run_query(
    app: &App,
    name: &str,
    request: Request<Body>,
    connection: &Arc<Connection>,
) -> Result<Response, Problem> {
    let Some(named) = app.query.library().find(name) else {
        return Err(Problem::no_such_query(name));
    };
    let url_query = request.uri().query().unwrap_or_default();
    let format = format(request.headers(), url_query, None)?;
    let mut given = params::pairs(url_query)?;
    params::RESERVED.iter().for_each(|name| _ = given.remove(*name));
    let (sql, params) = named.bind(&app.schema, &given)?;
    let mut session = app.query.new_session();
    read_as_of(&mut session, url_query, &serde_json::Value::Null)?;
    run(app, session, &sql, params, format, connection).await
}

/// Selects the format: the URL takes precedence over the body, and both over `Accept`, which many
/// clients set without the user's knowledge.
fn format(
    headers: &HeaderMap,
    url_query: &str,
    in_body: Option<&str>,
) -> Result<RowFormat, Problem> {
    let in_url = params::format(url_query)?;
    let Some(name) = in_url.as_deref().or(in_body) else { return accepted(headers) };
    RowFormat::of_name(name).ok_or_else(|| {
        let known = RowFormat::ALL.map(RowFormat::name).join(", ");
        Problem::from(Rejection::new(
            params::FORMAT,
            format!("{name:?} is not a format; the formats are {known}"),
        ))
    })
}

/// Selects the format that `Accept` prefers, the first of ours among equals; JSON if nothing is
/// preferred.
fn accepted(headers: &HeaderMap) -> Result<RowFormat, Problem> {
    if !accept::is_given(headers) {
        return Ok(RowFormat::Json);
    }
    let preference = |format: RowFormat| accept::preference(headers, format.media_types());
    // Of several maxima, `max_by` returns the last.
    let wished =
        RowFormat::ALL.into_iter().rev().filter_map(|format| Some((preference(format)?, format)));
    let most =
        wished.max_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    most.map(|(_, format)| format).ok_or_else(|| {
        let known = RowFormat::ALL.map(RowFormat::media_type).join(", ");
        Problem::not_acceptable(format!("the available formats are {known}"))
    })
}

/// A result being written.
struct Writing {
    answer: ResultStream,
    buffer: SharedBuffer,
    /// `None` once the last row has been written.
    writer: Option<RowWriter<SharedBuffer>>,
}

impl Writing {
    /// Writes rows until the buffer holds `bytes` or the result ends.
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

    /// Returns the next part, or the trailers at the end.
    async fn next(&mut self) -> Result<Frame<Bytes>, Error> {
        self.fill(PART_BYTES).await?;
        let part = self.buffer.take();
        if part.is_empty() && self.writer.is_none() {
            Ok(Frame::trailers(receipt(&self.answer.recorder.stats()).collect()))
        } else {
            Ok(Frame::data(part.into()))
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
    let stats = writing.answer.recorder.stats();
    let mut response = match writing.writer {
        None => {
            let mut response = Response::new(Body::from(first));
            response.headers_mut().extend(receipt(&stats));
            response
        }
        Some(_) => {
            let mut response = Response::new(Body::new(StreamBody::new(parts(
                writing, first, connection, timeout,
            ))));
            let names: Vec<&str> = COST.to_vec();
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

/// Streams the rest of a long result, and its cost. An error truncates the result, which the client
/// can detect.
///
/// A separate task writes it, and gives up on a client that reads nothing for `timeout`: the body
/// of a client that does not read is never polled, and so could not watch the time itself. The task
/// also holds the connection until it ends.
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
                tracing::debug!(%error, "a result was truncated");
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
        // If the channel closes before the trailers, the result was given up.
        let next = receiver.recv().await.unwrap_or(Err(Error::Closed));
        let goes_on = is_part(&next).then_some(receiver);
        Some((next, goes_on))
    })
}

/// Formats the cost: dictionaries as structured fields (RFC 9651), times as Server-Timing (W3C), in
/// milliseconds.
fn receipt(stats: &QueryStats) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let pruned = stats.partitions.saturating_sub(stats.partitions_read);
    let files_pruned = stats.files.saturating_sub(stats.files_chosen);
    let values = [
        format!("considered={}, pruned={pruned}, read={}", stats.partitions, stats.partitions_read),
        format!("considered={}, pruned={files_pruned}, read={}", stats.files, stats.files_read),
        stats.bytes_read.to_string(),
        if stats.rollup { "?1" } else { "?0" }.to_string(),
        format!("plan;dur={:.3}, run;dur={:.3}", stats.planning_ms, stats.running_ms),
    ];
    let header = |(name, value): (&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(&value).expect("digits and names"))
    };
    COST.into_iter().zip(values).map(header)
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
        for json in
            ["", "*/*", "application/*", "text/html, */*;q=0.1", "text/csv;q=0.9, application/json"]
        {
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
        for (url, body) in [
            ("format=xml", None),
            ("format=", None),
            ("format=csv&format=csv", None),
            ("", Some("xls")),
        ] {
            assert_eq!(of(url, body), None, "{url} {body:?}");
        }
    }
}
