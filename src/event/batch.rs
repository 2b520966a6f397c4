//! Columnar batch of events.

use super::{
    Content, EVENT_BYTES, Event, EventKind, EventSchema, IdempotencyRange, Key, Rejection,
    ValueColumn, Values, check_timestamp_us, check_user,
};

/// Columnar batch of events in arrival order. Every decoder produces it, a log frame carries one,
/// and the memtable applies it. All its events have passed the checks above; [`EventBatch::push`]
/// relies on its caller for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    timestamps_us: Vec<i64>,
    kinds: Vec<u8>,
    /// `user_ends[i]` is the end offset of user `i` in `users`; it begins at the end of user `i -
    /// 1`.
    user_ends: Vec<u32>,
    users: String,
    /// Values of the dimensions that some event has, sorted by dimension.
    values: Vec<ValueColumn>,
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
            values: Vec::new(),
            keyed: Vec::new(),
        }
    }

    /// Appends one event. `timestamp_us` and `user` must have passed [`check_timestamp_us`] and
    /// [`check_user`].
    ///
    /// # Panics
    /// If the users' bytes together exceed 4 GiB; all input limits are far below.
    pub fn push(&mut self, timestamp_us: i64, user: &str, kind: EventKind) {
        self.users.push_str(user);
        self.user_ends
            .push(u32::try_from(self.users.len()).expect("a batch holds under 4 GiB of users"));
        self.timestamps_us.push(timestamp_us);
        self.kinds.push(kind.code());
    }

    /// Sets the last event's value of a dimension, which must not be set yet. An empty value is an
    /// absent one. The value must have passed [`check_value`](super::check_value).
    pub fn set_value(&mut self, dimension: usize, value: &str) {
        if value.is_empty() {
            return;
        }
        let last = self.len() - 1;
        self.column(dimension as u8).set(last, value);
    }

    fn column(&mut self, dimension: u8) -> &mut ValueColumn {
        let at = self.values.binary_search_by_key(&dimension, |column| column.dimension);
        let at = at.unwrap_or_else(|at| {
            self.values.insert(at, ValueColumn::new(dimension));
            at
        });
        &mut self.values[at]
    }

    /// Like [`EventBatch::push`], for an [`Event`] with its values.
    pub fn push_event(&mut self, event: Event<'_>) {
        self.push(event.timestamp_us, event.user, event.kind);
        event.values.iter().for_each(|(dimension, value)| self.set_value(dimension.into(), value));
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
        schema: &EventSchema,
        timestamps_us: Vec<i64>,
        kinds: Vec<u8>,
        user_ends: Vec<u32>,
        users: String,
        values: Vec<ValueColumn>,
        keyed: Vec<IdempotencyRange>,
    ) -> Result<EventBatch, Rejection> {
        let mut batch = EventBatch { timestamps_us, kinds, user_ends, users, values, keyed };
        let mut start = 0;
        for (i, &end) in batch.user_ends.iter().enumerate() {
            let user = batch
                .users
                .get(start..end as usize)
                .ok_or_else(|| Rejection::new("user", "is cut"))?;
            check_user(user)?;
            check_timestamp_us(batch.timestamps_us[i])?;
            schema
                .kind_of_code(batch.kinds[i])
                .ok_or_else(|| Rejection::new("event", "is unknown"))?;
            start = end as usize;
        }
        if start != batch.users.len() {
            return Err(Rejection::new("user", "has bytes left over"));
        }
        let is_sorted = batch.values.is_sorted_by(|a, b| a.dimension < b.dimension);
        let is_declared =
            |column: &ValueColumn| usize::from(column.dimension) < schema.dimensions().len();
        if !is_sorted || !batch.values.iter().all(is_declared) {
            return Err(Rejection::new("a dimension", "is unknown"));
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

    /// Returns the size of the columns, in bytes.
    pub fn byte_len(&self) -> usize {
        let values = self.values.iter().map(|column| column.ends().len() * 4 + column.text().len());
        self.len() * EVENT_BYTES
            + self.users.len()
            + values.sum::<usize>()
            + self.keyed.len() * (4 + 4 + 16)
    }

    pub fn get(&self, i: usize) -> Event<'_> {
        let start = if i == 0 { 0 } else { self.user_ends[i - 1] as usize };
        Event {
            timestamp_us: self.timestamps_us[i],
            user: &self.users[start..self.user_ends[i] as usize],
            kind: EventKind(self.kinds[i]),
            values: Values::of(&self.values, i),
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
        self.values.clear();
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

    /// Returns the values of the dimensions that some event has, sorted by dimension.
    pub fn values(&self) -> &[ValueColumn] {
        &self.values
    }

    pub fn keyed(&self) -> &[IdempotencyRange] {
        &self.keyed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_TIMESTAMP_US;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = EventBatch::new();
        batch.push(5, "ana", EventKind::CLICK);
        batch.push(MAX_TIMESTAMP_US, "Zoë", EventKind::IMPRESSION);
        let again = EventBatch::from_columns(
            &EventSchema::default(),
            batch.timestamps_us.clone(),
            batch.kinds.clone(),
            batch.user_ends.clone(),
            batch.users.clone(),
            Vec::new(),
            Vec::new(),
        );
        assert_eq!(again.as_ref(), Ok(&batch));
        assert_eq!(
            batch.get(1),
            Event {
                timestamp_us: MAX_TIMESTAMP_US,
                user: "Zoë",
                kind: EventKind::IMPRESSION,
                values: Values::NONE,
            }
        );
    }

    #[test]
    fn values_go_with_their_events_and_count_in_their_checksum() {
        let mut batch = EventBatch::new();
        for (user, values) in [("a", &[(2, "/x")][..]), ("b", &[]), ("c", &[(0, "/y"), (2, "/x")])]
        {
            batch.push(1, user, EventKind::CLICK);
            values.iter().for_each(|(dimension, value)| batch.set_value(*dimension, value));
        }
        let of = |batch: &EventBatch, i: usize| {
            batch.get(i).values.iter().map(|(d, v)| (d, v.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(of(&batch, 0), [(2, "/x".to_owned())]);
        assert_eq!(of(&batch, 1), []);
        assert_eq!(of(&batch, 2), [(0, "/y".to_owned()), (2, "/x".to_owned())]);
        let mut twice = batch.clone();
        twice.extend(&batch);
        assert_eq!(twice.iter().skip(3).collect::<Vec<_>>(), batch.iter().collect::<Vec<_>>());
        let without = Event { values: Values::NONE, ..batch.get(0) };
        assert!(!Content::of([batch.get(0)]).matches(Content::of([without])));
    }

    #[test]
    fn columns_that_do_not_fit_are_rejected() {
        let columns = |ends: Vec<u32>, users: &str| {
            let schema = EventSchema::default();
            EventBatch::from_columns(&schema, vec![1], vec![0], ends, users.into(), vec![], vec![])
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
            users.split_inclusive(|_| true).for_each(|user| batch.push(1, user, EventKind::CLICK));
            id.into_iter().for_each(|id| batch.key_from(first, key(id)));
        }
        assert_eq!(batch.retain_keyed(|_| true), batch);
        let kept = batch.retain_keyed(|keyed| keyed.key != key("1"));
        assert_eq!(users(&kept), ["a", "d", "e", "f", "g"]);
        let content = |users: &[&str]| {
            Content::of(users.iter().map(|user| Event {
                timestamp_us: 1,
                user,
                kind: EventKind::CLICK,
                values: Values::NONE,
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
