//! Routing: selects the handler of a request.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, Either, Ready, ready};
use tracing::Instrument;

use super::admit::Caller;
use super::app::App;
use super::metrics::InFlight;
use super::paths::Route;
use super::problem::Problem;
use super::request_id::RequestId;
use super::responses::preflight;
use super::serve::Scope;
use super::{analytics, docs, events, params, sql};
use crate::error::Error;
use crate::server::access::WRONG_TOKEN_DELAY;
use crate::server::connection::Connection;

/// Hint for a time whose offset was sent as it is.
const PLAIN_PLUS: &str = "a plus sign in a URL is a space: send the one of an offset as %2B";

/// A response that is ready, or a future of one.
pub type Answer = Either<Ready<Response>, BoxFuture<'static, Response>>;

impl App {
    /// Handles one request: hot paths within the call, others in a boxed future. Hyper moves the
    /// future once per request, so its size is kept to a response or a pointer. A pending response
    /// holds the connection, which marks it as busy.
    pub fn respond(
        self: &Arc<App>,
        request: Request<Body>,
        connection: &Arc<Connection>,
        scope: Scope,
    ) -> Answer {
        let in_flight = self.metrics.begin(&request);
        let caller = self.caller(&request);
        if let Err(problem) = self.admit(&request, connection, scope) {
            return self.deny(problem, &request, caller, in_flight);
        }
        if let Some(response) = analytics::get_now(self, &request) {
            self.metrics.end(in_flight, response.status());
            return Answer::Left(ready(self.allow_origin(&caller, response)));
        }
        let (app, connection) = (Arc::clone(self), Arc::clone(connection));
        let sent = RequestId::sent(request.headers());
        if let Some(queued) = analytics::post_now(self, &request) {
            return Answer::Right(Box::pin(async move {
                let _connection = connection;
                app.finish(queued.await, in_flight, sent, &caller)
            }));
        }
        let id = sent.unwrap_or_else(RequestId::new);
        // At the highest level, so that the span exists regardless of the log's filter.
        let span = tracing::error_span!("request", request_id = id.as_str());
        Answer::Right(Box::pin(async move {
            let has_offset = params::has_plain_offset(request.uri().query().unwrap_or_default());
            let outcome = app.route(request, &connection).instrument(span).await;
            let outcome = match outcome {
                Err(problem) if has_offset => Err(problem.with_hint(PLAIN_PLUS)),
                outcome => outcome,
            };
            app.finish(outcome, in_flight, Some(id), &caller)
        }))
    }

    /// Answers a request that is not let in. A wrong token is answered late, so that guessing is
    /// slow.
    fn deny(
        self: &Arc<App>,
        problem: Problem,
        request: &Request<Body>,
        caller: Caller,
        in_flight: InFlight,
    ) -> Answer {
        let (app, id) = (Arc::clone(self), RequestId::sent(request.headers()));
        Answer::Right(Box::pin(async move {
            if problem.is_wrong_token() {
                tokio::time::sleep(WRONG_TOKEN_DELAY).await;
            }
            app.finish(Err(problem), in_flight, id, &caller)
        }))
    }

    fn finish(
        &self,
        outcome: Result<Response, Problem>,
        in_flight: InFlight,
        id: Option<RequestId>,
        caller: &Caller,
    ) -> Response {
        let response = outcome.unwrap_or_else(|problem| {
            self.rejected(problem.reason());
            problem.answer(id.unwrap_or_else(RequestId::new))
        });
        self.metrics.end(in_flight, response.status());
        self.allow_origin(caller, response)
    }

    async fn route(
        &self,
        request: Request<Body>,
        connection: &Arc<Connection>,
    ) -> Result<Response, Problem> {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        if target.len() > self.http.max_uri_bytes {
            return Err(Problem::uri_too_long(self.http.max_uri_bytes));
        }
        let path = request.uri().path();
        let route = Route::of(path).ok_or_else(Problem::not_found)?;
        if *request.method() == Method::OPTIONS {
            return Ok(preflight(route.methods()));
        }
        if !route.allows(request.method()) {
            return Err(Problem::method_not_allowed(route.methods()));
        }
        match route {
            Route::Analytics => analytics::respond(self, request).await,
            Route::Events => events::respond(self, request).await,
            Route::Sql => sql::respond(self, request, connection).await,
            Route::Queries => Ok(sql::list_queries(self)),
            Route::SavedQuery => {
                let name = route.name(path).to_string();
                sql::run_query(self, &name, request, connection).await
            }
            Route::Schema => Ok(self.schema()),
            Route::Flush
            | Route::Compact
            | Route::Retain
            | Route::Forget
            | Route::Tokens
            | Route::RevokeTokens => self.admin(route, request).await,
            Route::Metrics => self.metrics.respond().await,
            Route::OpenApi => Ok(self.document.respond(request.headers())),
            Route::Docs => Ok(docs::page(request.headers())),
            Route::DocsFile => docs::file(route.name(path), request.headers()),
            Route::Healthz => Ok(ok()),
            Route::Readyz => match self.engine.refusal() {
                None => Ok(ok()),
                Some(reason) => Err(Problem::from(Error::from(reason))),
            },
        }
    }

    /// Responds with the kinds and dimensions of the store.
    fn schema(&self) -> Response {
        let (kinds, dimensions) = (self.schema.kind_names(), self.schema.dimensions());
        let json = serde_json::json!({ "kinds": kinds, "dimensions": dimensions });
        let json_type = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, json_type)], json.to_string()).into_response()
    }
}

/// Responds to a health probe.
fn ok() -> Response {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, text)], "ok\n").into_response()
}
