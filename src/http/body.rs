//! Request bodies, read within the bounds of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::app::HttpOptions;
use super::problem::Problem;

/// Reads a whole body of up to `limit` bytes. One whose `Content-Length` passes it is refused before a byte of it is read.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Problem::body_too_large(limit));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await;
    match collected.map_err(|_| Problem::body_too_slow())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(unread(&*error, limit)),
    }
}

/// Reads a body to its end and forgets it. Left unread, its bytes would make the connection close after the answer, and
/// a close with bytes unread resets the connection before the answer is read.
pub async fn discard(body: Body, options: &HttpOptions) -> Result<(), Problem> {
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
    match error.is::<LengthLimitError>() {
        true => Problem::body_too_large(limit),
        false => Problem::invalid("the body ended before its end"),
    }
}
