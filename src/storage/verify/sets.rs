//! Checks of the visitor sets against the data files they are made from.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::commits::Listed;
use super::finding::{Finding, MOVE, SetTotals};
use super::place::Place;
use crate::event::EventKind;
use crate::rollup::SourceSet;
use crate::storage::error::{Error, Result};
use crate::storage::lake::data_file;
use crate::storage::sets::code::SLOT;
use crate::storage::sets::directory::{day_of, month_of};
use crate::storage::sets::names::{NamesCopy, index_files};
use crate::storage::sets::segment::{Entry, Level, Segment};
use crate::storage::sets::{SETS_DIR, segments};
use crate::storage::store;

const MEANS: &str = "no stored event; statements about visitors may count wrongly until the file is \
    removed, as sets are made again from the data files";

#[derive(Debug, Default)]
pub struct Checked {
    pub totals: SetTotals,
    pub findings: Vec<Finding>,
}

/// Compares the sets of files that are sound with their rows. Beside a server, the index of names is its own,
/// and only the numbers of users are compared.
pub fn check(place: &Place<'_>, files: &[&Listed], in_use: bool) -> Result<Checked> {
    let dir = place.data_dir.join(SETS_DIR);
    let mut checked = Checked::default();
    let mut open = Vec::new();
    for (number, path) in segments(&**place.vfs, &dir)? {
        match Segment::open(&**place.vfs, &path, number) {
            Ok(segment) => open.push(segment),
            // A server removes what it has merged.
            Err(Error::Io { .. }) if in_use => {}
            Err(error) => checked.findings.push(finding(Finding::of_error(error, place.data_dir))),
        }
    }
    let names = if in_use { None } else { NamesCopy::open(place.vfs, &dir)? };
    let index = names.as_ref().map_or_else(|| open.last().map(|last| last.index), |n| Some(n.id));
    // One that is missing is made again, with all sets; so is one that was being written.
    if !in_use
        && names.is_none()
        && !open.is_empty()
        && let Some(newest) = index_files(&**place.vfs, &dir)?.last()
    {
        let path = newest.strip_prefix(place.data_dir).unwrap_or(newest);
        let unreadable = Finding::new(path.display(), "the index of users cannot be read");
        checked.findings.push(finding(unreadable));
    }
    // Sets of another index are removed at the next start.
    open.retain(|segment| Some(segment.index) == index);
    let sets = Sets::new(&open);
    let (next, all) = (AtomicUsize::new(0), Mutex::new(checked));
    let work = || {
        while let Some(listed) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(stored) = sets.files.get(&listed.file.rollup.sources) else { continue };
            let found = check_file(place, listed, *stored, names.as_ref());
            let mut all = all.lock().expect("no panic under this lock");
            all.totals.files += 1;
            all.findings.extend(found);
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(files.len().max(1));
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut checked = all.into_inner().expect("no panic under this lock");
    if checked.findings.is_empty() {
        sets.check_periods(place, files, &mut checked);
    }
    checked.findings.sort_by(|a, b| (&a.path, &a.what).cmp(&(&b.path, &b.what)));
    checked.findings.dedup_by(|a, b| (&a.path, &a.what) == (&b.path, &b.what));
    checked.totals.users = names.map_or(0, |names| names.users);
    Ok(checked)
}

fn finding(finding: Finding) -> Finding {
    finding.means(MEANS).advice(MOVE).movable_if(true)
}

/// An entry, and its segment.
type Stored<'s> = (&'s Segment, &'s Entry);

/// The newest sets of each file and period.
struct Sets<'s> {
    files: BTreeMap<SourceSet, Stored<'s>>,
    periods: BTreeMap<(Level, i64), Stored<'s>>,
}

fn wrong(segment: &Segment, what: String) -> Finding {
    let path = PathBuf::from(SETS_DIR).join(crate::storage::sets::segment::name(segment.number));
    finding(Finding::new(path.display(), what))
}

/// Reads the users of a kind.
fn read((segment, entry): Stored<'_>, kind: EventKind) -> Result<RoaringTreemap> {
    match entry.kinds.iter().find(|place| place.kind == kind) {
        Some(place) => segment.read(place),
        None => Ok(RoaringTreemap::new()),
    }
}

/// Compares the sets of a data file with its rows.
fn check_file(
    place: &Place<'_>,
    listed: &Listed,
    stored: Stored<'_>,
    names: Option<&NamesCopy>,
) -> Option<Finding> {
    let (segment, _) = stored;
    let schema = &place.meta.schema;
    // A file that cannot be read is a finding of its own.
    let parquet = place.runtime.block_on(store::read(&*place.store, &listed.file.location)).ok()?;
    let kinds = schema.kind_names().len();
    let mut codes: Vec<RoaringBitmap> = vec![RoaringBitmap::new(); kinds];
    let mut users: Vec<HashSet<String>> = vec![HashSet::new(); kinds];
    let (mut is_unknown, mut failed) = (false, None);
    let each = |user: &str, kinds: &[EventKind]| {
        let code = match names.map(|names| names.code(user)).transpose() {
            Ok(code) => code,
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        };
        for kind in kinds {
            match code {
                Some(Some(code)) => _ = codes[kind.index()].insert(code),
                Some(None) => is_unknown = true,
                None => _ = users[kind.index()].insert(user.into()),
            }
        }
        Ok(())
    };
    data_file::read_user_kinds(schema, parquet, each).ok()?;
    if let Some(error) = failed {
        return Some(finding(Finding::of_error(error, place.data_dir)));
    }
    if let (true, Some(names)) = (is_unknown, names) {
        let path = names.path.strip_prefix(place.data_dir).unwrap_or(&names.path);
        return Some(finding(Finding::new(path.display(), "it lacks users who are in sets")));
    }
    let file = &listed.file.location;
    for kind in schema.kinds() {
        let set = match read(stored, kind) {
            Ok(set) => set,
            Err(error) => return Some(finding(Finding::of_error(error, place.data_dir))),
        };
        let is_right = match names {
            Some(_) => {
                let codes = std::mem::take(&mut codes[kind.index()]);
                let is_empty = codes.is_empty();
                set == RoaringTreemap::from_bitmaps((!is_empty).then_some((SLOT, codes)))
            }
            None => set.len() == users[kind.index()].len() as u64,
        };
        if !is_right {
            let name = schema.name(kind);
            return Some(wrong(segment, format!("the users with {name} of {file} are others")));
        }
    }
    None
}

impl<'s> Sets<'s> {
    fn new(segments: &'s [Segment]) -> Sets<'s> {
        let (mut files, mut periods) = (BTreeMap::new(), BTreeMap::new());
        for segment in segments {
            for entry in &segment.entries {
                match entry.level {
                    Level::File => _ = files.insert(entry.sources, (segment, entry)),
                    level => _ = periods.insert((level, entry.period), (segment, entry)),
                }
            }
        }
        Sets { files, periods }
    }

    /// Compares the sets of days and months with those of their files. Older ones, of other files,
    /// are of no use, and are not looked at.
    fn check_periods(&self, place: &Place<'_>, files: &[&Listed], checked: &mut Checked) {
        for (&(level, period), &stored) in &self.periods {
            let period_of = if level == Level::Day { day_of } else { month_of };
            let of: Vec<&Listed> =
                files.iter().copied().filter(|listed| period_of(listed.hour) == period).collect();
            let mut sources = SourceSet::EMPTY;
            of.iter().for_each(|listed| sources += listed.file.rollup.sources);
            if sources != stored.1.sources {
                continue;
            }
            match self.is_union(place, &of, stored) {
                Ok(true) => checked.totals.periods += 1,
                Ok(false) => {
                    let what = format!("the users of a {level:?} are not those of its hours");
                    checked.findings.push(wrong(stored.0, what));
                }
                Err(error) => {
                    checked.findings.push(finding(Finding::of_error(error, place.data_dir)));
                }
            }
        }
    }

    fn is_union(&self, place: &Place<'_>, of: &[&Listed], stored: Stored<'_>) -> Result<bool> {
        for kind in place.meta.schema.kinds() {
            let mut users = RoaringTreemap::new();
            for listed in of {
                match self.files.get(&listed.file.rollup.sources) {
                    Some(file) => users |= read(*file, kind)?,
                    // Its set was lost since; it will be made again.
                    None => return Ok(true),
                }
            }
            if users != read(stored, kind)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
