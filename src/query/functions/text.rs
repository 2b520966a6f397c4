//! Parsing of times from text, in the formats that PostgreSQL accepts.

use arrow::array::timezone::Tz;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::time_bucket::instant_in;

/// Parses a date, or the date of a time.
pub fn parse_date(text: &str) -> Result<NaiveDate, String> {
    Ok(Spelled::of(text)?.local.date())
}

/// Parses a time to microseconds since 1970. A text without a zone is a time of `zone`.
pub fn parse_time(text: &str, zone: Option<&str>) -> Result<i64, String> {
    let spelled = Spelled::of(text)?;
    let local = spelled.local.and_utc().timestamp_micros();
    let Some(zone) = spelled.zone.as_deref().or(zone) else { return Ok(local) };
    let tz: Tz = zone.parse().map_err(|_| format!("'{zone}' is no time zone"))?;
    instant_in(tz, local, 0).ok_or_else(|| format!("'{text}' is outside the range of the calendar"))
}

/// A parsed text.
struct Spelled {
    local: NaiveDateTime,
    zone: Option<String>,
}

impl Spelled {
    fn of(text: &str) -> Result<Spelled, String> {
        let fault = |reason: &str| format!("'{text}' is no time: {reason}");
        let trimmed = text.trim();
        match trimmed.to_ascii_lowercase().as_str() {
            "epoch" => {
                return Ok(Spelled {
                    local: NaiveDateTime::default(),
                    zone: Some("+00:00".into()),
                });
            }
            "infinity" | "+infinity" | "-infinity" => {
                return Err(fault("infinite times are not supported"));
            }
            "now" | "today" | "yesterday" | "tomorrow" => {
                return Err(fault("write now() or current_date, with an INTERVAL added to it"));
            }
            _ => {}
        }
        let (trimmed, is_before_christ) = era_of(trimmed);
        let date_ends = trimmed.find(|c: char| c == 'T' || c == 't' || c.is_whitespace());
        let (date, rest) = trimmed.split_at(date_ends.unwrap_or(trimmed.len()));
        let (date, beside) = date_of(date, is_before_christ)
            .ok_or_else(|| fault("write it as 2025-01-06 02:00:00, in UTC or with an offset"))?;
        let rest = rest.trim_start_matches(|c: char| c == 'T' || c == 't' || c.is_whitespace());
        let clock_ends = rest
            .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
            .unwrap_or(rest.len());
        let (clock, zone) = rest.split_at(clock_ends);
        let (clock, days) = match clock {
            "" if rest.is_empty() => (NaiveTime::MIN, 0),
            _ => clock_of(clock).ok_or_else(|| {
                fault("the time of day is written as 02:00, 02:00:00 or 02:00:00.000001")
            })?,
        };
        let zone = zone_of(if beside.is_empty() { zone } else { beside });
        let zone =
            zone.ok_or_else(|| fault("its zone is written as Z, +01, +01:00 or Europe/Berlin"))?;
        let date = date
            .checked_add_days(chrono::Days::new(days))
            .ok_or_else(|| fault("the calendar ends there"))?;
        Ok(Spelled { local: date.and_time(clock), zone })
    }
}

/// Splits off the era at the end of a text; returns whether it is BC.
fn era_of(text: &str) -> (&str, bool) {
    let era = text.rfind(char::is_whitespace).map(|at| (text[..at].trim_end(), &text[at + 1..]));
    match era {
        Some((rest, era)) if era.eq_ignore_ascii_case("BC") => (rest, true),
        Some((rest, era)) if era.eq_ignore_ascii_case("AD") => (rest, false),
        _ => (text, false),
    }
}

/// Parses `2025-01-06`, `2025-1-6`, `2025/01/06` or `20250106`; returns the date and the rest of
/// the text. The year before 1 is 1 BC.
fn date_of(text: &str, is_before_christ: bool) -> Option<(NaiveDate, &str)> {
    let year = |text: &str| {
        let year = text.parse::<i32>().ok()?;
        if is_before_christ { (year > 0).then_some(1 - year) } else { Some(year) }
    };
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        let date = NaiveDate::from_ymd_opt(
            year(&text[..4])?,
            text[4..6].parse().ok()?,
            text[6..].parse().ok()?,
        )?;
        return Some((date, ""));
    }
    let separator = if text.contains('/') { '/' } else { '-' };
    let mut parts = text.splitn(3, separator);
    let (years, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let day_ends = day.find(|c: char| !c.is_ascii_digit()).unwrap_or(day.len());
    let (day, beside) = day.split_at(day_ends);
    let is_number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !is_number(years, 4..=6) || !is_number(month, 1..=2) || !is_number(day, 1..=2) {
        return None;
    }
    Some((NaiveDate::from_ymd_opt(year(years)?, month.parse().ok()?, day.parse().ok()?)?, beside))
}

/// Parses the time of day; returns the number of days to add, 1 for 24:00. Digits beyond
/// microseconds must be zeros.
fn clock_of(text: &str) -> Option<(NaiveTime, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let compact: Vec<String>;
    let parts: Vec<&str> = match (whole.contains(':'), whole.len()) {
        (false, 4 | 6) => {
            compact = whole
                .as_bytes()
                .chunks(2)
                .map(|two| String::from_utf8_lossy(two).into_owned())
                .collect();
            compact.iter().map(String::as_str).collect()
        }
        _ => whole.split(':').collect(),
    };
    if parts.is_empty()
        || parts.len() > 3
        || parts.iter().any(|part| part.is_empty() || part.len() > 2)
    {
        return None;
    }
    if (text.contains('.') && parts.len() != 3) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |i: usize| parts.get(i).map_or(Some(0), |part| part.parse::<u32>().ok());
    let (hour, minute, second) = (number(0)?, number(1)?, number(2)?);
    let (digits, beyond) = fraction.split_at(fraction.len().min(6));
    if beyond.bytes().any(|b| b != b'0') {
        return None;
    }
    let micros = format!("{digits:0<6}").parse::<u32>().ok()?;
    // As in PostgreSQL: 24:00 is the end of the day, and second 60 is carried into the next minute.
    let is_end = (hour, minute, second, micros) == (24, 0, 0, 0);
    let is_leap = second == 60 && micros == 0;
    let clock = NaiveTime::from_hms_micro_opt(
        if is_end { 0 } else { hour },
        minute,
        if is_leap { 59 } else { second },
        if is_leap { 0 } else { micros },
    )?;
    if is_leap {
        let (clock, wrapped) = clock.overflowing_add_signed(chrono::TimeDelta::seconds(1));
        Some((clock, u64::from(wrapped > 0)))
    } else {
        Some((clock, u64::from(is_end)))
    }
}

/// Parses the zone at the end of a text; the inner `None` means that there is none.
fn zone_of(text: &str) -> Option<Option<String>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if ["z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(Some("+00:00".into()));
    }
    let (sign, digits) = match text.as_bytes()[0] {
        b'+' | b'-' => text.split_at(1),
        _ => return text.parse::<Tz>().is_ok().then(|| Some(text.to_string())),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "0"),
    };
    let number = |text: &str, end: u32| {
        let is_number =
            !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|n| is_number && *n < end)
    };
    Some(Some(format!("{sign}{:02}:{:02}", number(hours, 16)?, number(minutes, 60)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_postgresql_reads_it() {
        let noon = 1_736_128_800_000_000; // 2025-01-06T02:00:00Z
        for text in [
            "2025-01-06 02:00",
            "2025-01-06T02",
            "2025-01-06 02",
            "2025-1-6 2:00",
            "20250106 0200",
            "2025/01/06 02:00:00",
            "2025-01-06T02:00:00Z",
            "2025-01-06 02:00:00.000000",
            "2025-01-06 03:00+01",
            "2025-01-06 03:00 +0100",
            "2025-01-06 03:00 Europe/Berlin",
            " 2025-01-06 02:00:00 UTC ",
            "2025-01-05 21:00:00-05:00",
            "2025-01-06 01:59:60",
            "2025-01-06T02:00:00.000000000",
        ] {
            assert_eq!(parse_time(text, Some("UTC")), Ok(noon), "{text}");
        }
        assert_eq!(parse_time("epoch", None), Ok(0));
        assert_eq!(parse_time("9999-12-31 24:00", None), parse_time("10000-01-01", None));
        let day_us = 86_400_000_000;
        assert_eq!(
            parse_time("0001-12-31 BC", None),
            parse_time("0001-01-01", None).map(|us| us - day_us)
        );
        assert_eq!(parse_time("0001-02-29 00:00:00+00 BC", None), Ok(-62_162_121_600_000_000));
        assert_eq!(parse_time("2025-01-06", Some("Europe/Berlin")), Ok(noon - 3 * 3_600_000_000));
        for text in [
            "infinity",
            "today",
            "",
            "2025",
            "2025-13-01",
            "2025-02-30",
            "12:00",
            "2025-01-06 02:00:00.0000005",
            "2025-01-06 25:00",
            "2025-01-06 02:00 Mars",
            "2025-01-06 02:00+1:2:3",
            "2025-01-06 0x",
        ] {
            assert!(parse_time(text, None).is_err(), "{text}");
        }
    }
}
