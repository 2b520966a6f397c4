//! Reading of request bodies, with limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::Problem;
use crate::server::service::ServiceOptions;

/// Reads a whole body of up to `limit` bytes. A larger `Content-Length` is rejected before the body
/// is read.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let declared =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Problem::body_too_large(limit));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await;
    match collected.map_err(|_| Problem::body_too_slow())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(unread(&*error, limit)),
    }
}

/// Reads and discards a body. If it were left unread, closing the connection would reset it, and
/// the client could lose the response.
pub async fn discard(body: Body, options: &ServiceOptions) -> Result<(), Problem> {
    if body.is_end_stream() {
        return Ok(());
    }
    let mut body = Limited::new(body, options.max_body_bytes);
    let drained = tokio::time::timeout(options.body_timeout, async {
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| unread(&*error, options.max_body_bytes))?;
        }
        Ok(())
    });
    drained.await.map_err(|_| Problem::body_too_slow())?
}

fn unread(error: &(dyn std::error::Error + Send + Sync + 'static), limit: usize) -> Problem {
    if error.is::<LengthLimitError>() {
        Problem::body_too_large(limit)
    } else {
        Problem::invalid("the body is incomplete")
    }
}
