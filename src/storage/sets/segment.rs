//! Segment: a file of sets, written once.
//!
//! ```text
//! magic                8 bytes  "HGSETS01"
//! index                u64      identity of the index of names that the codes are of
//! sets                          packed sets, one after another
//! entries                       what the sets are of
//! length of entries    u64
//! CRC-32C of entries   u32      over `index` and the entries
//! magic                8 bytes  again
//! ```
//!
//! An entry has a level (u8: 0 a data file, 1 a day, 2 a month), a period (i64: hours, days or months
//! since January 1970), the sources (u64 files, u64 digest) and the number of its kinds (u8); then
//! for each kind its code (u8), the number of users (u64), and where the packed set is: offset (u64),
//! length (u32), CRC-32C (u32). All numbers are little-endian. A segment is named by its number in
//! 16 hexadecimal digits; it is synced before it has that name, and replaced by none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::code::KindSets;
use super::packing::{pack, unpack};
use crate::event::EventKind;
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};
use crate::storage::vfs::{Vfs, VfsFile};

const MAGIC: &[u8; 8] = b"HGSETS01";
const HEADER: u64 = 16;
const FOOTER: u64 = 20;
const EXTENSION: &str = ".sets";

/// Name of a segment that is being written.
const TEMPORARY: &str = "new.tmp";

const ADVICE: &str = "Sets are derived: remove the file, and the next start makes them again";

/// What a set is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    File,
    Day,
    Month,
}

impl Level {
    const ALL: [Level; 3] = [Level::File, Level::Day, Level::Month];
}

/// Where the packed set of one kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: EventKind,
    /// Number of users.
    pub users: u64,
    offset: u64,
    len: u32,
    crc: u32,
}

/// The sets of a file, a day or a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position among the entries of its segment.
    pub at: usize,
    pub level: Level,
    pub period: i64,
    /// The data files whose users these are.
    pub sources: SourceSet,
    pub kinds: Vec<Place>,
}

impl Entry {
    /// Returns the bytes of the packed sets.
    pub fn bytes(&self) -> u64 {
        self.kinds.iter().map(|place| u64::from(place.len)).sum()
    }
}

/// A segment, open for reading: it stays readable after its file has been removed.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    pub index: u64,
    pub bytes: u64,
    pub entries: Vec<Entry>,
    file: Arc<dyn VfsFile>,
    path: Arc<Path>,
}

/// Returns the file name of a segment.
pub fn name(number: u64) -> String {
    format!("{number:016x}{EXTENSION}")
}

/// Returns the number of the segment with this file name.
pub fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

impl Segment {
    pub fn open(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Segment> {
        let file = vfs.open(path).map_err(Error::io(path, "open"))?;
        let read = |offset: u64, len: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, offset).map_err(unread(path, offset))?;
            Ok(bytes)
        };
        let bytes = file.size().map_err(Error::io(path, "read"))?;
        if bytes < HEADER + FOOTER {
            return Err(damaged(path, 0, "it is too short"));
        }
        let (header, footer) = (read(0, HEADER)?, read(bytes - FOOTER, FOOTER)?);
        let len = u64::from_le_bytes(footer[..8].try_into().expect("eight bytes"));
        let crc = u32::from_le_bytes(footer[8..12].try_into().expect("four bytes"));
        if &header[..8] != MAGIC || &footer[12..] != MAGIC || len > bytes - HEADER - FOOTER {
            return Err(damaged(path, 0, "it does not begin or end as a segment does"));
        }
        let start = bytes - FOOTER - len;
        let text = read(start, len)?;
        if checksum(&header[8..], &text) != crc {
            return Err(damaged(path, start, "the checksum of its entries is wrong"));
        }
        let index = u64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
        let entries = entries(&text, start)
            .ok_or_else(|| damaged(path, start, "its entries cannot be read"))?;
        Ok(Segment { number, index, bytes, entries, file, path: path.into() })
    }

    /// Returns the packed set at a place of this segment.
    pub fn packed(&self, place: &Place) -> Result<Vec<u8>> {
        let mut packed = vec![0; place.len as usize];
        self.file
            .read_exact_at(&mut packed, place.offset)
            .map_err(unread(&self.path, place.offset))?;
        if crc32c::crc32c(&packed) != place.crc {
            return Err(damaged(&self.path, place.offset, "the checksum of a set is wrong"));
        }
        Ok(packed)
    }

    pub fn read(&self, place: &Place) -> Result<RoaringTreemap> {
        let set = unpack(&self.packed(place)?).filter(|set| set.len() == place.users);
        set.ok_or_else(|| damaged(&self.path, place.offset, "a set cannot be read"))
    }
}

/// A segment being written, under a temporary name.
#[derive(Debug)]
pub struct SegmentWriter {
    vfs: Arc<dyn Vfs>,
    temporary: PathBuf,
    path: PathBuf,
    number: u64,
    index: u64,
    file: Arc<dyn VfsFile>,
    end: u64,
    entries: Vec<u8>,
}

impl SegmentWriter {
    pub fn create(vfs: Arc<dyn Vfs>, dir: &Path, number: u64, index: u64) -> Result<SegmentWriter> {
        let (path, temporary) = (dir.join(name(number)), dir.join(TEMPORARY));
        let file = vfs.create(&temporary).map_err(Error::io(&temporary, "write"))?;
        let entries = Vec::new();
        let mut writer =
            SegmentWriter { vfs, temporary, path, number, index, file, end: 0, entries };
        writer.write(MAGIC)?;
        writer.write(&index.to_le_bytes())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.end).map_err(Error::io(&self.temporary, "write"))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn begin(&mut self, level: Level, period: i64, sources: SourceSet, kinds: usize) {
        self.entries.push(level as u8);
        self.entries.extend(period.to_le_bytes());
        self.entries.extend(sources.files.to_le_bytes());
        self.entries.extend(sources.digest.to_le_bytes());
        self.entries.push(u8::try_from(kinds).expect("fewer kinds than a byte counts"));
    }

    fn put(&mut self, kind: EventKind, users: u64, packed: &[u8]) -> Result<()> {
        self.entries.push(kind.code());
        self.entries.extend(users.to_le_bytes());
        self.entries.extend(self.end.to_le_bytes());
        self.entries.extend((packed.len() as u32).to_le_bytes());
        self.entries.extend(crc32c::crc32c(packed).to_le_bytes());
        self.write(packed)
    }

    /// Adds sets.
    pub fn add(
        &mut self,
        level: Level,
        period: i64,
        sources: SourceSet,
        sets: &KindSets,
    ) -> Result<()> {
        self.begin(level, period, sources, sets.len());
        sets.iter().try_for_each(|(kind, set)| self.put(*kind, set.len(), &pack(set)))
    }

    /// Copies the sets of an entry of another segment.
    pub fn copy(&mut self, from: &Segment, entry: &Entry) -> Result<()> {
        self.begin(entry.level, entry.period, entry.sources, entry.kinds.len());
        entry
            .kinds
            .iter()
            .try_for_each(|place| self.put(place.kind, place.users, &from.packed(place)?))
    }

    /// Ends the file, makes it durable under its name, and opens it.
    pub fn finish(mut self) -> Result<Segment> {
        let crc = checksum(&self.index.to_le_bytes(), &self.entries);
        let mut end = std::mem::take(&mut self.entries);
        end.extend((end.len() as u64).to_le_bytes());
        end.extend(crc.to_le_bytes());
        end.extend(MAGIC);
        self.write(&end)?;
        self.file.sync_data().map_err(Error::io(&self.temporary, "sync"))?;
        self.vfs.rename(&self.temporary, &self.path).map_err(Error::io(&self.path, "name"))?;
        Segment::open(&*self.vfs, &self.path, self.number)
    }
}

fn checksum(index: &[u8], entries: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(index), entries)
}

/// Returns a function that turns the error of a read into ours: a file that ends too early is
/// damaged.
fn unread(path: &Path, offset: u64) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, offset, "it ends before the bytes read"),
        _ => Error::io(path, "read")(error),
    }
}

fn damaged(path: &Path, offset: u64, reason: &str) -> Error {
    Error::Damaged { path: path.into(), offset, reason: reason.into(), advice: ADVICE }
}

/// Parses the entries of a segment whose sets end at `end`.
fn entries(mut text: &[u8], end: u64) -> Option<Vec<Entry>> {
    fn take<const N: usize>(text: &mut &[u8]) -> Option<[u8; N]> {
        let (first, rest) = text.split_first_chunk()?;
        *text = rest;
        Some(*first)
    }
    let mut entries = Vec::new();
    while !text.is_empty() {
        let [level] = take(&mut text)?;
        let level = *Level::ALL.get(usize::from(level))?;
        let period = i64::from_le_bytes(take(&mut text)?);
        let files = u64::from_le_bytes(take(&mut text)?);
        let digest = u64::from_le_bytes(take(&mut text)?);
        let [count] = take(&mut text)?;
        let mut kinds = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let [kind] = take(&mut text)?;
            let users = u64::from_le_bytes(take(&mut text)?);
            let offset = u64::from_le_bytes(take(&mut text)?);
            let len = u32::from_le_bytes(take(&mut text)?);
            let crc = u32::from_le_bytes(take(&mut text)?);
            if offset.checked_add(u64::from(len))? > end {
                return None;
            }
            kinds.push(Place { kind: EventKind::of_code(kind), users, offset, len, crc });
        }
        entries.push(Entry {
            at: entries.len(),
            level,
            period,
            sources: SourceSet { files, digest },
            kinds,
        });
    }
    Some(entries)
}
