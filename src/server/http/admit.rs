//! Who may come in: the token of a request, the page it comes from, and the host it was sent to.
//!
//! Browsers send requests on behalf of any page that a visitor has open. A page of another origin
//! may send events, which is what they are for, and nothing else, unless the setting `cors_origin`
//! names it. A browser says where a request comes from in `Origin`, and in `Sec-Fetch-Site` also
//! where it sends no `Origin` (Fetch Metadata, section 2.3).
//!
//! Where everything is allowed without a token, the name of the host is checked as well: a page
//! could reach this server under a name of its own that resolves to this address (DNS rebinding),
//! and would then be of the same origin. Addresses cannot be rebound, nor can names without a dot
//! or below `localhost`; the setting `hosts` lists others.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, HeaderMap,
    HeaderName, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, Request, Version};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::app::App;
use super::params;
use super::paths::{Route, need};
use super::problem::Problem;
use super::serve::Scope;
use crate::server::access::{Anonymous, Need};
use crate::server::connection::Connection;
use crate::server::rates::network;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

const ANY: HeaderValue = HeaderValue::from_static("*");

impl App {
    /// Decides whether a request is let in.
    pub(super) fn admit(
        &self,
        request: &Request<Body>,
        connection: &Connection,
        scope: Scope,
    ) -> Result<(), Problem> {
        let Some(need) = need(request.method(), request.uri().path()) else { return Ok(()) };
        if !self.by_address.take(network(connection.address())) {
            return Err(Problem::too_many("from this address"));
        }
        if scope == Scope::Events && !matches!(need, Need::Write | Need::Any) {
            return Err(Problem::events_only());
        }
        let headers = request.headers();
        let anonymous = self.access.anonymous();
        let host = host(request)?;
        if anonymous == Anonymous::All && !self.is_known(host) {
            return Err(Problem::unknown_host(host));
        }
        let origin = headers.get(ORIGIN);
        if need != Need::Write && self.is_foreign(need, headers, origin, host) {
            return Err(Problem::foreign(need));
        }
        // Most requests need no more.
        if !self.access.has_tokens() && anonymous.allows(need) && !is_forget(request) {
            return Ok(());
        }
        let secret = secret(need, request);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let now_ms = self.engine.clock().now_us() / 1_000;
        let is_page =
            matches!(Route::of(request.uri().path()), Some(Route::Docs | Route::DocsFile));
        let denied = |denied| {
            let problem = Problem::denied(need, denied);
            if is_page { problem.asking_for_a_password() } else { problem }
        };
        let token = self.access.check(need, secret.as_deref(), origin, now_ms).map_err(denied)?;
        if token.is_some_and(|token| !self.by_token.take(token)) {
            return Err(Problem::too_many("with this token"));
        }
        if is_forget(request) && !connection.is_local() {
            // Nobody else may ask for what cannot be undone.
            self.access.check_token(need, secret.as_deref(), now_ms).map_err(denied)?;
        }
        Ok(())
    }

    /// Reports whether the request was sent by a page that is neither of this server nor allowed by
    /// `cors_origin`.
    fn is_foreign(
        &self,
        need: Need,
        headers: &HeaderMap,
        origin: Option<&HeaderValue>,
        host: &str,
    ) -> bool {
        if let Some(origin) = origin {
            let own = |origin: &str| origin.split_once("://").is_some_and(|(_, own)| own == host);
            // A browser sends the password that it remembers without asking the page for it.
            let may_be_allowed = need != Need::Admin && !is_basic(headers);
            let is_allowed = may_be_allowed && self.http.cors_origins.allows(origin);
            return !is_allowed && !origin.to_str().is_ok_and(own);
        }
        // Without an `Origin`: an image or a script of another page. A link may be followed, except
        // from another site with a password that the browser remembers.
        let is = |name: &HeaderName, value: &str| {
            headers.get(name).is_some_and(|given| given.as_bytes() == value.as_bytes())
        };
        let is_link = is(&SEC_FETCH_MODE, "navigate");
        let may_follow = need != Need::Admin && !is_basic(headers);
        is(&SEC_FETCH_SITE, "cross-site") && !(is_link && may_follow)
            || is(&SEC_FETCH_SITE, "same-site") && !is_link
    }

    fn is_known(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        name.starts_with('[')
            || !name.contains('.')
            || name.parse::<Ipv4Addr>().is_ok()
            || name.to_ascii_lowercase().ends_with(".localhost")
            || self.http.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Adds what lets the pages of other origins read a response, or keeps them from running it as a
    /// script, whose rows a statement could write. Browsers send Fetch Metadata to trustworthy hosts
    /// only, so that of a plain name such a request is not known to be foreign.
    pub(super) fn allow_origin(&self, to: &Caller, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if to.sends_events {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            return response;
        }
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        if let Some(origin) = &to.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        response
    }

    /// Returns what of a request its response depends on.
    pub(super) fn caller(&self, request: &Request<Body>) -> Caller {
        let headers = request.headers();
        let origin = headers.get(ORIGIN);
        let allowed = origin.filter(|origin| self.http.cors_origins.allows(origin));
        let path = request.uri().path();
        let is_event_path = matches!(path, "/analytics" | "/events");
        let method = match *request.method() {
            Method::OPTIONS => headers
                .get(ACCESS_CONTROL_REQUEST_METHOD)
                .map_or(&b"POST"[..], |method| method.as_bytes()),
            ref method => method.as_str().as_bytes(),
        };
        let sends_events = is_event_path && method == b"POST" && allowed.is_none();
        Caller { sends_events, origin: allowed.cloned() }
    }
}

/// The page that sent a request.
#[derive(Debug)]
pub struct Caller {
    /// Whether the request sends events, whose response any page may read.
    sends_events: bool,
    /// The page's origin, if it may read other responses.
    origin: Option<HeaderValue>,
}

/// Reports whether a request has a password, which browsers remember.
fn is_basic(headers: &HeaderMap) -> bool {
    let scheme = |value: &HeaderValue| value.as_bytes().first_chunk::<5>().copied();
    headers.get(AUTHORIZATION).and_then(scheme).is_some_and(|s| s.eq_ignore_ascii_case(b"basic"))
}

fn is_forget(request: &Request<Body>) -> bool {
    request.uri().path() == "/admin/forget"
}

/// Returns the host that a request names. HTTP/1.1 requires it (RFC 9112, section 3.2).
fn host(request: &Request<Body>) -> Result<&str, Problem> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            host.to_str().map_err(|_| Problem::invalid("the Host header is not plain text"))
        }
        (None, _) if request.version() < Version::HTTP_11 => Ok(""),
        (None, _) => Err(Problem::invalid("the Host header is missing (RFC 9112, section 3.2)")),
        _ => Err(Problem::invalid("the Host header is given more than once")),
    }
}

/// Returns the token of a request: of `Authorization`, as a bearer token or as the password of any
/// user, or for events of the parameter `token`, because a beacon has no headers of its own.
fn secret<'r>(need: Need, request: &'r Request<Body>) -> Option<Cow<'r, str>> {
    if let Some(authorization) = request.headers().get(AUTHORIZATION) {
        // A header that cannot be read is a wrong token, not a missing one.
        return Some(authorized(authorization).unwrap_or_default());
    }
    let query = request.uri().query().filter(|_| need == Need::Write)?;
    params::token(query).map(Cow::Owned)
}

fn authorized(authorization: &HeaderValue) -> Option<Cow<'_, str>> {
    let (scheme, rest) = authorization.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_string().into())
}
