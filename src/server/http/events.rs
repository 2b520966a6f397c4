//! `/events`: stores the events of one body, all or nothing.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::Response;

use super::app::App;
use super::media_types::{ENCODINGS, EVENTS as FORMATS};
use super::problem::Problem;
use super::{body, params};
use crate::decode::{self, DecodeError, Encoding, InputFormat, Options};
use crate::error::Error;
use crate::event::EventBatch;
use crate::limit::Limit;

/// Header that lists the media types accepted by POST (W3C Linked Data Platform, section 7.1).
const ACCEPT_POST: &str = "accept-post";
const ACCEPT_ENCODING: &str = "accept-encoding";

/// Responds 200 with the number of events once all of them are durable and visible, or were stored
/// before under the same key.
pub async fn respond(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let (format, mut options) = format(&head.headers)?;
    options.timestamps.bounds = app.times.bounds();
    options.schema = app.schema.clone();
    let ignored = options.ignored.clone();
    let encoding = encoding(&head.headers)?;
    let key = params::key(&head.headers, None)?;
    // IMPORTANT: the permit moves into the decoding thread. A client that disconnects drops this
    // future, not that thread, which keeps the body in memory until it is done.
    let permit = Arc::clone(&app.batch_slots)
        .try_acquire_owned()
        .map_err(|_| Error::Busy(Limit::Batches))?;
    let limit = app.options.max_body_bytes;
    let bytes = body::read(&head.headers, body, limit, app.options.body_timeout).await?;
    let decode = move || {
        let mut batch = decoded(format, &options, encoding, bytes, limit)?;
        if let Some(key) = key.filter(|_| !batch.is_empty()) {
            batch.key_from(0, key);
        }
        Ok(batch)
    };
    let decoding = tokio::task::spawn_blocking(move || (decode(), permit));
    let (batch, permit): (Result<EventBatch, Problem>, _) =
        decoding.await.map_err(|panic| Problem::internal(&panic))?;
    let batch = batch?;
    let accepted = batch.len();
    app.ignored(ignored.count() as usize);
    if accepted > 0 {
        app.times.observe(batch.timestamps_us());
        app.engine.append(batch).await?;
    }
    drop(permit);
    let mut response = Response::new(Body::from(format!(r#"{{"accepted":{accepted}}}"#)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Format and decoding options from the content type.
fn format(headers: &HeaderMap) -> Result<(InputFormat, Options), Problem> {
    let named =
        headers.get(CONTENT_TYPE).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let named = named.unwrap_or_default();
    let format = InputFormat::from_content_type(named).ok_or_else(|| {
        let detail = format!("the supported content types are {FORMATS}");
        Problem::unsupported(detail, ACCEPT_POST, FORMATS)
    })?;
    Ok((format, Options::from_content_type(named).map_err(Problem::invalid)?))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let named = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("not text"));
    Encoding::from_header(named).ok_or_else(|| {
        let detail = format!("the supported content encodings are {ENCODINGS}");
        Problem::unsupported(detail, ACCEPT_ENCODING, ENCODINGS)
    })
}

fn decoded(
    format: InputFormat,
    options: &Options,
    encoding: Encoding,
    bytes: Bytes,
    limit: usize,
) -> Result<EventBatch, Problem> {
    let decoded = match encoding {
        Encoding::Identity => decode::decode_with(format, &bytes, options),
        _ => encoding.decompress(&bytes, limit).and_then(|plain| {
            // Frees the compressed body as soon as it is no longer needed.
            drop(bytes);
            decode::decode_with(format, &plain, options)
        }),
    };
    decoded.map_err(problem)
}

fn problem(error: DecodeError) -> Problem {
    match error {
        DecodeError::BadRow { line, .. } => Problem::bad_row(line, error.to_string()),
        DecodeError::TooLarge { limit } if limit >= decode::MAX_DECODED_BYTES => {
            Problem::events_too_large(limit)
        }
        DecodeError::TooLarge { limit } => Problem::body_too_large(limit),
        other => Problem::invalid(format!("the body {other}")),
    }
}
