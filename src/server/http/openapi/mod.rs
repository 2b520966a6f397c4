//! `/openapi.json`: the HTTP door as an OpenAPI 3.1 document, with the kinds, dimensions and saved
//! queries of this store.
//!
//! | file | content |
//! | --- | --- |
//! | `operations` | what each path and method takes and returns |
//! | `parameters` | parameters of the URL and headers |
//! | `results` | the formats of rows |
//! | `schemas` | shapes of JSON |
//! | `problems` | error responses, from the table of failures |
//!
//! The document is data, so it is written as such, in the terms of the specification. HEAD and
//! OPTIONS are the same for every path, and described once.

mod operations;
mod parameters;
mod problems;
mod results;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value, json};

use self::operations::{Operation, operations};
use super::responses::{etag, revalidated};
use crate::event::EventSchema;
use crate::query::SavedQueries;

const DESCRIPTION: &str = "Events in, numbers and SQL out. Every GET is also a HEAD, and OPTIONS \
    on any path lists its methods (`Allow`, and the headers of a CORS preflight); another method \
    gets a 405, and another path a 404. Each error is a `Problem`; its `request_id` is the \
    `X-Request-Id` of the request, or a generated one. While no token was ever created, \
    everything is allowed without one; afterwards only sending events, unless the server says \
    otherwise.";

/// The document, as it is sent.
pub struct Document {
    json: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub fn new(schema: &EventSchema, queries: &SavedQueries) -> Document {
        let json = document(schema, queries).to_string();
        Document { etag: etag(json.as_bytes()), json: json.into() }
    }

    pub fn respond(&self, headers: &HeaderMap) -> Response {
        revalidated(headers, &self.etag, "application/json", || self.json.clone())
    }
}

fn document(schema: &EventSchema, queries: &SavedQueries) -> Value {
    let operations = operations(schema, queries);
    let statuses: BTreeSet<u16> =
        operations.iter().flat_map(|operation| operation.problems.iter().copied()).collect();
    let mut responses = problems::responses(&statuses);
    responses["Rows"] = results::rows();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hourglass",
            "summary": "A columnar engine for visitor events",
            "description": DESCRIPTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": [
            { "name": "Events", "description": "Sending events" },
            { "name": "Numbers", "description": "The numbers of an hour, and saved queries" },
            { "name": "SQL", "description": "Statements of one's own" },
            { "name": "Administration", "description": "What an administrator asks for" },
            { "name": "Operation", "description": "Health, metrics, and what this server offers" },
        ],
        "paths": paths(operations),
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": parameters::components(),
            "headers": problems::headers(),
            "schemas": schemas::components(schema),
            "responses": responses,
        },
    })
}

fn paths(operations: Vec<Operation>) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        path[method] = operation.into_json();
    }
    paths.into()
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `hourglass token create`",
        },
        "basic": {
            "type": "http",
            "scheme": "basic",
            "description": "The token as the password of any user, as browsers ask for it",
        },
        "token": {
            "type": "apiKey",
            "in": "query",
            "name": super::params::TOKEN,
            "description": "The token of who sends events: a beacon has no headers of its own",
        },
    })
}
