//! What statements cost: [`recorder`] counts one while it runs, [`history`] remembers the last,
//! [`metrics`] adds up all.

pub mod history;
pub mod metrics;
pub mod recorder;
