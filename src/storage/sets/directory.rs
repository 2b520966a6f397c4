//! Which sets there are, and where. Immutable, and cheap to clone: a reader takes one state of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, NaiveTime};
use roaring::RoaringTreemap;

use super::segment::{Entry, Level, Place, Segment};
use crate::event::EventKind;
use crate::hour::Hour;
use crate::rollup::SourceSet;
use crate::storage::error::Result;

/// Sets of a file, a day or a month, and the segment that holds them.
#[derive(Clone, Debug)]
pub struct Stored {
    pub entry: Arc<Entry>,
    pub segment: Arc<Segment>,
}

impl Stored {
    /// Returns where the set of a kind is; `None` if no user did it.
    pub fn place(&self, kind: EventKind) -> Option<&Place> {
        self.entry.kinds.iter().find(|place| place.kind == kind)
    }

    /// Returns the number of users of a kind.
    pub fn users(&self, kind: EventKind) -> u64 {
        self.place(kind).map_or(0, |place| place.users)
    }

    /// Reads the users of a kind.
    pub fn read(&self, kind: EventKind) -> Result<RoaringTreemap> {
        self.place(kind).map_or_else(|| Ok(RoaringTreemap::new()), |place| self.segment.read(place))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Sets of data files, by the file.
    pub files: imbl::HashMap<SourceSet, Stored>,
    pub days: imbl::OrdMap<i64, Stored>,
    pub months: imbl::OrdMap<i64, Stored>,
    pub segments: imbl::OrdMap<u64, Arc<Segment>>,
}

/// Returns the number of an hour's day since January 1970.
pub fn day_of(hour: Hour) -> i64 {
    hour.0.div_euclid(24)
}

/// Returns the number of an hour's month since January 1970.
pub fn month_of(hour: Hour) -> i64 {
    let date = hour.date();
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month0())
}

/// Returns the first and last hour of a day, by its number.
pub fn day_bounds(day: i64) -> (Hour, Hour) {
    (Hour(day * 24), Hour(day * 24 + 23))
}

/// Returns the first and last hour of a month, by its number.
pub fn month_bounds(month: i64) -> (Hour, Hour) {
    let start = |month: i64| {
        let year = 1970 + month.div_euclid(12) as i32;
        let first = NaiveDate::from_ymd_opt(year, month.rem_euclid(12) as u32 + 1, 1);
        let first = first.expect("a month of an event").and_time(NaiveTime::MIN);
        Hour::of_us(first.and_utc().timestamp_micros())
    };
    (start(month), Hour(start(month + 1).0 - 1))
}

impl Directory {
    /// Adds the sets of a segment, in place of older ones of the same.
    pub fn add(&mut self, segment: Arc<Segment>) {
        self.segments.insert(segment.number, segment.clone());
        for entry in &segment.entries {
            let stored = Stored { entry: Arc::new(entry.clone()), segment: segment.clone() };
            match entry.level {
                Level::File => _ = self.files.insert(entry.sources, stored),
                Level::Day => _ = self.days.insert(entry.period, stored),
                Level::Month => _ = self.months.insert(entry.period, stored),
            }
        }
    }

    /// Removes a segment whose sets are all elsewhere, or are of no use.
    pub fn remove(&mut self, number: u64) {
        self.segments.remove(&number);
    }

    /// Returns the sets of a day if they are of exactly these sources.
    pub fn day(&self, day: i64, of: SourceSet) -> Option<&Stored> {
        self.days.get(&day).filter(|stored| stored.entry.sources == of)
    }

    /// Returns the sets of a month if they are of exactly these sources.
    pub fn month(&self, month: i64, of: SourceSet) -> Option<&Stored> {
        self.months.get(&month).filter(|stored| stored.entry.sources == of)
    }

    /// Returns the bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Returns all sets.
    pub fn all(&self) -> impl Iterator<Item = &Stored> {
        self.files.values().chain(self.days.values()).chain(self.months.values())
    }

    /// Returns all sets in the order in which they are stored.
    pub fn in_order(&self) -> Vec<Stored> {
        let mut stored: Vec<Stored> = self.all().cloned().collect();
        stored.sort_by_key(|stored| (stored.segment.number, stored.entry.at));
        stored
    }

    /// Returns the bytes of the sets that are in use, by segment.
    pub fn used_bytes(&self) -> BTreeMap<u64, u64> {
        let mut used = BTreeMap::new();
        for stored in self.all() {
            *used.entry(stored.segment.number).or_insert(0) += stored.entry.bytes();
        }
        used
    }
}
