//! Key files: one file of idempotency keys for each flushed generation.
//!
//! Before a flush releases the log, [`KeyFiles`] writes the keys of its generation, and the commit
//! records the file in a [`KeyFileRecord`].
//!
//! ```text
//! DIR/keys/NNNNNNNNNNNNNNNNNNNN.keys, named after the last LSN of its generation
//! (integers are little-endian)
//!   0  magic         "HGLASKE2"
//!   8  newest        i64, when the generation was sealed, microseconds
//!  16  until         i64, how long the keys are remembered at least, microseconds
//!  24  count         u64
//!  32  keys          count x (16 bytes, CRC-32C of what came under the key)
//!      crc32c        u32, of all before
//! ```
//!
//! Version 1 has the magic "HGLASKEY", no `until`, and keys of 16 bytes without their contents.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::window::{KeyWindow, StoredKey};
use crate::event::{Content, Key};
use crate::storage::error::{Error, Result};
use crate::storage::vfs::{self, Vfs};
use crate::storage::wal::Lsn;

/// Folder of the key files, relative to the data directory.
pub const KEYS_DIR: &str = "keys";

const MAGIC: &[u8; 8] = b"HGLASKE2";
const HEADER_LEN: usize = 32;
const ENTRY_LEN: usize = 16 + 4;

const FORMER_MAGIC: &[u8; 8] = b"HGLASKEY";
const FORMER_HEADER_LEN: usize = 24;
const FORMER_ENTRY_LEN: usize = 16;

const ADVICE: &str = "Restore the file from a backup, or move it away: repeated requests whose \
    keys it holds then count twice";

const MISSING: &str = "the file of idempotency keys is missing";

const MISSING_ADVICE: &str = "Restore the keys folder that belongs to this table; without it, \
    repeated requests with keys from that time count twice";

/// Record of a key file in the commit of its generation: it tells which key files belong to the
/// table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFileRecord {
    /// Last LSN of the generation; it names the file.
    pub last_lsn: Lsn,
    /// Checksum at the end of the file.
    pub crc32c: u32,
    /// Time until which the file is kept at least, in microseconds since the epoch.
    pub until_us: i64,
}

/// Contents of a key file.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// Time at which the newest key arrived.
    newest_us: i64,
    until_us: i64,
    keys: Vec<StoredKey>,
}

/// Key files of the flushed generations. Owned by the flusher.
#[derive(Debug)]
pub struct KeyFiles {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    window_us: i64,
    /// Path of each file and the time until which it is kept at least; oldest first.
    files: VecDeque<(PathBuf, i64)>,
    /// Last LSN of the generation whose file was written last, and the time of the first attempt.
    begun: Option<(Lsn, i64)>,
}

impl KeyFiles {
    /// Reads the key files into `window`, except those whose keys are all too old. Removes the file
    /// of a generation that is not in the table: either the log has its keys together with its
    /// events, or neither exists.
    ///
    /// Files that the table records in `records` but that are missing are logged, and no error: a
    /// store that was restored without them works, and only counts requests sent again a second
    /// time.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        data_dir: &Path,
        flushed: Lsn,
        records: &[KeyFileRecord],
        window: &mut KeyWindow,
        now_us: i64,
    ) -> Result<KeyFiles> {
        let (dir, window_us) = (data_dir.join(KEYS_DIR), window.window_us());
        let mut found = KeyFiles { vfs, dir, window_us, files: VecDeque::new(), begun: None };
        let listed = paths(&*found.vfs, &found.dir)?;
        for (last_lsn, path) in &listed {
            if *last_lsn > flushed {
                found.vfs.remove_file(path).map_err(Error::io(path, "remove"))?;
                // Later generations may reuse its LSNs, and it must not reappear then.
                found.vfs.sync_dir(&found.dir).map_err(Error::io(&found.dir, "sync"))?;
                continue;
            }
            let (contents, _) = read(&*found.vfs, path)?;
            found
                .files
                .push_back((path.clone(), contents.until_us.max(contents.newest_us + window_us)));
            if contents.newest_us + window_us >= now_us {
                window.insert(contents.keys, contents.newest_us);
            }
        }
        for path in missing(&found.dir, records, &listed, now_us) {
            tracing::error!(path = %path.display(), "{MISSING}. {MISSING_ADVICE}");
        }
        found.expire(now_us)?;
        Ok(found)
    }

    /// Writes the keys of a generation; they are durable when this returns. The same generation is
    /// always written to the same file with the same bytes, regardless of commits that failed in
    /// between.
    pub fn write(
        &mut self,
        last_lsn: Lsn,
        keys: &[StoredKey],
        now_us: i64,
    ) -> Result<Option<KeyFileRecord>> {
        if keys.is_empty() {
            return Ok(None);
        }
        if self.files.is_empty() {
            self.vfs.create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
            let data_dir = self.dir.parent().expect("a folder below the data directory");
            self.vfs.sync_dir(data_dir).map_err(Error::io(data_dir, "sync"))?;
        }
        let newest_us = self.begun.filter(|(lsn, _)| *lsn == last_lsn).map_or(now_us, |(_, us)| us);
        self.begun = Some((last_lsn, newest_us));
        let until_us = newest_us + self.window_us;
        let (bytes, crc32c) = encode(keys, newest_us, until_us);
        let path = path_of(&self.dir, last_lsn);
        vfs::write_atomically(&*self.vfs, &path, &bytes).map_err(Error::io(&path, "write"))?;
        if self.files.back().is_none_or(|(last, _)| *last != path) {
            self.files.push_back((path, until_us));
        }
        Ok(Some(KeyFileRecord { last_lsn, crc32c, until_us }))
    }

    /// Removes files whose keys are all older than the current window, and than the window at the
    /// time they were written.
    pub fn expire(&mut self, now_us: i64) -> Result<()> {
        while let Some((path, until_us)) = self.files.front()
            && *until_us < now_us
        {
            self.vfs.remove_file(path).map_err(Error::io(path, "remove"))?;
            self.files.pop_front();
        }
        Ok(())
    }
}

/// Result of checking all key files.
#[derive(Debug, Default)]
pub struct Checked {
    pub keys: u64,
    pub damaged: Vec<Error>,
}

/// Reads the key files of the generations up to `flushed`, and compares them with the table's
/// records.
pub fn check(
    vfs: &dyn Vfs,
    data_dir: &Path,
    flushed: Lsn,
    records: &[KeyFileRecord],
    now_us: impl FnOnce() -> i64,
) -> Result<Checked> {
    let dir = data_dir.join(KEYS_DIR);
    let damaged = |path: &Path, reason: String, advice| Error::Damaged {
        path: path.into(),
        offset: 0,
        reason,
        advice,
    };
    let mut checked = Checked::default();
    let listed = paths(vfs, &dir)?;
    for (last_lsn, path) in listed.iter().filter(|(last_lsn, _)| *last_lsn <= flushed) {
        match read(vfs, path) {
            Ok((contents, crc32c)) => {
                checked.keys += contents.keys.len() as u64;
                let record = records.iter().find(|record| record.last_lsn == *last_lsn);
                if let Some(record) = record.filter(|record| record.crc32c != crc32c) {
                    let (was, is) = (record.crc32c, crc32c);
                    let reason = format!("its checksum is {is:08x}, but {was:08x} was written");
                    checked.damaged.push(damaged(path, reason, ADVICE));
                }
            }
            Err(error @ Error::Damaged { .. }) => checked.damaged.push(error),
            // A running server removes files that have expired.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let missing = missing(&dir, records, &listed, now_us());
    checked
        .damaged
        .extend(missing.into_iter().map(|path| damaged(&path, MISSING.into(), MISSING_ADVICE)));
    Ok(checked)
}

/// Returns the paths of recorded files that have not expired and do not exist.
fn missing(
    dir: &Path,
    records: &[KeyFileRecord],
    listed: &[(Lsn, PathBuf)],
    now_us: i64,
) -> Vec<PathBuf> {
    let is_there =
        |record: &&KeyFileRecord| listed.iter().any(|(last_lsn, _)| *last_lsn == record.last_lsn);
    let due = records.iter().filter(|record| record.until_us >= now_us);
    let mut missing: Vec<PathBuf> = due
        .filter(|record| !is_there(record))
        .map(|record| path_of(dir, record.last_lsn))
        .collect();
    missing.sort();
    missing
}

fn path_of(dir: &Path, last_lsn: Lsn) -> PathBuf {
    dir.join(format!("{last_lsn:020}.keys"))
}

/// Lists the key files with the LSNs that name them, in ascending order.
fn paths(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<(Lsn, PathBuf)>> {
    let entries = match vfs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(Error::io(dir, "list the idempotency keys"))?,
    };
    let named = entries.into_iter().filter_map(|entry| {
        let last_lsn = entry.name.strip_suffix(".keys")?.parse().ok()?;
        Some((last_lsn, dir.join(entry.name)))
    });
    Ok(named.collect())
}

/// Reads a file; returns its contents and checksum.
fn read(vfs: &dyn Vfs, path: &Path) -> Result<(Contents, u32)> {
    let bytes = vfs::read_all(vfs, path).map_err(Error::io(path, "read"))?;
    let damaged = |reason: &str| Error::Damaged {
        path: path.into(),
        offset: 0,
        reason: reason.into(),
        advice: ADVICE,
    };
    decode(&bytes).map_err(damaged)
}

/// Encodes a file; returns its bytes, which end with the checksum, and the checksum.
fn encode(keys: &[StoredKey], newest_us: i64, until_us: i64) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(HEADER_LEN + keys.len() * ENTRY_LEN + 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&newest_us.to_le_bytes());
    bytes.extend_from_slice(&until_us.to_le_bytes());
    bytes.extend_from_slice(&(keys.len() as u64).to_le_bytes());
    for StoredKey { key, content } in keys {
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(&content.to_le_bytes());
    }
    let crc32c = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc32c.to_le_bytes());
    (bytes, crc32c)
}

fn decode(bytes: &[u8]) -> Result<(Contents, u32), &'static str> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("the file is cut")?;
    let is_former = body.starts_with(FORMER_MAGIC);
    if !(is_former || body.starts_with(MAGIC)) || u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
        return Err("its checksum is wrong");
    }
    let (header_len, entry_len) =
        if is_former { (FORMER_HEADER_LEN, FORMER_ENTRY_LEN) } else { (HEADER_LEN, ENTRY_LEN) };
    let (header, entries) = body.split_at_checked(header_len).ok_or("the file is cut")?;
    let i64_at =
        |at: usize| i64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let stored = |entry: &[u8]| StoredKey {
        key: Key(entry[..16].try_into().expect("sixteen bytes")),
        content: entry[16..].try_into().map_or(Content::UNKNOWN, Content::from_le_bytes),
    };
    let until_us = if is_former { i64::MIN } else { i64_at(16) };
    let keys = entries.chunks_exact(entry_len).map(stored).collect();
    Ok((Contents { newest_us: i64_at(8), until_us, keys }, u32::from_le_bytes(*crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_damaged_byte_of_a_file_goes_unseen() {
        let keys: Vec<StoredKey> = (0..5_u8)
            .map(|n| StoredKey { key: Key([n; 16]), content: Content::from_le_bytes([n, 1, 2, 3]) })
            .collect();
        let (bytes, crc32c) = encode(&keys, 77, 99);
        assert_eq!(decode(&bytes), Ok((Contents { newest_us: 77, until_us: 99, keys }, crc32c)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode(&damaged).is_err() && decode(&bytes[..at]).is_err(), "byte {at}");
        }
    }
}
