//! Dates and times as PostgreSQL prints them (ISO style, UTC), and the ranges of its types.
//!
//! Arrow counts from 1970, PostgreSQL's binary forms from 2000. Infinite dates and times do not
//! exist in Arrow; the numbers that stand for them are outside the ranges below.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::error::ValueError;

pub const DAY_US: i64 = 86_400_000_000;

/// 2000-01-01 in days since 1970.
pub const EPOCH_DAYS: i64 = 10_957;

/// 2000-01-01 in microseconds since 1970.
pub const EPOCH_US: i64 = EPOCH_DAYS * DAY_US;

/// Dates of PostgreSQL in days since 1970: from 4713-11-24 BC to 5874897-12-31.
const DATES: Range<i64> = -2_440_588..2_145_042_906;

/// Returns the date if PostgreSQL has it.
pub fn checked_date(days: i64) -> Result<i64, ValueError> {
    match DATES.contains(&days) {
        true => Ok(days),
        false => Err(ValueError::out_of_range("date", format_args!("day {days} since 1970"))),
    }
}

/// Returns the time if PostgreSQL has it: from 4713-11-24 BC; Arrow's end is before PostgreSQL's.
pub fn checked_timestamp(us: i64) -> Result<i64, ValueError> {
    match us >= DATES.start * DAY_US {
        true => Ok(us),
        false => {
            Err(ValueError::out_of_range("timestamp", format_args!("microsecond {us} since 1970")))
        }
    }
}

/// Returns the time of day if it is one; PostgreSQL has 24:00:00.
pub fn checked_clock(us: i64) -> Result<i64, ValueError> {
    match (0..=DAY_US).contains(&us) {
        true => Ok(us),
        false => Err(ValueError::out_of_range("time", format_args!("microsecond {us} of the day"))),
    }
}

/// Returns year, month and day of a number of days since 1970; the year 0 is 1 BC. The algorithm is
/// Howard Hinnant's (chrono-compatible low-level date algorithms, civil_from_days).
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month as u8, day as u8)
}

/// A text of ASCII on the stack.
struct Line {
    bytes: [u8; 48],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 48], length: 0 }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn two(&mut self, n: u8) {
        self.byte(b'0' + n / 10);
        self.byte(b'0' + n % 10);
    }

    /// Appends a year, with four digits at least.
    fn year(&mut self, year: u64) {
        let digits = super::numeric::Digits::of(year.into());
        for _ in digits.as_bytes().len()..4 {
            self.byte(b'0');
        }
        digits.as_bytes().iter().for_each(|digit| self.byte(*digit));
    }

    /// Appends a date; returns whether it is before the year 1, which is said at the end.
    fn date(&mut self, days: i64) -> bool {
        let (year, month, day) = civil(days);
        self.year(if year > 0 { year } else { 1 - year }.unsigned_abs());
        self.byte(b'-');
        self.two(month);
        self.byte(b'-');
        self.two(day);
        year <= 0
    }

    /// Appends a time of less than 100 hours.
    fn clock(&mut self, us: i64) {
        let (seconds, us) = (us / 1_000_000, us % 1_000_000);
        self.two((seconds / 3_600) as u8);
        self.byte(b':');
        self.two((seconds / 60 % 60) as u8);
        self.byte(b':');
        self.two((seconds % 60) as u8);
        self.fraction(us as u32);
    }

    /// Appends a fraction of a second without the zeros at its end.
    fn fraction(&mut self, us: u32) {
        if us == 0 {
            return;
        }
        self.byte(b'.');
        let (mut rest, mut unit) = (us, 100_000);
        while rest > 0 {
            self.byte(b'0' + (rest / unit) as u8);
            (rest, unit) = (rest % unit, unit / 10);
        }
    }

    fn finish(mut self, out: &mut BytesMut, is_before_christ: bool) {
        if is_before_christ {
            b" BC".iter().for_each(|byte| self.byte(*byte));
        }
        out.put_slice(&self.bytes[..self.length]);
    }
}

/// Appends a date, as in `2026-11-25` or `0044-03-15 BC`.
pub fn put_date(out: &mut BytesMut, days: i64) {
    let mut line = Line::new();
    let is_before_christ = line.date(days);
    line.finish(out, is_before_christ);
}

/// Appends a time of day, as in `10:00:00.25`.
pub fn put_clock(out: &mut BytesMut, us: i64) {
    let mut line = Line::new();
    line.clock(us);
    line.finish(out, false);
}

/// Appends a time in UTC, as in `2026-11-25 10:00:00+00`; without `+00` if it has no zone.
pub fn put_timestamp(out: &mut BytesMut, us: i64, has_zone: bool) {
    let mut line = Line::new();
    let is_before_christ = line.date(us.div_euclid(DAY_US));
    line.byte(b' ');
    line.clock(us.rem_euclid(DAY_US));
    if has_zone {
        b"+00".iter().for_each(|byte| line.byte(*byte));
    }
    line.finish(out, is_before_christ);
}

/// Appends the seconds of an interval, as in `05.25`.
pub fn put_seconds(out: &mut BytesMut, us: u64) {
    let mut line = Line::new();
    line.two((us / 1_000_000) as u8);
    line.fraction((us % 1_000_000) as u32);
    line.finish(out, false);
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike};

    use super::*;

    #[test]
    fn a_day_has_the_date_that_the_calendar_gives_it() {
        for day in (-80_000_000..80_000_000).step_by(9_973) {
            let date = DateTime::from_timestamp(day * 86_400, 0).unwrap().date_naive();
            let date = (date.year().into(), date.month() as u8, date.day() as u8);
            assert_eq!(civil(day), date, "day {day}");
        }
    }

    #[test]
    fn a_fraction_has_no_zeros_at_its_end() {
        for (us, text) in [
            (0, "00:00:00"),
            (100_000, "00:00:00.1"),
            (86_399_000_001, "23:59:59.000001"),
            (86_400_000_000, "24:00:00"),
        ] {
            let mut out = BytesMut::new();
            put_clock(&mut out, us);
            assert_eq!(out, text);
        }
    }
}
