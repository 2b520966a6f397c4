//! Codes of users, and sets of them.

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::event::EventKind;

/// The only slot.
pub const SLOT: u32 = 0;

/// The users of each kind of event.
pub type KindSets = Vec<(EventKind, RoaringTreemap)>;

/// Returns the code of a user: the slot in the upper half, the number within it in the lower.
pub fn code(slot: u32, number: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(number)
}

/// Marks in a bit for each number below `len`.
#[derive(Debug)]
pub struct Marks(Vec<u64>);

impl Marks {
    pub fn new(len: usize) -> Marks {
        Marks(vec![0; len.div_ceil(64)])
    }

    pub fn set(&mut self, at: u32) {
        self.0[at as usize / 64] |= 1 << (at % 64);
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            let left = std::iter::successors((word != 0).then_some(word), |word| {
                Some(word & (word - 1)).filter(|word| *word != 0)
            });
            left.map(move |word| i as u32 * 64 + word.trailing_zeros())
        })
    }
}

/// Returns the set of the users with these numbers within [`SLOT`], in any order.
pub fn set_of(numbers: Vec<u32>) -> RoaringTreemap {
    RoaringTreemap::from_bitmaps([(SLOT, bitmap(numbers))])
}

fn bitmap(mut numbers: Vec<u32>) -> RoaringBitmap {
    let len = numbers.iter().max().map_or(0, |max| *max as usize + 1);
    // A bit for each number is faster than sorting, unless there are few among many.
    if len / 32 < numbers.len() {
        let mut marks = Marks::new(len);
        numbers.iter().for_each(|number| marks.set(*number));
        let bytes: Vec<u8> = marks.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        return RoaringBitmap::from_lsb0_bytes(0, &bytes);
    }
    numbers.sort_unstable();
    numbers.dedup();
    RoaringBitmap::from_sorted_iter(numbers).expect("sorted above")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_in_any_order_make_their_set(
            some in prop::collection::vec(0..200_000_u32, 0..300),
            dense in 0..9_000_u32,
        ) {
            let codes: Vec<u32> = some.into_iter().chain(0..dense).collect();
            let expected: RoaringBitmap = codes.iter().copied().collect();
            prop_assert_eq!(bitmap(codes), expected);
        }
    }
}
