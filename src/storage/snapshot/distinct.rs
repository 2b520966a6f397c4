//! Exact distinct users of hours that lie in several places: late events in memory beside a file,
//! or many files.
//!
//! The first query of such an hour reads its files' users (they are sorted, so each user is read
//! once per file) and unites them with those in memory. The union is cached and later queries add
//! only the users that arrived since, so an hour with late events is as fast as any other. The
//! union records, per source and in order, how many users each source added. As the users in memory
//! are coded in order of arrival, it gives the exact count for every recent snapshot, not just for
//! the newest.
//!
//! The cache is limited by bytes; the least recently used union is evicted first.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hashbrown::HashMap;
use object_store::ObjectStore;
use object_store::path::Path as Location;

use super::sources::HourSources;
use crate::hour::Hour;
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};
use crate::storage::lake::data_file;
use crate::storage::memory::dictionary::Interner;
use crate::storage::store::{self, blocking};

/// Cache of unions.
#[derive(Debug)]
pub struct DistinctUsers {
    limit_bytes: u64,
    /// A mutex held to look up or insert a union, never while one is computed.
    unions: Mutex<Unions>,
}

#[derive(Debug, Default)]
struct Unions {
    by_hour: HashMap<Hour, Kept>,
    /// Total bytes of the unions.
    bytes: u64,
    /// Counts uses, for `last_used`.
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    union: Arc<Mutex<Union>>,
    bytes: u64,
    last_used: u64,
}

#[derive(Debug)]
struct Part {
    /// The source: a single file, in memory or in the table.
    source: SourceSet,
    /// How many of the source's users have been added.
    seen: usize,
    /// Codes of those users that no earlier source has, ascending; `None` for a source read from a
    /// file, where users have no codes.
    new_codes: Option<Vec<u32>>,
    new_users: u64,
}

impl Part {
    /// Returns how many users the first `len` users of the source added.
    fn added_by(&self, len: usize) -> Option<u64> {
        if len >= self.seen {
            return Some(self.new_users);
        }
        let codes = self.new_codes.as_ref()?;
        Some(codes.partition_point(|&code| (code as usize) < len) as u64)
    }
}

/// Union of one hour's users.
#[derive(Debug, Default)]
struct Union {
    users: Interner,
    parts: Vec<Part>,
}

/// A source in a snapshot, and the number of its users there. For a file this is the final number
/// of users of its generation, including those carried over from earlier ones.
struct Asked<'a> {
    source: SourceSet,
    len: usize,
    table: Option<&'a crate::storage::memory::memtable::HourTable>,
    file: Option<&'a Location>,
}

fn asked(sources: &HourSources) -> Vec<Asked<'_>> {
    let files = sources.files.iter().flat_map(|hour| &hour.files).map(|file| Asked {
        source: file.rollup.sources,
        len: file.rollup.users.n.max(file.hour.n) as usize,
        table: None,
        file: Some(&file.location),
    });
    let tables = sources.tables.iter().map(|table| Asked {
        source: table.source,
        len: table.users.len(),
        table: Some(table),
        file: None,
    });
    files.chain(tables).collect()
}

impl Union {
    /// Returns the distinct users of the sources, adding new users from memory; `None` if a file
    /// must be read.
    fn answer(&mut self, asked: &[Asked<'_>]) -> Option<u64> {
        let mut total = 0;
        for (i, asked) in asked.iter().enumerate() {
            match self.parts.get(i) {
                Some(part) if part.source != asked.source => return None,
                Some(part) if part.seen >= asked.len => {}
                // Only the last part may grow: later parts count the users it lacked as their own.
                Some(_) if i + 1 < self.parts.len() => return None,
                _ => self.absorb(i, asked)?,
            }
            total += self.parts[i].added_by(asked.len)?;
        }
        Some(total)
    }

    fn absorb(&mut self, i: usize, asked: &Asked<'_>) -> Option<()> {
        let table = asked.table?;
        if i == self.parts.len() {
            self.parts.push(Part {
                source: asked.source,
                seen: 0,
                new_codes: Some(Vec::new()),
                new_users: 0,
            });
        }
        let part = &mut self.parts[i];
        let new_codes = part.new_codes.as_mut()?;
        for (code, name) in (part.seen as u32..).zip(table.users.iter_from(part.seen)) {
            if self.users.intern(name).1 {
                new_codes.push(code);
            }
        }
        part.seen = table.users.len();
        part.new_users = new_codes.len() as u64;
        Some(())
    }

    /// Adds the users of a file.
    fn read(&mut self, source: SourceSet, len: usize, parquet: Bytes) -> Result<()> {
        let before = self.users.len() as u64;
        data_file::read_users(parquet, &mut self.users)?;
        let new_users = self.users.len() as u64 - before;
        self.parts.push(Part { source, seen: len, new_codes: None, new_users });
        Ok(())
    }
}

impl DistinctUsers {
    pub fn new(limit_bytes: u64) -> DistinctUsers {
        DistinctUsers { limit_bytes, unions: Mutex::default() }
    }

    /// Returns the distinct users of the sources; `None` if the hour's union is not cached or a
    /// file must be read.
    pub fn known(&self, hour: Hour, sources: &HourSources) -> Option<u64> {
        let union = self.find(hour)?;
        let (answer, bytes) = {
            let mut union = union.lock().expect("no panic under this lock");
            (union.answer(&asked(sources)), union.users.bytes())
        };
        self.weigh(hour, bytes);
        answer
    }

    /// Returns the distinct users of the sources, reading their files; caches the union.
    pub async fn unite(
        &self,
        hour: Hour,
        sources: &HourSources,
        store: &dyn ObjectStore,
    ) -> Result<u64> {
        let mut union = Union::default();
        for (i, asked) in asked(sources).iter().enumerate() {
            let Some(location) = asked.file else {
                union.absorb(i, asked).expect("what is no file is in memory");
                continue;
            };
            let (source, len) = (asked.source, asked.len);
            let parquet = store::read(store, location).await?;
            union = blocking(move || {
                union.read(source, len, parquet)?;
                Ok::<_, Error>(union)
            })
            .await
            .map_err(|_| Error::Closed)??;
        }
        let total = union.users.len() as u64;
        self.keep(hour, union);
        Ok(total)
    }

    /// Forgets all unions.
    pub fn clear(&self) {
        *self.unions.lock().expect("no panic under this lock") = Unions::default();
    }

    fn find(&self, hour: Hour) -> Option<Arc<Mutex<Union>>> {
        let mut unions = self.unions.lock().expect("no panic under this lock");
        unions.clock += 1;
        let clock = unions.clock;
        let kept = unions.by_hour.get_mut(&hour)?;
        kept.last_used = clock;
        Some(kept.union.clone())
    }

    fn keep(&self, hour: Hour, union: Union) {
        let bytes = union.users.bytes();
        let mut unions = self.unions.lock().expect("no panic under this lock");
        unions.clock += 1;
        let kept = Kept { union: Arc::new(Mutex::new(union)), bytes: 0, last_used: unions.clock };
        let replaced = unions.by_hour.insert(hour, kept);
        unions.bytes -= replaced.map_or(0, |kept| kept.bytes);
        drop(unions);
        self.weigh(hour, bytes);
    }

    /// Updates the size of an hour's union, and evicts the least recently used others while the
    /// total exceeds the limit.
    fn weigh(&self, hour: Hour, bytes: u64) {
        let mut unions = self.unions.lock().expect("no panic under this lock");
        let Some(kept) = unions.by_hour.get_mut(&hour).filter(|kept| kept.bytes != bytes) else {
            return;
        };
        let before = std::mem::replace(&mut kept.bytes, bytes);
        unions.bytes = unions.bytes - before + bytes;
        while unions.bytes > self.limit_bytes && unions.by_hour.len() > 1 {
            let others = unions.by_hour.iter().filter(|(other, _)| **other != hour);
            let oldest = *others.min_by_key(|(_, kept)| kept.last_used).expect("more than one").0;
            let gone = unions.by_hour.remove(&oldest).expect("just seen");
            unions.bytes -= gone.bytes;
        }
    }
}
