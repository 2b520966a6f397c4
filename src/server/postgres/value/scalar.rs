//! One value of a parameter, from either format.
//!
//! The forms are those of [`super::values`]; texts are read as PostgreSQL reads them, times in UTC.
//! uuid becomes its text, jsonb its JSON.

use arrow::datatypes::{Date32Type, IntervalMonthDayNano};
use datafusion::scalar::ScalarValue;
use uuid::Uuid;

use super::calendar::{self, DAY_US, EPOCH_DAYS, EPOCH_US};
use super::interval::Interval;
use super::types::Base;
use super::{decimal, format::Format};
use crate::query::{parse_bytea, parse_date, parse_interval, parse_time};

/// Reads a value that is not null.
///
/// # Errors
/// Says what is wrong, without the name of the type.
pub fn scalar(of: Base, format: Format, bytes: &[u8]) -> Result<ScalarValue, String> {
    match format {
        Format::Text => of_text(of, text(bytes)?),
        Format::Binary => of_binary(of, bytes),
    }
}

fn of_text(of: Base, text: &str) -> Result<ScalarValue, String> {
    Ok(match of {
        Base::Bool => ScalarValue::Boolean(Some(boolean(text)?)),
        Base::Int2 => ScalarValue::Int16(Some(integer(text)?)),
        Base::Int4 => ScalarValue::Int32(Some(integer(text)?)),
        Base::Int8 => ScalarValue::Int64(Some(integer(text)?)),
        Base::Oid | Base::Xid => ScalarValue::Int64(Some(integer::<u32>(text)?.into())),
        Base::Float4 => ScalarValue::Float32(Some(float(text, f32::is_infinite, |n| *n == 0.0)?)),
        Base::Float8 => ScalarValue::Float64(Some(float(text, f64::is_infinite, |n| *n == 0.0)?)),
        Base::Numeric => decimal::of_text(text)?,
        Base::Bytea => ScalarValue::Binary(Some(parse_bytea(text)?)),
        Base::Date => ScalarValue::Date32(Some(Date32Type::from_naive_date(parse_date(text)?))),
        Base::Time => clock(clock_of_text(text)?)?,
        Base::Timestamp => ScalarValue::TimestampMicrosecond(Some(parse_time(text, None)?), None),
        Base::Timestamptz => instant(parse_time(text, Some("UTC"))?),
        Base::Interval => interval_value(parse_interval(text)?)?,
        Base::Uuid => {
            let uuid = Uuid::parse_str(text.trim()).map_err(|_| format!("'{text}' is no UUID"))?;
            ScalarValue::Utf8(Some(uuid.to_string()))
        }
        Base::Json | Base::Jsonb => json(text)?,
        Base::Char
        | Base::Name
        | Base::Text
        | Base::Bpchar
        | Base::Varchar
        | Base::Regproc
        | Base::Regtype => ScalarValue::Utf8(Some(text.into())),
    })
}

fn of_binary(of: Base, bytes: &[u8]) -> Result<ScalarValue, String> {
    Ok(match of {
        Base::Bool => match fixed(bytes)? {
            [0] => ScalarValue::Boolean(Some(false)),
            [1] => ScalarValue::Boolean(Some(true)),
            [other] => return Err(format!("the byte {other} is neither 0 nor 1")),
        },
        Base::Int2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        Base::Int4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        Base::Int8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        Base::Oid | Base::Xid => ScalarValue::Int64(Some(u32::from_be_bytes(fixed(bytes)?).into())),
        // Where one is taken, its OID as a text is taken as well.
        Base::Regproc | Base::Regtype => {
            ScalarValue::Utf8(Some(u32::from_be_bytes(fixed(bytes)?).to_string()))
        }
        Base::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes)?))),
        Base::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes)?))),
        Base::Numeric => decimal::of_binary(bytes)?,
        Base::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        Base::Date => {
            let days = i64::from(i32::from_be_bytes(fixed(bytes)?)) + EPOCH_DAYS;
            let days = calendar::checked_date(days).map_err(|error| error.message)?;
            ScalarValue::Date32(Some(i32::try_from(days).map_err(|error| error.to_string())?))
        }
        Base::Time => clock(i64::from_be_bytes(fixed(bytes)?))?,
        Base::Timestamp => ScalarValue::TimestampMicrosecond(Some(time_of_binary(bytes)?), None),
        Base::Timestamptz => instant(time_of_binary(bytes)?),
        Base::Interval => interval_of_binary(bytes)?,
        Base::Uuid => ScalarValue::Utf8(Some(Uuid::from_bytes(fixed(bytes)?).to_string())),
        Base::Jsonb => match bytes {
            [1, json @ ..] => self::json(text(json)?)?,
            _ => return Err("a jsonb begins with its version, 1".into()),
        },
        Base::Json => json(text(bytes)?)?,
        Base::Char | Base::Name | Base::Text | Base::Bpchar | Base::Varchar => {
            ScalarValue::Utf8(Some(text(bytes)?.into()))
        }
    })
}

/// Reads UTF-8; as in PostgreSQL, no character is zero.
pub fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    match text.find('\0') {
        Some(at) => Err(format!("byte {at} is zero, which a text cannot have")),
        None => Ok(text),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("there are {} bytes instead of {N}", bytes.len()))
}

/// Reads any beginning of true, false, yes, no, on and off that is unambiguous, 1 or 0.
fn boolean(text: &str) -> Result<bool, String> {
    let word = text.trim().to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(format!("'{text}' is neither true nor false"))
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<T, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => format!("{text} is out of range"),
        _ => format!("'{text}' is no whole number"),
    })
}

/// Reads a number, NaN or an infinity; one too large or too small for the type is an error.
fn float<F: std::str::FromStr + Copy>(
    text: &str,
    is_infinite: fn(F) -> bool,
    is_zero: fn(&F) -> bool,
) -> Result<F, String> {
    let trimmed = text.trim();
    let number: F = trimmed.parse().map_err(|_| format!("'{text}' is no number"))?;
    let mantissa = trimmed.split(['e', 'E']).next().unwrap_or_default();
    let has_digits = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    let is_nonzero = mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if (is_infinite(number) && has_digits) || (is_zero(&number) && is_nonzero) {
        return Err(format!("{text} is out of range"));
    }
    Ok(number)
}

/// Reads a time of day in microseconds.
fn clock_of_text(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    let wrong = || format!("'{text}' is no time of day: it is written as 02:00:00.000001");
    if trimmed.is_empty() || !trimmed.bytes().all(|b| b.is_ascii_digit() || b":.".contains(&b)) {
        return Err(wrong());
    }
    parse_time(&format!("1970-01-01 {trimmed}"), None).map_err(|_| wrong())
}

fn clock(us: i64) -> Result<ScalarValue, String> {
    match us {
        0..DAY_US => Ok(ScalarValue::Time64Nanosecond(Some(us * 1_000))),
        DAY_US => Err("a day ends before 24:00:00; write 00:00:00".into()),
        _ => Err(format!("microsecond {us} is in no day")),
    }
}

fn instant(us: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()))
}

fn time_of_binary(bytes: &[u8]) -> Result<i64, String> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MAX | i64::MIN => Err("infinite times are not supported".into()),
        us => us.checked_add(EPOCH_US).ok_or_else(|| "the time is after the year 294246".into()),
    }
}

fn interval_of_binary(bytes: &[u8]) -> Result<ScalarValue, String> {
    let bytes: [u8; 16] = fixed(bytes)?;
    interval_value(Interval {
        us: i64::from_be_bytes(fixed(&bytes[..8])?),
        days: i32::from_be_bytes(fixed(&bytes[8..12])?),
        months: i32::from_be_bytes(fixed(&bytes[12..])?),
    })
}

fn interval_value(interval: Interval) -> Result<ScalarValue, String> {
    let Interval { months, days, us } = interval;
    let beyond =
        || "the hours of an interval are 292 years at most; write days or months".to_string();
    let nanoseconds = us.checked_mul(1_000).ok_or_else(beyond)?;
    let interval = IntervalMonthDayNano::new(months, days, nanoseconds);
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval)))
}

fn json(text: &str) -> Result<ScalarValue, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| format!("it is no JSON: {error}"))?;
    Ok(ScalarValue::Utf8(Some(text.into())))
}
