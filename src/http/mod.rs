//! The HTTP door: paths, methods and status codes. What an event is and where it goes is decided below.
//!
//! | path | method | answer |
//! | --- | --- | --- |
//! | `/analytics?timestamp&user&event` | POST | 204 once the event is durable and visible |
//! | `/analytics?timestamp` | GET, HEAD | 200, the numbers of the hour |
//! | `/events` | POST | 200 and the number of events, all of them durable and visible, or none stored |
//! | `/sql` | POST, GET | 200, the rows of a statement, in the format that `format` or `Accept` names |
//! | `/queries`, `/queries/NAME` | GET | 200, the library of statements; the rows of one of them |
//! | `/admin/flush` | POST | 204 once everything acknowledged before is in data files |
//! | `/metrics` | GET, HEAD | 200, what this process did and how it fares, as OpenMetrics |
//! | `/healthz` | GET, HEAD | 200 while the process answers |
//! | `/readyz` | GET, HEAD | 200 while events are taken, else 503 and why |
//!
//! A POST of events may carry an idempotency key, as the header `Idempotency-Key` or (`/analytics`) the parameter `id`: sent
//! again with the same key within the window, it is answered the same and stored once. A key that comes again for something else
//! is a mistake of its client: 422, and nothing is stored (draft-ietf-httpapi-idempotency-key-header-07, section 2.7).
//!
//! Whatever is wrong is answered as a [`problem::Problem`], which carries the request's id (the `x-request-id` that was sent,
//! or one made for it) as a header and a member; so do the lines of the log that were written meanwhile. Other answers do not
//! repeat it. Every answer, errors too, carries
//! `access-control-allow-origin`, so that a page of any origin may send beacons and read what became of them.
//!
//! Routing is a `match` over whole paths rather than an axum `Router`: with a few paths and one capture a router's
//! per-request bookkeeping (boxed futures, extensions) buys nothing, and the hot path is measured against bare axum.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CONTENT_TYPE,
};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, Either, Ready, ready};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::error::Error;
use crate::query::QueryEngine;
use crate::storage::Engine;
use connection::Connection;
use metrics::{Asked, Metrics};
use problem::Problem;
use request_id::RequestId;
use times::EventTimes;

mod accept;
mod analytics;
mod body;
mod ceiling;
mod connection;
mod events;
mod metrics;
pub mod params;
mod problem;
mod process;
mod request_id;
mod serve;
mod sql;
mod times;

pub use ceiling::ceiling;
pub use serve::{Stop, serve};

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

/// An answer that is there, or comes.
pub type Answer = Either<Ready<Response>, BoxFuture<'static, Response>>;

/// What every request shares.
pub struct App {
    engine: Engine,
    query: Arc<QueryEngine>,
    options: HttpOptions,
    /// One permit for each batch body in memory. A semaphore that nobody waits on: without a permit the answer is 503.
    batch_slots: Arc<Semaphore>,
    metrics: Metrics,
    times: EventTimes,
}

impl App {
    pub fn new(engine: Engine, query: Arc<QueryEngine>, options: HttpOptions) -> App {
        let slots = options.batch_slots.min(Semaphore::MAX_PERMITS);
        let metrics = Metrics::new(&engine, &query);
        let (age, ahead) = (options.event_max_age, options.event_max_ahead);
        let times = EventTimes::new(age, ahead, engine.clock().clone(), metrics.suspicious_timestamps.clone());
        App { engine, query, batch_slots: Arc::new(Semaphore::new(slots)), options, metrics, times }
    }

    /// Answers one request: the hot paths in the call itself, the others in a future. Hyper moves a connection's future for
    /// each request, so what it moves is kept to a response or a pointer. An answer to come holds the connection, and so tells
    /// that it is to come.
    pub fn respond(self: &Arc<App>, request: Request<Body>, connection: &Arc<Connection>) -> Answer {
        let asked = self.metrics.begin(&request);
        if let Some(response) = analytics::get_now(self, &request) {
            self.metrics.end(asked, response.status());
            return Answer::Left(ready(self.allow_origin(response)));
        }
        let (app, connection) = (Arc::clone(self), Arc::clone(connection));
        let sent = RequestId::sent(request.headers());
        if let Some(queued) = analytics::post_now(self, &request) {
            return Answer::Right(Box::pin(async move {
                let _connection = connection;
                app.finish(queued.await, asked, sent)
            }));
        }
        let id = sent.unwrap_or_else(RequestId::new);
        // A span of the highest level is there whatever the log leaves out.
        let span = tracing::error_span!("request", request_id = id.as_str());
        Answer::Right(Box::pin(async move {
            let outcome = app.route(request, &connection).instrument(span).await;
            app.finish(outcome, asked, Some(id))
        }))
    }

    fn finish(&self, outcome: Result<Response, Problem>, asked: Asked, id: Option<RequestId>) -> Response {
        let response = outcome.unwrap_or_else(|problem| {
            self.metrics.rejected(problem.reason());
            problem.answer(id.unwrap_or_else(RequestId::new))
        });
        self.metrics.end(asked, response.status());
        self.allow_origin(response)
    }

    fn allow_origin(&self, mut response: Response) -> Response {
        if let Some(origin) = &self.options.cors_origin {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response
    }

    async fn route(&self, request: Request<Body>, connection: &Arc<Connection>) -> Result<Response, Problem> {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        if target.len() > self.options.max_uri_bytes {
            return Err(Problem::uri_too_long(self.options.max_uri_bytes));
        }
        match request.uri().path() {
            "/analytics" => analytics::respond(self, request).await,
            "/events" => events::respond(self, request).await,
            "/sql" => sql::respond(self, request, connection).await,
            "/queries" => sql::respond_queries(self, None, request, connection).await,
            path if path.starts_with("/queries/") => {
                let name = path["/queries/".len()..].to_string();
                sql::respond_queries(self, Some(&name), request, connection).await
            }
            "/admin/flush" => self.flush(request.method()).await,
            "/metrics" => self.metrics.respond(request.method()).await,
            "/healthz" => probe(request.method(), None),
            "/readyz" => probe(request.method(), self.engine.refusal()),
            _ => Err(Problem::not_found()),
        }
    }

    async fn flush(&self, method: &Method) -> Result<Response, Problem> {
        const METHODS: &str = "POST, OPTIONS";
        match *method {
            Method::POST => {
                self.engine.flush().await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Method::OPTIONS => Ok(preflight(METHODS)),
            _ => Err(Problem::method_not_allowed(METHODS)),
        }
    }
}

/// The answer of a health probe: `ok`, or 503 with what is wrong.
fn probe(method: &Method, fault: Option<Error>) -> Result<Response, Problem> {
    const METHODS: &str = "GET, HEAD, OPTIONS";
    match *method {
        Method::GET | Method::HEAD => match fault {
            None => {
                Ok(([(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], "ok\n").into_response())
            }
            Some(error) => Err(Problem::from(error)),
        },
        Method::OPTIONS => Ok(preflight(METHODS)),
        _ => Err(Problem::method_not_allowed(METHODS)),
    }
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What a browser asks before a page's script may send something unusual; the answer holds for a day.
fn preflight(methods: &'static str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(axum::http::header::ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
