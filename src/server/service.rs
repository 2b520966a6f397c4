//! Service: what every door works on, and the limits of the server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::access::{Access, TokenId};
use super::process::Process;
use super::rates::Rates;
use super::times::EventTimes;
use crate::event::EventSchema;
use crate::query::QueryEngine;
use crate::storage::Engine;

/// Limits of the server that all doors share.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Maximum number of requests a second of an address, and of a token.
    pub rate_by_address: Option<u64>,
    pub rate_by_token: Option<u64>,
    /// Maximum size of a body in bytes, before and after decompression.
    pub max_body_bytes: usize,
    /// Time for a client to begin: the head of a request, TLS, or a login.
    pub header_timeout: Duration,
    /// Time for a client to send the rest, or to read more.
    pub body_timeout: Duration,
    pub shutdown_timeout: Duration,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// Maximum number of bodies with events in memory.
    pub batch_slots: usize,
    /// How far before and after the clock an event's timestamp may be; `None` for no limit.
    pub event_max_age: Option<Duration>,
    pub event_max_ahead: Option<Duration>,
}

/// What every door works on.
#[derive(Debug)]
pub struct Service {
    pub engine: Engine,
    pub access: Arc<Access>,
    pub by_address: Rates<IpAddr>,
    pub by_token: Rates<TokenId>,
    /// Kinds and dimensions of the engine's events.
    pub schema: EventSchema,
    pub query: Arc<QueryEngine>,
    pub options: ServiceOptions,
    /// One permit per body with events in memory. Requests never wait for a permit: without one they
    /// are refused.
    pub batch_slots: Arc<Semaphore>,
    pub times: EventTimes,
    rejections: Family<[(&'static str, &'static str); 1], Counter>,
    connections: Family<[(&'static str, &'static str); 1], Gauge>,
    ignored_fields: Counter,
}

impl Service {
    pub fn new(
        engine: Engine,
        query: Arc<QueryEngine>,
        access: Arc<Access>,
        options: ServiceOptions,
        registry: &mut Registry,
    ) -> Service {
        let rejections = Family::default();
        registry.register(
            "hourglass_rejections",
            "Requests answered with a problem, by reason",
            rejections.clone(),
        );
        let connections = Family::default();
        registry.register(
            "hourglass_connections",
            "Open connections, by protocol",
            connections.clone(),
        );
        let suspicious_timestamps = Counter::default();
        registry.register(
            "hourglass_suspicious_timestamps",
            "Events stored in January 1970 whose timestamps would be current if read as seconds",
            suspicious_timestamps.clone(),
        );
        let ignored_fields = Counter::default();
        registry.register(
            "hourglass_ignored_fields",
            "Parameters and fields of events that are no declared dimension; columns count once a request",
            ignored_fields.clone(),
        );
        engine.register(registry);
        query.register(registry);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("hourglass_build", "The version of the server", version);
        registry.register_collector(Box::new(Process));
        let (age, ahead) = (options.event_max_age, options.event_max_ahead);
        let times = EventTimes::new(age, ahead, engine.clock().clone(), suspicious_timestamps);
        let slots = options.batch_slots.min(Semaphore::MAX_PERMITS);
        Service {
            schema: engine.snapshot().schema.clone(),
            engine,
            access,
            by_address: Rates::new(options.rate_by_address),
            by_token: Rates::new(options.rate_by_token),
            query,
            options,
            batch_slots: Arc::new(Semaphore::new(slots)),
            times,
            rejections,
            connections,
            ignored_fields,
        }
    }

    /// Counts a connection as open until the result is dropped.
    pub fn connected(&self, protocol: &'static str) -> OpenConnection {
        let gauge = self.connections.get_or_create(&[("protocol", protocol)]).clone();
        gauge.inc();
        OpenConnection(gauge)
    }

    /// Counts a request that was answered with a problem.
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts parameters and fields of events that were ignored.
    pub fn ignored(&self, fields: usize) {
        if fields > 0 {
            self.ignored_fields.inc_by(fields as u64);
        }
    }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
