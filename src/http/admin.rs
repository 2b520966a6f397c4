//! `/admin`: what an operator asks of a running server.
//!
//! | path | answer to a POST |
//! | --- | --- |
//! | `/admin/flush` | 204 once everything acknowledged before is in data files |
//! | `/admin/compact[?dry_run=true]` | 200 and the counts as JSON once nothing is left to merge |
//! | `/admin/retain[?dry_run=true]` | 200 and the counts as JSON once hours that are too old are removed |
//! | `/admin/forget[?user=ID][&now=true]` | 200 and the receipt as JSON once the user is in no answer; the body may name more users, one a line |

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::params;
use super::problem::Problem;
use super::responses::{empty, preflight};
use crate::event::Rejection;
use crate::storage::Progress;

const METHODS: &str = "POST, OPTIONS";

impl App {
    /// Responds to a request below `/admin/`.
    pub(super) async fn admin(&self, request: Request<Body>) -> Result<Response, Problem> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let work = match uri.path() {
            "/admin/flush" => Work::Flush,
            "/admin/compact" => Work::Compact,
            "/admin/retain" => Work::Retain,
            "/admin/forget" => Work::Forget,
            _ => return Err(Problem::not_found()),
        };
        match method {
            Method::POST => {}
            Method::OPTIONS => return Ok(preflight(METHODS)),
            _ => return Err(Problem::method_not_allowed(METHODS)),
        }
        let query = uri.query().unwrap_or_default();
        match work {
            Work::Flush => {
                self.engine.flush().await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Work::Compact => {
                let dry_run = params::switch(query, "dry_run")?;
                Ok(json(&self.engine.compact(dry_run, Progress::default()).await?))
            }
            Work::Retain => {
                let dry_run = params::switch(query, "dry_run")?;
                Ok(json(&self.engine.retain(dry_run).await?))
            }
            Work::Forget => self.forget(query, request).await,
        }
    }

    async fn forget(&self, query: &str, request: Request<Body>) -> Result<Response, Problem> {
        let now = params::switch(query, "now")?;
        let mut users: BTreeSet<String> = params::text(query, "user")?.into_iter().collect();
        let body = to_bytes(request.into_body(), MAX_USERS_BYTES).await.map_err(|_| {
            Rejection::new("the body", "must be at most 16 MiB, and must not break off")
        })?;
        let body = std::str::from_utf8(&body)
            .map_err(|_| Rejection::new("the body", "must be UTF-8, with one user a line"))?;
        users.extend(body.lines().filter(|line| !line.is_empty()).map(String::from));
        if users.is_empty() {
            return Err(Rejection::new("user", "is missing").into());
        }
        let receipt = self.engine.forget(users.clone(), now).await?;
        self.query.forget(&users);
        Ok(json(&receipt))
    }
}

/// Maximum size of a list of users.
const MAX_USERS_BYTES: usize = 16 << 20;

enum Work {
    Flush,
    Compact,
    Retain,
    Forget,
}

fn json(answer: &impl Serialize) -> Response {
    let text = serde_json::to_string(answer).expect("a report is plain data");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
