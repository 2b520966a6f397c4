//! `/metrics`: metrics of this process for Prometheus, as OpenMetrics 1.0.
//!
//! Each component registers its own metrics; this module counts requests, at a cost of two clock
//! reads and three atomic additions each. Responses that hyper sends to an invalid head are not
//! counted. A streamed response counts as complete when its rows begin to stream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::paths::Route;
use super::problem::Problem;
use crate::metrics::{Histogram, family};

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Label values, beside the paths of the routes. They are fixed so that clients cannot create new
/// ones; the last of each stands for all others.
const METHODS: [&str; 5] = ["POST", "GET", "HEAD", "OPTIONS", "other"];
const STATUSES: [&str; 20] = [
    "204", "200", "503", "304", "400", "401", "403", "404", "405", "406", "408", "413", "414",
    "415", "421", "422", "429", "499", "500", "other",
];

/// Metrics of HTTP, and the registry of all metrics.
#[derive(Debug)]
pub struct Metrics {
    requests: Arc<Requests>,
    registry: Arc<Registry>,
}

/// A request in progress.
#[derive(Debug)]
pub struct InFlight {
    series: usize,
    began: Instant,
}

impl Metrics {
    /// Adds the metrics of HTTP to `registry`, which is complete then.
    pub fn new(mut registry: Registry) -> Metrics {
        let requests = Arc::new(Requests::new());
        registry.register_collector(Box::new(requests.clone()));
        Metrics { requests, registry: Arc::new(registry) }
    }

    pub fn begin(&self, request: &Request<Body>) -> InFlight {
        InFlight { series: series(request.uri().path(), request.method()), began: Instant::now() }
    }

    pub fn end(&self, asked: InFlight, status: StatusCode) {
        let series = &self.requests.0[asked.series];
        series.answers[position(&STATUSES, status.as_str())].fetch_add(1, Ordering::Relaxed);
        series.duration.observe_duration(asked.began.elapsed());
    }

    /// Responds to a scrape. Runs on a blocking thread because it reads files in `/proc`.
    pub async fn respond(&self) -> Result<Response, Problem> {
        let registry = self.registry.clone();
        let encoding = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            text::encode(&mut text, &registry).map(|()| text)
        });
        let text = encoding.await.map_err(|panic| Problem::internal(&panic))?;
        let text = text.map_err(|error| Problem::internal(&error))?;
        Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
    }
}

/// Counters for every route and method, allocated in advance so that counting takes no lock.
#[derive(Debug)]
struct Requests(Vec<Series>);

/// Counters of one route and method.
#[derive(Debug)]
struct Series {
    answers: [AtomicU64; STATUSES.len()],
    duration: Histogram,
}

fn series(path: &str, method: &Method) -> usize {
    let route = Route::of(path).map_or(Route::ALL.len(), |route| route as usize);
    route * METHODS.len() + position(&METHODS, method.as_str())
}

/// Returns the label values of the routes, by index; the last one stands for all other paths.
fn routes() -> impl Iterator<Item = &'static str> {
    Route::ALL.iter().map(|route| route.path()).chain(["other"])
}

/// Returns the index of a label's value; the last one if it is unknown.
fn position(values: &[&str], value: &str) -> usize {
    values.iter().position(|known| *known == value).unwrap_or(values.len() - 1)
}

impl Requests {
    fn new() -> Requests {
        let series = |_| Series { answers: Default::default(), duration: Histogram::of_times() };
        Requests((0..routes().count() * METHODS.len()).map(series).collect())
    }

    /// Returns the series with at least one request, with their labels.
    fn asked(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 2], &Series)> {
        let labels =
            routes().flat_map(|route| METHODS.map(|method| [("route", route), ("method", method)]));
        labels.zip(&self.0).filter(|(_, series)| !series.duration.is_empty())
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("hourglass_http_requests", "Requests answered");
        let mut requests = family(&mut encoder, name, help, MetricType::Counter)?;
        for (labels, series) in self.asked() {
            for (status, answers) in STATUSES.iter().zip(&series.answers) {
                let (answers, labels) =
                    (answers.load(Ordering::Relaxed), (labels, [("status", *status)]));
                if answers > 0 {
                    requests
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&answers, None)?;
                }
            }
        }
        let (name, help) = (
            "hourglass_http_request_duration_seconds",
            "Time from a request's head to its response's head",
        );
        let mut durations = family(&mut encoder, name, help, MetricType::Histogram)?;
        for (labels, series) in self.asked() {
            series.duration.encode(durations.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_make_up_is_counted_together() {
        let labels = |path, method: &str| {
            let series = series(path, &Method::from_bytes(method.as_bytes()).unwrap());
            (routes().nth(series / METHODS.len()).unwrap(), METHODS[series % METHODS.len()])
        };
        assert_eq!(labels("/analytics", "POST"), ("/analytics", "POST"));
        assert_eq!(labels("/queries/hour_stats", "GET"), ("/queries/NAME", "GET"));
        assert_eq!(labels("/analytics/", "BREW"), ("other", "other"));
        assert_eq!(STATUSES[position(&STATUSES, StatusCode::IM_A_TEAPOT.as_str())], "other");
    }
}
