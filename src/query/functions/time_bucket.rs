//! Units of time: how an expression divides time into intervals. This is pure arithmetic over
//! microseconds; the time functions use it to compute, and pruning uses it to derive time ranges
//! from predicates.

use arrow::array::timezone::Tz;
use chrono::offset::{LocalResult, Offset};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use datafusion::scalar::ScalarValue;

use crate::hour::HOUR_US;

pub const SECOND_US: i64 = 1_000_000;
pub const DAY_US: i64 = 24 * HOUR_US;

/// Monday, 5 January 1970. Weeks begin on Mondays (ISO 8601).
const FIRST_MONDAY_US: i64 = 4 * DAY_US;

/// Division of time into consecutive intervals, on each of which an expression has one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBucket {
    /// Intervals of `width` microseconds, one of which begins at `origin`.
    Fixed { width: i64, origin: i64 },
    /// Calendar months, `width` at a time; one such interval begins `origin` months after January
    /// of the year 0.
    Months { width: i64, origin: i64 },
}

impl TimeBucket {
    pub const fn of_width(width: i64) -> TimeBucket {
        TimeBucket::Fixed { width, origin: 0 }
    }

    const fn months(width: i64) -> TimeBucket {
        TimeBucket::Months { width, origin: 0 }
    }

    /// Returns the unit that `date_trunc` takes under this name, in PostgreSQL's spellings.
    pub fn named(name: &str) -> Option<TimeBucket> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" => TimeBucket::of_width(1),
            "millisecond" | "milliseconds" => TimeBucket::of_width(1_000),
            "second" | "seconds" => TimeBucket::of_width(SECOND_US),
            "minute" | "minutes" => TimeBucket::of_width(60 * SECOND_US),
            "hour" | "hours" => TimeBucket::of_width(HOUR_US),
            "day" | "days" => TimeBucket::of_width(DAY_US),
            "week" | "weeks" => TimeBucket::Fixed { width: 7 * DAY_US, origin: FIRST_MONDAY_US },
            "month" | "months" => TimeBucket::months(1),
            "quarter" | "quarters" => TimeBucket::months(3),
            "year" | "years" => TimeBucket::months(12),
            "decade" | "decades" => TimeBucket::months(120),
            // The first century began with the year 1, as there is no year 0.
            "century" | "centuries" => TimeBucket::Months { width: 1_200, origin: 12 },
            "millennium" | "millennia" => TimeBucket::Months { width: 12_000, origin: 12 },
            _ => return None,
        })
    }

    /// Returns intervals of the width of an SQL interval, one of which begins at `origin`; `None`
    /// if that is no unit: months with an origin within a month, months and days together,
    /// fractions of a microsecond, zero or negative width.
    pub fn bin(width: &ScalarValue, origin: i64) -> Option<TimeBucket> {
        let ScalarValue::IntervalMonthDayNano(Some(interval)) = width else { return None };
        if interval.months != 0 {
            let date = DateTime::from_timestamp_micros(origin)?.date_naive();
            let is_whole = interval.days == 0 && interval.nanoseconds == 0 && date.day() == 1;
            let width = i64::from(interval.months);
            return (width > 0 && is_whole && origin.rem_euclid(DAY_US) == 0)
                .then(|| TimeBucket::Months { width, origin: month_of(date).rem_euclid(width) });
        }
        let nanos = i128::from(interval.days) * i128::from(DAY_US) * 1_000
            + i128::from(interval.nanoseconds);
        let width = i64::try_from(nanos / 1_000).ok()?;
        (width > 0 && nanos % 1_000 == 0)
            .then(|| TimeBucket::Fixed { width, origin: origin.rem_euclid(width) })
    }

    /// Returns the unit of `outer` applied to values of this unit; `None` unless the intervals of
    /// one are made of whole intervals of the other.
    pub fn coarser(self, outer: TimeBucket) -> Option<TimeBucket> {
        match (self.divides(outer), outer.divides(self)) {
            (true, _) => Some(outer),
            (false, true) => Some(self),
            (false, false) => None,
        }
    }

    /// Reports whether every interval of `coarse` is made of whole intervals of this unit.
    fn divides(self, coarse: TimeBucket) -> bool {
        match (self, coarse) {
            (
                TimeBucket::Fixed { width, origin },
                TimeBucket::Fixed { width: wide, origin: other },
            )
            | (
                TimeBucket::Months { width, origin },
                TimeBucket::Months { width: wide, origin: other },
            ) => wide % width == 0 && (other - origin) % width == 0,
            (TimeBucket::Fixed { width, origin }, TimeBucket::Months { .. }) => {
                DAY_US % width == 0 && origin % width == 0
            }
            (TimeBucket::Months { .. }, TimeBucket::Fixed { .. }) => false,
        }
    }

    /// Reports whether intervals begin only at full hours.
    pub fn is_hourly(self) -> bool {
        match self {
            TimeBucket::Fixed { width, origin } => width % HOUR_US == 0 && origin % HOUR_US == 0,
            TimeBucket::Months { .. } => true,
        }
    }

    /// Reports whether every interval is one hour.
    pub fn is_hour(self) -> bool {
        self == TimeBucket::of_width(HOUR_US)
    }

    /// Reports whether every interval is one day.
    pub fn is_day(self) -> bool {
        self == TimeBucket::of_width(DAY_US)
    }

    /// Returns the number of the interval that contains an instant; intervals are numbered
    /// consecutively.
    pub fn index(self, us: i64) -> Option<i64> {
        match self {
            TimeBucket::Fixed { width, origin } => Some(us.checked_sub(origin)?.div_euclid(width)),
            TimeBucket::Months { width, origin } => {
                let date = DateTime::from_timestamp_micros(us)?.date_naive();
                Some((month_of(date) - origin).div_euclid(width))
            }
        }
    }

    /// Returns the start of an interval.
    fn start_of(self, index: i64) -> Option<i64> {
        match self {
            TimeBucket::Fixed { width, origin } => index.checked_mul(width)?.checked_add(origin),
            TimeBucket::Months { width, origin } => {
                start_of_month(index.checked_mul(width)?.checked_add(origin)?)
            }
        }
    }

    /// Returns the start of the interval that contains an instant; `None` beyond the end of the
    /// calendar.
    pub fn start(self, us: i64) -> Option<i64> {
        self.start_of(self.index(us)?)
    }

    /// Returns the start and end of the interval that contains an instant; `None` beyond the end of
    /// the calendar.
    pub fn interval(self, us: i64) -> Option<(i64, i64)> {
        let index = self.index(us)?;
        Some((self.start_of(index)?, self.start_of(index.checked_add(1)?)?))
    }

    /// Returns the start of the interval that contains an instant, on the local clock of `zone`.
    pub fn start_in(self, zone: Tz, us: i64) -> Option<i64> {
        let offset = offset_at(zone, us)?;
        instant_in(zone, self.start(us.checked_add(offset)?)?, offset)
    }
}

/// Returns the months since January of the year 0.
fn month_of(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn start_of_month(month: i64) -> Option<i64> {
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    let first = NaiveDate::from_ymd_opt(year, month.rem_euclid(12) as u32 + 1, 1)?;
    Some(first.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

/// Returns the offset of `zone` from UTC at an instant.
pub fn offset_at(zone: Tz, us: i64) -> Option<i64> {
    let utc = DateTime::from_timestamp_micros(us)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * SECOND_US)
}

/// Returns the instant at which the local clock of `zone` shows `local`. If there are two, returns
/// the one with the offset `preferred`, or else the first. If the clock skips `local`, returns an
/// instant that is later by as much as the clock is put forward.
pub fn instant_in(zone: Tz, local: i64, preferred: i64) -> Option<i64> {
    let naive = DateTime::from_timestamp_micros(local)?.naive_utc();
    let us =
        |offset: <Tz as TimeZone>::Offset| i64::from(offset.fix().local_minus_utc()) * SECOND_US;
    let offset = match zone.offset_from_local_datetime(&naive) {
        LocalResult::Single(offset) => us(offset),
        LocalResult::Ambiguous(first, second) => {
            let (first, second) = (us(first), us(second));
            if second == preferred { second } else { first }
        }
        LocalResult::None => {
            let before = naive.checked_sub_signed(TimeDelta::hours(3))?;
            zone.offset_from_local_datetime(&before).earliest().map_or(preferred, us)
        }
    };
    local.checked_sub(offset)
}
