//! Hours, the unit of partitioning and of query results, and the clock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, Timelike, Utc};

use crate::event::MAX_TIMESTAMP_US;

pub const HOUR_US: i64 = 3_600_000_000;

/// One hour of GMT: `[h * 3,600,000 ms, (h + 1) * 3,600,000 ms)`, counted from
/// 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(pub i64);

impl Hour {
    pub const FIRST: Hour = Hour(0);
    /// The last hour of the year 9999.
    pub const LAST: Hour = Hour(MAX_TIMESTAMP_US / HOUR_US);

    /// Returns the hour that contains the instant. Floor division: an hour's last microsecond
    /// belongs to it.
    pub fn of_us(timestamp_us: i64) -> Hour {
        Hour(timestamp_us.div_euclid(HOUR_US))
    }

    /// Returns the first instant, in microseconds.
    pub fn start_us(self) -> i64 {
        self.0 * HOUR_US
    }

    /// Returns the first instant after the hour, in microseconds.
    pub fn end_us(self) -> i64 {
        (self.0 + 1) * HOUR_US
    }

    pub fn next(self) -> Hour {
        Hour(self.0 + 1)
    }

    /// Returns the first instant.
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.start_us())
            .expect("an hour lies within the years 1970 to 9999")
    }

    /// Returns the value of the partition column `date`.
    pub fn date(self) -> NaiveDate {
        self.start().date_naive()
    }

    /// Returns the value of the partition column `hour`, 0 to 23.
    pub fn of_day(self) -> i32 {
        self.start().hour() as i32
    }

    /// Returns hour `of_day` (0 to 23) of `date`; `None` if either is out of range.
    pub fn from_partition(date: NaiveDate, of_day: i32) -> Option<Hour> {
        let start = date.and_hms_opt(u32::try_from(of_day).ok()?, 0, 0)?.and_utc();
        let hour = Hour::of_us(start.timestamp_micros());
        (Hour::FIRST..=Hour::LAST).contains(&hour).then_some(hour)
    }

    /// Returns the path of the partition relative to the table's root: `date=YYYY-MM-DD/hour=HH`.
    pub fn partition_path(self) -> String {
        self.start().format("date=%Y-%m-%d/hour=%H").to_string()
    }
}

impl fmt::Display for Hour {
    /// Formats the hour's start as RFC 3339, `2020-01-01T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().format("%Y-%m-%dT%H:%M:%SZ").fmt(f)
    }
}

/// Source of the current time, the only one in the program, so that a test can advance the hour.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the microseconds since the Unix epoch.
    fn now_us(&self) -> i64;

    fn hour(&self) -> Hour {
        Hour::of_us(self.now_us())
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(MAX_TIMESTAMP_US),
            Err(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_microsecond_belongs_to_its_hour() {
        let hour = Hour::of_us(10_032_342_000_000);
        assert_eq!(hour.to_string(), "1970-04-27T02:00:00Z");
        assert_eq!(Hour::of_us(hour.end_us() - 1), hour);
        assert_eq!(Hour::of_us(hour.end_us()), hour.next());
    }

    #[test]
    fn partitions_name_their_hour() {
        let hour = Hour::of_us(1_577_840_400_000_000);
        assert_eq!(hour.partition_path(), "date=2020-01-01/hour=01");
        assert_eq!(Hour::from_partition(hour.date(), hour.of_day()), Some(hour));
        assert_eq!(Hour::from_partition(hour.date(), 24), None);
        assert_eq!(Hour::LAST.partition_path(), "date=9999-12-31/hour=23");
    }
}
