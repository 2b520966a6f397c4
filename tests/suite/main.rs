//! The behaviour of hourglass through its public doors, in one binary.

mod cli;
mod engine;
mod faults;
mod http;
mod kills;
mod layers;
mod plans;
mod server;
mod support;
