//! The behaviour of hourglass through its public doors, in one binary.

mod bench;
mod cli;
mod differential;
mod engine;
mod export;
mod faults;
mod heavy_sql;
mod hostile;
mod http;
mod kills;
mod layers;
mod limits;
mod plans;
mod server;
mod shell;
mod sql;
mod sql_http;
mod support;
