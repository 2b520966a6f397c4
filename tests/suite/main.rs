//! The behaviour of hourglass through its public doors, in one binary.

mod engine;
mod support;
