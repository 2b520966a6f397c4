//! Errors: one type, its variants named by who must act, and one table that says what each is to
//! those who meet it.

mod blame;
mod convert;
mod fault;
mod kinds;
mod pushed_down;
mod table;

pub use self::fault::is_near;
pub use self::kinds::{Error, Limit, Result};
pub use self::table::{Actor, Failure, Row};
