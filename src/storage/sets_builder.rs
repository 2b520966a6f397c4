//! Builder of the visitor sets: follows the table in the background, and makes the sets that are
//! missing.
//!
//! It works in small steps on a thread of its own, and rests during a flush, so that neither a flush
//! nor a request waits for it. A step makes the sets of some data files, the newest first; then
//! those of days that have ended, then of months; then it merges small segments. Codes are durable
//! before the sets that have them.
//!
//! Whatever fails is tried again. If the index of names is damaged, everything is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashSet;
use roaring::RoaringTreemap;

use super::lake::actions::DataFile;
use super::lake::merge::Files;
use super::metrics::Metrics;
use super::pace::Pace;
use super::recurring::Recurring;
use super::sets::code::KindSets;
use super::sets::directory::{Directory, Stored, day_bounds, day_of, month_bounds, month_of};
use super::sets::names::{Names, PENDING_NAMES};
use super::sets::segment::{Level, Segment, SegmentWriter};
use super::sets::{Due, VisitorSets, file_users, segments};
use super::snapshot::visitors::{VisitorReader, of_hour};
use super::snapshot::{Snapshot, SnapshotCell};
use super::store::{ObjectFile, is_missing};
use super::vfs::Vfs;
use crate::hour::{Clock, Hour};
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};

/// Data files, and bytes of them, in one step.
const STEP_FILES: usize = 64;
const STEP_BYTES: u64 = 8 << 20;

/// Days or months in one step.
const STEP_PERIODS: usize = 8;

/// Segments of about one size that are merged into one, and the most bytes of it.
const MERGED_SEGMENTS: usize = 8;
const MERGED_BYTES: u64 = 1 << 30;

/// Rest after a failure.
const RETRY_US: i64 = 1_000_000;

/// Time for which a removal of names waits for statements that have looked names up.
const PATIENCE_US: i64 = 60_000_000;

/// Time between two looks whether a flush has ended, or such statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest time without a look at the table.
const LOOK: Duration = Duration::from_millis(100);

/// Users of an hour in memory from which on they are looked up before they are asked for.
const HOT_USERS: usize = 4_096;

#[derive(Debug)]
pub struct SetsBuilder {
    pub vfs: Arc<dyn Vfs>,
    pub dir: PathBuf,
    pub files: Files,
    pub cell: Arc<SnapshotCell>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    /// Time between two removals of names that nobody has any more, in milliseconds.
    pub clean_after_ms: i64,
    /// Whether it rests while a generation is flushed.
    pub stands_back: bool,
    pub state: State,
}

/// What the builder knows between two steps.
#[derive(Debug, Default)]
pub struct State {
    /// The change of the table for which the queue was made. The table itself is not kept: it would
    /// look as if somebody read its files.
    seen: Option<u64>,
    queue: Vec<(Hour, Arc<DataFile>)>,
    /// Days and months that were looked through and are not missing.
    periods_done: bool,
    next_segment: u64,
    /// Files that cannot be read.
    refused: HashSet<SourceSet>,
    not_before_us: i64,
    /// End of the wait for statements that have looked names up.
    patient_until_us: Option<i64>,
    /// Whether nothing but these statements is waited for.
    only_waits: bool,
    pace: Pace,
    trouble: Recurring,
}

impl SetsBuilder {
    fn sets(&self) -> Arc<VisitorSets> {
        self.cell.load().sets.clone()
    }

    /// Returns the time until the next step.
    pub fn wait(&self) -> Duration {
        if self.yields() {
            return PAUSE;
        }
        if self.sets().has_damage() {
            return Duration::ZERO;
        }
        let now_us = self.clock.now_us();
        let due_us = self.state.not_before_us.max(self.state.pace.until_us());
        let rest = Duration::from_micros(u64::try_from(due_us - now_us).unwrap_or(0));
        let least = match self.has_work() {
            true if self.state.only_waits => PAUSE,
            true => Duration::ZERO,
            false => LOOK,
        };
        rest.clamp(least, Duration::from_secs(60))
    }

    /// Reports whether a flush is under way that is not to be slowed down.
    fn yields(&self) -> bool {
        self.stands_back && !self.cell.load().sealed.is_empty()
    }

    fn has_work(&self) -> bool {
        let snapshot = self.cell.load();
        !self.state.queue.is_empty()
            || !self.state.periods_done
            || self.cleaning_due(&snapshot).is_some()
            || self.state.seen != Some(snapshot.files_version)
    }

    fn cleaning_due(&self, snapshot: &Snapshot) -> Option<Due> {
        snapshot.sets.cleaning_due(self.clock.now_us() / 1_000, self.clean_after_ms)
    }

    /// Does the next piece of work, if there is any. A failure is logged, and tried again later.
    pub fn step(&mut self) {
        let now_us = self.clock.now_us();
        let is_asked = self.sets().has_damage()
            || self.cleaning_due(&self.cell.load()).is_some_and(|due| due.at_once);
        if (now_us < self.state.not_before_us || self.yields()) && !is_asked {
            return;
        }
        self.state.only_waits = false;
        // The database of names may panic over a damaged file.
        let done = catch_unwind(AssertUnwindSafe(|| self.try_step()));
        self.state.pace.record(now_us, self.clock.now_us(), self.metrics.calls.get());
        let error = match done {
            Ok(Ok(())) => {
                if self.state.trouble.has_passed() {
                    tracing::info!("visitor sets are built again");
                }
                return;
            }
            Ok(Err(error @ Error::Damaged { .. })) => {
                let text = error.to_string();
                self.sets().report_damage(error);
                text
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the builder panicked".into(),
        };
        if self.state.trouble.is_due(now_us) {
            tracing::warn!(%error, "the visitor sets cannot be built; statements scan instead, and the build is tried again (logged at most once a minute)");
        }
        self.state.not_before_us = now_us.saturating_add(RETRY_US);
        self.sets().cleaning_failed();
        self.reopen();
    }

    /// Forgets what is in memory, so that the next step begins with what is stored.
    fn reopen(&mut self) {
        self.sets().close();
        let State { trouble, not_before_us, refused, .. } = std::mem::take(&mut self.state);
        self.state = State { trouble, not_before_us, refused, ..State::default() };
    }

    fn try_step(&mut self) -> Result<()> {
        let snapshot = self.cell.load();
        if let Some(damage) = snapshot.sets.take_damage() {
            self.reopen();
            self.remove_damaged(&damage)?;
            self.state.not_before_us = 0;
            return Ok(());
        }
        let Some(names) = snapshot.sets.names.load_full() else { return self.open(&snapshot) };
        if self.state.seen != Some(snapshot.files_version) {
            self.look(&snapshot);
        }
        if !self.state.queue.is_empty() {
            return self.read_files(&snapshot.sets, &names);
        }
        if let Some(due) = self.cleaning_due(&snapshot) {
            let is_done = self.clean(&snapshot, &names, due)?;
            self.state.only_waits = !is_done && (due.at_once || self.state.periods_done);
            if is_done || due.at_once {
                return Ok(());
            }
        }
        if !self.state.periods_done {
            return self.build_periods(snapshot, &names);
        }
        extend_hot(&snapshot, &names, HOT_USERS)?;
        names.commit(PENDING_NAMES / 4)
    }

    /// Opens the index and the segments that were made by it, and removes all others.
    fn open(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.vfs.create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        let names = Names::open(self.vfs.clone(), &self.dir)?;
        let mut directory = Directory::default();
        for (number, path) in segments(&*self.vfs, &self.dir)? {
            self.state.next_segment = self.state.next_segment.max(number + 1);
            match Segment::open(&*self.vfs, &path, number) {
                Ok(segment) if segment.index == names.id => directory.add(Arc::new(segment)),
                _ => self.vfs.remove_file(&path).map_err(Error::io(&path, "remove"))?,
            }
        }
        let sets = &snapshot.sets;
        sets.hot.clear();
        sets.directory.store(Arc::new(directory));
        sets.cleaned_before(names.cleaned_ms()?);
        sets.names.store(Some(Arc::new(names)));
        sets.clean_later();
        Ok(())
    }

    /// Removes a damaged segment; with a damaged index, all that was made by it.
    fn remove_damaged(&self, damage: &Error) -> Result<()> {
        let Error::Damaged { path, .. } = damage else { return Ok(()) };
        tracing::warn!(%damage, "damaged visitor sets are removed, and made again");
        let name = path.file_name().and_then(|name| name.to_str());
        if name.and_then(super::sets::segment::number_of).is_none() {
            return self.remove_all();
        }
        match self.vfs.remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(path, "remove")(error))
            }
            _ => self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync")),
        }
    }

    fn remove_all(&self) -> Result<()> {
        let entries = self.vfs.list(&self.dir).map_err(Error::io(&self.dir, "list"))?;
        for entry in entries {
            let path = self.dir.join(entry.name);
            self.vfs.remove_file(&path).map_err(Error::io(&path, "remove"))?;
        }
        self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))
    }

    /// Finds the files without sets, and drops the sets of files that are gone.
    fn look(&mut self, snapshot: &Snapshot) {
        let directory = snapshot.sets.directory.load_full();
        let mut queue = Vec::new();
        let mut kept = HashSet::new();
        for (hour, files) in &snapshot.files {
            for file in &files.files {
                let source = file.rollup.sources;
                if directory.files.contains_key(&source) {
                    kept.insert(source);
                } else if !self.state.refused.contains(&source) {
                    queue.push((*hour, file.clone()));
                }
            }
        }
        if kept.len() < directory.files.len() {
            let mut left = (*directory).clone();
            left.files.retain(|source, _| kept.contains(source));
            snapshot.sets.directory.store(Arc::new(left));
        }
        // The newest hour is taken from the end.
        self.state.queue = queue;
        self.state.periods_done = false;
        self.state.seen = Some(snapshot.files_version);
        self.gauge(snapshot);
        let in_memory = snapshot.memtables().flat_map(|memtable| memtable.hours.values());
        snapshot.sets.hot.retain(&in_memory.map(|table| table.source).collect());
    }

    fn gauge(&self, snapshot: &Snapshot) {
        let missing = self.state.queue.len() + self.state.refused.len();
        snapshot.sets.missing.store(missing as u64, Ordering::Relaxed);
    }

    /// Makes the sets of the next files.
    fn read_files(&mut self, sets: &VisitorSets, names: &Names) -> Result<()> {
        let (mut bytes, mut batch) = (0, Vec::new());
        while let Some((hour, file)) = self.state.queue.last().cloned()
            && batch.len() < STEP_FILES
            && (batch.is_empty() || !self.yields())
            && (batch.is_empty() || bytes + file.bytes <= STEP_BYTES)
        {
            self.state.queue.pop();
            bytes += file.bytes;
            match self.read_file(&file, names) {
                Ok(users) => batch.push((hour, file.rollup.sources, users)),
                // It has been merged or removed since.
                Err(error) if is_missing(&error) => {}
                Err(error @ (Error::Parquet(_) | Error::Arrow(_))) => {
                    let path = file.location.as_ref();
                    tracing::error!(%error, path, "a data file has no visitor sets");
                    self.state.refused.insert(file.rollup.sources);
                }
                Err(error) => return Err(error),
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        names.commit(1)?;
        let mut writer = self.writer(names)?;
        for (hour, source, users) in &batch {
            writer.add(Level::File, hour.0, *source, users)?;
        }
        self.metrics.set_files.inc_by(batch.len() as u64);
        self.publish(sets, writer.finish()?);
        let snapshot = self.cell.load();
        self.gauge(&snapshot);
        Ok(())
    }

    fn read_file(&self, file: &DataFile, names: &Names) -> Result<KindSets> {
        let Files { runtime, store, schema } = &self.files;
        let object = ObjectFile::open(runtime.clone(), store, &file.location, file.bytes)?;
        let mut lookup = names.lookup();
        file_users::read(schema, object, |name| lookup.code(name))
    }

    /// Begins the next segment.
    fn writer(&mut self, names: &Names) -> Result<SegmentWriter> {
        let number = self.state.next_segment;
        self.state.next_segment += 1;
        SegmentWriter::create(self.vfs.clone(), &self.dir, number, names.id)
    }

    fn publish(&self, sets: &VisitorSets, segment: Segment) {
        let mut directory = (*sets.directory.load_full()).clone();
        directory.add(Arc::new(segment));
        sets.directory.store(Arc::new(directory));
    }

    /// Makes the sets of days, and of months, that have ended and have changed since.
    fn build_periods(&mut self, snapshot: Arc<Snapshot>, names: &Names) -> Result<()> {
        let stale = self.stale_periods(&snapshot);
        if stale.is_empty() {
            self.state.periods_done = !self.merge_segments(&snapshot.sets, names)?;
            if self.state.periods_done {
                snapshot.sets.settle(snapshot.files_version);
            }
            return Ok(());
        }
        let reader = VisitorReader::new(snapshot.clone());
        let mut writer = self.writer(names)?;
        for Stale { level, period, sources, hours } in stale.into_iter().take(STEP_PERIODS) {
            let mut users = KindSets::new();
            for kind in snapshot.schema.kinds() {
                let mut references = hours.iter().map(|hour| of_hour(*hour, kind)).collect();
                let set = reader.union(&mut references)?;
                if !set.is_empty() {
                    users.push((kind, set));
                }
            }
            writer.add(level, period, sources, &users)?;
        }
        let segment = writer.finish()?;
        self.publish(&snapshot.sets, segment);
        Ok(())
    }

    /// Returns the days whose sets are to be made; once there are none, the months.
    fn stale_periods(&self, snapshot: &Snapshot) -> Vec<Stale> {
        let directory = snapshot.sets.directory.load();
        let now = self.clock.hour();
        for (level, period_of) in
            [(Level::Day, day_of as fn(Hour) -> i64), (Level::Month, month_of)]
        {
            let mut stale: Vec<Stale> = Vec::new();
            for (hour, files) in &snapshot.files {
                let period = period_of(*hour);
                if period >= period_of(now) {
                    break;
                }
                if stale.last().is_none_or(|last| last.period != period) {
                    let (sources, hours) = Default::default();
                    stale.push(Stale { level, period, sources, hours });
                }
                let last = stale.last_mut().expect("pushed above");
                last.sources += files.rollup.sources;
                last.hours.push(*hour);
            }
            stale.retain(|stale| {
                let Stale { period, sources, hours, .. } = stale;
                let made = match level {
                    Level::Day => directory.day(*period, *sources),
                    _ => directory.month(*period, *sources),
                };
                // A single file needs no other set; a file without sets would be left out.
                let files = hours.iter().flat_map(|hour| &snapshot.files[hour].files);
                made.is_none()
                    && sources.files > 1
                    && files
                        .map(|file| file.rollup.sources)
                        .all(|source| directory.files.contains_key(&source))
            });
            if !stale.is_empty() {
                return stale;
            }
        }
        Vec::new()
    }

    /// Merges segments of about one size, and removes those that are no longer used; returns
    /// whether there were any.
    fn merge_segments(&mut self, sets: &VisitorSets, names: &Names) -> Result<bool> {
        let directory = sets.directory.load_full();
        let used = directory.used_bytes();
        let used_of = |segment: &Segment| used.get(&segment.number).copied().unwrap_or(0);
        let mut left = (*directory).clone();
        let unused: Vec<Arc<Segment>> =
            directory.segments.values().filter(|segment| used_of(segment) == 0).cloned().collect();
        for segment in unused {
            self.remove_segment(sets, &mut left, segment.number)?;
        }
        let mut classes: BTreeMap<u32, Vec<Arc<Segment>>> = BTreeMap::new();
        for segment in left.segments.values() {
            // By what is used: one of which little is left is small.
            let class = used_of(segment).max(1 << 14).ilog2() / 3;
            classes.entry(class).or_default().push(segment.clone());
        }
        let merged = classes.into_values().find(|segments| {
            let bytes: u64 = segments.iter().map(|segment| used_of(segment)).sum();
            segments.len() >= MERGED_SEGMENTS && bytes <= MERGED_BYTES
        });
        let Some(merged) = merged else { return Ok(false) };
        let numbers: BTreeSet<u64> = merged.iter().map(|segment| segment.number).collect();
        self.rewrite_segments(sets, names, left, &numbers)?;
        Ok(true)
    }

    fn remove_segment(&self, sets: &VisitorSets, left: &mut Directory, number: u64) -> Result<()> {
        left.remove(number);
        sets.directory.store(Arc::new(left.clone()));
        let path = self.dir.join(super::sets::segment::name(number));
        self.vfs.remove_file(&path).map_err(Error::io(&path, "remove"))
    }

    /// Removes the sets that are not of the table as it is, durably: hours that are hidden may come
    /// back after a crash, and sets with codes of names that were removed must not come with them.
    fn drop_unused(&mut self, snapshot: &Snapshot, names: &Names) -> Result<()> {
        let sets = &snapshot.sets;
        let mut left = (*sets.directory.load_full()).clone();
        let is_of = |(first, last): (Hour, Hour), stored: &Stored| {
            let mut of = SourceSet::EMPTY;
            snapshot.files.range(first..=last).for_each(|(_, hour)| of += hour.rollup.sources);
            of == stored.entry.sources
        };
        let of_days = left.days.iter().filter(|(day, stored)| is_of(day_bounds(**day), stored));
        left.days = of_days.map(|(day, stored)| (*day, stored.clone())).collect();
        let of_months =
            left.months.iter().filter(|(month, stored)| is_of(month_bounds(**month), stored));
        left.months = of_months.map(|(month, stored)| (*month, stored.clone())).collect();
        sets.directory.store(Arc::new(left.clone()));
        let mut used: BTreeMap<u64, usize> = BTreeMap::new();
        left.all().for_each(|stored| *used.entry(stored.segment.number).or_default() += 1);
        let is_whole = |segment: &Segment| {
            used.get(&segment.number).copied().unwrap_or(0) == segment.entries.len()
        };
        let partly: BTreeSet<u64> = left
            .segments
            .values()
            .filter(|segment| !is_whole(segment))
            .map(|segment| segment.number)
            .collect();
        if !partly.is_empty() {
            self.rewrite_segments(sets, names, left, &partly)?;
        }
        self.vfs.sync_dir(&self.dir).map_err(Error::io(&self.dir, "sync"))
    }

    /// Moves the sets in use of some segments to a new one, and removes those segments.
    fn rewrite_segments(
        &mut self,
        sets: &VisitorSets,
        names: &Names,
        mut left: Directory,
        numbers: &BTreeSet<u64>,
    ) -> Result<()> {
        let is_moved = |stored: &Stored| numbers.contains(&stored.segment.number);
        let moved: Vec<Stored> = left.in_order().into_iter().filter(is_moved).collect();
        if !moved.is_empty() {
            let mut writer = self.writer(names)?;
            for stored in moved {
                writer.copy(&stored.segment, &stored.entry)?;
            }
            left.add(Arc::new(writer.finish()?));
            sets.directory.store(Arc::new(left.clone()));
        }
        for &number in numbers {
            self.remove_segment(sets, &mut left, number)?;
        }
        Ok(())
    }

    /// Removes the names that no set has any more, unless statements that have looked names up are
    /// waited for. Returns whether that is done.
    fn clean(&mut self, snapshot: &Snapshot, names: &Names, due: Due) -> Result<bool> {
        let now_us = self.clock.now_us();
        let until_us = *self.state.patient_until_us.get_or_insert(now_us + PATIENCE_US);
        // All sets are read below: not again and again while somebody is waited for.
        if names.is_leased() && now_us < until_us {
            return Ok(false);
        }
        let now_ms = now_us / 1_000;
        self.drop_unused(snapshot, names)?;
        let directory = snapshot.sets.directory.load();
        let mut live = RoaringTreemap::new();
        let of_files = |stored: &Stored| stored.entry.level == Level::File;
        for stored in directory.in_order().into_iter().filter(of_files) {
            for place in &stored.entry.kinds {
                live |= stored.segment.read(place)?;
            }
        }
        if due.at_once {
            names.commit(1)?;
            snapshot.sets.hot.clear();
        } else {
            extend_hot(snapshot, names, 0)?;
            names.commit(1)?;
            snapshot.sets.hot.add_codes(names.generation(), &mut live);
        }
        if due.at_once || live.len() < names.users() {
            if !names.keep_only(&live, now_ms, now_us >= until_us)? {
                return Ok(false);
            }
            snapshot.sets.hot.clear();
        }
        self.state.patient_until_us = None;
        snapshot.sets.cleaned(due, now_ms);
        Ok(true)
    }
}

/// Looks up the users that came to the hours in memory, where these have at least so many.
fn extend_hot(snapshot: &Snapshot, names: &Names, least: usize) -> Result<()> {
    let tables = snapshot.memtables().flat_map(|memtable| memtable.hours.values());
    let mut tables = tables.filter(|table| table.users.len() >= least);
    tables.try_for_each(|table| snapshot.sets.hot.extend(table, names))
}

/// A day or month whose sets are to be made.
struct Stale {
    level: Level,
    period: i64,
    sources: SourceSet,
    hours: Vec<Hour>,
}
