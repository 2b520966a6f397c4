//! Plan nodes of our own, and what is checked of a physical plan before it runs.
//!
//! [`scan`] reads files and memory as one, [`memory`] is the part in memory, [`barrier`] hides what plans claim wrongly,
//! [`steps`] bounds what operators do between two batches, [`frames`] refuses windows that cannot be.

pub mod barrier;
pub mod frames;
pub mod memory;
pub mod scan;
pub mod steps;
