//! What aggregates do with the sets and integers of their rows, whatever the rows are taken from.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::common::{Result, ScalarValue};
use roaring::RoaringTreemap;

use super::value::{bytes_of, decode, encode};
use crate::query::memory;

/// How two sets become one. All of them are associative and commutative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Or,
    And,
    Xor,
}

impl Operation {
    pub fn apply(self, to: &mut RoaringTreemap, other: RoaringTreemap) {
        match self {
            Operation::Or => *to |= other,
            Operation::And => *to &= other,
            Operation::Xor => *to ^= other,
        }
    }

    pub fn apply_ref(self, to: &mut RoaringTreemap, other: &RoaringTreemap) {
        match self {
            Operation::Or => *to |= other,
            Operation::And => *to &= other,
            Operation::Xor => *to ^= other,
        }
    }

    /// Returns the number of elements of the two sets combined, without combining them.
    pub fn cardinality(self, a: &RoaringTreemap, b: &RoaringTreemap) -> u64 {
        match self {
            Operation::Or => a.union_len(b),
            Operation::And => a.intersection_len(b),
            Operation::Xor => a.symmetric_difference_len(b),
        }
    }
}

/// What is returned of the set.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Set,
    Cardinality,
}

impl Answer {
    pub fn of(self, set: Option<&RoaringTreemap>) -> ScalarValue {
        match self {
            Answer::Set => ScalarValue::Binary(set.map(encode)),
            Answer::Cardinality => ScalarValue::Int64(set.map(|set| set.len().cast_signed())),
        }
    }
}

/// Calls `with` for each set that is not null.
pub fn each_set(sets: &ArrayRef, mut with: impl FnMut(RoaringTreemap)) -> Result<()> {
    for row in 0..sets.len() {
        memory::check()?;
        if let Some(bytes) = bytes_of(sets, row) {
            with(decode(bytes)?);
        }
    }
    Ok(())
}

/// Returns the integers that are not null, as elements.
pub fn elements_of(integers: &ArrayRef) -> impl Iterator<Item = u64> {
    integers.as_primitive::<Int64Type>().iter().flatten().map(i64::cast_unsigned)
}
