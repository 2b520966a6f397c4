//! Error responses as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::num::NonZeroU64;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::request_id::{RequestId, X_REQUEST_ID};
use crate::error::{Error, Limit};
use crate::event::Rejection;

/// Type of problem: what all problems of a type have in common.
#[derive(Debug, Serialize)]
struct ProblemKind {
    /// Identifier of the type; stable, for programs to compare.
    #[serde(rename = "type")]
    urn: &'static str,
    title: &'static str,
    status: u16,
}

/// The problem types, named after the last component of their identifiers.
mod kind {
    use super::ProblemKind;

    macro_rules! kinds {
        ($($name:ident: $status:literal $urn:literal $title:literal;)*) => {
            $(pub(super) static $name: ProblemKind =
                ProblemKind { urn: concat!("urn:hourglass:problem:", $urn), title: $title, status: $status };)*
        };
    }

    kinds! {
        INVALID_PARAMETER: 400 "invalid-parameter" "A parameter is invalid";
        INVALID_REQUEST: 400 "invalid-request" "The request is invalid";
        INVALID_QUERY: 400 "invalid-query" "The statement cannot be run";
        INVALID_ROW: 400 "invalid-row" "A row of the body is invalid";
        NOT_FOUND: 404 "not-found" "There is nothing at this path";
        METHOD_NOT_ALLOWED: 405 "method-not-allowed" "The path does not take this method";
        NOT_ACCEPTABLE: 406 "not-acceptable" "The format is not available";
        BODY_TOO_SLOW: 408 "body-too-slow" "The body did not arrive in time";
        BODY_TOO_LARGE: 413 "body-too-large" "The body is too large";
        URI_TOO_LONG: 414 "uri-too-long" "The request target is too long";
        UNSUPPORTED_BODY: 415 "unsupported-body" "The format of the body is not supported";
        TOO_HEAVY: 422 "too-heavy" "The statement exceeds a limit";
        KEY_REUSED: 422 "idempotency-key-reused" "The idempotency key was used for another request";
        CALLER_GONE: 499 "caller-gone" "The client closed the connection";
        INTERNAL: 500 "internal" "The server failed";
        STATEMENT_FAILED: 500 "statement-failed" "The query engine failed on the statement";
        DAMAGED_STORE: 500 "damaged-store" "A data file is missing or damaged";
        BUSY: 503 "busy" "The server is busy";
        UNAVAILABLE: 503 "unavailable" "The server is not available";
    }
}

/// One problem. Optional members are present only where they apply.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(flatten)]
    kind: &'static ProblemKind,
    detail: Cow<'static, str>,
    /// The query parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'static str>,
    /// Line or row of the body, or line of the statement, at fault, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<NonZeroU64>,
    /// Column of the statement at fault, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<NonZeroU64>,
    /// Label in metrics: the end of the type's identifier, or the limit that was reached.
    #[serde(skip)]
    reason: &'static str,
    /// Header of the response, in lower case: what a program needs to do better next time.
    #[serde(skip)]
    header: Option<(&'static str, &'static str)>,
}

impl Problem {
    fn new(kind: &'static ProblemKind, detail: impl Into<Cow<'static, str>>) -> Problem {
        let (detail, reason) = (detail.into(), kind.urn.rsplit(':').next().unwrap_or_default());
        Problem { kind, detail, parameter: None, line: None, column: None, reason, header: None }
    }

    fn with_header(self, name: &'static str, value: &'static str) -> Problem {
        Problem { header: Some((name, value)), ..self }
    }

    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(&kind::INVALID_REQUEST, detail)
    }

    pub fn bad_row(line: u64, detail: String) -> Problem {
        Problem { line: NonZeroU64::new(line), ..Problem::new(&kind::INVALID_ROW, detail) }
    }

    pub fn not_found() -> Problem {
        Problem::new(
            &kind::NOT_FOUND,
            "the paths are /analytics, /events, /sql, /queries, /admin/flush, /metrics, /healthz and /readyz",
        )
    }

    pub fn no_such_query(name: &str) -> Problem {
        Problem::new(&kind::NOT_FOUND, format!("there is no query {name}; GET /queries lists them"))
    }

    pub fn not_acceptable(detail: String) -> Problem {
        Problem::new(&kind::NOT_ACCEPTABLE, detail)
    }

    /// `allowed` is the value of the `Allow` header.
    pub fn method_not_allowed(allowed: &'static str) -> Problem {
        let detail = format!("the allowed methods are {allowed}");
        Problem::new(&kind::METHOD_NOT_ALLOWED, detail).with_header("allow", allowed)
    }

    pub fn body_too_large(limit: usize) -> Problem {
        let detail = format!("a body may have at most {limit} bytes, before and after decompression; split it");
        Problem::new(&kind::BODY_TOO_LARGE, detail)
    }

    pub fn uri_too_long(limit: usize) -> Problem {
        Problem::new(&kind::URI_TOO_LONG, format!("the path with its query string may have at most {limit} bytes"))
    }

    pub fn body_too_slow() -> Problem {
        // The rest of the body may still arrive, so the connection cannot be reused.
        Problem::new(&kind::BODY_TOO_SLOW, "nothing was stored").with_header("connection", "close")
    }

    /// `header` gives a program what the detail gives a person: `accept-post` or `accept-encoding`.
    pub fn unsupported(detail: String, header: &'static str, accepted: &'static str) -> Problem {
        Problem::new(&kind::UNSUPPORTED_BODY, detail).with_header(header, accepted)
    }

    /// For the log and the metrics, which must not count it as a server error; no client reads it.
    /// The status is nginx's.
    pub fn caller_gone() -> Problem {
        Problem::new(&kind::CALLER_GONE, "the connection was closed before the response was ready")
    }

    /// A limit was reached and nothing was stored; the client should retry.
    fn busy(detail: String, bound: Limit) -> Problem {
        let problem = Problem::new(&kind::BUSY, detail).with_header("retry-after", "1");
        Problem { reason: bound.reason(), ..problem }
    }

    fn unavailable(detail: String, reason: &'static str) -> Problem {
        Problem { reason, ..Problem::new(&kind::UNAVAILABLE, detail).with_header("retry-after", "10") }
    }

    /// The complete response as HTTP/1.1, for a connection that is closed after it.
    pub fn http1(&self, id: &RequestId) -> Vec<u8> {
        let status = self.status();
        let header = self.header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let (body, id) = (self.members(id), id.as_str());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n{header}x-request-id: {id}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }

    /// A server error. Its cause goes to the log and not to the client, who could do nothing with
    /// it.
    pub fn internal(cause: &dyn std::fmt::Display) -> Problem {
        Problem::ours(&kind::INTERNAL, cause)
    }

    fn ours(kind: &'static ProblemKind, cause: &dyn std::fmt::Display) -> Problem {
        tracing::error!(%cause, "a request failed");
        Problem::new(kind, "the server's log names the cause beside this request's id")
    }

    pub fn reason(&self) -> &'static str {
        self.reason
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).expect("the kinds have statuses of HTTP")
    }

    /// The body, with the request's id for finding log lines.
    fn members(&self, id: &RequestId) -> Vec<u8> {
        #[derive(Serialize)]
        struct Members<'p> {
            #[serde(flatten)]
            problem: &'p Problem,
            request_id: &'p str,
        }
        let members = Members { problem: self, request_id: id.as_str() };
        serde_json::to_vec(&members).expect("a problem has only text and numbers")
    }

    /// Converts the problem to a response.
    pub fn answer(self, id: RequestId) -> Response {
        let (request_id, status, reason, detail) = (id.as_str(), self.kind.status, self.reason, &*self.detail);
        tracing::debug!(request_id, status, reason, detail, "a request was answered with a problem");
        let mut response = Response::new(Body::from(self.members(&id)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(X_REQUEST_ID, id.into_header());
        if let Some((name, value)) = self.header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        let problem = Problem::new(&kind::INVALID_PARAMETER, rejection.to_string());
        Problem { parameter: Some(rejection.parameter), ..problem }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Rejected(rejection) => Problem::from(rejection),
            Error::Invalid(detail) => Problem::invalid(detail),
            Error::Busy(bound) => Problem::busy(error.to_string(), bound),
            Error::Limit(detail) => Problem::new(&kind::TOO_HEAVY, detail),
            Error::Query(_) if error.is_callers() => {
                let (line, column) = error.position().unwrap_or_default();
                let (line, column) = (NonZeroU64::new(line), NonZeroU64::new(column));
                Problem { line, column, ..Problem::new(&kind::INVALID_QUERY, error.to_string()) }
            }
            Error::KeyReused => Problem::new(&kind::KEY_REUSED, error.to_string()),
            Error::Poisoned(_) => Problem::unavailable(error.to_string(), "poisoned"),
            Error::Died(_) => Problem::unavailable(error.to_string(), "died"),
            Error::Closed => Problem::unavailable(error.to_string(), "closed"),
            Error::DataFile(_) => Problem::ours(&kind::DAMAGED_STORE, &error),
            Error::Panicked => Problem::ours(&kind::STATEMENT_FAILED, &error),
            other => Problem::internal(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{ALLOW, RETRY_AFTER};

    use super::*;

    fn json(problem: &Problem) -> String {
        serde_json::to_string(problem).unwrap()
    }

    #[test]
    fn a_rejection_names_its_parameter() {
        let problem = Problem::from(Rejection::new("user", "is missing"));
        let expected = concat!(
            r#"{"type":"urn:hourglass:problem:invalid-parameter","title":"A parameter is invalid","#,
            r#""status":400,"detail":"user: is missing","parameter":"user"}"#
        );
        assert_eq!(json(&problem), expected);
        let response = problem.answer(RequestId::new());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_bad_row_names_its_line() {
        assert!(json(&Problem::bad_row(7, "line 7: user: is missing".into())).ends_with(r#""line":7}"#));
    }

    #[test]
    fn a_bound_that_is_reached_says_when_to_retry() {
        let response = Problem::from(Error::Busy(Limit::Queue)).answer(RequestId::new());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let response = Problem::from(Error::Closed).answer(RequestId::new());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
        let response = Problem::method_not_allowed("POST, OPTIONS").answer(RequestId::new());
        assert_eq!(response.headers()[ALLOW], "POST, OPTIONS");
    }

    #[test]
    fn a_fault_of_ours_keeps_its_cause_to_itself() {
        let problem = Problem::from(Error::Config("/secret/path".into()));
        assert!(!json(&problem).contains("secret"));
        assert!(json(&problem).contains(r#""status":500"#));
    }
}
