//! `/admin`: what an operator asks of a running server.
//!
//! | path | answer to a POST |
//! | --- | --- |
//! | `/admin/flush` | 204 once everything acknowledged before is in data files |
//! | `/admin/compact[?dry_run=true]` | 200 and the counts as JSON once nothing is left to merge |
//! | `/admin/retain[?dry_run=true]` | 200 and the counts as JSON once hours that are too old are removed |
//! | `/admin/tokens` | 200 and a new token as JSON; the body has its `role`, and maybe `name`, `expires_seconds` and `origin`. GET lists the tokens |
//! | `/admin/tokens/revoke` | 200 and the tokens revoked: those with the id or name `token` of the body |
//! | `/admin/forget[?user=ID][&now=true]` | 200 and the receipt as JSON once the user is in no answer; the body may name more users, one a line, or as a JSON array |

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::params;
use super::paths::Route;
use super::problem::Problem;
use super::responses::empty;
use crate::event::{Rejection, check_user};
use crate::server::tokens::NewToken;
use crate::storage::Progress;
use crate::text::user_lines;

impl App {
    /// Responds to a request of an administrator.
    pub(super) async fn admin(
        &self,
        route: Route,
        request: Request<Body>,
    ) -> Result<Response, Problem> {
        let uri = request.uri().clone();
        let query = uri.query().unwrap_or_default();
        params::only(query, params::of_admin(route))?;
        match route {
            Route::Flush => {
                self.engine.flush().await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Route::Compact => {
                let dry_run = params::switch(query, "dry_run")?;
                Ok(json(&self.engine.compact(dry_run, Progress::default()).await?))
            }
            Route::Retain => self.retain(query).await,
            Route::Forget => self.forget(query, request).await,
            Route::Tokens => self.tokens(request).await,
            Route::RevokeTokens => self.revoke(request).await,
            _ => Err(Problem::not_found()),
        }
    }

    async fn retain(&self, query: &str) -> Result<Response, Problem> {
        if self.engine.snapshot().retention_ms.is_none() {
            let why = "is not configured: start the server with --retention";
            return Err(Rejection::new("retention", why).into());
        }
        let dry_run = params::switch(query, "dry_run")?;
        Ok(json(&self.engine.retain(dry_run).await?))
    }

    async fn revoke(&self, request: Request<Body>) -> Result<Response, Problem> {
        #[derive(Deserialize)]
        struct Which {
            token: String,
        }
        let Which { token } = body(request).await?;
        let access = Arc::clone(&self.access);
        Ok(json(&blocking(move || access.revoke(&token)).await?))
    }

    /// Responds to `/admin/tokens`: GET lists the tokens, POST creates one.
    async fn tokens(&self, request: Request<Body>) -> Result<Response, Problem> {
        if *request.method() != Method::POST {
            return Ok(json(&self.access.list()));
        }
        let new: NewToken = body(request).await?;
        let is_origin = |origin: &String| HeaderValue::from_str(origin).is_ok();
        if !new.origin.iter().all(is_origin) {
            return Err(Rejection::new("origin", "is no origin").into());
        }
        let now_ms = self.engine.clock().now_us() / 1_000;
        let access = Arc::clone(&self.access);
        Ok(json(&blocking(move || access.create(new, now_ms)).await?))
    }

    async fn forget(&self, query: &str, request: Request<Body>) -> Result<Response, Problem> {
        let now = params::switch(query, "now")?;
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
        let mut users: BTreeSet<String> = params::text(query, "user")?.into_iter().collect();
        let body = to_bytes(request.into_body(), MAX_USERS_BYTES).await.map_err(|_| {
            Rejection::new("the body", "must be at most 16 MiB, and must not break off")
        })?;
        users.extend(named_in(&body, is_json)?);
        if users.is_empty() {
            return Err(Rejection::new("user", "is missing").into());
        }
        for user in &users {
            check_user(user)?;
        }
        let receipt = self.engine.forget(users.clone(), now).await?;
        self.query.forget(&users);
        Ok(json(&receipt))
    }
}

/// Returns the users that a body names: as a JSON array of texts, or one a line.
fn named_in(body: &[u8], is_json: bool) -> Result<Vec<String>, Rejection> {
    if is_json && !body.is_empty() {
        return serde_json::from_slice(body)
            .map_err(|_| Rejection::new("the body", "must be a JSON array of texts"));
    }
    let text = std::str::from_utf8(body)
        .map_err(|_| Rejection::new("the body", "must be UTF-8, with one user a line"))?;
    Ok(user_lines(text))
}

/// Runs what writes a file.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::storage::Error> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

/// Returns the JSON of a small body.
async fn body<T: DeserializeOwned>(request: Request<Body>) -> Result<T, Problem> {
    let bytes = to_bytes(request.into_body(), 64 << 10).await;
    let bytes = bytes.map_err(|_| Problem::invalid("the body must be at most 64 KiB"))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::invalid(format!("the body is not what is needed here: {error}")))
}

/// Maximum size of a list of users.
const MAX_USERS_BYTES: usize = 16 << 20;

fn json(answer: &impl Serialize) -> Response {
    let text = serde_json::to_string(answer).expect("a report is plain data");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
