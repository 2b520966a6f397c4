//! Error responses as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::num::NonZeroU64;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::paths::Route;
use super::request_id::{RequestId, X_REQUEST_ID};
use crate::error::{Actor, Error, Failure, Row};
use crate::event::{Rejection, shown};
use crate::limit::Limit;
use crate::server::access::{Denied, Need};
use crate::storage;

/// What a client is asked for that comes without a token.
const CHALLENGE: &str = "Bearer realm=\"hourglass\", Basic realm=\"hourglass\", charset=\"UTF-8\"";

/// The same for a page that a person opens.
const PASSWORD: &str = "Basic realm=\"hourglass\", charset=\"UTF-8\"";

/// Type of a problem: its row in the table of failures. Its members are `type`, which identifies it
/// for programs, `title` and `status`.
#[derive(Debug)]
struct ProblemKind(&'static Row);

impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("ProblemKind", 3)?;
        members.serialize_field("type", self.0.urn)?;
        members.serialize_field("title", self.0.title)?;
        members.serialize_field("status", &self.0.status)?;
        members.end()
    }
}

/// One problem. Members beyond those of RFC 9457 are present only if they apply.
#[derive(Debug, serde::Serialize)]
pub struct Problem {
    #[serde(flatten)]
    kind: ProblemKind,
    detail: Cow<'static, str>,
    /// The query parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<Cow<'static, str>>,
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
    fn new(failure: Failure, detail: impl Into<Cow<'static, str>>) -> Problem {
        let row = failure.row();
        let (kind, detail, reason) = (ProblemKind(row), detail.into(), row.problem());
        Problem { kind, detail, parameter: None, line: None, column: None, reason, header: None }
    }

    fn with_header(self, name: &'static str, value: &'static str) -> Problem {
        Problem { header: Some((name, value)), ..self }
    }

    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Failure::InvalidRequest, detail)
    }

    pub fn bad_row(line: u64, detail: String) -> Problem {
        Problem { line: NonZeroU64::new(line), ..Problem::new(Failure::InvalidRow, detail) }
    }

    pub fn not_found() -> Problem {
        let paths = Route::ALL.iter().map(|route| route.path());
        let paths: Vec<&str> = paths.filter(|path| !path.ends_with("NAME")).collect();
        Problem::new(Failure::NotFound, format!("the paths are {}", paths.join(", ")))
    }

    /// Returns the problem for an access that is denied.
    pub fn denied(need: Need, denied: Denied) -> Problem {
        let (role, what) = need.named();
        let roles = if need == Need::Admin { "admin".into() } else { format!("{role} or admin") };
        let unauthorized = |detail: String| {
            Problem::new(Failure::Unauthorized, detail).with_header("www-authenticate", CHALLENGE)
        };
        match denied {
            Denied::Missing => unauthorized(format!(
                "{what} needs a token of the role {roles}: send it as `Authorization: \
                 Bearer TOKEN` (`hourglass token create --role {role}` makes one)"
            )),
            Denied::Unknown => unauthorized("the token is unknown, revoked or expired".into()),
            Denied::Role(given) => Problem::new(
                Failure::Forbidden,
                format!("{what} needs a token of the role {roles}; this one has {}", given.name()),
            ),
            Denied::Origin => Problem::new(
                Failure::Forbidden,
                "the token is for the pages of another origin".to_string(),
            ),
        }
    }

    /// Asks only for a password where a token is missing: not every browser finds the second scheme
    /// of a header (RFC 9110, section 11.6.1).
    pub fn asking_for_a_password(self) -> Problem {
        if self.is_wrong_token() { self.with_header("www-authenticate", PASSWORD) } else { self }
    }

    /// Returns the problem for a page of another origin that does more than send events.
    pub fn foreign(need: Need) -> Problem {
        let (_, what) = need.named();
        Problem::new(
            Failure::Forbidden,
            format!("{what} is not for pages of other origins, unless --cors-origin names them"),
        )
    }

    /// Returns the problem for a question on the address that is for events.
    pub fn events_only() -> Problem {
        Problem::new(
            Failure::Forbidden,
            "this address takes events and nothing else (--listen-ingest): ask on that of --listen",
        )
    }

    /// Returns the problem for a source that sends more than it may.
    pub fn too_many(source: &'static str) -> Problem {
        let detail = format!("too many requests {source}; try again in a second");
        Problem::new(Failure::TooMany, detail).with_header("retry-after", "1")
    }

    pub fn unknown_host(host: &str) -> Problem {
        Problem::new(
            Failure::UnknownHost,
            format!(
                "{} is not known as a name of this server: start it with --hosts NAME, or create \
                 a token, without which anyone may do everything here",
                shown(host)
            ),
        )
    }

    /// Adds what may have gone wrong, if the request is invalid.
    pub fn with_hint(mut self, hint: &str) -> Problem {
        if self.kind.0.status == 400 {
            self.detail = format!("{}; {hint}", self.detail).into();
        }
        self
    }

    pub fn is_wrong_token(&self) -> bool {
        std::ptr::eq(self.kind.0, Failure::Unauthorized.row())
    }

    pub fn no_such_query(name: &str) -> Problem {
        Problem::new(
            Failure::NotFound,
            format!("there is no query {name}; GET /queries lists them"),
        )
    }

    pub fn not_acceptable(detail: String) -> Problem {
        Problem::new(Failure::NotAcceptable, detail)
    }

    /// Returns the problem for a wrong method; `allowed` is the value of the `Allow` header.
    pub fn method_not_allowed(allowed: &'static str) -> Problem {
        let detail = format!("the allowed methods are {allowed}");
        Problem::new(Failure::MethodNotAllowed, detail).with_header("allow", allowed)
    }

    pub fn body_too_large(limit: usize) -> Problem {
        let detail = format!(
            "a body may have at most {limit} bytes, before and after decompression; split it"
        );
        Problem::new(Failure::BodyTooLarge, detail)
    }

    pub fn events_too_large(limit: usize) -> Problem {
        let detail =
            format!("the events of a body may take at most {limit} bytes decoded; split it");
        Problem::new(Failure::BodyTooLarge, detail)
    }

    pub fn uri_too_long(limit: usize) -> Problem {
        Problem::new(
            Failure::UriTooLong,
            format!("the path with its query string may have at most {limit} bytes"),
        )
    }

    pub fn body_too_slow() -> Problem {
        // The rest of the body may still arrive, so the connection cannot be reused.
        Problem::new(Failure::BodyTooSlow, "nothing was stored").with_header("connection", "close")
    }

    /// Returns the problem for an unsupported body; `header` tells programs what the detail tells
    /// people: `accept-post` or `accept-encoding`.
    pub fn unsupported(detail: String, header: &'static str, accepted: &'static str) -> Problem {
        Problem::new(Failure::UnsupportedBody, detail).with_header(header, accepted)
    }

    /// Returns the problem for a client that has disconnected. It is for the log and the metrics,
    /// which must not count it as a server error; no client reads it. The status is nginx's.
    pub fn caller_gone() -> Problem {
        Problem::new(Failure::CallerGone, "the connection was closed before the response was ready")
    }

    /// Returns the problem for a limit that was reached: nothing was stored, and the client should
    /// retry.
    fn busy(detail: String, bound: Limit) -> Problem {
        let problem = Problem::new(Failure::Busy, detail).with_header("retry-after", "1");
        Problem { reason: bound.reason(), ..problem }
    }

    fn unavailable(failure: Failure, detail: String, reason: &'static str) -> Problem {
        Problem { reason, ..Problem::new(failure, detail).with_header("retry-after", "10") }
    }

    /// Returns the complete response as HTTP/1.1, for a connection that is closed after it.
    pub fn http1(&self, id: &RequestId) -> Vec<u8> {
        let status = self.status();
        let header =
            self.header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let (body, id) = (self.members(id), id.as_str());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n{header}x-request-id: {id}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }

    /// Returns the problem for a server error. Its cause is logged and not sent to the client, who
    /// could do nothing with it.
    pub fn internal(cause: &dyn std::fmt::Display) -> Problem {
        Problem::ours(Failure::Internal, cause)
    }

    fn ours(failure: Failure, cause: &dyn std::fmt::Display) -> Problem {
        tracing::error!(%cause, "a request failed");
        Problem::new(failure, "the server's log has the cause under this request's id")
    }

    pub fn reason(&self) -> &'static str {
        self.reason
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.0.status).expect("the kinds have statuses of HTTP")
    }

    /// Returns the body, with the request's id for finding log lines.
    fn members(&self, id: &RequestId) -> Vec<u8> {
        #[derive(serde::Serialize)]
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
        let (request_id, status, reason, detail) =
            (id.as_str(), self.kind.0.status, self.reason, &*self.detail);
        tracing::debug!(request_id, status, reason, detail, "a request got an error response");
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
        let problem = Problem::new(Failure::InvalidParameter, rejection.to_string());
        Problem { parameter: Some(rejection.parameter), ..problem }
    }
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Problem {
        Problem::from(Error::from(error))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let (failure, detail) = (error.failure(), error.to_string());
        match error {
            Error::Rejected(rejection) => Problem::from(rejection),
            Error::Busy(bound) => Problem::busy(detail, bound),
            _ if failure == Failure::Poisoned => Problem::unavailable(failure, detail, "poisoned"),
            _ if failure == Failure::Died => Problem::unavailable(failure, detail, "died"),
            _ if failure == Failure::Closed => Problem::unavailable(failure, detail, "closed"),
            _ if failure.row().actor == Actor::Caller => {
                let (line, column) = error.position().unwrap_or_default();
                let (line, column) = (NonZeroU64::new(line), NonZeroU64::new(column));
                Problem { line, column, ..Problem::new(failure, detail) }
            }
            _ => Problem::ours(failure, &error),
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
        assert!(
            json(&Problem::bad_row(7, "line 7: user: is missing".into())).ends_with(r#""line":7}"#)
        );
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
