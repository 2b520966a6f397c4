//! Errors: one type, its variants named by who must act, and one rule that says who that is.

mod blame;
mod convert;
mod fault;
mod kinds;
mod pushed_down;

pub use self::fault::is_near;
pub use self::kinds::{Error, Limit, Result};
