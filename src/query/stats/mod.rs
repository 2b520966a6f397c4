//! Cost of statements: [`recorder`] counts one while it runs, [`history`] keeps the last ones,
//! [`metrics`] adds up all.

pub mod history;
pub mod metrics;
pub mod recorder;
