//! Codes of users, and sets of them.

use roaring::RoaringTreemap;

use crate::event::EventKind;

/// The only slot.
pub const SLOT: u32 = 0;

/// The users of each kind of event.
pub type KindSets = Vec<(EventKind, RoaringTreemap)>;

/// Returns the code of a user: the slot in the upper half, the number within it in the lower.
pub fn code(slot: u32, number: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(number)
}
