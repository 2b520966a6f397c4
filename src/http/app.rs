//! State shared by all requests, and the limits of the HTTP server.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::times::EventTimes;
use crate::event::EventSchema;
use crate::query::QueryEngine;
use crate::storage::Engine;

/// Limits of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Value of `access-control-allow-origin`; without it, pages of other origins cannot read
    /// responses.
    pub cors_origin: Option<HeaderValue>,
    /// Maximum size of a body in bytes, before and after decompression.
    pub max_body_bytes: usize,
    /// Maximum length of the path with its query string, in bytes.
    pub max_uri_bytes: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub shutdown_timeout: Duration,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// Maximum number of `POST /events` bodies in memory.
    pub batch_slots: usize,
    /// How far before and after the clock an event's timestamp may be; `None` for no limit.
    pub event_max_age: Option<Duration>,
    pub event_max_ahead: Option<Duration>,
}

/// State shared by all requests.
pub struct App {
    pub(super) engine: Engine,
    /// Kinds and dimensions of the engine's events.
    pub(super) schema: EventSchema,
    pub(super) query: Arc<QueryEngine>,
    pub(super) options: HttpOptions,
    /// One permit per batch body in memory. Requests never wait for a permit: without one they get
    /// a 503.
    pub(super) batch_slots: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) times: EventTimes,
}

impl App {
    pub fn new(engine: Engine, query: Arc<QueryEngine>, options: HttpOptions) -> App {
        let slots = options.batch_slots.min(Semaphore::MAX_PERMITS);
        let metrics = Metrics::new(&engine, &query);
        let (age, ahead) = (options.event_max_age, options.event_max_ahead);
        let times = EventTimes::new(
            age,
            ahead,
            engine.clock().clone(),
            metrics.suspicious_timestamps.clone(),
        );
        let schema = engine.snapshot().schema.clone();
        App {
            engine,
            schema,
            query,
            batch_slots: Arc::new(Semaphore::new(slots)),
            options,
            metrics,
            times,
        }
    }

    pub(super) fn allow_origin(&self, mut response: Response) -> Response {
        if let Some(origin) = &self.options.cors_origin {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response
    }
}
