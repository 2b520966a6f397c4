//! Window of recent idempotency keys, so that a request sent again is stored only once.
//!
//! [`KeyWindow`] holds the keys of the last hours and belongs to the writer, which alone decides
//! what is a repeat. With each key it keeps a checksum of the request's content: reusing a key for
//! other content is an error of the client, and is reported to it.
//!
//! The window does not make keys durable. A key is stored in the log frame of its events and, after
//! a flush, in one of the [`super::files`]. Recovery reads the files, then the log.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::event::{Content, EventBatch, IdempotencyRange, Key};

/// Number of parts of the window. Keys are forgotten one part at a time, so they are kept up to an
/// eighth longer than asked.
const PARTS: i64 = 8;

/// A stored key, and the content stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub key: Key,
    pub content: Content,
}

impl From<&IdempotencyRange> for StoredKey {
    fn from(keyed: &IdempotencyRange) -> StoredKey {
        StoredKey { key: keyed.key, content: keyed.content }
    }
}

/// Keys of the last `window_us` microseconds.
#[derive(Debug)]
pub struct KeyWindow {
    window_us: i64,
    /// Oldest first.
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    began_us: i64,
    newest_us: i64,
    keys: HashMap<Key, Content>,
}

/// Decision about a request with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    New,
    /// The request was stored before.
    Repeat,
    /// Other content was stored under its key.
    Reused,
}

/// Result of judging a batch that has requests which must not be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is left to store.
    pub rest: EventBatch,
    /// Number of events that were stored before.
    pub repeated: u64,
    /// Indexes of the batch's keys that were used before with other content.
    pub reused: Vec<usize>,
}

impl KeyWindow {
    pub fn new(window_us: i64) -> KeyWindow {
        KeyWindow { window_us, parts: VecDeque::new() }
    }

    pub fn window_us(&self) -> i64 {
        self.window_us
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.keys.len()).sum()
    }

    fn content(&self, key: &Key) -> Option<Content> {
        self.parts.iter().rev().find_map(|part| part.keys.get(key).copied())
    }

    /// Separates the requests of a batch that were stored before, or occur in it twice, from the
    /// others. `None` if all are new.
    pub fn judge(&self, batch: &EventBatch) -> Option<Judged> {
        let mut seen = HashMap::with_capacity(batch.keyed().len());
        let judge = |keyed: &IdempotencyRange| match seen
            .get(&keyed.key)
            .copied()
            .or_else(|| self.content(&keyed.key))
        {
            None => {
                seen.insert(keyed.key, keyed.content);
                Verdict::New
            }
            Some(content) if content.matches(keyed.content) => Verdict::Repeat,
            Some(_) => Verdict::Reused,
        };
        let verdicts: Vec<Verdict> = batch.keyed().iter().map(judge).collect();
        if verdicts.iter().all(|verdict| *verdict == Verdict::New) {
            return None;
        }
        let mut order = verdicts.iter();
        let rest = batch.retain_keyed(|_| order.next() == Some(&Verdict::New));
        let verdicts = &verdicts;
        let of = |verdict| (0..verdicts.len()).filter(move |&i| verdicts[i] == verdict);
        let repeated = of(Verdict::Repeat).map(|i| u64::from(batch.keyed()[i].rows)).sum();
        Some(Judged { rest, repeated, reused: of(Verdict::Reused).collect() })
    }

    /// Adds keys that arrived up to `now_us`.
    pub fn insert(&mut self, keys: impl IntoIterator<Item = StoredKey>, now_us: i64) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let begins =
            self.parts.back().is_none_or(|last| last.began_us + self.window_us / PARTS <= now_us);
        if begins {
            self.parts.push_back(Part {
                began_us: now_us,
                newest_us: now_us,
                keys: HashMap::new(),
            });
        }
        let last = self.parts.back_mut().expect("just made sure");
        last.newest_us = last.newest_us.max(now_us);
        last.keys.extend(keys.map(|stored| (stored.key, stored.content)));
    }

    /// Forgets keys that are older than the window.
    pub fn expire(&mut self, now_us: i64) {
        while self.parts.front().is_some_and(|part| part.newest_us + self.window_us < now_us) {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn stored(n: u64) -> StoredKey {
        StoredKey {
            key: Key::new(&n.to_string()).unwrap(),
            content: Content::from_le_bytes([7, 0, 0, 0]),
        }
    }

    fn batch(events: &[(u64, &str)]) -> EventBatch {
        let mut batch = EventBatch::new();
        for &(n, user) in events {
            batch.push(0, user, EventKind::CLICK);
            batch.key_from(batch.len() - 1, stored(n).key);
        }
        batch
    }

    #[test]
    fn a_key_is_known_for_the_window_and_not_for_long_after() {
        let mut window = KeyWindow::new(800);
        let knows = |window: &KeyWindow, us: i64| window.content(&stored(us as u64).key).is_some();
        for us in 0..2_000 {
            window.expire(us);
            for age in [1, 799, 800] {
                assert!(us < age || knows(&window, us - age), "age {age} at {us}");
            }
            assert!(us < 900 || !knows(&window, us - 900), "at {us}");
            window.insert([stored(us as u64)], us);
        }
        assert!(window.len() <= 900);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing_early() {
        let mut window = KeyWindow::new(800);
        window.insert([stored(1)], 10_000);
        window.insert([stored(2)], 5_000);
        window.expire(5_900);
        assert!([1, 2].iter().all(|&n| window.content(&stored(n).key).is_some()));
    }

    #[test]
    fn a_repeat_is_dropped_against_the_window_and_within_the_batch() {
        let mut window = KeyWindow::new(800);
        window.insert(batch(&[(1, "b")]).keyed().iter().map(StoredKey::from), 0);
        let judged = window.judge(&batch(&[(2, "a"), (1, "b"), (2, "a"), (3, "d")])).unwrap();
        assert_eq!(judged.rest.iter().map(|event| event.user).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!((judged.repeated, &judged.reused[..]), (2, &[][..]));
        assert_eq!(window.judge(&judged.rest), None);
    }

    #[test]
    fn a_key_with_other_content_is_told_against_the_window_and_within_the_batch() {
        let mut window = KeyWindow::new(800);
        window.insert(batch(&[(1, "b")]).keyed().iter().map(StoredKey::from), 0);
        let judged =
            window.judge(&batch(&[(2, "a"), (1, "B"), (2, "b"), (2, "a"), (3, "d")])).unwrap();
        assert_eq!(judged.rest.iter().map(|event| event.user).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!((judged.repeated, &judged.reused[..]), (1, &[1, 2][..]));
        // The content of a key from a version 1 file is unknown.
        window.insert([StoredKey { content: Content::UNKNOWN, ..stored(9) }], 0);
        assert!(window.judge(&batch(&[(9, "x")])).unwrap().reused.is_empty());
    }
}
