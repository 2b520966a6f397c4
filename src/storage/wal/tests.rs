//! Tests of the log cut or damaged at every byte: replay returns a prefix of whole frames, or
//! refuses.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Lsn;
use super::frame::{self, SegmentHeader};
use super::{Wal, replay};
use crate::event::{EventBatch, EventKind, EventSchema};
use crate::storage::error::{Error, Result};
use crate::storage::vfs::Disk;

const FRAMES: u64 = 6;

fn batch(n: u64) -> EventBatch {
    let mut batch = EventBatch::new();
    for i in 0..n % 3 + 1 {
        batch.push(
            (n * 10 + i) as i64,
            &format!("user-{n}-{i}"),
            EventKind::CONTRACT[(n % 2) as usize],
        );
    }
    batch
}

fn open(dir: &Path, segment_bytes: u64, flushed: Lsn) -> Result<(Wal, Vec<EventBatch>)> {
    let mut batches = Vec::new();
    let replayed = replay(&Disk, dir, &EventSchema::default(), flushed, |_, batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok((Wal::open(Arc::new(Disk), dir, &EventSchema::default(), segment_bytes, replayed)?, batches))
}

fn batches(from: u64, to: u64) -> Vec<EventBatch> {
    (from..to).map(batch).collect()
}

/// Writes a log of [`FRAMES`] frames, in several segments if `segment_bytes` is small.
fn written(dir: &Path, segment_bytes: u64) {
    let (mut wal, _) = open(dir, segment_bytes, 0).unwrap();
    for n in 0..FRAMES {
        wal.append(&batch(n)).unwrap();
    }
}

/// Checks that after a fault the log is refused or returns a prefix, and in that case still works.
/// Returns the number of recovered frames; `None` if it was refused.
fn check(dir: &Path, what: &str) -> Option<u64> {
    let recovered = match open(dir, 1 << 20, 0) {
        Err(Error::Damaged { .. }) => return None,
        Err(error) => panic!("{what}: {error}"),
        Ok((mut wal, recovered)) => {
            assert_eq!(recovered, batches(0, recovered.len() as u64), "{what}: not a prefix");
            wal.append(&batch(99)).unwrap();
            recovered
        }
    };
    let (_, again) =
        open(dir, 1 << 20, 0).unwrap_or_else(|error| panic!("{what}: opens once only: {error}"));
    assert_eq!(again.split_last().unwrap(), (&batch(99), &recovered[..]), "{what}: after going on");
    Some(recovered.len() as u64)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_log_cut_at_any_byte_gives_back_a_prefix() {
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    written(dir.path(), 1 << 20);
    let bytes = fs::read(&segments(dir.path())[0]).unwrap();
    let mut found = Vec::new();
    for len in 0..=bytes.len() {
        copy(dir.path(), work.path());
        fs::write(&segments(work.path())[0], &bytes[..len]).unwrap();
        found.push(check(work.path(), &format!("cut at {len}")).expect("a cut is no damage"));
    }
    assert!(found.is_sorted() && found[0] == 0 && *found.last().unwrap() == FRAMES, "{found:?}");
}

#[test]
fn a_log_damaged_at_any_byte_gives_back_a_prefix_or_refuses() {
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    written(dir.path(), 200);
    let paths = segments(dir.path());
    assert!(paths.len() > 1, "the log spans segments");
    let (mut refused, mut cut) = (0, 0);
    for (i, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        for at in 0..bytes.len() {
            copy(dir.path(), work.path());
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xFF;
            fs::write(&segments(work.path())[i], damaged).unwrap();
            match check(work.path(), &format!("segment {i} damaged at {at}")) {
                None => refused += 1,
                // Only the last frame can pass for a torn write; the zeros of a header have no
                // meaning.
                Some(frames) if i + 1 == paths.len() => cut += u64::from(frames == FRAMES - 1),
                Some(frames) => assert_eq!(frames, FRAMES, "segment {i} damaged at {at}"),
            }
        }
    }
    assert!(refused > 0 && cut > 0, "{refused} refused, {cut} cut");
}

#[test]
fn a_user_named_like_a_frame_does_not_make_a_torn_write_look_like_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(dir.path(), 1 << 20, 0).unwrap();
    let guessed =
        SegmentHeader { salt: *b"HGFR", ..SegmentHeader::new(&EventSchema::default(), 1, 1) };
    let name = (0..100).find_map(|timestamp| {
        let (mut event, mut bytes) = (EventBatch::new(), Vec::new());
        event.push(timestamp, "u", EventKind::CLICK);
        frame::encode(&mut bytes, &guessed, 100, &event);
        String::from_utf8(bytes).ok()
    });
    let mut torn = EventBatch::new();
    torn.push(0, &name.expect("one checksum in sixteen is UTF-8"), EventKind::CLICK);
    wal.append(&batch(0)).unwrap();
    wal.append(&torn).unwrap();
    drop(wal);
    let segment = &segments(dir.path())[0];
    let mut bytes = fs::read(segment).unwrap();
    // The frame's timestamp was not written, but the name after it was.
    let before = frame::SEGMENT_HEADER_LEN + frame::FRAME_HEADER_LEN + batch(0).byte_len();
    bytes[before + frame::FRAME_HEADER_LEN] ^= 1;
    fs::write(segment, bytes).unwrap();
    assert_eq!(open(dir.path(), 1 << 20, 0).unwrap().1, batches(0, 1));
}

#[test]
fn a_first_sector_that_was_lost_is_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(dir.path(), 1 << 20, 0).unwrap();
    for n in 0..20 {
        wal.append(&batch(n)).unwrap();
    }
    drop(wal);
    let segment = &segments(dir.path())[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[..512].fill(0);
    fs::write(segment, bytes).unwrap();
    assert!(matches!(open(dir.path(), 1 << 20, 0), Err(Error::Damaged { .. })));
}

#[test]
fn a_segment_that_is_missing_is_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 200);
    fs::remove_file(&segments(dir.path())[1]).unwrap();
    assert!(matches!(open(dir.path(), 200, 0), Err(Error::Damaged { .. })));
}

#[test]
fn a_recycled_segment_does_not_bring_back_its_former_events() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(dir.path(), 200, 0).unwrap();
    let mut flushed = 0;
    for n in 0..60 {
        let last = wal.append(&batch(n)).unwrap();
        if n % 7 == 6 {
            wal.rotate_if_used().unwrap();
            wal.closed_segments().release_through(last).unwrap();
            flushed = last;
        }
    }
    assert!(segments(dir.path()).iter().any(|path| path.extension().unwrap() == "spare"));
    drop(wal);
    let (_, recovered) = open(dir.path(), 200, flushed).unwrap();
    assert_eq!(recovered, batches(56, 60));
}

#[test]
fn a_preallocated_segment_ends_where_its_zeros_begin() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path(), 4_096, 0).unwrap();
    wal.closed_segments().prepare_spare().unwrap();
    drop(wal);
    let (mut wal, _) = open(dir.path(), 4_096, 0).unwrap();
    wal.append(&batch(0)).unwrap();
    drop(wal);
    assert_eq!(open(dir.path(), 4_096, 0).unwrap().1, batches(0, 1));
}
