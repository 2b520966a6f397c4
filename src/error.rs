//! Errors: one type, whose variants are grouped by who must act, and one table with the HTTP
//! status, exit code and SQLSTATE of each kind of failure.

mod blame;
mod convert;
mod fault;
mod kinds;
mod pushed_down;
mod sqlstate;
mod table;

pub use self::fault::is_near;
pub use self::kinds::{Error, Result};
pub use self::table::{Actor, Failure, Row};
