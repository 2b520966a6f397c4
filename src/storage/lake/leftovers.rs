//! Removal at startup of temporary files left by unfinished writes, after a crash or on a full
//! disk.
//!
//! Of the table's folders it searches only those of the hours in the log and those of files that a
//! compaction was writing, as nothing else can have been interrupted. Listing the folders of years
//! of hours would make the start slow.

use std::io;
use std::path::Path;

use object_store::path::Path as Location;

use crate::hour::Hour;
use crate::storage::directory::{LOG_DIR, TABLE_DIR};
use crate::storage::idempotency::files::KEYS_DIR;
use crate::storage::vfs::Vfs;

/// Removes the temporary files. One that cannot be removed is left in place and does not prevent
/// the start.
pub fn remove<'h>(
    vfs: &dyn Vfs,
    data_dir: &Path,
    hours: impl Iterator<Item = &'h Hour>,
    pending: &[Location],
) {
    let hours = hours.map(|hour| format!("{TABLE_DIR}/{}", hour.partition_path()));
    let merged = pending.iter().filter_map(|file| file.as_ref().rsplit_once('/'));
    let mut merged: Vec<String> = merged.map(|(folder, _)| folder.to_string()).collect();
    merged.dedup();
    let folders = ["", KEYS_DIR, LOG_DIR].map(String::from).into_iter().chain(hours).chain(merged);
    for folder in folders.map(|folder| data_dir.join(folder)) {
        if let Err(error) = remove_in(vfs, &folder) {
            tracing::warn!(%error, folder = %folder.display(), "temporary files of an earlier run cannot be removed");
        }
    }
}

fn remove_in(vfs: &dyn Vfs, folder: &Path) -> io::Result<()> {
    let entries = match vfs.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let left = entries.iter().filter(|entry| !entry.meta.is_dir && is_temporary(&entry.name));
    left.map(|entry| folder.join(&entry.name)).try_for_each(|path| {
        tracing::info!(path = %path.display(), "removing a temporary file of an earlier run");
        vfs.remove_file(&path)
    })
}

/// Reports whether `name` is a temporary file of [`crate::storage::vfs::write_atomically`] or of
/// the object store. Other engines that write to the table have temporary files of their own.
fn is_temporary(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".tmp") else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_an_object = || {
        let (process, number) = stem.strip_prefix('.')?.rsplit_once('.')?.1.split_once('-')?;
        Some(is_number(process) && is_number(number))
    };
    ["hourglass", "pending", "erasure"].contains(&stem)
        || is_number(stem)
        || of_an_object() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_temporaries_are_taken_for_such() {
        for ours in [
            "hourglass.tmp",
            "00000000000000000042.tmp",
            ".part-1.zstd.parquet.77-3.tmp",
            ".1.json.7-0.tmp",
        ] {
            assert!(is_temporary(ours), "{ours}");
        }
        for others in [
            ".00000.json.6fa459ea-ee8a.tmp",
            "notes.tmp",
            ".tmp",
            "part-1.parquet",
            ".x.7-a.tmp",
            ".7-0.tmp",
        ] {
            assert!(!is_temporary(others), "{others}");
        }
    }
}
