//! Idempotency keys, and which events of a batch were sent under one.

use sha2::{Digest, Sha256};

use super::{EVENT_BYTES, Event, Rejection};

/// Maximum length of an idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// Idempotency key, stored as the first half of the SHA-256 of the text that the client chose. With
/// 2^32 keys in use, two of them collide with a probability of one in 2^64, and a collision cannot
/// be constructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// Validates and hashes the key as it was sent.
    pub fn new(text: &str) -> Result<Key, Rejection> {
        match text.len() {
            0 => Err(Rejection::new("id", "must not be empty")),
            1..=MAX_KEY_BYTES => {
                Ok(Key(Sha256::digest(text)[..16].try_into().expect("half of 32 bytes")))
            }
            n => Err(Rejection::new(
                "id",
                format!("is {n} bytes long; an idempotency key has at most {MAX_KEY_BYTES}"),
            )),
        }
    }
}

/// Checksum (CRC-32C) of a request's events in the order sent. It detects a client that reuses a
/// key for another request. It does not protect against forgery: a client that reuses its own key
/// harms only itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(u32);

impl Content {
    /// Checksum of a request whose content is not known; it matches any other.
    pub const UNKNOWN: Content = Content(0);

    pub fn of<'e>(events: impl IntoIterator<Item = Event<'e>>) -> Content {
        let mut sum = 0;
        for event in events {
            let mut head = [0; EVENT_BYTES];
            head[..8].copy_from_slice(&event.timestamp_us.to_le_bytes());
            head[8..12].copy_from_slice(&(event.user.len() as u32).to_le_bytes());
            head[12] = event.kind.code();
            sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, &head), event.user.as_bytes());
            for (dimension, value) in event.values.iter() {
                let [a, b, c, d] = (value.len() as u32).to_le_bytes();
                sum = crc32c::crc32c_append(sum, &[dimension, a, b, c, d]);
                sum = crc32c::crc32c_append(sum, value.as_bytes());
            }
        }
        Content(sum.max(1))
    }

    /// Reports whether both may be of the same events.
    pub fn matches(self, other: Content) -> bool {
        self == other || self == Content::UNKNOWN || other == Content::UNKNOWN
    }

    pub fn to_le_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    pub fn from_le_bytes(bytes: [u8; 4]) -> Content {
        Content(u32::from_le_bytes(bytes))
    }
}

/// Rows of a batch that were sent under one idempotency key: `rows` of them, starting at `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyRange {
    pub first: u32,
    pub rows: u32,
    pub key: Key,
    pub content: Content,
}

impl IdempotencyRange {
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.rows as usize
    }
}
