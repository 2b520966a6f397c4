//! Exact distinct users of hours that lie in several places: late events in memory beside a file,
//! or many files.
//!
//! The first question about such an hour reads its files' users (they are sorted, so each is met
//! once) and unites them with those in memory. The union is kept and later questions add only the
//! users that arrived since, so an hour with late events is as quick as any other. It is kept per
//! source, in order: how many users each source added. As memory's users are coded in order of
//! arrival, the union answers exactly for every recent snapshot, not just for the newest.
//!
//! Unions are bounded by bytes; the least recently asked for goes first.

use std::sync::{Arc, Mutex};

use hashbrown::HashMap;
use object_store::path::Path as Location;

use super::sources::HourSources;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::rollup::SourceSet;
use crate::storage::lake::data_file;
use crate::storage::memory::users::UserIndex;
use crate::storage::store::VfsStore;

/// The unions kept.
#[derive(Debug)]
pub struct DistinctUsers {
    limit_bytes: u64,
    /// A mutex held to find or place a union, never while one is computed.
    unions: Mutex<Unions>,
}

#[derive(Debug, Default)]
struct Unions {
    by_hour: HashMap<Hour, Kept>,
    /// Bytes of all of them.
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
    /// What it came from: the one file, in memory or in the table.
    source: SourceSet,
    /// How many of the source's users have been looked at.
    seen: usize,
    /// Which of those no earlier source has, ascending; nothing for what was read from a file,
    /// where users have no codes.
    new_codes: Option<Vec<u32>>,
    new_users: u64,
}

impl Part {
    /// Users added by the first `len` of the source's users.
    fn added_by(&self, len: usize) -> Option<u64> {
        if len >= self.seen {
            return Some(self.new_users);
        }
        let codes = self.new_codes.as_ref()?;
        Some(codes.partition_point(|&code| (code as usize) < len) as u64)
    }
}

/// The union of one hour's users.
#[derive(Debug, Default)]
struct Union {
    users: UserIndex,
    parts: Vec<Part>,
}

/// A source of a snapshot, and how many users it has there. A generation has as many in its file as
/// it had in the end, those of earlier ones that went on in it among them.
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
    /// The distinct users of the sources, after a look at those of memory that are new; nothing
    /// when a file must be read.
    fn answer(&mut self, asked: &[Asked<'_>]) -> Option<u64> {
        let mut total = 0;
        for (i, asked) in asked.iter().enumerate() {
            match self.parts.get(i) {
                Some(part) if part.source != asked.source => return None,
                Some(part) if part.seen >= asked.len => {}
                // Only the last part may grow: later ones count what it lacked as theirs.
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

    fn read_file(
        &mut self,
        asked: &Asked<'_>,
        location: &Location,
        store: &VfsStore,
    ) -> Result<()> {
        let before = self.users.len() as u64;
        let bytes = store.read(location).map_err(Error::io(location.to_string(), "read"))?;
        data_file::read_users(bytes, &mut self.users)?;
        let new_users = self.users.len() as u64 - before;
        self.parts.push(Part { source: asked.source, seen: asked.len, new_codes: None, new_users });
        Ok(())
    }
}

impl DistinctUsers {
    pub fn new(limit_bytes: u64) -> DistinctUsers {
        DistinctUsers { limit_bytes, unions: Mutex::default() }
    }

    /// Distinct users of the sources, when the hour's union is kept and no file need be read.
    pub fn known(&self, hour: Hour, sources: &HourSources) -> Option<u64> {
        let union = self.find(hour)?;
        let (answer, bytes) = {
            let mut union = union.lock().expect("no panic under this lock");
            (union.answer(&asked(sources)), union.users.bytes())
        };
        self.weigh(hour, bytes);
        answer
    }

    /// Distinct users of the sources, reading their files.
    pub async fn unite(
        self: &Arc<Self>,
        hour: Hour,
        sources: &HourSources,
        store: &VfsStore,
    ) -> Result<u64> {
        let (this, sources, store) = (self.clone(), sources.clone(), store.clone());
        let work = move || this.unite_blocking(hour, &sources, &store);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|_| Error::Closed)?,
            Err(_) => work(),
        }
    }

    fn unite_blocking(&self, hour: Hour, sources: &HourSources, store: &VfsStore) -> Result<u64> {
        let asked = asked(sources);
        let mut union = Union::default();
        for (i, one) in asked.iter().enumerate() {
            match one.file {
                Some(location) => union.read_file(one, location, store)?,
                None => union.absorb(i, one).expect("what is no file is in memory"),
            }
        }
        let total = union.users.len() as u64;
        self.keep(hour, union);
        Ok(total)
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

    /// Notes what an hour's union weighs now, and lets the least recently used others go while all
    /// are over the limit.
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
