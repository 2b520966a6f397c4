//! Server: what every door shares, and the doors.
//!
//! A door translates a protocol. Accepting connections, their limits and their end, TLS, who may come
//! in and what they may do are here, once for all doors.
//!
//! | module | content |
//! | --- | --- |
//! | [`tokens`] | the file of tokens |
//! | [`access`] | who may do what: roles, tokens, and those without a token |
//! | [`rates`] | how many requests may come from where |
//! | [`tls`] | certificates |
//! | [`connection`] | a connection, and whether its client is still there |
//! | [`service`] | what every door works on |
//! | [`listener`] | accepting connections, and ending them |
//! | [`http`] | the HTTP door |
//! | [`postgres`] | the PostgreSQL door |

pub mod access;
pub mod connection;
pub mod http;
pub mod listener;
pub mod postgres;
mod process;
pub mod rates;
pub mod service;
mod times;
pub mod tls;
pub mod tokens;
