//! Errors: the [`Error`] type, conversions from libraries' errors, and who is at fault.

mod blame;
mod convert;
mod fault;
mod kinds;
mod pushed_down;

pub use self::fault::is_near;
pub use self::kinds::{Error, Limit, Result};
