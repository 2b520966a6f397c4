//! Responses shared by several routes.

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

/// Returns a response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns the response to a CORS preflight request, valid for a day.
pub fn preflight(methods: &'static str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(axum::http::header::ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    // A star does not stand for `Authorization` (Fetch, section 4.9).
    let allowed = HeaderValue::from_static("*, authorization");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// Returns the entity tag of some bytes: a weak one, for every encoding of them.
pub fn etag(bytes: &[u8]) -> HeaderValue {
    let tag = format!("W/\"{:08x}-{:x}\"", crc32c::crc32c(bytes), bytes.len());
    HeaderValue::try_from(tag).expect("plain characters")
}

/// Returns a response that a client may keep, but must ask about before it uses it again: without
/// the body if it has it already (RFC 9110, section 13.1.2).
pub fn revalidated(
    request: &HeaderMap,
    etag: &HeaderValue,
    content_type: &'static str,
    body: impl FnOnce() -> Bytes,
) -> Response {
    let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
    let mut response = if tags.any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes()) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = Response::new(Body::from(body()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    };
    response.headers_mut().insert(ETAG, etag.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
