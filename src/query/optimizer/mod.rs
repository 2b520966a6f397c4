//! Rules that DataFusion's optimizer does not have, and the order in which all of them run.
//!
//! [`rollup`] answers aggregates of whole hours from their counters,
//! [`distinct`] counts distinct users where those cannot, [`pushdown`] brings bounds that a statement learns to the files.

pub mod distinct;
pub mod pushdown;
pub mod rollup;
