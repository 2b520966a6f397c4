//! Index of names: the code of every user, by the whole name.
//!
//! It is a [`redb`] database: a table `slot 0` from names to numbers, and a table `about` with the
//! identity of the index, the next number of the slot, and whether the file is complete. Names that
//! were looked up lately are in memory, with those that are not stored yet; both are bounded. Names
//! are stored before a set that has their codes, so that no set names a user that the index does not
//! know.
//!
//! To remove names, a new file is written without them, and the old one is removed: a page that is
//! freed in a database still has its bytes.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use roaring::RoaringTreemap;

use super::backend::{CopyBackend, FileBackend};
use super::code::{SLOT, code};
use crate::limit::Limit;
use crate::storage::error::{Error, Result};
use crate::storage::memory::dictionary::Interner;
use crate::storage::vfs::Vfs;
use crate::threads::catch_panic;

const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("slot 0");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// Keys of [`ABOUT`].
const ID: &str = "id";
const NEXT: &str = "next of slot 0";
const COMPLETE: &str = "complete";
const CLEANED_MS: &str = "cleaned at";

const ADVICE: &str = "The index is derived: it is made again from the data files";

/// Bytes of pages that the database keeps.
const PAGES_BYTES: usize = 32 << 20;

/// Bytes of names in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// Names in memory that are not stored yet, beyond which they are.
pub const PENDING_NAMES: usize = 1 << 18;

#[derive(Debug)]
pub struct Names {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    /// Identity of the index, by which a set says whose codes it has.
    pub id: u64,
    /// Held by who writes the database, before `inner`: names are looked up while it is written.
    writing: Mutex<()>,
    inner: Mutex<Inner>,
    /// Changes when names are removed: codes that were looked up before may be of no use.
    generation: AtomicU64,
    /// Held by those who keep codes for a while.
    leases: Arc<()>,
    len: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    number: u64,
    database: Arc<Open>,
    /// Number of changes of the stored names.
    changes: u64,
    /// The next number that no name has had.
    next: u32,
    cache: Interner,
    /// Codes of the names in the cache.
    codes: Vec<u32>,
    /// Places in the cache of the names that are not stored.
    pending: Vec<u32>,
}

impl Inner {
    /// Reports whether more is in memory than there should be, or than so many times that.
    fn exceeds(&self, times: usize) -> bool {
        self.pending.len() > times * PENDING_NAMES
            || self.cache.bytes() > times as u64 * CACHE_BYTES
    }

    /// Forgets the names that can be looked up in the database.
    fn forget_stored(&mut self) {
        let (cache, codes) = (std::mem::take(&mut self.cache), std::mem::take(&mut self.codes));
        for place in &mut self.pending {
            self.cache.intern(cache.name(*place));
            self.codes.push(codes[*place as usize]);
            *place = self.codes.len() as u32 - 1;
        }
    }
}

/// A database. Over a damaged file its end may panic, too.
#[derive(Debug)]
struct Open(Option<Database>);

impl Deref for Open {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.0.take();
        _ = catch_panic(|| drop(database));
    }
}

/// Returns a number that no state of any index of this process has had.
fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("names-{number:010}.redb"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("names-")?.strip_suffix(".redb")?.parse().ok()
}

/// Returns a function that turns an error of the database into ours.
fn failed<E: Into<redb::Error>>(dir: &Path) -> impl FnOnce(E) -> Error {
    let path = dir.to_path_buf();
    move |error| match error.into() {
        redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(&path, "it ends before the bytes read".into())
        }
        redb::Error::Io(source) => Error::Io { path, action: "use the index of users", source },
        // After an I/O error the database wants to be opened again.
        other @ (redb::Error::PreviousIo | redb::Error::DatabaseAlreadyOpen) => {
            Error::Io { path, action: "use the index of users", source: io::Error::other(other) }
        }
        other => damaged(&path, other.to_string()),
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged { path: path.into(), offset: 0, reason, advice: ADVICE }
}

/// Uses the database, which panics over some damaged files.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_panic(work)
        .unwrap_or_else(|| Err(damaged(path, "its pages contradict each other".into())))
}

fn full(dir: &Path) -> Error {
    let source = io::Error::other("it has four billion users, and takes no more");
    Error::Io { path: dir.into(), action: "use the index of users", source }
}

fn create(vfs: &dyn Vfs, path: &Path) -> Result<Open> {
    let file = match vfs.open_write(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => vfs.create(path),
        other => other,
    };
    let file = file.map_err(Error::io(path, "open"))?;
    let backend = FileBackend(file);
    guarded(path, || {
        let mut builder = Database::builder();
        let database = builder.set_cache_size(PAGES_BYTES).create_with_backend(backend);
        Ok(Open(Some(database.map_err(failed(path))?)))
    })
}

/// Returns a fact about the index.
fn about(database: &Database, key: &str, dir: &Path) -> Result<Option<u64>> {
    guarded(dir, || {
        let read = database.begin_read().map_err(failed(dir))?;
        let table = match read.open_table(ABOUT) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(failed(dir))?,
        };
        Ok(table.get(key).map_err(failed(dir))?.map(|value| value.value()))
    })
}

/// Stores names and facts in one transaction.
fn store<'n>(
    database: &Database,
    dir: &Path,
    names: impl Iterator<Item = (&'n [u8], u32)>,
    facts: &[(&str, u64)],
) -> Result<()> {
    guarded(dir, || {
        let mut write = database.begin_write().map_err(failed(dir))?;
        // Otherwise the whole file is read at the start after a crash.
        write.set_quick_repair(true);
        {
            let mut table = write.open_table(NAMES).map_err(failed(dir))?;
            for (name, number) in names {
                table.insert(name, number).map_err(failed(dir))?;
            }
            let mut table = write.open_table(ABOUT).map_err(failed(dir))?;
            for (key, value) in facts {
                table.insert(key, value).map_err(failed(dir))?;
            }
        }
        write.commit().map_err(failed(dir))
    })
}

impl Names {
    /// Opens the index in `dir`, or creates an empty one, and removes what is no complete index.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Names> {
        let mut numbers = numbers(&*vfs, dir)?;
        let highest = numbers.last().copied().unwrap_or(0);
        while let Some(number) = numbers.pop() {
            let path = path_of(dir, number);
            // One that cannot be opened was being written.
            let database = create(&*vfs, &path).ok();
            let found = match &database {
                Some(database) => about(database, COMPLETE, dir)?.is_some(),
                None => false,
            };
            if let (Some(database), true) = (database, found) {
                let names = Names::of(vfs, dir, number, database)?;
                for older in numbers {
                    names.remove(older)?;
                }
                return Ok(names);
            }
            vfs.remove_file(&path).map_err(Error::io(&path, "remove"))?;
        }
        let number = highest + 1;
        let database = create(&*vfs, &path_of(dir, number))?;
        let id = uuid::Uuid::new_v4().as_u64_pair().0;
        store(&database, dir, std::iter::empty(), &[(ID, id), (NEXT, 0), (COMPLETE, 1)])?;
        vfs.sync_dir(dir).map_err(Error::io(dir, "sync"))?;
        Names::of(vfs, dir, number, database)
    }

    fn of(vfs: Arc<dyn Vfs>, dir: &Path, number: u64, database: Open) -> Result<Names> {
        let lost = || damaged(&path_of(dir, number), "the index does not say what it is".into());
        let id = about(&database, ID, dir)?.ok_or_else(lost)?;
        let next = about(&database, NEXT, dir)?.ok_or_else(lost)?;
        let next = u32::try_from(next).map_err(|_| lost())?;
        let (cache, codes, pending) = Default::default();
        let database = Arc::new(database);
        let inner = Inner { number, database, changes: 0, next, cache, codes, pending };
        let names = Names {
            vfs,
            dir: dir.into(),
            id,
            writing: Mutex::new(()),
            inner: Mutex::new(inner),
            generation: AtomicU64::new(next_generation()),
            leases: Arc::new(()),
            len: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        names.measure()?;
        Ok(names)
    }

    fn remove(&self, number: u64) -> Result<()> {
        let path = path_of(&self.dir, number);
        self.vfs.remove_file(&path).map_err(Error::io(&path, "remove"))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is in memory is changed in steps that cannot fail, so a panic leaves it whole.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn measure(&self) -> Result<()> {
        let (database, number) = {
            let inner = self.inner();
            (inner.database.clone(), inner.number)
        };
        let len = guarded(&self.dir, || {
            let read = database.begin_read().map_err(failed(&self.dir))?;
            let table = read.open_table(NAMES).map_err(failed(&self.dir))?;
            redb::ReadableTableMetadata::len(&table).map_err(failed(&self.dir))
        })?;
        self.len.store(len, Ordering::Relaxed);
        let path = path_of(&self.dir, number);
        let bytes = self.vfs.metadata(&path).map_err(Error::io(&path, "read"))?.len;
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the number of stored names.
    pub fn users(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns the size of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the state of the index: it changes when names are removed, and no other index has it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns a lease, and the state of the index that it is of: while it is held, names are
    /// removed only after some patience. Waits for a removal that goes on.
    pub fn lease(&self) -> (Arc<()>, u64) {
        let _inner = self.inner();
        (self.leases.clone(), self.generation())
    }

    /// Reports whether somebody holds a lease.
    pub fn is_leased(&self) -> bool {
        Arc::strong_count(&self.leases) > 1
    }

    /// Begins to look names up.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { names: self, generation: self.generation(), stored: None }
    }

    /// Stores the names that are only in memory, if there are at least `least`.
    pub fn commit(&self, least: usize) -> Result<()> {
        let writing = self.writing();
        self.store_pending(&writing, least)
    }

    fn store_pending(&self, _: &MutexGuard<'_, ()>, least: usize) -> Result<()> {
        let (database, mut names, next) = {
            let inner = self.inner();
            if inner.pending.is_empty() || inner.pending.len() < least {
                return Ok(());
            }
            let name =
                |&at: &u32| (inner.cache.name(at).as_bytes().to_vec(), inner.codes[at as usize]);
            let names: Vec<(Vec<u8>, u32)> = inner.pending.iter().map(name).collect();
            (inner.database.clone(), names, u64::from(inner.next))
        };
        let stored = names.len();
        names.sort_unstable();
        let names = names.iter().map(|(name, number)| (name.as_slice(), *number));
        store(&database, &self.dir, names, &[(NEXT, next)])?;
        {
            let mut inner = self.inner();
            inner.pending.drain(..stored);
            inner.changes += 1;
        }
        self.measure()
    }

    /// Bounds what is in memory. Somebody who writes already is waited for only if that alone keeps
    /// it within twice the bounds.
    fn make_room(&self, waits: bool) -> Result<()> {
        let writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(_) if waits => self.writing(),
            Err(_) => return Ok(()),
        };
        if !self.inner().exceeds(1) {
            return Ok(());
        }
        self.store_pending(&writing, 1)?;
        let mut inner = self.inner();
        if inner.cache.bytes() > CACHE_BYTES {
            inner.forget_stored();
        }
        Ok(())
    }

    /// Returns when names were removed last, in milliseconds since the epoch.
    pub fn cleaned_ms(&self) -> Result<i64> {
        let database = self.inner().database.clone();
        let ms = about(&database, CLEANED_MS, &self.dir)?;
        Ok(ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0))
    }

    /// Removes all names but those whose codes are in `live`; what is in memory is forgotten.
    /// Returns false, and removes nothing, if somebody holds a lease, unless it is to be `by_force`.
    pub fn keep_only(&self, live: &RoaringTreemap, now_ms: i64, by_force: bool) -> Result<bool> {
        let _writing = self.writing();
        let mut inner = self.inner();
        if self.is_leased() && !by_force {
            return Ok(false);
        }
        let number = inner.number + 1;
        let path = path_of(&self.dir, number);
        let rewritten = guarded(&path, || self.rewrite(&inner, &path, live, now_ms));
        let database = match rewritten {
            Ok(database) => database,
            Err(error) => {
                let _ = self.vfs.remove_file(&path);
                return Err(error);
            }
        };
        self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))?;
        let old = std::mem::replace(&mut inner.number, number);
        inner.database = Arc::new(database);
        (inner.cache, inner.codes, inner.pending) = Default::default();
        self.generation.store(next_generation(), Ordering::Release);
        inner.changes += 1;
        drop(inner);
        self.measure()?;
        self.remove(old)?;
        self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))?;
        Ok(true)
    }

    fn rewrite(
        &self,
        inner: &Inner,
        path: &Path,
        live: &RoaringTreemap,
        now_ms: i64,
    ) -> Result<Open> {
        /// Names written at a time.
        const BATCH: usize = 1 << 16;
        let dir = &*self.dir;
        let database = create(&*self.vfs, path)?;
        let read = inner.database.begin_read().map_err(failed(dir))?;
        let table = read.open_table(NAMES).map_err(failed(dir))?;
        let mut batch: Vec<(Vec<u8>, u32)> = Vec::new();
        let flush = |batch: &mut Vec<(Vec<u8>, u32)>, facts: &[(&str, u64)]| {
            let names = batch.iter().map(|(name, number)| (name.as_slice(), *number));
            let stored = store(&database, dir, names, facts);
            batch.clear();
            stored
        };
        for entry in table.iter().map_err(failed(dir))? {
            let (name, number) = entry.map_err(failed(dir))?;
            if live.contains(code(SLOT, number.value())) {
                batch.push((name.value().to_vec(), number.value()));
            }
            if batch.len() == BATCH {
                flush(&mut batch, &[])?;
            }
        }
        let next = u64::from(inner.next);
        let cleaned = now_ms.max(0) as u64;
        flush(&mut batch, &[(ID, self.id), (NEXT, next), (CLEANED_MS, cleaned), (COMPLETE, 1)])?;
        Ok(database)
    }
}

/// Lists the files of indexes in `dir`, complete or not, by number; none if there is no folder.
pub fn index_files(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(numbers(vfs, dir)?.into_iter().map(|number| path_of(dir, number)).collect())
}

fn numbers(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> = match vfs.list(dir) {
        Ok(entries) => entries.iter().filter_map(|entry| number_of(&entry.name)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io(dir, "list")(error)),
    };
    numbers.sort_unstable();
    Ok(numbers)
}

/// The stored names as they are now, for a reader that changes nothing.
#[derive(Debug)]
pub struct NamesCopy {
    pub id: u64,
    pub users: u64,
    pub path: PathBuf,
    names: ReadOnlyTable<&'static [u8], u32>,
    /// The table cannot be read without it.
    _database: Open,
}

impl NamesCopy {
    /// Opens the index in `dir`, which no process may have open; `None` if there is none.
    pub fn open(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Option<NamesCopy>> {
        let mut numbers = numbers(&**vfs, dir)?;
        while let Some(number) = numbers.pop() {
            // One that cannot be opened is replaced at the next start.
            if let Some(Ok(Some(copy))) = catch_panic(|| NamesCopy::of(&**vfs, dir, number)) {
                return Ok(Some(copy));
            }
        }
        Ok(None)
    }

    fn of(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<Option<NamesCopy>> {
        let path = path_of(dir, number);
        let file = vfs.open(&path).map_err(Error::io(&path, "open"))?;
        let backend = CopyBackend::new(file).map_err(Error::io(&path, "read"))?;
        let mut builder = Database::builder();
        let database = builder.set_cache_size(PAGES_BYTES).create_with_backend(backend);
        let database = Open(Some(database.map_err(failed(&path))?));
        let complete = about(&database, COMPLETE, dir)?;
        let (Some(id), Some(_)) = (about(&database, ID, dir)?, complete) else { return Ok(None) };
        let read = database.begin_read().map_err(failed(dir))?;
        let names = read.open_table(NAMES).map_err(failed(dir))?;
        let users = redb::ReadableTableMetadata::len(&names).map_err(failed(dir))?;
        Ok(Some(NamesCopy { id, users, path, names, _database: database }))
    }

    /// Returns the number of a user within [`SLOT`]; `None` for a user who has none.
    pub fn code(&self, name: &str) -> Result<Option<u32>> {
        guarded(&self.path, || {
            let found = self.names.get(name.as_bytes()).map_err(failed(&self.path))?;
            Ok(found.map(|number| number.value()))
        })
    }
}

/// Looks names up, in any order; those in order are found faster. Others may look names up, and
/// store them, meanwhile.
#[derive(Debug)]
pub struct Lookup<'n> {
    names: &'n Names,
    generation: u64,
    /// The stored names after this number of changes, once one was not in memory.
    stored: Option<(u64, ReadOnlyTable<&'static [u8], u32>)>,
}

impl Lookup<'_> {
    /// Returns the state of the index that the codes are of.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the number of a user within [`SLOT`]. A user who has none gets the next.
    ///
    /// # Errors
    /// [`Error::Busy`] if names have been removed since the look-up began.
    pub fn code(&mut self, name: &str) -> Result<u32> {
        let mut inner = self.names.inner();
        if self.names.generation() != self.generation {
            return Err(Error::Busy(Limit::Erasure));
        }
        if let Some(at) = inner.cache.find(name) {
            return Ok(inner.codes[at as usize]);
        }
        let number = match self.stored(&inner, name)? {
            Some(number) => number,
            None => {
                let number = inner.next;
                inner.next = number.checked_add(1).ok_or_else(|| full(&self.names.dir))?;
                let place = inner.cache.len() as u32;
                inner.pending.push(place);
                number
            }
        };
        inner.cache.intern(name);
        inner.codes.push(number);
        if inner.exceeds(1) {
            let waits = inner.exceeds(2);
            drop(inner);
            self.names.make_room(waits)?;
        }
        Ok(number)
    }

    fn stored(&mut self, inner: &Inner, name: &str) -> Result<Option<u32>> {
        let dir = &*self.names.dir;
        guarded(dir, || {
            let table = match &self.stored {
                Some((changes, table)) if *changes == inner.changes => table,
                _ => {
                    let read = inner.database.begin_read().map_err(failed(dir))?;
                    let table = read.open_table(NAMES).map_err(failed(dir))?;
                    &self.stored.insert((inner.changes, table)).1
                }
            };
            Ok(table.get(name.as_bytes()).map_err(failed(dir))?.map(|number| number.value()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::Disk;

    fn open(dir: &Path) -> Names {
        Names::open(Arc::new(Disk), dir).unwrap()
    }

    fn codes(names: &Names, of: &[&str]) -> Vec<u32> {
        let mut lookup = names.lookup();
        of.iter().map(|name| lookup.code(name).unwrap()).collect()
    }

    #[test]
    fn a_name_keeps_its_code_and_a_code_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let names = open(dir.path());
        assert_eq!(codes(&names, &["b", "a", "b", "c"]), [0, 1, 0, 2]);
        names.commit(1).unwrap();
        let id = names.id;
        drop(names);
        let names = open(dir.path());
        assert_eq!((names.id, names.users()), (id, 3));
        assert_eq!(codes(&names, &["d", "c", "a"]), [3, 2, 1]);
    }

    #[test]
    fn a_name_that_was_removed_comes_again_under_another_code() {
        let dir = tempfile::tempdir().unwrap();
        let names = open(dir.path());
        codes(&names, &["kept", "gone-for-good", "not stored"]);
        names.commit(1).unwrap();
        let mut lookup = names.lookup();
        names.keep_only(&RoaringTreemap::from_iter([0]), 1, false).unwrap();
        assert!(lookup.code("kept").is_err(), "its codes may be of no use");
        assert_eq!(codes(&names, &["gone-for-good", "kept"]), [3, 0]);
        names.keep_only(&RoaringTreemap::from_iter([0]), 1, false).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(4).any(|window| window == b"gone"));
        }
        drop(names);
        assert_eq!(codes(&open(dir.path()), &["new", "kept"]), [4, 0]);
    }

    #[test]
    fn names_are_looked_up_while_others_are_stored_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let names = open(dir.path());
        let all: Vec<String> = (0..3_000).map(|i| format!("user{}", i % 1_000)).collect();
        let given: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let look = |turn: usize| {
                let (names, all) = (&names, &all);
                move || {
                    let mut lookup = names.lookup();
                    let turned = (0..all.len()).map(|i| (i * (turn + 1) + turn * 71) % all.len());
                    let mut codes = vec![u32::MAX; 1_000];
                    for at in turned {
                        let code = lookup.code(&all[at]).unwrap();
                        let kept = std::mem::replace(&mut codes[at % 1_000], code);
                        assert!(kept == u32::MAX || kept == code, "a name has one code");
                    }
                    codes
                }
            };
            let looking: Vec<_> = (0..4).map(|turn| scope.spawn(look(turn))).collect();
            while !looking.iter().all(|thread| thread.is_finished()) {
                names.commit(1).unwrap();
                names.inner().forget_stored();
            }
            looking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // Not all turns come to all names; those that do agree.
        for codes in &given[1..] {
            let both = codes.iter().zip(&given[0]).filter(|(code, _)| **code != u32::MAX);
            both.for_each(|(code, first)| assert_eq!(code, first));
        }
        let distinct: std::collections::BTreeSet<u32> = given[0].iter().copied().collect();
        assert_eq!(distinct, (0..1_000).collect());
        names.commit(1).unwrap();
        assert_eq!(names.users(), 1_000);
    }

    #[test]
    fn a_file_that_is_no_index_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let names = open(dir.path());
        codes(&names, &["a"]);
        names.commit(1).unwrap();
        let id = names.id;
        drop(names);
        std::fs::write(path_of(dir.path(), 7), b"half an index").unwrap();
        assert_eq!(open(dir.path()).id, id);
        std::fs::write(path_of(dir.path(), 1), b"no index").unwrap();
        let names = open(dir.path());
        assert_ne!(names.id, id);
        assert_eq!(names.users(), 0);
    }
}
