//! Values that need no evaluation.

/// A value that needs no evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    Text(String),
    Number(String),
    /// `$1`, as 0.
    Parameter(usize),
}
