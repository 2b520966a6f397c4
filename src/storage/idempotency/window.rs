//! Idempotency keys: requests that were stored, so that one sent again is stored once.
//!
//! [`KeyWindow`] knows the keys of the last hours and belongs to the writer, who alone decides what
//! is a repeat. Beside each it keeps what the request held, as a checksum: a key that comes again
//! for something else is a mistake of its client, who is told.
//!
//! Does not own: what makes keys durable. A key lives in the frame of the log that has its events,
//! and after a flush in one of [`super::files`]. Recovery reads the files, then the log.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::event::{Content, EventBatch, IdempotencyRange, Key};

/// Parts of the window: keys are forgotten a part at a time, so they are kept up to an eighth
/// longer than asked.
const PARTS: i64 = 8;

/// A key that was stored, and what came under it.
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

/// The keys of the last `window_us`.
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

/// What becomes of a request under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    New,
    /// It was stored before.
    Repeat,
    /// Something else was stored under its key.
    Reused,
}

/// A batch with requests that are not to be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is left to store.
    pub rest: EventBatch,
    /// Events that were stored before.
    pub repeated: u64,
    /// Which of the batch's keys came before with other content.
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

    /// Parts the requests of a batch that were stored before, or stand in it twice, from the
    /// others; `None` when it has no such.
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

    /// Takes in keys that came up to `now_us`.
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

    /// Forgets those that are older than the window.
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
            batch.push(0, user, EventKind::Click);
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
        // Of a key from a file of version 1 nobody knows what it held.
        window.insert([StoredKey { content: Content::UNKNOWN, ..stored(9) }], 0);
        assert!(window.judge(&batch(&[(9, "x")])).unwrap().reused.is_empty());
    }
}
