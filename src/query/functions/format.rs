//! Formatting of times as text, with chrono's specifiers or the templates of PostgreSQL.

use std::fmt::Write;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Time64NanosecondType, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveTime, TimeZone};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

/// Formats the values of one column.
pub struct Formatter<'a> {
    array: &'a ArrayRef,
    zone: Option<Tz>,
    /// The last format used, with its parsed items.
    last: Option<(String, Vec<Item<'static>>)>,
}

impl<'a> Formatter<'a> {
    pub fn new(array: &'a ArrayRef) -> Result<Formatter<'a>> {
        let zone = match array.data_type() {
            DataType::Timestamp(_, Some(zone)) => {
                Some(zone.parse().map_err(|_| exec_datafusion_err!("'{zone}' is no time zone"))?)
            }
            _ => None,
        };
        Ok(Formatter { array, zone, last: None })
    }

    fn items(&mut self, format: &str) -> Result<&[Item<'static>]> {
        if self.last.as_ref().is_none_or(|(last, _)| last != format) {
            let letters =
                if format.contains('%') { format.to_string() } else { from_templates(format)? };
            let items: Vec<Item> = StrftimeItems::new(&letters).map(Item::to_owned).collect();
            if items.iter().any(|item| matches!(item, Item::Error)) {
                return exec_err!(
                    "'{format}' is no format: a percent sign and a letter stand for each part, as in %Y-%m-%d"
                );
            }
            self.last = Some((format.to_string(), items));
        }
        Ok(&self.last.as_ref().expect("set above").1)
    }

    pub fn format(&mut self, row: usize, format: &str) -> Result<String> {
        if let DataType::Duration(_) = self.array.data_type() {
            let is_iso = format.eq_ignore_ascii_case("ISO8601");
            let style = if is_iso { DurationFormat::ISO8601 } else { DurationFormat::Pretty };
            let options = FormatOptions::new().with_duration_format(style);
            return Ok(ArrayFormatter::try_new(self.array, &options)?
                .value(row)
                .try_to_string()?);
        }
        let (array, zone) = (self.array, self.zone);
        let items = self.items(format)?;
        let mut text = String::new();
        let written = match array.data_type() {
            DataType::Time64(_) => {
                let ns = array.as_primitive::<Time64NanosecondType>().value(row);
                let (second, nano) = ((ns / 1_000_000_000) as u32, (ns % 1_000_000_000) as u32);
                let clock = NaiveTime::from_num_seconds_from_midnight_opt(second, nano);
                clock.map(|clock| write!(text, "{}", clock.format_with_items(items.iter())))
            }
            _ => {
                let times: &TimestampMicrosecondArray =
                    array.as_primitive::<TimestampMicrosecondType>();
                let utc = DateTime::from_timestamp_micros(times.value(row));
                utc.map(|utc| match zone {
                    Some(zone) => {
                        let local = zone.from_utc_datetime(&utc.naive_utc());
                        write!(text, "{}", local.format_with_items(items.iter()))
                    }
                    None => write!(text, "{}", utc.naive_utc().format_with_items(items.iter())),
                })
            }
        };
        match written {
            Some(Ok(())) => Ok(text),
            Some(Err(_)) => {
                exec_err!("'{format}' has a part that the value lacks, such as a zone or a date")
            }
            None => exec_err!("a time is outside the range of the calendar"),
        }
    }
}

/// Templates of PostgreSQL and the equivalent specifiers of chrono. Templates of numbers may also
/// be written in lower case.
const TEMPLATES: [(&str, &str); 23] = [
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("IYYY", "%G"),
    ("YYYY", "%Y"),
    ("Month", "%B"),
    ("Mon", "%b"),
    ("Day", "%A"),
    ("DDD", "%j"),
    ("Dy", "%a"),
    ("IW", "%V"),
    ("ID", "%u"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("YY", "%y"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("TZ", "%Z"),
    ("FM", ""),
];

/// Converts a format of PostgreSQL, such as `YYYY-MM-DD HH24:MI`, to chrono's specifiers. Text in
/// double quotes is copied.
fn from_templates(format: &str) -> Result<String> {
    translated(format, false)
}

/// Converts a format of PostgreSQL to the specifiers by which chrono reads a text: words may be
/// written in any case, and a fraction of a second after a point has as many digits as it has.
pub fn reading_templates(format: &str) -> Result<String> {
    Ok(translated(format, true)?.replace(".%3f", "%.f").replace(".%6f", "%.f"))
}

fn translated(format: &str, in_any_case: bool) -> Result<String> {
    let mut letters = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((quoted, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'))
        {
            letters.push_str(quoted);
            rest = after;
            continue;
        }
        let is_number =
            |template: &str| template.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let found = TEMPLATES.iter().find(|(template, _)| match rest.get(..template.len()) {
            Some(text) if in_any_case => text.eq_ignore_ascii_case(template),
            Some(text) if is_number(template) => {
                text == *template || text == template.to_lowercase()
            }
            text => text == Some(*template),
        });
        if let Some((template, letter)) = found {
            letters.push_str(letter);
            rest = &rest[template.len()..];
        } else if first.is_ascii_alphabetic() && !matches!(first, 'T' | 'Z') {
            return exec_err!(
                "'{format}' is no format: each part is a percent sign and a letter, as in %Y-%m-%d %H:%M, or a template of \
                 PostgreSQL, as in YYYY-MM-DD HH24:MI"
            );
        } else {
            letters.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_postgresql_are_formats() {
        for (format, letters) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "%Y-%m-%d %H:%M:%S.%6f"),
            ("yyyy-mm", "%Y-%m"),
            ("DD Mon YY, HH12 AM", "%d %b %y, %I %p"),
            ("YYYY-MM-DDTHH24", "%Y-%m-%dT%H"),
            ("YYYY\"-W\"IW", "%Y-W%V"),
            ("12.", "12."),
        ] {
            assert_eq!(from_templates(format).unwrap(), letters);
        }
        assert_eq!(reading_templates("dd MON yyyy SS.US").unwrap(), "%d %b %Y %S%.f");
        assert!(from_templates("hello").unwrap_err().to_string().contains("HH24"));
    }
}
