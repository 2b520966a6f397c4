//! What every request shares, and the limits of the HTTP server.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::times::EventTimes;
use crate::query::QueryEngine;
use crate::storage::Engine;

/// The bounds of the HTTP door.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The value of `access-control-allow-origin`; without one, pages of other origins read no answers.
    pub cors_origin: Option<HeaderValue>,
    /// Bytes of a body, before and after decompression.
    pub max_body_bytes: usize,
    /// Bytes of the path with its query string.
    pub max_uri_bytes: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub shutdown_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
    /// Bodies of `POST /events` in memory at once.
    pub batch_slots: usize,
    /// How far back and ahead of the clock an event may lie; without one, as far as the store reaches.
    pub event_max_age: Option<Duration>,
    pub event_max_ahead: Option<Duration>,
}

/// What every request shares.
pub struct App {
    pub(super) engine: Engine,
    pub(super) query: Arc<QueryEngine>,
    pub(super) options: HttpOptions,
    /// One permit for each batch body in memory. A semaphore that nobody waits on: without a permit the answer is 503.
    pub(super) batch_slots: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) times: EventTimes,
}

impl App {
    pub fn new(engine: Engine, query: Arc<QueryEngine>, options: HttpOptions) -> App {
        let slots = options.batch_slots.min(Semaphore::MAX_PERMITS);
        let metrics = Metrics::new(&engine, &query);
        let (age, ahead) = (options.event_max_age, options.event_max_ahead);
        let times = EventTimes::new(age, ahead, engine.clock().clone(), metrics.suspicious_timestamps.clone());
        App { engine, query, batch_slots: Arc::new(Semaphore::new(slots)), options, metrics, times }
    }

    pub(super) fn allow_origin(&self, mut response: Response) -> Response {
        if let Some(origin) = &self.options.cors_origin {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response
    }
}
