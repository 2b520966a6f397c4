//! Timestamps written as text.

use chrono::DateTime;

use crate::event::{Rejection, check_timestamp_ms, check_timestamp_us};

/// Reads whole milliseconds since the epoch (`10032342000`) or RFC 3339 (`1970-04-27T02:45:42Z`, any offset) and
/// answers microseconds. Digits below a microsecond are cut, as the store's unit is.
pub fn parse_timestamp(text: &str) -> Result<i64, Rejection> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number past 64 bits does not parse, and the check refuses it as it refuses the largest that does.
        let beyond = if digits.len() < text.len() { i64::MIN } else { i64::MAX };
        return check_timestamp_ms(text.parse().unwrap_or(beyond));
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(instant) => check_timestamp_us(instant.timestamp_micros()),
        Err(_) => Err(not_a_timestamp()),
    }
}

pub(super) fn not_a_timestamp() -> Rejection {
    Rejection::new("timestamp", "must be whole milliseconds since 1970 or RFC 3339, such as 2020-01-01T00:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_and_rfc_3339_name_the_same_instant() {
        assert_eq!(parse_timestamp("10032342000"), Ok(10_032_342_000_000));
        assert_eq!(parse_timestamp("1970-04-27T02:45:42Z"), Ok(10_032_342_000_000));
        assert_eq!(parse_timestamp("1970-04-27T04:45:42.000+02:00"), Ok(10_032_342_000_000));
    }

    #[test]
    fn digits_below_a_microsecond_are_cut() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.0000019Z"), Ok(1));
    }

    #[test]
    fn what_is_no_instant_of_the_store_is_rejected() {
        let beyond = "99999999999999999999";
        for text in ["", "-", "-1", "+1", "1.5", "1e3", " 1", "2020-01-01", "1969-12-31T23:59:59.999Z", beyond] {
            assert_eq!(parse_timestamp(text).map_err(|rejection| rejection.parameter), Err("timestamp"), "{text}");
        }
    }
}
