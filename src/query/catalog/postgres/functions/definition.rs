//! What a function over catalogs is defined by.

use datafusion::common::Result;

use super::super::facts::Facts;
use super::super::values::Value;

/// A function: its name, the types of its arguments, how many of these may be left out, the type of
/// its result, and how it is computed for one row.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub takes: &'static str,
    pub optional: usize,
    pub returns: &'static str,
    pub call: fn(&Facts, &[Value]) -> Result<Value>,
}

/// Returns an entry of the table of functions.
pub const fn function(
    name: &'static str,
    takes: &'static str,
    optional: usize,
    returns: &'static str,
    call: fn(&Facts, &[Value]) -> Result<Value>,
) -> Function {
    Function { name, takes, optional, returns, call }
}
