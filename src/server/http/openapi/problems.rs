//! Errors in the document: one response for each status, with every problem type that has it.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::error::Failure;

/// The status of a request whose client has gone; nobody reads it.
const CALLER_GONE: u16 = 499;

/// Returns a reference to the response of a status.
pub fn shared(status: u16) -> Value {
    json!({ "$ref": format!("#/components/responses/{}", name(status)) })
}

/// Returns the identifiers of all problem types.
pub fn types() -> Vec<&'static str> {
    let mut types: Vec<&str> =
        rows().filter(|row| row.status != CALLER_GONE).map(|row| row.urn).collect();
    types.dedup();
    let mut seen = BTreeSet::new();
    types.retain(|urn| seen.insert(*urn));
    types
}

/// Returns the responses of these statuses.
pub fn responses(statuses: &BTreeSet<u16>) -> Value {
    let response = |status: &u16| (name(*status), response(*status));
    statuses.iter().map(response).collect::<Map<String, Value>>().into()
}

fn response(status: u16) -> Value {
    let mut titles: Vec<&str> = Vec::new();
    let mut examples = Map::new();
    for row in rows().filter(|row| row.status == status) {
        if !titles.contains(&row.title) {
            titles.push(row.title);
        }
        let example = json!({
            "type": row.urn, "title": row.title, "status": status,
            "detail": detail(row.problem()).unwrap_or(row.title), "request_id": "edge-7.A_1",
        });
        examples
            .insert(row.problem().to_owned(), json!({ "summary": row.title, "value": example }));
    }
    let mut headers = json!({ "x-request-id": header("request_id") });
    let special = match status {
        401 => Some("www-authenticate"),
        415 => Some("accept-post"),
        429 | 503 => Some("retry-after"),
        _ => None,
    };
    for name in special.into_iter().chain((status == 415).then_some("accept-encoding")) {
        headers[name] = header(&name.replace('-', "_"));
    }
    json!({
        "description": titles.join("; "),
        "headers": headers,
        "content": {
            "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "examples": examples,
            },
        },
    })
}

/// Returns the headers of error responses.
pub fn headers() -> Value {
    let text = |description: &str, example: &str| json!({ "description": description, "schema": { "type": "string", "examples": [example] } });
    json!({
        "request_id": text("The id of the request", "edge-7.A_1"),
        "www_authenticate": text("How to send a token", "Bearer realm=\"hourglass\""),
        "accept_post": text("The media types that are accepted, if that was at fault", "text/csv"),
        "accept_encoding": text("The encodings that are accepted, if that was at fault", "gzip"),
        "retry_after": {
            "description": "Seconds after which to try again",
            "schema": { "type": "integer", "minimum": 0, "examples": [1] },
        },
    })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn rows() -> impl Iterator<Item = &'static crate::error::Row> {
    Failure::ALL.iter().map(|failure| failure.row())
}

/// Returns the name of a status, such as `BadRequest`.
fn name(status: u16) -> String {
    let status = StatusCode::from_u16(status).expect("a status of the table");
    status.canonical_reason().unwrap_or_default().replace([' ', '-'], "")
}

/// Returns an example of what is wrong.
fn detail(problem: &str) -> Option<&'static str> {
    Some(match problem {
        "invalid-parameter" => "user: is missing",
        "invalid-row" => "line 7: user: is missing",
        "invalid-query" => "No field named klick. Did you mean 'hours.clicks'?",
        "invalid-request" => "the Host header is given more than once",
        "unauthorized" => "the token is unknown, revoked or expired",
        "forbidden" => "asking needs a token of the role read or admin; this one has write",
        "too-many-requests" => "too many requests from this address; try again in a second",
        "busy" => "too many queries are running",
        "internal" => "the server's log has the cause under this request's id",
        _ => return None,
    })
}
