//! State shared by all requests, and the limits of the HTTP server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::times::EventTimes;
use crate::event::EventSchema;
use crate::query::QueryEngine;
use crate::server::access::{Access, TokenId};
use crate::server::rates::Rates;
use crate::storage::Engine;

/// Limits of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Origins whose pages may do more than send events.
    pub cors_origins: Origins,
    /// Maximum number of requests a second of an address, and of a token.
    pub rate_by_address: Option<u64>,
    pub rate_by_token: Option<u64>,
    /// Names of this host, besides those that cannot be rebound.
    pub hosts: Vec<String>,
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

/// Origins whose pages may read responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    None,
    Any,
    Only(Vec<HeaderValue>),
}

impl Origins {
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        match self {
            Origins::None => false,
            Origins::Any => true,
            Origins::Only(origins) => origins.contains(origin),
        }
    }
}

/// State shared by all requests.
pub struct App {
    pub(super) engine: Engine,
    pub(super) access: Arc<Access>,
    pub(super) by_address: Rates<IpAddr>,
    pub(super) by_token: Rates<TokenId>,
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
    pub fn new(
        engine: Engine,
        query: Arc<QueryEngine>,
        access: Arc<Access>,
        options: HttpOptions,
    ) -> App {
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
            access,
            by_address: Rates::new(options.rate_by_address),
            by_token: Rates::new(options.rate_by_token),
            schema,
            query,
            batch_slots: Arc::new(Semaphore::new(slots)),
            options,
            metrics,
            times,
        }
    }
}
