//! Timestamp parsing: numbers in a unit since 1970, and texts.
//!
//! A text is a date, `T` or a space, and a time of day: `2020-01-01T00:00:16.384Z` (RFC 3339),
//! `2020-01-01 00:00:16.384+00` (PostgreSQL), `2020-01-01 00:00` (no seconds), `2020-01-01
//! 00:00:16.384 UTC` (BigQuery). Without an offset it is UTC. Digits below a microsecond are
//! truncated. A leap second, `23:59:60`, is the second after it, as in POSIX. A date alone names no
//! hour and is rejected, and so is `24:00`.

use std::time::Duration;

use chrono::NaiveDate;

use super::{MAX_TIMESTAMP_US, Rejection, check_timestamp_us, outside, shown};

/// Parses whole milliseconds since the epoch (`10032342000`) or a text, and returns microseconds.
pub fn parse_timestamp(text: &str) -> Result<i64, Rejection> {
    TimestampRules::default().text(text)
}

/// Unit of numeric timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampUnit {
    Second,
    /// The default of the HTTP API.
    #[default]
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl TimestampUnit {
    pub fn parse(text: &str) -> Option<TimestampUnit> {
        Some(match text {
            "s" => TimestampUnit::Second,
            "ms" => TimestampUnit::Millisecond,
            "us" => TimestampUnit::Microsecond,
            "ns" => TimestampUnit::Nanosecond,
            _ => return None,
        })
    }

    fn in_us(self, number: i64) -> i64 {
        match self {
            TimestampUnit::Second => number.saturating_mul(1_000_000),
            TimestampUnit::Millisecond => number.saturating_mul(1_000),
            TimestampUnit::Microsecond => number,
            TimestampUnit::Nanosecond => number.div_euclid(1_000),
        }
    }

    /// Describes accepted numbers. Only seconds may have a fraction: in a smaller unit one is most
    /// likely a mistake.
    fn numbers(self) -> &'static str {
        match self {
            TimestampUnit::Second => "seconds",
            TimestampUnit::Millisecond => "whole milliseconds",
            TimestampUnit::Microsecond => "whole microseconds",
            TimestampUnit::Nanosecond => "whole nanoseconds",
        }
    }
}

/// Range of accepted instants, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampBounds {
    oldest_us: i64,
    newest_us: i64,
}

impl Default for TimestampBounds {
    fn default() -> TimestampBounds {
        TimestampBounds { oldest_us: 0, newest_us: MAX_TIMESTAMP_US }
    }
}

impl TimestampBounds {
    /// Returns the range around `now_us`; without a duration, it extends to the store's own limit.
    pub fn around(
        now_us: i64,
        max_age: Option<Duration>,
        max_ahead: Option<Duration>,
    ) -> TimestampBounds {
        let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        TimestampBounds {
            oldest_us: max_age.map_or(0, |age| now_us.saturating_sub(us(age)).max(0)),
            newest_us: max_ahead.map_or(MAX_TIMESTAMP_US, |ahead| now_us.saturating_add(us(ahead))),
        }
    }

    /// Checks an instant that is within the store's own limits.
    pub fn check(self, us: i64) -> Result<i64, Rejection> {
        if us < self.oldest_us {
            return Err(outside(
                "is further back than the settings event_max_age and retention allow",
                us,
            ));
        }
        if us > self.newest_us {
            return Err(outside("is further ahead than the setting event_max_ahead allows", us));
        }
        Ok(us)
    }
}

/// Rules by which the timestamps of an input are parsed and accepted. Results are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimestampRules {
    /// Unit of numbers.
    pub unit: TimestampUnit,
    pub bounds: TimestampBounds,
}

impl TimestampRules {
    pub fn microseconds(self, us: i64) -> Result<i64, Rejection> {
        check_timestamp_us(us).and_then(|us| self.bounds.check(us))
    }

    pub fn number(self, number: i64) -> Result<i64, Rejection> {
        self.microseconds(self.unit.in_us(number))
    }

    /// Accepts a float that is a whole number, or seconds with a fraction.
    pub fn float(self, number: f64) -> Result<i64, Rejection> {
        /// Above it a float may have been rounded from a neighbouring whole number.
        const EXACT: f64 = (1_u64 << 53) as f64;
        if self.unit == TimestampUnit::Second && number.is_finite() {
            return self.microseconds((number * 1e6).round() as i64);
        }
        if number.fract() != 0.0 || !number.is_finite() {
            return Err(self.unreadable(&number.to_string()));
        }
        let us = self.number(number as i64)?;
        if number <= EXACT {
            Ok(us)
        } else {
            Err(Rejection::new(
                "timestamp",
                format!("is too large for a float to be exact; found {number}"),
            ))
        }
    }

    /// Parses a decimal number or a text.
    pub fn text(self, text: &str) -> Result<i64, Rejection> {
        if let Some(us) = self.digits(text) {
            return self.microseconds(us);
        }
        match instant(text.as_bytes()) {
            Some(us) => self.microseconds(us),
            None => Err(self.unreadable(&shown(text))),
        }
    }

    /// Returns the rejection of a value that is not a timestamp.
    pub fn unreadable(self, found: &str) -> Rejection {
        let numbers = self.unit.numbers();
        let wanted = format!(
            "must be {numbers} since 1970 or RFC 3339, such as 2020-01-01T00:00:00Z; found {found}"
        );
        Rejection::new("timestamp", wanted)
    }

    /// Parses an optional `-`, digits, and an optional fraction: zero, or any for seconds.
    fn digits(self, text: &str) -> Option<i64> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_fraction_taken =
            self.unit == TimestampUnit::Second || fraction.bytes().all(|byte| byte == b'0');
        if !all_digits(whole) || !all_digits(fraction) || !is_fraction_taken {
            return None;
        }
        // Parsing fails only past 64 bits; the saturated value is then rejected as out of range.
        let sign = if digits.len() < text.len() { -1 } else { 1 };
        let us = self.unit.in_us(whole.parse().map_or(i64::MAX, |whole: i64| whole));
        Some(us.saturating_add(micros(fraction.as_bytes())).saturating_mul(sign))
    }
}

/// Returns the first six digits of a fraction of a second as microseconds.
fn micros(digits: &[u8]) -> i64 {
    (0..6).fold(0, |us, i| us * 10 + digits.get(i).map_or(0, |digit| i64::from(digit - b'0')))
}

/// Cursor over the bytes of a timestamp; each method consumes a prefix.
struct Parts<'t>(&'t [u8]);

impl Parts<'_> {
    /// Consumes one of the given bytes.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Consumes a number of exactly `digits` digits.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |all, digit| {
            digit.is_ascii_digit().then(|| all * 10 + u32::from(digit - b'0'))
        })
    }

    /// Consumes two digits below `end`: hours, minutes or seconds.
    fn below(&mut self, end: u32) -> Option<i64> {
        self.number(2).filter(|&number| number < end).map(i64::from)
    }

    /// Consumes `:MM` and an optional `:SS`, and returns seconds; 0 if there is no colon.
    fn minutes_and_seconds(&mut self, max_second: u32) -> Option<i64> {
        let mut seconds = 0;
        if self.one_of(b":").is_some() {
            seconds = self.below(60)? * 60;
            if self.one_of(b":").is_some() {
                seconds += self.below(max_second + 1)?;
            }
        }
        Some(seconds)
    }

    /// Consumes `Z`, `UTC`, `+01`, `+0100`, `+01:00`, or nothing, which means UTC; returns seconds.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        self.one_of(b" ");
        if matches!(self.0, b"Z" | b"z" | b"UTC") {
            self.0 = b"";
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.below(24)?;
        let rest = match self.0.first() {
            Some(digit) if digit.is_ascii_digit() => self.below(60)? * 60,
            _ => self.minutes_and_seconds(59)?,
        };
        Some(sign * (hours * 3_600 + rest))
    }
}

/// Parses a date and a time of day, and returns microseconds.
fn instant(text: &[u8]) -> Option<i64> {
    let mut parts = Parts(text);
    let year = parts.number(4)?;
    parts.one_of(b"-")?;
    let month = parts.number(2)?;
    parts.one_of(b"-")?;
    let day = parts.number(2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    parts.one_of(b"Tt ")?;
    let hour = parts.below(24)?;
    let after_hour = parts.0;
    let seconds = hour * 3_600 + parts.minutes_and_seconds(60)?;
    // `HH:MM:SS` is eight bytes, six of them after the hour; minutes are required.
    let taken = after_hour.len() - parts.0.len();
    let mut us = 0;
    if taken == 6 && parts.one_of(b".").is_some() {
        let digits = parts.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        us = micros(&parts.0[..digits]);
        parts.0 = &parts.0[digits..];
        (digits > 0).then_some(())?;
    }
    let offset = parts.offset()?;
    let is_whole = taken > 0 && parts.0.is_empty();
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    is_whole.then(|| (midnight + seconds - offset) * 1_000_000 + us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_577_836_816_384;

    #[test]
    fn milliseconds_and_rfc_3339_name_the_same_instant() {
        assert_eq!(parse_timestamp("10032342000"), Ok(10_032_342_000_000));
        assert_eq!(parse_timestamp("1970-04-27T02:45:42Z"), Ok(10_032_342_000_000));
        assert_eq!(parse_timestamp("1970-04-27T04:45:42.000+02:00"), Ok(10_032_342_000_000));
    }

    #[test]
    fn what_other_engines_write_is_read_to_the_microsecond() {
        for text in [
            "2020-01-01T00:00:16.384Z",
            "2020-01-01 00:00:16.384+00",
            "2020-01-01 00:00:16.384",
            "2020-01-01t00:00:16.384z",
            "2020-01-01T00:00:16.384+0000",
            "2020-01-01 05:30:16.384+05:30",
            "2020-01-01 01:00:16.384+01",
            "2019-12-31 23:15:46.384-00:44:30",
            "2020-01-01 00:00:16.384 UTC",
            "2020-01-01 00:00:16.3840000 +00:00",
            "1577836816384",
            "1577836816384.000",
        ] {
            assert_eq!(parse_timestamp(text), Ok(MS * 1000), "{text}");
        }
        let at = |text: &str| parse_timestamp(text).unwrap();
        assert_eq!(at("2020-01-01 00:01"), at("2020-01-01T00:01:00Z"));
        assert_eq!(at("1970-01-01T00:00:00.1"), 100_000);
        assert_eq!(at("1970-01-01T00:00:00.123456789"), 123_456);
        assert_eq!(at("1970-01-01T00:00:00.0000019Z"), 1, "digits below a microsecond are cut");
        assert_eq!(at("2016-12-31T23:59:60.5Z"), at("2017-01-01T00:00:00.5Z"), "a leap second");
        assert_eq!(at("9999-12-31T23:59:59.999999Z"), MAX_TIMESTAMP_US);
    }

    #[test]
    fn every_text_of_rfc_3339_is_read_as_chrono_reads_it() {
        for text in [
            "2024-02-29T23:59:59.999999-23:59",
            "2000-01-01T00:00:00+00:01",
            "1970-01-02T00:00:00.000001-00:00",
        ] {
            let chrono = chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(parse_timestamp(text), Ok(chrono), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_of_the_store_is_rejected() {
        let beyond = "99999999999999999999";
        for text in [
            "",
            "-",
            "-1",
            "+1",
            "1.5",
            "1.",
            ".5",
            "1e3",
            " 1",
            "2020-01-01",
            "2020-01-01T00",
            "2020-01-01T24:00:00Z",
            "2020-02-30T00:00:00Z",
            "2020-01-01T00:60Z",
            "2020-01-01T00:00:61Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00,5Z",
            "2020-01-01T00:00.5Z",
            "2020-01-01T00:00:00 ",
            "2020-01-01T00:00:00Zx",
            "2020-01-01T00:00:00+1",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01  00:00:00",
            "20-01-01 00:00:00",
            "infinity",
            "0044-03-15 12:00:00 BC",
            "1969-12-31T23:59:59.999Z",
            "1970-01-01 00:00:00+01",
            "٣",
            beyond,
        ] {
            assert_eq!(
                parse_timestamp(text).map_err(|rejection| rejection.parameter),
                Err("timestamp".into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_counts_in_its_unit_as_digits_and_as_a_float() {
        use TimestampUnit::{Microsecond, Millisecond, Nanosecond, Second};
        let rules = |unit| TimestampRules { unit, ..TimestampRules::default() };
        for (unit, number) in [
            (Second, 5),
            (Millisecond, 5_000),
            (Microsecond, 5_000_000),
            (Nanosecond, 5_000_000_999),
        ] {
            assert_eq!(rules(unit).number(number), Ok(5_000_000), "{unit:?}");
            assert_eq!(rules(unit).text(&number.to_string()), Ok(5_000_000), "{unit:?}");
            assert_eq!(rules(unit).float(number as f64), Ok(5_000_000), "{unit:?}");
            for out in [i64::MIN, -1_000_000_000_000, i64::MAX] {
                let is_late = unit == Nanosecond && out > 0;
                assert_eq!(rules(unit).number(out).is_err(), !is_late, "{unit:?} {out}");
            }
        }
        assert_eq!(rules(Second).text("1577836816.384001"), Ok(MS * 1000 + 1));
        assert_eq!(rules(Second).float(1_577_836_816.384_001), Ok(MS * 1000 + 1));
        for float in [f64::NAN, f64::INFINITY, -1.0, 0.5, 1e300, 9_007_199_254_740_994.0] {
            assert!(rules(Millisecond).float(float).is_err(), "{float}");
        }
        let inexact = rules(Nanosecond).float(1.577_836_816_384e18).unwrap_err().reason;
        assert_eq!(inexact, "is too large for a float to be exact; found 1577836816384000000");
        assert_eq!(rules(Millisecond).float(-0.0), Ok(0));
    }

    #[test]
    fn what_lies_too_far_from_the_clock_is_told_the_setting() {
        let (now, minute) = (1_000_000_000_000, Duration::from_secs(60));
        let bounds = TimestampBounds::around(now, Some(minute), Some(minute));
        assert_eq!(bounds.check(now - 60_000_000), Ok(now - 60_000_000));
        assert_eq!(bounds.check(now + 60_000_000), Ok(now + 60_000_000));
        assert!(bounds.check(now - 60_000_001).unwrap_err().reason.contains("event_max_age"));
        assert!(bounds.check(now + 60_000_001).unwrap_err().reason.contains("event_max_ahead"));
        let open = TimestampBounds::around(now, None, None);
        assert_eq!((open.check(0), open.check(MAX_TIMESTAMP_US)), (Ok(0), Ok(MAX_TIMESTAMP_US)));
        assert_eq!(
            TimestampBounds::around(now, Some(Duration::MAX), Some(Duration::MAX)).check(0),
            Ok(0)
        );
    }
}
