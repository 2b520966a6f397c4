//! The behaviour of hourglass through its public doors, in one binary.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that prints ends with its panic, and nothing else does"
)]

mod access;
mod asof;
mod bench;
mod blocking;
mod claims;
mod cli;
mod conformance;
mod console;
mod dialects;
mod differential;
mod engine;
mod export;
mod faults;
mod formats;
mod full_disk;
mod fuzz;
mod heavy_sql;
mod hostile;
mod http;
mod idempotency;
mod imports;
mod joins;
mod kills;
mod layers;
mod limits;
mod maintenance;
mod metrics;
mod openapi;
mod plans;
mod poisoning;
mod postgres;
mod schema;
mod server;
mod shell;
mod simulation;
mod sql;
mod sql_http;
mod stores;
mod support;
mod threads;
mod time;
mod verify;
mod visitors;
