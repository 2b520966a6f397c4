//! Parsing of intervals from text, in the styles that PostgreSQL prints.

use super::time_bucket::DAY_US;

/// Months, days and microseconds, which are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub us: i64,
}

/// Nanos of a unit, the resolution of the numbers in a text.
const ONE: i128 = 1_000_000_000;

/// Parses an interval as PostgreSQL writes it in any of its styles: `1 mon -2 days +03:04:05.5`,
/// `@ 1 mon 2 days ago`, `P1Y2M3DT4H5M6S`.
///
/// # Errors
/// Says what is wrong.
pub fn parse(text: &str) -> Result<Interval, String> {
    let trimmed = text.trim().to_ascii_lowercase();
    let sum = match trimmed.strip_prefix('p') {
        Some(iso) => iso_sum(iso),
        None => sum(trimmed.trim_start_matches('@')),
    };
    let sum = sum.ok_or_else(|| {
        format!(
            "'{text}' is no interval: it is written as 1 mon 2 days 03:04:05.5 or P1M2DT3H4M5.5S"
        )
    })?;
    let beyond = |_| format!("'{text}' is outside the range of intervals");
    Ok(Interval {
        months: sum.months.try_into().map_err(beyond)?,
        days: sum.days.try_into().map_err(beyond)?,
        us: sum.us.try_into().map_err(beyond)?,
    })
}

/// Reports whether a text is an interval in a style of PostgreSQL's that DataFusion does not read:
/// with a clock, in ISO 8601, or `ago`.
pub fn is_of_postgres(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.contains(':') || text.starts_with(['p', '@']) || text.ends_with(" ago")
}

/// Numbers that do not overflow while they are added up.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    us: i128,
}

impl Sum {
    /// Adds `n` billionths of a unit; a fraction of it goes to the smaller units, as in PostgreSQL.
    fn add(&mut self, n: i128, unit: &str) -> Option<()> {
        let us_of = |seconds: i128| n * seconds * 1_000_000 / ONE;
        match unit {
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" => self.us += n / ONE,
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => self.us += n * 1_000 / ONE,
            "s" | "sec" | "secs" | "second" | "seconds" => self.us += us_of(1),
            "m" | "min" | "mins" | "minute" | "minutes" => self.us += us_of(60),
            "h" | "hr" | "hrs" | "hour" | "hours" => self.us += us_of(3_600),
            "d" | "day" | "days" => self.add_days(n),
            "w" | "week" | "weeks" => self.add_days(n * 7),
            "mon" | "mons" | "month" | "months" => {
                self.months += n / ONE;
                self.add_days(n % ONE * 30);
            }
            "y" | "yr" | "yrs" | "year" | "years" => self.months += n * 12 / ONE,
            "dec" | "decs" | "decade" | "decades" => self.months += n * 120 / ONE,
            "c" | "cent" | "century" | "centuries" => self.months += n * 1_200 / ONE,
            "mil" | "mils" | "millennium" | "millennia" => self.months += n * 12_000 / ONE,
            _ => return None,
        }
        Some(())
    }

    fn add_days(&mut self, n: i128) {
        self.days += n / ONE;
        self.us += n % ONE * i128::from(DAY_US) / ONE;
    }

    fn negated(self) -> Sum {
        Sum { months: -self.months, days: -self.days, us: -self.us }
    }
}

fn sum(text: &str) -> Option<Sum> {
    let (mut sum, mut rest) = (Sum::default(), text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if rest == "ago" {
            return Some(sum.negated());
        }
        let end = rest.find(|c: char| !"+-0123456789.:".contains(c)).unwrap_or(rest.len());
        let (amount, after) = rest.split_at(end);
        if amount.contains(':') {
            sum.us += clock(amount)?;
            rest = after.trim_start();
            continue;
        }
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        // A number at the end is one of seconds.
        let unit = if unit.is_empty() && after.is_empty() { "s" } else { unit };
        sum.add(number(amount)?, unit)?;
        rest = after.trim_start();
    }
    Some(sum)
}

/// Adds up what follows the P of an ISO 8601 duration.
fn iso_sum(text: &str) -> Option<Sum> {
    let (mut sum, mut rest, mut is_time) = (Sum::default(), text, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('t').filter(|_| !is_time) {
            (rest, is_time) = (time, true);
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_lowercase())?;
        let unit = match (&rest[end..=end], is_time) {
            ("y", false) => "year",
            ("m", false) => "mon",
            ("w", false) => "week",
            ("d", false) => "day",
            ("h", true) => "hour",
            ("m", true) => "min",
            ("s", true) => "s",
            _ => return None,
        };
        sum.add(number(&rest[..end])?, unit)?;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Parses a number with a sign and a fraction, to billionths.
fn number(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = is_digits(whole) && is_digits(fraction) && whole.len() + fraction.len() > 0;
    // The longest range is that of microseconds, of 19 digits.
    if !is_number || whole.len() > 19 || fraction.len() > 19 {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(9)];
    let number: i128 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}

/// Parses hours, minutes and seconds to microseconds.
fn clock(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let parts: Vec<&str> = unsigned.split(':').collect();
    if parts.len() > 3 || parts.iter().any(|part| !part.starts_with(|c: char| c.is_ascii_digit())) {
        return None;
    }
    let mut sum = Sum::default();
    for (part, unit) in parts.iter().zip(["hour", "min", "s"]) {
        let n = number(part)?;
        let is_valid = match unit {
            "hour" => n % ONE == 0,
            "min" => n % ONE == 0 && n < 60 * ONE,
            _ => n < 61 * ONE,
        };
        is_valid.then(|| sum.add(n, unit))??;
    }
    Some(if text.starts_with('-') { -sum.us } else { sum.us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_in_every_style() {
        let of = |months, days, us| Ok(Interval { months, days, us });
        for (text, expected) in [
            ("1 year 2 mons -3 days +04:05:06.789", of(14, -3, 14_706_789_000)),
            ("-1 mons -2 days -03:04:05", of(-1, -2, -11_045_000_000)),
            ("@ 1 mon 2 days 3 hours 4 mins 5.5 secs ago", of(-1, -2, -11_045_500_000)),
            ("P1Y2M3DT4H5M6S", of(14, 3, 14_706_000_000)),
            ("PT-0.5S", of(0, 0, -500_000)),
            ("1.5 days", of(0, 1, 43_200_000_000)),
            ("3600.000s", of(0, 0, 3_600_000_000)),
            ("90", of(0, 0, 90_000_000)),
            ("1d12h", of(0, 1, 43_200_000_000)),
            ("100:00", of(0, 0, 360_000_000_000)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for wrong in [
            "",
            "@",
            "P",
            "1 moon",
            "1 2 days",
            "1:2:3:4",
            "1:70",
            "--1 day",
            "99999999999 days",
            "p1",
            "1 day x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
