//! Server: what every door shares, and the doors.
//!
//! A door translates a protocol; who may come in and what they may do is decided here, once for all
//! doors.
//!
//! | module | content |
//! | --- | --- |
//! | [`tokens`] | the file of tokens |
//! | [`access`] | who may do what: roles, tokens, and those without a token |
//! | [`rates`] | how many requests may come from where |
//! | [`tls`] | certificates |
//! | [`http`] | the HTTP door |

pub mod access;
pub mod http;
pub mod rates;
pub mod tls;
pub mod tokens;
