//! Survey of a damaged log that replay refuses: which events survive, and which do not.

use std::path::{Path, PathBuf};

use super::Lsn;
use super::frame::{self, Frame, SEGMENT_HEADER_LEN, SegmentHeader};
use super::replay::{segment_path, sequences};
use crate::storage::error::{Error, Result};
use crate::storage::vfs::{self, Vfs};

/// Intact frames of one segment with consecutive LSNs; a header alone is a run without frames.
#[derive(Debug)]
pub struct Run {
    pub path: PathBuf,
    pub frames: u64,
    pub first_lsn: Lsn,
    /// LSN after the run's last.
    pub end_lsn: Lsn,
}

/// Returns the runs of every segment, in order, skipping damage between them; `flushed` is the last
/// LSN in the table.
pub fn survey(vfs: &dyn Vfs, dir: &Path, flushed: Lsn) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for sequence in sequences(vfs, dir)? {
        let path = segment_path(dir, sequence);
        let bytes = vfs::read_all(vfs, &path).map_err(Error::io(&path, "read"))?;
        let run = |first_lsn| Run { path: path.clone(), frames: 0, first_lsn, end_lsn: first_lsn };
        let header = SegmentHeader::decode(&bytes).filter(|header| header.sequence == sequence);
        let mut current = header.map(|header| run(header.base_lsn));
        let due = runs.last().map_or(flushed + 1, |run: &Run| run.end_lsn);
        let recovered = || frame::recover_header(&bytes, sequence, due).ok().flatten();
        let Some(header) = header.or_else(recovered) else { continue };
        let mut offset = SEGMENT_HEADER_LEN;
        while let Some(at) = frame::find_next(&bytes, offset, &header, 1) {
            let found = Frame::decode(&bytes[at..], &header).expect("it was found intact");
            if current.as_ref().is_none_or(|current| current.end_lsn != found.first_lsn) {
                runs.extend(current.replace(run(found.first_lsn)));
            }
            let current = current.as_mut().expect("just made");
            (current.end_lsn, current.frames) = (found.end_lsn(), current.frames + 1);
            offset = at + found.encoded_len();
        }
        runs.extend(current);
    }
    Ok(runs)
}

/// Returns the gaps, as first and last LSN, between the runs: the LSNs above `flushed` that no run
/// has, up to the last that one has.
pub fn lost(runs: &[Run], flushed: Lsn) -> Vec<(Lsn, Lsn)> {
    let mut spans: Vec<(Lsn, Lsn)> = runs.iter().map(|run| (run.first_lsn, run.end_lsn)).collect();
    spans.sort_unstable();
    let mut due = flushed + 1;
    let mut gaps = Vec::new();
    for (first, end) in spans {
        if first > due {
            gaps.push((due, first - 1));
        }
        due = due.max(end);
    }
    gaps
}
