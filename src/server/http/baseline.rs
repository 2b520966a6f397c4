//! Benchmark baseline: bare axum handlers behind `axum::serve`. They parse the same requests and
//! send the same responses as the real ones, but neither store nor count. They mark the upper limit
//! for an engine in this process.

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::get;
use tokio::net::TcpListener;

use super::params;
use crate::event::{EventKind, EventSchema, Rejection};

/// Serves until the process ends.
///
/// # Errors
/// Those of `axum::serve`.
pub async fn baseline(listener: TcpListener) -> std::io::Result<()> {
    let router = Router::new().route("/analytics", get(hour).post(event));
    axum::serve(listener, router).await
}

/// Timestamp of a GET, in microseconds.
struct Instant(#[allow(dead_code, reason = "parsing it is the point")] i64);

impl<S: Sync> FromRequestParts<S> for Instant {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Instant, Self::Rejection> {
        params::timestamp(parts.uri.query().unwrap_or_default()).map(Instant).map_err(refuse)
    }
}

/// Event of a POST, with owned fields as in axum's `Query` extractor.
#[allow(dead_code, reason = "parsing it is the point")]
struct Event {
    timestamp_us: i64,
    user: String,
    kind: EventKind,
}

impl<S: Sync> FromRequestParts<S> for Event {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Event, Self::Rejection> {
        let params = params::event(&EventSchema::default(), parts.uri.query().unwrap_or_default())
            .map_err(refuse)?;
        Ok(Event {
            timestamp_us: params.timestamp_us,
            user: params.user.into_owned(),
            kind: params.kind,
        })
    }
}

fn refuse(rejection: Rejection) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, rejection.to_string())
}

/// Responds with as many bytes as the real response for an hour of a thousand events.
async fn hour(_: Instant) -> &'static str {
    "unique_users,1\nclicks,1000\nimpressions,0\n"
}

async fn event(_: Event) -> StatusCode {
    StatusCode::NO_CONTENT
}
