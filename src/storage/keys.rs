//! Idempotency keys: requests that were stored, so that one sent again is stored once.
//!
//! [`KeyWindow`] knows the keys of the last hours and belongs to the writer, who alone decides what is a repeat. A key lives in
//! the frame of the log that has its events; before a flush lets the log go, [`KeyFiles`] writes the keys of its generation to
//! a file of their own. Recovery reads the files, then the log.
//!
//! ```text
//! DIR/keys/NNNNNNNNNNNNNNNNNNNN.keys, named after the last LSN of its generation; integers are little-endian
//!   0  magic         "HGLASKEY"
//!   8  newest        i64, when the generation was sealed, microseconds
//!  16  count         u64
//!  24  keys          count x 16 bytes
//!      crc32c        u32, of all before
//! ```

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashSet;

use super::Lsn;
use super::vfs::{self, Vfs};
use crate::error::{Error, Result};
use crate::event::{EventBatch, Key};

/// The folder of the key files below the data directory.
pub const KEYS_DIR: &str = "keys";

const MAGIC: &[u8; 8] = b"HGLASKEY";
const HEADER_LEN: usize = 24;

/// Parts of the window: keys are forgotten a part at a time, so they are kept up to an eighth longer than asked.
const PARTS: i64 = 8;

const ADVICE: &str =
    "Restore the file from a backup, or move it aside: requests sent again whose keys it holds then count twice";

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
    keys: HashSet<Key>,
}

impl KeyWindow {
    pub fn new(window_us: i64) -> KeyWindow {
        KeyWindow { window_us, parts: VecDeque::new() }
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.keys.len()).sum()
    }

    fn contains(&self, key: &Key) -> bool {
        self.parts.iter().rev().any(|part| part.keys.contains(key))
    }

    /// The batch without requests that were stored before, or stand in it twice; `None` when it has no such.
    pub fn without_repeats(&self, batch: &EventBatch) -> Option<EventBatch> {
        let mut seen = HashSet::with_capacity(batch.keyed().len());
        let has_repeats = batch.keyed().iter().any(|keyed| !seen.insert(keyed.key) || self.contains(&keyed.key));
        seen.clear();
        has_repeats.then(|| batch.without(|key| !seen.insert(*key) || self.contains(key)))
    }

    /// Takes in keys that came up to `now_us`.
    pub fn insert(&mut self, keys: impl IntoIterator<Item = Key>, now_us: i64) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let begins = self.parts.back().is_none_or(|last| last.began_us + self.window_us / PARTS <= now_us);
        if begins {
            self.parts.push_back(Part { began_us: now_us, newest_us: now_us, keys: HashSet::new() });
        }
        let last = self.parts.back_mut().expect("just made sure");
        last.newest_us = last.newest_us.max(now_us);
        last.keys.extend(keys);
    }

    /// Forgets those that are older than the window.
    pub fn expire(&mut self, now_us: i64) {
        while self.parts.front().is_some_and(|part| part.newest_us + self.window_us < now_us) {
            self.parts.pop_front();
        }
    }
}

/// The files of flushed generations. Owned by the flusher.
#[derive(Debug)]
pub struct KeyFiles {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    window_us: i64,
    /// With the time of the newest key, oldest first.
    files: VecDeque<(PathBuf, i64)>,
}

impl KeyFiles {
    /// Reads the files into `window`, but for those whose keys are all too old.
    pub fn open(vfs: Arc<dyn Vfs>, data_dir: &Path, window: &mut KeyWindow, now_us: i64) -> Result<KeyFiles> {
        let mut found =
            KeyFiles { vfs, dir: data_dir.join(KEYS_DIR), window_us: window.window_us, files: VecDeque::new() };
        for path in paths(&*found.vfs, &found.dir)? {
            let (newest_us, keys) = read(&*found.vfs, &path)?;
            found.files.push_back((path, newest_us));
            if newest_us + found.window_us >= now_us {
                window.insert(keys, newest_us);
            }
        }
        found.expire(now_us)?;
        Ok(found)
    }

    /// Writes the keys of a generation, durable when this returns. The same generation goes to the same file.
    pub fn write(&mut self, last_lsn: Lsn, keys: &[Key], newest_us: i64) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        if self.files.is_empty() {
            self.vfs.create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
            let data_dir = self.dir.parent().expect("a folder below the data directory");
            self.vfs.sync_dir(data_dir).map_err(Error::io(data_dir, "sync"))?;
        }
        let path = self.dir.join(format!("{last_lsn:020}.keys"));
        vfs::write_atomically(&*self.vfs, &path, &encode(keys, newest_us)).map_err(Error::io(&path, "write"))?;
        if self.files.back().is_none_or(|(last, _)| *last != path) {
            self.files.push_back((path, newest_us));
        }
        Ok(())
    }

    /// Removes files whose keys are all older than the window.
    pub fn expire(&mut self, now_us: i64) -> Result<()> {
        while let Some((path, newest_us)) = self.files.front()
            && newest_us + self.window_us < now_us
        {
            self.vfs.remove_file(path).map_err(Error::io(path, "remove"))?;
            self.files.pop_front();
        }
        Ok(())
    }
}

/// Reads every key file; answers how many keys they hold, and what is wrong with those that are damaged.
pub fn check(vfs: &dyn Vfs, data_dir: &Path) -> Result<(u64, Vec<Error>)> {
    let (mut count, mut damaged) = (0, Vec::new());
    for path in paths(vfs, &data_dir.join(KEYS_DIR))? {
        match read(vfs, &path) {
            Ok((_, keys)) => count += keys.len() as u64,
            Err(error @ Error::Damaged { .. }) => damaged.push(error),
            // A server removes files as they grow too old.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok((count, damaged))
}

fn paths(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match vfs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(Error::io(dir, "list the idempotency keys"))?,
    };
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(".keys"));
    Ok(names.map(|name| dir.join(name)).collect())
}

/// When the newest key came, and the keys.
fn read(vfs: &dyn Vfs, path: &Path) -> Result<(i64, Vec<Key>)> {
    let bytes = vfs::read_all(vfs, path).map_err(Error::io(path, "read"))?;
    let damaged = |reason: &str| Error::Damaged { path: path.into(), offset: 0, reason: reason.into(), advice: ADVICE };
    decode(&bytes).map_err(damaged)
}

fn encode(keys: &[Key], newest_us: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + keys.len() * 16 + 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&newest_us.to_le_bytes());
    bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
    keys.iter().for_each(|key| bytes.extend_from_slice(&key.0));
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// When the newest came, and the keys.
fn decode(bytes: &[u8]) -> Result<(i64, Vec<Key>), &'static str> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("the file is cut")?;
    if !body.starts_with(MAGIC) || u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
        return Err("its checksum does not hold");
    }
    let (header, keys) = body.split_at_checked(HEADER_LEN).ok_or("the file is cut")?;
    let newest_us = i64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
    Ok((newest_us, keys.chunks_exact(16).map(|key| Key(key.try_into().expect("sixteen bytes"))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn key(n: u64) -> Key {
        Key::new(&n.to_string()).unwrap()
    }

    #[test]
    fn a_key_is_known_for_the_window_and_not_for_long_after() {
        let mut window = KeyWindow::new(800);
        for us in 0..2_000 {
            window.expire(us);
            for age in [1, 799, 800] {
                assert!(us < age || window.contains(&key((us - age) as u64)), "age {age} at {us}");
            }
            assert!(us < 900 || !window.contains(&key((us - 900) as u64)), "at {us}");
            window.insert([key(us as u64)], us);
        }
        assert!(window.len() <= 900);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing_early() {
        let mut window = KeyWindow::new(800);
        window.insert([key(1)], 10_000);
        window.insert([key(2)], 5_000);
        window.expire(5_900);
        assert!(window.contains(&key(2)) && window.contains(&key(1)));
    }

    #[test]
    fn a_repeat_is_dropped_against_the_window_and_within_the_batch() {
        let mut window = KeyWindow::new(800);
        window.insert([key(1)], 0);
        let mut batch = EventBatch::new();
        for (n, user) in [(2, "a"), (1, "b"), (2, "c"), (3, "d")] {
            batch.push(0, user, EventKind::Click);
            batch.key_from(batch.len() - 1, key(n));
        }
        let kept = window.without_repeats(&batch).unwrap();
        assert_eq!(kept.iter().map(|event| event.user).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(window.without_repeats(&kept), None);
    }

    #[test]
    fn no_damaged_byte_of_a_file_goes_unseen() {
        let keys: Vec<Key> = (0..5).map(key).collect();
        let bytes = encode(&keys, 77);
        assert_eq!(decode(&bytes), Ok((77, keys)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode(&damaged).is_err() && decode(&bytes[..at]).is_err(), "byte {at}");
        }
    }
}
