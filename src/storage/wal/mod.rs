//! Write-ahead log: makes acknowledged events survive a power cut.
//!
//! A log is a folder of segments `NNNNNNNNNNNNNNNNNNNN.wal`, numbered upwards; [`frame`] has the
//! byte format. The single writer appends one frame for all queued events and syncs it once
//! ([`Wal::append`]). Segments whose events are all flushed become spares, which later segments
//! overwrite: syncs are fastest when writing into existing blocks.
//!
//! The log does not know what the events mean (the memtable does), nor which are flushed (the Delta
//! table's `txn` does).

mod frame;
mod replay;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use self::frame::{SEGMENT_HEADER_LEN, SegmentHeader};
pub use self::replay::{Replay, replay};
pub use self::survey::{Run, lost, survey};
use crate::event::{EventBatch, EventSchema};
use crate::storage::error::{Error, Result};
use crate::storage::vfs::{Entry, Vfs, VfsFile};

/// Log sequence number: position of an event in the write-ahead log; the first is 1.
pub type Lsn = u64;

/// Folder of the log, relative to the data directory.
pub const WAL_DIR: &str = "wal";

/// Maximum number of spare segments; more are removed.
const SPARES: usize = 2;

/// Maximum number of bytes written to find out whether there is space again.
const PROBE_BYTES: usize = 1 << 20;

/// Writing end of the log. Owned by the writer thread alone.
#[derive(Debug)]
pub struct Wal {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    schema: EventSchema,
    segment_bytes: u64,
    segment: SegmentHeader,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    offset: u64,
    next_lsn: Lsn,
    /// Buffer for the frame being written; kept for its capacity.
    buffer: Vec<u8>,
    /// The step at which the last failed append failed.
    failed: Step,
    closed: Arc<ClosedSegments>,
}

/// Step of an append.
#[derive(Clone, Copy, Debug)]
enum Step {
    Rotate,
    /// Write of this many bytes.
    Write(usize),
}

/// Segments that are no longer written to. Shared between the writer, which closes segments and
/// takes spares, and the committer, which releases segments and prepares spares. The mutex is held
/// for a push or pop of a list and, when segments are released, for their renames.
#[derive(Debug)]
pub struct ClosedSegments {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    segment_bytes: u64,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    closed: VecDeque<Closed>,
    spares: Vec<PathBuf>,
    /// Spares whose names are not durable yet.
    recycled: Vec<PathBuf>,
    spares_made: u64,
    /// Whether released segments are removed, not kept as spares with what they hold.
    no_recycling: bool,
}

#[derive(Debug)]
struct Closed {
    path: PathBuf,
    last_lsn: Lsn,
}

impl Wal {
    /// Opens the log for writing after `replayed`: cuts off the torn tail, makes what was replayed
    /// durable and starts a new segment.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        schema: &EventSchema,
        segment_bytes: u64,
        replayed: Replay,
    ) -> Result<Wal> {
        vfs.create_dir_all(dir).map_err(Error::io(dir, "create"))?;
        let mut lists = Lists { spares: spares(&*vfs, dir)?, ..Lists::default() };
        lists.spares_made = lists.spares.len() as u64;
        let sequence = replayed.segments.last().map_or(1, |last| last.sequence + 1);
        // The tail is in the last segment with an intact header; a segment after it has none, and
        // holds nothing.
        let tail = replayed.segments.iter().rposition(|segment| segment.end > 0);
        for (i, segment) in replayed.segments.into_iter().enumerate() {
            if Some(i) >= tail {
                cut_tail(&*vfs, &segment)?;
            }
            if segment.end > 0 {
                lists.closed.push_back(Closed { path: segment.path, last_lsn: segment.last_lsn });
            }
        }
        let closed = Arc::new(ClosedSegments {
            vfs: vfs.clone(),
            dir: dir.into(),
            segment_bytes,
            lists: Mutex::new(lists),
        });
        let next_lsn = replayed.next_lsn;
        let segment = SegmentHeader::new(schema, sequence, next_lsn);
        let (path, file) = start_segment(&*vfs, dir, &closed, &segment)?;
        let offset = SEGMENT_HEADER_LEN as u64;
        Ok(Wal {
            vfs,
            dir: dir.into(),
            schema: schema.clone(),
            segment_bytes,
            segment,
            path,
            file,
            offset,
            next_lsn,
            buffer: Vec::new(),
            failed: Step::Write(1),
            closed,
        })
    }

    /// Writes `batch` as one frame and syncs it; returns the LSN of its last event.
    ///
    /// # Errors
    /// After an error that reports a limit such as a full disk or no descriptors left, except from
    /// a sync or from undoing a write, nothing of the batch is in the log. After any other error
    /// the log's end is unknown: the caller must not append again, nor retry the sync.
    pub fn append(&mut self, batch: &EventBatch) -> Result<Lsn> {
        if self.offset > SEGMENT_HEADER_LEN as u64
            && self.offset + batch.byte_len() as u64 > self.segment_bytes
        {
            self.failed = Step::Rotate;
            self.rotate()?;
        }
        let first = self.next_lsn;
        frame::encode(&mut self.buffer, &self.segment, first, batch);
        self.failed = Step::Write(self.buffer.len());
        if let Err(cause) = self.file.write_all_at(&self.buffer, self.offset) {
            return Err(self.undo_write(cause));
        }
        self.file.sync_data().map_err(Error::io(&self.path, "sync"))?;
        self.offset += self.buffer.len() as u64;
        self.next_lsn += batch.len() as u64;
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        Ok(self.next_lsn - 1)
    }

    /// Cuts off a partly written frame: its events are refused, and must not be read back. Cutting
    /// needs no space, where zeros would. An error here replaces the cause, as the log's end is
    /// then uncertain.
    fn undo_write(&self, cause: io::Error) -> Error {
        match self.file.set_len(self.offset).and_then(|()| self.file.sync_data()) {
            Ok(()) => Error::io(&self.path, "write")(cause),
            Err(error) => Error::io(&self.path, "undo a write")(io::Error::other(error)),
        }
    }

    /// Retries the step at which the last append failed, without its events: starts the next
    /// segment, or writes as many bytes (up to a limit) after the log's end and cuts them off
    /// again. If a crash in between leaves them there, they are not a frame.
    pub fn probe(&mut self) -> Result<()> {
        let Step::Write(len) = self.failed else { return self.rotate() };
        let zeros = vec![0; len.min(PROBE_BYTES)];
        let written = self.file.write_all_at(&zeros, self.offset);
        let cut = self.file.set_len(self.offset);
        written.and(cut).map_err(Error::io(&self.path, "write"))
    }

    fn rotate(&mut self) -> Result<()> {
        let segment = SegmentHeader::new(&self.schema, self.segment.sequence + 1, self.next_lsn);
        let (path, file) = start_segment(&*self.vfs, &self.dir, &self.closed, &segment)?;
        let last_lsn = self.next_lsn - 1;
        self.closed
            .lock()
            .closed
            .push_back(Closed { path: std::mem::replace(&mut self.path, path), last_lsn });
        (self.segment, self.file, self.offset) = (segment, file, SEGMENT_HEADER_LEN as u64);
        Ok(())
    }

    /// Closes the segment if it holds events, so that a flush of all of them can release it.
    pub fn rotate_if_used(&mut self) -> Result<()> {
        if self.offset > SEGMENT_HEADER_LEN as u64 { self.rotate() } else { Ok(()) }
    }

    /// Continues in a new segment that has nothing of earlier ones, not even after its end.
    /// Released segments are removed from then on, until [`ClosedSegments::recycle_again`].
    pub fn renew(&mut self) -> Result<()> {
        self.closed.lock().no_recycling = true;
        self.closed.remove_spares()?;
        self.rotate()
    }

    /// Returns the sequence number of the segment being written.
    pub fn sequence(&self) -> u64 {
        self.segment.sequence
    }

    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    pub fn closed_segments(&self) -> Arc<ClosedSegments> {
        self.closed.clone()
    }
}

impl ClosedSegments {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().expect("no panic under this lock")
    }

    /// Releases the segments whose events are all at or below `flushed`, oldest first, so that a
    /// crash in between leaves no gap.
    pub fn release_through(&self, flushed: Lsn) -> Result<()> {
        let mut lists = self.lock();
        let mut changed = !lists.recycled.is_empty();
        while let Some(segment) = lists.closed.front().filter(|segment| segment.last_lsn <= flushed)
        {
            let path = segment.path.clone();
            if !lists.no_recycling && lists.spares.len() + lists.recycled.len() < SPARES {
                lists.spares_made += 1;
                let spare = self.spare_path(lists.spares_made);
                if is_there(self.vfs.rename(&path, &spare)).map_err(Error::io(&path, "recycle"))? {
                    lists.recycled.push(spare);
                }
            } else {
                is_there(self.vfs.remove_file(&path)).map_err(Error::io(&path, "remove"))?;
            }
            // Only if that has succeeded: otherwise the next release must find it here again.
            lists.closed.pop_front();
            changed = true;
        }
        if changed {
            self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))?;
        }
        // Only after the sync: a spare overwritten before its new name is durable could reappear as
        // the segment it was.
        let mut recycled = std::mem::take(&mut lists.recycled);
        lists.spares.append(&mut recycled);
        Ok(())
    }

    /// Removes the spares, which may hold what earlier segments held.
    fn remove_spares(&self) -> Result<()> {
        let mut lists = self.lock();
        while let Some(path) = lists.spares.last().or(lists.recycled.last()).cloned() {
            is_there(self.vfs.remove_file(&path)).map_err(Error::io(&path, "remove"))?;
            lists.spares.retain(|spare| *spare != path);
            lists.recycled.retain(|spare| *spare != path);
        }
        self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))
    }

    /// Releases the segments whose events are all flushed, and recycles segments again.
    pub fn recycle_again(&self, flushed: Lsn) -> Result<()> {
        self.release_through(flushed)?;
        self.lock().no_recycling = false;
        Ok(())
    }

    /// Creates a spare of zeros if there is none, so that the writer never has to.
    pub fn prepare_spare(&self) -> Result<()> {
        let spare = {
            let mut lists = self.lock();
            if !lists.spares.is_empty() {
                return Ok(());
            }
            lists.spares_made += 1;
            self.spare_path(lists.spares_made)
        };
        preallocate(&*self.vfs, &spare, self.segment_bytes)?;
        self.lock().spares.push(spare);
        Ok(())
    }

    fn spare_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.spare"))
    }
}

/// Reports whether the file to be removed or renamed existed; it may not if the reply to an earlier
/// attempt was lost.
fn is_there(gone: io::Result<()>) -> io::Result<bool> {
    match gone {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Preallocates a spare for the log's first segment if there is none, so that the first syncs, too,
/// are into existing blocks: a sync that extends a file takes twice as long. If the disk is too
/// full for that, events are still accepted.
pub fn prepare_first(vfs: &dyn Vfs, dir: &Path, segment_bytes: u64) {
    let prepare = || {
        vfs.create_dir_all(dir).map_err(Error::io(dir, "create"))?;
        if spares(vfs, dir)?.is_empty() {
            preallocate(vfs, &dir.join(format!("{:020}.spare", 1)), segment_bytes)
        } else {
            Ok(())
        }
    };
    if let Err(error) = prepare() {
        tracing::warn!(%error, "the first log segment is not preallocated");
    }
}

/// Writes a file of zeros. If that fails, removes it: on a full disk it would take the space that
/// events need.
fn preallocate(vfs: &dyn Vfs, path: &Path, len: u64) -> Result<()> {
    let file = vfs.create(path).map_err(Error::io(path, "create"))?;
    let zeros = vec![0; len.min(1 << 20) as usize];
    let write = || -> Result<()> {
        let mut offset = 0;
        while offset < len {
            let len = zeros.len().min((len - offset) as usize);
            file.write_all_at(&zeros[..len], offset).map_err(Error::io(path, "preallocate"))?;
            offset += len as u64;
        }
        file.sync_data().map_err(Error::io(path, "sync"))
    };
    write().inspect_err(|_| drop(vfs.remove_file(path)))
}

/// Returns the spares of an earlier run, renumbered by their names, and removes surplus ones.
fn spares(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = vfs.list(dir).map_err(Error::io(dir, "list"))?;
    let spares = entries.into_iter().filter(|entry| entry.name.ends_with(".spare"));
    let (keep, drop): (Vec<_>, Vec<_>) = spares.enumerate().partition(|(i, _)| *i < SPARES);
    for (_, entry) in drop {
        let path = dir.join(entry.name);
        vfs.remove_file(&path).map_err(Error::io(&path, "remove"))?;
    }
    let mut paths = Vec::new();
    for (i, entry) in keep {
        let (from, to) = (dir.join(entry.name), dir.join(format!("{:020}.spare", i + 1)));
        if from != to {
            vfs.rename(&from, &to).map_err(Error::io(&from, "rename"))?;
        }
        paths.push(to);
    }
    Ok(paths)
}

/// Information from a segment's name and header.
#[derive(Debug)]
pub struct SegmentInfo {
    pub name: String,
    /// LSN of its first event; `None` for a spare, or if the header cannot be read.
    pub first_lsn: Option<Lsn>,
    pub bytes: u64,
    /// Time of the last modification, in microseconds since the epoch.
    pub modified_us: i64,
}

/// Read-only access to the folder of a log.
#[derive(Clone, Debug)]
pub struct Folder {
    vfs: Arc<dyn Vfs>,
    dir: Arc<Path>,
}

impl Folder {
    /// Returns the log's folder below `data_dir`.
    pub fn below(data_dir: &Path, vfs: Arc<dyn Vfs>) -> Folder {
        Folder { vfs, dir: data_dir.join(WAL_DIR).into() }
    }

    /// Lists the segments by name, with or without a running writer. Blocks for a listing.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        let Folder { vfs, dir } = self;
        let entries = match vfs.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(Error::io(dir, "list the log's segments"))?,
        };
        let segment = |entry: Entry| {
            let first_lsn = entry.name.ends_with(".wal").then(|| {
                let mut header = [0; SEGMENT_HEADER_LEN];
                // The header of a segment that is released meanwhile cannot be read.
                let read = vfs
                    .open(&dir.join(&entry.name))
                    .and_then(|file| file.read_exact_at(&mut header, 0));
                read.ok()
                    .and_then(|()| SegmentHeader::decode(&header))
                    .map(|header| header.base_lsn)
            });
            let Entry { name, meta } = entry;
            SegmentInfo {
                name,
                first_lsn: first_lsn.flatten(),
                bytes: meta.len,
                modified_us: meta.modified_us,
            }
        };
        Ok(entries.into_iter().filter(|entry| !entry.meta.is_dir).map(segment).collect())
    }
}

fn cut_tail(vfs: &dyn Vfs, segment: &replay::Segment) -> Result<()> {
    if segment.torn {
        let (path, offset, bytes) =
            (segment.path.display(), segment.end, segment.file_len - segment.end);
        tracing::warn!(%path, offset, bytes, "the log is truncated before an incomplete write at its end; nothing acknowledged was in it");
    }
    if segment.end == 0 {
        // The segment's creation was interrupted: without a header it would be read as damage once
        // a later segment follows.
        vfs.remove_file(&segment.path).map_err(Error::io(&segment.path, "remove"))?;
        let dir = segment.path.parent().expect("it lies in the log's folder");
        return vfs.sync_dir(dir).map_err(Error::io(dir, "sync"));
    }
    let file = vfs.open_write(&segment.path).map_err(Error::io(&segment.path, "open"))?;
    file.set_len(segment.end).map_err(Error::io(&segment.path, "cut"))?;
    // IMPORTANT: the last frame is written again, not only synced. If the previous process ended
    // because its sync failed, what was read here may only be in the system's memory, yet marked as
    // written: a sync would do nothing, and report success. The frames before it were synced before
    // it was begun.
    let mut bytes = vec![0; (segment.end - segment.last_frame) as usize];
    file.read_exact_at(&mut bytes, segment.last_frame).map_err(Error::io(&segment.path, "read"))?;
    file.write_all_at(&bytes, segment.last_frame).map_err(Error::io(&segment.path, "write"))?;
    file.sync_data().map_err(Error::io(&segment.path, "sync"))
}

/// Creates a segment with its header, durable under its name, from a spare if there is one.
fn start_segment(
    vfs: &dyn Vfs,
    dir: &Path,
    closed: &ClosedSegments,
    header: &SegmentHeader,
) -> Result<(PathBuf, Arc<dyn VfsFile>)> {
    let path = replay::segment_path(dir, header.sequence);
    let spare = closed.lock().spares.pop();
    let start = || -> io::Result<Arc<dyn VfsFile>> {
        let file = match spare {
            Some(spare) => {
                // If the rename fails, it stays a spare.
                vfs.rename(&spare, &path).inspect_err(|_| closed.lock().spares.push(spare))?;
                vfs.open_write(&path)?
            }
            None => vfs.create(&path)?,
        };
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        vfs.sync_dir(dir)?;
        Ok(file)
    };
    let file = start().map_err(Error::io(&path, "start a log segment"))?;
    Ok((path, file))
}
