//! Events: one event, and columnar batches of them.
//!
//! An event is `(timestamp, user, kind)`: microseconds since the Unix epoch (UTC), a visitor's name
//! of 1 to [`MAX_USER_BYTES`] bytes of UTF-8, and a click or an impression. The HTTP API uses
//! milliseconds; the store keeps microseconds, as the Delta protocol's `timestamp` type does.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, SecondsFormat};
use sha2::{Digest, Sha256};

mod timestamp;

pub use timestamp::{TimestampBounds, TimestampRules, TimestampUnit, parse_timestamp};

/// The last representable instant, 9999-12-31T23:59:59.999999Z in microseconds: the last day that a
/// `date=YYYY-MM-DD` partition can name.
pub const MAX_TIMESTAMP_US: i64 = 253_402_300_799_999_999;

/// The longest user name, in bytes.
pub const MAX_USER_BYTES: usize = 1024;

/// Kind of event: what the visitor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    Click = 0,
    Impression = 1,
}

impl EventKind {
    /// Every kind, by its code.
    pub const ALL: [EventKind; 2] = [EventKind::Click, EventKind::Impression];

    /// How many kinds there are.
    pub const COUNT: usize = EventKind::ALL.len();

    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Click => "click",
            EventKind::Impression => "impression",
        }
    }

    /// The name of what counts events of this kind: a column of SQL, a line of the contract, a key
    /// of JSON.
    pub fn plural(self) -> &'static str {
        match self {
            EventKind::Click => "clicks",
            EventKind::Impression => "impressions",
        }
    }

    pub fn parse(text: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Inverse of `kind as u8`, the encoding in the write-ahead log.
    pub fn from_code(code: u8) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(code)).copied()
    }
}

/// One event, borrowed from a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Microseconds since the epoch, 0 to [`MAX_TIMESTAMP_US`].
    pub timestamp_us: i64,
    pub user: &'a str,
    pub kind: EventKind,
}

/// Validation error of an event: the parameter at fault, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {reason}")]
pub struct Rejection {
    pub parameter: &'static str,
    pub reason: String,
}

impl Rejection {
    pub fn new(parameter: &'static str, reason: impl Into<String>) -> Rejection {
        Rejection { parameter, reason: reason.into() }
    }
}

/// Checks a timestamp in milliseconds and converts it to microseconds.
pub fn check_timestamp_ms(ms: i64) -> Result<i64, Rejection> {
    check_timestamp_us(ms.checked_mul(1000).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX }))
}

/// Checks a timestamp in microseconds.
pub fn check_timestamp_us(us: i64) -> Result<i64, Rejection> {
    match us {
        ..0 => Err(outside("must not lie before 1970-01-01T00:00:00Z", us)),
        0..=MAX_TIMESTAMP_US => Ok(us),
        _ => Err(outside("must not lie after 9999-12-31T23:59:59.999Z", us)),
    }
}

/// Builds the rejection of an instant out of range.
fn outside(rule: &str, us: i64) -> Rejection {
    Rejection::new("timestamp", format!("{rule}; found {}", instant_text(us)))
}

/// Formats an instant as RFC 3339, or says that no calendar reaches it.
fn instant_text(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(
        || "a time that no calendar reaches".into(),
        |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// Formats a value for an error message: quoted, unprintable characters escaped, cut at 60
/// characters.
pub fn shown(value: &str) -> String {
    const MAX_CHARS: usize = 60;
    match value.char_indices().nth(MAX_CHARS) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &value[..end], value.len()),
    }
}

/// Formats bytes that are not valid UTF-8 for an error message.
pub fn shown_bytes(value: &[u8]) -> String {
    const MAX_BYTES: usize = 60;
    match value.get(..MAX_BYTES) {
        None => format!("\"{}\"", value.escape_ascii()),
        Some(begin) => format!("\"{}\"... ({} bytes)", begin.escape_ascii(), value.len()),
    }
}

/// Validates a user's name.
pub fn check_user(user: &str) -> Result<&str, Rejection> {
    match user.len() {
        0 => Err(Rejection::new("user", "must not be empty")),
        1..=MAX_USER_BYTES => Ok(user),
        n => Err(Rejection::new(
            "user",
            format!("is {n} bytes long; at most {MAX_USER_BYTES} are stored"),
        )),
    }
}

/// Validates the name of an event.
pub fn check_event(event: &str) -> Result<EventKind, Rejection> {
    let rejection = || {
        let [first @ .., last] = EventKind::ALL.map(EventKind::as_str);
        let kinds = format!("{} or {last}", first.join(", "));
        Rejection::new("event", format!("must be {kinds}; found {}", shown(event)))
    };
    EventKind::parse(event).ok_or_else(rejection)
}

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
            head[12] = event.kind as u8;
            sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, &head), event.user.as_bytes());
        }
        Content(sum.max(1))
    }

    /// Whether both may be of the same events.
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

/// Bytes of an event in the log, apart from its user's name: timestamp, end offset of the name,
/// kind.
pub const EVENT_BYTES: usize = 8 + 4 + 1;

/// Columnar batch of events in arrival order. Every decoder produces it, a log frame carries one,
/// and the memtable takes it in. All events in it have passed the checks above;
/// [`EventBatch::push`] relies on its caller for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    timestamps_us: Vec<i64>,
    kinds: Vec<u8>,
    /// `user_ends[i]` is the end offset of user `i` in `users`; it begins at the end of user `i -
    /// 1`.
    user_ends: Vec<u32>,
    users: String,
    /// Sorted and disjoint.
    keyed: Vec<IdempotencyRange>,
}

impl EventBatch {
    pub fn new() -> EventBatch {
        EventBatch::default()
    }

    pub fn with_capacity(events: usize, user_bytes: usize) -> EventBatch {
        EventBatch {
            timestamps_us: Vec::with_capacity(events),
            kinds: Vec::with_capacity(events),
            user_ends: Vec::with_capacity(events),
            users: String::with_capacity(user_bytes),
            keyed: Vec::new(),
        }
    }

    /// Appends one event. `timestamp_us` and `user` must have passed [`check_timestamp_us`] and
    /// [`check_user`].
    ///
    /// # Panics
    /// When the users' bytes together exceed 4 GiB; all input limits are far below.
    pub fn push(&mut self, timestamp_us: i64, user: &str, kind: EventKind) {
        self.push_event(Event { timestamp_us, user, kind });
    }

    /// The same of an event as it is, whatever its columns.
    pub fn push_event(&mut self, event: Event<'_>) {
        self.users.push_str(event.user);
        self.user_ends
            .push(u32::try_from(self.users.len()).expect("a batch holds under 4 GiB of users"));
        self.timestamps_us.push(event.timestamp_us);
        self.kinds.push(event.kind as u8);
    }

    /// Appends all events of `other`.
    pub fn extend(&mut self, other: &EventBatch) {
        let before = self.len() as u32;
        for event in other.iter() {
            self.push_event(event);
        }
        self.keyed.extend(
            other
                .keyed
                .iter()
                .map(|keyed| IdempotencyRange { first: keyed.first + before, ..*keyed }),
        );
    }

    /// Assigns one key to all events from index `first` on.
    pub fn key_from(&mut self, first: usize, key: Key) {
        let content = Content::of((first..self.len()).map(|i| self.get(i)));
        self.keyed.push(IdempotencyRange {
            first: first as u32,
            rows: (self.len() - first) as u32,
            key,
            content,
        });
    }

    /// Assigns a key to the last event; `content` is the checksum of that event alone.
    pub fn key_last(&mut self, key: Key, content: Content) {
        self.keyed.push(IdempotencyRange { first: self.len() as u32 - 1, rows: 1, key, content });
    }

    /// Copies the events without those whose key range `is_kept` rejects; it is called for each
    /// range in order.
    pub fn retain_keyed(&self, mut is_kept: impl FnMut(&IdempotencyRange) -> bool) -> EventBatch {
        let mut kept = EventBatch::new();
        let mut row = 0;
        let take = |kept: &mut EventBatch, rows: std::ops::Range<usize>| {
            rows.for_each(|i| kept.push_event(self.get(i)));
        };
        for keyed in &self.keyed {
            let range = keyed.range();
            take(&mut kept, row..range.start);
            row = range.end;
            if is_kept(keyed) {
                let first = kept.len() as u32;
                take(&mut kept, range);
                kept.keyed.push(IdempotencyRange { first, ..*keyed });
            }
        }
        take(&mut kept, row..self.len());
        kept
    }

    /// Builds a batch from columns read from a log frame, with the same checks as other input.
    /// Checksums of keyed ranges are computed again.
    pub fn from_columns(
        timestamps_us: Vec<i64>,
        kinds: Vec<u8>,
        user_ends: Vec<u32>,
        users: String,
        keyed: Vec<IdempotencyRange>,
    ) -> Result<EventBatch, Rejection> {
        let mut batch = EventBatch { timestamps_us, kinds, user_ends, users, keyed };
        let mut start = 0;
        for (i, &end) in batch.user_ends.iter().enumerate() {
            let user = batch
                .users
                .get(start..end as usize)
                .ok_or_else(|| Rejection::new("user", "is cut"))?;
            check_user(user)?;
            check_timestamp_us(batch.timestamps_us[i])?;
            EventKind::from_code(batch.kinds[i])
                .ok_or_else(|| Rejection::new("event", "is unknown"))?;
            start = end as usize;
        }
        if start != batch.users.len() {
            return Err(Rejection::new("user", "has bytes left over"));
        }
        let mut row = 0;
        for IdempotencyRange { first, rows, .. } in &batch.keyed {
            match first.checked_add(*rows) {
                Some(end) if *first >= row && end as usize <= batch.len() => row = end,
                _ => return Err(Rejection::new("id", "is of events that are not there")),
            }
        }
        let contents =
            batch.keyed.iter().map(|keyed| Content::of(keyed.range().map(|i| batch.get(i))));
        let contents: Vec<Content> = contents.collect();
        batch.keyed.iter_mut().zip(contents).for_each(|(keyed, content)| keyed.content = content);
        Ok(batch)
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Size of the columns in bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * EVENT_BYTES + self.users.len() + self.keyed.len() * (4 + 4 + 16)
    }

    pub fn get(&self, i: usize) -> Event<'_> {
        let start = if i == 0 { 0 } else { self.user_ends[i - 1] as usize };
        Event {
            timestamp_us: self.timestamps_us[i],
            user: &self.users[start..self.user_ends[i] as usize],
            kind: EventKind::from_code(self.kinds[i]).expect("kinds are checked on the way in"),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    pub fn clear(&mut self) {
        self.timestamps_us.clear();
        self.kinds.clear();
        self.user_ends.clear();
        self.users.clear();
        self.keyed.clear();
    }

    pub fn timestamps_us(&self) -> &[i64] {
        &self.timestamps_us
    }

    pub fn kinds(&self) -> &[u8] {
        &self.kinds
    }

    pub fn user_ends(&self) -> &[u32] {
        &self.user_ends
    }

    pub fn users(&self) -> &str {
        &self.users
    }

    pub fn keyed(&self) -> &[IdempotencyRange] {
        &self.keyed
    }
}

/// Arrow type of the `timestamp` column.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Schema of a data file: `timestamp`, `user_id`, `event`. The partition columns `date` and `hour`
/// are part of the path.
pub fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("timestamp", timestamp_type(), false),
            Field::new("user_id", DataType::Utf8View, false),
            Field::new("event", DataType::Utf8View, false),
        ]))
    });
    SCHEMA.clone()
}

/// Parses a time given on the command line and returns microseconds. Accepts what
/// [`parse_timestamp`] accepts, or a date alone, which means its first instant (GMT).
pub fn parse_time(text: &str) -> Result<i64, String> {
    let is_date = text.len() == 10 && text.as_bytes()[4] == b'-';
    let parsed =
        if is_date { parse_timestamp(&format!("{text}T00:00:00Z")) } else { parse_timestamp(text) };
    parsed.map_err(|rejection| {
        if rejection.reason.starts_with("must not lie") {
            rejection.reason
        } else {
            "is no time: a date such as 2020-01-01, RFC 3339 such as 2020-01-01T00:00:00Z, or milliseconds".into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = EventBatch::new();
        batch.push(5, "ana", EventKind::Click);
        batch.push(MAX_TIMESTAMP_US, "Zoë", EventKind::Impression);
        let again = EventBatch::from_columns(
            batch.timestamps_us.clone(),
            batch.kinds.clone(),
            batch.user_ends.clone(),
            batch.users.clone(),
            Vec::new(),
        );
        assert_eq!(again.as_ref(), Ok(&batch));
        assert_eq!(
            batch.get(1),
            Event { timestamp_us: MAX_TIMESTAMP_US, user: "Zoë", kind: EventKind::Impression }
        );
    }

    #[test]
    fn a_time_on_the_command_line_may_be_a_date() {
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(parse_time("1970-01-01T01:00:00Z"), Ok(3_600_000_000));
        assert_eq!(parse_time("3600000"), Ok(3_600_000_000));
        assert_eq!(parse_time("9999-12-31"), Ok(MAX_TIMESTAMP_US + 1 - 86_400_000_000));
        for wrong in ["2025-02-30", "yesterday", "2025-2-1", "2025-02-01T", "0000-00-00"] {
            assert!(parse_time(wrong).unwrap_err().starts_with("is no time"), "{wrong}");
        }
        assert!(parse_time("1969-12-31").unwrap_err().contains("must not lie before"));
    }

    #[test]
    fn timestamps_outside_the_store_are_rejected() {
        assert_eq!(check_timestamp_ms(10_032_342_000), Ok(10_032_342_000_000));
        assert_eq!(check_timestamp_ms(253_402_300_799_999), Ok(253_402_300_799_999_000));
        for ms in [-1, i64::MIN, 253_402_300_800_000, i64::MAX] {
            assert_eq!(check_timestamp_ms(ms).unwrap_err().parameter, "timestamp");
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_rejected() {
        let columns = |ends: Vec<u32>, users: &str| {
            EventBatch::from_columns(vec![1], vec![0], ends, users.into(), vec![])
        };
        assert!(columns(vec![2], "é").is_ok());
        assert!(columns(vec![1], "é").is_err(), "cuts a character");
        assert!(columns(vec![1], "ab").is_err(), "leaves bytes over");
        assert!(columns(vec![0], "").is_err(), "an empty user");
    }

    #[test]
    fn repeats_go_by_their_key_with_all_their_events() {
        let key = |text| Key::new(text).unwrap();
        let users = |batch: &EventBatch| {
            batch.iter().map(|event| event.user.to_string()).collect::<Vec<_>>()
        };
        let mut batch = EventBatch::new();
        for (users, id) in
            [("a", None), ("bc", Some("1")), ("d", None), ("ef", Some("2")), ("g", Some("3"))]
        {
            let first = batch.len();
            users.split_inclusive(|_| true).for_each(|user| batch.push(1, user, EventKind::Click));
            id.into_iter().for_each(|id| batch.key_from(first, key(id)));
        }
        assert_eq!(batch.retain_keyed(|_| true), batch);
        let kept = batch.retain_keyed(|keyed| keyed.key != key("1"));
        assert_eq!(users(&kept), ["a", "d", "e", "f", "g"]);
        let content = |users: &[&str]| {
            Content::of(users.iter().map(|user| Event {
                timestamp_us: 1,
                user,
                kind: EventKind::Click,
            }))
        };
        let keyed = |first, rows, id, users: &[&str]| IdempotencyRange {
            first,
            rows,
            key: key(id),
            content: content(users),
        };
        assert_eq!(kept.keyed(), [keyed(2, 2, "2", &["e", "f"]), keyed(4, 1, "3", &["g"])]);
        let mut twice = kept.clone();
        twice.extend(&kept);
        assert_eq!(twice.keyed()[2..], [keyed(7, 2, "2", &["e", "f"]), keyed(9, 1, "3", &["g"])]);
        let (a, b) = (content(&["a", "bc"]), content(&["ab", "c"]));
        assert!(
            !a.matches(b)
                && a.matches(a)
                && a.matches(Content::UNKNOWN)
                && Content::UNKNOWN.matches(b)
        );
    }
}
