//! Byte format of the log, version 4. Integers are little-endian.
//!
//! ```text
//! segment header, 64 bytes          frame
//!   0  magic  "HGLASWAL"              0  salt       the segment's
//!   8  format version   u32 = 3, 4    4  length     u32, bytes of payload
//!  12  salt             4 bytes       8  crc32c     u32
//!  16  sequence         u64          12  count      u32, events; the highest bit: there are values
//!  24  base lsn         u64          16  first lsn  u64
//!  32  crc32c of 0..32  u32          24  payload
//!  36  zeros                         payload
//!                                      count x i64  timestamps, microseconds
//!                                      count x u32  where each user ends
//!                                      count x u8   kinds
//!                                      the users' bytes, UTF-8
//!                                      where there are values:
//!                                        u8        number of columns
//!                                      and for each column:
//!                                        u8        index of the dimension
//!                                        u32       number of rows, the last with a value
//!                                        rows x u32  where each value ends; an empty one is absent
//!                                        the values' bytes, UTF-8
//!                                      for each idempotency key:
//!                                        u32       index of its first event
//!                                        u32       number of its events
//!                                        16 bytes  the key
//! ```
//!
//! The salt is random for each segment. The payload holds text from visitors: with a known salt, a
//! user name could be made to look like a frame, and a torn write that ends after it would look
//! like damage.
//!
//! Version 3 has no values and no kinds but the contract's two; a store that declares neither goes on
//! writing it. Version 2 has no salt: its frames begin with "HGFR". Version 1 has no keys either. All
//! are read the same way; the version only keeps out readers that do not know these features.
//!
//! A frame's checksum covers the segment's sequence number, then everything after the checksum, so
//! that a frame left over from an earlier use of a recycled segment is never taken for one of this
//! segment.
//!
//! The format deliberately has no compression (a frame lives until the next flush, seconds to an
//! hour) and no footer (the next segment's base LSN says where this one had to end).

use super::Lsn;
use crate::event::{
    Content, EVENT_BYTES, EventBatch, EventSchema, IdempotencyRange, Key, ValueColumn,
};

pub const SEGMENT_HEADER_LEN: usize = 64;
pub const FRAME_HEADER_LEN: usize = 24;
pub const FORMAT_VERSION: u32 = 4;
/// Version of the segments of a store without declared kinds and dimensions.
const CONTRACT_VERSION: u32 = 3;
/// First version whose segments have salts of their own.
const SALTS: u32 = 3;

const KEYED_LEN: usize = 4 + 4 + 16;

/// Bit of a frame's count that says that it has values.
const HAS_VALUES: u32 = 1 << 31;

const SEGMENT_MAGIC: &[u8; 8] = b"HGLASWAL";
/// Upper limit of events in the log that are not in the table: memory would not hold more.
const MOST_UNFLUSHED: u64 = 1 << 32;

/// Maximum number of bytes checksummed in search of a frame with unknown salt; takes some seconds.
const RECOVERY_BYTES: u64 = 32 << 30;

/// Salt of every segment before version [`SALTS`].
const FORMER_SALT: [u8; 4] = *b"HGFR";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub version: u32,
    /// First bytes of each frame.
    pub salt: [u8; 4],
    pub sequence: u64,
    /// LSN of the first event the segment may hold; the first LSN of all is 1.
    pub base_lsn: Lsn,
}

impl SegmentHeader {
    /// Creates the header of a new segment, with a random salt.
    pub fn new(schema: &EventSchema, sequence: u64, base_lsn: Lsn) -> SegmentHeader {
        let random = *uuid::Uuid::new_v4().as_bytes();
        // The first byte is odd, so that zeros are never a salt: the unused part of a segment is
        // millions of them.
        let salt = [random[0] | 1, random[1], random[2], random[3]];
        let version = if schema.is_contract() { CONTRACT_VERSION } else { FORMAT_VERSION };
        SegmentHeader { version, salt, sequence, base_lsn }
    }

    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt);
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base_lsn.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header; `None` if the bytes are not an intact one.
    pub fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let bytes = bytes.get(..SEGMENT_HEADER_LEN)?;
        let intact =
            &bytes[..8] == SEGMENT_MAGIC && u32_at(bytes, 32) == crc32c::crc32c(&bytes[..32]);
        let version = u32_at(bytes, 8);
        let salt = if version < SALTS {
            FORMER_SALT
        } else {
            bytes[12..16].try_into().expect("four bytes")
        };
        let (sequence, base_lsn) = (u64_at(bytes, 16), u64_at(bytes, 24));
        (intact && base_lsn > 0).then_some(SegmentHeader { version, salt, sequence, base_lsn })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn checksum(sequence: u64, after_checksum: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sequence.to_le_bytes()), after_checksum)
}

/// Encodes `batch` as one frame of `segment` into `buffer`, replacing its contents.
pub fn encode(buffer: &mut Vec<u8>, segment: &SegmentHeader, first_lsn: Lsn, batch: &EventBatch) {
    buffer.clear();
    buffer.reserve(FRAME_HEADER_LEN + batch.byte_len());
    buffer.extend_from_slice(&segment.salt);
    buffer.extend_from_slice(&[0; 8]);
    let has_values = if batch.values().is_empty() { 0 } else { HAS_VALUES };
    buffer.extend_from_slice(&(batch.len() as u32 | has_values).to_le_bytes());
    buffer.extend_from_slice(&first_lsn.to_le_bytes());
    batch.timestamps_us().iter().for_each(|us| buffer.extend_from_slice(&us.to_le_bytes()));
    batch.user_ends().iter().for_each(|end| buffer.extend_from_slice(&end.to_le_bytes()));
    buffer.extend_from_slice(batch.kinds());
    buffer.extend_from_slice(batch.users().as_bytes());
    if !batch.values().is_empty() {
        buffer.push(batch.values().len() as u8);
    }
    for column in batch.values() {
        buffer.push(column.dimension);
        buffer.extend_from_slice(&(column.ends().len() as u32).to_le_bytes());
        column.ends().iter().for_each(|end| buffer.extend_from_slice(&end.to_le_bytes()));
        buffer.extend_from_slice(column.text().as_bytes());
    }
    for IdempotencyRange { first, rows, key, .. } in batch.keyed() {
        buffer.extend_from_slice(&first.to_le_bytes());
        buffer.extend_from_slice(&rows.to_le_bytes());
        buffer.extend_from_slice(&key.0);
    }
    let length = u32::try_from(buffer.len() - FRAME_HEADER_LEN).expect("a batch is under 4 GiB");
    buffer[4..8].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(segment.sequence, &buffer[12..]);
    buffer[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Frame with a valid checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub first_lsn: Lsn,
    pub count: u32,
    has_values: bool,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Decodes the frame at the start of `bytes`; `None` if there is no intact one of `segment`.
    pub fn decode(bytes: &'a [u8], segment: &SegmentHeader) -> Option<Frame<'a>> {
        let header = bytes.get(..FRAME_HEADER_LEN)?;
        if header[..4] != segment.salt {
            return None;
        }
        let end = FRAME_HEADER_LEN.checked_add(u32_at(header, 4) as usize)?;
        let frame = bytes.get(..end)?;
        if u32_at(header, 8) != checksum(segment.sequence, &frame[12..]) {
            return None;
        }
        let count = u32_at(header, 12);
        Some(Frame {
            first_lsn: u64_at(header, 16),
            count: count & !HAS_VALUES,
            has_values: count & HAS_VALUES != 0,
            payload: &frame[FRAME_HEADER_LEN..],
        })
    }

    /// Returns the LSN after the frame's last.
    pub fn end_lsn(&self) -> Lsn {
        self.first_lsn.saturating_add(self.count.into())
    }

    pub fn encoded_len(&self) -> usize {
        FRAME_HEADER_LEN + self.payload.len()
    }

    /// Decodes the events. An error describes an invalid payload with a valid checksum: a fault of
    /// the writer, not of the disk.
    pub fn events(&self, schema: &EventSchema) -> Result<EventBatch, String> {
        let n = self.count as usize;
        let (timestamps, rest) =
            self.payload.split_at_checked(n * 8).ok_or("the timestamps are truncated")?;
        let (ends, rest) = rest.split_at_checked(n * 4).ok_or("the user ends are truncated")?;
        let (kinds, rest) = rest.split_at_checked(n).ok_or("the kinds are truncated")?;
        let timestamps = timestamps.chunks_exact(8).map(|us| u64_at(us, 0) as i64).collect();
        let ends: Vec<u32> = ends.chunks_exact(4).map(|end| u32_at(end, 0)).collect();
        let users_len = ends.last().map_or(0, |end| *end as usize);
        let (users, rest) = rest.split_at_checked(users_len).ok_or("the users are truncated")?;
        let users = String::from_utf8(users.to_vec()).map_err(|_| "the users are not UTF-8")?;
        let (values, keyed) = if self.has_values { columns(rest)? } else { (Vec::new(), rest) };
        let keyed = keyed_events(keyed).ok_or("a key is truncated")?;
        let kinds = kinds.to_vec();
        EventBatch::from_columns(schema, timestamps, kinds, ends, users, values, keyed)
            .map_err(|rejection| rejection.to_string())
    }
}

/// Decodes the columns of values at the start of `bytes`; returns them and what follows.
fn columns(bytes: &[u8]) -> Result<(Vec<ValueColumn>, &[u8]), String> {
    const TRUNCATED: &str = "the values are truncated";
    let (count, mut rest) = bytes.split_first().ok_or(TRUNCATED)?;
    let mut columns = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (head, tail) = rest.split_at_checked(5).ok_or(TRUNCATED)?;
        let ends_len = (u32_at(head, 1) as usize).checked_mul(4).ok_or(TRUNCATED)?;
        let (ends, tail) = tail.split_at_checked(ends_len).ok_or(TRUNCATED)?;
        let ends: Vec<u32> = ends.chunks_exact(4).map(|end| u32_at(end, 0)).collect();
        let text_len = ends.last().map_or(0, |end| *end as usize);
        let (text, tail) = tail.split_at_checked(text_len).ok_or(TRUNCATED)?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| "the values are not UTF-8")?;
        let column = ValueColumn::from_parts(head[0], ends, text);
        columns.push(column.map_err(|rejection| rejection.to_string())?);
        rest = tail;
    }
    Ok((columns, rest))
}

fn keyed_events(bytes: &[u8]) -> Option<Vec<IdempotencyRange>> {
    let keyed = |bytes: &[u8]| {
        let key = Key(bytes[8..].try_into().expect("sixteen bytes"));
        IdempotencyRange {
            first: u32_at(bytes, 0),
            rows: u32_at(bytes, 4),
            key,
            content: Content::UNKNOWN,
        }
    };
    bytes
        .len()
        .is_multiple_of(KEYED_LEN)
        .then(|| bytes.chunks_exact(KEYED_LEN).map(keyed).collect())
}

/// Reports whether the bytes begin like the frame of `first_lsn`, intact or not.
pub fn begins(bytes: &[u8], segment: &SegmentHeader, first_lsn: Lsn) -> bool {
    bytes.starts_with(&segment.salt)
        && bytes.len() >= FRAME_HEADER_LEN
        && u64_at(bytes, 16) == first_lsn
}

/// Returns the offset of the next intact frame of `segment` with an LSN of at least `from_lsn`, at
/// or after `offset`.
pub fn find_next(
    bytes: &[u8],
    offset: usize,
    segment: &SegmentHeader,
    from_lsn: Lsn,
) -> Option<usize> {
    let is_frame = |at: &usize| {
        let frame = &bytes[*at..];
        frame.starts_with(&segment.salt)
            && frame.len() >= FRAME_HEADER_LEN
            && u64_at(frame, 16) >= from_lsn
            && Frame::decode(frame, segment).is_some()
    };
    (offset..bytes.len().saturating_sub(FRAME_HEADER_LEN)).find(is_frame)
}

/// Reconstructs the lost header of a segment from its first intact frame with an LSN of at least
/// `from_lsn`. As the salt is unknown, every offset is tried whose lengths and LSN could be a
/// frame's. `Err` if there are so many that it would take minutes; `Ok(None)` if there is no frame.
pub fn recover_header(
    bytes: &[u8],
    sequence: u64,
    from_lsn: Lsn,
) -> Result<Option<SegmentHeader>, String> {
    let lsns = from_lsn..from_lsn.saturating_add(MOST_UNFLUSHED);
    let mut left = RECOVERY_BYTES;
    for at in SEGMENT_HEADER_LEN..bytes.len().saturating_sub(FRAME_HEADER_LEN) {
        let frame = &bytes[at..];
        let (length, base_lsn) = (u32_at(frame, 4), u64_at(frame, 16));
        let count = u32_at(frame, 12) & !HAS_VALUES;
        let fits = length as usize <= frame.len() - FRAME_HEADER_LEN
            && count > 0
            && length / EVENT_BYTES as u32 >= count;
        if !fits || !lsns.contains(&base_lsn) {
            continue;
        }
        let salt = frame[..4].try_into().expect("four bytes");
        let header = SegmentHeader { version: FORMAT_VERSION, salt, sequence, base_lsn };
        if Frame::decode(frame, &header).is_some() {
            return Ok(Some(header));
        }
        left = left
            .checked_sub(length.into())
            .ok_or("its header is lost, and too much in it looks like a frame")?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    const SEGMENT: SegmentHeader =
        SegmentHeader { version: FORMAT_VERSION, salt: *b"salt", sequence: 3, base_lsn: 100 };

    fn encoded() -> (EventBatch, Vec<u8>) {
        let mut batch = EventBatch::new();
        batch.push(1_000, "ana", EventKind::CLICK);
        batch.push(2_000, "Zoë", EventKind::IMPRESSION);
        batch.key_from(1, Key([9; 16]));
        let mut bytes = Vec::new();
        encode(&mut bytes, &SEGMENT, 7, &batch);
        (batch, bytes)
    }

    #[test]
    fn a_frame_gives_back_its_events() {
        let (batch, bytes) = encoded();
        let frame = Frame::decode(&bytes, &SEGMENT).unwrap();
        assert_eq!((frame.first_lsn, frame.end_lsn(), frame.encoded_len()), (7, 9, bytes.len()));
        assert_eq!(frame.events(&EventSchema::default()), Ok(batch));
    }

    #[test]
    fn values_are_given_back_and_cost_nothing_where_there_are_none() {
        let schema =
            EventSchema::new(&["signup".into()], &["page".into(), "source".into()]).unwrap();
        let (mut batch, mut bytes) = (EventBatch::new(), Vec::new());
        for i in 0..4 {
            batch.push(1_000, "ana", schema.kind("signup").unwrap());
            if i % 2 == 1 {
                batch.set_value(1, "newsletter");
            }
        }
        batch.key_from(2, Key([9; 16]));
        encode(&mut bytes, &SEGMENT, 7, &batch);
        let frame = Frame::decode(&bytes, &SEGMENT).unwrap();
        assert_eq!(frame.events(&schema), Ok(batch));
        let undeclared = frame.events(&EventSchema::default()).unwrap_err();
        assert_eq!(undeclared, "event: is unknown");
        let (plain, bytes) = encoded();
        assert_eq!(bytes.len(), FRAME_HEADER_LEN + plain.byte_len());
    }

    #[test]
    fn a_frame_of_another_segment_is_none_of_this() {
        let (_, bytes) = encoded();
        assert_eq!(Frame::decode(&bytes, &SegmentHeader { sequence: 4, ..SEGMENT }), None);
        assert_eq!(Frame::decode(&bytes, &SegmentHeader { salt: *b"kram", ..SEGMENT }), None);
    }

    #[test]
    fn no_damaged_byte_of_a_frame_goes_unseen() {
        let (_, bytes) = encoded();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Frame::decode(&damaged, &SEGMENT), None, "byte {at}");
        }
    }

    #[test]
    fn no_damaged_byte_of_a_segment_header_goes_unseen() {
        assert_eq!(SegmentHeader::decode(&SEGMENT.encode()), Some(SEGMENT));
        for at in 0..36 {
            let mut damaged = SEGMENT.encode();
            damaged[at] ^= 1;
            assert_eq!(SegmentHeader::decode(&damaged), None, "byte {at}");
        }
    }
}
