//! Log replay, shared by recovery and read-only access. Nothing here writes.
//!
//! The log ends at the first place without an intact frame. If nothing intact follows, this is the
//! torn tail of a write that was never acknowledged (one frame is written and synced at a time, so
//! at most one can be torn). If an intact frame follows, acknowledged events are damaged, and
//! replay fails.

use std::io;
use std::path::{Path, PathBuf};

use super::Lsn;
use super::frame::{self, FORMAT_VERSION, Frame, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::event::{EventBatch, EventSchema};
use crate::storage::error::{Error, Result};
use crate::storage::vfs::{self, Vfs};

const ADVICE: &str = "`hourglass verify` reports which events are affected and what can be done";

const NO_HEADER: &str = "the segment's header is not intact";

/// State of one segment after replay.
#[derive(Debug)]
pub struct Segment {
    pub sequence: u64,
    pub path: PathBuf,
    /// Offset of the end of the last intact frame; 0 if not even the header is intact.
    pub end: u64,
    /// Offset of the start of the last intact frame; 0 if there is none.
    pub last_frame: u64,
    pub file_len: u64,
    /// Time of the last write to the segment, in microseconds since the epoch.
    pub modified_us: i64,
    /// Last LSN in the segment, or its base LSN minus one.
    pub last_lsn: Lsn,
    pub frames: u64,
    /// Whether a torn write follows: the next frame begins at `end` but is not intact.
    pub torn: bool,
}

/// Result of a replay.
#[derive(Debug)]
pub struct Replay {
    pub segments: Vec<Segment>,
    /// LSN of the next event.
    pub next_lsn: Lsn,
    /// Number of events passed to `apply`.
    pub events: u64,
}

impl Replay {
    /// Returns the time of the last write to the oldest segment with events above `flushed`, in
    /// microseconds since the epoch.
    pub fn oldest_us(&self, flushed: Lsn) -> Option<i64> {
        let unflushed = |segment: &&Segment| segment.frames > 0 && segment.last_lsn > flushed;
        self.segments.iter().find(unflushed).map(|segment| segment.modified_us)
    }
}

pub fn segment_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:020}.wal"))
}

fn sequence_of(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

/// Returns the sequence numbers of the segments in `dir`, in order.
pub fn sequences(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let entries = match vfs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(Error::io(dir, "list the log's segments"))?,
    };
    let mut sequences: Vec<u64> =
        entries.iter().filter_map(|entry| sequence_of(&entry.name)).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

fn damaged(path: &Path, offset: u64, reason: impl Into<String>) -> Error {
    Error::Damaged { path: path.into(), offset, reason: reason.into(), advice: ADVICE }
}

/// Passes every frame with LSNs above `flushed` to `apply`, in order.
///
/// # Errors
/// [`Error::Damaged`] names the file and offset where acknowledged events are not what was written.
pub fn replay(
    vfs: &dyn Vfs,
    dir: &Path,
    schema: &EventSchema,
    flushed: Lsn,
    mut apply: impl FnMut(Lsn, EventBatch) -> Result<()>,
) -> Result<Replay> {
    let sequences = sequences(vfs, dir)?;
    let mut found = Replay { segments: Vec::new(), next_lsn: 0, events: 0 };
    for (i, &sequence) in sequences.iter().enumerate() {
        let path = segment_path(dir, sequence);
        let bytes = vfs::read_all(vfs, &path).map_err(Error::io(&path, "read"))?;
        let modified_us = vfs.metadata(&path).map_err(Error::io(&path, "read"))?.modified_us;
        let is_last = i + 1 == sequences.len();
        let Some(header) = header(&bytes, &path, sequence, is_last, flushed, &found)? else {
            found.segments.push(empty_segment(
                sequence,
                path,
                &bytes,
                found.next_lsn.max(flushed + 1),
            ));
            continue;
        };
        let segment =
            Segment { sequence, path, modified_us, ..new_segment(header.base_lsn, &bytes) };
        scan(&bytes, &header, segment, (schema, flushed), &mut found, &mut apply)?;
    }
    found.next_lsn = found.next_lsn.max(flushed + 1);
    Ok(found)
}

fn new_segment(base_lsn: Lsn, bytes: &[u8]) -> Segment {
    Segment {
        sequence: 0,
        path: PathBuf::new(),
        end: SEGMENT_HEADER_LEN as u64,
        last_frame: 0,
        file_len: bytes.len() as u64,
        modified_us: 0,
        last_lsn: base_lsn - 1,
        frames: 0,
        torn: false,
    }
}

fn empty_segment(sequence: u64, path: PathBuf, bytes: &[u8], next_lsn: Lsn) -> Segment {
    Segment { sequence, path, end: 0, torn: true, ..new_segment(next_lsn, bytes) }
}

/// Checks the header, and that the segment continues the one before. `None` if the creation of the
/// last segment was interrupted.
fn header(
    bytes: &[u8],
    path: &Path,
    sequence: u64,
    is_last: bool,
    flushed: Lsn,
    found: &Replay,
) -> Result<Option<SegmentHeader>> {
    let continues = if found.segments.is_empty() { flushed + 1 } else { found.next_lsn };
    let header = match SegmentHeader::decode(bytes) {
        Some(header) if header.version > FORMAT_VERSION => {
            return Err(Error::Config(format!(
                "{}: log format {} is newer than this hourglass reads ({FORMAT_VERSION}); run the newer version",
                path.display(),
                header.version
            )));
        }
        Some(header) if header.sequence == sequence => header,
        // A recycled file keeps its former header until the new one is written, and has no frames
        // of this segment before that.
        Some(_) if is_last => return Ok(None),
        // Either the header was torn while being written, or it was lost later: then there are
        // frames.
        None if is_last => match frame::recover_header(bytes, sequence, continues) {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => return Err(damaged(path, 0, NO_HEADER)),
            Err(reason) => return Err(damaged(path, 0, reason)),
        },
        _ => return Err(damaged(path, 0, NO_HEADER)),
    };
    if header.base_lsn > continues.max(flushed + 1) {
        let (at, offset) = match found.segments.last() {
            Some(before) => (&*before.path, before.end),
            None => (path, 0),
        };
        let missing = header.base_lsn - continues;
        return Err(damaged(
            at,
            offset,
            format!("{missing} events are missing, from LSN {continues} on"),
        ));
    }
    if !found.segments.is_empty() && header.base_lsn < found.next_lsn {
        // Creating this segment was reported as failed, and the log continued in the one before.
        if is_last && frame::find_next(bytes, SEGMENT_HEADER_LEN, &header, 1).is_none() {
            return Ok(None);
        }
        return Err(damaged(
            path,
            24,
            format!("the segment begins at LSN {}, which an earlier segment has", header.base_lsn),
        ));
    }
    Ok(Some(header))
}

fn scan(
    bytes: &[u8],
    header: &SegmentHeader,
    mut segment: Segment,
    (schema, flushed): (&EventSchema, Lsn),
    found: &mut Replay,
    apply: &mut impl FnMut(Lsn, EventBatch) -> Result<()>,
) -> Result<()> {
    let mut offset = segment.end as usize;
    let mut next_lsn = segment.last_lsn + 1;
    while let Some(frame) = Frame::decode(&bytes[offset..], header) {
        if frame.first_lsn != next_lsn || frame.count == 0 {
            return Err(damaged(
                &segment.path,
                offset as u64,
                format!("expected LSN {next_lsn}, found {}", frame.first_lsn),
            ));
        }
        if frame.first_lsn <= flushed && frame.end_lsn() > flushed + 1 {
            return Err(damaged(&segment.path, offset as u64, "the frame was only partly flushed"));
        }
        if frame.first_lsn > flushed {
            let events = frame
                .events(schema)
                .map_err(|reason| damaged(&segment.path, offset as u64, reason))?;
            found.events += events.len() as u64;
            apply(frame.first_lsn, events)?;
        }
        next_lsn = frame.end_lsn();
        segment.last_frame = offset as u64;
        offset += frame.encoded_len();
        segment.frames += 1;
    }
    if frame::find_next(bytes, offset, header, next_lsn).is_some() {
        return Err(damaged(&segment.path, offset as u64, "intact frames follow a damaged one"));
    }
    segment.torn = frame::begins(&bytes[offset..], header, next_lsn);
    segment.end = offset as u64;
    segment.last_lsn = next_lsn - 1;
    found.next_lsn = next_lsn;
    found.segments.push(segment);
    Ok(())
}
