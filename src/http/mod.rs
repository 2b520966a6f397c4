//! The HTTP door: paths, methods and status codes. What an event is and where it goes is decided below.
//!
//! | path | method | answer |
//! | --- | --- | --- |
//! | `/analytics?timestamp&user&event` | POST | 204 once the event is durable and visible |
//! | `/analytics?timestamp` | GET, HEAD | 200, the numbers of the hour |
//! | `/events` | POST | 200 and the number of events, all of them durable and visible, or none stored |
//! | `/sql` | POST, GET | 200, the rows of a statement, in the format that `format` or `Accept` names |
//! | `/queries`, `/queries/NAME` | GET | 200, the library of statements; the rows of one of them |
//! | `/admin/flush` | POST | 204 once everything acknowledged before is in data files |
//! | `/metrics` | GET, HEAD | 200, what this process did and how it fares, as OpenMetrics |
//! | `/healthz` | GET, HEAD | 200 while the process answers |
//! | `/readyz` | GET, HEAD | 200 while events are taken, else 503 and why |
//!
//! A POST of events may carry an idempotency key, as the header `Idempotency-Key` or (`/analytics`) the parameter `id`: sent
//! again with the same key within the window, it is answered the same and stored once. A key that comes again for something else
//! is a mistake of its client: 422, and nothing is stored (draft-ietf-httpapi-idempotency-key-header-07, section 2.7).
//!
//! Whatever is wrong is answered as a [`problem::Problem`], which carries the request's id (the `x-request-id` that was sent,
//! or one made for it) as a header and a member; so do the lines of the log that were written meanwhile. Other answers do not
//! repeat it. Every answer, errors too, carries
//! `access-control-allow-origin`, so that a page of any origin may send beacons and read what became of them.
//!
//! Routing is a `match` over whole paths rather than an axum `Router`: with a few paths and one capture a router's
//! per-request bookkeeping (boxed futures, extensions) buys nothing, and the hot path is measured against bare axum.

mod accept;
mod analytics;
mod app;
mod baseline;
mod body;
mod connection;
mod events;
mod metrics;
pub mod params;
mod problem;
mod process;
mod request_id;
mod responses;
mod routes;
mod serve;
mod sql;
mod times;

pub use app::{App, HttpOptions};
pub use baseline::baseline;
pub use serve::{Stop, serve};
