//! State shared by all HTTP requests, and what only HTTP limits.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::HeaderValue;
use prometheus_client::registry::Registry;

use super::metrics::Metrics;
use super::openapi::Document;
use crate::query::QueryEngine;
use crate::server::access::Access;
use crate::server::service::{Service, ServiceOptions};
use crate::storage::Engine;

/// Limits of HTTP in addition to those of all doors.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Origins whose pages may do more than send events.
    pub cors_origins: Origins,
    /// Names of this host, besides those that cannot be rebound.
    pub hosts: Vec<String>,
    /// Maximum length of the path with its query string, in bytes.
    pub max_uri_bytes: usize,
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

/// The HTTP door: the service, and what only HTTP has.
pub struct App {
    service: Arc<Service>,
    pub(super) http: HttpOptions,
    pub(super) metrics: Metrics,
    /// The OpenAPI document.
    pub(super) document: Document,
}

impl App {
    pub fn new(
        engine: Engine,
        query: Arc<QueryEngine>,
        access: Arc<Access>,
        options: ServiceOptions,
        http: HttpOptions,
    ) -> App {
        let mut registry = Registry::default();
        let service = Service::new(engine, query, access, options, &mut registry);
        let document = Document::new(&service.schema, service.query.library());
        App { service: Arc::new(service), http, metrics: Metrics::new(registry), document }
    }

    /// Returns what other doors share with this one.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }
}

impl Deref for App {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
