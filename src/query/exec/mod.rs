//! Physical plan nodes, and the checks on a physical plan before it runs.
//!
//! [`scan`] reads files and memory in one node, [`memory`] reads the hours in memory, [`barrier`]
//! hides wrong plan properties, [`steps`] limits the work of operators between two batches,
//! [`parts`] splits batches for writers, [`frames`] rejects invalid window frames. [`distinct`] counts
//! distinct users and computes what is asked beside, of which [`counting`] is the part of each
//! thread.

pub mod barrier;
pub mod counting;
pub mod distinct;
pub mod frames;
pub mod leaf;
pub mod memory;
pub mod parts;
pub mod scan;
pub mod steps;
