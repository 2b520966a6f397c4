//! Sets of users as values, and the functions over them: named and defined as in PostgreSQL's
//! extension [roaringbitmap](https://github.com/ChenHuajun/pg_roaringbitmap), whose `rb64_`
//! functions these are under their shorter names.
//!
//! [`value`] is the format of a set, [`scalars`] combines the sets of a row, [`mod@aggregates`] those
//! of many rows, and [`sliding`] those of a moving window frame.

mod aggregates;
mod operation;
mod scalars;
mod sliding;
#[cfg(test)]
mod tests;
pub mod value;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use self::aggregates::aggregates;
pub use self::scalars::functions;

/// Returns the scalar function of this name.
pub fn function(name: &str) -> Arc<ScalarUDF> {
    let found = functions().into_iter().find(|function| function.name() == name);
    found.expect("a function of this folder")
}
