//! Distinct users of a snapshot's hours, from their sets.
//!
//! A statement collects references: to the users of an hour and kind, or to one user. The union of
//! many is a few sets of months and days, and those of the hours that are left. Of an hour that is
//! in memory, or whose file has no sets yet, the sets are made when they are asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hashbrown::HashMap;
use roaring::RoaringTreemap;

use super::Snapshot;
use crate::event::EventKind;
use crate::hour::Hour;
use crate::limit::Limit;
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};
use crate::storage::lake::actions::DataFile;
use crate::storage::memory::dictionary::Interner;
use crate::storage::memory::memtable::HourTable;
use crate::storage::sets::code::{KindSets, SLOT, code};
use crate::storage::sets::directory::{
    Directory, Stored, day_bounds, day_of, month_bounds, month_of,
};
use crate::storage::sets::names::Names;
use crate::storage::sets::{file_users, hot};
use crate::storage::store::{self, blocking};

/// Users of data files without sets that are read for one statement; with more it should scan.
const READ_USERS: u64 = 4_000_000;

/// Bit of a reference to one user, whose code is in the bits below.
const USER: i64 = 1 << 62;

/// Returns the reference to the users of an hour and kind.
pub fn of_hour(hour: Hour, kind: EventKind) -> i64 {
    hour.0 << 8 | i64::from(kind.code())
}

/// Returns the reference to one user.
fn of_user(code: u64) -> i64 {
    USER | code as i64
}

/// Months and days of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Period {
    Month(i64),
    Day(i64),
}

/// The hours of a period that are in files, and its sets.
#[derive(Debug)]
struct Whole {
    last: Hour,
    stored: Option<Stored>,
    /// Number of hours that have events of each kind in files, by the kind's code.
    hours: Vec<usize>,
}

/// Reader of the users of one snapshot.
#[derive(Debug)]
pub struct VisitorReader {
    snapshot: Arc<Snapshot>,
    directory: Arc<Directory>,
    codes: Arc<Codes>,
    /// Sets that are not stored, of data files and of hours in memory.
    made: Mutex<HashMap<SourceSet, Arc<KindSets>>>,
    periods: Mutex<HashMap<Period, Arc<Whole>>>,
}

/// Where the codes of users come from.
#[derive(Debug)]
enum Codes {
    /// The index of names, in the state in which the statement began.
    Index { names: Arc<Names>, generation: u64, _lease: Arc<()> },
    /// Sets that are all stored. The index is not open, and nobody asks for a name.
    Stored,
    /// The statement itself: the index is not open, and sets are missing, so that none of the
    /// stored ones counts.
    Own(Mutex<Interner>),
}

impl Codes {
    /// Calls `work` with a function that returns the code of a name.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut dyn FnMut(&str) -> Result<u32>) -> Result<T>,
    ) -> Result<T> {
        match self {
            Codes::Index { names, .. } => {
                let mut lookup = names.lookup();
                work(&mut |name| lookup.code(name))
            }
            Codes::Own(names) => {
                let mut names = names.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                work(&mut |name| Ok(names.intern(name).0))
            }
            Codes::Stored => Err(Error::Missing("the index of users is not open here".into())),
        }
    }
}

impl VisitorReader {
    pub fn new(snapshot: Arc<Snapshot>) -> VisitorReader {
        let names = snapshot.sets.names.load_full();
        let mut directory = snapshot.sets.directory.load_full();
        let codes = match names {
            Some(names) => {
                let (lease, generation) = names.lease();
                Codes::Index { names, generation, _lease: lease }
            }
            None if is_complete(&snapshot, &directory) => Codes::Stored,
            None => {
                directory = Arc::default();
                Codes::Own(Mutex::default())
            }
        };
        let (made, periods) = Default::default();
        VisitorReader { snapshot, directory, codes: Arc::new(codes), made, periods }
    }

    /// Reports whether the users of these hours can be found faster than by a scan; `with_names`
    /// says whether there will be users to look up besides.
    pub fn is_ready(&self, hours: impl Iterator<Item = Hour>, with_names: bool) -> bool {
        match &*self.codes {
            Codes::Index { .. } => {}
            Codes::Stored => return !with_names,
            Codes::Own(_) => return false,
        }
        let mut unread = 0;
        for hour in hours {
            let files = self.snapshot.files.get(&hour).into_iter().flat_map(|hour| &hour.files);
            unread += files
                .filter(|file| !self.directory.files.contains_key(&file.rollup.sources))
                .map(|file| file.rollup.users.n)
                .sum::<u64>();
        }
        unread <= READ_USERS
    }

    /// Makes the sets of these hours that are not stored.
    pub async fn prepare(&self, hours: &[Hour]) -> Result<()> {
        for &hour in hours {
            let sources = self.snapshot.sources(hour);
            for file in sources.files.iter().flat_map(|hour| &hour.files) {
                if !self.is_known(file.rollup.sources) {
                    let sets = self.read(file).await;
                    self.keep(file.rollup.sources, self.checked(sets)?);
                }
            }
            for table in &sources.tables {
                self.keep(table.source, self.checked(self.look_up(table))?);
            }
        }
        Ok(())
    }

    fn is_known(&self, source: SourceSet) -> bool {
        let made = || self.made.lock().expect("no panic under this lock").contains_key(&source);
        self.directory.files.contains_key(&source) || made()
    }

    /// Passes a result on; damage of what the builder makes is reported to it, and the statement
    /// may be sent again.
    fn checked<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(error @ Error::Damaged { .. }) if matches!(&*self.codes, Codes::Index { .. }) => {
                self.snapshot.sets.report_damage(error);
                Err(Error::Busy(Limit::Sets))
            }
            other => other,
        }
    }

    async fn read(&self, file: &Arc<DataFile>) -> Result<Arc<KindSets>> {
        let codes = self.codes.clone();
        let parquet = store::read(&*self.snapshot.store, &file.location).await?;
        let schema = self.snapshot.schema.clone();
        let read = blocking(move || codes.with(|code| file_users::read(&schema, parquet, code)));
        Ok(Arc::new(read.await.map_err(|_| Error::Closed)??))
    }

    fn look_up(&self, table: &HourTable) -> Result<Arc<KindSets>> {
        if let Codes::Index { names, .. } = &*self.codes {
            return self.snapshot.sets.hot.sets(table, names);
        }
        let codes = self.codes.with(|code| table.users.iter_from(0).map(code).collect());
        codes.map(|codes: Vec<u32>| Arc::new(hot::sets_of(table, &codes)))
    }

    fn keep(&self, source: SourceSet, sets: Arc<KindSets>) {
        self.made.lock().expect("no panic under this lock").insert(source, sets);
    }

    /// Returns references to users by their names.
    pub fn users<'n>(
        &self,
        names: impl Iterator<Item = Option<&'n str>>,
    ) -> Result<Vec<Option<i64>>> {
        self.checked(self.codes.with(|code_of| {
            let mut reference = |name: &str| Ok(of_user(code(SLOT, code_of(name)?)));
            names.map(|name| name.map(&mut reference).transpose()).collect()
        }))
    }

    /// Returns the number of distinct users behind the references.
    pub fn count(&self, references: &mut Vec<i64>) -> Result<u64> {
        references.sort_unstable();
        references.dedup();
        if let [only] = references[..]
            && let Some(users) = self.stored_count(only)
        {
            return Ok(users);
        }
        Ok(self.union(references)?.len())
    }

    /// Returns the users of an hour and kind if the hour is one file with sets.
    fn stored_count(&self, reference: i64) -> Option<u64> {
        let (hour, kind) = hour_of(reference)?;
        let sources = self.snapshot.sources(hour);
        let [file] = &sources.files.as_ref()?.files[..] else { return None };
        let stored = self.directory.files.get(&file.rollup.sources)?;
        sources.tables.is_empty().then(|| stored.users(kind))
    }

    /// Returns the users behind the references.
    pub fn union(&self, references: &mut Vec<i64>) -> Result<RoaringTreemap> {
        self.checked(self.united(references))
    }

    fn united(&self, references: &mut Vec<i64>) -> Result<RoaringTreemap> {
        references.sort_unstable();
        references.dedup();
        let mut users = RoaringTreemap::new();
        let mut by_kind: BTreeMap<EventKind, Vec<Hour>> = BTreeMap::new();
        for &reference in &*references {
            match hour_of(reference) {
                Some((hour, kind)) => by_kind.entry(kind).or_default().push(hour),
                None => _ = users.insert((reference & !USER) as u64),
            }
        }
        for (kind, hours) in by_kind {
            self.add_memory(kind, &hours, &mut users);
            self.add_files(kind, &hours, &mut users)?;
        }
        match &*self.codes {
            Codes::Index { names, generation, .. } if names.generation() != *generation => {
                Err(Error::Busy(Limit::Erasure))
            }
            _ => Ok(users),
        }
    }

    fn add_memory(&self, kind: EventKind, hours: &[Hour], users: &mut RoaringTreemap) {
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return };
        let tables = self
            .snapshot
            .memtables()
            .flat_map(|memtable| memtable.hours.range(*first..=*last))
            .filter(|(hour, table)| table.rows() > 0 && hours.binary_search(hour).is_ok());
        let made = self.made.lock().expect("no panic under this lock");
        for (_, table) in tables {
            add(made.get(&table.source), kind, users);
        }
    }

    fn add_files(&self, kind: EventKind, hours: &[Hour], users: &mut RoaringTreemap) -> Result<()> {
        let has = |hour: &&Hour| {
            self.snapshot.files.get(*hour).is_some_and(|files| files.rollup.count(kind) > 0)
        };
        let hours: Vec<Hour> = hours.iter().filter(has).copied().collect();
        let mut left = &hours[..];
        while let Some(&first) = left.first() {
            let periods = [Period::Month(month_of(first)), Period::Day(day_of(first))];
            let whole = periods.iter().find_map(|period| self.whole(*period, kind, left));
            match whole {
                Some((taken, stored)) => {
                    *users |= stored.read(kind)?;
                    left = &left[taken..];
                }
                None => {
                    self.add_hour(first, kind, users)?;
                    left = &left[1..];
                }
            }
        }
        Ok(())
    }

    fn add_hour(&self, hour: Hour, kind: EventKind, users: &mut RoaringTreemap) -> Result<()> {
        let files = self.snapshot.files.get(&hour).into_iter().flat_map(|hour| &hour.files);
        for file in files {
            match self.directory.files.get(&file.rollup.sources) {
                Some(stored) => *users |= stored.read(kind)?,
                None => {
                    let made = self.made.lock().expect("no panic under this lock");
                    add(made.get(&file.rollup.sources), kind, users);
                }
            }
        }
        Ok(())
    }

    /// Returns the sets of a period, and how many of the first hours they are of, if these are all
    /// hours of the period that have events of the kind.
    fn whole(&self, period: Period, kind: EventKind, hours: &[Hour]) -> Option<(usize, Stored)> {
        let whole = self.period(period);
        let stored = whole.stored.clone()?;
        let taken = hours.partition_point(|hour| *hour <= whole.last);
        (whole.hours.get(kind.index()) == Some(&taken)).then_some((taken, stored))
    }

    fn period(&self, period: Period) -> Arc<Whole> {
        if let Some(whole) = self.periods.lock().expect("no panic under this lock").get(&period) {
            return whole.clone();
        }
        let (first, last) = bounds(period);
        let mut of = SourceSet::EMPTY;
        let kinds = self.snapshot.schema.kinds();
        let mut hours = vec![0; kinds.count()];
        for (_, files) in self.snapshot.files.range(first..=last) {
            of += files.rollup.sources;
            for kind in self.snapshot.schema.kinds() {
                hours[kind.index()] += usize::from(files.rollup.count(kind) > 0);
            }
        }
        let stored = match period {
            Period::Month(month) => self.directory.month(month, of),
            Period::Day(day) => self.directory.day(day, of),
        };
        let whole = Arc::new(Whole { last, stored: stored.cloned(), hours });
        let mut periods = self.periods.lock().expect("no panic under this lock");
        periods.insert(period, whole.clone());
        whole
    }
}

/// Reports whether there are sets of all events.
fn is_complete(snapshot: &Snapshot, directory: &Directory) -> bool {
    let in_memory = snapshot.memtables().flat_map(|memtable| memtable.hours.values());
    let mut files = snapshot.files.values().flat_map(|hour| &hour.files);
    in_memory.map(|table| table.rows()).sum::<u64>() == 0
        && files.all(|file| directory.files.contains_key(&file.rollup.sources))
}

/// Returns the first and last hour of a period.
fn bounds(period: Period) -> (Hour, Hour) {
    match period {
        Period::Day(day) => day_bounds(day),
        Period::Month(month) => month_bounds(month),
    }
}

fn hour_of(reference: i64) -> Option<(Hour, EventKind)> {
    (reference & USER == 0).then(|| (Hour(reference >> 8), EventKind::of_code(reference as u8)))
}

fn add(sets: Option<&Arc<KindSets>>, kind: EventKind, users: &mut RoaringTreemap) {
    let sets = sets.into_iter().flat_map(|sets| sets.iter());
    for (_, set) in sets.filter(|(of, _)| *of == kind) {
        *users |= set;
    }
}
