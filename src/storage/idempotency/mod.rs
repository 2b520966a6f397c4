//! Idempotent requests: however often a request is sent, it is stored once. [`window`] detects
//! repeats, [`files`] keeps the keys of flushed requests.

pub mod files;
pub mod window;
