//! HTTP server: paths, methods and status codes. The layers below define what an event is and where
//! it is stored.
//!
//! | path | method | response |
//! | --- | --- | --- |
//! | `/analytics?timestamp&user&event` | POST | 204 once the event is durable and visible |
//! | `/analytics?timestamp` | GET, HEAD | 200, the numbers of the hour |
//! | `/events` | POST | 200, the number of events: all durable and visible, or none stored |
//! | `/sql` | POST, GET | 200, the rows of a statement, in the format of `format` or `Accept` |
//! | `/queries`, `/queries/NAME` | GET, HEAD | 200, the saved queries; the rows of one of them |
//! | `/admin/flush` | POST | 204 once everything acknowledged before is in data files |
//! | `/admin/compact` | POST | 200 with counts once the files of each hour are merged |
//! | `/admin/retain` | POST | 200 with counts once hours older than the retention are removed |
//! | `/admin/forget` | POST | 200 with the receipt once the users are in no answer |
//! | `/admin/tokens`, `/admin/tokens/revoke` | GET, POST | 200, the tokens as JSON |
//! | `/schema` | GET, HEAD | 200, the kinds and dimensions |
//! | `/metrics` | GET, HEAD | 200, metrics of this process, as OpenMetrics |
//! | `/openapi.json`, `/docs` | GET, HEAD | 200, these paths as an OpenAPI document; a page that shows it |
//! | `/healthz` | GET, HEAD | 200 while the process answers |
//! | `/readyz` | GET, HEAD | 200 while events are accepted, otherwise 503 with the reason |
//!
//! A POST of events may carry an idempotency key in the header `Idempotency-Key` or (`/analytics`)
//! in the parameter `id`: repeated with the same key within the window, it gets the same response
//! and is stored once. A key that is reused for another request is rejected: 422, and nothing is
//! stored (draft-ietf-httpapi-idempotency-key-header-07, section 2.7).
//!
//! Errors are returned as a [`problem::Problem`], which carries the request's id (the
//! `x-request-id` that was sent, or a generated one) as a header and a member; log lines of the
//! request carry it, too. Other responses do not repeat it. Who may do what, and what a page of
//! another origin may do, is in [`admit`].
//!
//! Routing is a `match` over whole paths instead of an axum `Router`: for a few paths with one
//! parameter, a router's cost per request (boxed futures, extensions) buys nothing, and the hot
//! path is measured against bare axum. The paths and their methods are a table ([`paths::Route`]),
//! which the OpenAPI document reads, too.

mod accept;
mod admin;
mod admit;
mod analytics;
mod app;
mod baseline;
mod body;
mod docs;
mod events;
mod media_types;
mod metrics;
mod openapi;
pub mod params;
mod paths;
mod problem;
mod request_id;
mod responses;
mod routes;
mod serve;
mod sql;

pub use app::{App, HttpOptions, Origins};
pub use baseline::baseline;
pub use serve::HttpDoor;
