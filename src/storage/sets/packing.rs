//! A set as bytes in a segment.
//!
//! The portable serialization of a sparse set is mostly ascending 16-bit numbers: their lower bytes
//! are as good as random, their upper ones a staircase. So all bytes at even positions are stored
//! before those at odd ones, and the whole is compressed by zstd: the first half costs what it is
//! long, the second next to nothing.

use roaring::RoaringTreemap;

/// The lowest level: what a higher one saves is not worth the time.
const LEVEL: i32 = 1;

/// Returns the packed set: the length of its serialization, four bytes little-endian, and the
/// compressed bytes.
pub fn pack(set: &RoaringTreemap) -> Vec<u8> {
    let mut plain = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut plain).expect("memory takes all bytes");
    let mut split: Vec<u8> = plain.iter().step_by(2).copied().collect();
    split.extend(plain.iter().skip(1).step_by(2));
    let mut packed = (plain.len() as u32).to_le_bytes().to_vec();
    packed.extend(zstd::bulk::compress(&split, LEVEL).expect("memory takes all bytes"));
    packed
}

/// Returns the set of packed bytes; `None` if they are damaged.
pub fn unpack(packed: &[u8]) -> Option<RoaringTreemap> {
    let (len, compressed) = packed.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let split = zstd::bulk::decompress(compressed, len).ok().filter(|split| split.len() == len)?;
    let (even, odd) = split.split_at(len.div_ceil(2));
    let mut plain = vec![0; len];
    let (pairs, last) = plain.as_chunks_mut::<2>();
    for (pair, (even, odd)) in pairs.iter_mut().zip(even.iter().zip(odd)) {
        *pair = [*even, *odd];
    }
    if let (Some(place), Some(byte)) = (last.first_mut(), even.last()) {
        *place = *byte;
    }
    RoaringTreemap::deserialize_from(&plain[..]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_unpacked_as_it_was_packed(
            codes in prop::collection::btree_set(0..300_000_u64, 0..2_000),
            slot in 0..2_u64,
        ) {
            let set: RoaringTreemap = codes.iter().map(|code| slot << 32 | code).collect();
            let packed = pack(&set);
            prop_assert_eq!(unpack(&packed), Some(set));
            for cut in [0, 3, packed.len() / 2, packed.len() - 1] {
                prop_assert_eq!(unpack(&packed[..cut]), None);
            }
        }
    }

    #[test]
    fn a_sparse_set_takes_little_more_than_a_byte_for_a_user() {
        let set: RoaringTreemap = (0..10_000_u64).map(|i| i * 97 + i % 7 * 13).collect();
        assert!(pack(&set).len() < 13_500, "{}", pack(&set).len());
    }
}
