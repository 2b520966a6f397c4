//! The behaviour of hourglass through its public doors, in one binary.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that prints ends with its panic, and nothing else does"
)]

mod bench;
mod cli;
mod console;
mod differential;
mod engine;
mod export;
mod faults;
mod fuzz;
mod heavy_sql;
mod hostile;
mod http;
mod idempotency;
mod kills;
mod layers;
mod limits;
mod metrics;
mod plans;
mod poisoning;
mod server;
mod shell;
mod simulation;
mod sql;
mod sql_http;
mod support;
mod verify;
