//! The value of a set: Arrow `Binary` that holds a [`RoaringTreemap`] in the portable format of
//! 64-bit sets ([RoaringFormatSpec](https://github.com/RoaringBitmap/RoaringFormatSpec), "Extension
//! for 64-bit implementations"), which CRoaring, Java and Go read too. Little-endian:
//!
//! | bytes | |
//! | --- | --- |
//! | 8 | number of bitmaps that follow |
//! | 4 | upper half of the elements of a bitmap; ascending from bitmap to bitmap |
//! | … | their lower halves, a 32-bit Roaring bitmap in its portable format |
//!
//! The last two repeat. An element of a set of users is a user's code: the slot in the upper half,
//! the code within it in the lower.
//!
//! SQL sees an element as the BIGINT of the same 64 bits, as the extension does: from 2^63 on they
//! are negative, and come after the positive ones.
//!
//! What the format does not do: a set has several serializations (the same elements as a list, bits
//! or runs), so equal sets may differ in their bytes. `rb_equals` compares sets.

use std::io::{self, Read};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_err};
use datafusion::logical_expr::ColumnarValue;
use roaring::{RoaringBitmap, RoaringTreemap};

/// Bytes of a container in memory in addition to its serialized values, rounded up.
const CONTAINER_BYTES: usize = 48;

/// Bytes of the smallest tree of bitmaps.
const TREE_BYTES: usize = 512;

/// Reads a set, and checks all of it. Allocates at most 1 MiB in addition to a small multiple of the
/// bytes, whatever they are.
///
/// # Errors
/// The bytes are no set.
pub fn decode(bytes: &[u8]) -> Result<RoaringTreemap> {
    read(bytes).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "they end too early".to_string(),
            _ => error.to_string(),
        };
        exec_datafusion_err!(
            "these {} bytes are not a set ({reason}): sets come from rb_build, rb_build_agg and \
            the functions that combine them",
            bytes.len()
        )
    })
}

fn read(mut rest: &[u8]) -> io::Result<RoaringTreemap> {
    let invalid = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    let count = u64::from_le_bytes(take(&mut rest)?);
    let mut bitmaps: Vec<(u32, RoaringBitmap)> = Vec::new();
    // A bitmap takes eight bytes at least, so that a false count ends with the bytes.
    for _ in 0..count {
        let key = u32::from_le_bytes(take(&mut rest)?);
        if bitmaps.last().is_some_and(|(last, _)| *last >= key) {
            return invalid("bitmaps out of order");
        }
        bitmaps.push((key, RoaringBitmap::deserialize_from(&mut rest)?));
    }
    if !rest.is_empty() {
        return invalid("bytes after its end");
    }
    Ok(RoaringTreemap::from_bitmaps(bitmaps.into_iter().filter(|(_, bitmap)| !bitmap.is_empty())))
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rest.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns the bytes of a set, which [`decode`] reads.
pub fn encode(set: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut bytes).expect("memory takes all bytes");
    bytes
}

/// Estimates the bytes that a set takes in memory.
pub fn held_bytes(set: &RoaringTreemap) -> usize {
    let containers = |bitmap: &RoaringBitmap| bitmap.statistics().n_containers as usize;
    let containers: usize = set.bitmaps().map(|(_, bitmap)| containers(bitmap)).sum();
    TREE_BYTES + set.serialized_size() + containers * CONTAINER_BYTES
}

/// Returns the type that an argument is read as if it may be a set; `None` if it cannot be one.
pub fn set_type(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(of.clone()),
        DataType::FixedSizeBinary(_) | DataType::Null => Some(DataType::Binary),
        DataType::Dictionary(_, of) => set_type(of),
        _ => None,
    }
}

/// Returns the types that the arguments of a function of one set are read as.
///
/// # Errors
/// The arguments are not one set.
pub fn one_set(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.iter().map(set_type).collect::<Option<Vec<_>>>() {
        Some(sets) if sets.len() == 1 => Ok(sets),
        _ => plan_err!("it expects one set, such as rb_build(ARRAY[1, 2])"),
    }
}

/// The sets of an argument. A set that is the same for all rows, or for rows in a row, is read once.
pub struct Sets {
    array: ArrayRef,
    is_constant: bool,
    /// The row that was read last, and its set.
    last: Option<(usize, RoaringTreemap)>,
}

impl Sets {
    /// # Errors
    /// The argument is not of a type that [`set_type`] returns.
    pub fn of(arg: &ColumnarValue) -> Result<Sets> {
        let (array, is_constant) = match arg {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        match array.data_type() {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Ok(Sets { array, is_constant, last: None })
            }
            of => internal_err!("{of} is no type of a set"),
        }
    }

    /// Returns a row's set; `None` if it is null.
    ///
    /// # Errors
    /// The bytes are no set.
    pub fn get(&mut self, row: usize) -> Result<Option<&RoaringTreemap>> {
        let row = if self.is_constant { 0 } else { row };
        let Some(bytes) = bytes_of(&self.array, row) else { return Ok(None) };
        let is_last = |last: usize| last == row || bytes_of(&self.array, last) == Some(bytes);
        if !self.last.as_ref().is_some_and(|(last, _)| is_last(*last)) {
            self.last = Some((row, decode(bytes)?));
        }
        Ok(self.last.as_ref().map(|(_, set)| set))
    }
}

/// Returns the bytes of a row; `None` if it is null.
pub fn bytes_of(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        _ => array.as_binary::<i32>().value(row),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(elements: impl IntoIterator<Item = u64>) -> RoaringTreemap {
        elements.into_iter().collect()
    }

    #[test]
    fn a_set_is_read_as_it_was_written() {
        let mut runs = set(0..100_000);
        runs.optimize();
        for set in [set([]), set([1, 2, 1 << 40, u64::MAX]), set((0..200_000).step_by(3)), runs] {
            assert_eq!(decode(&encode(&set)).unwrap(), set);
        }
    }

    /// Examples of the extension's tests, whose bytes are those of CRoaring.
    #[test]
    fn the_bytes_are_those_of_other_libraries() {
        assert_eq!(encode(&set([])), [0; 8]);
        let bytes = b"\x02\0\0\0\0\0\0\0\0\0\0\0\x3a\x30\0\0\x02\0\0\0\0\0\0\0\x08\0\0\0\x18\0\0\0\
            \x1a\0\0\0\x02\0\x23\x7a\xff\xff\xff\xff\x3a\x30\0\0\x01\0\0\0\xff\xff\x01\0\x10\0\0\0\
            \xfc\xff\xff\xff";
        let elements = set([2, 555_555, (-4_i64).cast_unsigned(), (-1_i64).cast_unsigned()]);
        assert_eq!(decode(bytes).unwrap(), elements);
        assert_eq!(encode(&elements), bytes);
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        let good = encode(&set([1, 70_000, 1 << 40]));
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        let error = decode(&[&good[..], &[0]].concat()).unwrap_err().to_string();
        assert!(error.contains("bytes after its end"), "{error}");
        let one = &encode(&set([1]))[8..];
        let twice = [&2_u64.to_le_bytes(), one, one].concat();
        assert!(decode(&twice).unwrap_err().to_string().contains("out of order"));
    }

    #[test]
    fn false_counts_end_with_the_bytes() {
        let cookie = 12_346_u32.to_le_bytes();
        let with_runs = (12_347_u32 | 0xffff_0000).to_le_bytes();
        let starts = [
            vec![0xff; 8],
            [&u64::MAX.to_le_bytes()[..], &encode(&set([5]))[8..]].concat(),
            [&1_u64.to_le_bytes()[..], &[0; 4], &cookie, &[0xff; 4]].concat(),
            [&1_u64.to_le_bytes()[..], &[0; 4], &cookie, &65_536_u32.to_le_bytes()].concat(),
            [&1_u64.to_le_bytes()[..], &[0; 4], &with_runs, &[0xff; 9_000]].concat(),
        ];
        for start in starts {
            assert!(decode(&start).is_err(), "{start:?}");
        }
    }

    #[test]
    fn an_empty_bitmap_within_a_set_is_dropped() {
        let empty =
            [&1_u64.to_le_bytes()[..], &[7, 0, 0, 0, 0x3a, 0x30, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(encode(&decode(&empty).unwrap()), [0; 8]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        /// What still is a set after a change can be combined and written like any other.
        #[test]
        fn a_changed_set_is_a_set_or_an_error(
            elements in proptest::collection::btree_set(0..200_000_u64, 0..60),
            run in 0..70_000_u64,
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut whole = set(elements.into_iter().chain(300_000..300_000 + run));
            whole.optimize();
            let mut bytes = encode(&whole);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(other) = decode(&bytes) {
                for set in [&whole | &other, &whole & &other, &whole - &other, &whole ^ &other] {
                    prop_assert_eq!(decode(&encode(&set)).unwrap(), set);
                }
                prop_assert_eq!(other.iter().count() as u64, other.len());
            }
        }
    }
}
