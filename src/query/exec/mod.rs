//! Plan nodes of our own, and what is checked of a physical plan before it runs.
//!
//! [`scan`] reads files and memory as one, [`memory`] is the part in memory, [`barrier`] hides what
//! plans claim wrongly, [`steps`] bounds what operators do between two batches, [`parts`] what is
//! handed to a reader at once, [`frames`] refuses windows that cannot be.

pub mod barrier;
pub mod frames;
pub mod leaf;
pub mod memory;
pub mod parts;
pub mod scan;
pub mod steps;
