//! Values that need no evaluation.

/// A value that needs no evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    Text(String),
    Number(String),
    /// `now()`: the time of the statement.
    Now,
    /// `$1`, as 0.
    Parameter(usize),
}
