//! Requests that count once however often they are sent: [`window`] decides what is a repeat,
//! [`files`] keeps the keys of what has been flushed.

pub mod files;
pub mod window;
